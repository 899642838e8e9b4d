"""Where data files come from: the folder named by GM_DATA, the user's cache, a download.

Whatever is found is compared with its checksum before it is used, and a download gets its final name only
after that comparison: an interrupted one leaves nothing behind that could be mistaken for the file.
"""

import contextlib
import gzip
import hashlib
import logging
import math
import os
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

from gm_lib.data.published import SETS, DataFile, DataSet

# Seconds to connect, and to wait for the next bytes: without a network the answer must come soon.
_TIMEOUT = (5.0, 15.0)
_MOVE = "Move it elsewhere and put the right one in its place; what the cache lacks is downloaded."


class DownloadError(ConnectionError):
    """No mirror could be reached, or none gave the whole file; the message says why."""


asked_for: set[str] = set()  # the sets that this process looked for: its results may depend on what it found


def data_folder() -> Path | None:
    """Return the folder that the environment variable ``GM_DATA`` names; None if it is unset or empty.

    Raises ``FileNotFoundError`` if there is no such folder.
    """
    named = os.environ.get("GM_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"GM_DATA is set to {named!r}, but there is no folder {folder.absolute()}. "
            "Set it to a folder that holds the data, or unset it to use the cache and the network."
        )
    return folder


def cache_folder() -> Path:
    """Return the folder that downloads are kept in: gm_lib's, in the user's cache (it may not exist yet).

    Raises ``FileNotFoundError`` for a user without a home folder.
    """
    try:
        return Path(pooch.os_cache("gm_lib"))
    except RuntimeError as error:
        raise FileNotFoundError(
            f"there is no place for a cache ({error}). Set XDG_CACHE_HOME to a folder that can be "
            "written, or GM_DATA to one that holds the data."
        ) from error


def offline() -> bool:
    """Tell whether the environment variable ``GM_OFFLINE`` is set: no download is then tried."""
    return os.environ.get("GM_OFFLINE", "") not in ("", "0")


def load_files(
    data_set: DataSet, examine: Callable[[Path, bytes], object] | None = None
) -> tuple[list[bytes], str]:
    """Return the contents of the files of ``data_set``, all checked, and where they lie, written for people.

    ``examine`` is for a set with one checksum for all files. Where that is not as published it is called with
    the path and the content of each file, to raise an error that names the one at fault.

    Raises ``FileNotFoundError`` when GM_DATA holds only some of the files, or has them where they are not
    looked for; ``OSError`` naming a file that is truncated, altered or another set's, or a cache that cannot
    be written; and :class:`DownloadError` when a file is not here and cannot be downloaded, or must not be
    (``GM_OFFLINE``).
    """
    folder = find_folder(data_set)
    if folder is None:
        folder = cache_folder() / data_set.folder
        try:
            _download(data_set, folder)
        except DownloadError as error:
            raise DownloadError(f"{error}{_passed_over(folder, data_set)}") from error
    found = [(path, file) for file in data_set.files if (path := _find(folder, file))]
    contents = [_read(path, file, data_set) for path, file in found]
    if data_set.checksum:
        digest = _digest(b"".join(contents), data_set.checksum.partition(":")[0])
        if digest != data_set.checksum:
            if examine:
                for (path, _), content in zip(found, contents, strict=True):
                    examine(path, content)
            raise OSError(
                f"the {len(contents):,} files in {folder} are not those of {data_set.name} as published: the "
                f"checksum of their contents is {digest}, expected {data_set.checksum}. Delete that folder: "
                "they are downloaded again, unless it is in GM_DATA; then copy them anew."
            )
    return contents, _for_people(folder) + _passed_over(folder, data_set)


def find_folder(data_set: DataSet) -> Path | None:
    """Return the folder on this machine that has all files of ``data_set``, in GM_DATA or the cache, or None.

    Raises ``FileNotFoundError`` when GM_DATA is no folder, holds only some of the files, or has files of
    these names where they are not looked for.
    """
    asked_for.add(data_set.name)
    given = data_folder()
    if given is not None:
        folder = _folder_in(given, data_set)
        missing = _missing(folder, data_set)
        if not missing:
            return folder
        if len(missing) < len(data_set.files):
            raise FileNotFoundError(
                f"{folder} lacks {_named(missing)} (plain or .gz). "
                f"Add what is missing, or unset GM_DATA.{_stray(folder, data_set)}"
            )
        if misplaced := _misplaced(given, data_set):
            raise FileNotFoundError(
                f"{misplaced} is not where {data_set.name} is looked for. If it is {data_set.name}'s, let "
                f"{given / data_set.folder} hold {_named(data_set.files)}; if not, "
                "move it elsewhere or unset GM_DATA."
            )
    kept = cache_folder() / data_set.folder
    return None if _missing(kept, data_set) else kept


