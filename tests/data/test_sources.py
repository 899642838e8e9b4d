"""Files found, broken, missing and downloaded, against a server on this machine that misbehaves as asked."""

import dataclasses
import errno
import gzip
import hashlib
import io
import logging
import math
import re
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pooch
import pytest
import torchvision

from gm_lib.data import sources
from gm_lib.data.published import SETS, DataFile, DataSet
from gm_lib.data.sources import DownloadError, load_files

# As they are outside of the tests, which have no mirrors and no cache.
PUBLISHED, CACHE_FOLDER = dict(SETS), sources.cache_folder

CONTENTS = {"first": bytes(range(256)) * 40, "second": b"second " * 300}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}


def archived() -> bytes:
    """Return a tar.gz in which the files lie in the folder `toy`."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in CONTENTS.items():
            member = tarfile.TarInfo(f"toy/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


ARCHIVE = archived()


def zipped() -> bytes:
    """Return a zip in which the files lie in the folder `toy-1.0/raw`."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zip_file:
        for name, content in CONTENTS.items():
            zip_file.writestr(f"toy-1.0/raw/{name}", content)
        zip_file.writestr("toy-1.0/README", "no file of the set")
    return archive.getvalue()


ZIP = zipped()


def described(name: str) -> DataFile:
    return DataFile(
        name,
        size=len(CONTENTS[name]),
        checksum=f"sha256:{hashlib.sha256(CONTENTS[name]).hexdigest()}",
        packed=f"sha256:{hashlib.sha256(PACKED[name]).hexdigest()}",
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
        archive = {"toy.tar.gz": ARCHIVE, "v1.0.zip": ZIP}.get(name)
        body = archive or PACKED[name.removesuffix(".gz")]
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
    assert place.endswith("cache/toy/raw (GM_DATA has no toy/raw)")
    with pytest.raises(DownloadError, match="GM_DATA has no other/raw"):
        load_files(dataclasses.replace(data_set(), folder="other/raw"))


@pytest.mark.parametrize("levels", [1, 2])
def test_a_gm_data_that_names_a_folder_on_the_way_to_the_files_is_understood(
    levels: int, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GM_DATA", str([given, given.parent][levels % 2]))
    contents, place = load_files(data_set())
    assert contents == list(CONTENTS.values())
    assert place == ["$GM_DATA", "$GM_DATA/raw"][levels % 2]


@pytest.mark.parametrize(
    "name", ["a-idx3/a-idx3", "a.idx3", "a.idx3/a.idx3", "a-idx3/a-idx3.gz", "a.idx3.gz"]
)
def test_files_are_found_under_the_names_that_kaggle_gives_them(name: str, given: Path) -> None:
    content = PACKED["first"] if name.endswith(".gz") else CONTENTS["first"]
    (given / name).parent.mkdir(exist_ok=True)
    (given / name).write_bytes(content)
    file = dataclasses.replace(described("first"), name="a-idx3")
    assert load_files(DataSet("toy set", "toy/raw", (file,), ())) == ([CONTENTS["first"]], "$GM_DATA/toy/raw")


def test_what_is_packed_is_seen_in_the_content_not_in_the_name(given: Path) -> None:
    (given / "first").write_bytes(PACKED["first"])
    (given / "second").rename(given / "second.gz")
    assert load_files(data_set())[0] == list(CONTENTS.values())


@pytest.mark.parametrize(
    "place", ["first", "toy_set/first", "Toy/raw/first.gz", "raw/first", "toy/toy/raw/first"]
)
def test_files_at_another_place_of_gm_data_are_an_error_and_never_passed_over_in_silence(
    place: str, given: Path, cache: Path, server: Server
) -> None:
    root = given.parents[1]
    shutil.rmtree(root / "toy")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_bytes(CONTENTS["first"])
    message = f"{root / place} is not where toy set is looked for. If it is toy set's, let {given} hold first"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        load_files(data_set(server.mirror("whole")))
    assert server.asked == []


def test_another_set_at_its_own_place_in_gm_data_is_no_mistake(
    given: Path, cache: Path, server: Server
) -> None:
    given.parent.rename(given.parents[1] / "other")
    assert "GM_DATA has no toy/raw" in load_files(data_set(server.mirror("whole")))[1]


def test_files_in_gm_data_need_no_home_folder(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object) -> None:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(sources, "cache_folder", CACHE_FOLDER)
    monkeypatch.setattr(pooch, "os_cache", homeless)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr(Path, "expanduser", lambda self: self)
    assert load_files(data_set())[0] == list(CONTENTS.values())
    shutil.rmtree(given.parent)
    with pytest.raises(FileNotFoundError, match=r"no place for a cache .* Set XDG_CACHE_HOME"):
        load_files(data_set())


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
        ("first", bytes(10_240), f"expected {described('first').checksum}. Delete it"),
        ("first.gz", PACKED["first"][:100], "first.gz is broken: it cannot be unpacked"),
        ("first.gz", b"<html>Log in first</html>", "first.gz is broken: it holds 25 bytes"),
        (
            "first.gz",
            gzip.compress(bytes(10_240)),
            "first.gz is broken: the checksum of its content is sha256:",
        ),
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
    with pytest.raises(OSError, match=f"has not the checksum {described('first').packed}") as caught:
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
def test_gm_offline_is_off_where_it_is_empty_or_0(
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
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_files(data_set(server.mirror("whole")))[1] == "~/cache/toy/raw"


# An archive of all files


def archive_set(*mirrors: str) -> DataSet:
    md5 = hashlib.md5(ARCHIVE, usedforsecurity=False).hexdigest()
    files = (described("first"), described("second"))
    return DataSet("toy set", "toy", files, mirrors, archive=("toy.tar.gz", f"md5:{md5}"))


def test_an_archive_is_downloaded_once_and_only_its_files_are_kept(cache: Path, server: Server) -> None:
    root = cache.parents[1]
    contents, place = load_files(archive_set(server.mirror("half"), server.mirror("whole")))
    assert contents == list(CONTENTS.values())
    assert place == str(root / "toy")
    assert names(root) == ["toy"]
    assert load_files(archive_set())[0] == contents
    assert server.asked == ["/half/toy.tar.gz", "/whole/toy.tar.gz"]


@pytest.mark.parametrize("behaviour", ["half", "absent", "other"])
def test_an_archive_that_does_not_come_whole_leaves_nothing(
    behaviour: str, cache: Path, server: Server
) -> None:
    with pytest.raises(OSError, match=r"toy\.tar\.gz could not be downloaded"):
        load_files(archive_set(server.mirror(behaviour)))
    assert names(cache.parents[1]) == []


def test_an_archive_in_gm_data_is_to_be_unpacked(given: Path, cache: Path) -> None:
    shutil.rmtree(given.parent)
    (given.parents[1] / "toy.tar.gz").write_bytes(ARCHIVE)
    with pytest.raises(FileNotFoundError, match=r"toy\.tar\.gz is not where toy set is looked for"):
        load_files(archive_set())


# A set with one checksum for all files


def whole_set(*mirrors: str) -> DataSet:
    """The set as a zip, of whose files no checksum is published but that of all contents together."""
    both = hashlib.sha256(b"".join(CONTENTS.values())).hexdigest()
    return DataSet(
        "toy set",
        "toy/raw",
        (DataFile("first"), DataFile("second")),
        mirrors,
        archive=("v1.0.zip", f"sha256:{hashlib.sha256(ZIP).hexdigest()}"),
        archived_in="toy-1.0/raw",
        checksum=f"sha256:{both}",
    )


def test_a_zip_is_unpacked_from_the_folder_that_it_has(cache: Path, server: Server) -> None:
    contents, _ = load_files(whole_set(server.mirror("whole")))
    assert contents == list(CONTENTS.values())
    assert names(cache) == ["first", "second"]
    assert load_files(whole_set())[0] == contents


def test_a_zip_of_another_content_is_refused(cache: Path, server: Server) -> None:
    with pytest.raises(OSError, match=r"v1\.0\.zip could not be downloaded .* has not the checksum"):
        load_files(whole_set(server.mirror("other")))
    assert names(cache.parent) == []


def test_one_altered_byte_among_all_contents_is_noticed(given: Path) -> None:
    assert load_files(whole_set())[0] == list(CONTENTS.values())
    (given / "second").write_bytes(CONTENTS["second"][:-1] + b"!")
    with pytest.raises(
        OSError, match=r"the 2 files in .*raw are not those of toy set as published"
    ) as refused:
        load_files(whole_set())
    assert str(whole_set().checksum) in str(refused.value)


def test_contents_in_another_order_are_not_the_set(given: Path) -> None:
    (given / "first").write_bytes(CONTENTS["second"])
    (given / "second").write_bytes(CONTENTS["first"])
    with pytest.raises(OSError, match="are not those of toy set"):
        load_files(whole_set())


def test_files_are_examined_only_when_the_set_is_not_as_published(given: Path) -> None:
    seen: list[Path] = []
    load_files(whole_set(), examine=lambda path, content: seen.append(path))
    assert seen == []
    (given / "first").write_bytes(b"")
    with pytest.raises(OSError, match="are not those"):
        load_files(whole_set(), examine=lambda path, content: seen.append(path))
    assert seen == [given / "first", given / "second"]


def test_where_a_file_is_lacking_one_that_is_none_of_the_sets_is_named(given: Path) -> None:
    (given / "second").rename(given / "secnod")
    with pytest.raises(
        FileNotFoundError, match=r"lacks second \(plain or \.gz\)\. .* It holds secnod, which is no"
    ):
        load_files(whole_set())


# Files of MNIST's names that are not MNIST's


def idx(*shape: int) -> bytes:
    """Return a file in MNIST's format whose values are all 7."""
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + b"\7" * math.prod(shape)


@pytest.fixture
def mnist_folder(given: Path) -> Path:
    """The folder in GM_DATA where MNIST's files belong, with four that have but their names and sizes."""
    folder = given.parents[1] / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for file, shape in zip(
        SETS["mnist"].files, [(60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,)], strict=True
    ):
        (folder / file.name).write_bytes(idx(*shape))
        assert (folder / file.name).stat().st_size == file.size
    return folder


def test_files_of_mnists_names_and_sizes_are_not_called_broken(mnist_folder: Path) -> None:
    with pytest.raises(
        OSError, match=r"train-images-idx3-ubyte is not MNIST's: its sha256 is [0-9a-f]{64}\. "
    ) as caught:
        load_files(SETS["mnist"])
    assert "Fashion-MNIST, KMNIST and EMNIST have files of the same names" in str(caught.value)
    assert "elete" not in str(caught.value)


def test_a_whole_file_of_another_number_of_images_is_not_called_broken(mnist_folder: Path) -> None:
    (mnist_folder / "train-images-idx3-ubyte").write_bytes(idx(240, 28, 28))
    with pytest.raises(OSError, match="is not MNIST's: its sha256 is"):
        load_files(SETS["mnist"])


@pytest.mark.parametrize("content", [idx(240, 28, 28)[:-1], idx(240, 28, 28)[:6], b"", bytes(47_040_016)])
def test_a_truncated_or_overwritten_file_is_called_broken(content: bytes, mnist_folder: Path) -> None:
    (mnist_folder / "train-images-idx3-ubyte").write_bytes(content)
    for name in ("mnist", "fashion_mnist"):
        with pytest.raises(OSError, match=r"train-images-idx3-ubyte is broken: .*Delete it"):
            load_files(dataclasses.replace(SETS[name], folder="MNIST/raw"))


def test_a_file_whose_checksum_is_known_is_named_as_what_it_is(
    mnist_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(idx(60_000, 28, 28), compresslevel=1)
    md5 = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    fashion = SETS["fashion_mnist"]
    images = dataclasses.replace(fashion.files[0], packed=f"md5:{md5}")
    known = dataclasses.replace(fashion, files=(images, *fashion.files[1:]))
    monkeypatch.setitem(SETS, "fashion_mnist", known)
    (mnist_folder / "train-images-idx3-ubyte").unlink()
    (mnist_folder / "train-images-idx3-ubyte.gz").write_bytes(packed)
    with pytest.raises(
        OSError,
        match=r"ubyte\.gz holds Fashion-MNIST's training images, not MNIST's training images\. Move it",
    ):
        load_files(SETS["mnist"])
    assert load_files(dataclasses.replace(known, folder="MNIST/raw"))[0][0] == idx(60_000, 28, 28)


def test_two_files_of_one_set_that_were_swapped_are_named(given: Path) -> None:
    (given / "second").write_bytes(CONTENTS["first"])
    with pytest.raises(OSError, match=r"second holds toy set's first, not toy set's second"):
        load_files(data_set())


def test_mnist_in_the_place_of_another_set_is_named(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the .gz files of Fashion-MNIST have published checksums; its plain files go by their size."""
    labels = idx(60_000)
    file = DataFile("train-labels-idx1-ubyte", 60_008, packed="md5:")
    other = DataSet("Fashion-MNIST", "toy/raw", (file,), ())
    (given / file.name).write_bytes(labels)
    assert load_files(other)[0] == [labels]
    known = dataclasses.replace(file, checksum=f"sha256:{hashlib.sha256(labels).hexdigest()}")
    monkeypatch.setitem(SETS, "mnist", dataclasses.replace(SETS["mnist"], files=(known,)))
    with pytest.raises(OSError, match="holds MNIST's training labels, not Fashion-MNIST's training labels"):
        load_files(other)


@pytest.mark.parametrize(
    ("name", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_names_checksums_and_folders_of_the_idx_sets_are_torchvisions(name: str, kind: str) -> None:
    theirs = getattr(torchvision.datasets, kind)
    ours = PUBLISHED[name]
    assert ours.folder == f"{kind}/raw"
    assert [f"{file.name}.gz" for file in ours.files] == [name for name, _ in theirs.resources]
    if name != "mnist":  # of MNIST we know better ones
        assert [file.packed for file in ours.files] == [f"md5:{md5}" for _, md5 in theirs.resources]
        assert list(ours.mirrors) == theirs.mirrors


def test_there_are_50_recordings_of_each_digit_by_each_of_six_speakers() -> None:
    found = [file.name for file in PUBLISHED["fsdd"].files]
    assert len(found) == len(set(found)) == 3000
    assert found[:2] == ["0_george_0.wav", "0_george_1.wav"]
    assert found[-1] == "9_yweweler_49.wav"


def test_names_checksums_and_folder_of_cifar_10_are_torchvisions() -> None:
    theirs = torchvision.datasets.CIFAR10
    files = [*theirs.train_list, *theirs.test_list, [theirs.meta["filename"], theirs.meta["md5"]]]
    ours = PUBLISHED["cifar10"]
    assert [[file.name, file.checksum] for file in ours.files] == [
        [name, f"md5:{md5}"] for name, md5 in files
    ]
    assert ours.folder == theirs.base_folder
    assert ours.archive == (theirs.filename, f"md5:{theirs.tgz_md5}")
    assert ours.mirrors[0] + theirs.filename == theirs.url
