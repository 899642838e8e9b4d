"""Write book/benchmarks.md and its figure from results/benchmarks.json.

    python -m benchmarks.page --check     write nothing; fail if the page is not what the record gives

Never edit the page: run make bench.
"""

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.plan import BATCHES, DRAWS, GATES, IMAGES, LONGER, NAMES, PROCESSES, WIDTHS
from benchmarks.rounds import Measured, Round, Spread, ratios, spread, values, verdicts
from gm_lib.system.files import replace_file

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE, FIGURE = "results/benchmarks.json", "book/benchmarks.md", "book/_static/benchmarks.svg"
KEPT = "\N{NO-BREAK SPACE}"  # a number and what belongs to it stay on one line
VAE_BATCH, GAN_BATCH = 128, 64

HEAD = """\
<!-- Made by benchmarks/page.py from results/benchmarks.json. Do not edit: run make bench. -->

# Benchmarks

How fast is the course's library beside others that train the same models, and how good is what comes out
after the same time? `make bench` measures it and makes this page.

Every contestant trains the same networks on the same images, with the same batch size, precision, optimizer
(Adam) and learning rate, in a process of its own. They take turns: each once, then each again. The clock runs
from the end of a few steps that warm up to the end of the last step: no set-up, no saving at the end, but
everything that a trainer does between its steps. A number is the median over the rounds, in brackets the
lowest and the highest. A ratio is taken within each round, between contestants that ran side by side.
"""


def page(record: dict[str, Any]) -> str:
    """Return the whole page as Markdown."""
    measured: Measured = record["measured"]
    sections = (
        _run(record),
        _gates(measured),
        _vae(measured["vae_speed"]),
        _vae_quality(measured["vae_quality"]),
        _gan(measured["gan_speed"], measured["gan_quality"]),
        _scaling(measured["scaling"], measured["processes"]),
    )
    return "\n".join([HEAD, *("\n".join(section) for section in sections)])


