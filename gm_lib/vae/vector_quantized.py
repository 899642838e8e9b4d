"""The VQ-VAE: an encoder to arrays of codes, of which there are finitely many, and a decoder from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from gm_lib.networks import check_input, descend, evaluating, require
from gm_lib.system.choose import choose
from gm_lib.vae.code_prior import CodePrior
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import likelihood as _likelihood
from gm_lib.vae.model import DIGIT_SHAPE
from gm_lib.vae.model_base import adam, examples
from gm_lib.vae.quantizers import FiniteScalarQuantizer, Quantized, VectorQuantizer, perplexity


class VQVAE(nn.Module):
    """Encoder, quantizer and decoder, trained to reconstruct x from its codes. van den Oord et al. 2017.

    ``encoder`` maps x (n, *event_shape) to h (n, *places, dim) and knows its ``places``; ``quantizer`` is one
    of ``gm_lib.vae.quantizers``; ``decoder`` maps codes (*lead, *places, dim) to the likelihood's raw
    parameters, (*lead, *params_shape). The loss is -log p(x | codes) + ``commitment`` · ‖h - codes‖², in nats
    per example. ``lr`` is Adam's step size.

    q(codes | x) is certain of one array of codes, so the ELBO is log p(codes) + log p(x | codes): the sum
    over all arrays, which is p(x), with one term kept. ``prior`` is p(codes), which training does not look
    at: a :class:`CodePrior` fitted to the codes afterwards and set here, or None for equal probabilities.
    ``config`` holds :func:`digit_vqvae`'s arguments when that function built the model.

    Raises ``TypeError`` for an encoder that does not know its places, ``ValueError`` for a commitment that is
    negative or not finite.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        commitment: float = 0.25,
        lr: float = 1e-3,
    ):
        super().__init__()
        require(encoder, "encoder", places="the shape of the array of codes for one example, such as (7, 7)")
        if not (commitment >= 0 and math.isfinite(commitment)):
            raise ValueError(f"commitment is a weight, finite and at least 0, not {commitment}.")
        self.encoder: Any = encoder  # Any: a module's attributes have no types that mypy could know
        self.quantizer: Any = quantizer
        self.decoder: Any = decoder
        self.likelihood = likelihood
        self.prior: CodePrior | None = None
        self.commitment, self.lr = commitment, lr
        self.config: dict[str, Any] = {}

    @property
    def places(self) -> tuple[int, ...]:
        """The shape of the array of codes for one example."""
        return tuple(self.encoder.places)

    @property
    def values_per_draw(self) -> int:
        """How many numbers the decoder puts out for one array of codes: what memory to expect."""
        return math.prod(self.likelihood.params_shape)

    def encode(self, x: Tensor) -> Tensor:
        """Return what is quantized: h, (n, *places, dim)."""
        return self.encoder(x).to(x.dtype)  # autocast's may be shorter

    def indices(self, x: Tensor) -> Tensor:
        """Return the codes of x by their numbers: (n, *places), int64. The codebook learns nothing of it."""
        return self.quantizer.indices(self.encode(x))

    def decode(self, indices: Tensor) -> Tensor:
        """Return the parameters of p(x | codes): (*lead, *params_shape), for indices (*lead, *places)."""
        codes = self.quantizer.lookup(indices)
        return self.decoder(codes).to(codes.dtype)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | codes) at the codes of x: (n, *event_shape)."""
        return self.likelihood.mean(self.decode(self.indices(x)))

    def forward(self, x: Tensor) -> tuple[Tensor, Quantized]:
        """Return -log p(x | codes), (n,), and the codes: what is trained. In training the codebook learns."""
        quantized = self.quantizer(self.encode(x))
        return -self.likelihood.log_prob(x, self.decoder(quantized.codes).to(x.dtype)), quantized

    def elbo(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the ELBO of each example, exact, in nats: (n,). Labels are not looked at."""
        indices = self.indices(x)
        return self.log_prior(indices) + self.likelihood.log_prob(x, self.decode(indices))

    def log_prior(self, indices: Tensor) -> Tensor:
        """Return log p(codes) in nats for indices (n, *places): (n,)."""
        if self.prior is None:
            log_p = -math.prod(self.places) * math.log(self.quantizer.num_codes)
            return torch.full((len(indices),), log_p, device=indices.device)
        return self._fitting(self.prior).log_prob(indices)

    def log_weights(
        self, x: Tensor, y: Tensor | None = None, *, k: int = 1, generator: Generator | None = None
    ) -> Tensor:
        """Return :meth:`elbo` k times: (k, n). All draws from q(codes | x) are the same array of codes."""
        return self.elbo(x).expand(k, len(x))

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, *, generator: Generator | None = None, noisy: bool = False
    ) -> Tensor:
        """Return n examples from the model: codes from the prior, then the mean of p(x | codes).

        ``noisy=True`` also draws x from p(x | codes). Labels are not looked at. Shape (n, *event_shape).
        """
        if self.prior is not None:
            indices = self._fitting(self.prior).sample(n, generator=generator)
        else:
            shape, device = (n, *self.places), next(self.parameters()).device
            indices = torch.randint(self.quantizer.num_codes, shape, generator=generator, device=device)
        return examples(
            self.likelihood,
            lambda rows: self.decode(indices[rows]),
            n,
            self.values_per_draw,
            generator,
            noisy,
        )

    def optimizers(self) -> dict[str, Optimizer]:
        """Return the one optimizer, of all but the prior. Call it when the model is on its device."""
        networks = [*self.encoder.parameters(), *self.quantizer.parameters(), *self.decoder.parameters()]
        return {"adam": adam(networks, self.likelihood, self.lr)}

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one gradient step on a batch ``(x, y)``; return the terms in nats, and the perplexity."""
        reconstruction, quantized = self(batch[0])
        terms = {"reconstruction": reconstruction.mean(), "commitment": quantized.commitment.mean()}
        terms["loss"] = terms["reconstruction"] + self.commitment * terms["commitment"]
        terms["perplexity"] = perplexity(quantized.indices, self.quantizer.num_codes)
        descend(self, terms["loss"], optimizers)
        return {name: terms[name].detach() for name in ("loss", "reconstruction", "commitment", "perplexity")}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` is this model's kind of data and its parts fit. Reads the values.

        ``TypeError`` for what is no tensor, ``ValueError`` for all else.
        """
        x, _ = batch
        self.likelihood.check(x)
        check_input(x, self.likelihood.event_shape, next(self.parameters()), "the model")
        with evaluating(self), torch.no_grad():
            h = self.encode(x[:1])
            made = {"the encoder": (h.shape, (*self.places, self.quantizer.dim))}
            if h.shape[1:] == (*self.places, self.quantizer.dim):
                params = self.decode(self.quantizer.indices(h))
                made["the decoder"] = params.shape, self.likelihood.params_shape
        for part, (shape, wanted) in made.items():
            if shape != (1, *wanted):
                raise ValueError(f"{part} made {tuple(shape)} of one example, not {(1, *wanted)} as needed.")

    def _fitting(self, prior: CodePrior) -> CodePrior:
        own, its = (self.quantizer.num_codes, self.places), (prior.num_codes, prior.places)
        if own != its:
            raise ValueError(f"the prior is CodePrior{its}, for this model's codes take CodePrior{own}.")
        return prior


