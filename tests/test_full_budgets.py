"""The full profile is for a GPU. Ten steps of its trainings run here: no class should meet them first."""

import contextlib
import io
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from chapters import chapter_paths, read
from gm_lib import runtime
from gm_lib.runtime import forked_rng

STEPS = 10
TESTED = ["06_autoencoders"]


@pytest.mark.parametrize("name", TESTED)
def test_a_chapter_runs_on_in_the_full_profile_with_ten_steps_in_the_place_of_thousands(name, monkeypatch):
    """All cells but the proofs: what is asserted there is true after thousands of steps."""
    budgets = []

    def ten(*, quick: Any, full: Any) -> Any:
        budgets.append((quick, full))
        return min(full, STEPS)

    monkeypatch.setattr(runtime, "budget", ten)
    monkeypatch.setenv("GM_PROFILE", "full")
    mpl.use("agg")
    (path,) = (path for path in chapter_paths() if path.stem == name)
    names: dict[str, Any] = {"__name__": "__main__", "display": lambda *shown, **options: None}
    with (
        forked_rng(),
        mpl.rc_context(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.ExitStack() as end,
    ):
        end.callback(plt.close, "all")
        for cell in read(path).cells:
            if cell.kind == "code" and "proof" not in cell.tags and not cell.source.startswith("check("):
                exec(compile(cell.source, f"<{name}, line {cell.line}>", "exec"), names)
    assert budgets, "the chapter has no budget"
    assert all(full >= quick for quick, full in budgets)
