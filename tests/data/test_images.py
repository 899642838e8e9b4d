import gzip
import hashlib
import pickle
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torchvision
from served import served
from sklearn.datasets import load_digits

import chapters
from gm_lib import runtime
from gm_lib.data import ImageData, check_images, images, sources
from gm_lib.data.images import find_mnist
from gm_lib.data.published import SETS, DataFile, DataSet


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return images("digits")


def test_digits_are_images_in_the_unit_interval_with_labels(digits: ImageData) -> None:
    assert (digits.name, digits.source) == ("digits", "scikit-learn")
    for split, n in ((digits.train, 1197), (digits.valid, 300), (digits.test, 300)):
        check_images(split.x)
        assert split.x.shape == (n, 1, 28, 28)
        assert split.x.dtype == torch.float32
        assert split.y.shape == (n,)
        assert split.y.dtype == torch.int64
        assert len(split) == n


def test_the_splits_of_digits_share_the_set_out_without_overlap(digits: ImageData) -> None:
    ours = torch.cat([split.x.sum(dim=(1, 2, 3)) for split in (digits.train, digits.valid, digits.test)])
    theirs = torch.from_numpy(load_digits().images).sum(dim=(1, 2)) / 16 * (20 / 8) ** 2
    # Enlarging by bilinear interpolation keeps the total ink but for the edges.
    correlation = torch.corrcoef(torch.stack([ours.sort().values, theirs.sort().values.float()]))[0, 1]
    assert correlation > 0.99
    everything = torch.cat([split.x for split in (digits.train, digits.valid, digits.test)])
    assert len(everything.unique(dim=0)) == len(everything) == 1797


def test_digits_have_the_labels_of_scikit_learn(digits: ImageData) -> None:
    target = torch.from_numpy(load_digits().target)
    assert torch.equal(digits.test.y, target[0::6])
    assert torch.equal(digits.valid.y, target[1::6])
    assert torch.equal(
        digits.train.y.bincount(), target.bincount() - target[0::6].bincount() - target[1::6].bincount()
    )


def test_digits_have_an_empty_frame_of_four_pixels(digits: ImageData) -> None:
    framed = digits.train.x.clone()
    framed[:, :, 4:-4, 4:-4] = 0
    assert framed.abs().max() == 0
    assert digits.train.x[:, :, 4:-4, 4:-4].amax(dim=(1, 2, 3)).min() > 0.5


def test_one_line_says_what_was_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    images("digits")
    line = "gm_lib.data: digits, from scikit-learn: 1,197 train, 300 valid, 300 test images.\n"
    assert capsys.readouterr().out == line


def test_without_files_and_network_digits_take_the_place_of_mnist_and_the_line_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = images("mnist")
    assert data.name == "digits"
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert "mnist is not on this machine" in printed
    assert "127.0.0.1:9: not reachable" in printed
    assert "In its place digits, from scikit-learn: 1,197 train" in printed


def test_under_gm_offline_digits_take_the_place_of_mnist_without_a_try_to_download_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GM_OFFLINE", "1")
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("a download was tried"))
    assert images("mnist").name == "digits"
    assert "mnist is not on this machine and GM_OFFLINE is set" in capsys.readouterr().out


def test_where_nothing_may_take_its_place_a_missing_set_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(OSError, match=r"mnist is not on this machine and .* set GM_DATA to a folder"):
        images("mnist", fallback=False)
    for name in ("fashion_mnist", "kmnist", "cifar10"):
        belongs = rf"\$GM_DATA/{SETS[name].folder} the files {SETS[name].files[0].name}"
        with pytest.raises(OSError, match=rf"{name} is not on this machine and .* in {belongs}"):
            images(name)
    assert images("digits", fallback=False).name == "digits"


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown data set 'mnits'; did you mean 'mnist'"):
        images("mnits")


@pytest.fixture
def gm_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that GM_DATA names."""
    monkeypatch.setenv("GM_DATA", str(tmp_path))
    return tmp_path


def md5(content: bytes) -> str:
    """Return the checksum that sets are published with."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx(values: np.ndarray) -> bytes:
    """Return a file in MNIST's format."""
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.tobytes()