class _DigitEncoder(nn.Module):
    """The network from images (n, 1, 28, 28) to h (n, 7, 7, dim)."""

    places = (7, 7)

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, dim, kernel_size=1),
        ).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Return h."""
        check_input(x, DIGIT_SHAPE, self.net[0].weight, "the encoder")
        return self.net(x).movedim(1, -1)


class _DigitDecoder(nn.Module):
    """The network from codes (*lead, 7, 7, dim) to parameters (*lead, channels, 28, 28)."""

    def __init__(self, width: int, dim: int, channels: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(dim, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1),
        ).to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the parameters."""
        params = self.net(codes.reshape(-1, *codes.shape[-3:]).movedim(-1, 1))
        return params.reshape(*codes.shape[:-3], *params.shape[1:])


def digit_vqvae(
    *,
    quantizer: str = "vq",
    num_codes: int = 64,
    dim: int = 16,
    decay: float = 0.99,
    revive_below: float = 0.1,
    levels: Sequence[int] = (4, 4, 4),
    width: int = 24,
    likelihood: str = "bernoulli",
    commitment: float = 0.25,
    lr: float = 2e-3,
) -> VQVAE:
    """Return a VQ-VAE for 1×28×28 images, with 7×7 codes and convolutions of ``width`` channels and twice it.

    ``quantizer``: "vq", a :class:`VectorQuantizer` of ``num_codes``, ``dim``, ``decay`` and ``revive_below``,
    or "fsq", a :class:`FiniteScalarQuantizer` of these ``levels``. ``likelihood``: a key of
    ``gm_lib.vae.LIKELIHOODS``. The rest is what :class:`VQVAE` takes.

    Raises ``ValueError`` for an unknown quantizer or likelihood.
    """
    config = dict(locals()) | {"levels": list(levels)}
    quantize: VectorQuantizer | FiniteScalarQuantizer
    if choose("quantizer", quantizer, ("vq", "fsq")) == "vq":
        quantize = VectorQuantizer(num_codes, dim, decay=decay, revive_below=revive_below)
    else:
        quantize = FiniteScalarQuantizer(levels)
    p_x = _likelihood(likelihood, DIGIT_SHAPE)
    encoder = _DigitEncoder(width, quantize.dim)
    decoder = _DigitDecoder(width, quantize.dim, p_x.params_shape[0])
    model = VQVAE(encoder, quantize, decoder, p_x, commitment=commitment, lr=lr)
    model.config = config
    return model
