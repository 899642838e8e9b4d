import pytest
import torch

from gm_lib.gan import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    digit_gan,
)
from gm_lib.gan.images import ResidualBlock

Y = torch.tensor([0, 3, 9, 3])


@pytest.mark.parametrize("num_classes", [0, 10])
def test_generators_make_what_discriminators_judge(num_classes):
    for generator, discriminator in (
        (MLPGenerator(5, [16, 8], (2,), num_classes), MLPDiscriminator((2,), [16, 8], num_classes)),
        (MLPGenerator(5, [16], (1, 4, 4), num_classes), MLPDiscriminator((1, 4, 4), [16], num_classes)),
        (DCGANGenerator(5, 4, num_classes), DCGANDiscriminator(4, num_classes)),
        (ResNetGenerator(5, 4, num_classes), ResNetDiscriminator(4, num_classes)),
    ):
        x = generator(torch.randn(4, 5), Y)
        assert x.shape == (4, *generator.out_shape)
        assert discriminator(x, Y).shape == (4,)
        assert generator.out_shape == discriminator.in_shape
        assert generator.latent_dim == 5


@pytest.mark.parametrize("kind", [DCGANGenerator, ResNetGenerator])
def test_images_that_are_made_lie_between_0_and_1_and_others_are_refused(kind):
    generator = kind(8, 4)
    with torch.no_grad():
        x = generator(30 * torch.randn(16, 8))
    generator.check(x)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        generator.check(2 * x)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.std() > 0.01


def test_a_dcgan_doubles_the_side_twice_and_halves_it_twice():
    generator, discriminator = DCGANGenerator(8, 4), DCGANDiscriminator(4)
    shapes = []
    for net in (generator.net, discriminator.net):
        for layer in net:
            layer.register_forward_hook(lambda *call: shapes.append(tuple(call[-1].shape[1:])))
    discriminator(generator(torch.randn(2, 8)))
    sides = [shape for shape in shapes if len(shape) == 3]
    assert list(dict.fromkeys(sides)) == [(8, 7, 7), (4, 14, 14), (1, 28, 28)]
    assert sides[-2:] == [(4, 14, 14), (8, 7, 7)]


def maps_of(network, x):
    """The shapes of all maps on the way, each once."""
    shapes = []
    for layer in network.net:
        layer.register_forward_hook(lambda *call: shapes.append(tuple(call[-1].shape[1:])))
    made = network(x)
    return list(dict.fromkeys(shape for shape in shapes if len(shape) == 3)), made


@pytest.mark.parametrize(
    ("shape", "maps"),
    [
        ((1, 14, 14), [(4, 7, 7)]),
        ((3, 32, 32), [(4, 16, 16), (8, 8, 8), (16, 4, 4)]),
        ((3, 64, 64), [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)]),
        ((2, 24, 16), [(4, 12, 8), (8, 6, 4)]),
        ((1, 36, 20), [(4, 18, 10), (8, 9, 5)]),
    ],
)
@pytest.mark.parametrize("num_classes", [0, 10])
def test_a_dcgan_halves_while_it_can_and_doubles_the_channels(shape, maps, num_classes):
    generator = DCGANGenerator(5, 4, num_classes, shape=shape)
    going_up, x = (
        maps_of(generator, torch.randn(4, 5)) if not num_classes else ([], generator(torch.randn(4, 5), Y))
    )
    assert x.shape == (4, *shape) == (4, *generator.out_shape)
    discriminator = DCGANDiscriminator(4, num_classes, shape=shape)
    assert discriminator.in_shape == shape
    if num_classes:
        assert discriminator(x, Y).shape == (4,)
    else:
        assert going_up == [*maps[::-1], shape]
        assert maps_of(discriminator, x)[0] == maps


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 15, 9), (1, 8, 29)])
def test_a_residual_network_is_for_images_of_any_sides(shape):
    x = ResNetGenerator(5, 4, shape=shape)(torch.randn(4, 5))
    assert x.shape == (4, *shape)
    assert ResNetDiscriminator(4, shape=shape)(x).shape == (4,)


