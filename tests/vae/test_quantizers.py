import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from gm_lib.networks import follow, tensors_of
from gm_lib.system import parallel
from gm_lib.vae import FiniteScalarQuantizer, VectorQuantizer, perplexity, used


def learned(quantizer, *batches):
    """The quantizer after it has seen the batches in training mode."""
    quantizer.train()
    for h in batches:
        quantizer(h)
    return quantizer.eval()


def settled(num_codes=7, dim=3):
    """A quantizer whose codes have been in use for a while, on data of its own dtype: float64."""
    torch.manual_seed(0)
    batches = [torch.randn(50, 4, dim).double() for _ in range(5)]
    return learned(VectorQuantizer(num_codes, dim).double(), *batches)


def state(quantizer):
    return {name: value.clone() for name, value in quantizer.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


# Codes of a codebook


def test_the_nearest_code_is_the_one_that_comparing_all_distances_finds():
    quantizer, h = settled(), 3 * torch.randn(40, 2, 5, 3).double()
    quantized = quantizer(h)
    nearest = torch.cdist(h.reshape(-1, 3), quantizer.codebook).argmin(1).view(40, 2, 5)
    assert quantized.indices.dtype == torch.int64
    assert torch.equal(quantized.indices, nearest)
    assert torch.equal(quantizer.indices(h), nearest)
    assert len(nearest.unique()) > 3


def test_codes_are_rows_of_the_codebook_bit_for_bit():
    quantizer, h = settled(), 100 * torch.randn(8, 6, 3).double()
    quantized = quantizer(h)
    assert torch.equal(quantized.codes, quantizer.codebook[quantized.indices])
    assert torch.equal(quantizer.lookup(quantized.indices), quantized.codes)


@pytest.mark.parametrize("places", [(), (4,), (2, 3)])
def test_vectors_may_stand_at_any_places(places):
    quantized = settled()(torch.randn(5, *places, 3).double())
    assert quantized.codes.shape == (5, *places, 3)
    assert quantized.indices.shape == (5, *places)
    assert quantized.commitment.shape == (5,)


def test_the_gradient_at_the_codes_goes_straight_through_to_h():
    quantizer, h = settled(), torch.randn(6, 4, 3).double().requires_grad_()
    codes = quantizer(h).codes
    (codes.sin() * torch.arange(3.0)).sum().backward()
    torch.testing.assert_close(h.grad, codes.detach().cos() * torch.arange(3.0).double())


def test_the_commitment_is_the_squared_distance_with_the_codes_held_fixed():
    quantizer, h = settled(), torch.randn(6, 2, 2, 3).double().requires_grad_()
    quantized = quantizer(h)
    distance = (h - quantized.codes.detach()).square().sum((1, 2, 3))
    torch.testing.assert_close(quantized.commitment, distance)
    assert torch.autograd.gradcheck(lambda h: quantizer(h).commitment, h)


def test_h_that_rounding_to_bfloat16_would_give_to_another_code_keeps_its_own_under_autocast():
    quantizer = VectorQuantizer(2, 1, revive_below=0).eval()
    quantizer.codebook.copy_(torch.tensor([[100.0], [100.2]]))
    h = torch.tensor([[100.02], [100.18]])
    with torch.autocast("cpu", torch.bfloat16):
        assert quantizer.indices(h).tolist() == [0, 1]


# Learning the codebook


@pytest.mark.parametrize("decay", [0.0, 0.7, 0.99])
def test_the_codebook_is_the_ratio_of_two_moving_averages(decay):
    torch.manual_seed(1)
    quantizer = VectorQuantizer(4, 2, decay=decay, revive_below=0).double()
    number, total = np.zeros(4), np.zeros((4, 2))
    codebook = quantizer.codebook.numpy().copy()
    for _ in range(6):
        h = torch.randn(30, 5, 2).double()
        flat = h.reshape(-1, 2).numpy()
        nearest = ((flat[:, None] - codebook) ** 2).sum(2).argmin(1)
        one_hot = np.eye(4)[nearest]
        number = decay * number + (1 - decay) * one_hot.sum(0)
        total = decay * total + (1 - decay) * one_hot.T @ flat
        codebook = np.where(number[:, None] > 0, total / np.maximum(number, 1e-300)[:, None], codebook)
        learned(quantizer, h)
        np.testing.assert_allclose(quantizer.codebook.numpy(), codebook, rtol=1e-10)
        np.testing.assert_allclose(quantizer.usage.numpy(), number / 150, rtol=1e-10)


def test_without_memory_a_call_is_one_step_of_lloyds_algorithm():
    torch.manual_seed(2)
    quantizer, h = VectorQuantizer(5, 2, decay=0.0, revive_below=0).double(), torch.randn(300, 2).double()
    quantizer.codebook.copy_(h[:5])
    lloyd = KMeans(5, init=h[:5].numpy(), n_init=1, max_iter=1, algorithm="lloyd")
    lloyd.fit(h.numpy())
    torch.testing.assert_close(learned(quantizer, h).codebook, torch.from_numpy(lloyd.cluster_centers_))


def test_the_fixed_points_are_those_of_k_means():
    torch.manual_seed(2)
    quantizer, h = VectorQuantizer(5, 2, decay=0.0, revive_below=0).double(), torch.randn(300, 2).double()
    quantizer.codebook.copy_(h[:5])
    learned(quantizer, *[h] * 100)
    best = KMeans(5, init=h[:5].numpy(), n_init=1, max_iter=100, tol=0).fit(h.numpy())
    torch.testing.assert_close(quantizer.codebook, torch.from_numpy(best.cluster_centers_))


def test_a_code_that_no_h_comes_to_stays_where_it_is_however_long():
    quantizer = VectorQuantizer(2, 1, decay=0.5, revive_below=0)
    quantizer.codebook.copy_(torch.tensor([[0.0], [9.0]]))
    learned(quantizer, torch.tensor([[0.1], [8.9]]))
    lonely = quantizer.codebook[1].clone()
    learned(
        quantizer, *[torch.tensor([[0.1], [0.3]])] * 2000
    )  # the average number is no normal number any more
    assert torch.equal(quantizer.codebook[1], lonely)


def test_in_evaluation_mode_nothing_moves():
    quantizer = settled()
    before = state(quantizer)
    quantizer(5 + torch.randn(100, 3).double())
    assert same(before, state(quantizer))
    quantizer.train().indices(5 + torch.randn(100, 3).double())
    assert same(before, state(quantizer))


def test_no_optimizer_moves_the_codebook():
    assert list(VectorQuantizer(3, 2).parameters()) == []


# Dead codes


def far_away(**options):
    """A quantizer with a code that is nearest to nothing, after a batch around 0."""
    torch.manual_seed(3)
    quantizer = VectorQuantizer(3, 2, decay=0.9, **options)
    quantizer.codebook.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0], [50.0, 50.0]]))
    h = torch.randn(200, 2)
    return learned(quantizer, h), h


