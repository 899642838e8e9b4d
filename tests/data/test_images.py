import struct
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from gm_lib.data import ImageData, check_images, images, sources
from gm_lib.data.images import find_mnist, read_idx


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
    assert images("digits", fallback=False).name == "digits"


def test_an_unknown_data_set_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"unknown data set 'mnits'; did you mean 'mnist'\? Known: digits, mnist"
    ):
        images("mnits")


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4)])
def test_idx_files_are_read_in_their_shape(shape: tuple[int, ...]) -> None:
    values = torch.arange(torch.Size(shape).numel(), dtype=torch.uint8).reshape(shape)
    header = bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape)
    assert torch.equal(read_idx(header + bytes(values.flatten().tolist())), values)


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
