import copy
import math

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch import nn
from torch.distributions import Normal

from gm_lib.beyond import VAEGAN, digit_vae_gan
from gm_lib.data import Batches
from gm_lib.evaluation import log_likelihood
from gm_lib.gan import MLPDiscriminator, non_saturating_generator_loss
from gm_lib.runtime import forked_rng
from gm_lib.training import fit
from gm_lib.vae import VAE, Bernoulli, Decoder, Gaussian, GaussianEncoder

SIGMA, VARIANCES = 0.5, torch.tensor([1.0, 0.3])


class AxisEncoder(nn.Module):
    """q(z | x) = N(a x, s²), each axis by itself."""

    def __init__(self):
        super().__init__()
        self.a, self.log_s = nn.Parameter(torch.full((2,), 0.5)), nn.Parameter(torch.zeros(2))

    def forward(self, x, y=None):
        return Normal(self.a * x, self.log_s.exp().expand_as(x))


class AxisDecoder(nn.Module):
    """The mean w z of p(x | z), each axis by itself."""

    latent_dim, out_shape, num_classes = 2, (2,), 0

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.full((2,), 0.5))

    def forward(self, z, y=None):
        return self.w * z


class Quadratic(nn.Module):
    """The logit of two centred Gaussians' best discriminator: a quadratic without a linear part."""

    in_shape, num_classes = (2,), 0

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(()))

    def forward(self, x, y=None):
        return (self.a * x.square()).sum(-1) + self.b


def axes(judge, **settings):
    return VAEGAN(
        AxisEncoder(), AxisDecoder(), Gaussian((2,), sigma=SIGMA), Quadratic(), judge=judge, **settings
    )


def variance_of_means(judge):
    """What a linear VAE-GAN's w² is after training on points that have exactly the VARIANCES."""
    model, x = axes(judge, lr=1e-2, discriminator_lr=5e-2, decay_steps=800), torch.randn(20_000, 2)
    x = x * (VARIANCES / x.square().mean(0)).sqrt()
    batches = Batches(x, batch_size=512, seed=0, device="cpu")
    fit(model, batches, steps=800, average=0.99, device="cpu", progress=False)
    return model.decoder.w.detach().square()


def plane(*, num_classes=0, **settings):
    parts = GaussianEncoder((2,), [16], 2, num_classes), Decoder(2, [16], (2,), num_classes)
    judge = MLPDiscriminator((2,), [16], num_classes)
    return VAEGAN(*parts, Gaussian((2,), sigma=SIGMA), judge, **settings)


def stepped(model, x, steps=1, y=None):
    """Train a copy of the model for some steps with one stream of noise; return it and the last terms."""
    model = copy.deepcopy(model)
    optimizers = model.optimizers()
    with forked_rng(seed=1):
        for step in range(1, steps + 1):
            terms = model.update((x, y), optimizers, step)
    return model, terms


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_without_a_judge_the_means_vary_by_sigma_squared_less_than_the_data():
    torch.testing.assert_close(variance_of_means(0), VARIANCES - SIGMA**2, rtol=0, atol=0.02)


def test_the_heavier_the_judge_the_nearer_are_the_means_to_the_data():
    found = torch.stack([variance_of_means(judge) for judge in (0, 0.3, 3, 100)])
    assert bool((found.diff(dim=0) > 0).all())
    torch.testing.assert_close(found[-1], VARIANCES, rtol=0.05, atol=0.01)


def test_without_a_judge_each_update_is_bit_by_bit_the_vae_s():
    model, x = plane(judge=0, lr=1e-2), torch.randn(64, 2)
    vae = VAE(model.encoder, model.decoder, model.likelihood, lr=1e-2)
    trained, _ = stepped(model, x, steps=3)
    plain, _ = stepped(vae, x, steps=3)
    for part in ("encoder", "decoder"):
        assert equal(state(getattr(trained, part)), state(getattr(plain, part)))
    assert equal(state(trained.discriminator), state(model.discriminator))


def test_the_judge_s_gradient_reaches_the_decoder_and_never_the_encoder():
    x = torch.randn(64, 2)
    model = plane(judge=0)
    grads = {}
    for judge in (0, 5):
        model.judge = judge
        seen, _ = stepped(model, x)
        parts = {"encoder": seen.encoder, "decoder": seen.decoder}
        grads[judge] = {name: [p.grad for p in part.parameters()] for name, part in parts.items()}
    for a, b in zip(grads[0]["encoder"], grads[5]["encoder"], strict=True):
        assert torch.equal(a, b)
    assert not torch.allclose(grads[0]["decoder"][0], grads[5]["decoder"][0], rtol=0.1)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_decoder_s_gradient_is_that_of_the_elbo_and_judge_times_the_generator_s(num_classes):
    model, x, judge = plane(judge=3, num_classes=num_classes), torch.randn(64, 2), 3
    y = torch.arange(64) % 3 if num_classes else None
    trained, _ = stepped(model, x, y=y)
    known = copy.deepcopy(model)
    known.discriminator = trained.discriminator  # it learned before the decoder asked it
    with forked_rng(seed=1):
        loss = -known.elbo(x, y).mean()
        made = known.likelihood.mean(known.decode(torch.randn(64, 2), y))
    logits = known.discriminator(made, y)
    paid = loss + judge * non_saturating_generator_loss(logits).mean()
    expected = torch.autograd.grad(paid, list(known.decoder.parameters()))
    for p, g in zip(trained.decoder.parameters(), expected, strict=True):
        torch.testing.assert_close(p.grad, g)


def test_the_decoder_s_step_leaves_the_discriminator_as_its_own_step_left_it():
    model, x = plane(judge=1), torch.randn(64, 2)
    light, _ = stepped(model, x)
    model.judge = 1000
    heavy, _ = stepped(model, x)
    assert equal(state(light.discriminator), state(heavy.discriminator))
    assert not equal(state(light.discriminator), state(model.discriminator))