def test_a_dead_code_is_put_on_an_h_of_the_batch_and_the_others_are_left_alone():
    (quantizer, h), (without, _) = far_away(revive_below=0.1), far_away(revive_below=0)
    assert bool((quantizer.codebook[2] == h).all(1).any())
    assert torch.equal(quantizer.codebook[:2], without.codebook[:2])
    assert quantizer.usage[2].item() == pytest.approx(0.1 * 0.1 / 3)  # the threshold: of 0.1, shared by three


def test_without_revival_a_dead_code_is_dead_for_ever():
    quantizer, h = far_away(revive_below=0)
    learned(quantizer, *[h] * 50)
    assert quantizer.codebook[2].tolist() == [50.0, 50.0]
    assert used(quantizer.indices(h), 3).item() == pytest.approx(2 / 3)


def test_a_code_is_dead_below_the_threshold_and_not_above_it():
    quantizer = VectorQuantizer(2, 1, decay=0.0, revive_below=0.1)
    for few, revived in ((4, True), (6, False)):  # of 100 h; the threshold is a tenth of 50
        quantizer.codebook.copy_(torch.tensor([[0.0], [10.0]]))
        learned(quantizer, torch.tensor([0.0] * (100 - few) + [11.0] * few).unsqueeze(1))
        assert (quantizer.usage[1].item() == pytest.approx(0.05)) == revived


def test_a_codebook_begins_on_the_first_batch_wherever_that_is():
    torch.manual_seed(4)
    h = 1000 + torch.randn(500, 3)
    quantizer = learned(VectorQuantizer(64, 3), h)
    # Of all codes but the one that was nearest to everything, each is an h of its own.
    on_h = torch.cdist(quantizer.codebook.double(), h.double()).min(1)
    assert int((on_h.values == 0).sum()) == 63
    assert len(on_h.indices[on_h.values == 0].unique()) == 63
    assert used(learned(quantizer, *[h] * 20).indices(h), 64).item() == 1


