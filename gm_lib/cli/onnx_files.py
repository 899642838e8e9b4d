"""What others can use of a trained model: the network that makes its images, as ONNX, and a grid of them."""

import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from gm_lib.cli.runs import within
from gm_lib.distributions.interpolation import variance_preserving_path
from gm_lib.gan import GAN

OPSET = 18  # of ONNX's operators: what torch's exporter writes without converting, and runtimes of 2023 read


class ImageMaker(nn.Module):
    """The part of a model that makes images of noise: a GAN's averaged generator, a VAE's mean of p(x | z).

    In evaluation mode: each image depends on its own z (and label) alone. It shares its weights with the
    ``model``, which it puts into evaluation mode too.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return examples (n, *shape) for z (n, latent_dim) and, of a conditional model, labels y (n,)."""
        if isinstance(self.model, GAN):
            return self.model.averaged(z, y)
        return self.model.likelihood.mean(self.model.decode(z, y))


def onnx_bytes(model: Any) -> bytes:
    """Return the model's :class:`ImageMaker` as the content of an ONNX file, for any number of images.

    Inputs: ``z`` (batch, latent_dim), float32, to be drawn from N(0, I), and of a conditional model ``y``
    (batch,), int64, labels from 0, which are not checked. Output: ``x`` (batch, *shape), float32. The
    ``model`` is left on its device and in evaluation mode. Needs torch 2.6, onnx and onnxscript.

    Raises ``ModuleNotFoundError`` where one of the two packages is missing.
    """
    device = next(model.parameters()).device
    example = (
        torch.zeros(2, model.latent_dim, device=device),
        torch.zeros(2, dtype=torch.int64, device=device),
    )
    inputs = example if model.num_classes else example[:1]
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of operators of packages that are not here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own doings
            program = torch.onnx.export(
                ImageMaker(model),
                inputs,
                input_names=["z", "y"][: len(inputs)],
                output_names=["x"],
                dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in inputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        log.setLevel(level)
    if program is None:  # what the older exporter returns
        raise RuntimeError("torch.onnx.export returned no program.")
    return program.model_proto.SerializeToString()


@torch.no_grad()
def variations(model: Any, *, rows: int = 10, columns: int = 10, seed: int = 0) -> Tensor:
    """Return examples that differ in one thing at a time, row by row: (rows · columns, *shape).

    Of a conditional model each row has one label, from 0 on, and each column one z. Of others each row walks
    from one random z to the next, where the row below goes on; every z on the way is a draw from N(0, I).
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    if model.num_classes:
        rows = min(rows, model.num_classes)
        z = torch.randn(columns, model.latent_dim, generator=generator, device=device).repeat(rows, 1)
    else:
        ends = torch.randn(rows + 1, model.latent_dim, generator=generator, device=device)
        t = torch.linspace(0, 1, columns, device=device)
        z = variance_preserving_path(ends[:-1], ends[1:], t).transpose(0, 1).flatten(0, 1)
    y = torch.arange(rows, device=device).repeat_interleave(columns)
    return within(ImageMaker(model)(z, y))
