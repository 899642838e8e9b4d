import copy
import itertools
import math

import pytest
import torch
from same_state import assert_same_state, checkpointed
from torch import nn

from gm_lib.data import Batches, binarize
from gm_lib.evaluation import log_likelihood, negative_elbo
from gm_lib.training import fit
from gm_lib.vae import (
    LIKELIHOODS,
    VQVAE,
    Bernoulli,
    CodePrior,
    FiniteScalarQuantizer,
    VectorQuantizer,
    digit_vqvae,
    perplexity,
    used,
)

SHAPE, PLACES = (1, 2, 3), (2, 2)


class Encoder(nn.Linear):
    """From (n, 1, 2, 3) to h (n, 2, 2, dim)."""

    places = PLACES

    def __init__(self, dim=2):
        super().__init__(6, 4 * dim)

    def forward(self, x):
        return super().forward(x.flatten(1)).unflatten(1, (2, 2, -1))


class Decoder(nn.Linear):
    """From codes (*lead, 2, 2, dim) to logits (*lead, 1, 2, 3)."""

    def __init__(self, dim=2, out=6):
        super().__init__(4 * dim, out)

    def forward(self, codes):
        return super().forward(codes.flatten(-3)).unflatten(-1, (1, 2, -1))


def tiny(quantizer=None, **settings):
    """A model of 2×3 binary pixels with 2×2 codes, three of them: all of its sums can be written out."""
    torch.manual_seed(0)
    return VQVAE(Encoder(), quantizer or VectorQuantizer(3, 2), Decoder(), Bernoulli(SHAPE), **settings)


def used_up(model):
    """The model after some updates, in evaluation mode."""
    optimizers = model.train().optimizers()
    for step in range(1, 31):
        model.update(
            (every_image()[torch.randint(64, (40,))].to(next(model.parameters()).dtype), None),
            optimizers,
            step,
        )
    return model.eval()


def every_image():
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).view(64, *SHAPE)


def every_array(num_codes=3, places=PLACES):
    total = math.prod(places)
    return torch.tensor(list(itertools.product(range(num_codes), repeat=total))).view(-1, *places)


def log_joint(model):
    """log p(codes) + log p(x | codes) of all 81 arrays of codes and all 64 images: (81, 64)."""
    arrays = every_array()
    params = model.decode(arrays).unsqueeze(1).expand(81, 64, *SHAPE)
    log_prior = -4 * math.log(3) if model.prior is None else model.prior.log_prob(arrays).unsqueeze(1)
    return log_prior + model.likelihood.log_prob(every_image(), params)


def uneven(prior):
    """Give a prior weights large enough that its codes depend on each other, none being certain."""
    torch.manual_seed(5)
    with torch.no_grad():
        for p in prior.parameters():
            p.copy_(0.3 * torch.randn_like(p))
    return prior


# The model


def test_the_loss_is_the_likelihood_at_the_codes_and_the_weighted_commitment():
    model, x = used_up(tiny(commitment=0.7, lr=0.0)), every_image()
    h = model.encoder(x)
    codes = model.quantizer.codebook[torch.cdist(h.reshape(-1, 2), model.quantizer.codebook).argmin(1)]
    p_x = torch.distributions.Bernoulli(logits=model.decoder(codes.view(64, 2, 2, 2)))
    reconstruction = -p_x.log_prob(x).sum((1, 2, 3)).mean()
    commitment = (h.reshape(-1, 2) - codes).square().sum() / 64
    terms = model.update((x, None), model.optimizers(), 1)
    assert list(terms) == ["loss", "reconstruction", "commitment", "perplexity"]
    torch.testing.assert_close(terms["reconstruction"], reconstruction.detach())
    torch.testing.assert_close(terms["commitment"], commitment.detach())
    torch.testing.assert_close(terms["loss"], (reconstruction + 0.7 * commitment).detach())
    torch.testing.assert_close(terms["perplexity"], perplexity(model.indices(x), 3))
    assert all(term.ndim == 0 and not term.requires_grad for term in terms.values())


