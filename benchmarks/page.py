"""Write book/benchmarks.md and its figure from results/benchmarks.json.

    python -m benchmarks.page --check     write nothing; fail if the page is not what the record gives

Never edit the page: run make bench.
"""

import argparse
import hashlib
import io
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.plan import (
    BATCHES,
    DRAWS,
    FRECHET,
    GATES,
    IMAGES,
    LOOKED_AT_EVERY,
    N_SAMPLES,
    NAMES,
    NATS,
    PROCESSES,
    STEPS,
    WIDTHS,
)
from benchmarks.rounds import Measured, Round, Spread, ratios, spread, values, verdicts
from gm_lib.system.files import replace_file

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE, FIGURE = "results/benchmarks.json", "book/benchmarks.md", "book/_static/benchmarks.svg"
KEPT = "\N{NO-BREAK SPACE}"  # a number and what belongs to it stay on one line
VAE_BATCH, GAN_BATCH = 128, 64

HEAD = """\
<!-- Made by benchmarks/page.py from results/benchmarks.json. Do not edit: run make bench. -->

# Benchmarks

"""

METHOD = """\
How long does the course's library take to a model of a given quality, beside others that train the same
networks? And how fast are its steps? `make bench` measures it and makes this page.

Every contestant trains the same networks on the same images, with the same batch size and with Adam, in a
process of its own. They take turns: each once, then each again. The clock runs from the end of a few steps
that warm up, or from the first step, to the end of the last step: no set-up, no saving at the end, but
everything that a trainer does between its steps. A number is the median over the rounds, in brackets the
lowest and the highest. A ratio is taken within each round, between contestants that ran side by side.
"""


def page(record: dict[str, Any]) -> str:
    """Return the whole page as Markdown."""
    measured: Measured = record["measured"]
    sections = (
        _run(record),
        _gates(measured),
        _vae(measured["vae_speed"], measured["vae_time"]),
        _vae_time(measured["vae_time"]),
        _gan(measured["gan_speed"], measured["gan_time"]),
        _gan_time(measured["gan_time"]),
        _scaling(measured["scaling"], measured["processes"]),
    )
    first = "\n".join(_first(measured))
    return "\n".join([HEAD + first, METHOD, *("\n".join(section) for section in sections)])


def _first(measured: Measured) -> Iterator[str]:
    """Yield what came out, in a sentence."""
    vae, gan = measured["vae_time"], measured["gan_time"]
    ours = [spread(values(rounds, "ours", "seconds")).median for rounds in (vae, gan)]
    yield from _sentence(
        f"The course's library has a good VAE after {ours[0]:.0f} seconds, where others take "
        f"{_others(vae, 'seconds')}; and a good GAN after {ours[1]:.0f}, where they take "
        f"{_others(gan, 'seconds')}."
    )


def _peers(rounds: list[Round]) -> list[str]:
    """Return who was measured beside us, as they are shipped."""
    return [name for name in ("script", "lightning", "pythae", "torchgan") if name in rounds[0]]


def _others(rounds: list[Round], value: str) -> str:
    """Say how many times as long as ours the peers take; who was given up would have taken longer."""
    medians = [f"{spread(ratios(rounds, name, 'ours', value)).median:.1f}" for name in _peers(rounds)]
    low, high = min(medians, key=float), max(medians, key=float)
    given_up = any(not each[name].get("reached", True) for each in rounds for name in _peers(rounds))
    said = f"{low} times as long" if low == high else f"{low} to {high} times as long"
    return f"at least {said}" if given_up else said


def _sentence(text: str) -> Iterator[str]:
    """Yield what came out, as a section or the page begins."""
    yield from _text(f"**{text}**")


