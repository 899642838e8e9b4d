"""The same VAE by different hands: 784-400-20, Bernoulli, batches of 128, float32, Adam.

Every contestant gets the same images and a clock, and trains until the clock ends it. The images are binary,
drawn once; or grey, with ``dynamic``, and everybody draws zeros and ones anew from every batch.
"""

import functools
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.clock import Clock, Goal
from gm_lib.data import Batches, ImageData, binarize, images
from gm_lib.evaluation import negative_elbo
from gm_lib.runtime import forked_rng, seed_everything
from gm_lib.training import fit
from gm_lib.vae import VAE, digit_vae

BATCH, WIDTH, LATENT = 128, 400, 20
LEARNING_RATE = 1e-3  # of all peers: what tutorials have; pythae's own default is a tenth of it
AVERAGE = 0.998  # as train vae has it
N_TRAIN = 390 * BATCH  # whole batches, so that nobody has a smaller one at the end of an epoch


# --- the data


@functools.cache
def mnist() -> ImageData:
    """Return MNIST, read once."""
    return images("mnist", fallback=False)


@functools.cache
def binary_images(split: str, n: int = N_TRAIN) -> Tensor:
    """Return images of zeros and ones, drawn once: not every peer can draw them anew for each batch."""
    return binarize(getattr(mnist(), split).x[:n], torch.Generator().manual_seed(0))


# --- ours


def ours(
    x: Tensor,
    clock: Clock,
    *,
    seed: int,
    dynamic: bool = False,
    batch: int = BATCH,
    width: int = WIDTH,
    precision: str = "float32",
) -> None:
    """Train with gm_lib, as ``train vae`` does."""
    model = digit_vae(latent_dim=LATENT, hidden=width)
    batches = Batches(x, batch_size=batch, seed=seed, device="cpu", dynamic_binarization=dynamic)
    in_our_loop(model, batches, clock, seed, precision=precision, average=AVERAGE)


def in_our_loop(model: nn.Module, batches: Any, clock: Clock, seed: int, **options: Any) -> None:
    """Let ``fit`` train a model until the clock ends it."""
    steps = clock.warm_up + clock.steps + 1  # the clock is first: it ends a step when the next one begins
    if clock.goal:

        def look(trained: nn.Module) -> dict[str, float]:
            clock.look(lambda: trained)
            return {}

        options |= {"evaluate": look, "evaluate_every": clock.goal.every}
    with clock:
        fit(model, clock.each(batches), steps=steps, seed=seed, device="cpu", progress=False, **options)


# --- an ordinary script


