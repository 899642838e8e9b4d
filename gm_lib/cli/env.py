"""The command ``env``: what running the course needs, and whether this machine has it."""

import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import click
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gm_lib import __version__

# The name under which the library is installed; its metadata is the one place where the floors are written.
_DISTRIBUTION = "gm-lib"


@click.command()
def env() -> None:
    """Check whether this machine has what the course needs.

    Exits with 1 if something is missing. Paste the output into a report of a problem.
    """
    ok = True
    for finding in findings():
        mark = click.style("[OK]  ", fg="green") if finding.ok else click.style("[FAIL]", fg="red", bold=True)
        click.echo(f"{mark} {finding.name:<13} {finding.text}")
        ok = ok and finding.ok
    if not ok:
        click.get_current_context().exit(1)


class Finding(NamedTuple):
    """Whether one requirement is met, and what was found: a version, a place, or what is wrong."""

    name: str
    ok: bool
    text: str


def findings() -> Iterator[Finding]:
    """Look at one requirement after the other; what only an optional part needs counts as met."""
    yield Finding("gm_lib", True, __version__)
    yield Finding("platform", True, f"{platform.platform()}, {os.cpu_count()} CPU cores")
    yield _finding("python", _python)
    try:
        required = [Requirement(line) for line in metadata.requires(_DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        yield Finding("packages", False, "gm_lib is not installed: run pip install -e . in its folder")
        return
    for package in required:
        if package.marker is None:  # the others belong to the extras
            yield _finding(package.name, partial(_package, package))
    yield _finding("device", _device)
    yield _finding("profile", _profile)
    yield _finding("data", _data)
    yield _finding("cache", _cache)


def _finding(name: str, look: Callable[[], str]) -> Finding:
    """Return what ``look`` says, or the error that it raises as what is wrong."""
    try:
        return Finding(name, True, look())
    except Exception as error:
        return Finding(name, False, str(error) or type(error).__name__)


def _python() -> str:
    found = platform.python_version()
    wanted = metadata.metadata(_DISTRIBUTION)["Requires-Python"]
    if not SpecifierSet(wanted).contains(found, prereleases=True):
        raise ValueError(f"{found} found, {wanted} needed")
    return found


def _package(wanted: Requirement) -> str:
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        raise ValueError(f'missing: run pip install "{wanted}"') from None
    if not wanted.specifier.contains(found, prereleases=True):
        raise ValueError(f'{found} found, {wanted.specifier} needed: run pip install "{wanted}"')
    return f"{found} ({wanted.specifier})"


def _device() -> str:
    """Name the device that models run on, having computed something there: an old driver fails only then."""
    import torch

    from gm_lib import runtime

    device = runtime.device()
    torch.ones(2, device=device).sum().item()
    detail = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    )
    return f"{device.type} ({detail})"


def _profile() -> str:
    from gm_lib import runtime

    return f"{runtime.profile()} ({'GM_PROFILE' if os.environ.get('GM_PROFILE') else 'chosen by the device'})"


def _data() -> str:
    from gm_lib.data.images import find_mnist
    from gm_lib.data.sources import offline

    if place := find_mnist():
        return f"MNIST in {place}"
    if offline():
        return "MNIST is not here, and GM_OFFLINE is set: digits take its place"
    return "MNIST is not here: it is downloaded when it is first used"


def _cache() -> str:
    """Write to the folder that downloads go to, or to the nearest one above it that exists."""
    from gm_lib.data.sources import cache_folder

    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise type(error)(
            f"{folder} cannot be written ({error.strerror}); put data elsewhere, see GM_DATA"
        ) from error
    home = Path.home()
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)
