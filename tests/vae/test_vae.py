import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.vae import LIKELIHOODS, VAE, Bernoulli, Decoder, Gaussian, GaussianEncoder, digit_vae

SHAPE = (1, 4, 4)


def small_vae(num_classes=0, **settings):
    likelihood = Bernoulli(SHAPE)
    encoder = GaussianEncoder(SHAPE, [16], 3, num_classes)
    return VAE(encoder, Decoder(3, [16], likelihood.params_shape, num_classes), likelihood, **settings)


def binary(n, shape=SHAPE):
    return torch.randint(0, 2, (n, *shape)).float()


def test_the_analytic_kl_equals_the_monte_carlo_one():
    model, x = small_vae(), 3 * binary(6)
    q = model.encode(x)
    z = q.sample((50_000,))
    assert_unbiased(
        q.log_prob(z) - model.prior.log_prob(z), kl_divergence(q, model.prior).detach(), standard_errors=5
    )
    torch.testing.assert_close(model.elbo_terms(x).kl, kl_divergence(q, model.prior))


def test_the_kl_is_zero_where_q_is_the_prior():
    model = small_vae()
    for p in model.encoder.parameters():
        torch.nn.init.zeros_(p)
    assert model.elbo_terms(binary(5)).kl.abs().max() == 0


def test_elbo_is_minus_reconstruction_minus_the_summed_kl():
    terms = small_vae().elbo_terms(binary(5))
    assert (terms.reconstruction.shape, terms.kl.shape) == ((5,), (5, 3))
    torch.testing.assert_close(terms.elbo, -(terms.reconstruction + terms.kl.sum(1)))


def test_the_gradient_of_the_elbo_equals_finite_differences_with_the_noise_held_fixed():
    model, x = small_vae().double(), binary(4).double()
    names, params = zip(*model.named_parameters(), strict=True)

    def elbo(*values):
        torch.manual_seed(0)
        return torch.func.functional_call(
            _ElboOf(model), dict(zip([f"model.{n}" for n in names], values, strict=True)), (x,)
        )

    assert torch.autograd.gradcheck(elbo, params, fast_mode=True)


