"""The claim about models of names."""

import pytest

import claims_prose  # noqa: F401
import make_pretrained
from claims import CLAIMS
from gm_lib.evaluation import log_likelihood


def test_the_claim_gives_what_was_promised(prose, monkeypatch):
    data, _ = prose
    for name in ("NAMES_STEPS", "NAMES_GAN_STEPS"):
        monkeypatch.setattr(make_pretrained, name, 1)
    monkeypatch.setattr(make_pretrained, "names", lambda fallback: data)
    one_draw = lambda model, x, k, seed: log_likelihood(model, x, k=1, seed=seed)  # noqa: E731
    monkeypatch.setattr(make_pretrained, "log_likelihood", one_draw)
    claim = CLAIMS["prose_models"]
    measured = claim.measure(0)
    assert set(measured) == set(claim.quantities)
    assert measured["ahead"] == pytest.approx(measured["counting"] - measured["network"])
    assert measured["counting"] == pytest.approx(2.074, abs=0.001)
