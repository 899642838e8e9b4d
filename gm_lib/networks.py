"""The few building blocks that the models share."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

VALUES_AT_ONCE = 2**22  # how many numbers a decoder puts out at a time, for the memory's sake: 16 MiB


def mlp(sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return linear layers from ``sizes[0]`` to ``sizes[-1]`` numbers, ``activation`` between them.

    The last layer is linear: what comes out is unbounded. Works on the last dimension, any leading ones pass.

    Raises ``ValueError`` for fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"an MLP needs at least an input and an output size, got {list(sizes)}.")
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


def conv_down(channels_in: int, channels_out: int, *, batch_norm: bool = True) -> nn.Sequential:
    """Return a convolution that halves height and width, batch norm, a leaky ReLU: a DCGAN discriminator.

    (n, channels_in, h, w) to (n, channels_out, h/2, w/2) for even h and w. Radford et al. 2016.
    """
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=4, stride=2, padding=1, bias=not batch_norm),
        *([nn.BatchNorm2d(channels_out)] if batch_norm else []),
        nn.LeakyReLU(0.2, inplace=True),
    )


def conv_up(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return a transposed convolution that doubles height and width, batch norm and a ReLU.

    (n, channels_in, h, w) to (n, channels_out, 2h, 2w): a DCGAN's generator. Radford et al. 2016.
    """
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class ToMaps(nn.Module):
    """Lay out numbers as maps: (n, height · width · channels) to (n, channels, height, width); no copy.

    In memory the channels stay last, the layout in which convolutions are fastest. With :class:`FromMaps` at
    the other end no layer of a network has to change it. Without a ``width`` they are square.
    """

    def __init__(self, channels: int, height: int, width: int | None = None):
        super().__init__()
        self.shape = (height, height if width is None else width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the maps."""
        return x.unflatten(1, self.shape).permute(0, 3, 1, 2)


class FromMaps(nn.Module):
    """Flatten maps (n, channels, h, w) to (n, h · w · channels); no copy if channels are last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the numbers."""
        return x.permute(0, 2, 3, 1).flatten(1)


def check_labels(y: Tensor | None, num_classes: int, n: int | None = None) -> None:
    """Raise ``ValueError`` unless ``y`` holds integer labels in 0 … ``num_classes`` - 1. Reads the values.

    With ``n`` its shape must be (n,). ``TypeError`` for what is no tensor.
    """
    if y is None:
        raise ValueError(f"labels are needed: one integer in 0 … {num_classes - 1} per example.")
    if not isinstance(y, Tensor):
        raise TypeError(f"labels must be a torch.Tensor, not {type(y).__name__}; torch.as_tensor may help.")
    if n is not None and y.shape != (n,):
        hint = ""
        if y.shape == (n, 1):
            hint = " y.squeeze(1) makes it so."
        elif y.shape == (n, num_classes):
            hint = " y.argmax(1) undoes one-hot coding."
        raise ValueError(f"labels must have the shape (n,), here ({n},), got {tuple(y.shape)}.{hint}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"labels must be integers (torch.int64), got {y.dtype}.")
    if y.numel() and not (int(y.min()) >= 0 and int(y.max()) < num_classes):
        raise ValueError(f"labels must lie in 0 … {num_classes - 1}, got {int(y.min())} … {int(y.max())}.")


def check_lengths(lengths: Tensor | None, n: int, steps: int | None = None) -> Tensor:
    """Return the ``lengths``, once they are known to be n whole numbers from 1 to ``steps``.

    Raises ``ValueError`` where they are not, ``TypeError`` for what is no tensor.
    """
    if lengths is None:
        raise ValueError("sequences need their lengths in place of labels: int64, one for each.")
    check_labels(lengths, 2**31 if steps is None else steps + 1, n)
    if n and int(lengths.min()) < 1:
        raise ValueError("a sequence has the length 0: it has at least one step. Leave it out.")
    return lengths


def labels_of(y: Any, n: int, num_classes: int, device: torch.device) -> Tensor | None:
    """Return the labels of ``n`` examples to be drawn, a tensor, array or list, on ``device``: (n,).

    None where there are no classes, or no labels. Raises ``ValueError`` for another number of them.
    """
    if y is None or not num_classes:
        return None
    labels = torch.as_tensor(y, device=device)
    if labels.shape != (n,):
        hint = f" torch.full(({n},), y) gives all the same." if labels.ndim == 0 else ""
        raise ValueError(f"sampling {n} examples needs {n} labels, got shape {tuple(labels.shape)}.{hint}")
    return labels


def check_input(x: Tensor, shape: tuple[int, ...], weight: Any, who: str) -> None:
    """Raise unless ``x`` is a tensor (n, *shape) of the dtype of ``weight``; ``who`` expects it.

    ``TypeError`` for what is no tensor, ``ValueError`` for another shape or dtype. Reads no values.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{who} expects a torch.Tensor, not {type(x).__name__}; torch.as_tensor may help.")
    if x.shape[1:] != shape:
        expected = ", ".join(map(str, shape))
        alone = " x[None] makes a batch of one." if x.shape == shape else ""
        raise ValueError(f"{who} expects x of shape (n, {expected}), got {tuple(x.shape)}.{alone}")
    if x.dtype != weight.dtype:
        raise ValueError(
            f"{who} computes in {weight.dtype}, and x is {x.dtype}: convert it with x.to({weight.dtype})."
        )


def check_batch(batch: Any, shape: tuple[int, ...], num_classes: int, weight: Any, who: str) -> None:
    """Raise unless ``batch`` is ``(x, y)``, x finite and as :func:`check_input` wants it. Reads the values.

    With ``num_classes`` > 0 there must be a label for each example, as :func:`check_labels` wants it.
    ``TypeError`` for what is no tensor, ``ValueError`` for all else.
    """
    x, y = batch
    check_input(x, shape, weight, who)
    if not x.isfinite().all():
        raise ValueError("x holds NaN or infinite values: look at how it was computed.")
    if num_classes:
        check_labels(y, num_classes, len(x))


def require(part: Any, role: str, **needed: str) -> None:
    """Raise ``TypeError`` for the first attribute that ``part`` lacks; ``needed`` says what each means."""
    for name, meaning in needed.items():
        if not hasattr(part, name):
            raise TypeError(
                f"the {role}, {type(part).__name__}, has no attribute {name!r}: {meaning}. Set it in its "
                "constructor."
            )


def one_hot(y: Tensor, num_classes: int) -> Tensor:
    """Return float32 indicators of shape (``*y.shape``, ``num_classes``): 1 at the label, 0 elsewhere.

    On the CPU labels out of range raise ``ValueError``. On an accelerator looking would make the host wait
    for the device in every step, so there :func:`check_labels` is called once, on a model's first batch. Nor
    are values looked at while the network is compiled or exported: there are none yet.
    """
    if y.device.type == "cpu" and not torch.compiler.is_compiling():
        check_labels(y, num_classes)
    return (y.unsqueeze(-1) == torch.arange(num_classes, device=y.device)).to(torch.float32)


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode, and its parts back into the modes they were in."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers, in an order that copies of the module share."""
    return [*module.parameters(), *module.buffers()]


@torch.no_grad()
def follow(averaged: Iterable[Tensor], latest: Iterable[Tensor], average: float, step: int) -> None:
    """Let averages follow the latest values: averaged ← a · averaged + (1 - a) · latest.

    Here a = min(``average``, (1 + ``step``) / (10 + ``step``)), so that they span the last tenth of a short
    run. Whole numbers, such as a count of batches, are copied.
    """
    kept = min(average, (1 + step) / (10 + step))
    for value, now in zip(averaged, latest, strict=True):
        if value.is_floating_point():
            value.lerp_(now, 1 - kept)
        else:
            value.copy_(now)


def decay(optimizer: Optimizer, step: int, decay_steps: int) -> None:
    """Set the step size for the ``step``-th update: it falls to 0 in ``decay_steps``, along half a cosine.

    It begins at the size that the optimizer was made with. With ``decay_steps`` 0 nothing changes.
    """
    if decay_steps:
        share = 0.5 * (1 + math.cos(math.pi * min((step - 1) / decay_steps, 1.0)))
        for group in optimizer.param_groups:
            group["lr"] = share * group.setdefault("initial_lr", group["lr"])


class OneAdam(nn.Module):
    """A model that one Adam trains, with the step size ``lr``. On which loss its own ``update`` says."""

    lr: float

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the one optimizer. Call it when the model is on its device: a fused Adam is bound to it."""
        return {"adam": Adam(self.parameters(), lr=self.lr, fused=True)}


def descend(
    model: nn.Module,
    loss: Tensor,
    optimizers: Mapping[str, Optimizer],
    step: int = 1,
    decay_steps: int = 0,
    *,
    clip: float | None = None,
) -> None:
    """Take one step down the gradient of ``loss``, a tensor without dimensions, with each of ``optimizers``.

    It is the ``step``-th one of a run in which step sizes fall as :func:`decay` says. The gradient of all
    parameters of ``model`` is new; where it is longer than ``clip`` it is shortened to that.
    """
    model.zero_grad()  # the optimizer's own takes several times as long
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    for optimizer in optimizers.values():
        decay(optimizer, step, decay_steps)
        optimizer.step()


def count_parameters(module: nn.Module) -> int:
    """Return how many numbers of ``module`` training adjusts."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