class ScriptVAE(nn.Module):
    """The VAE as tutorials write it: probabilities out of a sigmoid, and the loss beside the model."""

    def __init__(self) -> None:
        super().__init__()
        self.to_hidden = nn.Linear(784, WIDTH)
        self.to_mean = nn.Linear(WIDTH, LATENT)
        self.to_log_var = nn.Linear(WIDTH, LATENT)
        self.from_latent = nn.Linear(LATENT, WIDTH)
        self.to_pixels = nn.Linear(WIDTH, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, and mean and log-variance of q(z | x)."""
        h = torch.relu(self.to_hidden(x.view(-1, 784)))
        mean, log_var = self.to_mean(h), self.to_log_var(h)
        std = torch.exp(0.5 * log_var)
        z = mean + torch.randn_like(std) * std
        return torch.sigmoid(self.to_pixels(torch.relu(self.from_latent(z)))), mean, log_var


def script_loss(reconstruction: Tensor, x: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Return -ELBO, the mean over the batch in nats."""
    bce = F.binary_cross_entropy(reconstruction, x.view(-1, 784), reduction="sum")
    kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (bce + kl) / len(x)


class ImagesOneByOne(Dataset[tuple[Tensor, int]]):
    """A data set that hands out one image at a time, as a ``DataLoader`` asks for them."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index], 0


def script(x: Tensor, clock: Clock, *, seed: int, dynamic: bool = False) -> None:
    """Train with the loop of a tutorial: a DataLoader, plain Adam, the loss read at every step."""
    seed_everything(seed)
    model = ScriptVAE()
    optimizer = Adam(model.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(ImagesOneByOne(x), batch_size=BATCH, shuffle=True)
    with clock:
        while True:
            total = 0.0
            for images, _ in loader:
                if dynamic:
                    images = torch.bernoulli(images)
                optimizer.zero_grad()
                loss = script_loss(*_order(model(images), images))
                loss.backward()
                optimizer.step()
                total += loss.item()
                clock(lambda: as_ours(layers_of_script(model)))


def _order(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    reconstruction, mean, log_var = out
    return reconstruction, x, mean, log_var


def layers_of_script(model: ScriptVAE) -> list[list[nn.Linear]]:
    """Return the script's layers as :func:`as_ours` wants them."""
    heads = [model.to_mean, model.to_log_var]
    return [[model.to_hidden], heads, [model.from_latent], [model.to_pixels]]


# --- pythae


def pythae_model() -> Any:
    """Return pythae's VAE with our networks in it."""
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.hidden = nn.Linear(784, WIDTH)
            self.mean, self.log_var = nn.Linear(WIDTH, LATENT), nn.Linear(WIDTH, LATENT)

        def forward(self, x: Tensor) -> Any:
            h = torch.relu(self.hidden(x.flatten(1)))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.hidden, self.pixels = nn.Linear(LATENT, WIDTH), nn.Linear(WIDTH, 784)

        def forward(self, z: Tensor) -> Any:
            out = torch.sigmoid(self.pixels(torch.relu(self.hidden(z))))
            return ModelOutput(reconstruction=out.view(-1, 1, 28, 28))

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    return PythaeVAE(config, Encoder(), Decoder())


def layers_of_pythae(model: Any) -> list[list[nn.Linear]]:
    """Return pythae's layers as :func:`as_ours` wants them."""
    heads = [model.encoder.mean, model.encoder.log_var]
    return [[model.encoder.hidden], heads, [model.decoder.hidden], [model.decoder.pixels]]


def pythae(x: Tensor, clock: Clock, *, seed: int, dynamic: bool = False) -> None:
    """Train with pythae's own trainer."""
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Tick(TrainingCallback):
        def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
            clock(lambda: as_ours(layers_of_pythae(model)))

    class Tossed(BaseDataset):
        def __getitem__(self, index: int) -> Any:
            return DatasetOutput(data=torch.bernoulli(self.data[index]), labels=self.labels[index])

    seed_everything(seed)
    model = pythae_model()
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            num_epochs=1_000,
            learning_rate=LEARNING_RATE,
            seed=seed,
            no_cuda=True,
        )
        data = (Tossed if dynamic else BaseDataset)(x, torch.zeros(len(x)))
        trainer = BaseTrainer(model, data, training_config=config, callbacks=[Tick()])
        with clock:
            trainer.train()


# --- Lightning


