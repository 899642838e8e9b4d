"""Files found, broken, missing and downloaded, against a server on this machine that misbehaves as asked."""

import errno
import gzip
import hashlib
import logging
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pooch
import pytest

from gm_lib.data import sources
from gm_lib.data.sources import DataFile, DataSet, DownloadError, load_files

CONTENTS = {"first": bytes(range(256)) * 40, "second": b"second " * 300}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


def described(name: str) -> DataFile:
    return DataFile(
        name,
        size=len(CONTENTS[name]),
        sha256=hashlib.sha256(CONTENTS[name]).hexdigest(),
        gz_sha256=hashlib.sha256(PACKED[name]).hexdigest(),
    )


class Server(ThreadingHTTPServer):
    """Gives the files as the first part of the path says, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    def mirror(self, behaviour: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        _, behaviour, name = self.path.split("/")
        body = PACKED[name.removesuffix(".gz")]
        if behaviour == "absent" or (behaviour == "only-first" and name != "first.gz"):
            self.send_error(404)
            return
        self.send_response(200)
        if behaviour != "half-unannounced":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "other":
            body = bytes(len(body))
        if behaviour.startswith("half"):
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in the (empty) cache where the files of `data_set` belong."""
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache" / "toy" / "raw"


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in GM_DATA where the files belong, with both of them plain."""
    monkeypatch.setenv("GM_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "toy" / "raw"
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


def data_set(*mirrors: str) -> DataSet:
    return DataSet("toy set", "toy/raw", (described("first"), described("second")), mirrors)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_in_gm_data_are_read_plain_or_gzipped(given: Path) -> None:
    (given / "second").unlink()
    (given / "second.gz").write_bytes(PACKED["second"])
    contents, place = load_files(data_set())
    assert contents == [CONTENTS["first"], CONTENTS["second"]]
    assert place == "$GM_DATA/toy/raw"


def test_gm_data_may_be_relative_to_the_working_directory(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(given.parent)
    monkeypatch.setenv("GM_DATA", "..")
    assert load_files(data_set())[1] == "$GM_DATA/toy/raw"


def test_a_gm_data_that_does_not_exist_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(
        FileNotFoundError, match=r"GM_DATA is set to '.*nowhere', but there is no folder .*nowhere"
    ):
        load_files(data_set())


def test_a_gm_data_that_is_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GM_DATA", str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_files(data_set())


def test_a_set_of_which_gm_data_lacks_a_file_is_refused(given: Path) -> None:
    (given / "second").unlink()
    with pytest.raises(FileNotFoundError, match=r"toy/raw lacks second \(plain or \.gz\)"):
        load_files(data_set())


def test_a_gm_data_without_the_set_leaves_it_to_the_cache(
    given: Path, cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CONTENTS:
        (given / name).unlink()
    _, place = load_files(data_set(server.mirror("whole")))
    assert place.endswith("cache/toy/raw")


@pytest.mark.parametrize("place", ["GM_DATA", "cache"])
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "first",
            CONTENTS["first"][:5000],
            "first is broken: it holds 5,000 bytes, expected 10,240. Delete it",
        ),
        ("first", b"", "first is broken: it holds 0 bytes"),
        ("first", bytes(10_240), f"expected {described('first').sha256}. Delete it"),
        ("first.gz", PACKED["first"][:100], "first.gz is broken: it cannot be unpacked"),
        ("first.gz", b"<html>Log in first</html>", "first.gz is broken: it cannot be unpacked"),
        ("first.gz", gzip.compress(bytes(10_240)), "first.gz is broken: the sha256 of its content is"),
    ],
    ids=["truncated", "empty", "altered", "gz-truncated", "gz-not", "gz-altered"],
)
def test_a_broken_file_is_an_error_that_names_it_and_never_replaced_in_silence(
    place: str, name: str, content: bytes, message: str, given: Path, cache: Path, server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (given / "first").unlink()
    (given / name).write_bytes(content)
    if place == "cache":
        monkeypatch.delenv("GM_DATA")
        cache.parent.mkdir(parents=True)
        given.rename(cache)
    with pytest.raises(OSError, match=re.escape(message)) as caught:
        load_files(data_set(server.mirror("whole")))
    assert not isinstance(caught.value, DownloadError)
    assert str(cache if place == "cache" else given) in str(caught.value)
    assert server.asked == []


def test_what_is_missing_is_downloaded_once(cache: Path, server: Server) -> None:
    contents, place = load_files(data_set(server.mirror("whole")))
    assert contents == list(CONTENTS.values())
    assert place == str(cache)
    assert names(cache) == ["first.gz", "second.gz"]
    assert load_files(data_set()) == (contents, place)
    assert server.asked == ["/whole/first.gz", "/whole/second.gz"]


@pytest.mark.parametrize(
    ("behaviour", "reason"), [("half", "the connection broke off"), ("absent", "answered 404 Not Found")]
)
def test_a_download_that_fails_leaves_nothing_and_says_why(
    behaviour: str, reason: str, cache: Path, server: Server
) -> None:
    with pytest.raises(
        DownloadError, match=rf"first\.gz could not be downloaded \(127\.0\.0\.1:\d+: {reason}\)"
    ):
        load_files(data_set(server.mirror(behaviour)))
    assert names(cache) == []


def test_a_port_where_nobody_listens_is_a_failed_download(cache: Path) -> None:
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9: not reachable"):
        load_files(data_set("http://127.0.0.1:9/"))
    assert names(cache) == []


@pytest.mark.parametrize("behaviour", ["other", "half-unannounced"])
def test_other_bytes_than_the_file_are_an_error_and_no_lack_of_network(
    behaviour: str, cache: Path, server: Server
) -> None:
    with pytest.raises(OSError, match=f"has not the sha256 {described('first').gz_sha256}") as caught:
        load_files(data_set(server.mirror(behaviour)))
    assert not isinstance(caught.value, DownloadError)
    assert names(cache) == []


@pytest.mark.parametrize("behaviour", ["half", "half-unannounced", "absent", "other"])
def test_the_next_mirror_is_tried(behaviour: str, cache: Path, server: Server) -> None:
    contents, _ = load_files(
        data_set("http://127.0.0.1:9/", server.mirror(behaviour), server.mirror("whole"))
    )
    assert contents == list(CONTENTS.values())
    assert names(cache) == ["first.gz", "second.gz"]


def test_under_gm_offline_what_is_missing_is_not_downloaded(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GM_OFFLINE", "1")
    with pytest.raises(DownloadError, match="GM_OFFLINE is set"):
        load_files(data_set(server.mirror("whole")))
    assert server.asked == []


def test_gm_offline_leaves_files_that_are_here_in_use(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_OFFLINE", "1")
    assert load_files(data_set())[0] == list(CONTENTS.values())


@pytest.mark.parametrize("value", ["", "0"])
def test_gm_offline_is_off_unless_it_is_1(
    value: str, cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GM_OFFLINE", value)
    assert load_files(data_set(server.mirror("whole")))[0] == list(CONTENTS.values())


def test_an_interrupted_set_is_completed_later(cache: Path, server: Server) -> None:
    with pytest.raises(DownloadError, match=r"second.gz"):
        load_files(data_set(server.mirror("only-first")))
    assert names(cache) == ["first.gz"]
    load_files(data_set(server.mirror("whole")))
    assert server.asked == ["/only-first/first.gz", "/only-first/second.gz", "/whole/second.gz"]


def test_ctrl_c_amid_a_download_leaves_nothing(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: object, url: str, output_file: str, pooch: object) -> None:
        Path(output_file).write_bytes(PACKED["first"][:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_files(data_set(server.mirror("whole")))
    assert names(cache) == []


def test_a_cache_that_cannot_be_made_is_an_error_that_names_it(
    tmp_path: Path, cache: Path, server: Server
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(
        OSError, match=r"toy set cannot be saved in .*cache/toy/raw .* set GM_DATA=FOLDER"
    ) as caught:
        load_files(data_set(server.mirror("whole")))
    assert not isinstance(caught.value, DownloadError)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_a_disk_that_does_not_take_the_file_is_an_error_that_names_the_folder(
    number: int, cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "the disk refuses")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", refuse)
    with pytest.raises(OSError, match=r"cannot be saved in .*cache/toy/raw .*the disk refuses") as caught:
        load_files(data_set(server.mirror("whole")))
    assert isinstance(caught.value, PermissionError) == (number == errno.EACCES)
    assert not isinstance(caught.value, DownloadError)


def test_a_download_shows_its_progress_and_nothing_else(
    cache: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[logging.LogRecord] = []
    monkeypatch.setattr(pooch.get_logger(), "handle", said.append)
    load_files(data_set(server.mirror("whole")))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "100%" in captured.err
    assert said == []


def test_the_home_folder_is_not_spelt_out(
    cache: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert load_files(data_set(server.mirror("whole")))[1] == "~/cache/toy/raw"