def test_the_discriminator_pays_r1_at_the_data():
    x, gamma, a, gradients = torch.randn(64, 2), 0.7, 0.4, []
    for weight in (0.0, gamma):
        model = axes(1, gamma=weight)
        with torch.no_grad():
            model.discriminator.a.fill_(a)
        optimizers = model.optimizers()
        with forked_rng(seed=1):
            model.update((x, None), optimizers, 1)
        adam = optimizers["discriminator"].state[model.discriminator.a]
        gradients.append(adam["exp_avg"] / (1 - 0.5))
    # The logit's slope is 2 a x, so R1 is γ/2 · 4 a² x², and its derivative by a is 4 γ a x².
    added = 4 * gamma * a * x.square().mean(0)
    torch.testing.assert_close(gradients[1] - gradients[0], added, rtol=1e-4, atol=1e-5)


def test_the_discriminator_s_step_size_is_its_own_or_else_the_vae_s():
    for settings, expected in (({"discriminator_lr": 0.3}, 0.3), ({}, 0.01)):
        optimizers = plane(lr=0.01, **settings).optimizers()
        assert optimizers["discriminator"].param_groups[0]["lr"] == expected
        assert optimizers["adam"].param_groups[0]["lr"] == 0.01


def test_a_paired_loss_compares_with_the_data():
    torch.manual_seed(0)
    model, x = plane(judge=1, loss="relativistic"), torch.randn(64, 2)
    _, terms = stepped(model, x)
    _, unpaired = stepped(plane(judge=1), x)
    assert terms.keys() == unpaired.keys()
    trained, _ = stepped(model, x)
    with forked_rng(seed=1), torch.no_grad():
        model.elbo(x)
        made = model.likelihood.mean(model.decode(torch.randn(64, 2)))
        paid = torch.nn.functional.softplus(trained.discriminator(x) - trained.discriminator(made)).mean()
    torch.testing.assert_close(terms["generator_loss"], paid)


def test_what_is_reported_as_the_loss_is_minus_the_elbo():
    model, x = plane(judge=50), torch.randn(64, 2)
    _, terms = stepped(model, x)
    with forked_rng(seed=1), torch.no_grad():
        expected = -model.elbo(x).mean()
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + terms["kl"])


def test_its_likelihood_is_the_exact_one_where_that_is_known():
    torch.manual_seed(0)
    known = LinearGaussian()
    vae = known.model
    model = VAEGAN(vae.encoder, vae.decoder, vae.likelihood, MLPDiscriminator((5,), [4])).double()
    x = known.marginal.sample((50,))
    exact = known.marginal.log_prob(x)
    torch.testing.assert_close(log_likelihood(model, x, k=5).bound, exact, rtol=0, atol=1e-6)


def test_labels_reach_all_three_networks():
    x, y = torch.randn(32, 2), torch.arange(32) % 3
    model = plane(num_classes=3, judge=2)
    trained, _ = stepped(model, x, y=y)
    for part in (trained.encoder, trained.decoder, trained.discriminator):
        columns = part.net[0].weight[:, 2:]
        before = dict(model.named_modules())[_name_of(trained, part)].net[0].weight[:, 2:]
        assert not torch.equal(columns, before)
    with pytest.raises(ValueError, match="labels"):
        model.check((x, None))
    assert model.sample(6, torch.arange(6) % 3).shape == (6, 2)


def _name_of(model, part):
    return next(name for name, found in model.named_modules() if found is part)


def test_the_digits_model_is_built_again_from_its_config():
    model = digit_vae_gan(shape=(1, 8, 8), latent_dim=3, width=8, judge=7.0, gamma=0.2)
    again = digit_vae_gan(**model.config)
    again.load_state_dict(model.state_dict())
    assert (again.judge, again.gamma, again.shape, again.config) == (7.0, 0.2, (1, 8, 8), model.config)
    z = torch.randn(5, 2, 3)
    torch.testing.assert_close(again.decode(z), model.decode(z))
    images = model.sample(4, generator=torch.Generator().manual_seed(0))
    assert images.shape == (4, 1, 8, 8)
    assert 0 < images.min() <= images.max() < 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"judge": -1.0}, "judge is a weight"),
        ({"judge": math.nan}, "judge is a weight"),
        ({"loss": "absent"}, "loss"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(settings, said):
    with pytest.raises(ValueError, match=said):
        plane(**settings)


def test_a_judge_or_likelihood_that_does_not_fit_is_refused():
    parts = GaussianEncoder((2,), [4], 2), Decoder(2, [4], (2,))
    with pytest.raises(ValueError, match="discriminator"):
        VAEGAN(*parts, Gaussian((2,)), MLPDiscriminator((3,), [4]))
    with pytest.raises(ValueError, match="labels"):
        VAEGAN(*parts, Gaussian((2,)), MLPDiscriminator((2,), [4], 10))
    with pytest.raises(ValueError, match="coins have a grey mean"):
        VAEGAN(*parts, Bernoulli((2,)), MLPDiscriminator((2,), [4]))
    with pytest.raises(TypeError, match="in_shape"):
        VAEGAN(*parts, Gaussian((2,)), nn.Linear(2, 1))


def test_data_that_it_cannot_learn_from_are_refused():
    model = digit_vae_gan(shape=(1, 8, 8), width=8)
    for x, said in ((torch.rand(4, 1, 8, 7), "shape"), (torch.full((4, 1, 8, 8), math.nan), "finite")):
        with pytest.raises(ValueError, match=said):
            model.check((x, None))
    model.check((torch.rand(4, 1, 8, 8), None))
