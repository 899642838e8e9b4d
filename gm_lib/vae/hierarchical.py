"""A VAE with several levels of latent variables, inferred from the top down.

Levels are numbered as they are drawn: z₁ at the top first, z_L nearest to x last. The model is
p(z₁) p(z₂ | z₁) … p(z_L | z_<L) p(x | z). Prior and posterior walk down one and the same path. Its state h
holds what z_<l have said, and gives mean μ and scale σ of p(z_l | z_<l). The posterior sees h and features
of x, gathered on a path from the bottom up, and says how far it departs from the prior, in units of σ:

    q(z_l | x, z_<l) = N(μ + σ · m, σ² · v),        KL(q ‖ p) = ½ Σ (m² + v - 1 - log v).

Sønderby et al. 2016 and Kingma et al. 2016 for the shared path, Vahdat and Kautz 2020 for the departure.

Every level is z_l = μ + σ · u_l, with u_l ~ N(0, I) whatever is above. Where one vector z is asked for, as
of a :class:`gm_lib.vae.VAE`, it is u = (u₁, …, u_L), (n, latent_dim), of which N(0, I) is the prior.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Normal

from gm_lib.networks import check_input
from gm_lib.system.choose import choose, whole_number
from gm_lib.system.parallel import randn
from gm_lib.vae.bounds import iwae_bound
from gm_lib.vae.levels import Level, Residual, convolutional, dense, resized
from gm_lib.vae.likelihood_base import Likelihood
from gm_lib.vae.likelihoods import likelihood as _likelihood
from gm_lib.vae.model import DIGIT_SHAPE
from gm_lib.vae.model_base import ElboTerms, LatentVariableModel, examples

NETWORKS = {"mlp": dense, "conv": convolutional}
WIDTHS = {"mlp": 400, "conv": 48}  # where none is given


class Inferred(NamedTuple):
    """What q says about n examples, at one draw of all levels or where all are at their means."""

    z: list[Tensor]
    """Each level's z_l, from the top down: (n, *level_shapes[l])."""
    mean: Tensor
    """The means m of q(u_l | x, z_<l), all levels in a row: (n, latent_dim). 0 where q is the prior."""
    kl: Tensor
    """KL(q(z_l | x, z_<l) ‖ p(z_l | z_<l)) in nats: (n, levels)."""
    log_ratio: Tensor
    """log q(z_l | x, z_<l) - log p(z_l | z_<l) at z, in nats: (n, levels)."""
    params: Tensor
    """The parameters of p(x | z): (n, *params_shape)."""


