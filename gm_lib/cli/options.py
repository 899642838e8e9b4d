"""What several commands take: kinds of values, and the options that are the same in each."""

import math
from pathlib import Path
from typing import Any

import click

from gm_lib.system.choose import choose

PRECISIONS = ("float32", "bfloat16")
POSITIVE = click.IntRange(min=1)


class OneOf(click.Choice):
    """A choice that answers a misspelt name with the nearest ones."""

    def __init__(self, kind: str, known: tuple[str, ...]) -> None:
        super().__init__(known)
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value``, or fail with the names that resemble it."""
        try:
            return choose(self.kind, value, self.choices)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Finite(click.FloatRange):
    """A range of numbers, of which neither infinity nor NaN is one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a number, or fail."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


class Place(click.Path):
    """A path, in which ``~`` is the user's home folder also where no shell has said so (``--out=~/run``)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        return Path(str(super().convert(value, param, ctx))).expanduser()


device_option = click.option("--device", help="cpu, cuda, cuda:1 or mps.  [default: the fastest here]")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Fixes all random numbers."
)
run_argument = click.argument("run", type=Place())