class _ElboOf(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.elbo(x)


def test_the_decoder_mirrors_the_hidden_layers_of_the_encoder():
    model = digit_vae(hidden=(32, 16), latent_dim=2)
    sizes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert sizes == [(32, 784), (16, 32), (4, 16), (16, 2), (32, 16), (784, 32)]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_an_update_leaves_a_gradient_on_every_parameter_and_moves_it(likelihood):
    model = digit_vae(likelihood=likelihood, hidden=8, latent_dim=2)
    before = [p.detach().clone() for p in model.parameters()]
    x = binary(4, (1, 28, 28))
    terms = model.update((x, None), model.optimizers(), step=0)
    for p, old in zip(model.parameters(), before, strict=True):
        assert p.grad is not None
        assert bool(p.grad.abs().sum() > 0)
        assert not torch.equal(p, old)
    assert set(terms) == {"loss", "reconstruction", "kl"}
    assert all(term.ndim == 0 and not term.requires_grad for term in terms.values())


def test_an_update_uses_no_gradient_of_the_step_before():
    x = binary(8)
    model = small_vae()
    optimizers = {"adam": torch.optim.SGD(model.parameters(), lr=0.0)}
    gradients = []
    for step in range(2):
        torch.manual_seed(0)
        model.update((x, None), optimizers, step)
        gradients.append([p.grad.clone() for p in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def deaf_to_z(model):
    """Without the weights on z the reconstruction is the same for every draw."""
    torch.nn.init.zeros_(model.decoder.net[0].weight)
    return model


def test_the_loss_is_a_mean_over_examples_and_a_sum_over_pixels():
    model, x = deaf_to_z(small_vae(lr=0.0, beta=3.0)), binary(6)
    one, three = (model.update((data, None), model.optimizers(), 0) for data in (x, x.repeat(3, 1, 1, 1)))
    for name in one:
        torch.testing.assert_close(one[name], three[name])
    terms = model.elbo_terms(x)
    reconstruction, kl = terms.reconstruction.mean(), terms.kl.sum(1).mean()
    torch.testing.assert_close(one["loss"], (reconstruction + 3.0 * kl).detach())
    probability = model.reconstruct(x)
    by_pixel = -(x * probability.log() + (1 - x) * (1 - probability).log())
    torch.testing.assert_close(terms.reconstruction, by_pixel.sum((1, 2, 3)))


def test_an_example_costs_the_same_in_any_company():
    model, x = deaf_to_z(small_vae()), binary(9)
    together = model.elbo_terms(x)
    for i in range(9):
        alone = model.elbo_terms(x[i : i + 1])
        torch.testing.assert_close(together.reconstruction[i], alone.reconstruction[0])
        torch.testing.assert_close(together.kl[i], alone.kl[0])


def test_minus_elbo_comes_close_to_the_entropy_of_the_data_and_never_below():
    # Four images, drawn with equal chances: their entropy is log 4. Sixteen fair coins would cost 11.1 nats.
    patterns = torch.tensor([[0.0] * 16, [1.0] * 16, [0.0, 1.0] * 8, [0.0] * 8 + [1.0] * 8]).reshape(
        4, *SHAPE
    )
    model = small_vae(lr=1e-2)
    optimizers = model.optimizers()
    for step in range(600):
        model.update((patterns.repeat(16, 1, 1, 1), None), optimizers, step)
    cost = -model.elbo(patterns.repeat(500, 1, 1, 1)).detach()
    error = cost.std().item() / math.sqrt(len(cost))
    assert math.log(4) - 4 * error < cost.mean().item() < 4


def test_log_weights_are_the_three_densities_of_torch():
    model, x = small_vae(), binary(5)
    log_w = model.log_weights(x, k=3, generator=torch.Generator().manual_seed(1))
    q = model.encode(x)
    z = q.mean + q.stddev * torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1))
    for k in range(3):
        p_x = torch.distributions.Bernoulli(logits=model.decode(z[k]))
        expected = p_x.log_prob(x).sum((1, 2, 3)) + (model.prior.log_prob(z[k]) - q.log_prob(z[k])).sum(1)
        torch.testing.assert_close(log_w[k], expected)


def test_log_joint_is_the_density_of_z_and_that_of_x_given_z():
    model, x = small_vae(), binary(5)
    z = torch.randn(2, 3, 5, 3)
    log_joint = model.log_joint(z, x)
    p_x = torch.distributions.Bernoulli(logits=model.decode(z))
    expected = p_x.log_prob(x.expand(2, 3, 5, *SHAPE)).sum((3, 4, 5)) + Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(log_joint, expected)
    torch.testing.assert_close(model.log_joint(z[0, 0], x), expected[0, 0])


def test_log_weights_are_log_joint_minus_log_q():
    model, x = small_vae(), binary(5)
    log_w = model.log_weights(x, k=3, generator=torch.Generator().manual_seed(1))
    q = model.encode(x)
    z = q.mean + q.stddev * torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(log_w, model.log_joint(z, x) - q.log_prob(z).sum(-1))


def test_samples_are_the_means_of_pixels_and_noisy_ones_are_pixels():
    model = small_vae()
    means, pixels = (model.sample(7, noisy=noisy) for noisy in (False, True))
    assert means.shape == pixels.shape == (7, *SHAPE)
    assert bool(((means > 0) & (means < 1)).all())
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    assert not means.requires_grad


def test_sampling_with_a_generator_repeats_itself():
    model = small_vae()
    first, second = (
        model.sample(4, generator=torch.Generator().manual_seed(3), noisy=True) for _ in range(2)
    )
    assert torch.equal(first, second)


def test_a_reconstruction_decodes_the_mean_of_q():
    model, x = small_vae(), binary(5)
    expected = model.decode(model.encode(x).mean).sigmoid()
    torch.testing.assert_close(model.reconstruct(x), expected.detach())


def test_the_config_rebuilds_the_model():
    model = digit_vae(latent_dim=3, hidden=(32, 16), num_classes=10, likelihood="gaussian", beta=2.0, lr=1e-4)
    again = digit_vae(**model.config)
    again.load_state_dict(model.state_dict())
    assert (again.beta, again.lr, again.latent_dim, again.num_classes) == (2.0, 1e-4, 3, 10)
    x, y = torch.rand(2, 1, 28, 28), torch.tensor([3, 4])
    assert torch.equal(again.reconstruct(x, y), model.reconstruct(x, y))


def test_the_default_digit_vae_is_784_400_20():
    model = digit_vae()
    sizes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert sizes == [(400, 784), (40, 400), (400, 20), (784, 400)]


def test_a_decoder_of_the_wrong_size_is_refused_with_the_right_one():
    likelihood = LIKELIHOODS["discretized_logistic"](SHAPE)
    with pytest.raises(ValueError, match=r"puts out \(1, 4, 4\).*wants \(2, 4, 4\)"):
        VAE(GaussianEncoder(SHAPE, [8], 2), Decoder(2, [8], SHAPE), likelihood)


@pytest.mark.parametrize("shape", [(5, 4, 4), (5, 16), (5, 1, 4, 5)])
def test_images_of_another_shape_are_refused_and_not_flattened_into_each_other(shape):
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 1, 4, 4\), got"):
        small_vae().elbo(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 1, 4, 4\), got"):
        small_vae().log_joint(torch.zeros(5, 3), torch.zeros(shape))


