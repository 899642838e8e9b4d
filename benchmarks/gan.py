"""The same DCGAN by different hands: 32 channels at 14×14, 32 latent dimensions, batches of 64, float32.

Every contestant gets the same images and a clock, and trains until the clock ends it. What a goal looks at is
the generator that it would draw samples from.
"""

import functools
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any
from unittest.mock import MagicMock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.clock import Clock, Goal
from benchmarks.vae import ImagesOneByOne, in_our_loop, looked_after, mnist
from gm_lib.data import Batches
from gm_lib.evaluation import frechet_distance
from gm_lib.evaluation.models import batches_for, evaluating
from gm_lib.gan import GAN, digit_gan
from gm_lib.pretrained import digit_classifier
from gm_lib.runtime import forked_rng, seed_everything

BATCH, WIDTH, LATENT = 64, 32, 32
LEARNING_RATE, BETAS = 2e-4, (0.5, 0.999)  # of all peers: the DCGAN paper's, and torchgan's documentation's
N_TRAIN = 780 * BATCH


def ours(x: Tensor, clock: Clock, *, seed: int, precision: str = "float32") -> None:
    """Train with gm_lib, as ``train gan`` does; samples come from the averaged generator."""
    model = digit_gan(latent_dim=LATENT, width=WIDTH)
    batches = Batches(x, batch_size=BATCH, seed=seed, device="cpu")
    in_our_loop(model, batches, clock, seed, precision=precision)


def ordinary_generator() -> nn.Module:
    """Return the layers of our generator, written as tutorials do."""
    return nn.Sequential(
        nn.Linear(LATENT, 2 * WIDTH * 7 * 7, bias=False),
        nn.Unflatten(1, (2 * WIDTH, 7, 7)),
        nn.BatchNorm2d(2 * WIDTH),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * WIDTH, WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.ConvTranspose2d(WIDTH, 1, 4, 2, 1),
        nn.Sigmoid(),
    )


def ordinary_discriminator() -> nn.Module:
    """Return the layers of our discriminator, written as tutorials do."""
    return nn.Sequential(
        nn.Conv2d(1, WIDTH, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1, bias=False),
        nn.BatchNorm2d(2 * WIDTH),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * WIDTH * 7 * 7, 1),
        nn.Flatten(0),
    )


class ScriptGAN(nn.Module):
    """The two players as a tutorial has them, and its step: labels of ones and zeros, two backward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = ordinary_generator()
        self.discriminator = ordinary_discriminator()

    def step(self, x: Tensor, adam_g: Optimizer, adam_d: Optimizer) -> tuple[Tensor, Tensor]:
        """Teach the discriminator, then the generator with the same fakes; return their losses."""
        real, fake = torch.ones(len(x)), torch.zeros(len(x))
        self.discriminator.zero_grad()
        loss_real = F.binary_cross_entropy_with_logits(self.discriminator(x), real)
        loss_real.backward()
        fakes = self.generator(torch.randn(len(x), LATENT))
        loss_fake = F.binary_cross_entropy_with_logits(self.discriminator(fakes.detach()), fake)
        loss_fake.backward()
        adam_d.step()
        self.generator.zero_grad()
        loss_g = F.binary_cross_entropy_with_logits(self.discriminator(fakes), real)
        loss_g.backward()
        adam_g.step()
        return loss_real + loss_fake, loss_g

    def adams(self, *, lr: float = LEARNING_RATE, **options: Any) -> tuple[Adam, Adam]:
        """Return an Adam for the generator and one for the discriminator."""
        g, d = self.generator.parameters(), self.discriminator.parameters()
        return Adam(g, lr=lr, betas=BETAS, **options), Adam(d, lr=lr, betas=BETAS, **options)


def script(x: Tensor, clock: Clock, *, seed: int, lr: float = LEARNING_RATE) -> None:
    """Train with the loop of a tutorial: a DataLoader, plain Adam, the losses read at every step."""
    seed_everything(seed)
    gan = ScriptGAN()
    adam_g, adam_d = gan.adams(lr=lr)
    loader = DataLoader(ImagesOneByOne(x), batch_size=BATCH, shuffle=True)
    with clock:
        while True:
            losses = []
            for real, _ in loader:
                loss_d, loss_g = gan.step(real, adam_g, adam_d)
                losses.append((loss_d.item(), loss_g.item()))
                clock(lambda: gan.generator)


class ScriptInOurLoop(ScriptGAN):
    """The script's step as ``fit`` wants it."""

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the kind of Adam that our GAN has."""
        adam_g, adam_d = self.adams(fused=True)
        return {"generator": adam_g, "discriminator": adam_d}

    def update(self, batch: Any, optimizers: Mapping[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take the script's step."""
        loss_d, loss_g = self.step(batch.x, optimizers["generator"], optimizers["discriminator"])
        return {"discriminator_loss": loss_d.detach(), "generator_loss": loss_g.detach()}


