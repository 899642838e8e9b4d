import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from gm_lib.training import fit
from gm_lib.vae import VAE, Bernoulli, ConvDecoder, ConvEncoder, digit_vae

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 7, 13), (2, 1, 1), (1, 5, 28)]


def binary(n, shape):
    return torch.randint(0, 2, (n, *shape)).float()


def conv_vae(shape, num_classes=0, width=4, activation=nn.ReLU, **settings):
    likelihood = Bernoulli(shape)
    encoder = ConvEncoder(shape, width, 3, num_classes, activation)
    decoder = ConvDecoder(3, width, likelihood.params_shape, num_classes, activation)
    return VAE(encoder, decoder, likelihood, **settings)


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_size_go_in_and_come_out(shape):
    model, x = conv_vae(shape), binary(5, shape)
    mean, log_var = model.encoder.mean_and_log_var(x)
    q = model.encode(x)
    assert isinstance(q, Normal)
    assert mean.shape == log_var.shape == (5, 3)
    torch.testing.assert_close((q.mean, q.variance), (mean, log_var.exp()))
    assert model.reconstruct(x).shape == x.shape
    assert model.decode(torch.randn(2, 5, 3)).shape == (2, 5, *shape)
    assert model.decode(torch.randn(3)).shape == shape
    assert model.log_weights(x, k=2).shape == (2, 5)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_seen_and_every_pixel_is_made(shape):
    model = conv_vae(shape, activation=nn.Tanh)  # a ReLU may be off, and hide what is connected
    x = torch.rand(40, *shape, requires_grad=True)
    mean, _ = model.encoder.mean_and_log_var(x)
    assert bool((torch.autograd.grad(mean.sum(), x)[0] != 0).any(0).all())
    different = model.decode(torch.randn(50, 3)).std(0)
    assert bool((different > 0).all())


def test_leading_dimensions_are_decoded_as_rows_are():
    model, z = conv_vae((1, 7, 13)), torch.randn(4, 6, 3)
    torch.testing.assert_close(model.decode(z)[2, 5], model.decode(z[2, 5:6])[0])


def test_an_image_is_encoded_alike_in_any_company_and_its_loss_is_a_mean_over_images():
    model, x = conv_vae((1, 9, 8), lr=0.0), binary(6, (1, 9, 8))
    torch.testing.assert_close(model.encode(x).mean[4], model.encode(x[4:5]).mean[0])
    torch.nn.init.zeros_(model.decoder.first.weight)  # deaf to z: the same for every draw
    whole = model.update((x, None), model.optimizers(), 1)
    parts = [model.update((part, None), model.optimizers(), 1) for part in x.split(2)]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([part[name] for part in parts]).mean())


def test_labels_reach_both_networks_and_are_missed():
    model, x, z = conv_vae((1, 8, 8), num_classes=4), binary(4, (1, 8, 8)), torch.randn(2, 4, 3)
    one, other = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    assert not torch.allclose(model.encode(x, one).mean[1:], model.encode(x, other).mean[1:])
    assert not torch.allclose(model.decode(z, one)[:, 1:], model.decode(z, other)[:, 1:])
    torch.testing.assert_close(model.decode(z, other)[1], model.decode(z[1], other))
    for call in (lambda: model.encode(x), lambda: model.decode(z)):
        with pytest.raises(ValueError, match="needs labels"):
            call()


def test_the_gradient_of_the_elbo_equals_finite_differences():
    model, x = conv_vae((1, 5, 6)).double(), binary(3, (1, 5, 6)).double()
    names, params = zip(*model.named_parameters(), strict=True)

    def elbo(*values):
        torch.manual_seed(0)
        return torch.func.functional_call(model, dict(zip(names, values, strict=True)), (x,)).elbo

    assert torch.autograd.gradcheck(elbo, params, fast_mode=True)


def test_the_kl_is_that_of_torch_and_every_weight_moves():
    model, x = conv_vae((1, 8, 8)), binary(6, (1, 8, 8))
    torch.testing.assert_close(model.elbo_terms(x).kl, kl_divergence(model.encode(x), model.prior))
    before = [p.detach().clone() for p in model.parameters()]
    model.update((x, None), model.optimizers(), 1)
    assert not any(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_autocast_hands_over_the_dtype_of_the_input():
    model, x = conv_vae((1, 8, 8)), binary(3, (1, 8, 8))
    with torch.autocast("cpu", torch.bfloat16):
        assert {t.dtype for t in model.encoder.mean_and_log_var(x)} == {torch.float32}
        assert model.decode(torch.randn(2, 3)).dtype == torch.float32
    history = fit(model, [(x, None)], steps=2, precision="bfloat16", device="cpu", progress=False)
    assert history.final("loss") > 0


def test_training_on_four_images_at_least_halves_the_cost_of_coins_and_keeps_above_the_entropy():
    patterns = torch.zeros(4, 1, 6, 6)
    patterns[0, :, ::2], patterns[1, :, 1::2], patterns[2, :, :, ::2], patterns[3, :, :, 1::2] = 1, 1, 1, 1
    model = conv_vae((1, 6, 6), width=16, lr=1e-2)
    optimizers = model.optimizers()
    for step in range(200):
        model.update((patterns.repeat(8, 1, 1, 1), None), optimizers, step + 1)
    cost = -model.elbo(patterns.repeat(300, 1, 1, 1)).detach()
    error = cost.std().item() / len(cost) ** 0.5
    assert math.log(4) - 4 * error < cost.mean().item() < 12  # 36 fair coins cost 25


def test_digit_vae_has_convolutions_as_wide_as_hidden_and_rebuilds_from_its_config():
    model = digit_vae(architecture="conv", hidden=6, latent_dim=2, likelihood="discretized_logistic")
    assert model.encoder.first.out_channels == 6
    assert model.encoder.rest[1].out_channels == 12
    assert model.config["hidden"] == [6]
    digit_vae(**model.config).load_state_dict(model.state_dict())
    assert digit_vae(architecture="conv").config["hidden"] == [32]
    assert digit_vae().config["hidden"] == [400]


def test_what_is_no_image_and_what_is_no_width_is_refused():
    with pytest.raises(ValueError, match=r"\(channels, height, width\), not \(784,\)"):
        ConvEncoder((784,), 4, 2)
    with pytest.raises(ValueError, match=r"not \(1, 0, 4\)"):
        ConvDecoder(2, 4, (1, 0, 4))
    with pytest.raises(ValueError, match="one number"):
        digit_vae(architecture="conv", hidden=[8, 8])
    with pytest.raises(ValueError, match="did you mean 'conv'"):
        digit_vae(architecture="con")
    with pytest.raises(ValueError, match="expects x of shape"):
        ConvEncoder((1, 4, 4), 4, 2)(torch.zeros(2, 1, 4, 5))
