"""What is exported of a model: ONNX Runtime computes what PyTorch does; a grid varies one thing at a time."""

import functools
import logging
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from gm_lib.cli.onnx_files import OPSET, ImageMaker, onnx_bytes, variations
from gm_lib.gan import digit_gan
from gm_lib.vae import digit_vae


def untrained(kind: str, **options: Any) -> Any:
    """Return a small model; a GAN's averaged generator has statistics unlike those it began with."""
    torch.manual_seed(0)
    if kind == "vae":
        return digit_vae(latent_dim=3, hidden=16, **options)
    model = digit_gan(latent_dim=3, width=4, **options)
    with torch.no_grad():
        for value in model.averaged.state_dict().values():
            if value.is_floating_point():
                value.add_(0.1 * torch.rand_like(value))
    return model


@functools.cache
def exported(kind: str, num_classes: int) -> bytes:
    return onnx_bytes(untrained(kind, num_classes=num_classes))


@pytest.mark.parametrize(("kind", "num_classes"), [("vae", 0), ("vae", 10), ("gan", 0), ("gan", 10)])
def test_onnx_runtime_makes_the_images_that_the_model_makes(kind: str, num_classes: int) -> None:
    model = untrained(kind, num_classes=num_classes)
    session = onnxruntime.InferenceSession(exported(kind, num_classes))
    for n in (1, 2, 70):
        y = torch.arange(n) % 10
        x = model.sample(n, y, generator=torch.Generator().manual_seed(n))
        z = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
        inputs = {"z": z.numpy(), "y": y.numpy()} if num_classes else {"z": z.numpy()}
        (found,) = session.run(["x"], inputs)
        assert found.shape == (n, 1, 28, 28)
        np.testing.assert_allclose(found, x.numpy(), rtol=0, atol=1e-5)


def test_the_onnx_file_is_valid_says_its_operators_and_holds_its_weights() -> None:
    file = onnx.load_model_from_string(exported("gan", 10))
    onnx.checker.check_model(file, full_check=True)
    assert [(opset.domain, opset.version) for opset in file.opset_import] == [("", OPSET)]
    assert [value.name for value in (*file.graph.input, *file.graph.output)] == ["z", "y", "x"]
    assert not any(tensor.external_data for tensor in file.graph.initializer)


def test_exporting_warns_of_nothing_that_a_user_could_not_mend(
    recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("torch.onnx")
    log.addHandler(caplog.handler)  # torch's loggers do not tell the one at the root
    level = log.level
    try:
        onnx_bytes(untrained("vae"))
    finally:
        log.removeHandler(caplog.handler)
    assert log.level == level
    assert list(recwarn) == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr() == ("", "")


def test_an_image_maker_is_what_the_model_samples_with_even_if_it_was_training() -> None:
    for kind in ("vae", "gan"):
        model = untrained(kind).train()
        z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
        x = model.sample(5, generator=torch.Generator().manual_seed(0))
        assert torch.equal(ImageMaker(model)(z), x)


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_a_conditional_model_has_a_label_in_each_row_and_one_z_in_each_column(kind: str) -> None:
    model = untrained(kind, num_classes=3)
    grid = variations(model, rows=10, columns=4, seed=5).view(3, 4, 1, 28, 28)
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    for label in range(3):
        expected = ImageMaker(model)(z, torch.full((4,), label))
        torch.testing.assert_close(grid[label], expected)


def test_without_labels_each_row_walks_to_where_the_next_begins() -> None:
    model = untrained("vae")
    grid = variations(model, rows=3, columns=5, seed=5).view(3, 5, 1, 28, 28)
    torch.testing.assert_close(grid[:-1, -1], grid[1:, 0])
    ends = torch.randn(4, 3, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(grid[:, 0], ImageMaker(model)(ends[:-1]))
    halfway = (ends[:-1] + ends[1:]) / 2**0.5  # as far from the origin as a draw is
    torch.testing.assert_close(grid[:, 2], ImageMaker(model)(halfway))


def test_a_grid_is_a_picture_also_where_means_leave_the_range_of_pictures() -> None:
    model = untrained("vae", likelihood="gaussian")
    grid = variations(model)
    assert grid.shape == (100, 1, 28, 28)
    assert (float(grid.min()), float(grid.max()) <= 1) == (0.0, True)
