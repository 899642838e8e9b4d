import io
import itertools
import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from gm_lib.data import Batches, binarize, check_images, dequantize
from gm_lib.distributions.estimates import assert_unbiased


def numbered(n: int) -> tuple[Tensor, Tensor]:
    """n examples (n, 2) that can be told apart, and their labels."""
    y = torch.arange(n)
    return torch.stack([y, -y], dim=1).float(), y


def take(batches: Batches, count: int) -> list[tuple[Tensor, Tensor | None]]:
    return list(itertools.islice(batches, count))


def grey(n: int = 20) -> Tensor:
    """Images (n, 1, 4, 4) with every grey value from black to white."""
    return torch.linspace(0, 1, n * 16).reshape(n, 1, 4, 4)


def test_an_epoch_goes_through_every_example_once() -> None:
    x, _ = numbered(12)
    batches = Batches(x, batch_size=3, device="cpu")
    assert batches.steps_per_epoch == 4
    for _ in range(3):
        seen = torch.cat([batch.x[:, 0] for batch in take(batches, 4)])
        assert sorted(seen.tolist()) == list(range(12))


def test_every_epoch_has_another_order() -> None:
    x, _ = numbered(12)
    batches = Batches(x, batch_size=12, device="cpu")
    first, second = (batch.x[:, 0].tolist() for batch in take(batches, 2))
    assert first != second
    assert first != sorted(first)


def test_the_incomplete_batch_is_dropped_when_shuffling() -> None:
    x, _ = numbered(11)
    batches = Batches(x, batch_size=3, device="cpu")
    assert batches.steps_per_epoch == 3
    assert {len(batch.x) for batch in take(batches, 10)} == {3}


def test_without_shuffling_the_order_is_kept_and_so_is_the_incomplete_batch() -> None:
    x, y = numbered(5)
    batches = Batches(x, y, batch_size=2, shuffle=False, device="cpu")
    assert batches.steps_per_epoch == 3
    labels = [batch.y.tolist() for batch in take(batches, 4)]
    assert labels == [[0, 1], [2, 3], [4], [0, 1]]


def test_labels_stay_with_their_examples() -> None:
    x, y = numbered(10)
    for batch in take(Batches(x, y, batch_size=4, device="cpu"), 5):
        assert torch.equal(batch.x[:, 0].long(), batch.y)


def test_without_labels_there_are_none() -> None:
    assert next(Batches(numbered(4)[0], batch_size=2, device="cpu")).y is None


def test_the_seed_decides_the_stream() -> None:
    def stream(seed: int) -> Tensor:
        batches = Batches(grey(), batch_size=5, seed=seed, dynamic_binarization=True, device="cpu")
        return torch.stack([batch.x for batch in take(batches, 10)])

    assert torch.equal(stream(0), stream(0))
    assert not torch.equal(stream(0), stream(1))


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    before = torch.get_rng_state()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = take(Batches(grey(), batch_size=5, dynamic_binarization=True, device="cpu"), 9)
        torch.manual_seed(2)
        second = take(Batches(grey(), batch_size=5, dynamic_binarization=True, device="cpu"), 9)
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, second, strict=True))
    batches = Batches(grey(), batch_size=5, dynamic_binarization=True, device="cpu")
    take(batches, 9)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("stop", [0, 1, 3, 4, 6, 9], ids=lambda stop: f"after-{stop}")
def test_a_stream_resumed_from_its_saved_state_continues_bit_for_bit(stop: int, shuffle: bool) -> None:
    """Stops at the beginning, amid and at the end of an epoch of four batches, and in the next one."""

    def make(seed: int) -> Batches:
        return Batches(
            grey(),
            torch.arange(20),
            batch_size=5,
            seed=seed,
            dynamic_binarization=True,
            shuffle=shuffle,
            device="cpu",
        )

    batches = make(seed=3)
    take(batches, stop)
    file = io.BytesIO()
    torch.save(batches.state_dict(), file)
    expected = take(batches, 11)

    file.seek(0)
    resumed = make(seed=77)
    take(resumed, 2)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for ours, theirs in zip(take(resumed, 11), expected, strict=True):
        assert torch.equal(ours.x, theirs.x)
        assert torch.equal(ours.y, theirs.y)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (grey(40), {}, "examples = 20, these have 40"),
        (grey(), {"batch_size": 4}, "batch_size = 5, these have 4"),
        (grey(), {"shuffle": False}, "shuffle = True, these have False"),
        (grey(), {"dynamic_binarization": True}, "dynamic_binarization = False, these have True"),
    ],
)
def test_the_state_of_other_batches_is_refused(x: Tensor, options: dict, message: str) -> None:
    state = Batches(grey(), batch_size=5, device="cpu").state_dict()
    with pytest.raises(ValueError, match=re.escape(message)):
        Batches(x, **{"batch_size": 5, "device": "cpu", **options}).load_state_dict(state)


