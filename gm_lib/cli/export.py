"""The command ``export``."""

from pathlib import Path

import click

from gm_lib.cli import beyond, music
from gm_lib.cli.options import Place, run_argument, seed_option
from gm_lib.cli.runs import load, need
from gm_lib.cli.sets import pictures
from gm_lib.cli.text import MODELS
from gm_lib.system.choose import choose


@click.command()
@run_argument
@click.option("--out", type=Place(), default=Path("model.onnx"), help="A name in .onnx or .png.")
@seed_option
def export(run: Path, out: Path, seed: int) -> None:
    """Write what others can use of a trained model: its network, or a grid of images.

    RUN is the folder of the model. How the name in --out ends says what is written.

    .onnx is the network from noise to images: a GAN's averaged generator, or a VAE's mean of p(x | z). Its
    inputs are z (batch, dimensions), draws from N(0, I), and for a conditional model the labels y (batch);
    its output is x (batch, channels, height, width), or (batch, 1, samples) of waveforms. The seed plays no
    part.

    .png is a picture of 10 x 10 images that differ in one thing at a time. A conditional model has a class in
    each row and the same z in each column; another walks along each row from one random z to the next.

    \b
    Examples:
      python -m gm_lib export runs/gan --out gan.onnx
      python -m gm_lib export runs/by-digit --out grid.png
    """
    from gm_lib.cli.onnx_files import OPSET, onnx_bytes, variations
    from gm_lib.plotting import save_images
    from gm_lib.system.files import check_writable, replace_file

    kind = choose("kind of export", out.suffix.lower(), (".onnx", ".png"))
    if kind == ".onnx":
        need("onnx", "onnxscript")
    model, config, _ = load(run, "cpu")
    if config["model"] == music.MODEL:
        raise click.UsageError(f"the model in {run} makes music step by step: python -m gm_lib sample {run}.")
    if config["model"] in MODELS:
        raise click.UsageError(f"the model in {run} makes texts, symbol by symbol: sample writes them.")
    if config["model"] in beyond.MODELS:
        raise click.UsageError(
            f"the model in {run} is no network from one z to an image: sample draws from it."
        )
    check_writable(out)
    if kind == ".png":
        grid = pictures(variations(model, seed=seed), config["data"])
        click.echo(f"a grid of images in {save_images(grid, out, columns=10)}")
        return
    click.echo("Translating the network, which takes some seconds…", err=True)
    content = onnx_bytes(model)
    replace_file(out, content)
    labels = ", y (batch)" if model.num_classes else ""
    shape = ", ".join(map(str, model.config["shape"]))
    click.echo(f"z (batch, {model.latent_dim}){labels} to x (batch, {shape}), ONNX opset {OPSET}, in {out}")
