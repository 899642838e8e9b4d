"""torchvision that fits, does not fit, or is not there."""

import importlib.metadata
import sys

import pytest
import torchvision

from gm_lib.system import vision


def test_torchvision_is_imported() -> None:
    assert vision.torchvision() is torchvision


class Unfit:
    """Fails as the import of a torchvision does that was built for another torch."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name: str, *_: object) -> None:
        if name == "torchvision":
            raise self.error


@pytest.mark.parametrize(
    "error", [RuntimeError("operator torchvision::nms does not exist"), ImportError("undefined symbol")]
)
def test_a_torchvision_that_does_not_fit_is_named_with_both_versions_and_what_to_run(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torchvision")
    monkeypatch.setattr(sys, "meta_path", [Unfit(error), *sys.meta_path])
    with pytest.raises(ImportError) as caught:
        vision.torchvision()
    message = str(caught.value)
    torch, theirs = (importlib.metadata.version(name) for name in ("torch", "torchvision"))
    assert message.startswith(f"torchvision cannot be imported ({error}). ")
    assert f"Here are torch {torch} and torchvision {theirs}" in message
    assert f'python -m pip install --upgrade "torch=={torch}" torchvision' in message


def test_a_missing_torchvision_is_an_error_with_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name == "torchvision":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(vision, "version", without)
    with pytest.raises(ImportError, match=r"and no torchvision, .* pip install"):
        vision.torchvision()
