"""Where data files come from: the folder named by GM_DATA, the user's cache, a download.

Whatever is found is compared with its checksum before it is used, and a download gets its final name only
after that comparison: an interrupted one leaves nothing behind that could be mistaken for the file.
"""

import gzip
import hashlib
import logging
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests

# Seconds to connect, and to wait for the next bytes: without a network the answer must come soon.
_TIMEOUT = (5.0, 15.0)


class DownloadError(ConnectionError):
    """No mirror could be reached, or none gave the whole file; the message says why."""


@dataclass(frozen=True)
class DataFile:
    """A published file: its name, and what it must be, as it is and gzipped as the mirrors give it."""

    name: str
    size: int
    sha256: str
    gz_sha256: str


@dataclass(frozen=True)
class DataSet:
    """A published set of files: name, folder (in GM_DATA and in the cache), and the mirrors that have it."""

    name: str
    folder: str
    files: tuple[DataFile, ...]
    mirrors: tuple[str, ...]


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
    """Return the folder that downloads are kept in: gm_lib's, in the user's cache (it may not exist yet)."""
    return Path(pooch.os_cache("gm_lib"))


def offline() -> bool:
    """Tell whether the environment variable ``GM_OFFLINE`` is 1: no download is then tried."""
    return os.environ.get("GM_OFFLINE") == "1"


def load_files(data_set: DataSet) -> tuple[list[bytes], str]:
    """Return the contents of the files of ``data_set``, all checked, and where they lie, written for people.

    Raises ``FileNotFoundError`` when GM_DATA holds only some of the files, ``OSError`` naming a file that is
    truncated or altered, or a cache that cannot be written, and :class:`DownloadError` when a file is not
    here and cannot be downloaded, or must not be (``GM_OFFLINE``).
    """
    folder = find_folder(data_set)
    if folder is None:
        folder = cache_folder() / data_set.folder
        _download(data_set, folder)
    return [_read(_find(folder, file), file) for file in data_set.files], _for_people(folder, data_set)


def find_folder(data_set: DataSet) -> Path | None:
    """Return the folder on this machine that has all files of ``data_set``, in GM_DATA or the cache, or None.

    Raises ``FileNotFoundError`` when GM_DATA is no folder, or holds only some of the files.
    """
    given, kept = data_folder(), cache_folder() / data_set.folder
    if given is not None:
        missing = _missing(given / data_set.folder, data_set)
        if not missing:
            return given / data_set.folder
        if len(missing) < len(data_set.files):
            raise FileNotFoundError(
                f"{given / data_set.folder} lacks {', '.join(file.name for file in missing)} (plain or .gz). "
                "Add what is missing, or unset GM_DATA."
            )
    return None if _missing(kept, data_set) else kept


def _missing(folder: Path, data_set: DataSet) -> list[DataFile]:
    return [file for file in data_set.files if not _find(folder, file).exists()]


def _find(folder: Path, file: DataFile) -> Path:
    """Return the path of ``file`` in ``folder``: the plain file if it is there, else the gzipped one."""
    plain = folder / file.name
    return plain if plain.exists() else folder / f"{file.name}.gz"


def _read(path: Path, file: DataFile) -> bytes:
    """Return the (unpacked) content of ``path`` after comparing it with what ``file`` must be."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _broken(path, f"it cannot be unpacked ({error})", "a whole gzip file") from error
    if len(content) != file.size:
        raise _broken(path, f"it holds {len(content):,} bytes", f"{file.size:,}")
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != file.sha256:
        raise _broken(path, f"the sha256 of its content is {sha256}", file.sha256)
    return content


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
        folder.mkdir(parents=True, exist_ok=True)
        for file in _missing(folder, data_set):
            _download_file(file, data_set, folder)
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


def _download_file(file: DataFile, data_set: DataSet, folder: Path) -> None:
    """Download ``file`` from the first mirror that gives it whole.

    Raises :class:`DownloadError` when none could be reached or finished, ``ValueError`` when one answered
    with something else than the file, and the ``OSError`` of a disk that does not take it.
    """
    name = f"{file.name}.gz"
    reasons, another_content = [], False
    for mirror in data_set.mirrors:
        try:
            _retrieve(mirror + name, folder / name, file.gz_sha256)
            return
        except requests.RequestException as error:
            reasons.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
        except ValueError:
            another_content = True
            reasons.append(f"{urlsplit(mirror).netloc}: what came has not the sha256 {file.gz_sha256}")
    message = f"{name} could not be downloaded ({'; '.join(reasons)})"
    raise (ValueError if another_content else DownloadError)(message)


def _retrieve(url: str, path: Path, sha256: str) -> None:
    """Download ``url`` to a temporary file beside ``path``, which gets that name if its checksum is right."""
    logger = pooch.get_logger()
    level = logger.level
    # It would announce the full path of each file on stderr, where one line about all of them is to come.
    logger.setLevel(logging.WARNING)
    try:
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=_TIMEOUT)
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent, downloader=downloader)
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


def _for_people(folder: Path, data_set: DataSet) -> str:
    """Name ``folder`` without saying whose machine it is on: the line is read in published notebooks."""
    if folder != cache_folder() / data_set.folder:
        return f"$GM_DATA/{data_set.folder}"
    return f"~/{folder.relative_to(Path.home())}" if folder.is_relative_to(Path.home()) else str(folder)
