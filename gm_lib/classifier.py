"""The classifiers of images and of spoken digits: they judge what the generative models of the book make."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.data import check_images
from gm_lib.networks import check_input, check_labels

NUM_CLASSES = 10
NUM_FEATURES = 64
SPEECH_FEATURES = 32


class _Classifier(nn.Module):
    """A network ``body`` from images (n, *shape) in [0, 1] to features, and ``head`` from these to 10 logits.

    Trained by cross-entropy with Adam at the step size ``lr``, through ``gm_lib.training.fit``; the terms
    reported are the ``loss`` in nats and the share of the batch that was read correctly, ``accuracy``.
    """

    shape: tuple[int, int, int]

    def __init__(self, body: nn.Sequential, num_features: int, lr: float):
        super().__init__()
        self.lr = lr
        self.body = body
        self.head = nn.Linear(num_features, NUM_CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer sees, after its ReLU: (n, features), none negative, for x (n, *shape).

        Raises ``ValueError`` for images of another shape or dtype.
        """
        check_input(x, self.shape, self.head.weight, "the classifier")
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the ten classes, (n, 10); ``softmax(-1)`` makes probabilities of them."""
        return self.head(self.features(x))

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the one optimizer. Call it when the model is on its device."""
        return {"adam": Adam(self.parameters(), lr=self.lr)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return mean cross-entropy and accuracy before it."""
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y.long())  # which takes no other integers
        optimizers["adam"].zero_grad(set_to_none=True)
        loss.backward()
        optimizers["adam"].step()
        return {"loss": loss.detach(), "accuracy": (logits.argmax(-1) == y).float().mean()}

    def check(self, batch: Any) -> None:
        """Raise ``ValueError`` or ``TypeError`` unless ``(x, y)`` are images in [0, 1] and their labels."""
        x, y = batch
        check_images(x)
        check_input(x, self.shape, self.head.weight, "the classifier")
        check_labels(y, NUM_CLASSES, len(x))


class ImageClassifier(_Classifier):
    """A small convolutional network from images (n, *shape) in [0, 1] to 10 logits each.

    Three blocks of convolution, batch norm and ReLU, each followed by pooling, bring an image to an eighth of
    its height and width with 64 channels; a layer makes 64 features of it, and ``head`` ten logits. Trained
    by cross-entropy with Adam at the step size ``lr``, through ``gm_lib.training.fit``; the terms reported
    are the ``loss`` in nats and the share of the batch that was read correctly, ``accuracy``.

    Raises ``ValueError`` for a ``shape`` that is not (channels, height, width) with sides from 8 on.
    """

    def __init__(self, shape: Sequence[int], *, lr: float = 2e-3):
        if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < 8:
            raise ValueError(
                "the classifier reads images (channels, height, width) with sides from 8 on, not "
                f"{tuple(shape)}."
            )
        channels, height, width = shape
        body = nn.Sequential(
            *_block(channels, 16, kernel=5),  # a digit of 28×28 is pooled to 14×14
            *_block(16, 32, kernel=3),  # to 7×7
            *_block(32, 64, kernel=3),  # to 3×3
            *_features(64 * (height // 8) * (width // 8), NUM_FEATURES),
        )
        super().__init__(body, NUM_FEATURES, lr)
        self.shape = (channels, height, width)


class DigitClassifier(ImageClassifier):
    """The :class:`ImageClassifier` of digits, (n, 1, 28, 28)."""

    def __init__(self, *, lr: float = 2e-3):
        super().__init__((1, 28, 28), lr=lr)


class SpeechClassifier(_Classifier):
    """A small convolutional network from pictures of sounds (n, 1, 64, 48) in [0, 1] to 10 logits each.

    It reads spoken digits, made pictures by ``gm_lib.sound.log_mel``. Built and trained as
    :class:`DigitClassifier`: four blocks bring a picture to 4×3 with 48 channels, of which a layer makes 32
    features.
    """

    shape = (1, 64, 48)

    def __init__(self, *, lr: float = 2e-3):
        body = nn.Sequential(
            *_block(1, 8, kernel=5),  # 64×48, pooled to 32×24
            *_block(8, 16, kernel=3),  # to 16×12
            *_block(16, 32, kernel=3),  # to 8×6
            *_block(32, 48, kernel=3),  # to 4×3
            *_features(48 * 4 * 3, SPEECH_FEATURES),
        )
        super().__init__(body, SPEECH_FEATURES, lr)


def _features(n_in: int, n_out: int) -> list[nn.Module]:
    """Return the layer from the last maps to features; batch norm keeps each above 0 for some images."""
    return [nn.Flatten(), nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]


def _block(n_in: int, n_out: int, *, kernel: int) -> list[nn.Module]:
    """Return convolution, batch norm, ReLU and pooling: half the height and width, ``n_out`` channels."""
    # Batch norm subtracts the mean, and a bias before it with it.
    convolution = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]


@torch.no_grad()
def read_digits(classifier: nn.Module, x: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Return the logits of any number of images, as the classifier takes them, on the CPU: (n, 10).

    Batches save memory.
    """
    like = next(classifier.parameters())
    return torch.cat([classifier(part.to(like)).cpu() for part in x.split(batch_size)])
