"""The command ``evaluate``."""

import json
import sys
from pathlib import Path

import click

from gm_lib.cli import music
from gm_lib.cli.options import POSITIVE, Finite, OneOf, Place, device_option, run_argument, seed_option
from gm_lib.cli.runs import folder_of, learned_from, load
from gm_lib.cli.sets import SPEECH, WAVE, as_pictures, judge_of, load_sets
from gm_lib.cli.text import MODELS, evaluate_text


@click.command()
@run_argument
@click.option("--split", type=OneOf("split", ("valid", "test")), default="valid", help="On which images.")
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    default=2_000,
    help="How many images the model draws to be judged.",
)
@click.option("--k", type=POSITIVE, default=100, help="Draws of z per image for the bound.")
@click.option(
    "--limit", type=click.IntRange(min=2), help="Only the first images for the likelihood.  [default: all]"
)
@click.option(
    "--ais",
    type=click.IntRange(min=0),
    default=0,
    help="For so many images also the annealed bound of -log p(x): slow.",
)
@click.option(
    "--sigma",
    type=Finite(min=0, min_open=True),
    default=0.1,
    help="For --ais of a GAN: the sd of the noise that gives it a density.",
)
@click.option("--learn", is_flag=True, help="Train classifiers on samples of a conditional model: slow.")
@click.option("--out", type=Place(), help="A JSON file.  [default: RUN/evaluation.json]")
@seed_option
@device_option
def evaluate(
    run: Path,
    split: str,
    samples: int,
    k: int,
    limit: int | None,
    ais: int,
    sigma: float,
    learn: bool,
    out: Path | None,
    seed: int,
    device: str | None,
) -> None:
    """Measure how good a trained model is, in one table.

    RUN is the folder of the model. Its samples (of a VAE, the means of p(x | z)) are judged beside real
    ones, by a classifier of what it learned, for sharpness, and as copies of what it learned from. A
    model of stacked digits is judged by how many of their thousand modes it reaches, and how evenly. A
    model with a likelihood (VAE) is also asked how likely it finds other images: -ELBO and the tighter bound
    from k importance-weighted draws [Burda et al. 2016]. An autoregressive model or a flow knows -log p(x)
    itself, in nats of binarized pixels or in bits of grey levels. --ais adds a bound by annealing, for a GAN
    too [Wu et al. 2017]. Of a model of music the bounds are per time step, and as many samples as there are
    pieces are judged by their chords and voices. A model of text is asked for its nats per character, beside
    those of counting, and how many of its samples are known. The table says which numbers a model cannot
    have, and why. Choose between models by --split valid, and look at --split test once, at the end.

    \b
    Examples:
      python -m gm_lib evaluate runs/gan
      python -m gm_lib evaluate runs/gan --ais 10 --sigma 0.1
      python -m gm_lib evaluate runs/vae --split test --k 1000 --limit 1000
    """
    from gm_lib.evaluation import judge
    from gm_lib.system.files import check_writable, replace_file

    model, config, step = load(run, device)
    if config["model"] == music.MODEL:
        place = out or folder_of(run) / "evaluation.json"
        music.evaluate_run(model, config, step, run, place, split=split, k=k, limit=limit, seed=seed)
        return
    if config["model"] in MODELS:
        out = out or folder_of(run) / "evaluation.json"
        check_writable(out)
        evaluate_text(
            model,
            config,
            title=f"{run}, step {step:,}",
            split=split,
            samples=samples,
            k=k,
            limit=limit,
            seed=seed,
            out=out,
        )
        return
    # Other data say nothing about what it learned.
    sets = load_sets(config["data"], fallback=False)
    data, name = (sets.valid, "validation") if split == "valid" else (sets.test, "test")
    kind = "recordings" if sets.name in SPEECH else "images"
    against = f"{len(data):,} {name} {kind} of {sets.name}"
    title = f"{run}, step {step:,}, on {against}"
    out = out or folder_of(run) / "evaluation.json"
    check_writable(out)
    click.echo(title)
    final = config.get("final", False)
    if final and split == "valid":
        click.echo(f"it learned from these {kind} (--final): take --split test.", err=True)
    judgement = judge(
        as_pictures(model) if config.get("architecture") == WAVE else model,
        data,
        training=learned_from(sets, final=final),
        classifier=judge_of(sets, device),
        samples=samples,
        k=k,
        limit=limit,
        ais=ais,
        sigma=sigma,
        learn=learn,
        seed=seed,
        against=against,
        progress=sys.stderr.isatty(),
    )
    result = {"title": title, "step": step, "split": split, "seed": seed, "measures": judgement.as_dict()}
    replace_file(out, (json.dumps(result, indent=1) + "\n").encode())
    click.echo(f"{judgement}\nall of it in {out}")
