"""torchvision, imported where it is used: it is slow to import, and fits one version of torch only."""

from importlib.metadata import PackageNotFoundError, version
from types import ModuleType


def torchvision() -> ModuleType:
    """Import torchvision and return it.

    Raises ``ImportError`` where it is missing or was built for another torch, with both versions and the
    command that mends it.
    """
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # "operator torchvision::nms does not exist" is the latter
        try:
            found = f"torchvision {version('torchvision')}"
        except PackageNotFoundError:
            found = "no torchvision"
        torch = version("torch")
        raise ImportError(
            f"torchvision cannot be imported ({error}). Here are torch {torch} and {found}, which must fit "
            f'each other: run python -m pip install --upgrade "torch=={torch}" torchvision, which keeps '
            "torch and brings the torchvision for it, and restart Python."
        ) from error
    return torchvision
