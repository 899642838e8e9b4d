"""Claims about what a VAE is trained on: more draws, another gradient, free bits, other optimizers."""

import math

import pytest
import torch
from linear_gaussian import LinearGaussian

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.vae import VAE, Bernoulli, Decoder, GaussianEncoder, digit_vae, free_bits, iwae_bound

SHAPE = (1, 4, 4)
DOUBLY = "doubly reparameterized"


def small_vae(**settings):
    likelihood = Bernoulli(SHAPE)
    encoder, decoder = GaussianEncoder(SHAPE, [16], 3), Decoder(3, [16], likelihood.params_shape)
    return VAE(encoder, decoder, likelihood, **settings)


def binary(n):
    return torch.randint(0, 2, (n, *SHAPE)).float()


def exact(k, gradient="plain"):
    """A linear-Gaussian model, its encoder off the posterior, that trains on k draws."""
    known = LinearGaussian()
    known.model.k, known.model.gradient = k, gradient
    return known


def test_bounds_rise_with_the_number_of_draws_and_stay_below_log_p():
    known = exact(1)
    known.disturb_encoder(0.3)
    x = known.marginal.sample((1,)).expand(20_000, -1)
    means, errors = [], []
    for k in (1, 2, 8, 32):
        known.model.k = k
        bound = known.model.importance_weighted(x)[0].detach()
        means.append(bound.mean().item())
        errors.append(bound.std().item() / len(bound) ** 0.5)
    elbo = known.model.elbo(x).detach()
    assert_unbiased(elbo, torch.tensor(means[0], dtype=elbo.dtype), standard_errors=7)  # both have an error
    means.append(known.marginal.log_prob(x[0]).item())
    errors.append(0.0)
    for a, b, s, t in zip(means, means[1:], errors, errors[1:], strict=False):
        assert b - a > 5 * math.hypot(s, t)


def test_at_the_posterior_every_bound_is_log_p_and_the_encoder_feels_nothing():
    known = exact(7, DOUBLY)
    x = known.marginal.sample((5,))
    bound, objective = known.model.importance_weighted(x)
    torch.testing.assert_close(bound, known.marginal.log_prob(x))
    objective.sum().backward()
    for p in known.model.encoder.parameters():
        torch.testing.assert_close(p.grad, torch.zeros_like(p), atol=1e-5, rtol=0)


def gradients(known, x, seed, *, gradient):
    known.model.gradient = gradient
    known.model.zero_grad()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        known.model.importance_weighted(x)[1].mean().backward()
    networks = known.model.encoder, known.model.decoder
    return [torch.cat([p.grad.flatten() for p in net.parameters()]) for net in networks]


def test_the_doubly_reparameterized_gradient_is_the_plain_one_for_the_decoder():
    known = exact(5)
    known.disturb_encoder(0.3)
    x = known.marginal.sample((6,))
    _, plain = gradients(known, x, 0, gradient="plain")
    _, doubly = gradients(known, x, 0, gradient=DOUBLY)
    torch.testing.assert_close(plain, doubly)


def test_the_doubly_reparameterized_gradient_has_the_same_mean_and_less_noise_for_the_encoder():
    with torch.random.fork_rng():  # how much less depends on the model: one of them, always the same
        torch.manual_seed(0)
        known = exact(16)
        known.disturb_encoder(0.1)
        x = known.marginal.sample((500,))
    both = {
        gradient: torch.stack([gradients(known, x, seed, gradient=gradient)[0] for seed in range(200)])
        for gradient in ("plain", DOUBLY)
    }
    difference = both["plain"] - both[DOUBLY]  # the same noise
    assert_unbiased(difference, torch.zeros_like(difference[0]), standard_errors=5)
    assert both[DOUBLY].std(0).mean() < 0.6 * both["plain"].std(0).mean()


def test_training_on_more_draws_trains_the_bound_that_log_weights_give():
    model, x = small_vae(k=5), binary(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bound, objective = model.importance_weighted(x)
        torch.manual_seed(0)
        eps = torch.randn(3, 5, 3).movedim(1, 0)
    q = model.encode(x)
    z = q.mean + q.stddev * eps
    expected = iwae_bound(model.log_joint(z, x) - q.log_prob(z).sum(-1))
    torch.testing.assert_close(bound, expected)
    assert objective is bound
    assert set(model.update((x, None), model.optimizers(), 1)) == {"loss"}


@pytest.mark.parametrize("settings", [{}, {"k": 4}, {"k": 4, "gradient": DOUBLY}, {"optimizer": "muon"}])
def test_every_way_of_training_improves_the_bound(settings):
    model, x = small_vae(lr=3e-3, **settings), binary(4).repeat(8, 1, 1, 1)  # four images, over and over
    before = model.elbo(x.repeat(20, 1, 1, 1)).mean()
    optimizers = model.optimizers()
    for step in range(200):
        model.update((x, None), optimizers, step + 1)
    assert model.elbo(x.repeat(20, 1, 1, 1)).mean() > before + 1


def test_free_bits_raise_each_part_on_its_own_and_leave_it_no_gradient():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]], requires_grad=True)
    counted = free_bits(kl, 0.5)
    assert counted.item() == pytest.approx(0.5 + 3.0)
    counted.backward()
    assert kl.grad.tolist() == [[0.0, 0.5], [0.0, 0.5]]
    assert free_bits(kl, 0.0).item() == pytest.approx(kl.sum(1).mean().item())


def test_free_bits_change_the_loss_and_not_what_is_reported():
    x, optimizers = binary(8), {}
    plain, free = small_vae(), small_vae(free_bits=100.0)
    free.load_state_dict(plain.state_dict())
    torch.manual_seed(0)
    a = plain.update((x, None), plain.optimizers(), 1)
    torch.manual_seed(0)
    b = free.update((x, None), free.optimizers() | optimizers, 1)
    assert (a["kl"], a["reconstruction"]) == (b["kl"], b["reconstruction"])
    assert b["loss"].item() == pytest.approx(b["reconstruction"].item() + 3 * 100.0)


def test_the_step_size_falls_as_half_a_cosine_by_the_number_of_the_step_alone():
    model, x = small_vae(lr=0.1, decay_steps=10), binary(4)
    rates = []
    for step in (1, 6, 11, 20, 1):
        optimizers = model.optimizers()
        model.update((x, None), optimizers, step)
        rates.append(optimizers["adam"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.05, 0.0, 0.0, 0.1])


def test_every_weight_has_one_optimizer_and_matrices_have_muon():
    model = digit_vae(hidden=8, latent_dim=2, likelihood="gaussian", optimizer="muon")
    groups = {name: o.param_groups for name, o in model.optimizers().items()}
    owned = [p for of in groups.values() for group in of for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == len(list(model.parameters()))
    assert {p.ndim for group in groups["muon"] for p in group["params"]} == {2}
    assert all(p.ndim < 2 for group in groups["adam"] for p in group["params"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 5, "beta": 2.0}, "has none"),
        ({"k": 5, "free_bits": 0.1}, "has none"),
        ({"gradient": DOUBLY}, "k > 1"),
        ({"k": 0}, "k"),
        ({"gradient": "dubly reparameterized"}, "did you mean"),
        ({"optimizer": "mun"}, "did you mean"),
        ({"decay_steps": -1}, "decay_steps"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        small_vae(**settings)