def test_the_state_from_another_kind_of_device_is_refused() -> None:
    batches = Batches(grey(), batch_size=5, device="cpu")
    with pytest.raises(ValueError, match="device = 'cuda', these have 'cpu'"):
        batches.load_state_dict({**batches.state_dict(), "device": "cuda"})


def test_what_is_no_state_of_batches_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no state of Batches: it lacks .*generator_state"):
        Batches(grey(), batch_size=5, device="cpu").load_state_dict({"step": 1})


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        ([[0.0]], None, {}, TypeError, "must be a torch.Tensor, not list"),
        (torch.empty(0, 2), None, {}, ValueError, "x is empty: its shape is (0, 2)"),
        (torch.tensor([[math.nan]]), None, {}, ValueError, "NaN or infinite"),
        (torch.tensor([[math.inf]]), None, {}, ValueError, "NaN or infinite"),
        (torch.ones(4, 2), torch.ones(3), {}, ValueError, "4 examples but 3 labels"),
        (
            torch.ones(4, 2),
            None,
            {"batch_size": 5},
            ValueError,
            "batch_size is 5, but must be from 1 to the number",
        ),
        (torch.ones(4, 2), None, {"batch_size": 0}, ValueError, "a whole number, at least 1, not 0"),
        (torch.ones(4, 2), None, {"batch_size": 2.0}, ValueError, "a whole number, at least 1, not 2.0"),
        (torch.ones(4, 2), None, {"seed": -1}, ValueError, "seed must be a whole number, at least 0, not -1"),
        (torch.ones(4, 2), [1, 2, 3, 4], {}, TypeError, "y must be a torch.Tensor, not list"),
        (torch.ones(4, 2), np.ones(4), {}, TypeError, "y must be a torch.Tensor, not ndarray"),
        (torch.ones(4, 2), None, {"device": "cqu"}, ValueError, "unknown device 'cqu'"),
        (torch.full((4, 1, 2, 2), 255.0), None, {}, ValueError, "divide by 255"),
        (torch.ones(4, 1, 2, 2, dtype=torch.uint8), None, {}, TypeError, "x.float() / 255"),
        (torch.ones(4, 2), None, {"dynamic_binarization": True}, ValueError, "(n, channels, height, width)"),
    ],
)
def test_data_that_cannot_be_trained_on_is_refused_at_once(
    x: Tensor, y: Tensor | None, options: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Batches(x, y, **{"batch_size": 1, **options})


def test_dynamic_binarization_draws_the_grey_values_on_average_and_anew_each_time() -> None:
    x, epochs = grey(2), 4_000
    batches = Batches(x, batch_size=2, dynamic_binarization=True, shuffle=False, device="cpu")
    draws = torch.stack([batch.x for batch in take(batches, epochs)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    standard_error = (x * (1 - x) / epochs).sqrt()
    assert ((draws.mean(0) - x).abs() <= 5 * standard_error).all()
    half = draws[:, (x - 0.5).abs() < 0.02]
    assert 0 < (half[1:] != half[:-1]).float().mean() < 1


def test_binarize_keeps_black_and_white_shape_and_dtype() -> None:
    x = torch.tensor([[[[0.0, 1.0]]]], dtype=torch.float64).expand(1000, 1, 1, 2)
    drawn = binarize(x)
    assert torch.equal(drawn, x)
    assert drawn.dtype == torch.float64


def test_binarize_draws_from_the_generator_given() -> None:
    first, second = (binarize(grey(), torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, 255.0], "go from 0 to 255: divide by 255"),
        ([-1.0, 1.0], "go from -1 to 1: (x + 1) / 2 brings"),
        ([-0.999, 0.5], "go from -0.999 to 0.5: (x + 1) / 2 brings"),
        ([0.0, 1.5], "go from 0 to 1.5: undo what was done to them"),
        (
            [-0.4242, 2.8215],
            "go from -0.4242 to 2.822: undo what was done to them (if they were standardized",
        ),
        ([-0.4242, 0.9], "undo what was done"),
        ([-1.0, 2.0], "undo what was done"),
        ([0.0, 65535.0], "undo what was done"),
        ([0.5, math.nan], "hold NaN"),
        ([0.5, math.inf], "go from 0.5 to inf"),
    ],
)
def test_values_outside_the_unit_interval_are_refused_with_what_to_do(
    values: list[float], message: str
) -> None:
    x = torch.tensor(values).reshape(1, 1, 1, 2)
    for check in (binarize, check_images):
        with pytest.raises(ValueError, match=re.escape(message)):
            check(x)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[0.0]], TypeError, "must be a torch.Tensor, not list"),
        (
            torch.zeros(2, 1, 3, 3, dtype=torch.uint8),
            TypeError,
            "not torch.uint8: for 0 to 255 use x.float() / 255",
        ),
        (torch.zeros(28, 28), ValueError, "not (28, 28)"),
        (torch.zeros(5, 784), ValueError, "x.reshape(-1, 1, 28, 28)"),
        (torch.zeros(0, 1, 28, 28), ValueError, "there are no images: the shape is (0, 1, 28, 28)"),
        (torch.zeros(3, 1, 0, 28), ValueError, "there are no images"),
    ],
)
def test_what_is_no_batch_of_images_is_refused_with_what_to_do(
    x: Tensor, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        check_images(x)


@pytest.mark.parametrize(
    ("spoil", "hint", "mend"),
    [
        (lambda x: x * 255, "divide by 255", lambda x: x / 255),
        (lambda x: 2 * x - 1, "(x + 1) / 2", lambda x: (x + 1) / 2),
        (lambda x: (x - 0.1307) / 0.3081, "x * std + mean", lambda x: x * 0.3081 + 0.1307),
    ],
)
def test_the_remedy_that_is_named_brings_the_images_back(
    spoil: Callable[[Tensor], Tensor], hint: str, mend: Callable[[Tensor], Tensor]
) -> None:
    spoilt = spoil(grey())
    with pytest.raises(ValueError, match=re.escape(hint)):
        Batches(spoilt, device="cpu", batch_size=2)
    torch.testing.assert_close(mend(spoilt), grey())


def test_numbers_may_be_numpys_and_the_place_in_the_stream_is_saved_without_them() -> None:
    x, options = numbered(12)[0], {"batch_size": np.int64(3), "seed": np.uint8(4), "shuffle": np.True_}
    batches = Batches(x, device="cpu", **options)
    expected = Batches(x, device="cpu", batch_size=3, seed=4)
    file = io.BytesIO()
    torch.save(batches.state_dict(), file)
    file.seek(0)
    torch.load(file, weights_only=True)
    assert torch.equal(next(batches).x, next(expected).x)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_become_the_integers_that_losses_take(dtype: torch.dtype) -> None:
    x, y = numbered(4)
    assert next(Batches(x, y.to(dtype), batch_size=2, device="cpu")).y.dtype == torch.int64
    assert next(Batches(x, y.float(), batch_size=2, device="cpu")).y.dtype == torch.float32


def test_another_default_device_plays_no_part() -> None:
    expected = take(Batches(grey(), batch_size=5, dynamic_binarization=True, device="cpu"), 9)
    x = grey()
    with torch.device("meta"):
        found = take(Batches(x, batch_size=5, dynamic_binarization=True, device="cpu"), 9)
    assert all(torch.equal(ours.x, theirs.x) for ours, theirs in zip(found, expected, strict=True))


def test_images_from_black_to_white_pass() -> None:
    check_images(grey())


def all_levels(levels: int = 256) -> Tensor:
    return torch.arange(levels).repeat(400) / (levels - 1)


@pytest.mark.parametrize("levels", [2, 256])
def test_dequantized_values_stay_in_the_bin_of_their_level(levels: int) -> None:
    x = all_levels(levels)
    smooth = dequantize(x, levels, torch.Generator().manual_seed(0))
    assert torch.equal((smooth * levels).floor(), (x * (levels - 1)).round())
    assert_unbiased(smooth * levels - (smooth * levels).floor(), 0.5)


def test_the_largest_noise_does_not_reach_the_next_bin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, 1 - 2**-24))
    x = all_levels()
    assert torch.equal((dequantize(x) * 256).floor(), (x * 255).round())


def test_dequantization_draws_from_its_generator_alone() -> None:
    x, state = all_levels(), torch.get_rng_state()
    first, second = (dequantize(x, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.tensor([0.0, 0.5]), "expects the 256 levels 0, 1/255"),
        (torch.tensor([0.0, 255.0]), "divide by 255"),
        (torch.tensor([math.nan]), "hold NaN"),
    ],
)
def test_what_has_no_levels_is_not_dequantized(x: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        dequantize(x)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_no_step_waits_for_the_gpu() -> None:
    batches = Batches(grey(1000), torch.arange(1000), batch_size=10, dynamic_binarization=True, device="cuda")
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        take(batches, 2 * batches.steps_per_epoch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
