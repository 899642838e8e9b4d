"""The GAN of texts: what Gumbel-softmax draws, and that a gradient passes."""

import torch

from gm_lib.data import Alphabet, Batches
from gm_lib.gan import text_gan
from gm_lib.gan.text import as_one_hot, as_rows, straight_through
from gm_lib.runtime import forked_rng
from gm_lib.training import fit

ROWS = Alphabet("abc").encode(["ab", "cab", "b", "c"] * 8, 5)


def test_one_hot_and_back():
    assert torch.equal(as_rows(as_one_hot(ROWS, 4)), ROWS)
    dirty = as_one_hot(torch.tensor([[1, 0, 2, 3, 1]]), 4)
    assert as_rows(dirty).tolist() == [[1, 0, 0, 0, 0]]


def test_draws_are_one_hot_with_the_probabilities_of_the_softmax():
    logits = torch.tensor([0.5, -1.0, 2.0])
    with forked_rng(0):
        noise = -(-torch.rand(20_000, 3).log()).log()
    x = straight_through(logits.expand(20_000, 3), noise, 0.7)
    p = logits.softmax(-1)
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert ((x.mean(0) - p).abs() < 4 * (p * (1 - p) / 20_000).sqrt()).all()


def test_the_gradient_is_that_of_the_soft_draw():
    noise, target = torch.tensor([0.3, -0.2, 0.1]), torch.tensor([1.0, 2.0, 3.0])
    logits = torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    (hard,) = torch.autograd.grad((straight_through(logits, noise, 0.7) * target).sum(), logits)
    (soft,) = torch.autograd.grad((((logits + noise) / 0.7).softmax(-1) * target).sum(), logits)
    torch.testing.assert_close(hard, soft)
    assert hard.abs().max() > 0


def test_one_z_makes_one_text_and_learning_moves_the_letters():
    with forked_rng(0):
        model = text_gan(symbols=4, length=5, code_dim=4, width=16)
    z = torch.randn(6, model.latent_dim, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.generate(z), model.generate(z))
    batches = Batches(as_one_hot(ROWS, 4), batch_size=32, device="cpu")
    before = as_one_hot(ROWS, 4).mean((0, 1))
    fit(model, batches, steps=150, device="cpu", progress=False)
    made = model.sample(500, generator=torch.Generator().manual_seed(2))
    assert (made.mean((0, 1)) - before).abs().max() < 0.15
    torch.testing.assert_close(made.sum(-1), torch.ones(500, 5))
