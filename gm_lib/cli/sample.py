"""The command ``sample``."""

from pathlib import Path

import click

from gm_lib.cli.options import POSITIVE, Place, device_option, run_argument, seed_option
from gm_lib.cli.runs import NUM_CLASSES, draw, load
from gm_lib.cli.sets import SPEECH, pictures, save_sounds
from gm_lib.cli.text import MODELS, sample_text
from gm_lib.system.choose import choose


@click.command()
@run_argument
@click.option("--n", type=POSITIVE, default=64, help="How many.")
@click.option("--label", type=click.IntRange(0, NUM_CLASSES - 1), help="The class, for a conditional model.")
@seed_option
@click.option(
    "--out",
    type=Place(),
    help="A PNG, WAV or TXT file.  [default: samples.png; of sounds .wav, of texts .txt]",
)
@device_option
def sample(run: Path, n: int, label: int | None, seed: int, out: Path | None, device: str | None) -> None:
    """Draw from a trained model into a picture, a PNG file, of sounds into a WAV file, of texts a TXT file.

    RUN is the folder of the model. Shown is what a GAN's generator makes of noise, and of a VAE the means of
    p(x | z), with z from the prior. A conditional model draws all classes in turn, unless --label names one.
    Sounds stand one after another in their file; as a picture they are log-mel spectrograms.

    \b
    Examples:
      python -m gm_lib sample runs/gan
      python -m gm_lib sample runs/by-digit --label 7 --n 25 --out sevens.png
      python -m gm_lib sample runs/speech --label 7 --n 5 --out sevens.wav
    """
    from gm_lib.plotting import save_images
    from gm_lib.system.files import check_writable

    if out is not None:
        choose("kind of file", out.suffix.lower(), (".png", ".wav", ".txt"))
    model, config, _ = load(run, device)
    if config["model"] in MODELS:
        if label is not None:
            raise click.UsageError(f"the model in {run} makes texts and takes no labels.")
        click.echo(f"{n} samples in {sample_text(model, config, n, seed, out)}")
        return
    if out is not None and out.suffix.lower() == ".txt":
        raise click.UsageError(f"the model in {run} makes no texts: let --out end in .png or .wav.")
    data = config["data"]
    out = out or Path("samples.wav" if data in SPEECH else "samples.png")
    if out.suffix.lower() == ".wav" and data not in SPEECH:
        raise click.UsageError(f"the model in {run} makes images: let --out end in .png.")
    if label is not None and not model.num_classes:
        raise click.UsageError(f"the model in {run} takes no labels; train one with --conditional.")
    check_writable(out)
    x = draw(model, n, label, seed)
    saved = save_sounds(x, out) if out.suffix.lower() == ".wav" else save_images(pictures(x, data), out)
    click.echo(f"{n} samples in {saved}")
