"""The command ``evaluate``."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gm_lib.cli.options import POSITIVE, OneOf, Place, device_option, run_argument, seed_option
from gm_lib.cli.runs import as_trained_on, binary, draw, folder_of, load

if TYPE_CHECKING:
    import torch

FEWEST_SAMPLES = 65  # that can be judged: one more than the classifier has features


@click.command()
@run_argument
@click.option("--split", type=OneOf("split", ("valid", "test")), default="valid", help="On which images.")
@click.option(
    "--samples",
    type=click.IntRange(min=FEWEST_SAMPLES),
    default=2_000,
    help="How many images the model draws to be judged.",
)
@click.option("--k", type=POSITIVE, default=100, help="Draws of z per image for the bound.")
@click.option(
    "--limit", type=click.IntRange(min=2), help="Only the first images for the likelihood.  [default: all]"
)
@click.option("--out", type=Place(), help="A JSON file.  [default: RUN/evaluation.json]")
@seed_option
@device_option
def evaluate(
    run: Path,
    split: str,
    samples: int,
    k: int,
    limit: int | None,
    out: Path | None,
    seed: int,
    device: str | None,
) -> None:
    """Measure how good a trained model is, in one table.

    RUN is the folder of the model. Its samples are judged by the course's classifier of digits, beside real
    images: Fréchet and kernel distance, precision and recall, digits covered, share read with confidence. A
    model of stacked digits is judged by how many of their thousand modes it reaches, and how evenly. A
    model with a likelihood (VAE) is also asked how likely it finds other images: -ELBO and the tighter bound
    from k importance-weighted draws [Burda et al. 2016]. Choose between models by --split valid, and look at
    --split test once, at the end.

    \b
    Examples:
      python -m gm_lib evaluate runs/gan
      python -m gm_lib evaluate runs/vae --split test --k 1000 --limit 1000
    """
    from gm_lib.data import images
    from gm_lib.evaluation import judge_digits
    from gm_lib.system.files import check_writable, replace_file

    model, config, step = load(run, device)
    sets = images(config["data"], fallback=False)  # other images say nothing about what it learned
    data, name = (sets.valid, "validation") if split == "valid" else (sets.test, "test")
    against = f"{len(data):,} {name} images of {sets.name}"
    result: dict[str, Any] = {"title": f"{run}, step {step:,}, on {against}", "step": step}
    result |= {"split": split, "seed": seed}
    out = out or folder_of(run) / "evaluation.json"
    check_writable(out)
    click.echo(result["title"])
    table = ""
    # What takes seconds, and so what may go wrong, before what takes minutes.
    made = draw(model, samples, None, seed)
    if config.get("stacked"):
        judged, result["stacks"] = _stacks(made, data.x, seed)
    else:
        report = judge_digits(made, data.x, seed=seed, against=against)
        judged, result["digits"] = str(report), report.as_dict()
    if hasattr(model, "log_weights"):
        x, y = as_trained_on(model, data.x[:limit], seed), data.y[:limit]
        result |= _likelihood(model, x, y, k, seed)
        table = f"\nnats per image ± standard error, {result['kind']}, {result['images']:,} images\n"
        for title, bound in (
            ("-ELBO", result["negative_elbo"]),
            (f"-log p(x), bound from k = {k:,} draws", result["negative_log_likelihood_bound"]),
        ):
            table += f"{title:<38}{bound['mean']:>10.2f} ± {bound['standard_error']:.2f}\n"
    replace_file(out, (json.dumps(result, indent=1) + "\n").encode())
    shown = "means of p(x | z)" if hasattr(model, "likelihood") else "generated images"
    click.echo(f"{table}\nsamples ({shown}) judged by the digit classifier\n{judged}\nall of it in {out}")


def _stacks(samples: "torch.Tensor", digits: "torch.Tensor", seed: int) -> tuple[str, dict[str, Any]]:
    """Return how stacks fall on the thousand modes, beside as many of real digits: text and numbers."""
    from gm_lib.data import stacked
    from gm_lib.evaluation import stacked_mode_coverage

    generated = stacked_mode_coverage(samples)
    real = stacked_mode_coverage(stacked(digits, len(samples), seed=seed))
    text = f"{generated}\n\nas many stacks of real digits that it did not learn from\n{real}"
    return text, {"generated": generated.as_dict(), "real": real.as_dict()}


def _likelihood(model: Any, x: "torch.Tensor", y: "torch.Tensor", k: int, seed: int) -> dict[str, Any]:
    """Return both bounds of -log p(x) with what a reader must know to compare them."""
    from gm_lib.evaluation import log_likelihood, negative_elbo

    upper = negative_elbo(model, x, y, seed=seed)
    lower = log_likelihood(model, x, y, k=k, seed=seed, progress=sys.stderr.isatty())
    kind = "dynamically binarized" if binary(model) else "grey values in [0, 1]"
    return {
        "unit": "nats per image",
        "kind": kind + (", given their labels" if model.num_classes else ""),
        "images": len(x),
        "k": k,
        "negative_elbo": {"mean": upper.mean, "standard_error": upper.standard_error},
        "negative_log_likelihood_bound": {"mean": -lower.mean, "standard_error": lower.standard_error},
    }
