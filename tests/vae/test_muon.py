"""Muon against the singular value decomposition, and against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gm_lib.vae.muon import Muon, orthogonalized

torch_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9")


def decomposed(rows, columns):
    """U, S and V^T of a matrix whose singular values are between 1 and a tenth."""
    generator = torch.Generator().manual_seed(rows * 100 + columns)
    u, s, vt = torch.linalg.svd(
        torch.randn(rows, columns, generator=generator, dtype=torch.float64), full_matrices=False
    )
    return u, torch.linspace(1, 0.1, len(s), dtype=s.dtype), vt


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5), (1, 7), (7, 1)])
def test_singular_values_come_near_one_and_the_directions_stay(shape):
    u, s, vt = decomposed(*shape)
    found = u.T @ orthogonalized(100 * u @ torch.diag(s) @ vt) @ vt.T
    assert found.diagonal().min() > 0.68
    assert found.diagonal().max() < 1.14
    assert torch.allclose(found, torch.diag(found.diagonal()), atol=1e-12)


def test_a_matrix_of_zeros_has_no_direction():
    assert not orthogonalized(torch.zeros(3, 4)).any()


@torch_muon
@pytest.mark.parametrize("shape", [(6, 6), (4, 15), (15, 4)])
def test_steps_are_those_of_torch_up_to_its_short_numbers(shape):
    ours = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    theirs = nn.Parameter(ours.detach().clone())
    start = ours.detach().clone()
    optimizers = Muon([ours], lr=0.1), torch.optim.Muon([theirs], lr=0.1, weight_decay=0.0)
    generator = torch.Generator().manual_seed(2)
    for _ in range(10):
        gradient = torch.randn(shape, generator=generator)
        for p, optimizer in zip((ours, theirs), optimizers, strict=True):
            p.grad = gradient.clone()
            optimizer.step()
    assert (ours - theirs).norm() < 0.02 * (ours - start).norm()


def test_a_parameter_without_a_gradient_stays():
    p, q = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    q.grad = torch.ones(2, 2)
    Muon([p, q], lr=0.1).step()
    assert (p == 1).all()
    assert (q != 1).all()


def test_an_interrupted_run_goes_on_as_if_it_had_not_stopped():
    def steps(p, optimizer, gradients):
        for gradient in gradients:
            p.grad = gradient.clone()
            optimizer.step()

    gradients = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(3))
    whole = nn.Parameter(torch.ones(3, 5))
    steps(whole, Muon([whole], lr=0.1), gradients)
    part = nn.Parameter(torch.ones(3, 5))
    first = Muon([part], lr=0.1)
    steps(part, first, gradients[:2])
    second = Muon([part], lr=0.1)
    second.load_state_dict(first.state_dict())
    steps(part, second, gradients[2:])
    assert torch.equal(part, whole)


@pytest.mark.parametrize(
    ("options", "message"), [({"lr": -1.0}, "not -1.0"), ({"lr": 0.1, "momentum": 1.0}, "and 1.0")]
)
def test_what_is_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Muon([nn.Parameter(torch.ones(2, 2))], **options)


def test_only_matrices_are_taken():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        Muon([nn.Parameter(torch.ones(3))], lr=0.1)
