"""A VAE of sequences against integrals over its codes, which two steps of one dimension allow."""

import itertools
import math

import pytest
import torch

from gm_lib.evaluation import log_likelihood
from gm_lib.vae import SequenceVAE, music_vae, sequence
from gm_lib.vae.likelihoods import Bernoulli

ALL = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).reshape(16, 2, 2)
TWO = torch.full((16,), 2)


@pytest.fixture(params=["independent", "autoregressive"])
def model(request: pytest.FixtureRequest) -> SequenceVAE:
    """Two values a step, a code of one dimension, and weights so large that all of them matter."""
    torch.manual_seed(0)
    made = music_vae(values=2, output=request.param, latent_dim=1, hidden=5, units=2, dropout=0.0)
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape) * 0.7)
        # A posterior that is wider than the prior: where it is narrower, weights may have no variance.
        for out, log_var in ((made.prior_out, 0.0), (made.posterior_out, 0.8)):
            out.weight.mul_(0.4)
            out.bias.copy_(torch.tensor([0.3, log_var]))
    return made.eval()


@torch.no_grad()
def exact_log_p(model: SequenceVAE, x: torch.Tensor) -> torch.Tensor:
    """log p(x) of sequences of two steps, (n,), summed over a grid of both codes."""
    grid, width = torch.linspace(-12, 12, 601, dtype=x.dtype), 24 / 600
    h = model.remember(x)
    result = []
    for one, past in zip(x, h, strict=True):
        z = torch.stack(torch.broadcast_tensors(grid[:, None], grid), -1)[..., None]  # z₁, z₂: (g, g, 2, 1)
        p = model.predict(z, past.expand(*z.shape[:-1], -1))
        log_p_z = torch.distributions.Normal(p.mean, (0.5 * p.log_var).exp()).log_prob(z)[..., 0]
        log_p_x = model.likelihood.log_prob(one, model.decode(z, past.expand(*z.shape[:-1], -1)))
        result.append((log_p_z + log_p_x).sum(-1).flatten().logsumexp(0) + 2 * math.log(width))
    return torch.stack(result)


def test_the_probabilities_of_all_sequences_sum_to_one(model):
    assert exact_log_p(model, ALL).logsumexp(0).item() == pytest.approx(0, abs=1e-3)


def test_the_weights_are_unbiased_for_the_probability(model):
    """E[p(x, z) / q(z | x)] = p(x), for every sequence within 5 standard errors."""
    k = 10_000
    with torch.no_grad():
        w = model.log_weights(ALL, TWO, k=k, generator=torch.Generator().manual_seed(0)).exp()
    error = w.std(0) / math.sqrt(k)
    assert bool(((w.mean(0) - exact_log_p(model, ALL).exp()).abs() < 5 * error).all())


def test_bounds_rise_with_k_and_stay_below_the_exact_value(model):
    exact = exact_log_p(model, ALL).mean().item()
    with torch.no_grad():
        elbo = torch.stack([model.elbo(ALL, TWO) for _ in range(400)]).mean(0)
    of_ten = torch.stack([log_likelihood(model, ALL, TWO, k=10, seed=seed).bound for seed in range(30)]).mean(
        0
    )
    assert elbo.mean().item() < of_ten.mean().item() < exact


def test_the_closed_kl_agrees_with_the_weights_on_average(model):
    """Both are estimates of one ELBO; their difference has mean 0."""
    with torch.no_grad():
        closed = torch.stack([model.elbo(ALL, TWO) for _ in range(1000)])
        open_ = model.log_weights(ALL, TWO, k=1000, generator=torch.Generator().manual_seed(1))
    error = ((closed.var(0) + open_.var(0)) / 1000).sqrt()
    assert bool(((closed.mean(0) - open_.mean(0)).abs() < 5 * error).all())


def test_each_sequence_is_drawn_as_often_as_its_probability_says(model):
    n = 10_000
    x = model.sample(n, torch.full((n,), 2), generator=torch.Generator().manual_seed(0))
    places = (x.flatten(1) * 2 ** torch.arange(3, -1, -1)).sum(1).long()
    shares, p = torch.bincount(places, minlength=16) / n, exact_log_p(model, ALL).exp()
    assert bool(((shares - p).abs() < 5 * (p * (1 - p) / n).sqrt()).all())


def test_what_stands_behind_a_sequence_counts_nowhere(model, monkeypatch):
    monkeypatch.setattr(sequence, "randn", lambda shape, **_: torch.zeros(shape))
    x = torch.randint(0, 2, (3, 4, 2)).float()
    lengths = torch.tensor([4, 2, 1])
    inside = torch.arange(4) < lengths[:, None]
    x = x * inside[..., None]
    with torch.no_grad():
        together = model.elbo(x, lengths)
        alone = torch.cat([model.elbo(x[[i], :n]) for i, n in enumerate(lengths.tolist())])
        junk = model.elbo(x.where(inside[..., None], torch.tensor(1.0)), lengths)
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, junk)


