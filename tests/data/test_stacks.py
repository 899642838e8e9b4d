"""Claims about stacked digits: real digits in each channel, independent, the same when resumed."""

import io
import itertools
import math

import pytest
import torch
from torch import Tensor

from gm_lib.data import Batches, Stacks, stacked
from gm_lib.system import parallel


def digits(n: int) -> tuple[Tensor, Tensor]:
    """n images (n, 1, 2, 2) that can be told apart, and a digit y (n,) for each, some oftener than others."""
    x = torch.linspace(0, 1, n).reshape(n, 1, 1, 1).expand(n, 1, 2, 2).contiguous()
    y = torch.arange(n) % 55
    return x, ((1 + 8 * y).float().sqrt() / 2 - 0.5).long()  # 0 once, 1 twice, …, 9 ten times in 55


def places(stacks: Tensor, n: int) -> Tensor:
    """Which of the n images is in each channel: (batch, 3)."""
    return (stacks[:, :, 0, 0] * (n - 1)).round().long()


def take(stacks: Stacks, count: int) -> Tensor:
    return torch.cat([batch.x for batch in itertools.islice(stacks, count)])


def assert_modes_are_products(modes: Tensor, p: Tensor) -> None:
    """The counts of 1,000 modes fit the products of the digits' proportions, by a chi-square."""
    expected = len(modes) * torch.einsum("i,j,k->ijk", p, p, p).flatten()
    chi2 = ((modes.bincount(minlength=1_000) - expected) ** 2 / expected).sum().item()
    # The variance of Pearson's statistic, from above: rare modes add to that of a chi-square of 999 degrees.
    sd = math.sqrt(2 * 999 + (1 / expected).sum().item())
    assert abs(chi2 - 999) < 5 * sd, (chi2, sd)


def modes_of(stacks: Tensor, y: Tensor) -> Tensor:
    return y[places(stacks, len(y))] @ torch.tensor([100, 10, 1])


def test_the_proportions_of_modes_are_products_of_the_digits_proportions() -> None:
    x, y = digits(1_100)
    p = y.bincount() / len(y)
    assert_modes_are_products(modes_of(take(Stacks(x, batch_size=100, device="cpu"), 600), y), p)
    assert_modes_are_products(modes_of(stacked(x, 60_000), y), p)


def test_every_channel_is_a_whole_image_of_those_given() -> None:
    x, _ = digits(30)
    x = x * torch.rand(30, 1, 2, 2, generator=torch.Generator().manual_seed(0))  # four pixels that differ
    known = {tuple(image.flatten().tolist()) for image in x}
    for stacks in (take(Stacks(x, batch_size=4, device="cpu"), 5), stacked(x, 20)):
        assert stacks.shape == (20, 3, 2, 2)
        assert {tuple(channel.flatten().tolist()) for channel in stacks.flatten(0, 1)} <= known


def test_an_epoch_shows_every_image_once_and_the_next_one_in_other_company() -> None:
    x, _ = digits(24)
    stacks = Stacks(x, batch_size=4, device="cpu")
    assert stacks.steps_per_epoch == 2
    first, second = places(take(stacks, 2), 24), places(take(stacks, 2), 24)
    for epoch in (first, second):
        assert sorted(epoch.flatten().tolist()) == list(range(24))
    assert not {frozenset(stack) for stack in first.tolist()} & {frozenset(s) for s in second.tolist()}


def test_there_are_no_labels() -> None:
    assert next(Stacks(digits(6)[0], batch_size=2, device="cpu")).y is None


def test_the_seed_decides_and_the_global_random_state_plays_no_part() -> None:
    x, _ = digits(30)
    before = torch.get_rng_state()
    assert torch.equal(
        take(Stacks(x, batch_size=4, seed=1, device="cpu"), 5),
        take(Stacks(x, batch_size=4, seed=1, device="cpu"), 5),
    )
    assert not torch.equal(
        take(Stacks(x, batch_size=4, seed=1, device="cpu"), 5),
        take(Stacks(x, batch_size=4, seed=2, device="cpu"), 5),
    )
    assert torch.equal(stacked(x, 9, seed=1), stacked(x, 9, seed=1))
    assert not torch.equal(stacked(x, 9, seed=1), stacked(x, 9, seed=2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_a_stream_that_was_stopped_goes_on_as_if_it_had_not(stop: int) -> None:
    """Stops at the beginning, amid and at the end of an epoch of two batches, and in the next one."""
    x, _ = digits(24)
    stacks = Stacks(x, batch_size=4, seed=3, device="cpu")
    next(itertools.islice(stacks, stop, stop), None)
    file = io.BytesIO()
    torch.save(stacks.state_dict(), file)
    expected = take(stacks, 5)

    file.seek(0)
    resumed = Stacks(x, batch_size=4, seed=77, device="cpu")
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(take(resumed, 5), expected)


def test_a_place_among_other_images_or_batches_is_refused() -> None:
    x, _ = digits(24)
    state = Stacks(x, batch_size=4, device="cpu").state_dict()
    with pytest.raises(ValueError, match="batch_size = 12, these have 9"):
        Stacks(x, batch_size=3, device="cpu").load_state_dict(state)
    with pytest.raises(ValueError, match="examples = 24, these have 12"):
        Stacks(x[:12], batch_size=4, device="cpu").load_state_dict(state)
    with pytest.raises(ValueError, match="batch_size = 12, these have 4"):
        Batches(x, batch_size=4, device="cpu").load_state_dict(state)


def test_processes_share_out_whole_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = digits(24)
    whole = next(Stacks(x, batch_size=4, device="cpu")).x
    monkeypatch.setattr(parallel, "size", lambda: 2)
    parts = []
    for place in (0, 1):
        monkeypatch.setattr(parallel, "rank", lambda place=place: place)
        parts.append(parallel.share(next(Stacks(x, batch_size=4, device="cpu")).x))
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (torch.rand(9, 3, 2, 2), {}, ValueError, r"one channel, .* not \(9, 3, 2, 2\)"),
        (torch.rand(9, 4), {}, ValueError, r"must have the shape \(n, channels, height, width\)"),
        (255 * torch.ones(9, 1, 2, 2), {}, ValueError, "divide by 255"),
        (torch.ones(9, 1, 2, 2).byte(), {}, TypeError, "must be floating point"),
        (torch.rand(11, 1, 2, 2), {"batch_size": 4}, ValueError, "from 1 to 3, a third of the 11 images"),
        (torch.rand(9, 1, 2, 2), {"batch_size": 0}, ValueError, "batch_size must be a whole number"),
        (torch.rand(9, 1, 2, 2), {"seed": -1}, ValueError, "seed must be a whole number"),
    ],
)
def test_what_cannot_be_stacked_is_refused_with_what_to_do(x, options, error, message) -> None:
    with pytest.raises(error, match=message):
        Stacks(x, **{"batch_size": 2, "device": "cpu", **options})


def test_stacks_to_measure_by_are_at_least_one_and_of_images() -> None:
    with pytest.raises(ValueError, match="n must be a whole number, at least 1"):
        stacked(digits(5)[0], 0)
    with pytest.raises(ValueError, match="one channel"):
        stacked(torch.rand(9, 3, 2, 2), 4)