def test_more_dead_codes_than_h_are_revived_too():
    h = torch.tensor([[1.0], [2.0]])
    quantizer = learned(VectorQuantizer(9, 1), h)
    assert set(quantizer.codebook.flatten().tolist()) <= {1.0, 1.5, 2.0}


def test_two_processes_have_together_the_codebook_of_one(monkeypatch):
    # The exchange is played: each process in turn, its message recorded, then both get the mean.
    h = torch.randn(20, 3, 2).double()
    start = VectorQuantizer(12, 2).double()
    messages = []

    def at(rank, answer):
        monkeypatch.setattr(parallel, "size", lambda: 2)
        monkeypatch.setattr(parallel, "rank", lambda: rank)
        monkeypatch.setattr(parallel, "mean", answer)
        quantizer = VectorQuantizer(12, 2).double()
        quantizer.load_state_dict(start.state_dict())
        torch.manual_seed(7)
        return learned(quantizer, h.chunk(2)[rank])

    def note(message):
        messages.append(message.clone())
        return message

    for rank in (0, 1):
        at(rank, note)
    joint = (messages[0] + messages[1]) / 2
    seen = [at(rank, lambda message: joint) for rank in (0, 1)]
    monkeypatch.undo()
    one = VectorQuantizer(12, 2).double()
    one.load_state_dict(start.state_dict())
    torch.manual_seed(7)
    learned(one, h)
    for quantizer in seen:
        torch.testing.assert_close(quantizer.codebook, one.codebook)
        torch.testing.assert_close(quantizer.usage, one.usage)


def test_averaged_weights_follow_the_codebook():
    quantizer = settled()
    averages = [value.clone() for value in tensors_of(quantizer)]
    learned(quantizer, *[torch.randn(50, 3).double() for _ in range(3)])
    before = [value.clone() for value in averages]
    follow(averages, tensors_of(quantizer), 0.9, step=1000)
    for average, old, now in zip(averages, before, tensors_of(quantizer), strict=True):
        torch.testing.assert_close(average, 0.9 * old + 0.1 * now)
    assert {name for name, _ in quantizer.named_buffers()} == set(quantizer.state_dict())


def test_a_codebook_stored_in_float16_is_the_same_to_three_digits_and_goes_on_learning():
    quantizer, h = settled(), torch.randn(2000, 3).double()
    halved = VectorQuantizer(7, 3).double()
    halved.load_state_dict({name: value.half() for name, value in quantizer.state_dict().items()})
    torch.testing.assert_close(halved.codebook, quantizer.codebook, rtol=1e-3, atol=1e-3)
    learned(halved, h), learned(quantizer, h)
    torch.testing.assert_close(halved.codebook, quantizer.codebook, rtol=1e-2, atol=1e-2)


# Finite scalar quantization

LEVELS = ([8, 5], [2], [3], [4, 4, 4], [7, 2, 5], [8, 5, 5, 5])


