"""A run in its folder: the model that was trained there, and what it is asked for."""

import importlib.util
import inspect
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import torch

    from gm_lib.data import ImageData, Split

# Which function builds a run's model again, by the name in its config.json.
MODELS = {
    "vae": "gm_lib.vae:digit_vae",
    "gan": "gm_lib.gan:digit_gan",
    "hierarchical_vae": "gm_lib.vae:digit_hierarchical_vae",
    "music_vae": "gm_lib.vae:music_vae",
    "character_model": "gm_lib.vae:CharacterModel",
    "text_vae": "gm_lib.vae:TextVAE",
    "autoregressive": "gm_lib.beyond:digit_autoregressive",
    "flow": "gm_lib.beyond:digit_flow",
    "diffusion": "gm_lib.beyond:digit_diffusion",
    "flow_matching": "gm_lib.beyond:digit_flow_matching",
    "vae_gan": "gm_lib.beyond:digit_vae_gan",
}
NUM_CLASSES = 10
# Settings of digit_vae and digit_gan that older runs lack: they were trained with the defaults.
NEWER = {
    "architecture",
    "sigma",
    "activation",
    "prior",
    "components",
    "free_bits",
    "k",
    "gradient",
    "optimizer",
    "decay_steps",
    "shape",
    "penalty",
    "norm",
    "pack",
    "clip",
    "augment",
    "discriminator_lr",
    "betas",
    "discriminator_steps",
}


def need(*packages: str) -> None:
    """Raise before anything is done if a package that only some commands use is not installed."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        names = " and ".join(missing)
        raise click.ClickException(f"{names} must be there for this: pip install {' '.join(missing)}.")


def builder(kind: str) -> Callable[..., Any]:
    """Return the function that builds a model of the ``kind``, a key of ``MODELS``."""
    module, _, function = MODELS[kind].partition(":")
    return getattr(importlib.import_module(module), function)


def load(run: Path, device: str | None) -> tuple[Any, dict[str, Any], int]:
    """Return the model of a run, on the device and ready to be used, the run's settings, and its steps."""
    from gm_lib import runtime
    from gm_lib.system import parallel
    from gm_lib.system.weight_files import put_weights
    from gm_lib.training import load_checkpoint

    if parallel.size() > 1:
        raise click.ClickException("this is work for one process: start it without torchrun.")
    config = _config(folder_of(run))
    build = builder(config["model"])
    needed = inspect.signature(build).parameters
    if missing := [name for name in ("data", *needed) if name not in config and name not in NEWER]:
        raise click.ClickException(
            f"{folder_of(run) / 'config.json'} lacks {', '.join(missing)}, which every run has: get it from "
            "where this run came from, or train again."
        )
    model = build(**{name: config[name] for name in needed if name in config})
    checkpoint = load_checkpoint(run)
    put_weights(model, checkpoint.weights, checkpoint.path)
    return model.to(runtime.device(device)).eval(), config, checkpoint.step


def folder_of(run: Path) -> Path:
    """Return the folder of a run, of which one of the checkpoints may have been given."""
    from gm_lib.system.checkpoints import is_checkpoint

    return run.parent if is_checkpoint(run) else run


def _config(run: Path) -> dict[str, Any]:
    """Return the settings of a run."""
    path = run / "config.json"
    if not path.is_file():
        raise click.ClickException(
            f"there is no run in {run}: {path} is missing. Make one: "
            f"python -m gm_lib train vae --out {shlex.quote(str(run))}, or train gan."
        )
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise click.ClickException(f"{path} is damaged: {error}.") from error
    if not isinstance(config, dict) or config.get("model") not in MODELS:
        known = ", ".join(MODELS)
        raise click.ClickException(f"{path} does not describe a model that this command knows ({known}).")
    return config


def draw(model: Any, n: int, label: int | None, seed: int, **options: float) -> "torch.Tensor":
    """Return ``n`` samples (n, *shape): with one label, or with all in turn. ``options``: of its sampling."""
    import torch

    device = next(model.parameters()).device
    y = torch.arange(n, device=device) % NUM_CLASSES  # an unconditional model does not look at it
    if label is not None:
        y = torch.full_like(y, label)
    x = model.sample(n, y, generator=torch.Generator(device).manual_seed(seed), **options)
    return within(x)


def within(x: "torch.Tensor") -> "torch.Tensor":
    """Hold pictures in [0, 1]: a Gaussian's mean knows no limits. Networks keep waveforms in theirs."""
    return x.clamp(0, 1) if x.ndim == 4 else x


def learned_from(sets: "ImageData", *, final: bool) -> "Split":
    """Return the examples that a run learns from; one with --final from those of validation, too."""
    import torch

    from gm_lib.data import Split

    if not final:
        return sets.train
    return Split(torch.cat([sets.train.x, sets.valid.x]), torch.cat([sets.train.y, sets.valid.y]))


def as_trained_on(model: Any, x: "torch.Tensor", seed: int) -> "torch.Tensor":
    """Return the images as the model's likelihood takes them: binarized by one draw, or as they are."""
    import torch

    from gm_lib.data import binarize
    from gm_lib.vae import Bernoulli

    tossed = isinstance(model.likelihood, Bernoulli)
    return binarize(x, torch.Generator().manual_seed(seed)) if tossed else x