def _run(record: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    dates = " and ".join(sorted(set(record["dates"].values())))
    yield from _text(
        f"This run: {record['command']}; {record['hardware']}; {dates}. Versions: {versions}. "
        f"Every value of every round is in [`{RECORD}`](../{RECORD})."
    )


def _gates(measured: Measured) -> Iterator[str]:
    yield "## Did it come out as asked?\n"
    found = list(verdicts(GATES, measured))
    missed = [verdict for verdict in found if not verdict.kept]
    aims = [verdict.aim_reached for verdict in found if verdict.aim_reached is not None]
    were = "was" if len(missed) == 1 else "were"
    kept = f"Of {len(found)} gates {len(missed)} {were} missed" if missed else "All gates were kept"
    yield from _sentence(f"{kept}; of {len(aims)} aims {sum(aims)} were reached.")
    yield from _text(
        "Of steps little is asked: a step is mostly matrix products, which all must do, and how much of "
        "it they are is told under *The floor*. What a user waits for is a good model, and that takes "
        "fewer steps or more. So the time to a given quality must come out at most half as long as each "
        "peer's; the aim is a third."
    )
    yield from _table("what", "measured", "gate", "verdict")
    for verdict in found:
        gate = verdict.gate
        said = "kept" if verdict.kept else "**missed**"
        if gate.aim is not None:
            said += f"; aim ≥{KEPT}{gate.aim:g} {'reached' if verdict.aim_reached else 'not reached'}"
        yield _row(gate.what, _spread(verdict.result), f"≥{KEPT}{gate.bound:g}", said)
    yield ""


def _steps_sentence(rounds: list[Round], times: list[Round]) -> Iterator[str]:
    """Yield what came out for steps, and whether others also need more of them."""
    ms = 1e3 * spread(values(rounds, "ours", "seconds_per_step")).median
    said = f"A step takes {ms:.1f} milliseconds, one of the others {_others(rounds, 'seconds_per_step')}"
    if all(each[name]["steps"] > each["ours"]["steps"] for each in times for name in _peers(times)):
        said += "; and they need more steps, so that the way to a good model differs by more"
    yield from _sentence(f"{said}.")


def _vae(rounds: list[Round], times: list[Round]) -> Iterator[str]:
    yield "## How fast a VAE learns\n"
    yield from _steps_sentence(rounds, times)
    yield from _text(
        "784-400-20 with a Bernoulli likelihood, float32. Not every peer can draw the binarization anew "
        "for each batch within its own step, so for this table all of them, ours included, get images "
        "that were binarized once. Ours with fresh draws has a row of its own."
    )
    yield from _text(
        "**Peers as shipped.** pythae has our networks in its encoder and decoder classes; its loss "
        "takes probabilities, ours logits. The ordinary script is what tutorials show: a `DataLoader` "
        "that fetches images one by one, plain Adam, the loss read at every step."
    )
    names = ["ours", "lightning", "script", "pythae", "ours_dynamic"]
    names += ["ours_bfloat16"] * ("ours_bfloat16" in rounds[0])
    yield from _speeds(rounds, names, VAE_BATCH)
    yield ""
    yield from _in_our_loop(rounds, ("pythae", "script"), VAE_BATCH)
    floor = spread(values(rounds, "floor", "seconds_per_step"))
    share = spread(ratios(rounds, "floor", "ours", "seconds_per_step"))
    fresh = spread(ratios(rounds, "floor", "ours_dynamic", "seconds_per_step"))
    yield from _text(
        "**The floor.** A step's matrix products, forward and backward, without the gradient of the "
        f"first layer's input, take {_spread(floor, 1e3)}{KEPT}ms when nothing else is done. That is "
        f"{_spread(share, 100, 0)}{KEPT}% of our step, {_spread(fresh, 100, 0)}{KEPT}% when the "
        "binarization is drawn anew."
    )


def _vae_time(rounds: list[Round]) -> Iterator[str]:
    yield from _text(
        f"**Time to quality:** until −ELBO of the 10,000 validation images, binarized once, is {NATS} "
        f"nats per image or less. It is looked at every {LOOKED_AT_EVERY} steps, and the clock stands "
        "meanwhile. Here all draw the binarization of the training images anew for each batch. The peers "
        "take the step size 1e-3 that tutorials have (pythae's own default is 1e-4). Ours takes 2e-3 and "
        "looks at averaged weights: the defaults of `gm_lib train vae`. "
        f"{len(rounds)} runs with different seeds."
    )
    yield from _times(rounds)


def _gan(speeds: list[Round], times: list[Round]) -> Iterator[str]:
    yield "## How fast a GAN learns\n"
    yield from _steps_sentence(speeds, times)
    yield from _text(
        "A DCGAN with 32 channels at 14×14. Ours and the script teach both players with the same "
        "generated images; torchgan draws new ones for the generator, one more pass through it. Ours "
        "also keeps the averaged generator that its samples come from, and lays out maps channels "
        "last; the others have the same layers, written as tutorials do. torchgan runs with one line "
        'in front, `sys.modules["torchvision"] = MagicMock()`: it uses torchvision for pictures '
        "alone, and asks it for an argument that is gone."
    )
    yield from _text("**Peers as shipped.**")
    names = ["ours", "script", "torchgan", *(["ours_bfloat16"] * ("ours_bfloat16" in speeds[0]))]
    yield from _speeds(speeds, names, GAN_BATCH)
    yield ""
    yield from _in_our_loop(speeds, ("script",), GAN_BATCH)


def _gan_time(rounds: list[Round]) -> Iterator[str]:
    yield from _text(
        f"**Time to quality:** until {N_SAMPLES:,} samples are within a Fréchet distance of {FRECHET} of the "
        "10,000 validation images, in the features of the course's classifier of digits. It is looked at "
        f"every {LOOKED_AT_EVERY} steps, and the clock stands meanwhile. The peers take the step size "
        "2e-4 of the DCGAN paper and of torchgan's documentation, and are judged in evaluation mode. Ours "
        "takes 2e-3 and draws from the averaged generator: the defaults of `gm_lib train gan`. The last "
        f"row gives the script our step size and nothing else. {len(rounds)} runs with different seeds."
    )
    yield from _times(rounds)


def _times(rounds: list[Round]) -> Iterator[str]:
    yield from _table("who", "seconds", "steps", "time over ours")
    decimals = 0 if any(found["seconds"] >= 100 for each in rounds for found in each.values()) else 1
    for name in rounds[0]:
        seconds, steps = (spread(values(rounds, name, value)) for value in ("seconds", "steps"))
        over = "1" if name == "ours" else _spread(spread(ratios(rounds, name, "ours", "seconds")))
        missed = sum(not each[name]["reached"] for each in rounds)
        note = f", given up in {missed} of {len(rounds)} runs" if missed else ""
        yield _row(NAMES[name], _spread(seconds, 1, decimals), f"{_spread(steps, 1, 0)}{note}", over)
    yield ""
    if not all(found["reached"] for each in rounds for found in each.values()):
        yield from _text(
            f"A run that has not come there after {STEPS:,} steps is given up; it would have taken "
            "longer than the time that stands here for it, in the ratios too."
        )


def _speeds(rounds: list[Round], names: list[str], batch: int) -> Iterator[str]:
    yield from _table("who", "ms per step", "images per second", "time over ours")
    for name in names:
        over = spread(ratios(rounds, name, "ours", "seconds_per_step"))
        yield _row(NAMES[name], *_speed(rounds, name, batch), "1" if name == "ours" else _spread(over))


def _in_our_loop(rounds: list[Round], names: tuple[str, ...], batch: int) -> Iterator[str]:
    yield from _text(
        "**The peer's mathematics in our loop.** Model and loss are the peer's; batches, records and "
        "the fused Adam are ours. What is gained by that alone stands in the last column."
    )
    yield from _table("who", "ms per step", "images per second", "as shipped, time over this")
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
    yield "## What more work costs\n"
    batches, widths, *_ = (points for _, _, points in curves(rounds))
    cheaper = batches[-1][1].median / batches[0][1].median
    longer = widths[-1][1].median / widths[0][1].median
    (_, threads), (n, _) = PROCESSES[1:]
    two = spread(ratios(processes, f"{n} × 1", f"1 × {threads}", "images_per_second")).median
    yield from _sentence(
        f"Batches of {BATCHES[-1]:,} instead of {BATCHES[0]} bring {cheaper:.1f} times as many images a "
        f"second; {WIDTHS[-1] // WIDTHS[0]} times as many hidden units make a step {longer:.1f} times as "
        f"long; {n} processes reach {100 * two:.0f}{KEPT}% of the speed of one with {threads} threads."
    )
    yield from _text("One thing grows, the rest stays as above: 784-400-20, batches of 128, 49,920 images.")
    yield (
        "![Five small plots of the cost of our VAE. Images per second against the batch size, milliseconds "
        "per step against the width of the hidden layers and against the number of images, milliseconds per "
        "image of the tighter bound against the number of draws, and images per second with one and with two "
        "processes. The tables below have the numbers.](_static/benchmarks.svg)\n"
    )
    yield from _text(
        "With several processes, `torchrun` in front of `gm_lib train vae`: a batch is shared among "
        "them, and gradients are averaged."
    )
    yield "<details>\n<summary>The numbers of these plots</summary>\n"
    for title, unit, points in curves(rounds):
        yield from _table(title, unit)
        for x, found in points:
            yield _row(f"{x:,}", _spread(found, 1, 0 if found.median >= 1_000 else 2))
        yield ""
    yield from _table("processes × threads of each", "images per second")
    for n, threads in PROCESSES:
        found = spread(values(processes, f"{n} × {threads}", "images_per_second"))
        yield _row(f"{n}{KEPT}×{KEPT}{threads}", _spread(found, 1, 0))
    yield "\n</details>\n"


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

    from gm_lib.system.drawings import use_typeface

    measured = record["measured"]
    with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "benchmarks", "font.size": 9}):
        use_typeface()
        # Two beside each other: on a phone, too, the labels can be read.
        drawing, grid = plt.subplots(3, 2, figsize=(5.6, 6.6), layout="constrained")
        *axes, rest = grid.flat
        rest.set_axis_off()
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
    if low == high:
        return median
    return f"{median}{KEPT}({low}{KEPT}to{KEPT}{high})"


def _text(paragraph: str) -> Iterator[str]:
    yield from textwrap.wrap(paragraph, 110, break_long_words=False, break_on_hyphens=False)
    yield ""


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
