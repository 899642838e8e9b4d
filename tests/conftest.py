"""What every test may rely on: it meets no data, cache, settings or network of the machine it runs on."""

import dataclasses
import random
import signal
import zlib

import numpy as np
import pytest
import torch

from gm_lib.data import (
    ImageData,
    MusicData,
    ProseData,
    SpeechData,
    chorales,
    images,
    names,
    shakespeare,
    sources,
    spoken_digits,
)
from gm_lib.data.images import find_mnist
from gm_lib.data.music import find_music
from gm_lib.data.prose import find_prose
from gm_lib.data.published import SETS
from gm_lib.data.speech import find_speech

REAL_SETS = ("mnist", "speech", "music", "prose")


def pytest_configure() -> None:
    """Listen to signals that the tests' own starter may ignore: a shell's background, nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it asks for: a real set by its name, the shared browser by `site`.

    That browser stays open to the end of its process, and a second one cannot be started beside it.
    """
    for item in items:
        asked = getattr(item, "fixturenames", ())
        for name in REAL_SETS:
            if name in asked:
                item.add_marker(name)
        if "browser" in asked:
            item.add_marker("site")


def seed_everything(name: str) -> None:
    """Begin the global random states at a place of their own for each name."""
    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what SciPy and scikit-learn draw from if told nothing
    torch.manual_seed(seed)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before fixtures that many tests share: they draw the same whichever test is the first to want them."""
    seed_everything(item.nodeid.partition("::")[0])


@pytest.fixture(autouse=True)
def _same_draws_whatever_ran_before(request: pytest.FixtureRequest) -> None:
    """Give each test draws of its own, which hang on its name alone."""
    seed_everything(request.node.nodeid)


@pytest.fixture(autouse=True)
def _away_from_this_machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide GM_DATA, the user's cache and the network; tests of real sets and of the `site` see them."""
    if any(request.node.get_closest_marker(name) for name in (*REAL_SETS, "site")):
        return
    for name in ("GM_DATA", "GM_OFFLINE", "GM_PROFILE", "GM_STRICT"):
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path_factory.getbasetemp() / "no-cache"
    monkeypatch.setattr(sources, "cache_folder", lambda: empty)
    # Nobody listens on this port of the machine, so nothing is ever downloaded.
    for name, data_set in SETS.items():
        monkeypatch.setitem(SETS, name, dataclasses.replace(data_set, mirrors=("http://127.0.0.1:9/",)))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def skip_unless(found: object, what: str, place: str, download: str) -> None:
    """Skip a test of real data that are not on this machine, and say how to get them."""
    if not found:
        pytest.skip(f"needs {what}: set GM_DATA to a folder with {place}, or download {download}")


@pytest.fixture(scope="session")
def mnist() -> ImageData:
    """The real MNIST from GM_DATA or the user's cache; without it the test is skipped."""
    skip_unless(find_mnist(), "MNIST", "MNIST/raw", "it by gm_lib.data.images()")
    return images("mnist")


@pytest.fixture(scope="session")
def speech() -> SpeechData:
    """The real spoken digits from GM_DATA or the user's cache; without them the test is skipped."""
    skip_unless(find_speech(), "spoken digits", "fsdd/recordings", "them by gm_lib.data.spoken_digits()")
    return spoken_digits()


@pytest.fixture(scope="session")
def music() -> MusicData:
    """The real chorales from GM_DATA or the user's cache; without them the test is skipped."""
    place = "jsb/jsb-chorales-quarter.json"
    skip_unless(find_music(), "chorales", place, "them by gm_lib.data.chorales()")
    return chorales()


@pytest.fixture(scope="session")
def prose() -> tuple[ProseData, ProseData]:
    """The real names and plays from GM_DATA or the user's cache; without them the test is skipped."""
    skip_unless(
        find_prose("names") and find_prose("shakespeare"),
        "names and plays",
        "names.txt and tinyshakespeare.txt in text",
        "them by gm_lib.data.names() and gm_lib.data.shakespeare()",
    )
    return names(), shakespeare()
