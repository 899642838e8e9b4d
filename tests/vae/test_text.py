"""Recurrent models of text, against enumeration, integration and each other."""

import itertools

import pytest
import torch

from gm_lib.data import Alphabet, Batches
from gm_lib.evaluation import log_likelihood, negative_elbo
from gm_lib.runtime import forked_rng
from gm_lib.training import fit
from gm_lib.vae import CharacterModel, Characters, TextVAE
from gm_lib.vae.text import TextDecoder

ALPHABET = Alphabet("ab")
TEXTS = ALPHABET.encode(["ab", "aa", "b", "", "bbbb"], 5)


def small(model: type = CharacterModel, **changes):
    with forked_rng(0):
        made = model(**{"symbols": 3, "length": 5, "width": 8} | changes)
        with torch.no_grad():
            for p in made.parameters():  # far from uniform, or little could be wrong
                p.mul_(3)
    return made.eval()


def all_texts(length: int) -> torch.Tensor:
    """Return every text of a and b that ends within ``length``, and every beginning that does not."""
    ended = [letters for n in range(length) for letters in itertools.product((1, 2), repeat=n)]
    rows = [[*text, *[0] * (length - len(text))] for text in ended]
    return torch.tensor(rows + [list(text) for text in itertools.product((1, 2), repeat=length)])


def test_the_probabilities_of_all_texts_sum_to_one():
    with torch.no_grad():
        assert small().log_prob(all_texts(6)).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_given_any_code_the_probabilities_of_all_texts_sum_to_one():
    model, x = small(TextVAE, latent_dim=2), all_texts(6)
    z = torch.randn(3, 1, 2, generator=torch.Generator().manual_seed(0)).expand(3, len(x), 2)
    with torch.no_grad():
        total = model.likelihood.log_prob(x, model.decoder(x, z)).exp().sum(1)
    torch.testing.assert_close(total, torch.ones(3), atol=1e-5, rtol=0)


def test_padding_changes_neither_the_probability_nor_the_code():
    wide = ALPHABET.encode(ALPHABET.decode(TEXTS), 11)
    noise = wide.clone()
    noise[:, 6:] = 1  # behind the end
    for other in (wide, noise):
        with torch.no_grad():
            torch.testing.assert_close(small().log_prob(TEXTS), small().log_prob(other))
            model = small(TextVAE, latent_dim=2)
            torch.testing.assert_close(model.encode(TEXTS).mean, model.encode(other).mean)


def test_a_long_text_is_scored_with_the_context_before_each_symbol():
    model = small()
    text = torch.randint(1, 3, (23,), generator=torch.Generator().manual_seed(0))
    each = model.log_prob_text(text, context=5)
    assert each.shape == (23,)
    with torch.no_grad():
        torch.testing.assert_close(each[:10], model.log_prob_each(text[None, :10])[0])
        torch.testing.assert_close(each[10:15], model.log_prob_each(text[None, 5:15])[0, 5:])
        torch.testing.assert_close(each[20:], model.log_prob_each(text[None, 13:])[0, 7:])


def test_the_end_is_paid_for():
    """ "b" and its end cost what "b" costs and the end behind it."""
    model = small()
    with torch.no_grad():
        each = model.log_prob_each(TEXTS)
        assert (each[2] != 0).tolist() == [True, True, False, False, False]
        torch.testing.assert_close(each.sum(1), model.log_prob(TEXTS))
        logits, state = model.decoder.next(torch.tensor([0]), None)
        first = logits.log_softmax(-1)[0, 2]
        end = model.decoder.next(torch.tensor([2]), state)[0].log_softmax(-1)[0, 0]
    torch.testing.assert_close(each[2, :2], torch.stack([first, end]))


def test_a_vae_whose_decoder_ignores_its_code_is_the_autoregressive_model():
    """With q the prior, every weight is p(x): ELBO, bound and model agree."""
    alone, vae = small(), small(TextVAE, latent_dim=2)
    shared = {key: value for key, value in vae.decoder.state_dict().items() if not key.startswith("to_")}
    alone.decoder.load_state_dict(shared)
    with torch.no_grad():
        vae.decoder.to_state.weight.zero_()
        vae.decoder.to_input.weight.zero_()
        vae.encoder.out.weight.zero_()
        vae.encoder.out.bias.zero_()
        expected = alone.log_prob(TEXTS)
        torch.testing.assert_close(vae.elbo(TEXTS), expected)
        torch.testing.assert_close(vae.log_weights(TEXTS, k=3), expected.expand(3, -1))
        assert vae.elbo_terms(TEXTS).kl.abs().max() == 0