class HierarchicalVAE(LatentVariableModel):
    """Levels of Gaussians, each given those above, and p(x | z). See the module's docstring.

    ``latent_dims``: of each level, from the top down, the dimensions of z_l (n, dim), or with the
    ``architecture`` "conv" the channels of maps z_l: a quarter of the image's height and width for the upper
    half of the levels, half of it for the others. ``width``: the units, or channels, of all other layers.

    ``beta``, ``free_bits`` (nats of a level's whole KL), ``k``, ``lr``, ``optimizer`` and ``decay_steps`` say
    what is trained on, and how, as for :class:`gm_lib.vae.VAE`. Labels are not looked at. ``config``
    holds :func:`digit_hierarchical_vae`'s arguments when that function built the model.

    Raises ``ValueError`` for no levels, sizes below 1, "conv" for other data than images, and options that
    do not go together.
    """

    def __init__(
        self,
        likelihood: Likelihood,
        latent_dims: Sequence[int],
        width: int,
        *,
        architecture: str = "mlp",
        beta: float = 1.0,
        free_bits: float = 0.0,
        k: int = 1,
        lr: float = 1e-3,
        optimizer: str = "adam",
        decay_steps: int = 0,
    ):
        super().__init__(
            beta=beta, free_bits=free_bits, k=k, lr=lr, optimizer=optimizer, decay_steps=decay_steps
        )
        self.likelihood = likelihood
        self.latent_dims = [whole_number("each of latent_dims", dim, 1) for dim in latent_dims]
        if not self.latent_dims:
            raise ValueError("a hierarchy has at least one level: latent_dims is empty.")
        if choose("architecture", architecture, [*NETWORKS]) == "conv" and optimizer == "muon":
            raise ValueError("Muon takes weight matrices, and convolutions have none: take 'adam'.")
        width, levels = whole_number("width", width, 1), len(self.latent_dims)
        shapes = likelihood.event_shape, likelihood.params_shape
        wide, narrow, self.stem, self.head, sizes = NETWORKS[architecture](*shapes, width, levels)
        self.up = nn.ModuleList(Residual(wide, width) for _ in sizes)  # as the levels, from the top down
        self.levels: Any = nn.ModuleList(
            Level(wide, narrow, width, dim, size) for dim, size in zip(self.latent_dims, sizes, strict=True)
        )
        self.start = nn.Parameter(0.1 * torch.randn(width, *sizes[0]))  # h at the top, of no z

    @property
    def level_shapes(self) -> list[tuple[int, ...]]:
        """The shape of each level's z_l, from the top down: (dim,), or (channels, height, width)."""
        return [level.shape for level in self.levels]

    @property
    def latent_dim(self) -> int:
        """The number of latent dimensions, of all levels together."""
        return sum(map(math.prod, self.level_shapes))

    @property
    def values_per_draw(self) -> int:
        """How many numbers the widest layer puts out for one z: what memory to expect."""
        states = (len(self.start) * math.prod(level.size) for level in self.levels)
        return max(*states, math.prod(self.likelihood.params_shape))

    @property
    def prior(self) -> Normal:
        """p(u): a standard normal in each dimension, batch shape (latent_dim,)."""
        mean = self.start.new_zeros(self.latent_dim)
        return Normal(mean, torch.ones_like(mean), validate_args=False)

    def encode(
        self, x: Tensor, y: Any = None, *, noisy: bool = False, generator: Generator | None = None
    ) -> Inferred:
        """Return what q says about x (n, *event_shape): each level at its mean, or ``noisy`` at a draw."""
        eps = torch.zeros(len(x), self.latent_dim, device=x.device, dtype=x.dtype)
        return self._infer(x, eps.normal_(generator=generator) if noisy else eps)

    def decode(self, u: Tensor, y: Any = None) -> Tensor:
        """Return the parameters of p(x | z) for u (*lead, latent_dim): (*lead, *params_shape)."""
        _, params = self._walk(u.reshape(-1, self.latent_dim), {})
        return params.reshape(*u.shape[:-1], *params.shape[1:])

    def elbo_terms(self, x: Tensor, y: Any = None) -> ElboTerms:
        """Return the terms of the ELBO for each example, at one draw that gradients pass. kl: (n, levels).

        The KL of a level is in closed form given the draw of the levels above.
        """
        found = self._infer(x, randn((len(x), self.latent_dim), device=x.device, dtype=x.dtype))
        return ElboTerms(reconstruction=-self.likelihood.log_prob(x, found.params), kl=found.kl)

    def log_joint(self, u: Tensor, x: Tensor, y: Any = None) -> Tensor:
        """Return log p(x | u) + log p(u) in nats: (*lead, n), for u (*lead, n, latent_dim)."""
        check_input(x, self.likelihood.event_shape, u, "the model")
        return self.likelihood.log_prob(x, self.decode(u)) + self.prior.log_prob(u).sum(-1)

    def log_weights(self, x: Tensor, y: Any = None, *, k: int, generator: Generator | None = None) -> Tensor:
        """Return log p(x, z) - log q(z | x) for k draws of all levels from q(z | x): (k, n)."""
        shape = k, len(x), self.latent_dim
        return self._log_w(x, torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype))

    def importance_weighted(self, x: Tensor, y: Any = None) -> tuple[Tensor, Tensor]:
        """Return the bound of ``k`` draws, (n,), twice: it is what its gradient is taken of."""
        eps = randn((len(x), self.k, self.latent_dim), device=x.device, dtype=x.dtype).movedim(1, 0)
        bound = iwae_bound(self._log_w(x, eps))
        return bound, bound

    @torch.no_grad()
    def sample(
        self,
        n: int,
        y: Any = None,
        *,
        generator: Generator | None = None,
        noisy: bool = False,
        given: Mapping[int, Tensor] | None = None,
    ) -> Tensor:
        """Return n examples from the model: the levels from the top down, then the mean of p(x | z).

        ``given``: levels that are not drawn, counted from 0 at the top, with their z_l, (n, *level_shapes[l])
        or (1, *level_shapes[l]): such as ``encode(x).z[l]``. The levels below are drawn given them; those
        above are drawn as if nothing were given. The ``generator`` gives a level the same noise whatever is
        given. ``noisy=True`` also draws x from p(x | z). Shape (n, *event_shape).

        Raises ``ValueError`` for a level that is not there and a z_l of another shape.
        """
        fixed = {at: self._fixed(at, z, n) for at, z in (given or {}).items()}
        u = self.start.new_empty(n, self.latent_dim).normal_(generator=generator)

        def params(rows: slice) -> Tensor:
            return self._walk(u[rows], {at: z[rows] for at, z in fixed.items()})[1]

        return examples(self.likelihood, params, n, self.values_per_draw, generator, noisy)

    @torch.no_grad()
    def reconstruct(self, x: Tensor, y: Any = None) -> Tensor:
        """Return the mean of p(x | z) with each level at the mean of its q: (n, *event_shape)."""
        return self.likelihood.mean(self.encode(x).params)

    def matrices(self) -> list[nn.Parameter]:
        """Return the weight matrices of all layers."""
        networks = self.stem, self.up, self.levels, self.head
        return [p for network in networks for p in network.parameters() if p.ndim == 2]

    def _log_w(self, x: Tensor, eps: Tensor) -> Tensor:
        """Return the log-weights, (k, n), at the draws that noise eps (k, n, latent_dim) makes."""
        found = self._infer(x, eps.flatten(0, 1))
        log_p_x_given_z = self.likelihood.log_prob(x, found.params.unflatten(0, eps.shape[:2]))
        return log_p_x_given_z - found.log_ratio.sum(1).unflatten(0, eps.shape[:2])

    def _infer(self, x: Tensor, eps: Tensor) -> Inferred:
        """Walk down with q at the noise eps (k · n, latent_dim), for k draws of each of n examples x."""
        check_input(x, self.likelihood.event_shape, self.start, "the model")
        seen, noise = self._see(x), self._by_level(eps)
        means, kls, log_ratios = [], [], []

        def draw(at: int, h: Tensor) -> Tensor:
            mean, log_var = self.levels[at].posterior(h, seen[at])
            u = mean + (0.5 * log_var).exp() * noise[at]
            means.append(mean.flatten(1))
            kls.append(0.5 * (mean.square() + log_var.exp() - 1 - log_var).flatten(1).sum(1))
            # In these units p is N(0, I). From the noise, log q is exact however narrow q is.
            log_ratios.append(0.5 * (u.square() - noise[at].square() - log_var).flatten(1).sum(1))
            return u

        z, params = self._descend(draw, eps.shape[0], {})
        return Inferred(z, torch.cat(means, 1), torch.stack(kls, 1), torch.stack(log_ratios, 1), params)

    def _see(self, x: Tensor) -> list[Tensor]:
        """Gather features of x from the bottom up: for each level what its posterior looks at."""
        h, seen = self.stem(x), []
        for level, block in zip(reversed(self.levels), reversed(self.up), strict=True):
            h = block(resized(h, level.size))
            seen.append(level.see(h))
        return seen[::-1]

    def _walk(self, u: Tensor, given: Mapping[int, Tensor]) -> tuple[list[Tensor], Tensor]:
        """Walk down with the prior at u (n, latent_dim)."""
        parts = self._by_level(u)
        return self._descend(lambda at, h: parts[at], u.shape[0], given)

    def _descend(
        self, draw: Callable[[int, Tensor], Tensor], n: int, given: Mapping[int, Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Walk down from the top: u_l = draw(l, h), unless z_l is ``given``. Return all z_l, and params."""
        h, zs = self.start.expand(n, *self.start.shape), []
        for at, level in enumerate(self.levels):
            h = resized(h, level.size)
            if at in given:
                z = given[at]
            else:
                mean, log_var = level.prior(h)
                z = mean + (0.5 * log_var).exp() * draw(at, h)
            h = level.below(h, z)
            zs.append(z)
        return zs, self.head(h).to(self.start.dtype)  # autocast's may be shorter

    def _by_level(self, u: Tensor) -> list[Tensor]:
        """Cut u (n, latent_dim) into the levels' u_l (n, *level_shapes[l])."""
        shapes = self.level_shapes
        parts = u.split([math.prod(shape) for shape in shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=True)]

    def _fixed(self, at: int, z: Tensor, n: int) -> Tensor:
        """Return z_l of a level as (n, *level_shapes[at]), or refuse it."""
        levels = len(self.levels)
        if at not in range(levels):
            raise ValueError(f"given names level {at!r}: there are {levels}, from 0 at the top.")
        shape = self.level_shapes[at]
        if z.shape not in ((n, *shape), (1, *shape)):
            raise ValueError(
                f"given[{at}] must be z of the shape {(n, *shape)}, or {(1, *shape)} for all, "
                f"not {tuple(z.shape)}."
            )
        return z.to(self.start).expand(n, *shape)


def digit_hierarchical_vae(
    *,
    shape: Sequence[int] = DIGIT_SHAPE,
    architecture: str = "mlp",
    levels: int = 3,
    latent_dim: int = 20,
    hidden: int | None = None,
    likelihood: str = "bernoulli",
    sigma: float | None = None,
    beta: float = 1.0,
    free_bits: float = 0.0,
    k: int = 1,
    lr: float = 2e-3,
    optimizer: str = "adam",
    decay_steps: int = 0,
) -> HierarchicalVAE:
    """Return a hierarchical VAE for images of a ``shape``, with ``latent_dim`` dimensions in each level.

    With the ``architecture`` "conv" levels are maps of ``latent_dim`` channels, the upper ones of a quarter,
    the lower of half the height and width. ``hidden``: the width of all layers, 400 units or 48 channels if
    not given.
    ``likelihood`` and ``sigma`` as for :func:`gm_lib.vae.digit_vae`, the rest as :class:`HierarchicalVAE`
    takes it.
    """
    config = dict(locals()) | {"shape": list(shape)}
    model = HierarchicalVAE(
        _likelihood(likelihood, shape, sigma),
        [latent_dim] * whole_number("levels", levels, 1),
        choose("architecture", architecture, WIDTHS) if hidden is None else hidden,
        architecture=architecture,
        beta=beta,
        free_bits=free_bits,
        k=k,
        lr=lr,
        optimizer=optimizer,
        decay_steps=decay_steps,
    )
    model.config = config | {"hidden": len(model.start)}
    return model
