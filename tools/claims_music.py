"""What models of chorales cost, with each output."""

from __future__ import annotations

from typing import Any

import torch

from claims import Asked, Measured, at_most, claim
from gm_lib.data import chorales
from gm_lib.evaluation import log_likelihood, ratio
from gm_lib.runtime import forked_rng
from make_pretrained import MUSIC_VAE_STEPS, trained_music_vae

# How the autoregressive model is changed, by the name of the output.
OUTPUTS: dict[str, dict[str, Any]] = {
    "autoregressive": {},
    "independent": {"output": "independent", "dropout": 0.2, "lr": 5e-3, "decay_steps": 2500},
}
STEPS = {"autoregressive": MUSIC_VAE_STEPS, "independent": 2500}
DRAWS = 10
UNIT = "nats per time step"


@claim(
    title="Models of chorales",
    claim=(
        "A VAE unrolled in time bounds the test pieces' -log p by at most 6.2 nats per time step when the "
        "keys of a step are autoregressive, and by at most 7.3 when they are independent given code and "
        "past. All steps are counted, the first included. When to stop was chosen on the validation pieces."
    ),
    data="The JSB chorales by quarter notes: 229 pieces for training, 76 for validation, 77 test pieces",
    autoregressive=Asked(f"autoregressive keys, k = {DRAWS}", UNIT, gate=at_most(6.2), aim=at_most(5.7)),
    independent=Asked(f"independent keys, k = {DRAWS}", UNIT, gate=at_most(7.3), aim=at_most(6.9)),
    autoregressive_valid=Asked(f"autoregressive keys, validation, k = {DRAWS}", UNIT),
    independent_valid=Asked(f"independent keys, validation, k = {DRAWS}", UNIT),
    autoregressive_kl=Asked("KL of the codes with autoregressive keys", UNIT),
    independent_kl=Asked("KL of the codes with independent keys", UNIT),
    autoregressive_steps=Asked("updates of the one with autoregressive keys", ""),
    independent_steps=Asked("updates of the one with independent keys", ""),
)
def music_models(seed: int) -> Measured:
    """Train a model with each output from ``seed``, by the function that made the shipped weights."""
    data = chorales(fallback=False)
    found: Measured = {}
    for name, config in OUTPUTS.items():
        model, steps = trained_music_vae(data, seed, STEPS[name], **config)
        for suffix, part in (("", data.test), ("_valid", data.valid)):
            bound = log_likelihood(model, part.x, part.lengths, k=DRAWS, seed=seed).bound
            found[f"{name}{suffix}"] = ratio(-bound, part.lengths).mean
        with forked_rng(seed), torch.no_grad():
            kl = model.elbo_terms(data.test.x, data.test.lengths).kl.sum() / data.test.steps
        found |= {f"{name}_kl": kl.item(), f"{name}_steps": float(steps)}
    return found
