"""Images of handwritten digits, in fixed splits: MNIST, and a small set that needs no network."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.choose import choose
from gm_lib.data.sources import DataFile, DataSet, DownloadError, find_folder, load_files

# The checksums of the unpacked files, and of the .gz files that the mirrors give.
_MNIST = DataSet(
    name="MNIST",
    folder="MNIST/raw",  # torchvision's layout, so that a copy made by it serves here
    files=(
        DataFile(
            "train-images-idx3-ubyte",
            size=47_040_016,
            sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            gz_sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        DataFile(
            "train-labels-idx1-ubyte",
            size=60_008,
            sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            gz_sha256="3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        DataFile(
            "t10k-images-idx3-ubyte",
            size=7_840_016,
            sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            gz_sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        DataFile(
            "t10k-labels-idx1-ubyte",
            size=10_008,
            sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            gz_sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    # The files are no longer at the address where they were first published; these two copies are public.
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images: ``x`` float32 of shape (n, 1, 28, 28) in [0, 1], ``y`` int64 of shape (n,), 0 to 9."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set in three splits. ``name`` is the set really loaded, ``source`` says where it came from."""

    name: str
    source: str
    train: Split
    valid: Split
    test: Split


def images(name: str = "mnist", *, fallback: bool = True) -> ImageData:
    """Load the images called ``name`` and print one line that says what was loaded.

    * ``"mnist"``: 50,000 training, 10,000 validation (the last of the published training file) and 10,000
      test images of 28×28 [LeCun et al. 1998], from the folder in ``GM_DATA``, the user's cache or a
      download. Only if it is not here and cannot be downloaded (or must not be: ``GM_OFFLINE=1``),
      ``"digits"`` is loaded in its place, and the line says so; with ``fallback=False`` that is an error.
    * ``"digits"``: 1,797 images of 8×8 that come with scikit-learn [Alpaydin and Kaynak 1998], brought to
      28×28 (1,197, 300 and 300). Another domain than MNIST: results on the two do not compare.

    Raises ``ValueError`` for another name, ``FileNotFoundError`` for a ``GM_DATA`` that is no folder or
    holds only part of a set, and ``OSError`` naming a file that is broken, a cache that cannot be written
    or what must not be replaced by ``fallback``.
    """
    load = choose("data set", name, _LOADERS)
    try:
        data = load()
        announcement = f"{data.name}, from {data.source}"
    except DownloadError as error:
        missing = f"{name} is not on this machine and {error}."
        if not fallback:
            raise DownloadError(
                f"{missing} Nothing can take its place here: set GM_DATA to a folder that holds it."
            ) from error
        data = _digits()
        announcement = f"{missing} In its place {data.name}, from {data.source}"
    sizes = f"{len(data.train):,} train, {len(data.valid):,} valid, {len(data.test):,} test images"
    print(f"gm_lib.data: {announcement}: {sizes}.")
    return data


def find_mnist() -> str | None:
    """Say where MNIST lies on this machine, its files checked; None if it would have to be downloaded.

    Raises what :func:`images` raises for a wrong ``GM_DATA`` and for broken files.
    """
    return load_files(_MNIST)[1] if find_folder(_MNIST) else None


def _mnist() -> ImageData:
    """Read MNIST; the validation images are the last 10,000 of the training file, always the same."""
    contents, place = load_files(_MNIST)
    x, y, test_x, test_y = (read_idx(content) for content in contents)
    return ImageData(
        name="mnist",
        source=place,
        train=Split(_pixels(x[:50_000]), y[:50_000].long()),
        valid=Split(_pixels(x[50_000:]), y[50_000:].long()),
        test=Split(_pixels(test_x), test_y.long()),
    )


def _digits() -> ImageData:
    """Bring scikit-learn's digits to MNIST's proportions: 20×20 in a frame of 28×28."""
    from sklearn.datasets import load_digits  # a slow import that only this set needs

    bunch = load_digits()
    small = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16
    large = F.interpolate(small, size=(20, 20), mode="bilinear", align_corners=False)
    x = F.pad((large * 255).round() / 255, (4, 4, 4, 4))  # MNIST's 256 grey levels
    y = torch.from_numpy(bunch.target).long()
    turn = torch.arange(len(x)) % 6  # every sixth is for testing, the one after it for validation
    test, valid, train = turn == 0, turn == 1, turn > 1
    return ImageData(
        name="digits",
        source="scikit-learn",
        train=Split(x[train], y[train]),
        valid=Split(x[valid], y[valid]),
        test=Split(x[test], y[test]),
    )


_LOADERS: dict[str, Callable[[], ImageData]] = {"mnist": _mnist, "digits": _digits}


def _pixels(levels: Tensor) -> Tensor:
    """Turn 256 grey levels, uint8 of shape (n, h, w), into float32 of shape (n, 1, h, w) in [0, 1]."""
    return levels.unsqueeze(1).float() / 255


def read_idx(content: bytes) -> Tensor:
    """Return the uint8 array, in its shape, of a file in MNIST's IDX format whose checksum is right.

    The format: two zero bytes, 8 for unsigned bytes, the number of dimensions, each size as a big-endian
    int32, then the values.
    """
    rank = content[3]
    shape = struct.unpack_from(f">{rank}I", content, offset=4)
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank)
    return torch.from_numpy(values.reshape(shape).copy())
