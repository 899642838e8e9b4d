"""The command ``sample``."""

from pathlib import Path

import click

from gm_lib.cli.options import POSITIVE, Place, device_option, run_argument, seed_option
from gm_lib.cli.runs import NUM_CLASSES, draw, load
from gm_lib.system.choose import choose


@click.command()
@run_argument
@click.option("--n", type=POSITIVE, default=64, help="How many images.")
@click.option("--label", type=click.IntRange(0, NUM_CLASSES - 1), help="The digit, for a conditional model.")
@seed_option
@click.option("--out", type=Place(), default=Path("samples.png"), help="The picture.")
@device_option
def sample(run: Path, n: int, label: int | None, seed: int, out: Path, device: str | None) -> None:
    """Draw images from a trained model into one picture, a PNG file.

    RUN is the folder of the model. Shown is what a GAN's generator makes of noise, and of a VAE the means of
    p(x | z), with z from the prior. A conditional model draws all digits in turn, unless --label names one.

    \b
    Examples:
      python -m gm_lib sample runs/gan
      python -m gm_lib sample runs/by-digit --label 7 --n 25 --out sevens.png
    """
    from gm_lib.plotting import save_images
    from gm_lib.system.files import check_writable

    choose("kind of picture", out.suffix.lower(), (".png",))
    model, _, _ = load(run, device)
    if label is not None and not model.num_classes:
        raise click.UsageError(f"the model in {run} takes no labels; train one with --conditional.")
    check_writable(out)
    click.echo(f"{n} samples in {save_images(draw(model, n, label, seed), out)}")
