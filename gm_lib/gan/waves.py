"""A generator and a discriminator of waveforms, after WaveGAN: Donahue, McAuley and Puckette 2019.

Where a DCGAN halves height and width, these take a quarter of the length: 6016 samples are 1504, 376 and 94
places, with ``width`` channels at a quarter and twice as many at each further one. Kernels reach over 24
places, six strides: were they no multiple of the stride, some samples would be made by more taps than their
neighbours are (Odena, Dumoulin and Olah 2016).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gm_lib.gan.networks import label, spectrally_normalized, with_label
from gm_lib.networks import check_input
from gm_lib.system.choose import choose

WAVE_SHAPE = (1, 6016)  # the waveforms of gm_lib.sound
STRIDE, KERNEL, PADDING = 4, 24, 10
SHORTEST = 64  # places: what is as short, or odd, is not cut further


class WaveGenerator(nn.Module):
    """G(z) for waveforms in [-1, 1]: few places, four times as many in each layer. Donahue et al. 2019.

    Raises ``ValueError`` for a ``shape`` that is not (channels, samples), or is not made of fours.
    """

    def __init__(
        self, latent_dim: int, width: int, num_classes: int = 0, *, shape: Sequence[int] = WAVE_SHAPE
    ):
        super().__init__()
        self.latent_dim, self.out_shape, self.num_classes = latent_dim, tuple(shape), num_classes
        lengths = _quarters(shape)
        channels = [width * 2**i for i in range(len(lengths))]
        self.net = nn.Sequential(
            nn.Linear(latent_dim + num_classes, channels[-1] * lengths[-1], bias=False),
            nn.Unflatten(1, (channels[-1], lengths[-1])),
            nn.BatchNorm1d(channels[-1]),
            nn.ReLU(inplace=True),
            *(_longer(twice, once) for twice, once in pairwise(channels[::-1])),
            nn.ConvTranspose1d(width, shape[0], KERNEL, STRIDE, PADDING),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return waveforms (n, *out_shape) for z (n, latent_dim) and, if it takes them, labels y (n,)."""
        return self.net(with_label(z, y, self.num_classes)).to(z.dtype)

    def check(self, x: Tensor) -> None:
        """Raise ``ValueError`` for samples out of [-1, 1], which a tanh never leaves."""
        if x.abs().max() > 1:
            raise ValueError(
                f"waveforms must be in [-1, 1], and these reach {x.abs().max().item():.4g}: divide each by "
                "its largest absolute value."
            )


class WaveDiscriminator(nn.Module):
    """The logit of D(x) for waveforms: the lengths of :class:`WaveGenerator` in the opposite order.

    A label moves all channels of the first layer, each by a number of its own. ``norm`` normalizes: "batch",
    "spectral" or "none", as in ``gm_lib.gan.images``. WaveGAN has none, and a penalty.
    """

    def __init__(
        self, width: int, num_classes: int = 0, *, shape: Sequence[int] = WAVE_SHAPE, norm: str = "batch"
    ):
        super().__init__()
        self.in_shape, self.num_classes = tuple(shape), num_classes
        lengths = _quarters(shape)
        channels = [width * 2**i for i in range(len(lengths))]
        batch_norm = choose("norm", norm, ("batch", "spectral", "none")) == "batch"
        self.first = nn.Conv1d(shape[0], width, KERNEL, STRIDE, PADDING)
        self.label = nn.Linear(num_classes, width, bias=False) if num_classes else None
        self.net = nn.Sequential(
            nn.LeakyReLU(0.2, inplace=True),
            *(_shorter(once, twice, batch_norm=batch_norm) for once, twice in pairwise(channels)),
            nn.Flatten(),
            nn.Linear(channels[-1] * lengths[-1], 1),
        )
        if norm == "spectral":
            spectrally_normalized(self)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return logits (n,) for x (n, *in_shape) and, if it takes them, labels y (n,)."""
        check_input(x, self.in_shape, self.net[-1].bias, "the discriminator")
        h = self.first(x)
        if self.label is not None:
            h = h + self.label(label(y, self.num_classes).to(x.dtype))[:, :, None]
        return self.net(h).to(x.dtype).squeeze(-1)


def _longer(channels_in: int, channels_out: int) -> nn.Sequential:
    """Return a transposed convolution to four times the length, batch norm and a ReLU."""
    return nn.Sequential(
        nn.ConvTranspose1d(channels_in, channels_out, KERNEL, STRIDE, PADDING, bias=False),
        nn.BatchNorm1d(channels_out),
        nn.ReLU(inplace=True),
    )


def _shorter(channels_in: int, channels_out: int, *, batch_norm: bool) -> nn.Sequential:
    """Return a convolution to a quarter of the length, batch norm if asked for, and a leaky ReLU."""
    return nn.Sequential(
        nn.Conv1d(channels_in, channels_out, KERNEL, STRIDE, PADDING, bias=not batch_norm),
        *([nn.BatchNorm1d(channels_out)] if batch_norm else []),
        nn.LeakyReLU(0.2, inplace=True),
    )


def _quarters(shape: Sequence[int]) -> list[int]:
    """Return a quarter of the samples, a quarter of that and so on, while they are fours and above 64.

    Raises ``ValueError`` for a shape that is no waveform's, or that cannot be cut at all.
    """
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"waveforms have a shape (channels, samples), not {tuple(shape)}.")
    length = shape[1]
    lengths = []
    while length > SHORTEST and length % STRIDE == 0:
        length //= STRIDE
        lengths.append(length)
    if not lengths:
        raise ValueError(f"{length:,} samples cannot be cut to quarters: take more than 64, a multiple of 4.")
    return lengths
