"""What a process of the tests of parallel training does: ``worker.py TASK FOLDER``, under torchrun or alone.

Results go into FOLDER, one file per process.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gm_lib.data import Batches
from gm_lib.gan import GAN, MLPDiscriminator, MLPGenerator, r1
from gm_lib.system import parallel
from gm_lib.training import fit
from gm_lib.vae import VAE, digit_vae


def vae() -> VAE:
    torch.manual_seed(0)
    return digit_vae(hidden=[16], latent_dim=3)


def images() -> Batches:
    x = torch.rand(48, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    return Batches(x, batch_size=8, seed=2, device="cpu", dynamic_binarization=True)


def gan() -> GAN:
    """Return a GAN without batch norm: noise, labels, two discriminator steps and a second derivative."""
    torch.manual_seed(0)
    players = MLPGenerator(2, [8], (2,), num_classes=3), MLPDiscriminator((2,), [8], num_classes=3)
    return GAN(*players, penalty=r1, discriminator_steps=2)


def points() -> Batches:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(48, 2, generator=generator), torch.randint(3, (48,), generator=generator)
    return Batches(x, y, batch_size=8, seed=2, device="cpu")


MODELS: dict[str, tuple[Any, Any]] = {"vae": (vae, images), "gan": (gan, points)}


# What the first of two processes is given, and the second.
OTHERS: dict[str, Any] = {
    "steps": (4, 5),
    "settings": ({"data": "mnist"}, {"data": "digits"}),
    "seed": (0, 1),
}


def train(kind: str, *, steps: int = 3, batches: Any = None, **options: Any) -> tuple[Any, Any]:
    build, data = MODELS[kind]
    model = build()
    average = 0.9 if kind == "vae" else 0.0  # the GAN averages by itself
    options = {"log_every": 2, "progress": False, "device": "cpu", "average": average} | options
    return model, fit(model, batches or data(), steps=steps, **options)


def gradients(kind: str) -> dict[str, torch.Tensor]:
    """Return what the first step left in ``p.grad``."""
    model, _ = train(kind, steps=1)
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def gradients_by_ddp() -> dict[str, torch.Tensor]:
    """Return the VAE's gradients by PyTorch's own wrapper, each process with its rows of the same noise."""

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vae = vae()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -self.vae.elbo(x).mean()

    x = next(images()).x
    loss = nn.parallel.DistributedDataParallel(Loss())
    torch.manual_seed(0)  # what fit(seed=0) does
    with parallel.sharing():
        loss(parallel.share(x)).backward()
    return {name: p.grad for name, p in loss.module.vae.named_parameters()}


def compare(folder: Path) -> None:
    """Everything that needs processes working together, in one start of them."""
    rank = parallel.rank()
    result: dict[str, Any] = {}
    for kind in MODELS:
        result[f"{kind} gradients"] = gradients(kind)
        told: list[dict[str, float]] = []
        model, history = train(
            kind,
            steps=5,
            out=folder / kind,
            checkpoint_every=2,
            evaluate=lambda model: {"score": float(torch.rand(()))},
            evaluate_every=2,
            on_record=told.append,
        )
        result[kind] = {"weights": model.state_dict(), "rows": history.rows, "images": history.images}
        result[kind]["told"] = told
        # In two parts, and straight on; those are compared, and gone on with by another number of processes.
        train(kind, steps=9, out=folder / kind)
        train(kind, steps=9, out=folder / f"{kind} straight")
    if parallel.size() > 1:
        result["ddp gradients"] = gradients_by_ddp()
        try:
            train("vae", batches=[torch.rand(7, 1, 28, 28).round()])
        except ValueError as error:
            result["uneven"] = str(error)
        for name, other in OTHERS.items():
            try:
                train("vae", out=folder / "others", **{name: other[rank]})
            except ValueError as error:
                result[f"other {name}"] = str(error)
    torch.save(result, folder / f"result-{rank}.pt")


def fail(folder: Path) -> None:
    """Let the last process fail in its third step, while the others wait for its gradients."""
    model = vae()
    own_update = model.update

    def update(batch: Any, optimizers: Any, step: int) -> Any:
        if step == 3 and parallel.rank() == parallel.size() - 1:
            raise ArithmeticError("the third step went wrong")
        return own_update(batch, optimizers, step)

    model.update = update  # type: ignore[method-assign]
    fit(model, images(), steps=1000, device="cpu", progress=False)


def last(folder: Path) -> None:
    """Train for long, saying when training has begun, and what was returned."""

    def began(row: dict[str, float]) -> None:
        (folder / "began").write_text(json.dumps(row))

    _, history = train("vae", steps=10_000_000, out=folder / "run", on_record=began)
    (folder / f"stopped-{parallel.rank()}").write_text(str(history.interrupted))


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"compare": compare, "fail": fail, "last": last}[sys.argv[1]](Path(sys.argv[2]))
