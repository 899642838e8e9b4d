"""The players for waveforms, and the GAN that they make."""

from functools import partial

import pytest
import torch

from gm_lib.data import Batches
from gm_lib.gan import GAN, WaveDiscriminator, WaveGenerator, digit_gan
from gm_lib.gan.waves import WAVE_SHAPE
from gm_lib.sound import SAMPLES
from gm_lib.training import fit

Y = torch.tensor([0, 3, 9, 3])


def lengths_of(network, *inputs):
    """Return (channels, length) of everything on the way that has both, each once."""
    shapes = []
    for layer in network.modules():
        layer.register_forward_hook(lambda *call: shapes.append(tuple(call[-1].shape[1:])))
    network(*inputs)
    return list(dict.fromkeys(shape for shape in shapes if len(shape) == 2))


def test_the_waveforms_are_those_of_the_spoken_digits():
    assert WAVE_SHAPE == (1, SAMPLES)


@pytest.mark.parametrize("num_classes", [0, 10])
def test_the_generator_makes_what_the_discriminator_judges(num_classes):
    generator, discriminator = WaveGenerator(5, 2, num_classes), WaveDiscriminator(2, num_classes)
    x = generator(torch.randn(4, 5), Y)
    assert x.shape == (4, 1, 6016)
    assert discriminator(x, Y).shape == (4,)


def test_lengths_go_by_fours_and_channels_by_twos():
    up = lengths_of(WaveGenerator(5, 2), torch.randn(4, 5))
    down = lengths_of(WaveDiscriminator(2), torch.randn(4, 1, 6016))
    assert up == [(8, 94), (4, 376), (2, 1504), (1, 6016)]
    assert down == up[-2::-1]


def test_every_sample_is_made_by_as_many_taps_so_that_no_pattern_of_the_strides_is_built_in():
    """Constant weights and a constant input make a constant output, away from the ends."""
    last = WaveGenerator(5, 2).net[-2]
    torch.nn.init.ones_(last.weight)
    torch.nn.init.zeros_(last.bias)
    made = last(torch.ones(1, 2, 50))[0, 0, 24:-24]
    assert made.std() == 0
    uneven = torch.nn.functional.conv_transpose1d(
        torch.ones(1, 2, 50), torch.ones(2, 1, 25), stride=4, padding=11
    )
    assert uneven[0, 0, 24:-24].std() > 0


def test_what_is_made_lies_between_minus_1_and_1_and_other_data_are_refused():
    generator = WaveGenerator(8, 2)
    with torch.no_grad():
        x = generator(30 * torch.randn(16, 8))
    generator.check(x)
    assert x.abs().max() <= 1
    assert x.std() > 0.01
    with pytest.raises(ValueError, match=r"must be in \[-1, 1\], and these reach 1.5: divide"):
        generator.check(torch.full((2, 1, 6016), -1.5))


def test_the_label_reaches_both_players():
    generator, discriminator = WaveGenerator(3, 2, 10).eval(), WaveDiscriminator(2, 10)
    y = torch.arange(10)
    x = generator(torch.ones(10, 3), y)
    assert len(x.unique(dim=0)) == 10
    assert len(discriminator(x[:1].expand_as(x), y).unique()) == 10
    for player, given in ((generator, torch.randn(4, 3)), (discriminator, x)):
        with pytest.raises(ValueError, match="needs labels: one integer in 0 … 9"):
            player(given)


def test_without_batch_norm_each_waveform_is_judged_by_itself():
    x = torch.randn(3, 1, 6016).double()
    for norm, alone in (("none", True), ("spectral", True), ("batch", False)):
        discriminator = WaveDiscriminator(2, norm=norm).double()
        if norm == "spectral":  # whose estimate a pass in training mode moves on
            discriminator.eval()
        assert torch.allclose(discriminator(x)[1:2], discriminator(x[1:2])) == alone


def test_shapes_that_are_no_waveforms_or_cannot_be_cut_are_refused():
    for kind in (partial(WaveGenerator, 5, 2), partial(WaveDiscriminator, 2)):
        with pytest.raises(ValueError, match=r"a shape \(channels, samples\), not \(6016,\)"):
            kind(shape=(6016,))
        with pytest.raises(ValueError, match="6,015 samples cannot be cut to quarters"):
            kind(shape=(1, 6015))
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 1, 6016\), got \(4, 6016\)"):
        WaveDiscriminator(2)(torch.randn(4, 6016))
    assert WaveGenerator(5, 2, shape=(2, 128))(torch.randn(3, 5)).shape == (3, 2, 128)


def test_a_wave_gan_is_built_by_its_settings_and_trained_by_the_loop():
    model = digit_gan(
        architecture="wave", shape=(1, 256), latent_dim=4, width=2, num_classes=10, penalty="r1", gamma=1.0
    )
    assert isinstance(model, GAN)
    again = digit_gan(**model.config)
    again.load_state_dict(model.state_dict())
    x = torch.rand(20, 1, 256) * 2 - 1
    history = fit(
        model, Batches(x, torch.arange(20) % 10, batch_size=10, device="cpu"), steps=2, progress=False
    )
    assert history.rows[-1]["penalty"] > 0
    assert model.sample(3, y=[1, 2, 3]).shape == (3, 1, 256)
    with pytest.raises(ValueError, match=r"augment changes images"):
        digit_gan(architecture="wave", shape=(1, 256), augment=True)