def integrated(model: TextVAE, x: torch.Tensor) -> torch.Tensor:
    """Return log p(x) of a model with one latent dimension, by the trapezoidal rule."""
    z = torch.linspace(-8, 8, 2001)
    with torch.no_grad():
        log_joint = model.log_joint(z[:, None, None].expand(-1, len(x), 1), x)
    return log_joint.double().logsumexp(0) + (z[1] - z[0]).double().log()


def test_bounds_are_below_what_integration_gives_and_tight_with_many_draws():
    model = small(TextVAE, latent_dim=1)
    exact = integrated(model, TEXTS)
    elbo = negative_elbo(model, TEXTS, k=400)
    bound = log_likelihood(model, TEXTS, k=4_000)
    assert (-elbo.bound < exact).all()
    torch.testing.assert_close(bound.bound, exact, atol=0.05, rtol=0)


def test_the_elbo_is_the_mean_log_weight():
    model = small(TextVAE, latent_dim=2)
    with torch.no_grad():
        log_w = model.log_weights(TEXTS, k=4_000, generator=torch.Generator().manual_seed(0))
    elbo = -negative_elbo(model, TEXTS, k=2_000).bound
    error = (log_w.var(0) / 4_000).sqrt() * 2
    assert ((log_w.mean(0) - elbo).abs() < 4 * error).all()


def test_samples_have_the_model_s_own_frequencies():
    model, x = small(), all_texts(5)
    drawn = model.sample(4_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        p = model.log_prob(x).exp()
    shares = (drawn[:, None] == x[None]).all(-1).double().mean(0)
    assert ((shares - p).abs() < 5 * (p * (1 - p) / 4_000).sqrt() + 1e-9).all()


def test_what_is_begun_is_gone_on_with_and_temperature_0_takes_the_likeliest():
    model = small(TextVAE, latent_dim=2)
    z = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    x = model.write(z, begin=torch.tensor([2, 1]), generator=torch.Generator().manual_seed(1))
    assert x[:, :2].tolist() == [[2, 1]] * 6
    greedy = model.write(z, temperature=0)
    assert torch.equal(greedy, model.write(z, temperature=0))
    logits = model.decoder(greedy, z)
    kept = (greedy != 0).cumprod(1).bool()
    assert torch.equal(logits.argmax(-1)[kept], greedy[kept])


def test_word_dropout_hides_what_is_seen_in_training_only():
    with forked_rng(0):
        decoder = TextDecoder(3, 8, dropout=1.0)
        blind = decoder.train()(TEXTS)
        torch.testing.assert_close(blind[0], blind[4])  # all characters but the beginning look the same
        assert not torch.allclose(decoder.eval()(TEXTS)[0], decoder(TEXTS)[4])


def test_a_model_learns_a_text_by_heart():
    with forked_rng(0):
        model = CharacterModel(symbols=3, length=5, width=16, lr=0.02)
    batches = Batches(ALPHABET.encode(["abab"] * 8, 5), batch_size=8, device="cpu")
    fit(model, batches, steps=150, device="cpu", progress=False)
    assert ALPHABET.decode(model.sample(3, generator=torch.Generator().manual_seed(0))) == ["abab"] * 3


def test_a_vae_is_trained_by_fit_and_its_terms_are_recorded():
    with forked_rng(0):
        model = TextVAE(symbols=3, length=5, width=8, latent_dim=2, free_bits=0.5)
    history = fit(model, Batches(TEXTS, batch_size=5, device="cpu"), steps=30, device="cpu", progress=False)
    assert set(history.terms) == {"loss", "reconstruction", "kl"}


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1, 2]], TypeError, "encode them"),
        (torch.ones(4), ValueError, "windows cuts a long one"),
        (torch.full((2, 5), 3), ValueError, "knows the symbols 0 to 2"),
        (torch.full((2, 5), 0.5), ValueError, "the texts hold others"),
    ],
)
def test_other_data_is_refused(x, error, message):
    for model in (small(), small(TextVAE, latent_dim=2)):
        with pytest.raises(error, match=message):
            model.check((x, None))
    assert Characters(5, 3).symbols == 3
    with pytest.raises(ValueError, match="probability"):
        TextDecoder(3, 8, dropout=2)
