import pytest
import torch

from gm_lib.gan import DCGANDiscriminator, DCGANGenerator, MLPDiscriminator, MLPGenerator, digit_gan

Y = torch.tensor([0, 3, 9, 3])


@pytest.mark.parametrize("num_classes", [0, 10])
def test_generators_make_what_discriminators_judge(num_classes):
    for generator, discriminator in (
        (MLPGenerator(5, [16, 8], (2,), num_classes), MLPDiscriminator((2,), [16, 8], num_classes)),
        (MLPGenerator(5, [16], (1, 4, 4), num_classes), MLPDiscriminator((1, 4, 4), [16], num_classes)),
        (DCGANGenerator(5, 4, num_classes), DCGANDiscriminator(4, num_classes)),
    ):
        x = generator(torch.randn(4, 5), Y)
        assert x.shape == (4, *generator.out_shape)
        assert discriminator(x, Y).shape == (4,)
        assert generator.out_shape == discriminator.in_shape
        assert generator.latent_dim == 5


def test_a_dcgan_makes_images_between_0_and_1():
    with torch.no_grad():
        x = DCGANGenerator(8, 4)(30 * torch.randn(16, 8))
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
    discriminator, x = DCGANDiscriminator(4, norm="none").double(), torch.rand(6, 1, 28, 28).double()
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
        (DCGANDiscriminator(4, 10), torch.rand(4, 1, 28, 28)),
    ):
        with pytest.raises(ValueError, match="needs labels: one integer in 0 … 9"):
            player(x)
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 2\), got \(4, 3\)"):
        MLPDiscriminator((2,), [4])(torch.randn(4, 3))
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 1, 28, 28\), got \(4, 1, 32, 32\)"):
        DCGANDiscriminator(4)(torch.rand(4, 1, 32, 32))
