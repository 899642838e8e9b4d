"""The command ``train beyond``: the families of chapter 17, which ``sample`` and ``evaluate`` know too."""

import inspect
from typing import Any

import click

from gm_lib.cli.options import POSITIVE, OneOf
from gm_lib.cli.runs import builder
from gm_lib.cli.sets import GREY, load_sets
from gm_lib.cli.train import average_option, fit_run, one_process_speaks, say_what_came_out, training_options

# What --family offers: the model's key in runs.MODELS, and whether it is one of binarized pixels.
FAMILIES = {
    "autoregressive": ("autoregressive", True),
    "flow": ("flow", False),
    "diffusion": ("diffusion", True),
    "flow-matching": ("flow_matching", False),
    "vae-gan": ("vae_gan", False),
}
MODELS = {kind for kind, _ in FAMILIES.values()}


@click.command("beyond")
@click.option("--family", type=OneOf("family", tuple(FAMILIES)), required=True, help="What to train.")
@click.option("--width", type=POSITIVE, help="Channels or units of a layer.  [default: the family's own]")
@click.option("--conditional", is_flag=True, help="Give the model the label.")
@click.option(
    "--decay-steps",
    type=click.IntRange(0),
    default=0,
    help="Steps over which the step size falls to 0; 0: none.",
)
@average_option("weights, which are evaluated and saved, follow", 0.998)
@training_options(
    steps="1000, on a GPU 20000", batch_size=128, learning_rate=None, out="runs/beyond", data=GREY
)
def train_beyond(
    *,
    family: str,
    width: int | None,
    conditional: bool,
    data: str,
    seed: int,
    steps: int | None,
    average: float,
    **options: Any,
) -> None:
    """Train a model of a family that came after VAE and GAN, on handwritten digits or other grey images.

    Autoregressive models and diffusion learn binarized pixels, tossed anew in every batch; a flow, flow
    matching and the VAE-GAN learn grey values. Without MNIST and without a network, scikit-learn's small
    digits take its place, and a line says so.

    \b
    Examples:
      python -m gm_lib train beyond --family autoregressive
      python -m gm_lib train beyond --family diffusion --conditional --out runs/diffusion
      python -m gm_lib sample runs/diffusion --label 7 --guidance 1
    """
    from gm_lib import runtime

    kind, binarize = FAMILIES[family]
    known = inspect.signature(builder(kind)).parameters
    if conditional and "num_classes" not in known:
        raise click.UsageError(f"--family {family} takes no labels: leave out --conditional.")
    if width is not None:
        options["width"] = width
    one_process_speaks()
    sets = load_sets(data)
    history = fit_run(
        kind,
        sets,
        seed,
        steps or runtime.budget(quick=1_000, full=20_000),
        binarize=binarize,
        averaging=average,
        conditional=conditional,
        shape=list(sets.train.x.shape[1:]),
        **options,
    )
    say_what_came_out(options["out"], f"loss {history.final('loss'):.4g}", history)
