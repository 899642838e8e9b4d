"""Write book/results.md and its picture: every measured result of the course, from the records in results/.

Never edit the page: measure (tools/measure.py), or edit a claim there and measure again.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import statistics
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gm_lib.system.files import replace_file
from records import FOLDER, ROOT, SHARE, Limit, Quantity, Record, RecordError, read_all
from results_sentences import sentence

PAGE, FIGURE = "book/results.md", "book/_static/scoreboard.svg"
KEPT = "\N{NO-BREAK SPACE}"  # a number and what belongs to it stay on one line

HEAD = """\
<!-- Made by tools/make_results_page.py from the records in results/. Do not edit: measure again. -->

# Results

What came out where a chapter has no time to measure, or one run would not be enough. First all models of
digits on one scoreboard, then each measurement: in a sentence what came out, then all its numbers, the
command that measures it again, how long that took, and on what. A measured number in the text of the course
was computed by the chapter that states it, or it is a link to this page.

Between runs everything random differs: first weights, batches, noise; each has a seed of its own. The mean
is over the seeds; ± is their standard deviation, which says how far one more run may lie from the mean. A
*gate* is set beforehand: it must hold for every seed, or no record is written. An *aim* is for the mean, and
the table says whether it was reached.
"""


@dataclass(frozen=True)
class Standing:
    """A model of the book on the scoreboard: which quantities of its record say how good it is.

    ``nats``: the quantity that is -log p(x), or bounds it from above, and how; None for a model without
    a p(x). ``exact``: it is -log p(x). ``frechet``: the quantity that is a Fréchet distance; None where none
    was measured. ``grey``: it has a density, of grey values, which does not belong in this table.
    """

    chapter: int
    model: str
    record: str
    nats: tuple[str, str] | None = None
    frechet: str | None = None
    exact: bool = False
    grey: bool = False


def _counted(chapter: int, model: str, name: str, *, frechet: bool = True) -> Standing:
    of_samples = f"frechet_{name}" if frechet else None
    return Standing(chapter, model, "first_digits", (name, ""), of_samples, exact=True)


SCOREBOARD = (
    _counted(1, "every pixel alone", "pixels"),
    _counted(1, "tiles of side 4", "tiles"),
    _counted(1, "tiles of side 4, counted by digit", "tiles_by_digit", frechet=False),
    _counted(2, "four neighbours", "neighbours"),
    _counted(5, "mixture of 40 causes", "causes"),
    Standing(
        6,
        "autoencoder, 10 numbers, and 30 Gaussians fitted to its codes",
        "autoencoder_codes",
        frechet="frechet_mixture",
    ),
    Standing(
        7,
        "VAE, 10 latent dimensions, 3,750 steps",
        "elbo_gaps",
        nats=("bound_1000", "1,000 importance weights, 1,000 images"),
        frechet="frechet",
    ),
    Standing(
        9,
        "VAE, 50 latent dimensions, 3,750 steps",
        "vae_quick",
        nats=("bound_300", "300 importance weights, 1,000 images"),
        frechet="frechet",
    ),
    Standing(
        11,
        "VAE of Burda et al. (2016), 50 latent dimensions, 300 epochs of all images but those for testing",
        "published_vae",
        nats=("bound_5000", "5,000 importance weights, 10,000 images"),
    ),
    Standing(
        11,
        "the same network on five draws, 200 epochs",
        "published_iwae_5",
        nats=("bound_5000", "5,000 importance weights, 10,000 images"),
    ),
    Standing(
        11,
        "three levels of 20 dimensions, linear layers, 222 epochs",
        "published_hierarchy",
        nats=("bound_500", "500 importance weights, 10,000 images"),
    ),
    Standing(13, "GAN, 1,200 steps", "gan_quick", frechet="frechet"),
    Standing(13, "GAN that is told the digit, 1,200 steps", "gan_labels_quick", frechet="frechet"),
    Standing(17, "VAE, five minutes", "families", nats=("score_vae", "100 importance weights, 1,000 images")),
    Standing(17, "VQ-VAE and prior, five minutes", "families", nats=("score_codes", "−ELBO, 1,000 images")),
    Standing(17, "autoregressive, five minutes", "families", nats=("score_autoregressive", ""), exact=True),
    Standing(17, "diffusion, five minutes", "families", nats=("score_diffusion", "−ELBO, 1,000 images")),
    Standing(17, "GAN, relativistic, R1 and R2, five minutes", "families", frechet="frechet_gan"),
    Standing(17, "VAE-GAN, five minutes", "families", frechet="frechet_vae_gan", grey=True),
    Standing(17, "flow, five minutes", "families", frechet="frechet_flow", grey=True),
    Standing(17, "flow matching, five minutes", "families", frechet="frechet_flow_matching", grey=True),
)

BOARD = """\
## Scoreboard

