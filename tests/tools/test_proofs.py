"""What a chapter asserts about its own numbers is counted, and is no place for anything else."""

import pytest

from proofs import ProofError, claims, said


@pytest.mark.parametrize(
    ("source", "always", "on_mnist"),
    [
        ("assert a == 1", 1, 0),
        ("assert a == 1; assert_unbiased(x, 3.0)", 2, 0),
        ("torch.testing.assert_close(a, b)", 1, 0),
        ("for a in range(9):\n    assert a < 9\n    assert a >= 0", 2, 0),
        ("def assert_variance(x):\n    assert x\n\nassert_variance(2)", 1, 0),
        ("with forked_rng(1):\n    x = draw()\nassert x", 1, 0),
        ('assert a\nif data.name == "mnist":\n    assert b\n    for c in d:\n        assert c', 1, 2),
        ("if data.name == 'mnist':\n    assert b", 0, 1),
    ],
)
def test_every_assertion_is_one_claim_however_often_it_runs(source, always, on_mnist):
    found = claims(source)
    assert (found.always, found.on_mnist) == (always, on_mnist)
    assert found.count(mnist=True) == always + on_mnist
    assert found.count(mnist=False) == always


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "asserts something"),
        ("assert a\nprint(a)", "prints nothing"),
        ("if device() == 'cpu':\n    assert a", "one guard"),
        ('if data.name == "mnist":\n    assert a\nelse:\n    assert b', "without else"),
        ("def assert_it(x):\n    assert x", "asserts something"),
    ],
)
def test_a_cell_that_is_no_proof_is_refused(source, message):
    with pytest.raises(ProofError, match=message):
        claims(source)


def test_one_claim_is_no_plural():
    assert said(1) == "✓ 1 claim checked"
    assert said(4) == "✓ 4 claims checked"