def test_weights_do_not_depend_on_what_stands_behind_a_sequence(model):
    x, lengths = torch.randint(0, 2, (3, 4, 2)).float(), torch.tensor([4, 2, 1])
    inside = (torch.arange(4) < lengths[:, None])[..., None]
    with torch.no_grad():
        of_zeros, of_ones = (
            model.log_weights(
                x.where(inside, torch.tensor(behind)),
                lengths,
                k=2,
                generator=torch.Generator().manual_seed(0),
            )
            for behind in (0.0, 1.0)
        )
    torch.testing.assert_close(of_zeros, of_ones)


def test_what_is_remembered_is_of_the_past_alone_and_the_posterior_looks_ahead(model):
    x = torch.rand(1, 3, 2, requires_grad=True)
    lengths = torch.tensor([3])
    h = model.remember(x)
    (past,) = torch.autograd.grad(h[0, 1].sum(), x, retain_graph=True)
    assert bool(past[0, 0].any())
    assert not bool(past[0, 1:].any())
    with torch.no_grad():
        model.posterior_back.weight.zero_()  # or the code before would tell of all that it was told of
    _, q = model.infer(x, lengths, h.detach(), torch.zeros(1, 3, 1))
    (ahead,) = torch.autograd.grad(q.mean[0, 1].sum(), x)
    assert not bool(ahead[0, 0].any())
    assert bool(ahead[0, 1].any())
    assert bool(ahead[0, 2].any())


def test_the_beginning_is_told_from_silence():
    model = music_vae(values=2, hidden=5).eval()
    h = model.remember(torch.zeros(1, 2, 2))
    silence = model.past(torch.zeros(1, 1, 3))[0]
    assert not torch.allclose(h[0, 0], silence[0, 0])
    silent_first = model.remember(torch.zeros(1, 3, 2))
    torch.testing.assert_close(silent_first[:, :2], h)


def test_a_sample_has_its_length_and_zeros_behind():
    model = music_vae(values=3, hidden=5, output="independent").eval()
    with torch.no_grad():
        model.decoder[-1].bias.fill_(20.0)  # every key sounds
    x = model.sample(2, torch.tensor([1, 3]), generator=torch.Generator().manual_seed(0))
    assert x.sum(-1).tolist() == [[3, 0, 0], [3, 3, 3]]
    assert model.sample(1).shape == (1, sequence.STEPS, 3)


def test_training_lowers_the_loss_and_free_bits_and_k_go_through():
    from gm_lib.data import Batches
    from gm_lib.training import fit

    x = torch.zeros(20, 3, 4)
    x[:, :, 1] = 1
    for options in ({}, {"free_bits": 0.1}, {"k": 3}):
        model = music_vae(values=4, hidden=8, latent_dim=2, **options)
        batches = Batches(x, torch.full((20,), 3), batch_size=10, device="cpu")
        history = fit(model, batches, steps=60, log_every=20, device="cpu", progress=False)
        assert history["loss"][-1] < 0.5 * history["loss"][0]


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        (None, "lengths in place of labels"),
        (torch.tensor([2, 0]), "length 0"),
        (torch.tensor([2, 4]), "0 … 3"),
        (torch.tensor([2.0, 1.0]), "integers"),
        (torch.tensor([2]), r"\(n,\)"),
    ],
)
def test_lengths_that_cannot_be_are_refused(lengths, said):
    model = music_vae(values=2, hidden=4)
    with pytest.raises(ValueError, match=said):
        model.check((torch.zeros(2, 3, 2), lengths))


def test_data_that_cannot_be_are_refused():
    model, lengths = music_vae(values=2, hidden=4), torch.tensor([3])
    with pytest.raises(ValueError, match=r"\(n, steps, 2\)"):
        model.check((torch.zeros(1, 3), lengths))
    with pytest.raises(ValueError, match="exactly 0 or 1"):
        model.check((torch.full((1, 3, 2), 0.5), lengths))
    with pytest.raises(TypeError, match="Tensor"):
        model.check(([[0.0]], lengths))
    with pytest.raises(ValueError, match="output"):
        music_vae(output="both")


def test_its_config_builds_it_again():
    model = music_vae(values=4, hidden=6, units=3)
    music_vae(**model.config).load_state_dict(model.state_dict())
    assert isinstance(music_vae(output="independent").likelihood, Bernoulli)
