"""Stacked digits: three digits in the three channels of one image, a thousand modes of known proportions.

A test for dropped modes, as of Metz et al. 2017: a classifier reads each channel of a generated stack, and so
tells which of the modes it belongs to.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gm_lib.data.batches import Batch, Batches, check_images
from gm_lib.system.choose import whole_number


class Stacks:
    """An endless stream of batches of stacks (batch_size, 3, height, width), made of the images ``x``.

    ``x``: (n, 1, height, width) in [0, 1]. In each epoch every image is in one stack, with two others that
    chance puts there, but for those of a last, incomplete batch, which is dropped. All else is as of
    :class:`Batches`: device, seed, resuming. There are no labels.

    Raises what :class:`Batches` does, and ``ValueError`` for images of several channels and for a batch that
    would need more than the n images.
    """

    def __init__(
        self,
        x: Tensor,
        *,
        batch_size: int = 128,
        seed: int = 0,
        device: str | torch.device | None = None,
    ) -> None:
        _check_one_channel(x)
        batch_size = whole_number("batch_size", batch_size, 1)
        if 3 * batch_size > len(x):
            raise ValueError(
                f"batch_size is {batch_size}, but with three images in each stack it must be from 1 to "
                f"{len(x) // 3}, a third of the {len(x)} images."
            )
        self._images = Batches(x, batch_size=3 * batch_size, seed=seed, device=device)

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches that go through the images once."""
        return self._images.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return Batch(_stack(next(self._images).x), None)

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the stream, counted in images, for ``torch.save``."""
        return self._images.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to that place; ``ValueError`` naming what differs if it is one of other batches or images."""
        self._images.load_state_dict(state)


def stacked(x: Tensor, n: int, *, seed: int = 0) -> Tensor:
    """Return n independent stacks (n, 3, height, width) of images ``x`` (m, 1, height, width) in [0, 1].

    Every channel is one of the images, drawn with replacement, so that n may be larger than m: of held-out
    images these are what a perfect model would generate. ``seed`` decides, with a generator of its own.

    Raises ``ValueError`` for no images, several channels, values out of range, and n < 1; ``TypeError`` for
    what is no tensor of floating-point numbers.
    """
    _check_one_channel(x)
    n, seed = whole_number("n", n, 1), whole_number("seed", seed)
    generator = torch.Generator("cpu").manual_seed(seed)
    chosen = torch.randint(len(x), (3 * n,), generator=generator, device="cpu")
    return _stack(x[chosen.to(x.device)])


def _stack(x: Tensor) -> Tensor:
    """Put every three images (3n, 1, height, width) into one: (n, 3, height, width)."""
    return x.reshape(-1, 3, *x.shape[2:])


def _check_one_channel(x: Tensor) -> None:
    check_images(x)
    if x.shape[1] != 1:
        raise ValueError(
            f"stacks are made of images with one channel, (n, 1, height, width), not {tuple(x.shape)}: "
            "gm_lib.data.images('mnist').train.x has it."
        )
