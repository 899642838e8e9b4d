"""Spectral norm divides weight matrices by their largest singular value; what it leaves is measured too."""

import copy

import pytest
import torch
from torch import nn

from gm_lib import runtime
from gm_lib.gan import (
    GAN,
    DCGANDiscriminator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    digit_gan,
    spectrally_normalized,
)
from gm_lib.gan.networks import weighted_layers

JUDGES = {
    "MLP": (lambda: spectrally_normalized(MLPDiscriminator((6,), [32, 16])), (6,)),
    "DCGAN": (lambda: DCGANDiscriminator(8, norm="spectral"), (1, 28, 28)),
    "ResNet": (lambda: ResNetDiscriminator(4, norm="spectral"), (1, 28, 28)),
}


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", JUDGES)
def test_the_largest_singular_value_of_every_weight_matrix_comes_to_1_from_above(name):
    build, shape = JUDGES[name]
    torch.manual_seed(0)
    judge = build()
    for layer in weighted_layers(
        judge
    ):  # any size, and at first a direction that the power method does not know
        original = layer.parametrizations.weight.original
        nn.init.normal_(original, std=3.0)
    x = torch.rand(2, *shape)
    with torch.no_grad():
        for _ in range(100):
            judge(x)
    judge.eval()
    for layer in weighted_layers(judge):
        (largest, *_) = torch.linalg.svdvals(layer.weight.detach().double().flatten(1))
        assert 1 - 1e-5 < largest < 1.01, layer  # what u and v find is never more than there is


def test_a_pass_is_one_step_of_the_power_method_for_each_layer():
    judge = JUDGES["MLP"][0]().double()
    expected = []
    for layer in weighted_layers(judge):
        norm, matrix = layer.parametrizations.weight[0], layer.parametrizations.weight.original.detach()
        u = nn.functional.normalize(matrix @ norm._v, dim=0)
        expected.append((u, nn.functional.normalize(matrix.T @ u, dim=0)))
    judge(torch.randn(2, 6, dtype=torch.float64))
    for layer, (u, v) in zip(weighted_layers(judge), expected, strict=True):
        torch.testing.assert_close(layer.parametrizations.weight[0]._u, u)
        torch.testing.assert_close(layer.parametrizations.weight[0]._v, v)


def test_the_convolution_itself_is_another_operator_whose_norm_is_not_1():
    """A kernel as a matrix (out, in · k²) says nothing of how its patches overlap."""
    torch.manual_seed(0)
    judge = DCGANDiscriminator(8, norm="spectral").double()
    layer = judge.net[0][0]
    with torch.no_grad():
        for _ in range(200):
            judge(torch.rand(1, 1, 28, 28, dtype=torch.float64))
        judge.eval()
        weight = layer.weight.detach()
        assert abs(torch.linalg.matrix_norm(weight.flatten(1), 2) - 1) < 0.01
        pixels = torch.eye(28 * 28, dtype=torch.float64).view(-1, 1, 28, 28)
        operator = nn.functional.conv2d(pixels, weight, stride=2, padding=1).flatten(1)
        norm = torch.linalg.matrix_norm(operator, 2)
    # A kernel of 4 with stride 2 has each pixel in four patches, so it may be up to √4 = 2.
    assert 1.1 < norm <= 2.0


def test_only_weights_of_linear_layers_and_convolutions_are_divided_and_only_those_that_are_not_zero():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 1))
    bias = network[3].bias.clone()
    assert spectrally_normalized(network) is network
    names = [name for name in network.state_dict() if "original" in name]
    assert names == ["0.parametrizations.weight.original", "3.parametrizations.weight.original"]
    assert torch.equal(network[3].bias, bias)
    silent = nn.Linear(3, 3)
    nn.init.zeros_(silent.weight)
    with pytest.raises(ValueError, match="a Linear whose weights are all zero has no spectral norm"):
        spectrally_normalized(nn.Sequential(silent))


def test_a_transposed_convolutions_kernel_is_taken_with_its_outputs_first():
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(3, 5, 4)
    spectrally_normalized(nn.Sequential(layer))
    with torch.no_grad():
        for _ in range(100):
            layer(torch.randn(1, 3, 2, 2))
    matrix = layer.eval().weight.detach().transpose(0, 1).flatten(1)
    assert abs(torch.linalg.matrix_norm(matrix, 2) - 1) < 0.01


# In the game


def test_of_a_discriminator_under_spectral_norm_the_generators_step_leaves_every_bit():
    torch.manual_seed(0)
    model = digit_gan(latent_dim=4, width=4, norm="spectral", loss="hinge")
    optimizers, x = model.optimizers(), torch.rand(8, 1, 28, 28)
    model.update((x, None), optimizers, 1)
    before, adam = state(model.discriminator), copy.deepcopy(optimizers["discriminator"].state_dict())
    model.generator_step(model.generator(torch.randn(8, 4)), None, optimizers["generator"])
    after = state(model.discriminator)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert str(adam) == str(optimizers["discriminator"].state_dict())
    generator = state(model.generator)
    model.discriminator_step(x, torch.rand_like(x), None, optimizers["discriminator"])
    moved = {
        name.split(".")[-1]
        for name, value in state(model.discriminator).items()
        if not value.equal(after[name])
    }
    assert moved == {"original", "bias", "_u", "_v"}  # its weights, and the vectors of the power method
    assert all(torch.equal(value, generator[name]) for name, value in state(model.generator).items())


def test_a_generators_step_without_the_loan_would_move_the_vectors_of_spectral_norm():
    """So that the test above could fail: a pass in training mode is what moves them."""
    judge = JUDGES["DCGAN"][0]()
    before = state(judge)
    judge(torch.rand(2, 1, 28, 28))
    assert any(not value.equal(before[name]) for name, value in state(judge).items())


def test_spectral_norm_survives_copies_checkpoints_other_layouts_and_bfloat16(tmp_path):
    torch.manual_seed(0)
    model = digit_gan(latent_dim=4, width=4, norm="spectral")
    x = torch.rand(8, 1, 28, 28)
    with runtime.autocast(torch.device("cpu"), "bfloat16"):
        terms = model.update((x, None), model.optimizers(), 1)
    assert all(bool(term.isfinite()) for term in terms.values())
    original = model.discriminator.net[1][0].parametrizations.weight.original
    assert original.dtype == torch.float32
    assert original.is_contiguous(memory_format=torch.channels_last)
    model.eval()
    expected = model.discriminator(x)
    assert torch.equal(copy.deepcopy(model).discriminator(x), expected)
    torch.save(model.state_dict(), tmp_path / "weights")
    other = digit_gan(**model.config).eval()
    other.load_state_dict(torch.load(tmp_path / "weights"))
    assert torch.equal(other.discriminator(x), expected)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(plain.discriminator(x), expected)


def test_a_wasserstein_critic_under_spectral_norm_finds_no_more_than_the_distance():
    """Two points at a distance of 3: a slope of at most 1 tells them apart by at most 3, and nearly does."""
    torch.manual_seed(0)
    judge = spectrally_normalized(MLPDiscriminator((1,), [16, 16]))
    model = GAN(MLPGenerator(1, [], (1,)), judge, loss="wasserstein", lr=1e-2)
    learn = model.optimizers()["discriminator"]
    x, x_fake = torch.full((4, 1), 3.0), torch.zeros(4, 1)
    for _ in range(500):
        terms = model.discriminator_step(x, x_fake, None, learn)
    found = -terms["discriminator_loss"].item()
    assert 1.5 < found < 3 * 1.02
