"""Which outputs a chapter's page shows: those that ``tools/execute.py`` kept for the chapter as it is now."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from myst_nb.sphinx_ import SphinxEnvType
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

import execution_cache


@dataclass(frozen=True)
class Shown:
    """What a page shows: the state that its chapter was executed in, when that was, and what was recorded."""

    state: Path
    created: datetime
    record: dict[str, Any]


class Outputs:
    """The outputs of the chapters, as they are when the build begins."""

    def __init__(self, root: Path) -> None:
        self._chapters = {
            chapter.path.relative_to(root).with_suffix("").as_posix(): chapter
            for chapter in execution_cache.chapters(root)
        }

    def outdated(self, app: Sphinx, env: BuildEnvironment, *found: set[str]) -> Iterable[str]:
        """Return the pages that show other outputs than they should; Sphinx sees to changes in the pages."""
        return [docname for docname in self._chapters if self._present(docname) != shown(env).get(docname)]

    def choose(self, app: Sphinx, docname: str, source: list[str]) -> None:
        """Let the page that is read next find its outputs. There must be some: nothing is executed here."""
        if docname not in self._chapters:
            return
        present = self._present(docname)
        if present is None:
            raise ExtensionError(
                f"{docname} has not been executed with the cells, library, lock, profile and data of now. "
                "Run make book, or python tools/execute.py before this."
            )
        cast(SphinxEnvType, app.env).mystnb_config.execution_cache_path = str(present.state)
        shown(app.env)[docname] = present

    def _present(self, docname: str) -> Shown | None:
        executed = self._chapters[docname].executed()
        if executed is None:
            return None
        state, bundle = executed
        return Shown(state, bundle.record.created, bundle.record.data)


def shown(env: BuildEnvironment) -> dict[str, Shown]:
    """Return what is shown by each page that was read, in this build or an earlier one."""
    return vars(env).setdefault("gm_shown", {})
