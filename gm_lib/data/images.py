"""Images in fixed splits: MNIST, others of its size, CIFAR-10, and two sets that need no network."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.data.published import SETS
from gm_lib.data.shapes import draw_shapes
from gm_lib.data.sources import DownloadError, find_folder, load_files
from gm_lib.system.choose import choose
from gm_lib.system.vision import torchvision

# Of each set: its class in torchvision, and how many of the training images, the last, are for validation.
_READ_AS = {
    "mnist": ("MNIST", 10_000),
    "fashion_mnist": ("FashionMNIST", 10_000),
    "kmnist": ("KMNIST", 10_000),
    "cifar10": ("CIFAR10", 5_000),
}


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images: ``x`` float32 in [0, 1], ``y`` int64 of shape (n,), 0 to 9, both on the CPU.

    The shape of ``x`` is (n, 3, 32, 32) of CIFAR-10 and of the shapes, red, green and blue, and
    (n, 1, 28, 28) of all others.
    """

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

    * ``"mnist"``: handwritten digits [LeCun et al. 1998], 50,000 training, 10,000 validation (the last of the
      published training file) and 10,000 test images of 28×28. Only if they are not here and cannot be
      downloaded (or must not be: ``GM_OFFLINE=1``), ``"digits"`` is loaded in their place, and the line says
      so; with ``fallback=False`` that is an error.
    * ``"fashion_mnist"``: pieces of clothing [Xiao et al. 2017, MIT licence], in MNIST's numbers and shapes.
    * ``"kmnist"``: cursive Japanese characters [Clanuwat et al. 2018, CC BY-SA 4.0], likewise.
    * ``"cifar10"``: photographs of animals and vehicles [Krizhevsky 2009, whose page states no licence], in
      colour: 45,000, 5,000 (the last of the training files) and 10,000 of 32×32.
    * ``"digits"``: 1,797 images of 8×8 that come with scikit-learn [Alpaydin and Kaynak 1998], brought to
      28×28 (1,197, 300 and 300). Another domain than MNIST: results on the two do not compare.

    * ``"shapes"``: ten coloured shapes on coloured grounds, drawn by :func:`draw_shapes` from a distribution
      that is known exactly (10,000, 1,000 and 1,000 of 3×32×32). The label is the shape.

    All but the last two come from the folder in ``GM_DATA``, the user's cache or a download, and are read by
    torchvision.

    Raises ``ValueError`` for another name, ``FileNotFoundError`` for a ``GM_DATA`` that is no folder, holds
    only part of a set, or has it in a wrong place, and ``OSError`` naming a file that is broken or another
    set's, a cache that cannot be written, or files that are nowhere and that nothing may replace;
    ``ImportError`` for a torchvision that does not fit torch.
    """
    choose("data set", name, ("digits", "shapes", *_READ_AS))
    try:
        data = _load(name)
        announcement = f"{data.name}, from {data.source}"
    except DownloadError as error:
        missing = f"{name} is not on this machine and {error}."
        if name != "mnist" or not fallback:
            files = ", ".join(file.name for file in SETS[name].files)
            raise DownloadError(
                f"{missing} Nothing can take its place here: set GM_DATA to a folder that holds it, in "
                f"$GM_DATA/{SETS[name].folder} the files {files}."
            ) from error
        data = _load("digits")
        announcement = f"{missing} In its place {data.name}, from {data.source}"
    sizes = f"{len(data.train):,} train, {len(data.valid):,} valid, {len(data.test):,} test images"
    print(f"gm_lib.data: {announcement}: {sizes}.")
    return data


def find_mnist() -> str | None:
    """Say where MNIST lies on this machine, its files checked; None if it would have to be downloaded.

    Raises what :func:`images` raises for a wrong ``GM_DATA`` and for broken files.
    """
    return load_files(SETS["mnist"])[1] if find_folder(SETS["mnist"]) else None


def _load(name: str) -> ImageData:
    """Load a set into the CPU's memory, whatever torch's default device is."""
    with torch.device("cpu"):
        made_here = {"digits": _digits, "shapes": _shapes}
        return made_here[name]() if name in made_here else _published(name)


def _published(name: str) -> ImageData:
    """Read a published set by torchvision, from copies of the files that have been checked.

    From those alone: where an old torchvision left a folder ``processed``, it would read that unchecked.
    """
    data_set, (kind, valid) = SETS[name], _READ_AS[name]
    contents, place = load_files(data_set)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, data_set.folder)
        folder.mkdir(parents=True)
        for file, content in zip(data_set.files, contents, strict=True):
            (folder / file.name).write_bytes(content)
        read = getattr(torchvision().datasets, kind)
        train, test = _split(read(root, train=True)), _split(read(root, train=False))
    return ImageData(
        name=name,
        source=place,
        train=Split(train.x[:-valid], train.y[:-valid]),
        valid=Split(train.x[-valid:], train.y[-valid:]),
        test=test,
    )


def _split(dataset: Any) -> Split:
    """Turn bytes, (n, h, w) in grey or (n, h, w, 3) in colour, into float32 with the channels in front."""
    levels = torch.as_tensor(dataset.data)
    levels = levels.unsqueeze(1) if levels.ndim == 3 else levels.movedim(-1, 1)
    return Split(levels.contiguous().float() / 255, torch.as_tensor(dataset.targets))


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


def _shapes() -> ImageData:
    """Draw the three splits, each from a seed of its own."""
    splits = {}
    for seed, (name, n) in enumerate((("train", 10_000), ("valid", 1_000), ("test", 1_000))):
        x, factors = draw_shapes(n, seed=seed)
        splits[name] = Split(x, factors[:, 0].contiguous())
    return ImageData(name="shapes", source="gm_lib.data.shapes", **splits)