def test_check_accepts_good_batches_and_refuses_grey_ones():
    model = small_vae()
    model.check((binary(3), None))
    with pytest.raises(ValueError, match="binarize"):
        model.check((torch.rand(3, *SHAPE), None))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("noisy", [False, True])
def test_samples_have_the_dtype_of_the_model(dtype, noisy):
    assert small_vae().to(dtype).sample(3, noisy=noisy).dtype == dtype


def test_samples_are_the_same_however_many_are_decoded_at_a_time(monkeypatch):
    model = small_vae().double()
    together, in_parts = [], []
    for found, limit in ((together, 2**22), (in_parts, 3 * 16)):
        monkeypatch.setattr("gm_lib.vae.model_base.VALUES_AT_ONCE", limit)
        found.append(model.sample(7, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(together, in_parts)
    assert model.sample(0).shape == (0, *SHAPE)


@pytest.mark.parametrize("log_var", [-24.0, -200.0])
def test_log_q_is_exact_where_rounding_takes_the_noise_out_of_z(log_var):
    model, x = small_vae(), binary(4)
    last = model.encoder.net[-1]
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([3.0] * 3 + [log_var] * 3))
    log_w = model.log_weights(x, k=2, generator=torch.Generator().manual_seed(1))
    eps = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    z = torch.full((2, 4, 3), 3.0) + math.exp(0.5 * log_var) * eps
    log_q = Normal(0.0, 1.0).log_prob(eps) - 0.5 * log_var
    expected = (Normal(0.0, 1.0).log_prob(z) - log_q).sum(-1)
    torch.testing.assert_close(log_w - model.likelihood.log_prob(x, model.decode(z)), expected)


def test_calling_the_model_gives_the_terms_of_the_elbo_and_an_update_calls_it():
    model, x, seen = small_vae(), binary(4), []
    torch.manual_seed(0)
    called = model(x)
    torch.manual_seed(0)
    torch.testing.assert_close(called, model.elbo_terms(x))
    model.register_forward_hook(lambda *call: seen.append(call[-1]))
    terms = model.update((x, None), model.optimizers(), 1)
    torch.testing.assert_close(terms["kl"], seen[0].kl.sum(1).mean().detach())


class ConvolutionalEncoder(torch.nn.Module):
    """An encoder of one's own, which knows nothing but how to return q(z | x)."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Flatten(), torch.nn.Linear(64, 6)
        )

    def forward(self, x, y=None):
        mean, log_var = self.net(x).chunk(2, dim=1)
        return Normal(mean, (0.5 * log_var).exp())


def test_an_encoder_of_ones_own_that_returns_a_normal_can_be_trained_and_evaluated():
    likelihood = Bernoulli(SHAPE)
    model = VAE(ConvolutionalEncoder(), Decoder(3, [16], likelihood.params_shape), likelihood, lr=1e-2)
    x = binary(6)
    q = model.encode(x)
    torch.testing.assert_close(model.elbo_terms(x).kl, kl_divergence(q, model.prior))
    optimizers = model.optimizers()
    first, *_, last = (model.update((x, None), optimizers, s)["loss"].item() for s in range(1, 101))
    assert last < first
    assert model.log_weights(x, k=2).shape == (2, 6)


def test_parts_that_do_not_keep_the_protocol_are_told_what_is_missing():
    likelihood = Bernoulli(SHAPE)
    with pytest.raises(TypeError, match="decoder, Linear, has no attribute 'latent_dim': the number of dim"):
        VAE(ConvolutionalEncoder(), torch.nn.Linear(3, 16), likelihood)
    model = VAE(ConvolutionalEncoder().net, Decoder(3, [16], likelihood.params_shape), likelihood)
    model.encoder.forward = lambda x, y=None: x
    with pytest.raises(TypeError, match=r"encoder returned Tensor.*Normal of shape"):
        model.elbo(binary(3))


def test_the_gaussians_sigma_arrives_together_with_the_error_of_the_decoder():
    likelihood = Gaussian((8,))
    model = VAE(GaussianEncoder((8,), [32], 2), Decoder(2, [32], (8,)), likelihood)
    with torch.no_grad():
        x = 0.3 * torch.randn(512, 2) @ torch.randn(2, 8) + 0.05 * torch.randn(512, 8)
    optimizers = model.optimizers()
    for step in range(500):
        model.update((x[torch.randint(512, (64,))], None), optimizers, step)
    error = (model.reconstruct(x) - x).square().mean().sqrt().item()
    assert likelihood.log_scale.exp().item() == pytest.approx(error, rel=0.3)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (binary(3).double(), ValueError, r"computes in torch\.float32, and x is torch\.float64"),
        (binary(3).numpy(), TypeError, r"expects a torch\.Tensor, not ndarray"),
        (binary(1)[0], ValueError, r"x\[None\] makes a batch of one"),
    ],
)
def test_what_is_no_batch_of_the_models_dtype_is_refused_with_a_remedy(x, error, message):
    model = small_vae()
    for action in (model.elbo, model.reconstruct, lambda x: model.check((x, None))):
        with pytest.raises(error, match=message):
            action(x)


# Conditional models


def test_the_label_reaches_encoder_and_decoder():
    model, x = small_vae(num_classes=10), binary(10)
    y = torch.arange(10)
    q = model.encode(x[:1].expand(10, *SHAPE), y)
    images = model.decode(torch.zeros(10, 3), y)
    assert len(q.mean.unique(dim=0)) == 10
    assert len(images.unique(dim=0)) == 10


def test_one_label_per_example_serves_all_its_draws():
    model, x, y = small_vae(num_classes=10), binary(4), torch.tensor([1, 5, 5, 9])
    z = torch.randn(6, 4, 3)
    params = model.decode(z, y)
    torch.testing.assert_close(params[2, 3], model.decode(z[2, 3:], y[3:])[0])
    assert model.log_weights(x, y, k=6).shape == (6, 4)
    log_joint = model.log_joint(z, x, y)
    torch.testing.assert_close(log_joint[2, 3], model.log_joint(z[2, 3:], x[3:], y[3:])[0])


def test_an_unconditional_model_ignores_labels():
    model, x = small_vae(), binary(4)
    assert torch.equal(model.encode(x).mean, model.encode(x, torch.tensor([1, 2, 3, 400])).mean)


def test_a_conditional_model_refuses_missing_labels():
    model, x = small_vae(num_classes=10), binary(4)
    for action in (
        model.elbo,
        model.reconstruct,
        lambda x: model.log_weights(x, k=2),
        lambda x: model.sample(4),
        lambda x: model.log_joint(torch.zeros(4, 3), x),
    ):
        with pytest.raises(ValueError, match="needs labels"):
            action(x)
    with pytest.raises(ValueError, match="labels are needed"):
        model.check((x, None))


@pytest.mark.parametrize("y", [torch.tensor([0, 1, 2, 10]), torch.tensor([-1, 1, 2, 3]), torch.rand(4)])
def test_a_conditional_model_refuses_labels_that_are_no_class(y):
    model, x = small_vae(num_classes=10), binary(4)
    for action in (model.check, lambda batch: model.elbo(*batch), lambda batch: model.sample(4, batch[1])):
        with pytest.raises(ValueError, match="labels must"):
            action((x, y))


def test_a_sample_needs_one_label_each():
    with pytest.raises(ValueError, match=r"4 examples needs 4 labels, got shape \(3,\)"):
        small_vae(num_classes=10).sample(4, torch.tensor([1, 2, 3]))


def test_labels_to_sample_may_be_a_list_or_an_array():
    model = small_vae(num_classes=10)
    y = [3, 1, 4]
    images = [
        model.sample(3, labels, generator=torch.Generator().manual_seed(0))
        for labels in (torch.tensor(y), y, np.array(y, dtype=np.int32))
    ]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    with pytest.raises(ValueError, match=r"needs 3 labels, got shape \(\)\. torch\.full\(\(3,\), y\)"):
        model.sample(3, 7)
