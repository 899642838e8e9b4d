"""What a chapter asserts about its own numbers is counted, and is no place for anything else."""

from types import SimpleNamespace

import pytest

from proofs import ProofError, claims, notebook_cell, said


@pytest.mark.parametrize(
    ("source", "always", "on_real"),
    [
        ("assert a == 1", 1, 0),
        ("assert a == 1; assert_unbiased(x, 3.0)", 2, 0),
        ("torch.testing.assert_close(a, b)", 1, 0),
        ("for a in range(9):\n    assert a < 9\n    assert a >= 0", 2, 0),
        ("def assert_variance(x):\n    assert x\n\nassert_variance(2)", 1, 0),
        ("with forked_rng(1):\n    x = draw()\nassert x", 1, 0),
        ('assert a\nif data.name == "shapes":\n    assert b', 2, 0),
        ('assert a\nif data.name == "mnist":\n    assert b\n    for c in d:\n        assert c', 1, 2),
        ("if data.name == 'mnist':\n    assert b", 0, 1),
        ('assert a\nif data.name == "fsdd":\n    assert b', 1, 1),
    ],
)
def test_every_assertion_is_one_claim_however_often_it_runs(source, always, on_real):
    found = claims(source)
    assert (found.always, found.on_real) == (always, on_real)
    assert found.count(real=True) == always + on_real
    assert found.count(real=False) == always


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "asserts something"),
        ("assert a\nprint(a)", "prints nothing"),
        ("if device() == 'cpu':\n    assert a", "one guard"),
        ('if data.name == "mnist":\n    assert a\nelse:\n    assert b', "without else"),
        ('if data.name == "digits":\n    assert a', "one guard"),
        ('if data.name == "mnist":\n    assert a\nif data.name == "fsdd":\n    assert b', "one guard"),
        ("def assert_it(x):\n    assert x", "asserts something"),
    ],
)
def test_a_cell_that_is_no_proof_is_refused(source, message):
    with pytest.raises(ProofError, match=message):
        claims(source)


def test_one_claim_is_no_plural():
    assert said(1) == "✓ 1 claim checked"
    assert said(4) == "✓ 4 claims checked"


def test_claims_about_the_shapes_are_said_to_be_checked_on_the_shapes_alone(capsys):
    cell = notebook_cell('assert x == 1\nif data.name == "shapes":\n    assert x < 2')
    for name, says in (("shapes", "✓ 2 claims checked\n"), ("cifar10", "")):
        exec(cell, {"x": 1, "data": SimpleNamespace(name=name)})
        assert capsys.readouterr().out == says


def test_the_notebook_says_how_many_claims_were_checked_on_the_data_of_the_guard():
    cell = notebook_cell('assert True\nif data.name == "fsdd":\n    assert True')
    assert cell.endswith(
        'if data.name == "fsdd":\n    print("✓ 2 claims checked")\nelse:\n    print("✓ 1 claim checked")'
    )
