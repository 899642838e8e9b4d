"""Discrete codes, levels, convolutions: models of chapter 11, all after the same short training."""

from __future__ import annotations

import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal
from torch.optim import Adam, Optimizer

from claims import Asked, Measured, at_least, claim, mnist, tossed_batches
from gm_lib.classifier import read_digits
from gm_lib.data import Batch, Batches, binarize
from gm_lib.evaluation import negative_elbo
from gm_lib.networks import mlp
from gm_lib.pretrained import digit_classifier
from gm_lib.runtime import device, forked_rng
from gm_lib.vae import VAE, VQVAE, CodePrior, digit_hierarchical_vae, digit_vae, digit_vqvae, perplexity, used
from make_pretrained import train
from records import SHARE

STEPS = 400  # of 128 images, for every model and for every prior over codes; as chapter 11 has it
STACK_STEPS = 800  # of the stacks, whose steps are short
CODED = 20_000  # training images whose codes the prior learns from
JUDGED = 2000
CHANGES = ((0, 1), (5, 6), (3, 8), (4, 9))  # one digit made of another

DATA = (
    "MNIST, dynamically binarized: {} steps of 128 of the 50,000 training images, measured on one draw of "
    "the first 2,000 validation images"
)
SHORT = DATA.format(STEPS)
NATS = "nats per image"


def judged_images(seed: int) -> Tensor:
    with forked_rng(seed):
        return binarize(mnist().valid.x[:JUDGED]).to(device())


def trained(model: nn.Module, seed: int, steps: int = STEPS) -> nn.Module:
    train(model, tossed_batches(seed), steps=steps, seed=seed, average=0.99, progress=False)
    return model


# --- discrete codes


@torch.no_grad()
def codes_of(model: VQVAE, x: Tensor) -> Tensor:
    return torch.cat([model.indices(part) for part in x.split(500)])


@torch.no_grad()
def image_nats(model: VQVAE, x: Tensor, codes: Tensor) -> float:
    """Return the mean of -log p(x | codes) in nats."""
    parts = zip(x.split(500), codes.split(500), strict=True)
    return -torch.cat([model.likelihood.log_prob(a, model.decode(b)) for a, b in parts]).mean().item()


@torch.no_grad()
def nats_of_places(seen: Tensor, codes: Tensor, num_codes: int) -> float:
    """Return the mean nats of codes, each place by the shares that codes have there in ``seen``."""
    counts = F.one_hot(seen.flatten(1), num_codes).sum(0) + 0.5
    log_share = (counts / counts.sum(1, keepdim=True)).log()
    return -log_share.gather(1, codes.flatten(1).T).sum(0).mean().item()


def nats_of_prior(seen: Tensor, codes: Tensor, num_codes: int, seed: int) -> float:
    """Return the mean nats of codes by an autoregressive prior that learned from ``seen``."""
    with forked_rng(seed):
        prior = CodePrior(num_codes, codes.shape[1:])
    train(prior, Batches(seen, seed=seed, device=device()), steps=STEPS, seed=seed, progress=False)
    with torch.no_grad():
        return -prior.log_prob(codes).mean().item()


def coded_digits(seed: int, name: str, **settings: object) -> Measured:
    """Train a VQ-VAE and measure its codes, and what a prior makes of them."""
    x = judged_images(seed)
    with forked_rng(seed):
        model = digit_vqvae(**settings)  # type: ignore[arg-type]
        seen_x = binarize(mnist().train.x[:CODED]).to(device())
    trained(model, seed)
    codes, k = codes_of(model, x), model.quantizer.num_codes
    found = {
        f"{name}_image": image_nats(model, x, codes),
        f"{name}_used": used(codes, k).item(),
        f"{name}_perplexity": perplexity(codes, k).item(),
    }
    seen = codes_of(model, seen_x)
    found[f"{name}_places"] = nats_of_places(seen, codes, k)
    found[f"{name}_codes"] = nats_of_prior(seen, codes, k, seed)
    found[f"{name}_bound"] = found[f"{name}_codes"] + found[f"{name}_image"]
    return found