def lightning(x: Tensor, clock: Clock, *, seed: int, dynamic: bool = False) -> None:
    """Train our module, with our kind of optimizer, by Lightning's trainer as it comes."""
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self, vae: VAE) -> None:
            super().__init__()
            self.vae = vae

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            terms = self.vae.elbo_terms(torch.bernoulli(batch[0]) if dynamic else batch[0])
            loss = terms.reconstruction.mean() + terms.kl.sum(-1).mean()
            self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> Optimizer:
            return self.vae.optimizers()["adam"]

    class Tick(L.Callback):
        def on_train_batch_end(self, *args: Any) -> None:
            clock(lambda: model)

    seed_everything(seed)
    model = digit_vae(latent_dim=LATENT, hidden=WIDTH, lr=LEARNING_RATE)
    loader = DataLoader(TensorDataset(x), batch_size=BATCH, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(accelerator="cpu", max_epochs=1_000, default_root_dir=folder, callbacks=[Tick()])
        with clock:
            trainer.fit(Module(model), loader)


# --- a peer's mathematics in our loop


class InOurLoop(nn.Module):
    """A model and its loss made ready for ``fit``: ``loss`` maps the model and a batch to a number."""

    def __init__(self, model: Any, loss: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the Adam that our VAE has."""
        return {"adam": Adam(self.model.parameters(), lr=LEARNING_RATE, fused=True)}

    def update(self, batch: Any, optimizers: Mapping[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one step on the peer's loss."""
        loss = self.loss(self.model, batch.x)
        optimizers["adam"].zero_grad(set_to_none=True)
        loss.backward()
        optimizers["adam"].step()
        return {"loss": loss.detach()}


def script_in_our_loop(x: Tensor, clock: Clock, *, seed: int) -> None:
    """Train the script's model on the script's loss, by ``fit``."""
    seed_everything(seed)
    wrapped = InOurLoop(ScriptVAE(), lambda model, x: script_loss(*_order(model(x), x)))
    in_our_loop(wrapped, Batches(x, batch_size=BATCH, seed=seed, device="cpu"), clock, seed)


def pythae_in_our_loop(x: Tensor, clock: Clock, *, seed: int) -> None:
    """Train pythae's model on pythae's loss, by ``fit``."""
    seed_everything(seed)
    wrapped = InOurLoop(pythae_model(), lambda model, x: model({"data": x}).loss)
    in_our_loop(wrapped, Batches(x, batch_size=BATCH, seed=seed, device="cpu"), clock, seed)


@torch.no_grad()
def as_ours(layers: list[list[nn.Linear]]) -> VAE:
    """Return our VAE with the weights of a peer's: hidden, [mean, log-variance], hidden, pixels."""
    model = digit_vae(latent_dim=LATENT, hidden=WIDTH)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for mine, parts in zip(linear, layers, strict=True):
        mine.weight.copy_(torch.cat([part.weight for part in parts]))
        mine.bias.copy_(torch.cat([part.bias for part in parts]))
    return model


# --- what is asked of a contestant

CONTESTANTS: dict[str, Callable[..., None]] = {
    "ours": ours,
    "script": script,
    "pythae": pythae,
    "lightning": lightning,
    "script_in_our_loop": script_in_our_loop,
    "pythae_in_our_loop": pythae_in_our_loop,
}


def speed(contestant: str, *, warm_up: int, steps: int, n: int = N_TRAIN, **options: Any) -> dict[str, float]:
    """Return the seconds that a contestant needs for one step."""
    clock = Clock(warm_up, steps)
    x = mnist().train.x[:n] if options.get("dynamic") else binary_images("train", n)
    with forked_rng(0):
        CONTESTANTS[contestant](x, clock, seed=0, **options)
    return {"seconds_per_step": clock.seconds / steps}


def time_to_quality(
    contestant: str, *, at_most: float, every: int, steps: int, seed: int, **options: Any
) -> dict[str, float]:
    """Return the seconds until -ELBO of the validation images is ``at_most``, in nats per image.

    The validation images are binarized once, the training images anew for each batch. Where the goal is not
    reached within ``steps`` steps, ``reached`` is 0 and the seconds are those of all steps.
    """

    def score(model: Any) -> float:
        return negative_elbo(model, binary_images("valid", 10_000), seed=0).mean

    clock = Clock(0, steps, Goal(score, at_most, every))
    with forked_rng(seed):
        CONTESTANTS[contestant](mnist().train.x[:N_TRAIN], clock, seed=seed, dynamic=True, **options)
    return {"seconds": clock.seconds, "steps": looked_after(clock), "reached": clock.reached}


def looked_after(clock: Clock) -> int:
    """Return the steps that a clock has timed; in our loop the last is looked at before it is counted."""
    every = clock.goal.every if clock.goal else 1
    return every * -(-clock.done // every) if clock.reached else clock.steps


def floor(*, warm_up: int, steps: int) -> dict[str, float]:
    """Return the seconds that the matrix products of a step take alone, in float32.

    Forward and backward, without the gradient of the first layer's input, which nobody needs; into memory
    that is there already.
    """
    sizes = [(784, WIDTH), (WIDTH, 2 * LATENT), (LATENT, WIDTH), (WIDTH, 784)]
    products = []
    for layer, (n_in, n_out) in enumerate(sizes):
        x, weight, gradient = torch.randn(BATCH, n_in), torch.randn(n_out, n_in), torch.randn(BATCH, n_out)
        products.append((x, weight.T, torch.empty(BATCH, n_out)))
        products.append((gradient.T, x, torch.empty(n_out, n_in)))
        if layer > 0:
            products.append((gradient, weight, torch.empty(BATCH, n_in)))
    clock = Clock(warm_up, steps)
    with clock:
        while True:
            for left, right, out in products:
                torch.mm(left, right, out=out)
            clock()
    return {"seconds_per_step": clock.seconds / steps}


def has_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 matrices itself."""
    return bool(torch.backends.cpu.get_cpu_capability().startswith("AVX512")) and bool(
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