def script_in_our_loop(x: Tensor, clock: Clock, *, seed: int) -> None:
    """Take the script's steps in our loop."""
    seed_everything(seed)
    gan = ScriptInOurLoop()
    in_our_loop(gan, Batches(x, batch_size=BATCH, seed=seed, device="cpu"), clock, seed)


def torchgan(x: Tensor, clock: Clock, *, seed: int) -> None:
    """Train with torchgan's trainer, its losses, and the ordinary networks in its classes."""
    # The stated line: torchgan uses torchvision for pictures alone, and asks it for an argument that is gone.
    sys.modules["torchvision"] = MagicMock()

    from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
    from torchgan.models import Discriminator, Generator
    from torchgan.trainer import Trainer

    class G(Generator):
        def __init__(self) -> None:
            super().__init__(LATENT)
            self.net = ordinary_generator()

        def forward(self, z: Tensor) -> Tensor:
            return self.net(z)

    class D(Discriminator):
        def __init__(self) -> None:
            super().__init__((1, 28, 28))
            self.net = ordinary_discriminator()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    class Ticking(Trainer):
        begun = False

        def train_iter_custom(self) -> None:
            if self.begun:
                clock(lambda: self.generator)
            self.begun = True

    seed_everything(seed)
    adam = {"name": Adam, "args": {"lr": LEARNING_RATE, "betas": BETAS}}
    players = {"generator": {"name": G, "optimizer": adam}, "discriminator": {"name": D, "optimizer": adam}}
    labels = torch.zeros(len(x), dtype=torch.long)
    loader = DataLoader(TensorDataset(x, labels), batch_size=BATCH, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Ticking(
            players,
            [MinimaxGeneratorLoss(nonsaturating=True), MinimaxDiscriminatorLoss()],
            device=torch.device("cpu"),
            epochs=1_000,
            checkpoints=f"{folder}/gan",
            recon=f"{folder}/images",
            log_dir=folder,
        )
        with clock:
            trainer(loader)


CONTESTANTS: dict[str, Callable[..., None]] = {
    "ours": ours,
    "script": script,
    "torchgan": torchgan,
    "script_in_our_loop": script_in_our_loop,
}


def speed(contestant: str, *, warm_up: int, steps: int, **options: Any) -> dict[str, float]:
    """Return the seconds that a contestant needs for one step of both players."""
    clock = Clock(warm_up, steps)
    with forked_rng(0):
        CONTESTANTS[contestant](mnist().train.x[:N_TRAIN], clock, seed=0, **options)
    return {"seconds_per_step": clock.seconds / steps}


def time_to_quality(
    contestant: str, *, at_most: float, every: int, steps: int, n: int, seed: int, **options: Any
) -> dict[str, float]:
    """Return the seconds until n samples are within a Fréchet distance of ``at_most`` of validation images.

    Where the goal is not reached within ``steps`` steps, ``reached`` is 0 and the seconds are those of all
    steps. ``lowest`` is the smallest distance that was seen.
    """
    seen = []

    def score(model: Any) -> float:
        seen.append(distance_to_real_digits(model, n))
        return seen[-1]

    clock = Clock(0, steps, Goal(score, at_most, every))
    with forked_rng(seed):
        CONTESTANTS[contestant](mnist().train.x[:N_TRAIN], clock, seed=seed, **options)
    found = {"seconds": clock.seconds, "steps": looked_after(clock), "reached": clock.reached}
    return {**found, "lowest": min(seen)}


def distance_to_real_digits(model: nn.Module, n: int) -> float:
    """Return the Fréchet distance of n samples to the validation images, in our classifier's features.

    ``model``: our GAN, whose samples come from its averaged generator, or a peer's generator, which is put
    into evaluation mode while it draws.
    """
    with evaluating(model):
        x = model.sample(n) if isinstance(model, GAN) else model(torch.randn(n, LATENT))
    return frechet_distance(real_features(), features(x))


@functools.cache
def real_features() -> Tensor:
    """Return the features of the validation images, made once."""
    return features(mnist().valid.x)


def features(x: Tensor) -> Tensor:
    """Return the features (n, d) that our classifier of digits has of images."""
    judge = digit_classifier()
    with evaluating(judge):
        return torch.cat([judge.features(batch) for batch, _ in batches_for(judge, x, size=500)])