@claim(
    "Discrete codes for digits",
    "With 7×7 codes from 64, the prior over the codes has the larger part of the bound, and a VAE of the "
    "same number of steps is below it.",
    SHORT + "; a prior learns for 400 steps from the codes of 20,000 training images",
    vae=Asked("−ELBO of `digit_vae`, 20 latent dimensions", NATS),
    equal=Asked("49 codes from 64, equal chances", NATS),
    vq_image=Asked("the image given its codes, VQ", NATS),
    vq_places=Asked("its codes, each place alone", NATS),
    vq_codes=Asked("its codes, autoregressive prior", NATS),
    vq_bound=Asked("bound of −log p(x), VQ with the autoregressive prior", NATS),
    vq_over_vae=Asked("what VQ costs more than the VAE", NATS, gate=at_least(0)),
    vq_used=Asked("codes used, VQ", SHARE),
    vq_perplexity=Asked("perplexity of the codes, VQ", "codes"),
    few_image=Asked("the image given its codes, VQ with 8 codes", NATS),
    few_codes=Asked("its codes, autoregressive prior", NATS),
    few_bound=Asked("bound of −log p(x), VQ with 8 codes", NATS),
    few_used=Asked("codes used, VQ with 8 codes", SHARE),
    few_perplexity=Asked("perplexity of the codes, VQ with 8 codes", "codes"),
    unrevived_image=Asked("the image given its codes, VQ without revival", NATS),
    unrevived_codes=Asked("its codes, autoregressive prior", NATS),
    unrevived_bound=Asked("bound of −log p(x), VQ without revival", NATS),
    unrevived_used=Asked("codes used, VQ without revival", SHARE),
    unrevived_perplexity=Asked("perplexity of the codes, VQ without revival", "codes"),
    fsq_image=Asked("the image given its codes, FSQ of 4 × 4 × 4 levels", NATS),
    fsq_places=Asked("its codes, each place alone", NATS),
    fsq_codes=Asked("its codes, autoregressive prior", NATS),
    fsq_bound=Asked("bound of −log p(x), FSQ with the autoregressive prior", NATS),
    fsq_used=Asked("codes used, FSQ", SHARE),
    fsq_perplexity=Asked("perplexity of the codes, FSQ", "codes"),
)
def codes_quick(seed: int) -> Measured:
    with forked_rng(seed):
        vae = digit_vae()
    found = {
        "vae": negative_elbo(trained(vae, seed), judged_images(seed), seed=seed).mean,
        "equal": 49 * math.log(64),
        **coded_digits(seed, "vq", num_codes=64),
        **coded_digits(seed, "few", num_codes=8),
        **coded_digits(seed, "unrevived", num_codes=64, revive_below=0.0),
        **coded_digits(seed, "fsq", quantizer="fsq", levels=(4, 4, 4)),
    }
    del found["few_places"], found["unrevived_places"]
    return found | {"vq_over_vae": found["vq_bound"] - found["vae"]}


# --- levels


