"""Text by characters: a recurrent network that predicts the next one, alone or told a code z by a VAE.

Texts are rows of numbers (n, length), as ``gm_lib.data.prose`` has them: 0 is the end, behind it is padding.
Log-probabilities are in nats per text, and count its end.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Distribution, Normal
from torch.optim import Optimizer

from gm_lib.data.prose import END, counted, shifted, windows
from gm_lib.networks import OneAdam, descend
from gm_lib.system.choose import whole_number
from gm_lib.system.parallel import randn
from gm_lib.vae.bounds import log_importance_weights
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.model_base import ElboTerms, LatentVariableModel
from gm_lib.vae.priors import StandardNormal


class Characters(Likelihood):
    """A categorical distribution for each symbol of a text.

    ``params``: unnormalized log p, (*lead, n, length, symbols). A text and its end are counted, no padding.
    """

    def __init__(self, length: int, symbols: int):
        super().__init__((length,))
        self.symbols = whole_number("symbols", symbols, 2)

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return log p(x | params) of rows (n, length): (*lead, n)."""
        log_p = params.float().log_softmax(-1)
        index = x.long().unsqueeze(-1).expand(*params.shape[:-1], 1)
        return log_p.gather(-1, index).squeeze(-1).where(counted(x), 0.0).sum(-1)

    def check(self, x: Tensor) -> None:
        """Raise unless ``x`` holds rows (n, length) of symbols. ``TypeError`` for what is no tensor."""
        if not isinstance(x, Tensor):
            raise TypeError(f"texts must be a torch.Tensor of numbers, not {type(x).__name__}: encode them.")
        if x.ndim != 2 or x.numel() == 0:
            raise ValueError(
                f"texts are rows (n, length), not {tuple(x.shape)}; data.prose.windows cuts a long one."
            )
        if not bool(((x >= 0) & (x < self.symbols) & (x == x.round())).all()):
            raise ValueError(
                f"the model knows the symbols 0 to {self.symbols - 1}, and the texts hold others, between "
                f"{x.min().item():g} and {x.max().item():g}: encode them with the alphabet it learned."
            )