The models of the book so far, on MNIST; lower is better in both columns. Nats are −log p(x) per test image,
or an upper bound of it (≤, and a lighter bar); the images are binarized by a toss of each grey value. The
entropy of these tosses, among the numbers of [a VAE](#vae_quick), is what no model can save. The Fréchet
distance is that of 5,000 samples to validation images, in the features of the digit classifier. The samples
of chapters 1, 2, 5 are black and white; of real images that were tossed, the distance is among the numbers of
[those models](#first_digits). The samples of the other chapters are grey. The models of chapter 17 had five
minutes of one thread's processor time each. Where their samples are black and white, the distance is to
tossed images, and among [their numbers](#families).

"""
BOARD_HEAD = """\
| chapter | model | nats per image | Fréchet distance |
|---|---|---|---|
"""


# Claims of tools/measure.py that wait for a machine with the time, or the GPU, for them.
PENDING = {
    "published_hierarchy_conv": "a hierarchy of convolutions, in some hours of a GPU",
}

WAITING = """\
## Not measured yet

The commands are ready, and each goes on where it was interrupted:
"""


# The models of grey digits that have a density: chapter, model, record and quantity.
GREY = (
    (2, "one histogram for all pixels", "first_grey", "histogram"),
    (5, "a histogram for each pixel", "first_grey", "histograms"),
    (5, "a Gaussian for each pixel", "first_grey", "gaussians"),
    (5, "probabilistic PCA, 2 latent dimensions", "first_grey", "ppca_2"),
    (5, "probabilistic PCA, 50 latent dimensions", "first_grey", "ppca_50"),
    (5, "probabilistic PCA, 150 latent dimensions", "first_grey", "ppca_150"),
    (17, "VAE-GAN, five minutes", "families", "score_vae_gan"),
    (17, "flow, five minutes", "families", "score_flow"),
)

GREY_BOARD = """
Grey digits, 256 levels. Densities are those of the dequantized levels, and bound the bits from above, on
average. A model that knows nothing has 8.

| chapter | model | bits per pixel |
|---|---|---|
"""


def _scoreboard(records: dict[str, Record]) -> str:
    """Return picture and table of the models whose records are there, in the order of the chapters."""
    rows = []
    for each in SCOREBOARD:
        if (record := records.get(each.record)) is None:
            continue
        nats = "is of grey values" if each.grey else "has no p(x)"
        if each.nats:
            name, how = each.nats
            nats = _linked(record, name) if each.exact else f"≤{KEPT}{_linked(record, name)}: {how}"
        frechet = _linked(record, each.frechet) if each.frechet else "not measured"
        rows.append(f"| {each.chapter} | {each.model} | {nats} | {frechet} |")
    picture = f"![{described(records)}]({FIGURE.removeprefix('book/')})\n\n"
    board = BOARD + picture + BOARD_HEAD + "\n".join(rows) + "\n"
    grey = [
        f"| {chapter} | {model} | {_linked(records[record], name)} |"
        for chapter, model, record, name in GREY
        if record in records
    ]
    if grey:
        board += GREY_BOARD + "\n".join(grey) + "\n"
    return board


def _pending(records: dict[str, Record]) -> Iterator[str]:
    """Yield the lines that list what has a command and no record."""
    waiting = {name: what for name, what in PENDING.items() if name not in records}
    if waiting:
        yield WAITING
        for name, what in waiting.items():
            yield f"* {what}: `python tools/measure.py {name}`"
        yield ""


def _linked(record: Record, name: str) -> str:
    quantity = record.quantities[name]
    return f"[{_mean(quantity, _decimals(quantity)).strip('*')}](#{record.name})"


def page(records: dict[str, Record]) -> str:
    """Return the whole page as Markdown."""
    parts = [HEAD]
    if any(each.record in records for each in SCOREBOARD):
        parts.append(_scoreboard(records))
    if len(records) > 1:
        rows = (f"* [{record.title}](#{name})" for name, record in records.items())
        parts.append("\n".join(["## What was measured\n", *rows]) + "\n")
    sections = ("\n".join(_section(record)) for record in records.values())
    return "\n".join([*parts, *_pending(records), *sections])


def _section(record: Record) -> Iterator[str]:
    """Yield the lines of one record's part of the page. Its name is its anchor."""
    yield f'<a id="{record.name}"></a>\n'
    yield f"## {record.title}\n"
    yield f"**{sentence(record)}**\n"
    yield f"What was claimed: {record.claim} Data: {record.data}.\n"
    limited = any(quantity.gate or quantity.aim for quantity in record.quantities.values())
    # One cell for all seeds, broken into lines where need be: a column each made ten of them wider than paper
    seeds = f"seed{'s' * (len(record.seeds) > 1)} {', '.join(map(str, record.seeds))}"
    head = ["quantity", "mean ± sd", seeds]
    yield from _rows(head + ["gate or aim"] * limited, ["---"] * (len(head) + limited))
    for quantity in record.quantities.values():
        decimals = _decimals(quantity)
        unit = "" if quantity.unit == SHARE else f", {quantity.unit}"
        values = [_number(value, quantity.unit, decimals) for value in quantity.values]
        row = [quantity.what + unit, _mean(quantity, decimals), " · ".join(values)]
        yield from _rows(row + [_limits(quantity)] * limited)
    yield f"\n```sh\n{record.command}\n```\n"
    yield (
        f"It took {_seconds(record.seconds)} seconds for each seed, of processor time "
        f"{_seconds(record.cpu_seconds)}, on {record.hardware}; {record.date}. "
        f"Versions: {', '.join(f'{name} {version}' for name, version in record.versions.items())}. "
        f"Record: [`{FOLDER}/{record.name}.json`](../{FOLDER}/{record.name}.json).\n"
    )


def _rows(*rows: list[str]) -> Iterator[str]:
    for cells in rows:
        escaped = [cell.replace("|", r"\|") for cell in cells]  # "p(x | z)" is one cell
        yield f"| {' | '.join(escaped)} |"


def _spread(quantity: Quantity) -> float:
    """Return the standard deviation; 0 for one value, and below a ten-thousandth of the mean."""
    sd = quantity.sd or 0.0
    return sd if sd > 1e-4 * abs(quantity.mean) else 0.0


def _decimals(quantity: Quantity) -> int:
    """Return how many decimals show the spread to two significant digits, but never fewer than one."""
    scale = 100 if quantity.unit == SHARE else 1
    if not (sd := _spread(quantity)):
        return 0 if all((value * scale).is_integer() for value in quantity.values) else 2
    return min(4, max(1, 1 - math.floor(math.log10(sd * scale))))


def _number(value: float, unit: str, decimals: int) -> str:
    return f"{100 * value:.{decimals}f}{KEPT}%" if unit == SHARE else f"{value:,.{decimals}f}"


def _mean(quantity: Quantity, decimals: int) -> str:
    mean = _number(quantity.mean, quantity.unit, decimals)
    if not (sd := _spread(quantity)):
        return f"**{mean}**"
    spread = _number(sd, quantity.unit, decimals)
    return f"**{mean.removesuffix(f'{KEPT}%')}{KEPT}±{KEPT}{spread}**"


def _limits(quantity: Quantity) -> str:
    said = []
    if quantity.gate:
        said.append(f"gate {_limit(quantity.gate, quantity.unit)}")
    if quantity.aim:
        reached = "reached" if quantity.aim.holds(quantity.mean) else "not reached"
        said.append(f"aim {_limit(quantity.aim, quantity.unit)}: {reached}")
    return "; ".join(said)


def _limit(limit: Limit, unit: str) -> str:
    sign = "≥" if limit.kind == "at_least" else "≤"
    bound = limit.bound * (100 if unit == SHARE else 1)
    percent = f"{KEPT}%" if unit == SHARE else ""
    return f"{sign}{KEPT}{bound:,g}{percent}"


def _seconds(values: tuple[float, ...]) -> str:
    return f"{statistics.fmean(values):,.0f}"


def board(records: dict[str, Record]) -> dict[str, list[tuple[str, float, bool]]]:
    """Return what the picture shows, by its headings: models, means, and which are bounds from above."""
    nats, distances = [], []
    for each in SCOREBOARD:
        if (record := records.get(each.record)) is None:
            continue
        label = f"{each.chapter} · {each.model}"
        if each.nats:
            nats.append((label, record.quantities[each.nats[0]].mean, not each.exact))
        if each.frechet:
            distances.append((label, record.quantities[each.frechet].mean, False))
    return {"nats per image": nats, "Fréchet distance": distances}


def described(records: dict[str, Record]) -> str:
    """Return what the picture shows, in words."""
    said = []
    for unit, models in board(records).items():
        if models:
            worst, best = max(models, key=lambda m: m[1]), min(models, key=lambda m: m[1])
            said.append(f"{unit}, from {worst[1]:.1f} ({worst[0]}) down to {best[1]:.1f} ({best[0]})")
    return f"The scoreboard as a picture, a bar for each model: {'; '.join(said)}. The table has all numbers."


def figure(records: dict[str, Record]) -> bytes:
    """Return the scoreboard as SVG, the numbers it was drawn from noted in it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    from gm_lib.system.drawings import use_typeface

    shown = {unit: models for unit, models in board(records).items() if models}
    rows = [len(models) + 1 for models in shown.values()]
    with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "scoreboard", "font.size": 9}):
        use_typeface()
        drawing, axes = plt.subplots(
            *(len(shown), 1),
            figsize=(5.2, 0.42 * sum(rows)),
            height_ratios=rows,
            layout="constrained",
            squeeze=False,
        )
        for axis, (unit, models) in zip(axes[:, 0], shown.items(), strict=True):
            longest = max(value for _, value, _ in models)
            for place, (label, value, is_bound) in enumerate(models):
                axis.barh(place, value, height=0.35, color="#8fc3e0" if is_bound else "#0072b2")
                axis.text(0, place - 0.28, textwrap.shorten(label, 66, placeholder=" …"))
                axis.text(value + 0.01 * longest, place, f"{'≤ ' * is_bound}{value:.1f}", va="center")
            axis.set(
                title=f"{unit}: shorter is better", xlim=(0, 1.12 * longest), ylim=(len(models) - 0.5, -0.8)
            )
            axis.title.set(fontsize=11, ha="left", position=(0, 1))
            axis.set_axis_off()
        out = io.BytesIO()
        # A white ground: dark text on it can be read in the dark theme too.
        drawing.savefig(out, format="svg", metadata={"Date": None, "Description": numbers_behind(records)})
        plt.close(drawing)
    return b"\n".join(line.rstrip() for line in out.getvalue().splitlines()) + b"\n"


def numbers_behind(records: dict[str, Record]) -> str:
    """Return what identifies the numbers that the picture shows; its drawing may differ between machines."""
    return f"numbers {hashlib.sha256(json.dumps(board(records)).encode()).hexdigest()[:16]}"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status: 0 done or up to date, 1 drift or a broken record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help=f"write nothing; fail if {PAGE} is not what the records give"
    )
    check = parser.parse_args(arguments).check
    target, drawing = root / PAGE, root / FIGURE
    try:
        records = read_all(root)
        text, drawn = page(records), any(board(records).values())
        is_new = not (target.is_file() and target.read_text("utf-8") == text)
        is_redrawn = drawn and not (
            drawing.is_file() and numbers_behind(records) in drawing.read_text("utf-8")
        )
        if not is_new and not is_redrawn:
            print(f"{PAGE} is up to date")
            return 0
        if check:
            print(
                f"{PAGE} is not what {FOLDER}/ gives: run python tools/make_results_page.py", file=sys.stderr
            )
            return 1
        replace_file(target, text.encode())
        if is_redrawn:
            replace_file(drawing, figure(records))
    except (RecordError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
