"""What the encoder's one formula for all examples costs: q fitted to each example on its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence
from torch.optim import Adam
from tqdm.auto import tqdm

from gm_lib.distributions.estimates import as_tensor
from gm_lib.networks import VALUES_AT_ONCE, evaluating
from gm_lib.system.choose import whole_number
from gm_lib.vae.priors import log_prior


def refine(
    model: Any,
    x: Tensor,
    y: Tensor | None = None,
    *,
    steps: int = 300,
    draws: int = 8,
    lr: float = 0.05,
    seed: int = 0,
    progress: bool = False,
) -> Normal:
    """Return the diagonal Gaussian q that climbs the ELBO of each example, the decoder held fixed.

    ``model``: a :class:`gm_lib.vae.VAE`; ``x``: (n, *event_shape), ``y``: (n,) labels of a conditional model.
    Each example has its own mean and scale, (n, latent_dim), which start at the encoder's answer and take
    ``steps`` steps of Adam, whose step size falls linearly from ``lr`` to 0, so that means and log-scales can
    move by about lr · steps / 2. A step's gradient is that of log p(x | z), averaged over ``draws`` pathwise
    draws of z, minus KL(q ‖ p(z)), in closed form if the prior is a Normal. The amortization gap is what the
    ELBO of the encoder lacks to that of the best diagonal q; measured with this q, which may fall short of
    the best, it comes out too small if anything. Cremer, Li and Duvenaud 2018.

    The result is on the model's device and in its dtype, without a graph. The model's parameters, gradients
    and modes and the global random state stay as they are; the model itself is used in evaluation mode.

    Raises ``ValueError`` for steps below 0, draws below 1, and data that the model's ``check`` refuses.
    """
    steps, draws = whole_number("steps", steps), whole_number("draws", draws, least=1)
    like = next(model.parameters())
    x, y = as_tensor(x).to(like.device), None if y is None else as_tensor(y).to(like.device)
    if x.is_floating_point():
        x = x.to(like.dtype)
    model.check((x, y))
    generator = Generator(device=like.device).manual_seed(seed)
    at_once = max(1, VALUES_AT_ONCE // (draws * model.values_per_draw))
    parts = [slice(i, i + at_once) for i in range(0, len(x), at_once)]
    means, scales = [], []
    with (
        evaluating(model),
        tqdm(total=steps * len(parts), desc="refining q", disable=not progress, leave=False) as bar,
    ):
        for part in parts:
            labels = None if y is None else y[part]
            q = _climb(model, x[part], labels, steps, draws, lr, generator, bar)
            means.append(q.mean)
            scales.append(q.stddev)
    return Normal(torch.cat(means), torch.cat(scales), validate_args=False)


@torch.enable_grad()
def _climb(
    model: Any,
    x: Tensor,
    y: Tensor | None,
    steps: int,
    draws: int,
    lr: float,
    generator: Generator,
    bar: tqdm,
) -> Normal:
    """Return the refined q of examples few enough to be looked at together."""
    start = model.encode(x, y)
    if not isinstance(start, Normal):
        raise TypeError(f"q is refined where it is a Normal for each example, not {type(start).__name__}.")
    mean = start.mean.detach().clone().requires_grad_()
    log_scale = start.stddev.detach().log().requires_grad_()
    # A short memory: far from the optimum gradients are huge, and with the usual 0.999 they would hold the
    # steps down until the end.
    optimizer = Adam([mean, log_scale], lr=lr, betas=(0.9, 0.95))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        q = Normal(mean, log_scale.exp(), validate_args=False)
        eps = torch.randn((draws, *mean.shape), generator=generator, device=mean.device, dtype=mean.dtype)
        z, prior = q.mean + q.stddev * eps, model.prior
        log_p = model.likelihood.log_prob(x, model.decode(z, y)).mean(0)
        if isinstance(prior, Normal):
            kl = kl_divergence(q, prior).sum(-1)
        else:
            kl = -q.entropy().sum(-1) - log_prior(prior, z).mean(0)
        loss = (kl - log_p).sum()  # a sum: no example sees another
        # Not backward(), which would leave gradients on the model's parameters.
        mean.grad, log_scale.grad = torch.autograd.grad(loss, [mean, log_scale])
        optimizer.step()
        bar.update()
    return Normal(mean.detach(), log_scale.detach().exp(), validate_args=False)
