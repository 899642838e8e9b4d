"""Write files whole or not at all, and a folder by one program at a time; find those of a package."""

import contextlib
import errno
import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


# What file systems answer, some network drives and FUSE, when asked to lock or flush what they cannot.
_UNABLE = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EBADF, errno.EINVAL)


def place(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` with the user's home folder where it begins with ``~``, as a shell would."""
    return Path(path).expanduser()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make ``folder`` if need be and keep it for this program, until it lets go or ends, however it ends.

    Raises ``OSError`` where that cannot be done; ``BlockingIOError``, which is one, where another program
    keeps it. On a file system without locks other programs are not noticed.
    """
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not fcntl:  # where there are no locks, a folder cannot be opened either
        yield
        return
    with naming(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        with _where_able():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = f"another run is writing into {folder}. Wait for its end, or choose another folder."
        raise BlockingIOError(error.errno, message) from error


@contextlib.contextmanager
def _where_able() -> Iterator[None]:
    """Let pass that a file system has no such operation; all else that goes wrong is an error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNABLE:
            raise


@contextlib.contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Say in an ``OSError`` from within that it is ``folder`` that cannot be written into."""
    try:
        yield
    except OSError as error:
        message = f"cannot write into the folder {folder}: {error.strerror or error}. Choose another one."
        raise type(error)(error.errno, message) from error


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, whose files are wanted and not its code.

    Raises ``ModuleNotFoundError``, with what to do, where it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed: run make setup.")
    return Path(spec.submodule_search_locations[0])


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write ``content`` under a temporary name, flush it to the disk, and rename it over ``path``.

    Folders on the way are made. Whatever goes wrong (``OSError``, naming ``path``), ``path`` holds its old
    content or the new one, never a part.
    """
    with _temporary(Path(path)) as temporary:
        write_durably(temporary, content)
        temporary.replace(path)


def check_writable(path: Path) -> None:
    """Raise the ``OSError`` of :func:`replace_file` before the work whose result shall go to ``path``."""
    with _temporary(path) as temporary:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary.touch()


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write under first, gone afterwards; errors name ``path``."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error


def replace_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of ``files`` under a temporary name, flush it to the disk, and rename it to ``path``.

    Whatever goes wrong (``OSError``), ``path`` is the old folder or the new one, never a part; for a moment
    the old one is called ``path`` with ``.old`` behind.
    """
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f"{path.name}.old")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, content in files.items():
            write_durably(temporary / name, content)
        sync_folder(temporary)
        if path.exists():  # a folder cannot be renamed onto a full one
            if old.exists():
                remove_folder(old)
            path.rename(old)
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(path: Path) -> None:
    """Remove a folder at once as far as its name goes: half of it is never taken for the whole."""
    hidden = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    path.rename(hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file and wait until its content has reached the disk, where the file system can tell."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        with _where_able():
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make new names in ``folder`` survive a power cut, where system and file system can do that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with _where_able():
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
