"""The claim about models of chorales and the maker of the shipped one, on synthesized pieces."""

import hashlib
import json

import pytest
import torch

import claims_music
import make_pretrained
from gm_lib.data import MusicData
from gm_lib.data.music import synthesized_pieces

SMALL = {"hidden": 6, "latent_dim": 2, "units": 1, "dropout": 0.0, "lr": 1e-2, "decay_steps": 0}


@pytest.fixture(autouse=True)
def _few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    data = MusicData("jsb", "", *(synthesized_pieces(n, seed=n) for n in (16, 4, 5)))
    for module in (make_pretrained, claims_music):
        monkeypatch.setattr(module, "chorales", lambda fallback: data)
    monkeypatch.setattr(make_pretrained, "MUSIC_VAE_CONFIG", SMALL)
    monkeypatch.setattr(make_pretrained, "MUSIC_EVERY", 2)
    monkeypatch.setattr(make_pretrained, "MUSIC_VAE_STEPS", 4)
    monkeypatch.setattr(claims_music, "STEPS", dict.fromkeys(claims_music.OUTPUTS, 4))


def test_both_outputs_are_measured_on_test_and_validation_pieces() -> None:
    found = claims_music.music_models(0)
    assert set(found) == {
        f"{name}{suffix}" for name in claims_music.OUTPUTS for suffix in ("", "_valid", "_kl", "_steps")
    }
    assert all(0 < found[f"{name}{part}"] < 70 for name in claims_music.OUTPUTS for part in ("", "_valid"))
    assert {found[f"{name}_steps"] for name in claims_music.OUTPUTS} <= {2.0, 4.0}


def test_the_weights_that_did_best_in_validation_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is the best one: what comes out is the model after as many steps, not the last."""
    seen = []

    class Worse:
        def __init__(self, model: torch.nn.Module) -> None:
            seen.append({name: value.clone() for name, value in model.state_dict().items()})
            self.bound = torch.full((4,), float(len(seen)))

    monkeypatch.setattr(make_pretrained, "negative_elbo", lambda model, x, y, seed: Worse(model))
    model, steps = make_pretrained.trained_music_vae(make_pretrained.chorales(fallback=False), 0, 4)
    assert steps == 2
    assert len(seen) == 2
    kept = model.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in seen[0].items())
    assert any(not torch.equal(kept[name], value) for name, value in seen[1].items())


def test_the_same_seed_makes_the_same_weights_and_the_card_tells_of_them(tmp_path) -> None:
    made = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        arguments = ["music_vae", "--seed", str(seed), "--out", str(tmp_path / folder)]
        assert make_pretrained.main(arguments) == 0
        content = (tmp_path / folder / "music_vae.safetensors").read_bytes()
        card = json.loads((tmp_path / folder / "music_vae.json").read_text())
        assert card["sha256"] == hashlib.sha256(content).hexdigest()
        made.append(content)
    assert made[0] == made[1] != made[2]
    assert card["nats_per_step"]["test"]["k=10"]["mean"] > 0