def write_as_mnist(folder: Path) -> dict[str, np.ndarray]:
    """Write and return random images and labels in the numbers and shapes of MNIST's four files."""
    numbers = np.random.default_rng(0)
    values = {
        "train-images-idx3-ubyte": numbers.integers(256, size=(60_000, 28, 28), dtype=np.uint8),
        "train-labels-idx1-ubyte": numbers.integers(10, size=60_000, dtype=np.uint8),
        "t10k-images-idx3-ubyte": numbers.integers(256, size=(10_000, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1-ubyte": numbers.integers(10, size=10_000, dtype=np.uint8),
    }
    folder.mkdir(parents=True)
    for name, array in values.items():
        (folder / name).write_bytes(idx(array))
    return values


@pytest.mark.parametrize(("name", "kind"), [("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")])
def test_sets_like_mnist_are_split_as_it_is(
    name: str, kind: str, gm_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_as_mnist(gm_data / kind / "raw")
    data = images(name)
    x = torch.cat([data.train.x, data.valid.x])
    assert torch.equal((x * 255).round().byte()[:, 0], torch.from_numpy(written["train-images-idx3-ubyte"]))
    assert data.train.x.shape == (50_000, 1, 28, 28)
    y = torch.cat([data.train.y, data.valid.y])
    assert torch.equal(y, torch.from_numpy(written["train-labels-idx1-ubyte"]).long())
    check_images(data.test.x)
    assert torch.equal(data.test.y, torch.from_numpy(written["t10k-labels-idx1-ubyte"]).long())
    line = f"{name}, from $GM_DATA/{kind}/raw: 50,000 train, 10,000 valid, 10,000 test images"
    assert line in capsys.readouterr().out


def test_what_an_old_torchvision_left_unchecked_is_not_read(gm_data: Path) -> None:
    written = write_as_mnist(gm_data / "KMNIST" / "raw")
    (gm_data / "KMNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):
        other = (torch.zeros(60_000, 28, 28, dtype=torch.uint8), torch.zeros(60_000, dtype=torch.int64))
        torch.save(other, gm_data / "KMNIST" / "processed" / name)
    assert torch.equal(images("kmnist").test.y, torch.from_numpy(written["t10k-labels-idx1-ubyte"]).long())


@pytest.fixture
def cifar(gm_data: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """CIFAR-10's seven files in GM_DATA, with random images, 1,200 in each batch of 10,000; the batches."""
    numbers = np.random.default_rng(0)
    folder = gm_data / "cifar-10-batches-py"
    folder.mkdir()
    written: dict[str, Any] = {"batches.meta": {"label_names": [str(i) for i in range(10)]}}
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        written[name] = {
            "data": numbers.integers(256, size=(1_200, 3_072), dtype=np.uint8),
            "labels": numbers.integers(10, size=1_200).tolist(),
        }
    sums = {}
    for name, content in written.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = md5((folder / name).read_bytes())
    files = tuple(DataFile(name, checksum=f"md5:{checksum}") for name, checksum in sums.items())
    monkeypatch.setitem(SETS, "cifar10", DataSet("CIFAR-10", folder.name, files, ()))
    theirs = torchvision.datasets.CIFAR10
    for attribute in ("train_list", "test_list"):
        known = [[name, sums[name]] for name, _ in getattr(theirs, attribute)]
        monkeypatch.setattr(theirs, attribute, known)
    monkeypatch.setattr(theirs, "meta", theirs.meta | {"md5": sums["batches.meta"]})
    return written


def test_cifar_10_is_in_colour_with_the_channels_in_front(cifar: dict[str, Any]) -> None:
    data = images("cifar10")
    assert data.train.x.shape == (5 * 1_200 - 5_000, 3, 32, 32)
    assert data.valid.x.shape == (5_000, 3, 32, 32)
    first = torch.from_numpy(cifar["data_batch_1"]["data"][:1_000]).reshape(-1, 3, 32, 32)
    assert torch.equal(data.train.x, first.float() / 255)
    assert data.test.x.is_contiguous()
    assert data.test.y.tolist() == cifar["test_batch"]["labels"]
    last = [label for i in range(1, 6) for label in cifar[f"data_batch_{i}"]["labels"]][-5_000:]
    assert data.valid.y.tolist() == last


@pytest.fixture
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a server on this machine gives its files."""
    folder = tmp_path_factory.mktemp("mirror")
    with served(folder) as address:
        yield folder, f"{address}/"


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_what_a_mirror_gives_is_what_is_read(
    name: str, mirror: tuple[Path, str], gm_data: Path, cifar: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = mirror
    place = gm_data / SETS[name].folder
    if name == "fashion_mnist":
        write_as_mnist(place)
        packed = {file: gzip.compress((place / file.name).read_bytes(), 0) for file in SETS[name].files}
        for file, content in packed.items():
            (folder / f"{file.name}.gz").write_bytes(content)
        changed = {
            "files": tuple(replace(file, packed=f"md5:{md5(content)}") for file, content in packed.items())
        }
    else:
        with tarfile.open(folder / "all.tar.gz", "w:gz", compresslevel=0) as archive:
            archive.add(place, place.name)
        changed = {"archive": ("all.tar.gz", f"md5:{md5((folder / 'all.tar.gz').read_bytes())}")}
    here = images(name)
    monkeypatch.setitem(SETS, name, replace(SETS[name], mirrors=(address,), **changed))
    monkeypatch.delenv("GM_DATA")
    monkeypatch.setattr(sources, "cache_folder", lambda: folder / "cache")
    data = images(name)
    assert data.source == str(folder / "cache" / SETS[name].folder)
    for split in ("train", "valid", "test"):
        assert torch.equal(getattr(data, split).x, getattr(here, split).x)
        assert torch.equal(getattr(data, split).y, getattr(here, split).y)


def test_a_file_of_cifar_10_that_is_not_the_published_one_is_never_unpickled(
    cifar: dict[str, Any], gm_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle, "load", lambda *_, **__: pytest.fail("it was unpickled"))
    (gm_data / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({}))
    with pytest.raises(OSError, match=r"data_batch_3 is broken: the checksum of its content is md5:"):
        images("cifar10")


def test_the_page_about_images_runs_on_cifar_10_in_two_steps_of_each_training(
    cifar: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (page,) = (path for path in chapters.pages_of(16) if path.name.startswith("16a"))
    cells = [cell for cell in chapters.read(page).cells if cell.kind == "code"]
    monkeypatch.setattr(runtime, "budget", lambda **_: 2)
    monkeypatch.setattr(plt, "show", lambda: None)
    names: dict[str, Any] = {"display": print}
    done = 0
    for cell in cells:
        if "exercise" in cell.tags or cell.source.startswith("check("):
            continue  # these speak of no data
        source = cell.source.replace('images("shapes")', 'images("cifar10")')
        done += source != cell.source
        exec(compile(source, f"{page.name}:{cell.line}", "exec"), names)
    plt.close("all")
    assert done == 1
    assert names["data"].name == "cifar10"
    assert set(names["judged"]) >= {"rebuilt", "30 Gaussians", "prior", "real"}
    assert "shapes" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["digits", "kmnist"])
def test_images_are_on_the_cpu_whatever_the_default_device_is(name: str, gm_data: Path) -> None:
    if name == "kmnist":
        write_as_mnist(gm_data / "KMNIST" / "raw")
    torch.set_default_device("meta")
    try:
        data = images(name)
    finally:
        torch.set_default_device(None)
    for split in (data.train, data.valid, data.test):
        assert split.x.device.type == split.y.device.type == "cpu"


def test_torchvision_is_not_imported_before_it_is_needed() -> None:
    code = "import gm_lib.data, gm_lib.plotting, sys; print('torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_mnist_is_split_into_50000_10000_and_10000_images(mnist: ImageData) -> None:
    for split, n in ((mnist.train, 50_000), (mnist.valid, 10_000), (mnist.test, 10_000)):
        check_images(split.x)
        assert split.x.shape == (n, 1, 28, 28)
        assert split.x.dtype == torch.float32
        assert split.y.dtype == torch.int64
        assert set(split.y.tolist()) == set(range(10))


def test_mnist_has_its_published_first_labels_mean_and_deviation(mnist: ImageData) -> None:
    assert mnist.train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    pixels = torch.cat([mnist.train.x, mnist.valid.x])
    # The constants with which MNIST is customarily standardized.
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


def has_256_levels(x: torch.Tensor) -> bool:
    levels = (x * 255).round()
    return torch.equal(levels / 255, x) and levels.min() == 0 and levels.max() == 255


def test_images_have_256_grey_levels(digits: ImageData) -> None:
    assert has_256_levels(digits.train.x)


def test_mnist_has_256_grey_levels(mnist: ImageData) -> None:
    assert has_256_levels(mnist.train.x)


def test_mnist_is_found_where_it_is_and_nowhere_else(
    mnist: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_mnist() == mnist.source
    monkeypatch.delenv("GM_DATA", raising=False)
    monkeypatch.setattr(sources, "cache_folder", lambda: Path("no such folder"))
    assert find_mnist() is None
