"""q fitted to each example, where the best diagonal Gaussian is known exactly."""

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from gm_lib.distributions.ppca import ProbabilisticPCA
from gm_lib.networks import VALUES_AT_ONCE
from gm_lib.runtime import rng_state
from gm_lib.vae import VAE, Bernoulli, Decoder, GaussianEncoder, digit_vae, refine


def disturbed() -> LinearGaussian:
    """A model whose posterior is not diagonal, and whose encoder is wrong."""
    exact = LinearGaussian(orthogonal=False)
    exact.disturb_encoder(0.3)
    return exact


def as_ppca(exact: LinearGaussian) -> ProbabilisticPCA:
    return ProbabilisticPCA(exact.W, exact.b, exact.sigma**2)


def gap(exact: LinearGaussian, x: torch.Tensor, q: Normal) -> torch.Tensor:
    """How far the ELBO of q lies below log p(x): KL(q ‖ p(z | x)), (n,)."""
    return kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), exact.posterior(x))


def test_it_arrives_at_the_best_diagonal_gaussian_whatever_the_encoder_says():
    exact = disturbed()
    x = exact.marginal.sample((20,))
    best, found = as_ppca(exact).best_diagonal(x), refine(exact.model, x, draws=64)
    assert found.batch_shape == (20, 2)
    assert ((found.mean - best.mean) / best.stddev).abs().max() < 0.1
    torch.testing.assert_close(found.stddev, best.stddev, rtol=0.1, atol=0)
    # No diagonal Gaussian has a smaller gap; the encoder's is larger by the amortization gap.
    excess = gap(exact, x, found) - gap(exact, x, best)
    assert bool((excess > -1e-9).all())
    assert excess.max() < 0.01
    assert (gap(exact, x, exact.model.encode(x)) - gap(exact, x, found)).mean() > 0.1


def test_a_posterior_within_reach_is_reached_and_nothing_is_left_of_the_gap():
    exact = LinearGaussian()
    exact.disturb_encoder(0.3)
    x = exact.marginal.sample((20,))
    assert gap(exact, x, refine(exact.model, x, draws=64)).max() < 0.01


def test_without_steps_it_is_the_encoders_answer():
    exact = disturbed()
    x = exact.marginal.sample((5,))
    found, q = refine(exact.model, x, steps=0), exact.model.encode(x)
    torch.testing.assert_close(found.mean, q.mean.detach())
    torch.testing.assert_close(found.stddev, q.stddev.detach())


def bernoulli_vae(num_classes: int = 0) -> VAE:
    likelihood = Bernoulli((1, 4, 4))
    parts = GaussianEncoder((1, 4, 4), [16], 3, num_classes), Decoder(3, [16], (1, 4, 4), num_classes)
    with torch.no_grad():
        parts[1].net[0].weight *= 5  # z matters
    return VAE(*parts, likelihood)


def elbo_of(model: VAE, x: torch.Tensor, y: torch.Tensor | None, q: Normal) -> torch.Tensor:
    z = q.sample((5_000,))
    log_p = model.likelihood.log_prob(x, model.decode(z, y)).mean(0)
    return (log_p - kl_divergence(q, model.prior).sum(1)).detach()


def test_the_elbo_of_a_nonlinear_conditional_model_rises_for_every_example():
    model, y = bernoulli_vae(num_classes=3), torch.tensor([0, 1, 2, 0, 1, 2])
    x = torch.randint(0, 2, (6, 1, 4, 4)).float()
    q = refine(model, x, y)
    assert bool((elbo_of(model, x, y, q) > elbo_of(model, x, y, model.encode(x, y))).all())
    others = refine(model, x, (y + 1) % 3)
    assert not torch.allclose(others.mean, q.mean, atol=1e-2)


def test_the_model_and_the_global_random_state_stay_as_they_were():
    exact = disturbed()
    x = exact.marginal.sample((4,))
    model = exact.model.train()
    before = [p.detach().clone() for p in model.parameters()]
    state = rng_state()["torch"]
    with torch.no_grad():
        q = refine(model, x, steps=3)
    assert torch.equal(rng_state()["torch"], state)
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert model.training
    assert not q.mean.requires_grad
    assert not q.stddev.requires_grad


def test_the_same_seed_gives_the_same_and_another_seed_nearly_the_same():
    exact = disturbed()
    x = exact.marginal.sample((6,))
    first, again, other = (refine(exact.model, x, seed=seed, steps=100) for seed in (1, 1, 2))
    assert torch.equal(first.mean, again.mean)
    assert not torch.equal(first.mean, other.mean)
    torch.testing.assert_close(first.mean, other.mean, rtol=0, atol=0.1)


def test_more_examples_than_fit_into_memory_are_refined_in_parts(monkeypatch):
    exact = disturbed()
    x = exact.marginal.sample((7,))
    seen = []
    exact.model.decoder.register_forward_hook(lambda module, args, out: seen.append(out.numel()))
    monkeypatch.setitem(refine.__globals__, "VALUES_AT_ONCE", 3 * 8 * 5)
    found = refine(exact.model, x)
    assert max(seen) == 3 * 8 * 5 < VALUES_AT_ONCE
    best = as_ppca(exact).best_diagonal(x)
    assert (gap(exact, x, found) - gap(exact, x, best)).max() < 0.05


def test_dropout_is_off_while_q_is_refined():
    exact = disturbed()
    decoder = exact.model.decoder
    decoder.net = torch.nn.Sequential(*decoder.net, torch.nn.Dropout(0.5))
    x = exact.marginal.sample((5,))
    found = refine(exact.model.train(), x)
    best = as_ppca(exact).best_diagonal(x)
    assert (gap(exact, x, found) - gap(exact, x, best)).max() < 0.05


def test_data_may_be_an_array_and_gets_the_models_dtype():
    exact = disturbed()
    x = exact.marginal.sample((5,)).float()
    found, expected = refine(exact.model, x.numpy(), steps=2), refine(exact.model, x.double(), steps=2)
    assert found.mean.dtype == torch.float64
    assert torch.equal(found.mean, expected.mean)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps must be a whole number, at least 0"),
        ({"draws": 0}, "draws must be a whole number, at least 1"),
        ({"x": torch.rand(3, 1, 28, 28)}, "binarize"),
        ({"x": torch.zeros(0, 1, 28, 28)}, "expects data of shape"),
    ],
)
def test_what_cannot_be_refined_is_refused(options, message):
    given = {"x": torch.zeros(3, 1, 28, 28)} | options
    with pytest.raises(ValueError, match=message):
        refine(digit_vae(hidden=4, latent_dim=2), **given)