@pytest.mark.parametrize("levels", LEVELS)
def test_numbers_and_codes_are_one_to_one(levels):
    quantizer = FiniteScalarQuantizer(levels)
    every = torch.arange(quantizer.num_codes)
    codes = quantizer.lookup(every)
    assert (quantizer.num_codes, quantizer.dim) == (math.prod(levels), len(levels))
    expected = [[(i - level // 2) / (level // 2) for i in range(level)] for level in levels]
    # the first dimension counts fastest
    grid = [values[::-1] for values in itertools.product(*expected[::-1])]
    torch.testing.assert_close(codes, torch.tensor(grid))
    assert len({tuple(code) for code in codes.tolist()}) == quantizer.num_codes


@pytest.mark.parametrize("levels", LEVELS)
def test_every_code_is_reached_and_its_number_leads_back_to_it(levels):
    quantizer = FiniteScalarQuantizer(levels)
    torch.manual_seed(0)
    h = torch.cat([4 * torch.randn(40_000, len(levels)), torch.randn(40_000, len(levels))])
    quantized = quantizer(h)
    assert used(quantized.indices, quantizer.num_codes).item() == 1
    assert torch.equal(quantizer.lookup(quantized.indices), quantized.codes)
    assert torch.equal(quantizer.indices(h), quantized.indices)
    assert bool((quantized.codes.abs() <= 1).all())
    assert torch.equal(quantized.commitment, torch.zeros(len(h)))


@pytest.mark.parametrize("level", [2, 3, 4, 5, 8])
def test_levels_lie_as_published(level):
    # Mentzer et al. 2024: tanh(h + shift) (L - 1) (1 - ε) / 2 - offset, rounded; in the authors' notebook the
    # shift is tan(offset / half), ε = 10⁻³.
    h = torch.linspace(-6, 6, 2001).double().unsqueeze(1)
    half, offset = (level - 1) * (1 - 1e-3) / 2, 0.5 if level % 2 == 0 else 0.0
    published = np.round(np.tanh(h.numpy() + np.tan(offset / half)) * half - offset) / (level // 2)
    quantizer = FiniteScalarQuantizer([level]).double()
    np.testing.assert_allclose(quantizer(h).codes.numpy(), published, atol=1e-12)
    found = quantizer(h).codes.unique()
    assert len(found) == level
    assert found[0].item() == -1
    assert found[-1].item() == pytest.approx(1 if level % 2 else 1 - 2 / level)
    torch.testing.assert_close(found.diff(), torch.full((level - 1,), 1 / (level // 2)).double())


def test_what_is_near_zero_stays_zero():
    quantizer = FiniteScalarQuantizer([2, 3, 4, 5, 8])
    assert torch.equal(quantizer(torch.zeros(1, 5)).codes, torch.zeros(1, 5))


def test_the_gradient_passes_the_rounding_but_not_the_bound():
    quantizer, levels = FiniteScalarQuantizer([8, 5]).double(), torch.tensor([8.0, 5.0]).double()
    h = torch.randn(50, 2).double().requires_grad_()
    codes = quantizer(h).codes
    codes.square().sum().backward()
    half = (levels - 1) * (1 - 1e-3) / 2
    offset = torch.tensor([0.5, 0.0]).double()
    slope = half * (1 - (h + (offset / half).tan()).tanh() ** 2) / torch.tensor([4.0, 2.0])
    torch.testing.assert_close(h.grad, (2 * codes * slope).detach())


# Usage


def test_perplexity_is_the_number_of_codes_where_all_are_used_alike_and_1_where_one_is():
    assert perplexity(torch.arange(12).repeat(5).view(6, 10), 12).item() == pytest.approx(12, rel=1e-5)
    assert perplexity(torch.full((3, 4), 7), 12).item() == pytest.approx(1, rel=1e-5)
    assert perplexity(torch.arange(3), 12).item() == pytest.approx(3, rel=1e-5)
    shares = torch.distributions.Categorical(torch.tensor([0.5, 0.25, 0.25]))
    found = perplexity(torch.tensor([0, 0, 1, 2]), 3)
    torch.testing.assert_close(found, shares.entropy().exp())


def test_used_is_the_share_of_codes_that_occur():
    assert used(torch.tensor([[0, 0], [3, 0]]), 8).item() == 2 / 8
    assert used(torch.arange(8), 8).item() == 1


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorQuantizer(0, 2), "num_codes must be a whole number, at least 1"),
        (lambda: VectorQuantizer(2, 2, decay=1.0), r"decay must be in \[0, 1\), not 1.0"),
        (lambda: VectorQuantizer(2, 2, revive_below=-0.1), r"revive_below must be in \[0, 1\)"),
        (lambda: FiniteScalarQuantizer([]), "levels must be whole numbers"),
        (lambda: FiniteScalarQuantizer([8, 1]), "each of the levels must be a whole number, at least 2"),
        (lambda: FiniteScalarQuantizer([2] * 63), "int64"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("quantizer", [VectorQuantizer(4, 3), FiniteScalarQuantizer([2, 2, 3])])
def test_maps_with_their_channels_first_are_refused(quantizer):
    for ask in (quantizer, quantizer.indices):
        with pytest.raises(ValueError, match=r"vectors of 3 numbers.*\(5, 3, 7, 7\).*movedim\(1, -1\)"):
            ask(torch.zeros(5, 3, 7, 7))


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        (torch.tensor([0, 12]), ValueError, r"0 … 11, got 0 … 12"),
        (torch.tensor([-1, 3]), ValueError, r"0 … 11, got -1 … 3"),
        (torch.tensor([0.0]), ValueError, "must be torch.int64"),
        (torch.zeros(0, dtype=torch.int64), ValueError, "at least one"),
    ],
)
def test_numbers_of_no_code_are_refused(indices, error, message):
    for ask in (
        VectorQuantizer(12, 2).lookup,
        FiniteScalarQuantizer([4, 3]).lookup,
        lambda i: perplexity(i, 12),
        lambda i: used(i, 12),
    ):
        with pytest.raises(error, match=message):
            ask(indices)
