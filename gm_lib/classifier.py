"""The digit classifier: it reads an image, and it judges what the generative models of the book write."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from gm_lib.data import check_images
from gm_lib.networks import check_input, check_labels

NUM_CLASSES = 10
NUM_FEATURES = 64


class DigitClassifier(nn.Module):
    """A small convolutional network from images (n, 1, 28, 28) in [0, 1] to 10 logits each.

    Three blocks of convolution, batch norm and ReLU, each followed by pooling, bring an image to 3×3 with 64
    channels; a layer makes 64 features of it, and ``head`` ten logits. Trained by cross-entropy with Adam at
    the step size ``lr``, through ``gm_lib.training.fit``; the terms reported are the ``loss`` in nats and the
    share of the batch that was read correctly, ``accuracy``.
    """

    def __init__(self, *, lr: float = 2e-3):
        super().__init__()
        self.lr = lr
        self.body = nn.Sequential(
            *_block(1, 16, kernel=5),  # 28×28, pooled to 14×14
            *_block(16, 32, kernel=3),  # to 7×7
            *_block(32, 64, kernel=3),  # to 3×3
            nn.Flatten(),
            nn.Linear(64 * 3 * 3, NUM_FEATURES, bias=False),
            nn.BatchNorm1d(NUM_FEATURES),  # keeps each feature alive: every one is above 0 for some images
            nn.ReLU(),
        )
        self.head = nn.Linear(NUM_FEATURES, NUM_CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Return what the last layer sees, after its ReLU: (n, 64), none negative, for x (n, 1, 28, 28).

        Raises ``ValueError`` for images of another shape or dtype.
        """
        check_input(x, (1, 28, 28), self.head.weight, "the classifier")
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the ten digits, (n, 10); ``softmax(-1)`` makes probabilities of them."""
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
        check_input(x, (1, 28, 28), self.head.weight, "the classifier")
        check_labels(y, NUM_CLASSES, len(x))


def _block(n_in: int, n_out: int, *, kernel: int) -> list[nn.Module]:
    """Return convolution, batch norm, ReLU and pooling: half the height and width, ``n_out`` channels."""
    # Batch norm subtracts the mean, and a bias before it with it.
    convolution = nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]


@torch.no_grad()
def read_digits(classifier: nn.Module, x: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Return the logits of any number of images (n, 1, 28, 28), on the CPU: (n, 10). Batches save memory."""
    like = next(classifier.parameters())
    return torch.cat([classifier(part.to(like)).cpu() for part in x.split(batch_size)])