def _folder_in(given: Path, data_set: DataSet) -> Path:
    """Return the set's folder in GM_DATA, which may itself be on the way there, as …/MNIST is."""
    way, end = Path(data_set.folder).parts, given.absolute().parts
    deeper = [given.joinpath(*way[k:]) for k in range(1, len(way) + 1) if end[-k:] == way[:k]]
    places = [given / data_set.folder, *deeper]
    return next((place for place in places if _missing(place, data_set) != [*data_set.files]), places[0])


def _misplaced(given: Path, data_set: DataSet) -> Path | None:
    """Return a file or archive in GM_DATA that seems to be of ``data_set`` and lies elsewhere, or None.

    Looked at are GM_DATA itself and folders in it that are called like the set: not all of what may be a
    large disk.
    """
    alike = {_letters(name) for name in (data_set.name, *Path(data_set.folder).parts)}
    near = [path for path in sorted(given.iterdir()) if path.is_dir() and _letters(path.name) in alike]
    ways = ("", Path(data_set.folder).name, data_set.folder)
    for folder in (given, *(path / way for path in near for way in ways)):
        if data_set.archive and (folder / data_set.archive[0]).is_file():
            return folder / data_set.archive[0]
        for file in data_set.files:
            if path := _find(folder, file):
                return path
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _named(files: Sequence[DataFile]) -> str:
    """Name the files, of very many only the first."""
    return (
        ", ".join(file.name for file in files)
        if len(files) < 9
        else f"{files[0].name} … {files[-1].name}, {len(files):,} files"
    )


def _stray(folder: Path, data_set: DataSet) -> str:
    """Name a file in ``folder`` that is none of a set of many: its name may be what is wrong with it."""
    if not data_set.checksum:
        return ""
    names = {file.name for file in data_set.files}
    stray = min((path.name for path in folder.iterdir() if path.name not in names), default=None)
    return f" It holds {stray}, which is no name of the set's files." if stray else ""


def _missing(folder: Path, data_set: DataSet) -> list[DataFile]:
    return [file for file in data_set.files if not _find(folder, file)]


def _find(folder: Path, file: DataFile) -> Path | None:
    """Return the path of ``file`` in ``folder``, plain or .gz, under its own name or Kaggle's, or None.

    Kaggle calls MNIST's files train-images.idx3-ubyte, and has them in folders of their own names too.
    """
    names = (file.name, file.name.replace("-idx", ".idx"))
    paths = [folder / name for name in names] + [folder / name / name for name in names]
    packed = [path.with_name(f"{path.name}.gz") for path in paths]
    return next((path for path in (*paths, *packed) if path.is_file()), None)


def _read(path: Path, file: DataFile, data_set: DataSet) -> bytes:
    """Return the (unpacked) content of ``path`` after comparing it with what ``file`` must be.

    Whether it is packed is seen in the content: browsers unpack a .gz file and leave its name.
    """
    raw = content = path.read_bytes()
    if data_set.checksum:  # compared once all are read
        return content
    if raw.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(raw)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _broken(path, f"it cannot be unpacked ({error})", "a whole gzip file") from error
    algorithm = file.checksum.partition(":")[0] if file.checksum else "sha256"
    digest = _digest(content, algorithm)
    if digest == file.checksum:
        return content
    if owner := _owner(raw, content, data_set):
        name, its = owner
        if its == file:
            return content
        raise OSError(f"{path} holds {name}'s {its.holds}, not {data_set.name}'s {file.holds}. {_MOVE}")
    right_size = file.size in (None, len(content))
    if _is_whole_idx(content):
        if right_size and file.checksum is None:
            return content
        raise OSError(
            f"{path} is not {data_set.name}'s: its {digest.replace(':', ' is ')}. MNIST, Fashion-MNIST, "
            f"KMNIST and EMNIST have files of the same names. {_MOVE}"
        )
    if not right_size:
        raise _broken(path, f"it holds {len(content):,} bytes", f"{file.size:,}")
    expected = file.checksum or "a file in the IDX format"
    raise _broken(path, f"the checksum of its content is {digest}", expected)


def _digest(content: bytes, algorithm: str) -> str:
    """Return the checksum of ``content`` as it is written in :class:`DataFile`."""
    return f"{algorithm}:{hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}"


def _owner(raw: bytes, content: bytes, data_set: DataSet) -> tuple[str, DataFile] | None:
    """Return which file of which set is known by the checksum of these bytes, as they lie or unpacked."""
    digests = {_digest(data, algorithm) for data in (raw, content) for algorithm in ("sha256", "md5")}
    known = ((each.name, file) for each in (data_set, *SETS.values()) for file in each.files)
    return next(((name, file) for name, file in known if digests & {file.checksum, file.packed}), None)


