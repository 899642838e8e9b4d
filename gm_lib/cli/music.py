"""Runs that learn music: ``train music``, and what ``sample`` and ``evaluate`` do with such a run."""

import dataclasses
import json
import math
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gm_lib.cli.options import POSITIVE, Finite, OneOf
from gm_lib.cli.runs import need

if TYPE_CHECKING:
    import torch

    from gm_lib.data import Pieces

MODEL = "music_vae"  # a key of runs.MODELS
MUSIC = ("jsb", "synthesized")
OUTPUTS = ("autoregressive", "independent")
PIECES = 4  # in a file of samples
KINDS = (".mid", ".wav", ".png")

model_options = (
    click.option(
        "--output",
        type=OneOf("output", OUTPUTS),
        default="autoregressive",
        help="The keys of a step: each told of those below it, or independent given code and past.",
    ),
    click.option("--latent-dim", type=POSITIVE, default=16, help="Dimensions of the code of a step."),
    click.option("--hidden", type=POSITIVE, default=128, help="Units of a hidden layer and of each memory."),
    click.option("--units", type=POSITIVE, default=4, help="Hidden units for each autoregressive key."),
    click.option(
        "--dropout", type=Finite(0, 1, max_open=True), default=0.4, help="Share of units dropped in training."
    ),
    click.option("--beta", type=Finite(min=0), default=1.0, help="Weight of the KL; 1 is the ELBO."),
    click.option(
        "--free-bits", type=Finite(min=0), default=0.0, help="Nats of a dimension's KL that are free."
    ),
    click.option("--k", type=POSITIVE, default=1, help="Draws in the importance-weighted bound."),
    click.option(
        "--decay-steps",
        type=click.IntRange(0),
        default=0,
        help="Steps over which the step size falls to 0; 0: none.",
    ),
)


def train_music(
    *,
    data: str,
    seed: int,
    steps: int | None,
    average: float,
    final: bool,
    batch_size: int,
    learning_rate: float,
    device: str | None,
    precision: str,
    out: Path,
    resume: bool,
    tensorboard: bool,
    **options: Any,
) -> None:
    """Train a model of ``options`` on pieces of music in ``out``; leave if it is interrupted."""
    from gm_lib import runtime
    from gm_lib.cli.logs import fit_and_log
    from gm_lib.data import Batches, chorales
    from gm_lib.system import parallel
    from gm_lib.vae import music_vae

    if tensorboard:
        need("tensorboard")
    steps = steps or runtime.budget(quick=1_500, full=3_000)
    where = runtime.device(device)
    sets = chorales(data)
    with runtime.forked_rng(seed):
        model = music_vae(lr=learning_rate, **options)
    learned = _joined(sets.train, sets.valid) if final else sets.train
    samples = partial(drawn, model, PIECES, seed)
    history = fit_and_log(
        model,
        Batches(learned.x, learned.lengths, batch_size=batch_size, seed=seed, device=where),
        out,
        lambda: rolls_as_pictures(samples()),
        steps=steps,
        resume=resume,
        tensorboard=tensorboard,
        evaluate=None if final else partial(_validate, pieces=sets.valid, seed=seed),
        seed=seed,
        device=where,
        precision=precision,
        average=average,
        settings={
            "model": MODEL,
            "data": sets.name,
            "batch_size": batch_size,
            **({"final": True} if final else {}),
            **model.config,
        },
    )
    if parallel.is_main():
        made = samples()
        for kind in KINDS:
            save_music(made, out / f"samples{kind}")
    click.echo(
        f"{out}: loss {history.final('loss'):.1f} nats per piece; samples in {out / 'samples.mid'} and .wav. "
        f"Next: python -m gm_lib evaluate {shlex.quote(str(out))}"
    )


def drawn(model: Any, n: int, seed: int) -> "torch.Tensor":
    """Return ``n`` pieces of 64 steps: (n, 64, 88)."""
    import torch

    device = next(model.parameters()).device
    return model.sample(n, generator=torch.Generator(device).manual_seed(seed)).cpu()


def rolls_as_pictures(x: "torch.Tensor") -> "torch.Tensor":
    """Return piano rolls (n, steps, 88) as pictures (n, 1, 88, steps), high keys on top, notes bright."""
    return x.cpu().transpose(1, 2).flip(1)[:, None]