class TextEncoder(nn.Module):
    """q(z | x): a GRU reads the text, and a Gaussian is made of its state at the end."""

    def __init__(self, symbols: int, width: int, latent_dim: int):
        super().__init__()
        self.embedding = nn.Embedding(symbols, width // 2)
        self.gru = nn.GRU(width // 2, width, batch_first=True)
        self.out = nn.Linear(width, 2 * latent_dim)

    def mean_and_log_var(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of q(z | x) and the logarithm of its variance, each (n, latent_dim)."""
        states, _ = self.gru(self.embedding(x.long()))
        last = counted(x).sum(1) - 1
        mean, log_var = self.out(states[torch.arange(len(x), device=x.device), last]).chunk(2, dim=-1)
        return mean.float(), log_var.float()


class TextDecoder(nn.Module):
    """p(x | z), or p(x) with ``latent_dim`` 0: a GRU that sees the characters before, and z at each step.

    In training each character it sees is hidden with the probability ``dropout`` (word dropout, Bowman et al.
    2016); what it has to predict is not. z is the GRU's first state, through a linear layer, and part of each
    input.
    """

    def __init__(self, symbols: int, width: int, latent_dim: int = 0, dropout: float = 0.0):
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is a probability, not {dropout}.")
        self.symbols, self.width, self.latent_dim, self.dropout = symbols, width, latent_dim, dropout
        self.embedding = nn.Embedding(symbols + 1, width // 2)  # the last one stands for a hidden character
        self.gru = nn.GRU(width // 2, width, batch_first=True)
        self.out = nn.Linear(width, symbols)
        self.to_state: Any = nn.Linear(latent_dim, width, bias=False) if latent_dim else None
        self.to_input: Any = nn.Linear(latent_dim, width // 2, bias=False) if latent_dim else None

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Return each place's logits, (*lead, n, length, symbols), for z (*lead, n, latent_dim)."""
        seen = shifted(x.long())
        if self.training and self.dropout:
            hidden = torch.rand(seen.shape, device=seen.device) < self.dropout
            hidden[:, 0] = False  # that a text begins is no news
            seen = seen.masked_fill(hidden, self.symbols)
        if z is None:
            return self.out(self.gru(self.embedding(seen))[0])
        lead = z.shape[:-1]
        seen = seen.expand(*lead, -1).reshape(-1, x.shape[1])
        states, _ = self.gru(*self._told(self.embedding(seen), z.reshape(-1, self.latent_dim)))
        return self.out(states).unflatten(0, lead)

    def next(self, symbol: Tensor, state: Tensor | None, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what follows ``symbol`` (n,): logits (n, symbols) and the new state. None begins a text."""
        inputs = self.embedding(symbol.long())[:, None]
        if z is not None:
            inputs, first = self._told(inputs, z)
            state = first if state is None else state
        states, state = self.gru(inputs, state)
        return self.out(states[:, 0]), state

    def _told(self, inputs: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return inputs + self.to_input(z)[:, None], self.to_state(z)[None]

    @torch.no_grad()
    def write(
        self,
        n: int,
        length: int,
        z: Tensor | None = None,
        *,
        begin: Tensor | None = None,
        temperature: float = 1.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw n texts (n, length), padded behind their end, that ``begin`` with (m,) characters.

        ``temperature`` divides the logits; 0 takes the likeliest character each time.
        """
        device = self.out.weight.device
        symbol, state = torch.full((n,), END, device=device), None
        given = torch.empty(0, dtype=torch.int64) if begin is None else begin
        x = torch.empty((n, length), dtype=torch.int64, device=device)
        for t in range(length):
            logits, state = self.next(symbol, state, z)
            if t < len(given):
                symbol = given[t].to(device).expand(n)
            elif temperature == 0:
                symbol = logits.argmax(-1)
            else:
                p = (logits.float() / temperature).softmax(-1)
                symbol = torch.multinomial(p, 1, generator=generator)[:, 0]
            x[:, t] = symbol
        return x.where(counted(x), END)


class CharacterModel(OneAdam):
    """p(x) = Π p(x_t | x_1 … x_{t-1}), by a GRU of ``width`` units: the decoder of a text VAE without z.

    ``length``: of the rows that :meth:`sample` draws. ``lr``, ``decay_steps`` and ``config`` are as in
    :class:`gm_lib.vae.VAE`, ``dropout`` is :class:`TextDecoder`'s. Gradients longer than 1
    are shortened to 1.
    """

    num_classes = 0

    def __init__(
        self,
        *,
        symbols: int,
        length: int,
        width: int = 128,
        dropout: float = 0.0,
        lr: float = 4e-3,
        decay_steps: int = 0,
    ):
        super().__init__()
        self.config = {"symbols": symbols, "length": length, "width": width, "dropout": dropout}
        self.config |= {"lr": lr, "decay_steps": decay_steps}
        self.likelihood = Characters(length, symbols)
        self.decoder = TextDecoder(symbols, width, dropout=dropout)
        self.length, self.lr, self.decay_steps = length, lr, decay_steps

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) of rows (n, any length), in nats: (n,). A row without an end is a beginning."""
        return self.likelihood.log_prob(x, self.decoder(x))

    def log_prob_each(self, x: Tensor) -> Tensor:
        """Return log p of each symbol given those before it, 0 behind the end: (n, length), in nats."""
        log_p = self.decoder(x).float().log_softmax(-1)
        return log_p.gather(-1, x.long()[..., None])[..., 0].where(counted(x), 0.0)

    @torch.no_grad()
    def log_prob_text(self, text: Tensor, context: int = 128) -> Tensor:
        """Return log p of each symbol of a long text (n,), given ``context`` to 2 · ``context`` before it.

        The first ones have fewer. Raises ``ValueError`` for a text shorter than twice the context.
        """
        pieces = windows(text, 2 * context, context)
        each = torch.cat([self.log_prob_each(part) for part in pieces.split(200)])
        rest = len(text) - (len(pieces) + 1) * context
        last = self.log_prob_each(text[None, -2 * context :])[0, 2 * context - rest :]
        return torch.cat([each[0, :context], each[:, context:].flatten(), last])

    def forward(self, x: Tensor) -> Tensor:
        """Return :meth:`log_prob`."""
        return self.log_prob(x)

    def sample(self, n: int, y: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n texts (n, length)."""
        return self.decoder.write(n, self.length, generator=generator)

    def update(self, batch: Any, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        """Take one step on a batch ``(x, y)``; return the nats per text and per character."""
        x, _ = batch
        nats, characters = -self.log_prob(x).sum(), counted(x).sum()
        descend(self, nats / characters, optimizers, step, self.decay_steps, clip=1.0)
        return {"loss": nats.detach() / len(x), "per_character": nats.detach() / characters}

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` holds texts of this model's symbols."""
        self.likelihood.check(batch[0])


class TextVAE(LatentVariableModel):
    """A VAE of texts: q(z | x) by :class:`TextEncoder`, p(x | z) by :class:`TextDecoder`. Bowman et al. 2016.

    What its decoder is told of z is all that distinguishes it from :class:`CharacterModel`: if it ignores z,
    p(x | z) = p(x) is such a model. ``dropout`` is the decoder's; the other options are those of
    :class:`gm_lib.vae.VAE`.
    """

    def __init__(
        self,
        *,
        symbols: int,
        length: int,
        latent_dim: int = 16,
        width: int = 128,
        dropout: float = 0.0,
        beta: float = 1.0,
        free_bits: float = 0.0,
        lr: float = 4e-3,
        decay_steps: int = 0,
    ):
        super().__init__(
            beta=beta, free_bits=free_bits, k=1, lr=lr, optimizer="adam", decay_steps=decay_steps
        )
        self.config = {"symbols": symbols, "length": length, "latent_dim": latent_dim, "width": width}
        self.config |= {"dropout": dropout, "beta": beta, "free_bits": free_bits}
        self.config |= {"lr": lr, "decay_steps": decay_steps}
        self.likelihood = Characters(length, symbols)
        self.latent_dim = whole_number("latent_dim", latent_dim, 1)
        self.encoder = TextEncoder(symbols, width, latent_dim)
        self.decoder = TextDecoder(symbols, width, latent_dim, dropout)
        self.length, self.prior_network = length, StandardNormal(latent_dim)

    @property
    def values_per_draw(self) -> int:
        """How many numbers the decoder computes for one z: what memory to expect."""
        return self.length * (2 * self.decoder.symbols + 4 * self.decoder.width)

    @property
    def prior(self) -> Distribution:
        """p(z) = N(0, I), batch shape (latent_dim,)."""
        return self.prior_network.distribution()

    def encode(self, x: Tensor, y: Tensor | None = None) -> Normal:
        """Return q(z | x): Normal of shape (n, latent_dim)."""
        mean, log_var = self.encoder.mean_and_log_var(x)
        return Normal(mean, (0.5 * log_var).exp(), validate_args=False)

    def elbo_terms(self, x: Tensor, y: Tensor | None = None) -> ElboTerms:
        """Return the terms of the ELBO for each text, with one draw from q(z | x) that gradients pass."""
        mean, log_var = self.encoder.mean_and_log_var(x)
        z = mean + (0.5 * log_var).exp() * randn(mean.shape, device=mean.device, dtype=mean.dtype)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)
        return ElboTerms(reconstruction=-self.likelihood.log_prob(x, self.decoder(x, z)), kl=kl)

    def log_joint(self, z: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return log p(x | z) + log p(z) in nats: (*lead, n), for z (*lead, n, latent_dim)."""
        return self.likelihood.log_prob(x, self.decoder(x, z)) + self.prior.log_prob(z).sum(-1)

    def log_weights(
        self, x: Tensor, y: Tensor | None = None, *, k: int, generator: Generator | None = None
    ) -> Tensor:
        """Return log p(x | z) + log p(z) - log q(z | x) for k draws of z from q(z | x): (k, n)."""
        mean, log_var = self.encoder.mean_and_log_var(x)
        eps = torch.randn((k, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype)
        z = mean + (0.5 * log_var).exp() * eps
        return log_importance_weights(
            log_p_x_given_z=self.likelihood.log_prob(x, self.decoder(x, z)),
            log_p_z=self.prior.log_prob(z).sum(-1),
            log_q_z_given_x=-0.5 * (eps.square() + log_var + math.log(2 * math.pi)).sum(-1),
        )

    def check(self, batch: Any) -> None:
        """Raise unless the batch ``(x, y)`` holds texts of this model's symbols."""
        self.likelihood.check(batch[0])

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n texts (n, length): z from the prior, then each character given z and those before."""
        return self.decoder.write(
            n, self.length, self.prior_network.sample(n, generator), generator=generator
        )

    def write(self, z: Tensor, **options: Any) -> Tensor:
        """Write a text for each code (n, latent_dim); ``options`` are :meth:`TextDecoder.write`'s."""
        return self.decoder.write(len(z), self.length, z, **options)