def _is_whole_idx(content: bytes) -> bool:
    """Tell whether ``content`` is in MNIST's IDX format, with as many bytes as its first ones announce."""
    rank = content[3] if content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * rank
    if rank == 0 or len(content) < start:
        return False
    return len(content) == start + math.prod(struct.unpack_from(f">{rank}I", content, offset=4))


def _broken(path: Path, found: str, expected: str) -> OSError:
    return OSError(
        f"{path} is broken: {found}, expected {expected}. "
        "Delete it: it is downloaded again, unless it lies in GM_DATA; then copy it anew."
    )


def _download(data_set: DataSet, folder: Path) -> None:
    """Download into ``folder`` those files of ``data_set`` that are not there yet."""
    if offline():
        raise DownloadError("GM_OFFLINE is set, so that no download is tried")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if data_set.archive:
            _download_archive(*data_set.archive, data_set, folder)
            return
        folder.mkdir(exist_ok=True)
        for file in _missing(folder, data_set):
            if file.plain:
                _download_file(file.name, file.checksum, data_set, folder, remote=file.plain)
            else:
                _download_file(f"{file.name}.gz", file.packed, data_set, folder)
    except DownloadError:
        raise
    except ValueError as error:
        raise OSError(
            f"{error}. Something seems to answer in the mirror's place: try another network, or put the "
            f"files into FOLDER/{data_set.folder} and set GM_DATA=FOLDER."
        ) from error
    except OSError as error:
        raise type(error)(
            f"{data_set.name} cannot be saved in {folder} ({error}). Make that folder writable and see that "
            f"the disk is not full, or put the files into FOLDER/{data_set.folder} and set GM_DATA=FOLDER."
        ) from error


def _download_archive(name: str, checksum: str, data_set: DataSet, folder: Path) -> None:
    """Download and unpack the archive beside ``folder``, and give it that name when all is there."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        _download_file(name, checksum, data_set, Path(temporary))
        unpacked = Path(temporary) / "unpacked"
        unpacked.mkdir()
        with _members(Path(temporary) / name) as read:
            for file in data_set.files:  # these and no other: an archive could hold files for anywhere
                content = read(f"{data_set.archived_in or data_set.folder}/{file.name}")
                (unpacked / file.name).write_bytes(content)
        unpacked.rename(folder)


@contextlib.contextmanager
def _members(path: Path) -> Iterator[Callable[[str], bytes]]:
    """Open a zip or tar archive; yield the function that returns the content of the file of a name in it."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            yield zipped.read
        return
    with tarfile.open(path) as archive:

        def read(name: str) -> bytes:
            content = archive.extractfile(name)
            assert content is not None, name  # a folder: not in an archive with the right checksum
            return content.read()

        yield read


def _download_file(
    name: str, checksum: str | None, data_set: DataSet, folder: Path, *, remote: str | None = None
) -> None:
    """Download the file ``name`` into ``folder`` from the first mirror that gives it whole.

    ``remote``: what the mirrors call it, if not by its own name.

    Raises :class:`DownloadError` when none could be reached or finished, ``ValueError`` when one answered
    with something else than the file, and the ``OSError`` of a disk that does not take it.
    """
    reasons, another_content = [], False
    for mirror in data_set.mirrors:
        try:
            _retrieve(mirror + (remote or name), folder / name, checksum)
            return
        except requests.RequestException as error:
            reasons.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
        except ValueError:
            another_content = True
            reasons.append(f"{urlsplit(mirror).netloc}: what came has not the checksum {checksum}")
    message = f"{name} could not be downloaded ({'; '.join(reasons)})"
    raise (ValueError if another_content else DownloadError)(message)


def _retrieve(url: str, path: Path, checksum: str | None) -> None:
    """Download ``url`` to a temporary file beside ``path``, which gets that name if its checksum is right."""
    logger = pooch.get_logger()
    level = logger.level
    # It would announce the full path of each file on stderr, where one line about all of them is to come.
    logger.setLevel(logging.WARNING)
    try:
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=_TIMEOUT)
        pooch.retrieve(url, checksum, fname=path.name, path=path.parent, downloader=downloader)
    finally:
        logger.setLevel(level)


def _reason(error: requests.RequestException) -> str:
    """Say in a few words what stopped a download; the library's own words are a stack of nested objects."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "not reachable"


def _for_people(folder: Path) -> str:
    """Name ``folder`` without saying whose machine it is on: the line is read in published notebooks."""
    given = data_folder()
    home = os.path.expanduser("~")  # noqa: PTH111 (Path's fails for a user without a home folder)
    if given is not None and folder.is_relative_to(given):
        return str("$GM_DATA" / folder.relative_to(given))
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def _passed_over(folder: Path, data_set: DataSet) -> str:
    """Say so where GM_DATA is set and yet ``folder`` is not in it, because the set is not."""
    given = data_folder()
    if given is None or folder.is_relative_to(given):
        return ""
    return f" (GM_DATA has no {data_set.folder})"