def save_music(x: "torch.Tensor", path: Path) -> Path:
    """Write pieces (n, steps, 88), two steps of silence between them, as MIDI or WAV; or as a picture."""
    import torch.nn.functional as F

    from gm_lib.plotting import save_images
    from gm_lib.sound import midi_content, play_notes, save_wav
    from gm_lib.system.files import replace_file

    if path.suffix.lower() == ".png":
        return save_images(rolls_as_pictures(x), path, columns=2)
    in_a_row = F.pad(x, (0, 0, 0, 2)).flatten(0, 1)
    if path.suffix.lower() == ".mid":
        replace_file(path, midi_content(in_a_row))
    else:
        save_wav(path, 0.9 * play_notes(in_a_row))
    return path


def sample_music(model: Any, n: int, seed: int, out: Path | None) -> None:
    """Write ``n`` pieces: to ``out``, or as samples.mid and samples.wav."""
    from gm_lib.system.files import check_writable

    places = [out] if out else [Path("samples.mid"), Path("samples.wav")]
    for place in places:
        check_writable(place)
    made = drawn(model, n, seed)
    pieces = "1 piece" if n == 1 else f"{n} pieces"
    click.echo(f"{pieces} in {' and '.join(str(save_music(made, place)) for place in places)}")


def evaluate_music(
    model: Any, data: "Pieces", training: "Pieces", *, k: int, limit: int | None, seed: int
) -> tuple[str, dict[str, Any]]:
    """Return a table of what can be measured of a model of music, and the same as values by name."""
    import torch

    from gm_lib.evaluation import ChordBigram, log_likelihood, musical_statistics, ratio

    x, lengths = data.x[:limit], data.lengths[:limit]
    found = {
        f"bound of -log p, nats per step, k = {draws}": ratio(
            -log_likelihood(model, x, lengths, k=draws, seed=seed, progress=sys.stderr.isatty()).bound,
            lengths,
        )
        for draws in dict.fromkeys((1, k))
    }
    device = next(model.parameters()).device
    made = model.sample(len(x), lengths, generator=torch.Generator(device).manual_seed(seed)).cpu()
    bigram = ChordBigram([training.piece(i) for i in range(len(training))])
    for name, rolls in (("real", x), ("samples", made)):
        pieces = [roll[:steps] for roll, steps in zip(rolls, lengths.tolist(), strict=True)]
        found[f"surprise of the chords of {name}, nats per step"] = ratio(_surprise(bigram, pieces), lengths)
        for quantity, value in vars(musical_statistics(pieces)).items():
            found[f"{quantity} of {name}"] = value
    width = max(map(len, found))
    lines = [f"{name:<{width}}  {value}" for name, value in found.items()]
    values = {
        # What could not be counted is null: JSON has no NaN.
        name: None if math.isnan(value.mean) else dataclasses.asdict(value)
        for name, value in found.items()
    }
    return "\n".join(lines), values


def evaluate_run(
    model: Any,
    config: dict[str, Any],
    step: int,
    run: Path,
    out: Path,
    *,
    split: str,
    k: int,
    limit: int | None,
    seed: int,
) -> None:
    """Print the table of a run of music, and write it as JSON to ``out``."""
    from gm_lib.data import chorales
    from gm_lib.system.files import check_writable, replace_file

    sets = chorales(config["data"], fallback=False)
    check_writable(out)
    data, name = (sets.valid, "validation") if split == "valid" else (sets.test, "test")
    title = f"{run}, step {step:,}, on {len(data):,} {name} pieces of {sets.name}"
    click.echo(title)
    final = config.get("final", False)
    if final and split == "valid":
        click.echo("it learned from these pieces (--final): take --split test.", err=True)
    training = _joined(sets.train, sets.valid) if final else sets.train
    table, measures = evaluate_music(model, data, training, k=k, limit=limit, seed=seed)
    result = {"title": title, "step": step, "split": split, "seed": seed, "measures": measures}
    replace_file(out, (json.dumps(result, indent=1) + "\n").encode())
    click.echo(f"{table}\nall of it in {out}")


def _surprise(bigram: Any, pieces: "Sequence[torch.Tensor]") -> "torch.Tensor":
    import torch

    return torch.tensor([bigram.surprise(roll) for roll in pieces])


def _validate(model: Any, *, pieces: "Pieces", seed: int) -> dict[str, float]:
    """Return the bound of one draw in nats per step."""
    from gm_lib.evaluation import negative_elbo

    bound = negative_elbo(model, pieces.x, pieces.lengths, seed=seed).bound
    return {"valid_nats_per_step": bound.sum().item() / pieces.steps}


def _joined(first: "Pieces", second: "Pieces") -> "Pieces":
    """Return the pieces of two splits together."""
    from gm_lib.data.music import pad

    return pad([part.piece(i) for part in (first, second) for i in range(len(part))])