def _run(record: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    yield f"This run: {record['command']}; {record['hardware']}; {record['date']}. Versions: {versions}."
    yield f"Every value of every round is in [`{RECORD}`](../{RECORD}).\n"


def _gates(measured: Measured) -> Iterator[str]:
    yield "## What had to come out\n"
    yield from _table("what", "measured", "gate", "")
    for verdict in verdicts(GATES, measured):
        gate, sign = verdict.gate, "≥" if verdict.gate.at_least else "≤"
        if verdict.result is None:
            yield _row(gate.what, "not here", f"{sign}{KEPT}{gate.bound:g}", "this CPU has no bfloat16")
            continue
        said = "kept" if verdict.kept else "**missed**"
        if gate.aim is not None:
            said += f"; aim {sign}{KEPT}{gate.aim:g} {'reached' if verdict.aim_reached else 'not reached'}"
        yield _row(gate.what, _spread(verdict.result), f"{sign}{KEPT}{gate.bound:g}", said)
    yield ""


def _vae(rounds: list[Round]) -> Iterator[str]:
    yield "## A VAE\n"
    yield "784-400-20 with a Bernoulli likelihood, float32. Not every peer can draw the binarization anew for"
    yield "each batch, so all of them, ours included, get images that were binarized once. Ours with fresh"
    yield "draws has a row of its own.\n"
    yield "**Peers as shipped.** pythae has our networks in its encoder and decoder classes; its loss takes"
    yield "probabilities, ours logits. The ordinary script is what tutorials show: a `DataLoader` that"
    yield "fetches images one by one, plain Adam, the loss read at every step.\n"
    names = ["ours", "lightning", "script", "pythae", "ours_dynamic"]
    names += ["ours_bfloat16"] * ("ours_bfloat16" in rounds[0])
    yield from _speeds(rounds, names, VAE_BATCH)
    yield ""
    yield from _in_our_loop(rounds, ("pythae", "script"), VAE_BATCH)
    floor = spread(values(rounds, "floor", "seconds_per_step"))
    share = spread(ratios(rounds, "floor", "ours", "seconds_per_step"))
    fresh = spread(ratios(rounds, "floor", "ours_dynamic", "seconds_per_step"))
    yield "**The floor.** A step's matrix products, forward and backward, without the gradient of the first"
    yield f"layer's input, take {_spread(floor, 1e3)}{KEPT}ms when nothing else is done. That is"
    yield f"{_spread(share, 100, 0)}{KEPT}% of our step, {_spread(fresh, 100, 0)}{KEPT}% when the"
    yield "binarization is drawn anew.\n"


def _vae_quality(rounds: list[Round]) -> Iterator[str]:
    ours = rounds[0]["ours"]["steps"]
    yield f"**After equal time:** that of {ours:,.0f} of our steps. −ELBO of the 10,000 test images,"
    yield f"binarized once, in {len(rounds)} runs with different seeds; lower is better.\n"
    yield from _table("", "steps", "−ELBO, nats per image")
    for name in rounds[0]:
        bound = spread(values(rounds, name, "negative_elbo"))
        yield _row(NAMES[name], f"{rounds[0][name]['steps']:,.0f}", _spread(bound))
    yield ""


def _gan(speeds: list[Round], qualities: list[Round]) -> Iterator[str]:
    ours = qualities[0]["ours"]["steps"]
    yield "## A DCGAN\n"
    yield "32 channels at 14×14, float32. Ours and the script teach both players with the same generated"
    yield "images; torchgan draws new ones for the generator, one more pass through it. Ours also keeps the"
    yield "averaged generator that its samples come from, and lays out maps channels last; the others have"
    yield "the same layers, written as tutorials do. torchgan runs with one line"
    yield 'in front, `sys.modules["torchvision"] = MagicMock()`: it uses torchvision for pictures alone, and'
    yield "asks it for an argument that is gone.\n"
    yield "**Peers as shipped.**\n"
    yield from _speeds(speeds, ["ours", "script", "torchgan"], GAN_BATCH)
    yield ""
    yield from _in_our_loop(speeds, ("script",), GAN_BATCH)
    yield f"**After equal time:** that of {ours:,.0f} of our steps; for the script also after {LONGER} times"
    yield "as much. Fréchet distance between 5,000 samples and the 10,000 validation images, in the features"
    yield f"of the course's classifier, in {len(qualities)} runs with different seeds; lower is better.\n"
    yield from _table("", "steps", "Fréchet distance")
    for name in qualities[0]:
        distance = spread(values(qualities, name, "frechet"))
        yield _row(NAMES[name], f"{qualities[0][name]['steps']:,.0f}", _spread(distance, 1, 1))
    yield ""


def _speeds(rounds: list[Round], names: list[str], batch: int) -> Iterator[str]:
    yield from _table("", "ms per step", "images per second", "time over ours")
    for name in names:
        over = spread(ratios(rounds, name, "ours", "seconds_per_step"))
        yield _row(NAMES[name], *_speed(rounds, name, batch), "1" if name == "ours" else _spread(over))


def _in_our_loop(rounds: list[Round], names: tuple[str, ...], batch: int) -> Iterator[str]:
    yield "**The peer's mathematics in our loop.** Model and loss are the peer's; batches, records and the"
    yield "fused Adam are ours. What is gained by that alone stands in the last column.\n"
    yield from _table("", "ms per step", "images per second", "as shipped, time over this")
    for name in names:
        here = f"{name}_in_our_loop"
        over = spread(ratios(rounds, name, here, "seconds_per_step"))
        yield _row(NAMES[here], *_speed(rounds, here, batch), _spread(over))
    yield ""


def _speed(rounds: list[Round], name: str, batch: int) -> tuple[str, str]:
    """Return milliseconds per step and images per second."""
    seconds = spread(values(rounds, name, "seconds_per_step"))
    return _spread(seconds, 1e3), f"{batch / seconds.median:,.0f}"


def _scaling(rounds: list[Round], processes: list[Round]) -> Iterator[str]:
    """Yield the section on growing work: the figure and its numbers."""
    yield "## As the work grows\n"
    yield "One thing grows, the rest stays as above: 784-400-20, batches of 128, 49,920 images.\n"
    yield (
        "![Five small plots of the cost of our VAE. Images per second against the batch size, milliseconds "
        "per step against the width of the hidden layers and against the number of images, milliseconds per "
        "image of the tighter bound against the number of draws, and images per second with one and with two "
        "processes. The tables below have the numbers.](_static/benchmarks.svg)\n"
    )
    for title, unit, points in curves(rounds):
        yield from _table(title, unit)
        for x, found in points:
            yield _row(f"{x:,}", _spread(found, 1, 0 if found.median >= 1_000 else 2))
        yield ""
    yield "With several processes, `torchrun` in front of `gm_lib train vae`: a batch is shared among them,"
    yield "and gradients are averaged.\n"
    yield from _table("processes × threads of each", "images per second")
    for n, threads in PROCESSES:
        found = spread(values(processes, f"{n} × {threads}", "images_per_second"))
        yield _row(f"{n}{KEPT}×{KEPT}{threads}", _spread(found, 1, 0))


def curves(rounds: list[Round]) -> Iterator[tuple[str, str, list[tuple[int, Spread]]]]:
    """Yield the curves: what grows, the unit, and the points."""

    def points(name: str, grows: tuple[int, ...], value: str, scale: float) -> list[tuple[int, Spread]]:
        return [(x, spread([scale * v for v in values(rounds, f"{name} {x}", value)])) for x in grows]

    def rate(x: int) -> Spread:
        return spread([x / v for v in values(rounds, f"batch {x}", "seconds_per_step")])

    yield "batch size", "images per second", [(x, rate(x)) for x in BATCHES]
    yield "hidden units", "ms per step", points("width", WIDTHS, "seconds_per_step", 1e3)
    yield "images to learn from", "ms per step", points("images", IMAGES, "seconds_per_step", 1e3)
    yield "draws k of the bound of log p(x)", "ms per image", points("draws", DRAWS, "seconds_per_image", 1e3)


def figure(record: dict[str, Any]) -> bytes:
    """Return the figure as SVG, the numbers it was drawn from noted in it."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    measured = record["measured"]
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9}):
        drawing, axes = plt.subplots(1, 5, figsize=(13, 2.6), layout="constrained")
        for axis, (title, unit, points) in zip(axes, curves(measured["scaling"]), strict=False):
            x, found = zip(*points, strict=True)
            low, high = [each.low for each in found], [each.high for each in found]
            axis.fill_between(x, low, high, color="#0072b2", alpha=0.2, linewidth=0)
            axis.plot(x, [each.median for each in found], "o-", color="#0072b2", markersize=3)
            axis.set(xscale="log", xlabel=title, title=unit)
            shown = [x[0], x[len(x) // 2], x[-1]]
            axis.set_xticks(shown, [f"{tick:,}" for tick in shown])
            axis.minorticks_off()
            if title.startswith("draws"):
                axis.set_yscale("log")
            else:
                axis.set_ylim(bottom=0)
        names = [f"{n} × {threads}" for n, threads in PROCESSES]
        rates = [spread(values(measured["processes"], name, "images_per_second")).median for name in names]
        axes[-1].bar(names, rates, color="#0072b2")
        axes[-1].set(xlabel="processes × threads", title="images per second")
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
        out = io.BytesIO()
        # A white ground: dark text on it can be read in the dark theme too.
        drawing.savefig(out, format="svg", metadata={"Date": None, "Description": numbers_behind(record)})
        plt.close(drawing)
    return b"\n".join(line.rstrip() for line in out.getvalue().splitlines()) + b"\n"


def numbers_behind(record: dict[str, Any]) -> str:
    """Return what identifies the numbers that the figure shows; its drawing may differ between machines."""
    shown = {part: record["measured"][part] for part in ("scaling", "processes")}
    return f"numbers {hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]}"


def _spread(found: Spread, scale: float = 1, decimals: int = 2) -> str:
    median, low, high = (f"{scale * number:,.{decimals}f}" for number in found)
    return f"{median}{KEPT}({low}{KEPT}to{KEPT}{high})"


def _table(*head: str) -> Iterator[str]:
    yield _row(*head)
    yield _row(*["---"] * len(head))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status: 0 done or up to date, 1 drift or no record."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.page",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    check = parser.parse_args(arguments).check
    try:
        record = json.loads((root / RECORD).read_text("utf-8"))
    except (OSError, ValueError) as error:
        print(f"{RECORD} cannot be read: {error}. Run make bench.", file=sys.stderr)
        return 1
    target, drawing = root / PAGE, root / FIGURE
    text, stamp = page(record), numbers_behind(record)
    if (
        target.is_file()
        and target.read_text("utf-8") == text
        and drawing.is_file()
        and stamp in drawing.read_text("utf-8")
    ):
        print(f"{PAGE} is up to date")
        return 0
    if check:
        print(f"{PAGE} is not what {RECORD} gives: run python -m benchmarks.page", file=sys.stderr)
        return 1
    replace_file(target, text.encode())
    replace_file(drawing, figure(record))
    print(f"wrote {PAGE} and {FIGURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