def test_shapes_that_cannot_be_halved_are_refused_and_what_to_do_is_said():
    for kind in (DCGANGenerator, ResNetGenerator):
        with pytest.raises(ValueError, match="6×28 images cannot be halved: make both sides larger than 7"):
            kind(5, 4, shape=(1, 6, 28))
        with pytest.raises(
            ValueError, match=r"images have a shape \(channels, height, width\), not \(28, 28\)"
        ):
            kind(5, 4, shape=(28, 28))
    with pytest.raises(ValueError, match=r"27×28 .* larger than 7 and even, or take the residual networks"):
        DCGANDiscriminator(4, shape=(1, 27, 28))
    with pytest.raises(ValueError, match="unknown norm 'layer'"):
        DCGANDiscriminator(4, norm="layer")


def test_residual_blocks_begin_as_the_identity_so_that_depth_does_not_change_the_signal():
    x = torch.randn(2, 4, 5, 5)
    block = ResidualBlock(4)
    assert torch.equal(block(x), x)
    block(x).sum().backward()
    assert block.net[-1].weight.grad.abs().sum() > 0  # and can learn at once
    assert not torch.equal(ResidualBlock(4, silent=False)(x), x)


def test_all_maps_of_a_dcgan_have_their_channels_last_in_memory_and_so_have_their_gradients():
    model = digit_gan(latent_dim=8, width=4)
    found = []

    def note(module, inputs, output):
        if output.ndim == 4:
            found.append(output)
            output.register_hook(found.append)

    for module in model.modules():
        module.register_forward_hook(note)
    model.discriminator(model.generator(torch.randn(2, 8))).sum().backward()
    assert len(found) > 20
    assert all(maps.is_contiguous(memory_format=torch.channels_last) for maps in found)


def test_without_batch_norm_each_image_is_judged_by_itself():
    x = torch.rand(6, 1, 28, 28).double()
    for discriminator in (
        DCGANDiscriminator(4, norm="none").double(),
        DCGANDiscriminator(4, norm="spectral").double().eval(),
        ResNetDiscriminator(4).double(),
    ):
        torch.testing.assert_close(discriminator(x)[2:3], discriminator(x[2:3]))
    with_batch_norm = DCGANDiscriminator(4).double()
    assert not torch.allclose(with_batch_norm(x)[2:3], with_batch_norm(x[2:3]))


@pytest.mark.parametrize("kind", ["points", "images"])
def test_the_label_reaches_both_players(kind):
    if kind == "points":
        generator, discriminator = MLPGenerator(3, [16], (2,), 10), MLPDiscriminator((2,), [16], 10)
    else:
        generator, discriminator = DCGANGenerator(3, 4, 10).eval(), DCGANDiscriminator(4, 10)
    y = torch.arange(10)
    x = generator(torch.ones(10, 3), y)
    assert len(x.unique(dim=0)) == 10
    assert len(discriminator(x[:1].expand_as(x), y).unique()) == 10


def test_a_label_plane_is_all_ones_for_the_images_own_class():
    discriminator = DCGANDiscriminator(4, 10)
    seen = []
    discriminator.net[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(4, 1, 28, 28)
    discriminator(x, Y)
    assert torch.equal(seen[0][:, :1], x)
    expected = torch.nn.functional.one_hot(Y, 10).float()
    assert torch.equal(seen[0][:, 1:], expected[:, :, None, None].expand(4, 10, 28, 28))


def test_unconditional_players_ignore_labels():
    generator, discriminator = MLPGenerator(3, [4], (2,)), MLPDiscriminator((2,), [4])
    z = torch.randn(4, 3)
    assert torch.equal(generator(z, Y), generator(z))
    assert torch.equal(discriminator(generator(z), 1000 * Y), discriminator(generator(z)))


def test_missing_labels_and_other_shapes_are_refused():
    for player, x in (
        (MLPGenerator(3, [4], (2,), 10), torch.randn(4, 3)),
        (MLPDiscriminator((2,), [4], 10), torch.randn(4, 2)),
        (DCGANGenerator(3, 4, 10), torch.randn(4, 3)),
        (ResNetDiscriminator(4, 10), torch.rand(4, 1, 28, 28)),
        (DCGANDiscriminator(4, 10), torch.rand(4, 1, 28, 28)),
    ):
        with pytest.raises(ValueError, match="needs labels: one integer in 0 … 9"):
            player(x)
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 2\), got \(4, 3\)"):
        MLPDiscriminator((2,), [4])(torch.randn(4, 3))
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 1, 28, 28\), got \(4, 1, 32, 32\)"):
        DCGANDiscriminator(4)(torch.rand(4, 1, 32, 32))
