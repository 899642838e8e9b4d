"""The claim about tables: who fills missing cells best (chapter 16e)."""

from __future__ import annotations

import copy
from typing import Any

import torch

from claims import Asked, Measured, claim
from gm_lib.data import Batches, TableData, table_data
from gm_lib.evaluation import log_likelihood, simple_fillings
from gm_lib.runtime import forked_rng
from gm_lib.training import fit
from gm_lib.vae import VAE, Columns, Decoder, GaussianEncoder, impute
from records import SHARE

MISSING = 0.3
STEPS = {"crossed": 3000, "iris": 800, "wine": 800, "breast_cancer": 800, "diabetes": 800}
LATENT = {name: 4 if name == "crossed" else 8 for name in STEPS}
HIDDEN, DRAWS = 64, 20
FILLED_BY = {
    "mean": "column mean or mode",
    "nearest": "nearest rows",
    "linear": "linear regressions",
    "vae_linear": "VAE with a linear decoder",
    "vae": "VAE",
    "best": "the true distribution",
}
SDS = "standard deviations of a column"


def filled_by(table: str) -> list[str]:
    """Return who fills this table: the true distribution of one only is known."""
    return [name for name in FILLED_BY if name != "best" or table == "crossed"]


@claim(
    title="Who fills missing cells best",
    claim=(
        f"{MISSING:.0%} of all cells are hidden, completely at random, and those of the test rows filled. "
        "`simple_fillings` do it without a generative model; how many neighbours and how large a penalty on "
        "slopes, validation rows decide. The VAEs have one likelihood for each column, "
        f"{LATENT['crossed']} latent dimensions for crossed and {LATENT['wine']} for the others, {HIDDEN} "
        f"hidden units (none in a linear decoder), and {DRAWS} draws in training; of their weights in the "
        "course of training those are taken that give observed cells of validation rows the highest "
        "likelihood. They fill by `impute` with 1,000 draws. A seed deals the rows, hides the cells and "
        "starts the networks."
    ),
    data=(
        "`table_data`: crossed (800 test rows for each seed), iris (30), wine (36), breast_cancer (114), "
        "diabetes (89). Cells that are no numbers: flag and word, the species, the variety, the diagnosis, "
        "the sex"
    ),
    **{
        f"{key}_{table}_{name}": Asked(f"{table}, {FILLED_BY[name]}: {what}", unit)
        for table in STEPS
        for key, what, unit in (
            ("rmse", "root mean squared error of cells that are numbers", SDS),
            ("right", "other cells filled rightly", SHARE),
        )
        for name in filled_by(table)
    },
    **{
        f"{key}_{table}_{name}": Asked(f"{table}, VAE minus {FILLED_BY[name]}, paired by seed: {what}", unit)
        for table in STEPS
        for key, what, unit in (
            ("rmse_less", "root mean squared error", SDS),
            ("right_less", "other cells filled rightly", "percentage points"),
        )
        for name in ("linear", "vae_linear")
    },
    nats_crossed_vae=Asked("crossed, VAE: −log p of a row's observed cells, 500 weights", "nats"),
    nats_crossed_vae_linear=Asked("crossed, VAE with a linear decoder: the same", "nats"),
    nats_crossed_best=Asked("crossed, the true distribution: the same, exactly", "nats"),
)
def table_filling(seed: int) -> Measured:
    """Hide, train and fill from ``seed``."""
    found: Measured = {}
    for name in STEPS:
        data = table_data(name, missing=MISSING, seed=seed)
        simple = simple_fillings(data.train, data.valid, data.test, seed=seed)
        filled = dict(zip(("mean", "nearest", "linear"), simple.values(), strict=True))
        for who, hidden in (("vae_linear", []), ("vae", [HIDDEN])):
            model = trained(data, hidden, seed)
            generator = torch.Generator().manual_seed(seed)
            filled[who] = impute(model, data.test.x, k=1000, generator=generator)
            if data.truth:
                bound = log_likelihood(model, data.test.x, k=500, seed=seed)
                found[f"nats_{name}_{who}"] = -bound.mean
        if data.truth:
            filled["best"] = data.truth.fill(data.test)
            found[f"nats_{name}_best"] = -data.truth.log_prob(data.test).mean().item()
        for who, values in filled.items():
            squared, right = data.test.errors(values)
            found[f"rmse_{name}_{who}"] = squared.mean().sqrt().item()
            found[f"right_{name}_{who}"] = right.mean().item()
        for key, scale in (("rmse", 1), ("right", 100)):
            for who in ("linear", "vae_linear"):
                less = found[f"{key}_{name}_vae"] - found[f"{key}_{name}_{who}"]
                found[f"{key}_less_{name}_{who}"] = scale * less
    return found


def trained(data: TableData, hidden: list[int], seed: int) -> VAE:
    """Return a VAE with the weights, of those looked at, that validation rows find most likely."""
    with forked_rng(seed):
        p_x_given_z = Columns(data.columns)
        encoder = GaussianEncoder(p_x_given_z.event_shape, [HIDDEN], LATENT[data.name])
        decoder = Decoder(LATENT[data.name], hidden, p_x_given_z.params_shape)
        model = VAE(encoder, decoder, p_x_given_z, k=DRAWS, lr=2e-3)
    best: dict[str, Any] = {"nats": -torch.inf}

    def look(model: Any) -> dict[str, float]:
        nats = log_likelihood(model, data.valid.x, k=50, seed=seed).mean
        if nats > best["nats"]:
            best.update(nats=nats, weights=copy.deepcopy(model.state_dict()))
        return {"valid": nats}

    fit(
        model,
        Batches(data.train.x, batch_size=64, seed=seed, device="cpu"),
        steps=STEPS[data.name],
        seed=seed,
        device="cpu",
        average=0.99,
        evaluate=look,
        evaluate_every=40,
        progress=False,
    )
    model.load_state_dict(best["weights"])
    return model
