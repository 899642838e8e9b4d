"""Batches cut from tensors that stay on the device, and the binarization drawn anew for each of them."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gm_lib.runtime import device as choose_device
from gm_lib.system.choose import whole_number


class Batch(NamedTuple):
    """Some examples ``x`` and their labels ``y`` (None where there are none)."""

    x: Tensor
    y: Tensor | None


class Batches:
    """An endless stream of batches of ``x`` (and ``y``), drawn from a generator of its own.

    Each epoch goes through a new permutation of all examples; the last, incomplete batch of an epoch is
    dropped. With ``shuffle=False`` the order is that of ``x`` and the incomplete batch is kept. Epochs
    follow each other without end: take what you need (``itertools.islice``), or ``steps_per_epoch`` batches
    for one epoch. Every ``iter`` continues the same stream. The global random state is neither used nor
    changed.

    The tensors are moved to the device once (``None``: the fastest here), and a step there neither copies
    from the host nor waits for the device. With ``dynamic_binarization`` every batch is a new Bernoulli
    draw from the grey values, see :func:`binarize`.

    ``state_dict`` and ``load_state_dict`` continue a stream bit for bit, also amid an epoch, on the same
    kind of device.

    Shapes: ``x`` is (n, ...), ``y`` is (n,) or (n, ...). Images, which is whatever has the shape (n,
    channels, height, width), must be in [0, 1]; other data must only be finite.

    Raises ``ValueError`` for data that is empty, not finite or out of range, for labels of another length
    than ``x``, and for a batch size that cannot be had; ``TypeError`` for what is no tensor or images of
    another dtype.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        batch_size: int = 128,
        seed: int = 0,
        device: str | torch.device | None = None,
        dynamic_binarization: bool = False,
        shuffle: bool = True,
    ) -> None:
        _check_examples(x, y, is_image=dynamic_binarization or (isinstance(x, Tensor) and x.ndim == 4))
        batch_size, seed = whole_number("batch_size", batch_size, 1), whole_number("seed", seed)
        if shuffle and batch_size > len(x):
            raise ValueError(
                f"batch_size is {batch_size}, but must be from 1 to the number of examples, {len(x)}."
            )
        self.device = choose_device(device)
        self.x = x.to(self.device)
        self.y = None if y is None else _labels(y).to(self.device)
        self.batch_size = batch_size
        self.dynamic_binarization = bool(dynamic_binarization)
        self.shuffle = bool(shuffle)
        self._generator = torch.Generator(self.device).manual_seed(seed)
        self._start_epoch()

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches that go through the examples once."""
        batches = len(self.x) / self.batch_size
        return math.floor(batches) if self.shuffle else math.ceil(batches)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._step == self.steps_per_epoch:
            self._start_epoch()
        chosen = slice(self._step * self.batch_size, (self._step + 1) * self.batch_size)
        self._step += 1
        x = self._take(self.x, chosen)
        if self.dynamic_binarization:
            x = binarize(x, self._generator, validate=False)  # checked once, on construction
        return Batch(x, None if self.y is None else self._take(self.y, chosen))

    def _take(self, data: Tensor, chosen: slice) -> Tensor:
        """Return the examples at these places of the epoch's order."""
        if self._order is None:
            return data[chosen]
        return data.index_select(0, self._order[chosen])  # whole rows at a time: data[order] is slower

    def _start_epoch(self) -> None:
        """Draw the order of the coming epoch; the generator's state before it is enough to draw it again."""
        self._epoch_state = self._generator.get_state()
        n = len(self.x)
        self._order = (
            torch.randperm(n, generator=self._generator, device=self.device) if self.shuffle else None
        )
        self._step = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the stream: numbers, strings and CPU tensors, for ``torch.save``."""
        return {
            "examples": len(self.x),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "dynamic_binarization": self.dynamic_binarization,
            "device": self.device.type,
            "step": self._step,
            "epoch_state": self._epoch_state,
            "generator_state": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the place in the stream that ``state`` describes.

        Raises ``ValueError`` naming what differs, if ``state`` is from other batches or another kind of
        device.
        """
        here = self.state_dict()
        if missing := here.keys() - state.keys():
            raise ValueError(f"this is no state of Batches: it lacks {', '.join(sorted(missing))}.")
        for key in ("examples", "batch_size", "shuffle", "dynamic_binarization", "device"):
            if state[key] != here[key]:
                raise ValueError(
                    f"the saved batches have {key} = {state[key]!r}, these have {here[key]!r}: "
                    "they cannot go on where those stopped. Use the same, or begin anew."
                )
        self._generator.set_state(state["epoch_state"])
        self._start_epoch()
        self._generator.set_state(state["generator_state"])
        self._step = state["step"]


