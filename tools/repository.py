"""Where the course lives on GitHub, and under which name its present state is found there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml
from packaging.version import InvalidVersion, Version

UNSET_OWNER = "OWNER"  # until tools/set_slug.py has set the repository's name
VERSION_LINE = re.compile(r'^__version__ = "([^"]+)"', re.M)


@dataclass(frozen=True)
class Repository:
    """Where the course lives: slug ("owner/name") and branch on GitHub, and the version of gm_lib there."""

    slug: str
    branch: str
    version: str

    @property
    def released(self) -> bool:
        """Return whether the version is a release; between releases it ends in ``.devN``."""
        return not Version(self.version).is_devrelease

    @property
    def ref(self) -> str:
        """Return what links and installs point to: a release's own tag, which never moves, or the branch."""
        return f"v{self.version}" if self.released else self.branch

    @property
    def site(self) -> str | None:
        """Return the address of the repository's pages on GitHub; None while the slug has no owner."""
        owner, _, name = self.slug.partition("/")
        if owner == UNSET_OWNER:
            return None
        own = f"{owner.lower()}.github.io"
        return f"https://{own}/" if name.lower() == own else f"https://{own}/{name}/"

    def page(self, path: str) -> str:
        """Return the address of a file, named by its path in the repository."""
        return f"https://github.com/{self.slug}/blob/{self.ref}/{path}"

    def colab(self, name: str) -> str:
        """Return the address that opens the notebook of chapter ``name`` in Colab."""
        path = f"{self.slug}/blob/{self.ref}/notebooks/{name}.ipynb"
        return f"https://colab.research.google.com/github/{path}"


def repository(root: Path) -> Repository:
    """Return slug and branch as ``_config.yml`` has them, and the version of ``gm_lib``.

    Raises ``ValueError`` where gm_lib has no version, or one that is none.
    """
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))["repository"]
    slug = str(config["url"]).removeprefix("https://github.com/").removesuffix("/")
    version = VERSION_LINE.search((root / "gm_lib" / "__init__.py").read_text("utf-8"))
    if version is None:
        raise ValueError('gm_lib/__init__.py: no line `__version__ = "…"` in it.')
    try:
        Version(version[1])
    except InvalidVersion as error:
        raise ValueError(
            f"gm_lib/__init__.py: {error}; write 0.2.0, or 0.2.0.dev0 on the way to it."
        ) from None
    return Repository(slug, str(config.get("branch", "main")), version[1])
