"""The command ``sample``."""

import inspect
from pathlib import Path

import click

from gm_lib.cli import music
from gm_lib.cli.options import POSITIVE, Finite, Place, device_option, run_argument, seed_option
from gm_lib.cli.runs import NUM_CLASSES, draw, load
from gm_lib.cli.sets import SPEECH, pictures, save_sounds
from gm_lib.cli.text import MODELS, sample_text
from gm_lib.system.choose import choose


@click.command()
@run_argument
@click.option("--n", type=POSITIVE, help="How many.  [default: 64; of music 4]")
@click.option("--label", type=click.IntRange(0, NUM_CLASSES - 1), help="The class, for a conditional model.")
@click.option(
    "--guidance",
    type=Finite(min=0),
    help="How far beyond its label a conditional model of diffusion or flow matching goes.  [default: 0]",
)
@seed_option
@click.option(
    "--out",
    type=Place(),
    help="A PNG, WAV, MIDI or TXT file.  [default: samples.png; of sounds .wav, of music .mid and .wav, of "
    "texts .txt]",
)
@device_option
def sample(
    run: Path,
    n: int | None,
    label: int | None,
    guidance: float | None,
    seed: int,
    out: Path | None,
    device: str | None,
) -> None:
    """Draw from a trained model into a file: a picture, sounds (WAV), music (MIDI) or texts (TXT).

    RUN is the folder of the model. Shown is what a GAN's generator makes of noise, and of a VAE the means of
    p(x | z), with z from the prior; of other families, samples. A conditional model draws all classes in
    turn, unless --label names one. Sounds stand one after another in their file; as a picture they are
    log-mel spectrograms. Of music, pieces of 64 steps are drawn, notes and all.

    \b
    Examples:
      python -m gm_lib sample runs/gan
      python -m gm_lib sample runs/by-digit --label 7 --n 25 --out sevens.png
      python -m gm_lib sample runs/diffusion --guidance 2
      python -m gm_lib sample runs/speech --label 7 --n 5 --out sevens.wav
      python -m gm_lib sample runs/music --n 2 --out two.mid
    """
    from gm_lib.plotting import save_images
    from gm_lib.system.files import check_writable

    if out is not None:
        choose("kind of file", out.suffix.lower(), (".png", ".wav", ".mid", ".txt"))
    model, config, _ = load(run, device)
    if label is not None and not getattr(model, "num_classes", 0):
        raise click.UsageError(f"the model in {run} takes no labels; train one with --conditional.")
    if guidance is not None:
        if "guidance" not in inspect.signature(model.sample).parameters:
            raise click.UsageError(f"the model in {run} knows no --guidance: diffusion and flow matching do.")
        if not model.num_classes:
            raise click.UsageError(
                f"--guidance goes towards labels, and the model in {run} takes none; train one with "
                "--conditional."
            )
    if config["model"] == music.MODEL:
        music.sample_music(model, n or music.PIECES, seed, out)
        return
    n, data = n or 64, config["data"]
    if config["model"] in MODELS:
        click.echo(f"{n} samples in {sample_text(model, config, n, seed, out)}")
        return
    if out is not None and out.suffix.lower() in (".mid", ".txt"):
        kind = "music" if out.suffix.lower() == ".mid" else "texts"
        raise click.UsageError(f"the model in {run} makes no {kind}: let --out end in .png or .wav.")
    out = out or Path("samples.wav" if data in SPEECH else "samples.png")
    if out.suffix.lower() == ".wav" and data not in SPEECH:
        raise click.UsageError(f"the model in {run} makes images: let --out end in .png.")
    check_writable(out)
    x = draw(model, n, label, seed, **({} if guidance is None else {"guidance": guidance}))
    saved = save_sounds(x, out) if out.suffix.lower() == ".wav" else save_images(pictures(x, data), out)
    click.echo(f"{n} samples in {saved}")