def binarize(x: Tensor, generator: torch.Generator | None = None, *, validate: bool = True) -> Tensor:
    """Draw each pixel from a Bernoulli distribution whose probability is its grey value in [0, 1].

    Drawn anew at every use, this is dynamic binarization [Salakhutdinov and Murray 2008; Burda et al.
    2016]: the data has no fixed binary version that a model could learn by heart. Shape and dtype are those
    of ``x``.

    Raises ``ValueError`` when ``x`` leaves [0, 1] or holds NaN. That looks at all values and waits for the
    device; ``validate=False`` is for data already checked.
    """
    if validate:
        _check_unit_interval(x)
    # On the CPU these are the draws that torch.bernoulli makes, in half its time.
    precise = torch.promote_types(x.dtype, torch.float32)
    u = torch.rand(x.shape, generator=generator, device=x.device, dtype=precise)
    return u.lt_(x).to(x.dtype)


def dequantize(x: Tensor, levels: int = 256, generator: torch.Generator | None = None) -> Tensor:
    """Spread each level over its own bin of [0, 1): level k of ``levels`` becomes (k + u) / ``levels``.

    With u uniform on [0, 1), a density of the result bounds the probability of the level from below, on
    average: E[log p((k + u) / levels) - log levels] ≤ log P(k) [Uria et al. 2013; Theis et al. 2016,
    section 3.1]. ``x`` holds the levels 0, 1/(levels-1), …, 1; shape and dtype are kept.

    Raises ``ValueError`` when ``x`` leaves [0, 1], holds NaN, or a value that is none of the levels.
    """
    _check_unit_interval(x)
    steps = x * (levels - 1)
    k = steps.round()
    if not bool(((steps - k).abs() < 1e-3).all()):
        raise ValueError(
            f"dequantize expects the {levels} levels 0, 1/{levels - 1}, …, 1, got other values: "
            f"(x * {levels - 1}).round() / {levels - 1} brings them there."
        )
    u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return (k + u.clamp(max=1 - 2**-16)) / levels  # or rounding could carry it into the next bin


def check_images(x: Tensor) -> None:
    """Raise unless ``x`` is a floating-point tensor of shape (n, channels, height, width), n > 0, in [0, 1].

    Raises ``TypeError`` for what is no tensor or of another dtype, ``ValueError`` for another shape or for
    values out of range, each with what was found and what to do.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"images must be a torch.Tensor, not {type(x).__name__}; torch.as_tensor may help.")
    if not x.is_floating_point():
        raise TypeError(
            f"images must be floating point in [0, 1], not {x.dtype}: for 0 to 255 use x.float() / 255."
        )
    if x.ndim != 4:
        raise ValueError(
            f"images must have the shape (n, channels, height, width), not {tuple(x.shape)}; "
            "x.reshape(-1, 1, 28, 28) makes it of flat or channel-less 28×28 images."
        )
    if x.numel() == 0:
        raise ValueError(f"there are no images: the shape is {tuple(x.shape)}.")
    _check_unit_interval(x)


def _check_unit_interval(x: Tensor) -> None:
    """Raise ``ValueError`` if a value of ``x`` is NaN or outside [0, 1]."""
    if x.numel() == 0:
        return
    low, high = (bound.item() for bound in x.aminmax())
    if math.isnan(low) or math.isnan(high):
        raise ValueError("the images hold NaN: look at how they were computed.")
    if low < 0 or high > 1:
        # Both bounds tell where they come from, or neither: a remedy for other numbers would spoil these.
        if low >= 0 and 2 < high <= 255:
            hint = "divide by 255"
        elif -1 <= low < -0.9 and high <= 1:
            hint = "(x + 1) / 2 brings [-1, 1] there"
        else:
            hint = (
                "undo what was done to them (if they were standardized: x * std + mean), 0 is black, 1 white"
            )
        raise ValueError(f"image values must be in [0, 1], but they go from {low:.4g} to {high:.4g}: {hint}.")


def _labels(y: Tensor) -> Tensor:
    """Return whole numbers as int64, the integers that losses take, and other things as they are."""
    other = y.is_floating_point() or y.is_complex() or y.dtype == torch.bool
    return y if other else y.long()


def _check_examples(x: Tensor, y: Tensor | None, *, is_image: bool) -> None:
    """Raise unless ``x`` (n, ...) and ``y`` (n, ...) can be trained on; see :class:`Batches`."""
    if is_image:
        check_images(x)
    elif not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor, not {type(x).__name__}; torch.as_tensor may help.")
    elif x.numel() == 0:
        raise ValueError(f"x is empty: its shape is {tuple(x.shape)}.")
    elif not x.isfinite().all():
        raise ValueError("x holds NaN or infinite values.")
    if y is not None and not isinstance(y, Tensor):
        raise TypeError(f"y must be a torch.Tensor, not {type(y).__name__}; torch.as_tensor may help.")
    if y is not None and len(y) != len(x):
        raise ValueError(f"there are {len(x)} examples but {len(y)} labels.")