class Stack(nn.Module):
    """Three levels of 20 dimensions, z[0] at the top, as chapter 11 builds them.

    Inferred ``top_down`` or from the bottom up; all levels ``reach`` the decoder, or the lowest alone.
    """

    def __init__(self, top_down: bool, reach: bool):
        super().__init__()
        self.top_down, self.reach = top_down, reach
        sees = [784, 804, 804] if top_down else [20, 20, 784]
        self.q = nn.ModuleList(mlp([size, 200, 40]) for size in sees)
        self.p = nn.ModuleList(mlp([20, 200, 40]) for _ in range(2))
        self.decoder = mlp([60 if reach else 20, 200, 784])

    def infer(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return a draw of each level from q, (n, 20), and log q there, (n,), for x (n, 784)."""
        z, log_q = [x] * 3, [x] * 3
        for level in (0, 1, 2) if self.top_down else (2, 1, 0):
            if self.top_down:
                seen = torch.cat([x, z[level - 1]], 1) if level > 0 else x
            else:
                seen = z[level + 1] if level < 2 else x
            q = _gaussian(self.q[level], seen)
            z[level] = q.rsample()
            log_q[level] = q.log_prob(z[level]).sum(1)
        return z, log_q

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return -log p(x | z), (n,), and log q - log p of each level, (n, 3), at one draw."""
        x = x.flatten(1)
        z, log_q = self.infer(x)
        p = [Normal(torch.zeros_like(z[0]), 1.0), *(_gaussian(self.p[i], z[i]) for i in range(2))]
        log_p = [p[i].log_prob(z[i]).sum(1) for i in range(3)]
        logits = self.decoder(torch.cat(z, 1) if self.reach else z[2])
        by_pixel = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
        return by_pixel.sum(1), torch.stack(log_q, 1) - torch.stack(log_p, 1)

    @torch.no_grad()
    def active_at_top(self, x: Tensor, draws: int = 20) -> int:
        """Count the dimensions of z[0] whose mean given x varies over the images by more than 0.01."""
        z = torch.stack([self.infer(x.flatten(1))[0][0] for _ in range(draws)])
        noise = z.var(0).mean(0) / draws
        return int((z.mean(0).var(0) - noise > 0.01).sum())

    def optimizers(self) -> dict[str, Optimizer]:
        return {"adam": Adam(self.parameters(), lr=2e-3)}

    def update(self, batch: Batch, optimizers: dict[str, Optimizer], step: int) -> dict[str, Tensor]:
        reconstruction, kl = self.terms(batch[0])
        loss = (reconstruction + kl.sum(1)).mean()
        self.zero_grad()
        loss.backward()
        optimizers["adam"].step()
        return {"loss": loss.detach()}


def _gaussian(network: nn.Module, seen: Tensor) -> Normal:
    mean, log_var = network(seen).chunk(2, dim=1)
    return Normal(mean, (0.5 * log_var.clamp(-8, 8)).exp())


STACKS = {
    "chain_up": (False, False),
    "chain_down": (True, False),
    "all_up": (False, True),
    "all_down": (True, True),
}
SAID = {
    "chain_up": "a chain, inferred from the bottom up",
    "chain_down": "a chain, inferred from the top down",
    "all_up": "all levels seen by the decoder, inferred from the bottom up",
    "all_down": "all levels seen by the decoder, inferred from the top down",
}


def _asked_of_stacks() -> dict[str, Asked]:
    asked: dict[str, Asked] = {}
    for name, said in SAID.items():
        asked[f"{name}_elbo"] = Asked(f"−ELBO, {said}", NATS)
        asked[f"{name}_top"] = Asked(f"log q − log p of the top level, {said}", NATS)
        asked[f"{name}_active"] = Asked(f"active dimensions of the top level, of 20, {said}", "dimensions")
    asked["fed"] = Asked(
        "nats of the top level that both changes add to the chain's", NATS, gate=at_least(0.5)
    )
    asked["both_over_neither"] = Asked("nats of −ELBO saved by both changes to the chain", NATS)
    return asked


@claim(
    "Chains of latent variables, and what feeds their top",
    "The top level of a chain adds next to nothing, whichever way it is inferred. Seen by the decoder and "
    "inferred from the top down it adds nats; one of the two changes is not enough.",
    DATA.format(STACK_STEPS) + "; three levels of 20 dimensions, fully connected layers of 200 units",
    **_asked_of_stacks(),
)
def stacks_quick(seed: int) -> Measured:
    x, found = judged_images(seed), {}
    for name, (top_down, reach) in STACKS.items():
        with forked_rng(seed):
            stack = Stack(top_down, reach)
        trained(stack, seed, STACK_STEPS)
        with torch.no_grad(), forked_rng(seed):
            reconstruction, kl = stack.terms(x)
            found[f"{name}_active"] = float(stack.active_at_top(x[:500]))
        found[f"{name}_elbo"] = (reconstruction + kl.sum(1)).mean().item()
        found[f"{name}_top"] = kl[:, 0].mean().item()
    found["fed"] = found["all_down_top"] - found["chain_up_top"]
    found["both_over_neither"] = found["chain_up_elbo"] - found["all_down_elbo"]
    return found


LEVELS = {"levels": 0.0, "free_bits": 4.0}


def _asked_of_levels() -> dict[str, Asked]:
    asked = {
        "flat_elbo": Asked("−ELBO, `digit_vae`, one level of 20 dimensions", NATS),
        "single_elbo": Asked("−ELBO, `digit_hierarchical_vae`, a single level of 60 dimensions", NATS),
    }
    for name, bits in LEVELS.items():
        said = "`digit_hierarchical_vae`" + (f", {bits:g} free bits for each level" if bits else "")
        asked[f"{name}_elbo"] = Asked(f"−ELBO, {said}", NATS)
        for place in ("top", "middle", "bottom"):
            asked[f"{name}_{place}"] = Asked(f"KL of the {place} level, {said}", NATS)
    asked["saved"] = Asked(
        "nats saved by `digit_hierarchical_vae` against `digit_vae`", NATS, gate=at_least(0)
    )
    asked["saved_by_levels"] = Asked("nats of it saved by three levels against a single one", NATS)
    return asked


@claim(
    "A hierarchical VAE of three levels",
    "`digit_hierarchical_vae` with three levels of 20 dimensions comes below `digit_vae` with one, both "
    "trained by Muon. Free bits move nats to the bottom level.",
    SHORT + "; fully connected layers, of 200 units in the three levels and of 400 in the one",
    **_asked_of_levels(),
)
def levels_quick(seed: int) -> Measured:
    x, found = judged_images(seed), {}
    with forked_rng(seed):
        flat = digit_vae(optimizer="muon")
    with forked_rng(seed):
        single = digit_hierarchical_vae(levels=1, latent_dim=60, hidden=200, optimizer="muon")
    for name, model in {"flat": flat, "single": single}.items():
        found[f"{name}_elbo"] = negative_elbo(trained(model, seed), x, seed=seed).mean
    for name, bits in LEVELS.items():
        with forked_rng(seed):
            model = digit_hierarchical_vae(levels=3, hidden=200, optimizer="muon", free_bits=bits)
        trained(model, seed)
        with torch.no_grad(), forked_rng(seed):
            terms = model.elbo_terms(x)
        found[f"{name}_elbo"] = -terms.elbo.mean().item()
        for place, nats in zip(("top", "middle", "bottom"), terms.kl.mean(0), strict=True):
            found[f"{name}_{place}"] = nats.item()
    found["saved"] = found["flat_elbo"] - found["levels_elbo"]
    found["saved_by_levels"] = found["single_elbo"] - found["levels_elbo"]
    return found


# --- convolutions, and arithmetic with codes


def _asked_of_convolutions() -> dict[str, Asked]:
    asked = {
        "mlp_elbo": Asked("−ELBO, fully connected", NATS),
        "conv_elbo": Asked("−ELBO, convolutions", NATS),
        "mlp_longer": Asked("−ELBO, fully connected, four times as many steps", NATS),
        "saved": Asked("nats saved by convolutions in the same number of steps", NATS, gate=at_least(0)),
        "slower": Asked("computing time a step, one thread, convolutions over fully connected", "times"),
    }
    for old, new in CHANGES:
        for way in ("codes", "pixels"):
            asked[f"{way}_{old}_{new}"] = Asked(f"{old} changed to {new} by {way}: read as {new}", SHARE)
    return asked


@claim(
    "Convolutions in a VAE, and arithmetic with its codes",
    "After the same 400 steps `digit_vae` with convolutions is below the fully connected one. The difference "
    "of two digits' mean codes, added to codes, makes ones of more zeros, and sixes of more fives, than the "
    "same with pixels.",
    SHORT + "; 32 latent dimensions; differences of the first 5,000 validation images, added to the others",
    **_asked_of_convolutions(),
)
def conv_quick(seed: int) -> Measured:
    x, seconds, models = judged_images(seed), {}, {}
    for name in ("mlp", "conv"):
        with forked_rng(seed):
            models[name] = digit_vae(architecture=name, latent_dim=32)
        began = time.process_time()
        trained(models[name], seed)
        seconds[name] = time.process_time() - began
    with forked_rng(seed):
        longer = digit_vae(latent_dim=32)
    train(longer, tossed_batches(seed), steps=4 * STEPS, seed=seed, average=0.998, progress=False)
    bounds = {f"{name}_elbo": negative_elbo(model, x, seed=seed).mean for name, model in models.items()}
    return {
        **bounds,
        "mlp_longer": negative_elbo(longer, x, seed=seed).mean,
        "saved": bounds["mlp_elbo"] - bounds["conv_elbo"],
        "slower": seconds["conv"] / seconds["mlp"],
        **changed_digits(models["conv"]),
    }


@torch.no_grad()
def changed_digits(model: VAE) -> Measured:
    """Add the difference of two digits' means to images of one; return which share is read as the other."""
    data, half = mnist(), len(mnist().valid) // 2
    known, other = ((data.valid.x[part], data.valid.y[part]) for part in (slice(half), slice(half, None)))
    known_z, other_z = (model.encode(x.to(device())).mean for x, _ in (known, other))
    rebuilt = model.likelihood.mean(model.decode(other_z))
    classifier = digit_classifier().to(device())
    found = {}
    for old, new in CHANGES:
        plus, minus, at = known[1] == new, known[1] == old, other[1] == old
        moved = other_z[at] + known_z[plus].mean(0) - known_z[minus].mean(0)
        by_pixels = rebuilt[at] + (known[0][plus].mean(0) - known[0][minus].mean(0)).to(device())
        ways = {"codes": model.likelihood.mean(model.decode(moved)), "pixels": by_pixels.clamp(0, 1)}
        for way, x in ways.items():
            found[f"{way}_{old}_{new}"] = (
                (read_digits(classifier, x).argmax(-1) == new).double().mean().item()
            )
    return found
