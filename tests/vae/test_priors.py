"""Claims about priors other than N(0, I), and about the measures that meet them."""

import pytest
import torch
from torch.distributions import Independent, Normal

from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.evaluation import annealed_log_likelihood, split_rate
from gm_lib.vae import (
    VAE,
    Bernoulli,
    Decoder,
    GaussianEncoder,
    MixturePrior,
    StandardNormal,
    VampPrior,
    digit_vae,
    refine,
)

SHAPE = (1, 4, 4)


def small_vae(prior=None):
    likelihood = Bernoulli(SHAPE)
    encoder, decoder = GaussianEncoder(SHAPE, [16], 3), Decoder(3, [16], likelihood.params_shape)
    return VAE(encoder, decoder, likelihood, prior=prior)


def binary(n):
    return torch.randint(0, 2, (n, *SHAPE)).float()


def standard_in_parts(parts=4):
    """A mixture whose parts are all N(0, I): the standard normal in another form."""
    prior = MixturePrior(3, parts)
    torch.nn.init.zeros_(prior.means)
    torch.nn.init.normal_(prior.logits)
    return prior


def twins(prior):
    """A VAE with the prior N(0, I), and one with the same networks and another prior."""
    plain, other = small_vae(), small_vae(prior)
    other.encoder, other.decoder = plain.encoder, plain.decoder
    return plain, other


def test_a_mixture_is_the_weighted_sum_of_its_gaussians():
    prior = MixturePrior(3, 5)
    torch.nn.init.normal_(prior.logits)
    torch.nn.init.normal_(prior.log_scales, std=0.5)
    z = torch.randn(7, 3)
    parts = Normal(prior.means, prior.log_scales.exp()).log_prob(z[:, None]).sum(-1).exp()
    expected = (prior.logits.softmax(0) * parts).sum(1).log()
    torch.testing.assert_close(prior.distribution().log_prob(z), expected)


@pytest.mark.parametrize(
    "kind", [lambda: MixturePrior(2, 3), lambda: StandardNormal(2)], ids=["mixture", "normal"]
)
def test_draws_come_from_the_prior_and_from_the_generator_alone(kind):
    prior = kind()
    for p in prior.parameters():
        torch.nn.init.normal_(p)
    state = torch.get_rng_state()
    draw = [prior.sample(100_000, torch.Generator().manual_seed(seed)).detach() for seed in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
    p_z = prior.distribution()
    assert_unbiased(draw[0], p_z.mean.detach(), standard_errors=5)
    assert_unbiased(draw[0] ** 2, (p_z.variance + p_z.mean**2).detach(), standard_errors=5)


def test_a_vampprior_is_the_aggregate_posterior_of_its_inputs():
    model = small_vae()
    x = 0.1 + 0.8 * binary(6)
    prior = VampPrior(model.encoder, 3, SHAPE, 6, start=x)
    with torch.no_grad():
        prior.input_logits.copy_(torch.logit(x))
    q = Independent(model.encode(x), 1)
    z = torch.randn(5, 3)
    expected = torch.stack([q.log_prob(point) for point in z]).logsumexp(1) - torch.tensor(6.0).log()
    torch.testing.assert_close(prior.distribution().log_prob(z), expected)


def test_a_vampprior_uses_the_encoder_and_does_not_own_it():
    model = digit_vae(prior="vamp", components=7, hidden=8, latent_dim=2)
    assert {name for name, _ in model.prior_network.named_parameters()} == {"input_logits"}
    assert len(list(model.parameters())) == len({id(p) for p in model.parameters()})
    assert model.prior_network.inputs.shape == (7, 1, 28, 28)
    x = (torch.rand(4, 1, 28, 28) < 0.2).float()
    model.update((x, None), model.optimizers(), 1)
    assert all(p.grad is not None for p in model.parameters())


def test_inputs_of_another_shape_than_the_data_are_refused():
    with pytest.raises(ValueError, match=r"start must have the shape \(3, 1, 4, 4\), got \(2, 1, 4, 4\)"):
        VampPrior(GaussianEncoder(SHAPE, [4], 3), 3, SHAPE, 3, start=binary(2))
    with pytest.raises(ValueError, match="prior has 2 dimensions and the decoder takes 3"):
        small_vae(StandardNormal(2))
    with pytest.raises(ValueError, match="labels"):
        digit_vae(prior="vamp", num_classes=10)


def test_the_standard_normal_written_as_a_mixture_gives_the_same_weights_and_joint():
    plain, other = twins(standard_in_parts())
    x, z = binary(5), torch.randn(4, 5, 3)
    torch.testing.assert_close(other.log_joint(z, x), plain.log_joint(z, x))
    weights = [m.log_weights(x, k=3, generator=torch.Generator().manual_seed(0)) for m in (plain, other)]
    torch.testing.assert_close(*weights)


def test_without_a_closed_form_the_kl_is_estimated_without_bias():
    plain, other = twins(standard_in_parts())
    x = binary(1)
    estimates = other.elbo_terms(x.expand(50_000, *SHAPE)).kl
    assert estimates.shape == (50_000, 1)
    assert_unbiased(estimates.sum(1).detach(), plain.elbo_terms(x).kl.sum().detach(), standard_errors=5)


def test_the_rate_splits_for_any_prior():
    plain, other = twins(standard_in_parts())
    x = binary(40)
    a, b = split_rate(plain, x, draws=200), split_rate(other, x, draws=200)
    assert b.mutual_information.mean == pytest.approx(a.mutual_information.mean)
    assert b.prior_kl.mean == pytest.approx(a.prior_kl.mean, abs=1e-5)
    assert b.rate.mean == pytest.approx(b.mutual_information.mean + b.prior_kl.mean)
    assert b.rate.mean == pytest.approx(a.rate.mean, abs=0.02)


def test_refining_and_annealing_take_any_prior():
    plain, other = twins(standard_in_parts())
    x = binary(3)
    a, b = (refine(model, x, steps=400, draws=64) for model in (plain, other))
    torch.testing.assert_close(a.mean, b.mean, atol=0.05, rtol=0)
    bounds = [annealed_log_likelihood(m, x, temperatures=20, chains=4).bound for m in (plain, other)]
    torch.testing.assert_close(*bounds, atol=0.5, rtol=0)  # the chains start from other draws


def test_a_learned_prior_closes_in_on_the_aggregate_posterior():
    model = small_vae(MixturePrior(3, 10))
    x = binary(64)
    before = split_rate(model, x).prior_kl.mean
    step = torch.optim.Adam(model.prior_network.parameters(), lr=0.05)
    for _ in range(200):
        loss = model.elbo_terms(x).kl.mean()
        step.zero_grad()
        loss.backward()
        step.step()
    assert split_rate(model, x).prior_kl.mean < 0.5 * before
