"""Models of text on the command line: the command ``train text``, and what ``sample`` and ``evaluate`` do."""

import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gm_lib.cli.options import POSITIVE, PRECISIONS, Finite, OneOf, Place, device_option, seed_option

if TYPE_CHECKING:
    import torch

    from gm_lib.data import ProseData

DATA = ("names", "shakespeare")
MODELS = ("character_model", "text_vae")  # keys of runs.MODELS
WINDOW = 128  # characters of a piece of a long text
COUNTED = 5  # context of the counting models that a run is compared with, at most


def load_text(name: str, *, long: bool, fallback: bool = True) -> "ProseData":
    """Load the text and print the line that says what was loaded."""
    from gm_lib.data import names, shakespeare

    return shakespeare(name, fallback=fallback) if long else names(name, fallback=fallback)


def rows_of(text: "torch.Tensor", step: int) -> "torch.Tensor":
    """Return rows to learn from or to be judged by: names, or pieces ``step`` apart of a long text."""
    from gm_lib.data.prose import windows

    return windows(text, WINDOW, step) if text.ndim == 1 else text


@click.command("text")
@click.option("--data", type=OneOf("text", DATA), default="names", help="The text to learn from.")
@click.option(
    "--latent-dim", type=click.IntRange(0), default=0, help="Dimensions of a VAE's z; 0: a model without z."
)
@click.option("--width", type=POSITIVE, default=128, help="Units of the recurrent layers.")
@click.option(
    "--dropout", type=Finite(0, 1), default=0.0, help="Share of characters hidden from the decoder."
)
@click.option("--beta", type=Finite(min=0), default=1.0, help="Weight of the KL in the loss; 1 is the ELBO.")
@click.option(
    "--free-bits", type=Finite(min=0), default=0.0, help="Nats of KL in each dimension that are free."
)
@click.option("--steps", type=POSITIVE, default=2500, help="Updates, earlier ones included.")
@click.option("--batch-size", type=POSITIVE, default=128, help="Texts, or pieces of one, per update.")
@click.option(
    "--learning-rate", type=Finite(min=0, min_open=True), default=4e-3, help="Adam's step size, at first."
)
@seed_option
@device_option
@click.option(
    "--precision", type=OneOf("precision", PRECISIONS), default="float32", help="Of matrix products."
)
@click.option("--out", type=Place(), default=Path("runs/text"), help="The run's folder.")
@click.option("--resume/--no-resume", default=True, help="Go on with the run in --out, or replace it.")
def train_text(
    *,
    data: str,
    latent_dim: int,
    beta: float,
    free_bits: float,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    device: str | None,
    precision: str,
    out: Path,
    resume: bool,
    **options: Any,
) -> None:
    """Train a recurrent model of first names or of plays, character by character.

    Without a latent dimension it is an autoregressive model, with some a VAE, whose code is ignored unless it
    is helped: by --free-bits, and --dropout of the characters that its decoder sees. The step size falls to 0
    over the --steps. samples.txt has twenty texts.

    \b
    Examples:
      python -m gm_lib train text
      python -m gm_lib train text --data shakespeare --width 196 --batch-size 64 --out runs/plays
      python -m gm_lib train text --latent-dim 16 --free-bits 0.5 --dropout 0.3 --out runs/names-vae
    """
    from gm_lib import runtime
    from gm_lib.cli.runs import builder
    from gm_lib.data import Batches
    from gm_lib.system.settings import json_values
    from gm_lib.training import fit

    if not latent_dim and (free_bits or beta != 1):
        raise click.UsageError("--free-bits and --beta are about a code: give --latent-dim.")
    text = load_text(data, long=data == "shakespeare")
    rows = rows_of(text.train, WINDOW // 4)
    kind = "text_vae" if latent_dim else "character_model"
    own = {"latent_dim": latent_dim, "beta": beta, "free_bits": free_bits} if latent_dim else {}
    symbols, length = text.alphabet.symbols, rows.shape[1]
    with runtime.forked_rng(seed):
        model = builder(kind)(
            symbols=symbols, length=length, lr=learning_rate, decay_steps=steps, **own, **options
        )
    where = runtime.device(device)
    watched = sys.stderr.isatty()
    history = fit(
        model,
        Batches(rows, batch_size=batch_size, seed=seed, device=where),
        steps=steps,
        seed=seed,
        device=where,
        precision=precision,
        average=0.998,
        out=out,
        resume=resume,
        progress=watched,
        on_record=None if watched else partial(_say, steps),
        settings=json_values({"model": kind, "data": text.name, "long": text.long, "batch_size": batch_size})
        | model.config,
    )
    if history.interrupted:
        click.get_current_context().exit(128 + history.interrupted)
    save_texts(model, text, 20, seed, out / "samples.txt")
    click.echo(
        f"{out}: loss {history.final('loss'):.2f} nats per text; samples in {out / 'samples.txt'}. "
        f"Next: python -m gm_lib evaluate {shlex.quote(str(out))}"
    )


def _say(steps: int, row: Any) -> None:
    from gm_lib.training.history import row_text

    if int(row["step"]) % 500 == 0:
        click.echo(f"step {int(row['step']):,} of {steps:,}: {row_text(row)}", err=True)


def save_texts(model: Any, text: "ProseData", n: int, seed: int, out: Path) -> Path:
    """Write n samples into a text file, one a line, or pieces of prose with a blank line between."""
    import torch

    from gm_lib.system.files import replace_file

    device = next(model.parameters()).device
    x = model.sample(n, generator=torch.Generator(device).manual_seed(seed)).cpu()
    replace_file(out, (("\n\n" if text.long else "\n").join(text.alphabet.decode(x)) + "\n").encode())
    return out


def sample_text(model: Any, config: dict[str, Any], n: int, seed: int, out: Path | None) -> Path:
    """Draw n texts of a run's model into a file, ``samples.txt`` if none is named; return its path."""
    from gm_lib.system.files import check_writable

    out = out or Path("samples.txt")
    if out.suffix.lower() != ".txt":
        raise click.UsageError("the model makes texts: let --out end in .txt.")
    check_writable(out)
    return save_texts(model, load_text(config["data"], long=config["long"], fallback=False), n, seed, out)


def evaluate_text(
    model: Any,
    config: dict[str, Any],
    *,
    title: str,
    split: str,
    samples: int,
    k: int,
    limit: int | None,
    seed: int,
    out: Path,
) -> None:
    """Print how likely a model finds a split, beside counting, and what is known of its samples."""
    import torch

    from gm_lib.evaluation import (
        WittenBell,
        active_units,
        log_likelihood,
        nats_per_character,
        negative_elbo,
        share_known,
    )
    from gm_lib.system.files import replace_file

    text = load_text(config["data"], long=config["long"], fallback=False)
    given = text.valid if split == "valid" else text.test
    x = rows_of(given, WINDOW)[:limit]
    counting = WittenBell(text.train, COUNTED, text.alphabet.symbols)
    order = min(
        range(COUNTED + 1), key=lambda n: -counting.log_prob(rows_of(text.valid, WINDOW), n).sum().item()
    )
    device = next(model.parameters()).device
    measures: dict[str, Any] = {
        f"counting, context {order}": nats_per_character(counting.log_prob(x, order).sum(1), x)
    }
    if config["model"] == "text_vae":
        measures["-ELBO"] = nats_per_character(-negative_elbo(model, x, seed=seed).bound, x)
        measures[f"bound, k = {k}"] = nats_per_character(log_likelihood(model, x, k=k, seed=seed).bound, x)
        measures["active units"] = active_units(model, x).count
        reasons = {"log p itself": "not for this model: bounded by -ELBO"}
    else:
        with torch.no_grad():
            log_p = torch.cat([model.log_prob(part.to(device)).cpu() for part in x.split(500)])
        measures["model"] = nats_per_character(log_p, x)
        reasons = dict.fromkeys(("-ELBO", "active units"), "not for this model: it has no code")
    if not text.long:
        drawn = model.sample(samples, generator=torch.Generator(device).manual_seed(seed)).cpu()
        made, known = text.alphabet.decode(drawn), text.alphabet.decode(text.train)
        measures["samples that are different"] = len(set(made)) / len(made)
        measures["samples in training"] = share_known(made, known)
        measures["samples among test names"] = share_known(made, text.alphabet.decode(text.test))
    what = f"{len(x):,} {'pieces' if text.long else 'names'}, {split}"
    click.echo(f"{title}, on {what}; nats per character, ends included")
    for name, value in (measures | reasons).items():
        click.echo(f"  {name:<28}{f'{value:.3f}' if isinstance(value, float) else value}")
    plain = {
        name: value if isinstance(value, int | float) else [value.mean, value.standard_error]
        for name, value in measures.items()
    }
    result = {"title": title, "split": split, "seed": seed, "measures": plain, "reasons": reasons}
    replace_file(out, (json.dumps(result, indent=1) + "\n").encode())
    click.echo(f"all of it in {out}")