@pytest.mark.parametrize("quantizer", ["vq", "fsq"])
def test_the_loss_is_the_mean_over_a_batch_however_it_is_cut(quantizer):
    model, x = digit_vqvae(quantizer=quantizer, width=4).eval(), binarize(torch.rand(12, 1, 28, 28))
    whole, quantized = model(x)
    for cut in (1, 5):
        parts = [model(part) for part in x.split(cut)]
        torch.testing.assert_close(torch.cat([part[0] for part in parts]), whole)
        torch.testing.assert_close(torch.cat([part[1].commitment for part in parts]), quantized.commitment)


@pytest.mark.parametrize("quantizer", [None, FiniteScalarQuantizer([3, 4])])
def test_an_update_moves_every_parameter_by_its_own_gradient_alone(quantizer):
    model, x = tiny(quantizer), every_image()
    still = {"adam": torch.optim.SGD(model.parameters(), lr=0.0)}
    model.eval()
    gradients = []
    for step in (1, 2):
        model.update((x, None), still, step)
        gradients.append([p.grad.clone() for p in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)
        assert bool((first != 0).any())
    before = [p.detach().clone() for p in model.parameters()]
    model.update((x, None), model.optimizers(), 3)
    assert all(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_only_an_update_moves_the_codebook():
    model, x = tiny().train(), every_image()
    model.update((x, None), model.optimizers(), 1)
    before = model.quantizer.codebook.clone()
    model.check((x, None))
    model.indices(x), model.reconstruct(x), model.log_weights(x), model.sample(3), model.elbo(x)
    assert torch.equal(model.quantizer.codebook, before)
    assert model.training
    model.update((x, None), model.optimizers(), 2)
    assert not torch.equal(model.quantizer.codebook, before)


def test_a_model_in_training_and_one_at_rest_decode_the_same_codes():
    model, x = used_up(tiny()), every_image()
    params = model.decode(model.indices(x))
    reconstruction, _ = model(x)
    torch.testing.assert_close(-model.likelihood.log_prob(x, params), reconstruction)
    torch.testing.assert_close(model.reconstruct(x), params.sigmoid())


def test_arrays_of_codes_may_have_any_leading_dimensions():
    model = digit_vqvae(width=4)
    indices = torch.randint(64, (2, 3, 7, 7))
    params = model.decode(indices)
    assert params.shape == (2, 3, 1, 28, 28)
    torch.testing.assert_close(params[1, 2], model.decode(indices[1, 2]))
    assert model.decode(indices[1, 2]).shape == (1, 28, 28)


# The bound


@pytest.mark.parametrize("learned", [False, True])
def test_the_bound_is_below_log_p_of_x_by_the_codes_left_out(learned):
    model, x = used_up(tiny()), every_image()
    if learned:
        model.prior = uneven(CodePrior(3, PLACES, width=4))
    joint = log_joint(model)
    log_p = joint.logsumexp(0)
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros(()), rtol=0, atol=1e-5)  # p(x) of all x
    log_w = model.log_weights(x, k=3)
    assert log_w.shape == (3, 64)
    assert bool((log_w < log_p).all())
    own = (every_array().unsqueeze(1) == model.indices(x)).all(3).all(2).int().argmax(0)
    torch.testing.assert_close(log_w[1], joint[own, torch.arange(64)])
    torch.testing.assert_close(model.elbo(x), log_w[0])


def test_gm_lib_evaluates_it_as_any_model():
    model, x = used_up(tiny()), every_image()
    expected = model.log_weights(x)[0].detach().double()
    for bound in (log_likelihood(model, x, k=7).bound, -negative_elbo(model, x).bound):
        torch.testing.assert_close(bound, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_noisy_samples_have_the_probabilities_of_the_model(learned):
    model, n = used_up(tiny()), 40_000
    if learned:
        model.prior = uneven(CodePrior(3, PLACES, width=4))
    p = log_joint(model).logsumexp(0).exp()
    x = model.sample(n, generator=torch.Generator().manual_seed(2), noisy=True)
    number = (x.flatten(1) @ 2 ** torch.arange(5.0, -1, -1)).long()
    frequency = torch.bincount(number, minlength=64) / n
    error = (p * (1 - p) / n).sqrt()
    assert bool(((frequency - p).abs() < 5 * error).all())


def test_sampling_repeats_itself_and_shows_means_unless_asked_for_pixels():
    model = used_up(tiny())
    model.prior = CodePrior(3, PLACES, width=4)
    first, second = (model.sample(9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (9, *SHAPE)
    assert bool(((first > 0) & (first < 1)).all())
    assert not first.requires_grad
    assert set(model.sample(50, noisy=True).unique().tolist()) == {0.0, 1.0}


def test_the_prior_is_not_trained_with_the_model_and_is_saved_with_it():
    model = tiny()
    model.prior = CodePrior(3, PLACES, width=4)
    before = {name: value.clone() for name, value in model.prior.state_dict().items()}
    used_up(model)
    trained = {id(p) for group in model.optimizers()["adam"].param_groups for p in group["params"]}
    assert trained == {id(p) for name, p in model.named_parameters() if not name.startswith("prior.")}
    assert all(torch.equal(value, before[name]) for name, value in model.prior.state_dict().items())
    assert {f"prior.{name}" for name in before} < set(model.state_dict())


# Runs


@pytest.mark.parametrize("quantizer", ["vq", "fsq"])
def test_a_run_in_two_parts_ends_where_one_without_a_break_does(tmp_path, quantizer):
    options = {"device": "cpu", "progress": False, "average": 0.9, "log_every": 5}
    x, model = torch.rand(40, 1, 28, 28), digit_vqvae(quantizer=quantizer, width=4, num_codes=16)
    again = copy.deepcopy(model)

    def batches():
        return Batches(x, batch_size=8, seed=3, device="cpu", dynamic_binarization=True)

    fit(model, batches(), steps=13, out=tmp_path / "straight", **options)
    for steps in (6, 13):
        fit(copy.deepcopy(again), batches(), steps=steps, out=tmp_path / "parts", **options)
    assert_same_state(checkpointed(tmp_path / "parts"), checkpointed(tmp_path / "straight"))
    assert ("quantizer.codebook" in model.state_dict()) == (quantizer == "vq")


def test_a_prior_learns_the_distribution_of_the_arrays_it_is_shown():
    # Four arrays with chances 1/2, 1/4, 1/8, 1/8: no distribution has less than their entropy in the mean.
    arrays = torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1], [2, 0, 0, 1], [2, 0, 0, 2]]).view(4, 2, 2)
    shown = arrays.repeat_interleave(torch.tensor([4, 2, 1, 1]), dim=0).repeat(16, 1, 1)
    prior = CodePrior(3, PLACES, width=16)
    fit(prior, Batches(shown, batch_size=128, device="cpu"), steps=300, device="cpu", progress=False)
    entropy = 0.5 * math.log(2) + 0.25 * math.log(4) + 0.25 * math.log(8)
    assert entropy - 1e-4 < -prior.log_prob(shown).mean().item() < entropy + 0.02


def test_a_prior_in_two_runs_ends_where_one_without_a_break_does(tmp_path):
    options = {"device": "cpu", "progress": False, "average": 0.9, "log_every": 5}
    indices, prior = torch.randint(3, (40, *PLACES)), CodePrior(3, PLACES, width=4)
    again = copy.deepcopy(prior)
    fit(prior, Batches(indices, batch_size=8, device="cpu"), steps=9, out=tmp_path / "straight", **options)
    for steps in (4, 9):
        part, data = copy.deepcopy(again), Batches(indices, batch_size=8, device="cpu")
        fit(part, data, steps=steps, out=tmp_path / "parts", **options)
    assert_same_state(checkpointed(tmp_path / "parts"), checkpointed(tmp_path / "straight"))


def test_both_train_under_bfloat16_autocast_and_their_terms_are_float32():
    x = torch.rand(64, 1, 28, 28)
    model = digit_vqvae(width=4, num_codes=16)
    data = Batches(x, batch_size=16, device="cpu", dynamic_binarization=True)
    history = fit(model, data, steps=30, device="cpu", progress=False, precision="bfloat16", log_every=10)
    assert history.rows[-1]["reconstruction"] < history.rows[0]["reconstruction"]
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    prior = CodePrior(16, (7, 7), width=8)
    indices = model.indices(binarize(x))
    data = Batches(indices, batch_size=16, device="cpu")
    history = fit(prior, data, steps=30, device="cpu", progress=False, precision="bfloat16", log_every=10)
    assert history.rows[-1]["loss"] < history.rows[0]["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        assert model.encode(binarize(x)).dtype == torch.float32
        assert prior.log_prob(indices).dtype == torch.float32
        assert model.decode(indices).dtype == torch.float32
        seen = []
        model.likelihood.log_prob = lambda x, params: seen.append(params.dtype) or params.sum()
        model(binarize(x))
        assert seen == [torch.float32]
        assert prior.sample(3).shape == (3, 7, 7)


def test_both_compute_in_float64():
    model = used_up(tiny().double())
    model.prior = CodePrior(3, PLACES, width=4).double()
    x = every_image().double()
    assert model.log_weights(x).dtype == torch.float64
    assert model.sample(2, noisy=True).dtype == torch.float64


# The prior


@pytest.mark.parametrize("places", [(2, 2), (4,), (1, 3), (2, 1, 2)])
def test_the_probabilities_of_all_arrays_sum_to_one(places):
    prior = uneven(CodePrior(3, places, width=4))
    log_p = prior.log_prob(every_array(3, places))
    assert log_p.std().item() > 0.5
    assert log_p.exp().max().item() < 0.95
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros(()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("places", [(3, 4), (2, 2, 3), (5,)])
def test_a_code_is_predicted_from_those_before_it_in_raster_order_and_from_no_other(places):
    prior, total = uneven(CodePrior(5, places, width=6)), math.prod(places)
    indices = torch.randint(5, (1, *places))
    logits = prior(indices).detach().view(total, 5)
    reached = torch.zeros(total, total, dtype=torch.bool)
    for i in range(total):
        changed = indices.clone()
        changed.view(-1)[i] = (changed.view(-1)[i] + 1) % 5
        other = prior(changed).detach().view(total, 5)
        reached[i] = ((other - logits).abs() > 1e-7).any(1)
    assert not bool(reached.tril().any())  # neither itself nor any before it
    assert bool(reached[torch.arange(total - 1), torch.arange(1, total)].all())  # the next one at least
    if len(places) > 1:
        row = places[-1]
        below = torch.arange(total - row)
        assert bool(reached[below, below + row].all())


def test_drawn_arrays_have_the_probabilities_that_log_prob_says():
    prior, arrays, n = uneven(CodePrior(3, PLACES, width=4)), every_array(), 40_000
    p = prior.log_prob(arrays).detach().exp()
    drawn = prior.sample(n, generator=torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.int64
    frequency = torch.bincount(drawn.flatten(1) @ torch.tensor([27, 9, 3, 1]), minlength=81) / n
    error = (p * (1 - p) / n).sqrt().clamp_min(1 / n)
    assert bool(((frequency - p).abs() < 5 * error).all())


# Digits


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("quantizer", ["vq", "fsq"])
def test_the_config_rebuilds_the_model(quantizer, likelihood):
    settings = {"num_codes": 8, "dim": 3, "levels": (3, 2), "width": 4, "lr": 1e-4, "commitment": 0.5}
    model = digit_vqvae(quantizer=quantizer, likelihood=likelihood, **settings)
    again = digit_vqvae(**model.config)
    again.load_state_dict(model.state_dict())
    x = binarize(torch.rand(2, 1, 28, 28))
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    assert (again.lr, again.commitment) == (1e-4, 0.5)
    assert model.places == (7, 7)
    assert model.indices(x).shape == (2, 7, 7)
    assert model.quantizer.num_codes == (8 if quantizer == "vq" else 6)
    model.check((x, None))


def test_revival_keeps_the_codebook_in_use_on_digits(mnist):
    in_use = {}
    for revive_below in (0.1, 0.0):
        torch.manual_seed(0)
        model = digit_vqvae(revive_below=revive_below, width=8)
        data = Batches(mnist.train.x[:5000], device="cpu", dynamic_binarization=True)
        fit(model, data, steps=60, device="cpu", progress=False)
        in_use[revive_below] = used(model.indices(binarize(mnist.valid.x[:500])), 64).item()
    assert in_use[0.1] > 0.25
    assert in_use[0.0] < 0.1


# What is refused


def test_an_encoder_that_does_not_know_its_places_is_refused():
    with pytest.raises(TypeError, match=r"encoder, Linear, has no attribute 'places'.*such as \(7, 7\)"):
        VQVAE(nn.Linear(6, 8), VectorQuantizer(3, 2), Decoder(), Bernoulli(SHAPE))


@pytest.mark.parametrize("commitment", [-0.1, math.nan, math.inf])
def test_an_impossible_commitment_is_refused(commitment):
    with pytest.raises(ValueError, match="commitment is a weight"):
        tiny(commitment=commitment)


def test_an_unknown_quantizer_is_refused():
    with pytest.raises(ValueError, match="unknown quantizer 'vqq'; did you mean 'vq'"):
        digit_vqvae(quantizer="vqq")


def test_parts_that_do_not_fit_are_refused_before_training():
    batch = every_image(), None
    tiny().check(batch)
    narrow = VQVAE(Encoder(3), VectorQuantizer(3, 2), Decoder(), Bernoulli(SHAPE))
    with pytest.raises(ValueError, match=r"the encoder made \(1, 2, 2, 3\).*not \(1, 2, 2, 2\)"):
        narrow.check(batch)
    wide = VQVAE(Encoder(), VectorQuantizer(3, 2), Decoder(out=8), Bernoulli(SHAPE))
    with pytest.raises(ValueError, match=r"the decoder made \(1, 1, 2, 4\).*not \(1, 1, 2, 3\)"):
        wide.check(batch)
    with pytest.raises(ValueError, match="exactly 0 or 1"):
        tiny().check((0.5 * every_image(), None))


def test_a_prior_over_other_codes_is_refused_with_the_one_that_fits():
    model = tiny().eval()
    model.prior = CodePrior(4, PLACES, width=4)
    for ask in (lambda: model.elbo(every_image()), lambda: model.sample(2)):
        with pytest.raises(ValueError, match=r"CodePrior\(4, \(2, 2\)\).*take CodePrior\(3, \(2, 2\)\)"):
            ask()


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        (torch.full((2, 2, 2), 3), ValueError, r"must lie in 0 … 2, got 3 … 3"),
        (torch.full((2, 2, 2), -1), ValueError, r"must lie in 0 … 2, got -1 … -1"),
        (torch.zeros(2, 2, 2), ValueError, r"must be torch\.int64"),
        (torch.zeros(2, 4, dtype=torch.int64), ValueError, r"indices \(n, 2, 2\), got \(2, 4\)"),
        ([[0, 1]], TypeError, r"must be a torch\.Tensor, not list"),
    ],
)
def test_a_prior_refuses_what_are_no_indices_of_its_codes(indices, error, message):
    prior = CodePrior(3, PLACES, width=4)
    prior.check((torch.zeros(2, 2, 2, dtype=torch.int64), None))
    with pytest.raises(error, match=message):
        prior.check((indices, None))
