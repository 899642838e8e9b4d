"""Checks of chapter 16, images, music, speech, prose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    choices,
    exercise,
    expect,
    expect_close,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)
from gm_lib.sound import BANDS, FRAMES, griffin_lim, istft, stft

# 16.1, images: bits per dimension

_BITS_NATS, _BITS_DIMS = 12_000.0, 3 * 32 * 32
_BITS_RENDERINGS = 70_560
_BITS_OF_MODEL = {
    "the model's number is in nats per dimension. A bit is ln 2 nats.": _BITS_NATS / _BITS_DIMS,
    "the model's nats were multiplied by ln 2. A nat is more than a bit: 1/ln 2 of them.": (
        _BITS_NATS / _BITS_DIMS * math.log(2)
    ),
    "the model's number is for each pixel. A pixel has three values, and each is a dimension.": (
        3 * _BITS_NATS / _BITS_DIMS / math.log(2)
    ),
    "the model's number is that of the whole image: divide by its dimensions.": _BITS_NATS / math.log(2),
    "8 was added to the model's bits. That is for the density of dequantized data; here the levels have a "
    "probability.": _BITS_NATS / _BITS_DIMS / math.log(2) + 8,
}
_BITS_OF_SCENE = {
    "the floor without grain is in nats: take the logarithm to the base 2.": (
        math.log(_BITS_RENDERINGS) / _BITS_DIMS
    ),
    "log2 is missing: saying which of n equally likely renderings it is takes log2 n bits.": (
        _BITS_RENDERINGS / _BITS_DIMS
    ),
    "the floor without grain is that of the whole image: divide by its dimensions.": math.log2(
        _BITS_RENDERINGS
    ),
    "the floor without grain is for each pixel, which has three values.": 3
    * math.log2(_BITS_RENDERINGS)
    / _BITS_DIMS,
    "the floor without grain is not 8: the values hang together, and all follow from six factors.": 8.0,
    "the floor without grain is not 0. Which rendering it is still has to be said.": 0.0,
}


@exercise(
    "16.1",
    "Nats, bits and dimensions",
    hints=(
        "How many values does the image have, and how many bits are a nat?",
        "Bits per dimension: nats / (dims · ln 2), with dims = 3 · 32 · 32.",
        "To say which of n equally likely renderings takes log2 n bits, shared out over 3,072 values.",
    ),
)
def _bits_of_nats(answer: Any) -> str:
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Wrong('check("16.1", (of_model, of_scene)) wants both numbers.')
    rights = _BITS_NATS / _BITS_DIMS / math.log(2), math.log2(_BITS_RENDERINGS) / _BITS_DIMS
    of_model, of_scene = (number(v, what) for v, what in zip(answer, ("of_model", "of_scene"), strict=True))
    expect(
        not (is_close(of_model, rights[1], rtol=2e-2, atol=0) and is_close(of_scene, rights[0], rtol=2e-2)),
        "the two numbers are exchanged: first the model's, then that of the renderings.",
    )
    for found, what, right, mistakes in (
        (of_model, "of_model", rights[0], _BITS_OF_MODEL),
        (of_scene, "of_scene", rights[1], _BITS_OF_SCENE),
    ):
        if is_close(found, right, rtol=2e-2, atol=0):
            continue
        for message, mistaken in mistakes.items():
            expect(not is_close(found, mistaken, rtol=2e-2, atol=1e-9), f"perhaps: {message}")
        expect(
            not is_close(found, right, rtol=0.1, atol=0),
            f"{what} is {found:.4g}, near but rounded too much, or a slip in the arithmetic: two significant "
            "digits are wanted.",
        )
        raise Wrong(
            f"{what} is {found:.4g}. It is not that: write down the number of values and the unit first."
        )
    return "So nearly all of the floor is grain: what the picture shows takes 16 bits in all."


# 16.2, images: shuffled pixels

_SHUFFLED_KEYS, _SHUFFLED_NAMES = ("histogram", "png"), ("fewer", "the same", "more")
_SHUFFLED_WHY = {
    "histogram": "it looks at each value by itself. The permutation gives a value another place, and its "
    "histogram goes with it.",
    "png": "it predicts a value from its neighbours, and after the shuffling the neighbours know nothing.",
}


@exercise(
    "16.2",
    "The same pixels in another order",
    hints=(
        "What does each of the two know about the place of a value?",
        "One permutation for all images: the histogram of a place moves as a whole.",
        "PNG writes differences from the neighbours. Are they still small?",
    ),
)
def _shuffled(answer: Any) -> str:
    prediction, outcome = predicted(
        "16.2", answer, lambda given: choices(given, _SHUFFLED_KEYS, _SHUFFLED_NAMES)
    )
    if not isinstance(outcome, Mapping) or set(outcome) != set(_SHUFFLED_KEYS):
        raise Wrong("the experiment does not return its two pairs of numbers: was it changed?")
    found = {}
    for key in _SHUFFLED_KEYS:
        before, after = (number(value, f'the bits of "{key}"') for value in outcome[key])
        change = after - before
        found[key] = "the same" if abs(change) < 0.02 else "more" if change > 0 else "fewer"
        expected = {"histogram": "the same", "png": "more"}[key]
        expect(
            found[key] == expected,
            f'the experiment gives {before:.2f} and {after:.2f} for "{key}": was it changed?',
        )
    wrong = [
        f'"{key}" needs {found[key]}, not {prediction[key]} ({float(outcome[key][0]):.2f} before, '
        f"{float(outcome[key][1]):.2f} after): {_SHUFFLED_WHY[key]}"
        for key in _SHUFFLED_KEYS
        if prediction[key] != found[key]
    ]
    expect(not wrong, " And ".join(wrong))
    return "Histograms know the place of a value and nothing else; PNG knows its neighbours."


# 16.3, images: three bugs in bits per dimension

_BUGS = {
    "channels": "a dimension is a value, and a pixel in colour has three. Count the channels, too.",
    "sum": "the batch: the mean over the examples is wanted, and a sum grows with their number.",
    "width": "the data were dequantized to [0, 1), so log_density is a density. Over a bin of 1/256 it "
    "makes a probability: that adds 8 bits.",
}


def _density_bits(
    log_density: Tensor, x: Tensor, *, channels: bool = False, sum: bool = False, width: bool = False
) -> Tensor:
    """Return bits per dimension, with those of the three mistakes that are asked for."""
    dims = x[0, 0].numel() if channels else x[0].numel()
    total = log_density.sum() if sum else log_density.mean()
    return -total / dims / math.log(2) + (0 if width else 8)


_OTHER_BITS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "perhaps the bin's width is taken for 1/255. There are 256 bins of one level each.": lambda d, x: (
        _density_bits(d, x, width=True) + math.log2(255)
    ),
    "perhaps the 8 bits have the wrong sign: the probability of a narrow bin is less than the density.": (
        lambda d, x: _density_bits(d, x, width=True) - 8
    ),
    "perhaps ln 256 was added to the bits: in bits the bin's width is 8.": lambda d, x: (
        _density_bits(d, x, width=True) + math.log(256)
    ),
    "perhaps the result is in nats: divide by ln 2.": lambda d, x: _density_bits(d, x) * math.log(2),
    "perhaps the 8 bits were shared out over the dimensions. They are those of one.": lambda d, x: (
        _density_bits(d, x, width=True) + 8 / x[0].numel()
    ),
    "perhaps 8 was added before the division by ln 2: it is in bits already.": lambda d, x: (
        (_density_bits(d, x, width=True) * math.log(2) + 8) / math.log(2)
    ),
    "perhaps 3,072 is written into the function: count the values of x.": lambda d, x: (
        -d.mean() / 3_072 / math.log(2) + 8
    ),
    "perhaps dims counts the examples, too.": lambda d, x: _density_bits(d, x, width=True) / len(x) + 8,
}


@exercise(
    "16.3",
    "Three bugs in bits per dimension",
    hints=(
        "One image twice should have the same bits as one, and a uniform density on [0, 1) should have 8.",
        "Which of the four sides of x belong to one example?",
        "-log_density.mean() / x[0].numel() in nats; divide by ln 2; then the width of a bin.",
    ),
)
def _bugs(answer: Any) -> str:
    generator = torch.Generator().manual_seed(1)
    cases = [
        (
            math.prod(shape) * (2 + 0.3 * torch.randn(n, generator=generator)),
            torch.rand(n, *shape, generator=generator),
        )
        for n, shape in ((5, (3, 4, 6)), (1, (3, 8, 8)), (7, (1, 5, 5)), (4, (2, 3, 3)))
    ]
    found = [number(call(answer, d.clone(), x.clone()), "the result") for d, x in cases]

    def explains(function: Callable[[Tensor, Tensor], Tensor]) -> bool:
        return all(is_close(b, function(d, x), rtol=1e-4) for b, (d, x) in zip(found, cases, strict=True))

    if explains(_density_bits):
        return "A uniform density now has 8 bits per dimension, whatever the batch and the size."
    for made in sorted(product((False, True), repeat=3), key=lambda made: made.count(True)):
        kept = dict(zip(_BUGS, made, strict=True))
        if explains(lambda d, x, kept=kept: _density_bits(d, x, **kept)):  # type: ignore[misc]
            if all(made):
                raise NotAttempted("it still does what it did")
            names = [name for name, is_there in kept.items() if is_there]
            raise Wrong(
                f"not all three are mended ({3 - len(names)} of 3). Look at one thing: {_BUGS[names[0]]}"
            )
    for message, function in _OTHER_BITS.items():
        expect(not explains(function), message)
    d, x = cases[0]
    raise Wrong(
        f"for {len(d)} examples of the shape {tuple(x.shape[1:])} and a mean log density of {d.mean():.1f} "
        f"nats it should be {_density_bits(d, x):.3f}, and is {found[0]:.3f}."
    )


# 16.4, images: the discretized logistic

_LEVEL_LOCATIONS = (0.0, 3.2, 127.5, 200.3, 254.0)
_LEVEL_SCALES = (0.4, 2.0, 30.0)
# Levels far from the location, above it and below, among them the outermost.
_FAR_LEVELS = (0.0, 40, 210, 250, 216, 5, 255)
_FAR_LOCATIONS = (200.0, 140, 10, 10, 128, 205, 20)
_FAR_SCALES = (2.0, 2, 0.4, 2, 2, 0.4, 2)


def _cut(
    level: Tensor, location: Tensor, scale: Tensor, half: float = 0.5, *, low: bool, high: bool
) -> Tensor:
    upper = torch.sigmoid((level + half - location) / scale)
    lower = torch.sigmoid((level - half - location) / scale)
    upper = torch.where(level == 255, 1.0, upper) if high else upper
    return (upper - (torch.where(level == 0, 0.0, lower) if low else lower)).log()


_LEVEL_MISTAKES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "both outer bins end half a level beyond, and the probabilities do not add up to 1. Level 0 reaches "
    "down to -∞, level 255 up to +∞.": lambda k, m, s: _cut(k, m, s, low=False, high=False),
    "level 0 reaches down to -∞: its lower edge is missing.": lambda k, m, s: _cut(
        k, m, s, low=False, high=True
    ),
    "level 255 reaches up to +∞: its upper edge is missing.": lambda k, m, s: _cut(
        k, m, s, low=True, high=False
    ),
    "a bin reaches half a level to both sides, and yours are twice as wide.": lambda k, m, s: _cut(
        k, m, s, 1.0, low=True, high=True
    ),
    "these are probabilities: take their logarithm.": lambda k, m, s: _cut(
        k, m, s, low=True, high=True
    ).exp(),
    "this is the density of the logistic at the level, not the probability of its bin.": lambda k, m, s: (
        -(k - m) / s - s.log() - 2 * F.softplus(-(k - m) / s)
    ),
    "half a level is 0.5 here: all is in levels, not in units of 255.": lambda k, m, s: _cut(
        k, m, s, 0.5 / 255, low=True, high=True
    ),
    "these are logarithms to the base 2: nats are wanted.": lambda k, m, s: _of_levels(k, m, s) / math.log(2),
    "the outer bins are exchanged: level 0 takes all below its upper edge, level 255 all above its lower.": (
        lambda k, m, s: torch.where(
            k == 0,
            F.logsigmoid(-(k - 0.5 - m) / s),
            torch.where(k == 255, F.logsigmoid((k + 0.5 - m) / s), _of_levels(k, m, s).float()),
        )
    ),
    "a difference of logarithms is the logarithm of a quotient. The difference of the sigmoids is wanted.": (
        lambda k, m, s: F.logsigmoid((k + 0.5 - m) / s) - F.logsigmoid((k - 0.5 - m) / s)
    ),
    "the distance is multiplied by the scale. A wide distribution has a large one: divide.": (
        lambda k, m, s: _of_levels(k, m, 1 / s)
    ),
    "a bin is centred on its level: it begins half a level below it, not at it.": lambda k, m, s: _cut(
        k + 0.5, m, s, low=True, high=True
    ),
}


@exercise(
    "16.4",
    "The probability of a grey level",
    hints=(
        "sigmoid at the upper edge minus sigmoid at the lower. What lies below level 0, and above 255?",
        "Turn the difference into a product, which cancels nothing: write both sigmoids as 1 / (1 + exp(-·)) "
        "and bring them to one denominator. The logarithm is then a sum; logsigmoid is two of its terms.",
        "Far bins: log(sigmoid(u) - sigmoid(l)) = logsigmoid(u) + logsigmoid(-l) + log(1 - exp(l - u)). "
        "The last term is log(-expm1(-1 / scale)), which keeps its digits for wide scales.",
    ),
)
def _grey_level(answer: Any) -> str:
    levels = torch.arange(256.0)
    cases = []
    for location, scale in product(_LEVEL_LOCATIONS, _LEVEL_SCALES):
        m, s = torch.full((256,), location), torch.full((256,), scale)
        log_p = tensor(call(answer, levels.clone(), m, s), shape=(256,), name="the result", nan=True).detach()
        cases.append((m, s, log_p, _of_levels(levels, m, s)))

    def explains(function: Callable[[Tensor, Tensor, Tensor], Tensor]) -> bool:
        """Compare where the difference of two sigmoids still has its digits."""
        return all(
            is_close(log_p[right > -10], function(levels, m, s)[right > -10], rtol=1e-3, atol=1e-2)
            for m, s, log_p, right in cases
        )

    if not explains(_of_levels):
        for message, mistaken in _LEVEL_MISTAKES.items():
            expect(not explains(mistaken), message)
        m, s, log_p, right = max(
            cases, key=lambda case: (case[2] - case[3])[case[3] > -10].abs().nan_to_num(1e9).max().item()
        )
        off = torch.where(right > -10, (log_p - right).abs().nan_to_num(1e9), -1.0).argmax()
        raise Wrong(
            f"for the location {m[0]:g} and the scale {s[0]:g} the 256 probabilities add up to "
            f"{log_p.double().exp().sum():.4g}; level {off} has log p = {log_p[off]:.4g}, and should have "
            f"{right[off]:.4g}."
        )
    k, m, s = (torch.tensor(values) for values in (_FAR_LEVELS, _FAR_LOCATIONS, _FAR_SCALES))
    log_p = tensor(
        call(answer, k.clone(), m.clone(), s.clone()), shape=k.shape, name="the result", nan=True
    ).detach()
    right = _of_levels(k, m, s)

    def is_right(found: Tensor, expected: Tensor) -> bool:
        return is_close(found, expected, rtol=1e-4, atol=1e-2)

    if not is_right(log_p, right):
        lost = ~((log_p - right).abs() <= 1e-2 + 1e-4 * right.abs())  # nan is lost, too
        at = int(lost.int().argmax())
        where = (
            f"right near the location, but far from it, at level {k[at]:g} for the location {m[at]:g} and "
            f"the scale {s[at]:g}, log p is {log_p[at]:.1f}, where {right[at]:.1f} is right"
        )
        expect(
            torch.isfinite(log_p).all(),
            f"{where}: two sigmoids that round to the same number, both to 1 or both to 0, have the "
            "difference 0. One such value, and the loss is infinite and its gradient nan.",
        )
        density = -(k - m) / s - s.log() - 2 * F.softplus(-(k - m) / s)
        expect(
            not is_right(log_p[lost], density[lost]),
            f"{where}: the density stands in for the probability there. In an outer bin, or where a bin is "
            "wider than the scale, the two differ.",
        )
        expect(
            lost.sum() == 1
            or not (log_p[lost] > right[lost]).all()
            or log_p[lost].max() - log_p[lost].min() > 0.1,
            f"{where}: a floor, as of a clamp, invents a probability, and its gradient is 0.",
        )
        raise Wrong(f"{where}.")
    return "The 256 probabilities add up to 1 everywhere, and no level is impossible."


def _of_levels(level: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """Return log P of levels 0 to 255 in double precision, all of shape (n,)."""
    level, location, scale = level.double(), location.double(), scale.double()
    upper, lower = (level + 0.5 - location) / scale, (level - 0.5 - location) / scale
    below, above = F.logsigmoid(upper), F.logsigmoid(-lower)
    inside = below + above + torch.log(-torch.expm1(lower - upper))
    return torch.where(level == 0, below, torch.where(level == 255, above, inside))


# 16.5, speech: how large is the picture?

_SPEECH_SIZES: dict[str, float] = {
    "frames": 1 + 24064 // 256,
    "rows": 513,
    "highest": 8000.0,
    "spacing": 15.625,
    "power": 1e-3,
    "amplitude": 10**-1.5,
}
_SPEECH_WITHIN = {
    "frames": 0.0,
    "rows": 0.0,
    "highest": 0.0,
    "spacing": 0.0005,
    "power": 0.005,
    "amplitude": 0.015,
}
_SPEECH_HOP_NOT_WINDOW = "frames overlap: from one to the next it is a hop, not a window."
_SPEECH_SIZE_MISTAKES: dict[str, dict[float, str]] = {
    "frames": {
        94: "so many hops there are, and one frame before the first: the one centred on sample 0.",
        93: "frames are centred on sample 0 and on sample 24,064, too: count both ends.",
        1 + (24064 - 1024) // 256: "that counts frames that lie wholly within the sound. Here they are "
        "centred on samples 0, 256, 512, …, with silence beyond the ends.",
        24064 / 1024: _SPEECH_HOP_NOT_WINDOW,
        24064 // 1024: _SPEECH_HOP_NOT_WINDOW,
        1 + 24064 // 1024: _SPEECH_HOP_NOT_WINDOW,
        24064 // 128: "the hop is 256 here, not that of the page's pictures.",
        1 + 24064 // 128: "the hop is 256 here, not that of the page's pictures.",
        48: "those are the page's pictures: count for this recording.",
    },
    "rows": {
        512: "from 0 to half the rate, both ends counted.",
        1024: "of a real sound the frequencies above half the rate repeat those below.",
        1023: "of a real sound the frequencies above half the rate repeat those below.",
        257: "that is for the page's window of 512 samples. Here it has 1,024.",
        64: "the STFT's rows are meant, not mel bands.",
    },
    "highest": {
        16000.0: "that is the rate. A frequency needs two samples for each period (Nyquist).",
        4000.0: "half the rate, and the rate is 16,000 here.",
        7984.375: "the last of the rows is at half the rate itself.",
        8.0: "that is in kHz: give Hz.",
    },
    "spacing": {
        16000 / 513: "the rows reach up to half the rate only.",
        16000 / 512: "the rows reach up to half the rate only.",
        8000 / 513: "513 rows have 512 gaps.",
        16000 / 256: "a window of 1,024 samples resolves frequencies; the hop has nothing to do with it.",
        1024 / 16000: "that is how long a window is, in seconds. One over it.",
    },
    "power": {
        10**-1.5: "that is for the amplitude. Decibels are 10 log₁₀ of a ratio of powers.",
        1e-6: "that is the square of it: decibels are 10 log₁₀ of a ratio of powers already.",
        1000.0: "below, not above.",
        10**-30.0: "a decibel is a tenth of a bel: 10 log₁₀.",
        math.exp(-3.0): "decibels have the logarithm to base 10.",
        0.5: "that is how bright the cell is, 30 of 60 dB. The power itself is asked for.",
        0.0: "every cell that is not silent has some power.",
    },
    "amplitude": {
        1e-3: "that is for the power, which is the amplitude's square.",
        1e-6: "the power is the amplitude's square: take the root, not the square.",
        0.5: "that is how bright the cell is, 30 of 60 dB. The amplitude itself is asked for.",
        10**1.5: "below, not above.",
    },
}


@exercise(
    "16.5",
    "How large is the picture?",
    hints=(
        "Count the samples 0, 256, 512, …, 24,064. And which is the fastest tone of which each period still "
        "has two samples?",
        "The rows are evenly spaced from 0 to half the rate. Over a whole window the next row's tone makes "
        "one more period.",
        "n dB is 10 log₁₀ of a ratio of powers: -30 = 10 log₁₀ r. The power is the amplitude's square.",
    ),
)
def _speech_sizes(answer: Any) -> str:
    keys = list(_SPEECH_SIZES)
    listed = ", ".join(f'"{key}"' for key in keys)
    if not isinstance(answer, Mapping) or set(answer) != set(keys):
        raise Wrong(f"the answer is a dictionary with the keys {listed}.")
    given = {key: number(answer[key], f'"{key}"') for key in keys}
    for key, right in _SPEECH_SIZES.items():
        within = _SPEECH_WITHIN[key]
        if is_close(given[key], right, rtol=within, atol=0.0):
            continue
        for mistaken, why in _SPEECH_SIZE_MISTAKES[key].items():
            expect(not is_close(given[key], mistaken, rtol=within, atol=1e-9), f'"{key}": {why}')
        near = is_close(given[key], right, rtol=0.03, atol=0.0)
        raise Wrong(f'"{key}" is not {given[key]:.4g}' + (", but near. Was it rounded?" if near else "."))
    return "A picture of 95 by 513: 48,735 numbers for 24,064, and yet without the phases."


# 16.6, speech: what the picture does not see

_SPEECH_CHANGES = ("quieter", "upside down", "later", "backwards", "fading")
_SPEECH_SEEN = {
    "quieter": "same",
    "upside down": "same",
    "later": "same",
    "backwards": "changed",
    "fading": "changed",
}
_SPEECH_WHY = {
    "quieter": "each picture is measured against its own loudest cell, and a factor for the whole recording "
    "cancels.",
    "upside down": "power is the square of an absolute value, which a number shares with its opposite.",
    "later": "half a millisecond is a thirtieth of a hop. It turns the phases, a quarter of a turn at "
    "500 Hz, and hardly changes a magnitude. Phases are what the picture leaves out.",
    "backwards": "the power of each frequency in the whole recording stays, but the picture has it frame by "
    "frame, and their order is turned round.",
    "fading": "the factor is another one at the end than at the beginning, so that it does not cancel: a "
    "cell halfway is 30 dB darker.",
}


@exercise(
    "16.6",
    "What the picture does not see",
    hints=(
        "What does a cell hold? The power of one band in one frame, beside the loudest cell of the picture.",
        "Which of the five only turn the phases, or multiply every frame by the same number?",
        "A delay turns the phase of each frequency, and each frequency by another angle.",
    ),
    seconds=20.0,
)
def _speech_changes(answer: Any) -> str:
    prediction, outcome = predicted(
        "16.6", answer, lambda given: choices(given, _SPEECH_CHANGES, ("same", "changed"))
    )
    if not isinstance(outcome, Mapping) or set(outcome) != set(_SPEECH_CHANGES):
        raise Wrong("the experiment does not return its five numbers: was it changed?")
    found = {key: number(outcome[key], f'the difference for "{key}"') for key in _SPEECH_CHANGES}
    for key, right in _SPEECH_SEEN.items():
        expect(
            (found[key] < 0.02) == (right == "same"),
            f'the experiment gives a difference of {found[key]:.3f} for "{key}": was it changed?',
        )
    for key in _SPEECH_CHANGES:
        print(f"{key}: differs by {found[key]:.3f}, {_SPEECH_SEEN[key]}; predicted {prediction[key]}")
    off = [key for key in _SPEECH_CHANGES if prediction[key] != _SPEECH_SEEN[key]]
    if off:
        key = off[0]
        more = f" ({len(off)} of five are not right yet.)" if len(off) > 1 else ""
        raise Wrong(
            f'"{key}" gives {_SPEECH_SEEN[key]}, with a difference of {found[key]:.3f}: '
            f"{_SPEECH_WHY[key]}{more}"
        )
    return (
        "For the picture three of the changes are none. As waveforms, upside down and later are at least as "
        "far from the recording as another recording is."
    )


# 16.7, speech: pictures that depend on their company


def _speech_pictures(power: Tensor) -> Tensor:
    return _speech_pictures_of(power, (-2, -1))


def _speech_pictures_of(power: Tensor, over: tuple[int, ...], factor: int = 10, added: float = 0.0) -> Tensor:
    """Measure decibels against the loudest cell ``over`` some dimensions, a number ``added`` to the power."""
    level = factor * (power + added).log10()
    return (1 + (level - level.amax(over, keepdim=True)) / 60).clamp(min=0)


def _speech_power() -> list[dict[str, Tensor]]:
    """Return powers as bands have them, of recordings that are loud and quiet by turns."""
    power = 10 ** (-6.5 * torch.rand(5, 1, BANDS, FRAMES))
    return [
        {"power": power * torch.tensor([1.0, 1e-2, 30.0, 1e-4, 5.0]).view(5, 1, 1, 1)},
        {"power": 1e-3 * power[:1]},
    ]


_SPEECH_ADDED = {
    added: f"each picture has its own loudest cell now. But {added:g} is still added to the power, which "
    "for a quiet recording is not small. Nothing here is 0: add nothing."
    for added in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12)
}


@exercise(
    "16.7",
    "Pictures that depend on more than the sound",
    hints=(
        "The first: make a picture in which one frame is a thousand times weaker than the others. Where does "
        "that get lost? The second: of which powers is 10 log₁₀(power + 0.001) nearly constant?",
        "Against which cell is a recording to be measured? And what does it need against the logarithm of 0 "
        "if all powers are above 0?",
        "amax takes several dimensions at once; max takes one.",
    ),
)
def _speech_company(answer: Any) -> str:
    expect_function(
        answer,
        _speech_pictures,
        _speech_power(),
        mistakes={
            "nothing is added any more. There is a second bug: each frame is measured against its own "
            "loudest cell, and a pause is as bright as a vowel.": lambda power: _speech_pictures_of(
                power, (-2,)
            ),
            "each band is measured against its own loudest cell. A picture has one.": lambda power: (
                _speech_pictures_of(power, (-1,))
            ),
            "a quiet recording is dark beside a loud one: the loudest cell is that of the whole "
            "batch.": lambda power: _speech_pictures_of(power, (0, 1, 2, 3)),
            "the loudest cell is that of the whole batch, and a number is still added to the "
            "power.": lambda power: _speech_pictures_of(power, (0, 1, 2, 3), added=1e-3),
            "20 log₁₀ is for amplitudes, and these are powers.": lambda power: _speech_pictures_of(
                power, (-2, -1), factor=20
            ),
        }
        | {
            why: lambda power, added=added: _speech_pictures_of(power, (-2, -1), added=added)
            for added, why in _SPEECH_ADDED.items()
        },
        unchanged=lambda power: _speech_pictures_of(power, (-2,), added=1e-3),
        name="the pictures",
        atol=1e-4,
    )
    return "A picture must depend on its recording alone, and not on how loud that is."


# 16.8, speech: a step towards the phases


def _speech_step(waveform: Tensor, magnitude: Tensor) -> Tensor:
    spectrum = stft(waveform)
    return istft(torch.polar(magnitude, spectrum.angle()))


@exercise(
    "16.8",
    "A step towards the phases",
    hints=(
        "Which of the two things does the waveform have that the picture lacks? Take that from "
        "stft(waveform), and the other from magnitude.",
        "A complex number is its magnitude times a number of magnitude 1, which holds the phase: "
        "spectrum / spectrum.abs().",
        "torch.polar makes complex numbers of magnitudes and angles, and needs no division. With one, keep "
        "it from 0 / 0 by clamp(min=1e-12), and add nothing.",
    ),
)
def _speech_griffin_lim(answer: Any) -> str:
    t = torch.arange(2048) / 8000
    sounds = [torch.randn(2048), torch.sin(2 * math.pi * 440 * t) + 0.1 * torch.randn(2048)]
    targets = [stft(0.5 * sounds[1] + torch.randn(2048)).abs(), stft(torch.randn(2048)).abs()]
    for waveform, magnitude in zip(sounds, targets, strict=True):
        found = tensor(call(answer, waveform, magnitude), name="the waveform")
        expect(
            not found.is_complex(), "the result is complex: a waveform is wanted, so istft has to come last."
        )
        spectrum = stft(waveform)
        expect_close(
            found,
            _speech_step(waveform, magnitude),
            name="the waveform",
            mistakes={
                "that is the waveform as it came: its own magnitudes were kept.": waveform,
                "all phases are 0 now: those of stft(waveform) are to be kept.": istft(magnitude + 0j),
                "the phase's number of magnitude 1 is spectrum / |spectrum|: without the division the "
                "magnitudes are multiplied.": istft(magnitude * spectrum),
                "the phases are turned the wrong way round (a conjugate?).": istft(
                    torch.polar(magnitude, -spectrum.angle())
                ),
                "that has half of the way only: replace the magnitudes, do not average them.": istft(
                    torch.polar((magnitude + spectrum.abs()) / 2, spectrum.angle())
                ),
                "take the magnitudes as they are: no square.": istft(
                    torch.polar(magnitude.square(), spectrum.angle())
                ),
                "a number like 0.001 is added to |spectrum|, which makes weak frequencies weaker. Clamp at a "
                "tiny one.": istft(magnitude * spectrum / (spectrum.abs() + 1e-3)),
                "that looks for phases from random ones, as griffin_lim does: the waveform's own phases are "
                "to be kept, and one step made.": griffin_lim(magnitude),
                "take the magnitudes as they are: they are no powers.": istft(
                    torch.polar(magnitude.sqrt(), spectrum.angle())
                ),
            },
            rtol=1e-3,
            atol=1e-3,
        )
    silent = tensor(
        call(answer, torch.zeros(2048), targets[0]), name="the waveform for a silent beginning", nan=True
    )
    expect(
        bool(silent.isfinite().all()),
        "from silence your step makes NaN: there |spectrum| is 0, and 0 / 0 is none.",
    )
    return "Repeated, this is the method of Griffin and Lim (1984)."


# 16.9, music: nats per time step


def _music_nats(
    log_p: Tensor, lengths: Tensor, *, first: int = 0, padded: bool = False, by_piece: bool = False
) -> Tensor:
    """Return nats per step, with the mistakes that are asked for; ``first`` is the first step counted."""
    step = torch.arange(log_p.shape[1])
    counted = (step >= first) & ((step < lengths[:, None]) | padded)
    total, n = -log_p.where(counted, 0.0).sum(1), counted.sum(1)
    return (total / n).mean() if by_piece else total.sum() / n.sum()


def _music_cases() -> list[dict[str, Tensor]]:
    """Return pieces of different lengths, with a first step that costs more and other numbers behind.

    Behind the last pieces are no finite ones.
    """
    cases = []
    for lengths, off in (([9, 4, 2], 1.0), ([5], 1.0), ([3, 8, 8, 5], 1.0), ([2, 4], math.inf)):
        log_p = -8 - 3 * torch.rand(len(lengths), max(lengths))
        log_p[:, 0] -= 6
        of = torch.tensor(lengths)
        behind = torch.arange(log_p.shape[1]) >= of[:, None]
        cases.append({"log_p": log_p.where(~behind, 0.7 * off * log_p), "lengths": of})
    return cases


@exercise(
    "16.9",
    "Nats per time step",
    hints=(
        "Try it on two pieces, of 2 and of 100 steps. How much should each count? And on one of one step.",
        "Step 0 is predicted, too, from nothing. A mean over pieces of means over steps gives a short piece "
        "as much weight as a long one.",
        "Sum over all steps of all pieces that are no padding, and divide once, by the sum of the lengths.",
    ),
)
def _music_bugs(answer: Any) -> str:
    first = "step 0 is still left out: it is predicted from nothing, and counts."
    pieces = "each piece still counts alike. Sum over all pieces first, then divide once."
    expect_function(
        answer,
        _music_nats,
        _music_cases(),
        mistakes={
            f"one of two bugs is mended: {pieces}": lambda p, n: _music_nats(p, n, by_piece=True),
            f"one of two bugs is mended: {first}": lambda p, n: _music_nats(p, n, first=1),
            "all numbers behind the ends are counted: they are padding.": lambda p, n: _music_nats(
                p, n, padded=True
            ),
            "you divide by the steps of the pieces, and the sum has padding in it.": lambda p, n: (
                -p.sum() / n.sum()
            ),
            "one step of padding is summed behind each end: counted from 0, the last step of a piece is "
            "lengths - 1.": lambda p, n: _music_nats(F.pad(p, (0, 1)), n + 1) * (n + 1).sum() / n.sum(),
            "one step of padding counts behind each end: counted from 0, the last step of a piece is "
            "lengths - 1.": lambda p, n: _music_nats(p, (n + 1).clamp(max=p.shape[1])),
            "padding may be infinite, and 0 · ∞ is NaN: choose with where, do not multiply.": lambda p, n: (
                -(p * (torch.arange(p.shape[1]) < n[:, None])).sum() / n.sum()
            ),
            "step 0 is left out of the sum, and yet counted in the number of steps.": lambda p, n: (
                _music_nats(p, n, first=1) * (n - 1).sum() / n.sum()
            ),
            "the sum of the steps is right, but it was divided by the number of pieces.": lambda p, n: (
                _music_nats(p, n) * n.sum() / len(n)
            ),
            "the sum of the steps is right, but it was divided by n · steps, padding "
            "included.": lambda p, n: _music_nats(p, n) * n.sum() / p.numel(),
            "the sign: -log p is asked for.": lambda p, n: -_music_nats(p, n),
        },
        unchanged=lambda p, n: _music_nats(p, n, first=1, by_piece=True),
        name="nats per step",
    )
    return "All steps count alike, the first included: now two tables can be compared."


# 16.10, music: what independence costs

_MUSIC_SHARE = 4 / 88
_MUSIC_ENTROPY = -(_MUSIC_SHARE * math.log(_MUSIC_SHARE) + (1 - _MUSIC_SHARE) * math.log(1 - _MUSIC_SHARE))
_MUSIC_PRICES = {
    "coins": 88 * math.log(2),
    "independent": 88 * _MUSIC_ENTROPY,
    "best": math.log(math.comb(88, 4)),
}
_MUSIC_PRICE_MISTAKES = {
    "coins": {
        88.0: "that is in bits. A bit is ln 2 nats.",
        math.log(2): "that is one key. There are 88.",
        4 * math.log(2): "a key that is off has to be said, too: 88 coins.",
    },
    "independent": {
        88 * _MUSIC_ENTROPY / math.log(2): "that is in bits. A bit is ln 2 nats.",
        _MUSIC_ENTROPY: "that is one key. There are 88.",
        math.log(88) - 87 * math.log(87 / 88): "that has one key on of 88, and four are.",
        -4 * math.log(_MUSIC_SHARE): "those are the four keys that sound. The others have to be said, too.",
        -84 * math.log(1 - _MUSIC_SHARE): "those are the keys that are silent. Four sound, too.",
    },
    "best": {
        math.log2(math.comb(88, 4)): "that is in bits. A bit is ln 2 nats.",
        4 * math.log(88): "that has the four in an order, and lets two be one key. A set has no order.",
        math.log(math.perm(88, 4)): "that has the four in an order, 4! of them. A set has none.",
        math.log(math.comb(88, 4)) / 4: "that is one note. A step has four.",
    },
}


@exercise(
    "16.10",
    "What independence costs",
    hints=(
        "The best model of all gives each set the same probability. How many sets are there?",
        "Of independent keys the best has each key on as often as it is: 4 of 88. Its price is 88 times the "
        "entropy of one such key.",
        "math.comb(88, 4) counts sets. math.log is in nats.",
    ),
)
def _music_prices(answer: Any) -> str:
    keys = list(_MUSIC_PRICES)
    if not isinstance(answer, Mapping) or set(answer) != set(keys):
        listed = ", ".join(f'"{key}"' for key in keys)
        raise Wrong(f"the answer is a dictionary with the keys {listed}.")
    given = {key: number(answer[key], f'"{key}"') for key in keys}
    expect(min(given.values()) >= 0, "a price is -log p, and not negative.")
    swapped = is_close(
        [given["independent"], given["best"]], [_MUSIC_PRICES["best"], 88 * _MUSIC_ENTROPY], rtol=2.8e-3
    )
    expect(not swapped, '"independent" and "best" are the wrong way round: the best model pays less.')
    for key, right in _MUSIC_PRICES.items():
        if is_close(given[key], right, rtol=2.8e-3, atol=0.0):
            continue
        for mistaken, why in _MUSIC_PRICE_MISTAKES[key].items():
            expect(not is_close(given[key], mistaken, rtol=2.8e-3, atol=0.0), f'"{key}": {why}')
        rounded = is_close(given[key], right, rtol=0.0, atol=0.5)
        raise Wrong(f'"{key}" is not {given[key]:.4g}{": give three digits" if rounded else ""}.')
    return "Independence costs 1.6 nats a step here, and more where the four notes must make a chord."


# 16.11, music: parallel fifths


def _music_fifths(
    before: list[int],
    now: list[int],
    *,
    octaves: bool = True,
    moved: str = "both",
    neighbours: bool = False,
    interval: int = 7,
    same: bool = False,
    along: bool = False,
    every: int = 12,
) -> int:
    """Return the pairs in parallel fifths, with the mistakes that are asked for."""
    found = 0
    for low in range(4):
        for high in range(low + 1, 4):
            was, now_is = before[high] - before[low], now[high] - now[low]
            fifth = [(gap % every if octaves else gap) == interval for gap in (was, now_is)]
            steps = [now[i] - before[i] for i in (low, high)]
            moves = [step != 0 for step in steps]
            count = {"both": all(moves), "either": any(moves), "never asked": True}[moved]
            near = high == low + 1 or not neighbours
            along_or_not = steps[0] * steps[1] > 0 or not along
            found += all(fifth) and count and near and along_or_not and (was == now_is or not same)
    return found


def _music_leaps_ignored(before: list[int], now: list[int]) -> int:
    """Return the pairs in parallel fifths, taking a voice that leaps an octave for one that stays."""
    stays = [a if (b - a) % 12 == 0 else b for a, b in zip(before, now, strict=True)]
    return _music_fifths(before, stays)


_MUSIC_MOVES = (
    ((48, 55, 64, 71), (50, 57, 65, 74)),  # one, of neighbours
    ((48, 64, 67, 72), (50, 62, 69, 77)),  # one, with an octave between, that are no neighbours
    ((48, 55, 64, 72), (48, 55, 65, 74)),  # a fifth that stays
    ((48, 55, 62, 69), (50, 57, 64, 71)),  # three
    ((48, 60, 64, 72), (50, 62, 65, 74)),  # octaves only
    ((48, 60, 65, 72), (50, 60, 65, 72)),  # no fifth after
    ((48, 55, 60, 64), (53, 72, 76, 79)),  # a fifth that becomes a twelfth
    ((48, 64, 67, 79), (53, 65, 69, 72)),  # fifths above one bass, of which one is so again
    ((57, 60, 64, 69), (55, 59, 62, 67)),  # and downwards
    ((50, 57, 62, 69), (48, 55, 60, 67)),
    ((48, 52, 55, 60), (48, 53, 67, 72)),  # the bass stays, and its fifth moves by an octave
    ((48, 55, 60, 64), (36, 55, 60, 64)),  # the fifth stays, and its bass moves by an octave
    ((48, 67, 72, 76), (53, 60, 69, 74)),  # one, the bass upwards and the tenor downwards
    ((48, 55, 64, 72), (60, 67, 76, 84)),  # one, by an octave
    ((48, 52, 60, 67), (50, 53, 65, 69)),  # one, of the outer voices
)


@exercise(
    "16.11",
    "Parallel fifths",
    hints=(
        "There are six pairs of voices: (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3).",
        "A fifth, or that and whole octaves: what is left of the distance after whole twelves is 7.",
        "Both must have moved. The bass that stays under a fifth that jumps by an octave makes no parallel.",
    ),
)
def _music_parallels(answer: Any) -> str:
    expect_function(
        answer,
        _music_fifths,
        [{"before": list(before), "now": list(now)} for before, now in _MUSIC_MOVES],
        mistakes={
            "a twelfth, 19 semitones, is a fifth and an octave: it counts.": partial(
                _music_fifths, octaves=False
            ),
            "only neighbours are looked at: all six pairs count.": partial(_music_fifths, neighbours=True),
            "a fifth that stays where it was is no parallel: both must have moved.": partial(
                _music_fifths, moved="never asked"
            ),
            "one of the two moved, and both must have.": partial(_music_fifths, moved="either"),
            "voices that leap an octave have moved, too.": _music_leaps_ignored,
            "only voices that move the same way are looked at: the direction does not matter.": partial(
                _music_fifths, along=True
            ),
            "only the bass and the soprano are looked at: all six pairs count.": lambda before, now: (
                _music_fifths([before[0], 0, 1, before[3]], [now[0], 0, 1, now[3]])
            ),
            "every pair is counted twice, as (low, high) and as (high, low).": lambda before, now: (
                2 * _music_fifths(before, now)
            ),
            "you find none, and some of the moves that were tried have some.": lambda before, now: 0.0,
            "multiples of 7 are no fifths: 7 must be left over after whole octaves, gap % 12 == 7.": partial(
                _music_fifths, interval=0, every=7
            ),
            "a fifth has 7 semitones; 5 are a fourth.": partial(_music_fifths, interval=5),
            "octaves were counted, not fifths.": partial(_music_fifths, interval=0),
            "from a fifth to a twelfth counts, too: whole octaves do not matter.": partial(
                _music_fifths, same=True
            ),
            "how many is asked for, not whether there are any.": lambda before, now: float(
                _music_fifths(before, now) > 0
            ),
        },
        name="the number of parallel fifths",
    )
    return "That a rule is kept can be counted: now count it in pieces."


# 16.12, prose: nats per character


def _prose_mask(x: Tensor, *, end: bool = True) -> Tensor:
    """Tell which symbols of rows are their texts', the end included or not."""
    is_end = (x == 0).long()
    through = is_end.cumsum(1)
    return (through - is_end == 0) if end else (through == 0)


def _prose_nats(log_p: Tensor, x: Tensor) -> Tensor:
    mine = _prose_mask(x)
    return -(log_p * mine).sum() / mine.sum()


def _prose_lengths(x: Tensor) -> Tensor:
    """Tell the first symbols of each row, as many as it has letters anywhere and one more."""
    return torch.arange(x.shape[1]) <= (x != 0).sum(1, keepdim=True)


def _prose_wrong(log_p: Tensor, x: Tensor) -> Tensor:
    return -(log_p * (x != 0)).mean()


def _prose_texts() -> list[dict[str, Tensor]]:
    """Return log-probabilities and rows: texts of several lengths, one empty, one cut off, dirty padding."""
    rows = torch.tensor(
        [[3, 1, 2, 0, 0, 0], [1, 0, 0, 0, 0, 0], [2, 2, 1, 3, 1, 2], [0, 0, 0, 0, 0, 0], [1, 2, 0, 3, 0, 1]]
    )
    log_p = -0.1 - 4 * torch.rand(rows.shape)
    return [
        {"log_p": torch.tensor([[-1.0, -2.0, -0.5, -4.0]]), "x": torch.tensor([[3, 1, 0, 2]])},
        {"log_p": log_p[:2], "x": rows[:2]},
        {"log_p": log_p, "x": rows},
        {"log_p": log_p[2:3], "x": rows[2:3]},
        {"log_p": log_p[3:], "x": rows[3:]},
    ]


def _prose_result(log_p: Tensor, x: Tensor) -> str:
    """Name the result, with the rows, and with their log-probabilities where they are few."""
    few = f" with log_p {log_p.tolist()}" if log_p.numel() <= 4 else ""
    return f"nats per character of the rows {x.tolist()}{few}"


@exercise(
    "16.12",
    "Nats per character",
    hints=(
        "Take one row by hand: “ab” in a row of six. Which of its six numbers are paid, and by how many is "
        "their sum divided?",
        "A symbol counts if no end stands before it. (x == 0).cumsum(1) counts the ends up to each symbol, "
        "itself included.",
        "The end itself is the first 0: the ends up to it, itself left out, are none.",
    ),
)
def _prose_nats_per_character(answer: Any) -> str:
    expect_function(
        answer,
        _prose_nats,
        _prose_texts(),
        mistakes={
            "the right symbols are counted now, and their sum is still divided by all places of the rows: "
            "the wider the padding, the better the model looks.": lambda log_p, x: (
                -(log_p * _prose_mask(x)).mean()
            ),
            "the sum is divided by the symbols that count. But the end does not count yet, and a model has "
            "to pay for it.": lambda log_p, x: -(log_p * (x != 0)).sum() / (x != 0).sum(),
            "the end does not count yet, and a model has to pay for it.": lambda log_p, x: (
                -(log_p * _prose_mask(x, end=False)).sum() / _prose_mask(x, end=False).sum()
            ),
            "the padding is counted too, and whatever a model says there.": lambda log_p, x: -log_p.mean(),
            "that is the mean over texts of each one's mean, in which a character of a short name counts for "
            "more. Divide all nats by all characters.": lambda log_p, x: (
                -((log_p * _prose_mask(x)).sum(1) / _prose_mask(x).sum(1)).mean()
            ),
            "the sum has the end now, and the symbols that it is divided by have not.": lambda log_p, x: (
                -(log_p * _prose_mask(x)).sum() / _prose_mask(x, end=False).sum()
            ),
            "the end is in the number of symbols, and not yet in the sum.": lambda log_p, x: (
                -(log_p * _prose_mask(x, end=False)).sum() / _prose_mask(x).sum()
            ),
            "as many symbols are counted as there are letters anywhere, and one more. But letters behind the "
            "first 0 are no part of the text: 3, 1, 0, 2 is “ca” and its end.": lambda log_p, x: (
                -(log_p * _prose_lengths(x)).sum() / _prose_lengths(x).sum()
            ),
            "letters behind the first 0 are counted: 3, 1, 0, 2 is “ca” and its end.": lambda log_p, x: (
                -(log_p * (_prose_mask(x) | (x != 0))).sum() / (_prose_mask(x) | (x != 0)).sum()
            ),
            "(x == 0).cumsum(1) <= 1 is true of the end, and of letters behind it, too: 3, 1, 0, 2 is “ca” "
            "and its end.": lambda log_p, x: (
                -(log_p * ((x == 0).cumsum(1) <= 1)).sum() / ((x == 0).cumsum(1) <= 1).sum()
            ),
            "that is nats per text: divide by the characters.": lambda log_p, x: (
                -(log_p * _prose_mask(x)).sum(1).mean()
            ),
            "the sign is missing: -log p is positive.": lambda log_p, x: -_prose_nats(log_p, x),
            "that is in bits: nats need no factor.": lambda log_p, x: _prose_nats(log_p, x) / math.log(2),
        },
        unchanged=_prose_wrong,
        name=_prose_result,
    )
    return "All nats by all symbols, with the ends and without the padding."


# 16.13, prose: what the numbers of a VAE say

_PROSE_MODELS = ("A", "B", "C", "D")
_PROSE_VERDICTS = (
    "collapsed",
    "heard, at a price in the ELBO",
    "paid for nothing",
    "better than without a code",
)
_PROSE_RIGHT = dict(
    zip(
        _PROSE_MODELS,
        ("heard, at a price in the ELBO", "collapsed", "better than without a code", "paid for nothing"),
        strict=True,
    )
)
_PROSE_WHY = {
    "A": "12.9 + 4.1 is 17.0, more than the 14.5 of the model without a code. And a wrong code costs 6.0.",
    "B": "the KL is 0, so q is the prior, and the reconstruction is that of the model without a code.",
    "C": "9.8 + 4.2 is 14.0: an upper bound of -log p(x) that is below 14.5.",
    "D": "the KL is 4.0, but the reconstruction is no better than without a code, and another name's code "
    "does as well: what the encoder writes is not read.",
}


@exercise(
    "16.13",
    "Read a collapse from its numbers",
    hints=(
        "Add the two terms: is the sum, -ELBO, above or below what the model without a code needs?",
        "Is the code heard? Then a wrong one costs something.",
        "A KL of some nats says that the encoder writes. It does not say that the decoder reads.",
    ),
)
def _prose_verdicts(answer: Any) -> str:
    given = choices(answer, _PROSE_MODELS, _PROSE_VERDICTS)
    off = [key for key in _PROSE_MODELS if given[key] != _PROSE_RIGHT[key]]
    if off:
        more = f" ({len(off)} of four are not right yet.)" if len(off) > 1 else ""
        raise Wrong(f"{off[0]} is not “{given[off[0]]}”: {_PROSE_WHY[off[0]]}{more}")
    return "A KL alone tells neither that a code is heard, nor that the model is better for it."


# 16.14, tables: the log-likelihood of a row with missing cells


def _table_cells(values: Tensor, level: Tensor, mean: Tensor, sigma: Tensor, logits: Tensor) -> Tensor:
    """Return log p of each of the three cells, of no meaning where they are hidden: (n, 3)."""
    real = -0.5 * ((values - mean) / sigma).square() - sigma.log() - 0.5 * math.log(2 * math.pi)
    kind = logits.log_softmax(1).gather(1, level.clamp(min=0)[:, None])
    return torch.cat([real, kind], dim=1)


def _table_row(
    values: Tensor, level: Tensor, shown: Tensor, mean: Tensor, sigma: Tensor, logits: Tensor
) -> Tensor:
    return _table_cells(values, level, mean, sigma, logits).where(shown, 0.0).sum(1)


def _table_zero_filled(
    values: Tensor, level: Tensor, shown: Tensor, mean: Tensor, sigma: Tensor, logits: Tensor
) -> Tensor:
    return _table_cells(values.nan_to_num(0.0), level, mean, sigma, logits).sum(1)


def _table_rows() -> list[dict[str, Tensor]]:
    """Return rows in which all patterns of hidden cells occur, then complete ones, then one with nothing."""
    hidden = torch.tensor(list(product((True, False), repeat=3)))
    made = []
    for shown in (hidden, torch.ones(4, 3, dtype=torch.bool), torch.zeros(1, 3, dtype=torch.bool)):
        n = len(shown)
        made.append(
            {
                "values": torch.randn(n, 2).where(shown[:, :2], torch.nan),
                "level": (torch.arange(n) % 3).where(shown[:, 2], -1),
                "shown": shown,
                "mean": torch.randn(n, 2),
                "sigma": torch.tensor([0.4, 1.7]),
                "logits": 2 * torch.randn(n, 3),
            }
        )
    return made


@exercise(
    "16.14",
    "A row with missing cells",
    hints=(
        "Given z the cells are independent. What does a cell that nobody saw add to the log-likelihood?",
        "Replace NaN first, by any number: values.nan_to_num(). Then three columns of log p for all rows, "
        "hidden or not, and choose: where(shown, 0.0) does.",
        "gather(1, level[:, None]) takes the level's log p out of logits.log_softmax(1); it wants no -1, and "
        "clamp(min=0) puts any level there, since it is not counted.",
    ),
)
def _table_log_prob(answer: Any) -> str:
    def with_cells(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
        def mistaken(
            values: Tensor, level: Tensor, shown: Tensor, mean: Tensor, sigma: Tensor, logits: Tensor
        ) -> Tensor:
            return change(_table_cells(values, level, mean, sigma, logits), shown, sigma)

        return mistaken

    cases = _table_rows()
    try:
        for case in cases:
            call(answer, *(value.clone() for value in case.values()))
    except Wrong as wrong:
        words = str(wrong.__cause__)
        if "within the support" in words or "out of bounds" in words or "argument value" in words:
            raise Wrong(
                "torch refuses what hidden cells hold: NaN is no value of a Gaussian, and -1 no level. Put "
                "something valid there first, such as 0; it is left out of the sum later."
            ) from wrong.__cause__
        raise
    expect_function(
        answer,
        _table_row,
        cases,
        mistakes={
            "rows with a hidden number are NaN, and NaN times 0 is NaN. Replace it in values.": with_cells(
                lambda cells, shown, sigma: (cells * shown).sum(1)
            ),
            "hidden cells count as if a 0, or the first level, had been seen in them. They are to add "
            "nothing.": _table_zero_filled,
            "a hidden level is counted, as if it were the first.": with_cells(
                lambda cells, shown, sigma: cells[:, :2].where(shown[:, :2], 0.0).sum(1) + cells[:, 2]
            ),
            "the sum over the observed cells was divided by how many they are. A likelihood is their "
            "product.": with_cells(
                lambda cells, shown, sigma: cells.where(shown, 0.0).sum(1) / shown.sum(1).clamp(min=1)
            ),
            "the mean over the observed cells was taken, and a row without any has none. The sum is "
            "wanted.": with_cells(lambda cells, shown, sigma: cells.where(shown, 0.0).sum(1) / shown.sum(1)),
            "the Gaussian has no normalizing constant: -log σ - ½ log 2π is missing for each number.": (
                with_cells(
                    lambda cells, shown, sigma: (
                        (cells + F.pad(sigma.log() + 0.5 * math.log(2 * math.pi), (0, 1)))
                        .where(shown, 0.0)
                        .sum(1)
                    )
                )
            ),
            "σ is taken for a variance. It is the standard deviation.": (
                lambda values, level, shown, mean, sigma, logits: _table_row(
                    values, level, shown, mean, sigma.sqrt(), logits
                )
            ),
            "a level adds its logit. Logits become log-probabilities by log_softmax.": lambda *given: (
                _table_row(*given) + given[5].logsumexp(1).where(given[2][:, 2], 0.0)
            ),
            "the level has the wrong sign: cross_entropy is minus log p.": with_cells(
                lambda cells, shown, sigma: (cells * torch.tensor([1.0, 1.0, -1.0])).where(shown, 0.0).sum(1)
            ),
            "a hidden level is counted: -1 takes the last one.": lambda *given: (
                _table_row(*given) + given[5].log_softmax(1)[:, -1].where(~given[2][:, 2], 0.0)
            ),
            "the level is missing: three cells add to a row.": with_cells(
                lambda cells, shown, sigma: cells.where(shown, 0.0)[:, :2].sum(1)
            ),
            "-log σ is missing: without it a wide Gaussian would be as high as a narrow one.": with_cells(
                lambda cells, shown, sigma: (
                    (cells + torch.cat([sigma.log(), torch.zeros(1)])).where(shown, 0.0).sum(1)
                )
            ),
            "the constant -½ log 2π of each observed real cell is missing.": with_cells(
                lambda cells, shown, sigma: (
                    (cells + torch.tensor([1.0, 1.0, 0.0]) * 0.5 * math.log(2 * math.pi))
                    .where(shown, 0.0)
                    .sum(1)
                )
            ),
            "the level adds its probability, not the logarithm of it.": with_cells(
                lambda cells, shown, sigma: (
                    torch.cat([cells[:, :2], cells[:, 2:].exp()], 1).where(shown, 0.0).sum(1)
                )
            ),
            "that is minus the log-likelihood.": lambda *given: -_table_row(*given),
            "one number for each row is wanted, and the batch is its mean.": lambda *given: _table_row(
                *given
            ).mean(),
        },
        name="the log-likelihood",
    )
    _expect_table_gradients(answer, cases[0])
    return "A row of which nothing was seen has the log-likelihood 0, and teaches nothing."


def _expect_table_gradients(answer: Any, case: Mapping[str, Tensor]) -> None:
    names = ("mean", "sigma", "logits")

    def gradients(function: Callable[..., Any]) -> tuple[Tensor | None, ...]:
        given = {name: value.clone().requires_grad_(name in names) for name, value in case.items()}
        total = tensor(function(*given.values())).sum()
        if not total.requires_grad:
            raise Wrong("the value is right, but no gradient passes: something on the way is detached.")
        return torch.autograd.grad(total, [given[name] for name in names], allow_unused=True)

    wanted = gradients(_table_trainable)
    for name, found, right in zip(names, gradients(lambda *given: call(answer, *given)), wanted, strict=True):
        expect(
            found is None or bool(found.isfinite().all()),
            "the values are right, but nothing can be trained with them: the gradient that reaches "
            f"{name} is NaN. A NaN that where() drops on the way forward comes back in the backward pass, as "
            "0 times NaN. Replace it in values, before the density.",
        )
        expect(
            found is not None and is_close(found, right, rtol=1e-3, atol=1e-5),
            f"the values are right, but the gradient that reaches {name} is not: something on the way is "
            "detached.",
        )


def _table_trainable(
    values: Tensor, level: Tensor, shown: Tensor, mean: Tensor, sigma: Tensor, logits: Tensor
) -> Tensor:
    return _table_row(values.nan_to_num(0.0), level, shown, mean, sigma, logits)


# 16.15, tables: three leaks


def _table_prepare(
    values: Tensor,
    shown: Tensor,
    train: Tensor,
    *,
    rows: bool = False,
    hidden: bool = False,
    left: bool = False,
    less: int = 1,
) -> Tensor:
    """Standardize and mask, with those of the three leaks that are asked for."""
    seen = torch.ones_like(shown)
    seen = seen if hidden else seen & shown
    seen = seen if rows else seen & train[:, None]
    count = seen.sum(0)
    mean = values.where(seen, 0.0).sum(0) / count
    scale = ((values - mean).square().where(seen, 0.0).sum(0) / (count - less)).sqrt()
    z = (values - mean) / scale
    return torch.stack([z if left else z.where(shown, 0.0), shown.to(z.dtype)], dim=1)


def _table_zero_first(values: Tensor, shown: Tensor, train: Tensor) -> Tensor:
    """Put 0 into hidden cells before standardizing, and count it."""
    return _table_prepare(values.where(shown, 0.0), shown, train, hidden=True)


def _table_zero_then_scaled(values: Tensor, shown: Tensor, train: Tensor) -> Tensor:
    """Standardize well, but hand over what a raw 0 has become."""
    seen = (shown & train[:, None]).double()
    mean = (values * seen).sum(0) / seen.sum(0)
    scale = (((values - mean).square() * seen).sum(0) / (seen.sum(0) - 1)).sqrt()
    return torch.stack([(values.where(shown, 0.0) - mean) / scale, shown.to(mean.dtype)], dim=1)


def _table_complete_rows(values: Tensor, shown: Tensor, train: Tensor) -> Tensor:
    """Take mean and scale of the training rows without a hidden cell."""
    known = values[train & shown.all(1)]
    z = ((values - known.mean(0)) / known.std(0)).where(shown, 0.0)
    return torch.stack([z, shown.to(z.dtype)], dim=1)


def _table_one_mean(values: Tensor, shown: Tensor, train: Tensor) -> Tensor:
    """Take one mean and one scale of all columns."""
    known = values[shown & train[:, None]]
    z = ((values - known.mean()) / known.std()).where(shown, 0.0)
    return torch.stack([z, shown.to(z.dtype)], dim=1)


def _table_mean_filled(values: Tensor, shown: Tensor, train: Tensor) -> Tensor:
    """Put the mean into hidden cells, and take the scale of all training rows then."""
    seen = shown & train[:, None]
    mean = values.where(seen, 0.0).sum(0) / seen.sum(0)
    z = ((values - mean) / values.where(shown, mean)[train].std(0)).where(shown, 0.0)
    return torch.stack([z, shown.to(z.dtype)], dim=1)


def _table_nan_scale(values: Tensor, shown: Tensor, train: Tensor) -> Tensor:
    """Take std of values in which hidden cells are NaN."""
    z = values / values.where(shown & train[:, None], torch.nan).std(0)
    return torch.stack([z.where(shown, 0.0), shown.to(z.dtype)], dim=1)


def _table_tables() -> list[dict[str, Tensor]]:
    """Return tables whose hidden cells, and whose test rows, have other values than the rest."""
    made = []
    for n, columns in ((9, 3), (14, 2)):
        shown = (torch.arange(n)[:, None] + torch.arange(columns)) % 5 != 0
        train = torch.arange(n) % 4 != 3
        values = 10 + 3 * torch.randn(n, columns) + 6 * (~shown).float() - 5 * (~train[:, None]).float()
        made.append({"values": values, "shown": shown, "train": train})
    return made


@exercise(
    "16.15",
    "Three leaks",
    hints=(
        "Change one number of the table to 1,000 in thought. If it is shown and in a test row, only that "
        "cell of the result may change. If it is hidden, nothing may.",
        "Test rows decide on mean and scale; hidden cells do; and what is in hidden cells is handed on. "
        "Those that may decide are shown & train[:, None].",
        "With a mask m of them: values.where(m, 0).sum(0) / m.sum(0) is a mean, and the same of the squared "
        "distances, over m.sum(0) - 1, a variance. Hidden cells become 0 after that.",
    ),
)
def _table_leak(answer: Any) -> str:
    tables = _table_tables()
    found = [
        tensor(call(answer, *(value.clone() for value in given.values())), name="values and mask", nan=True)
        for given in tables
    ]
    for rows, hidden, left in product((False, True), repeat=3):
        if 0 < (open_leaks := rows + hidden + left) < 3:
            explains = all(
                is_close(result, _table_prepare(*given.values(), rows=rows, hidden=hidden, left=left))
                for result, given in zip(found, tables, strict=True)
            )
            expect(
                not explains,
                f"{3 - open_leaks} of 3 leaks are closed. Change one number in thought, a hidden one or one "
                "of a test row: what of the result would still follow it, and should not?",
            )
    expect_function(
        answer,
        _table_prepare,
        tables,
        mistakes={
            "0 was put into hidden cells before standardizing, and drew the mean towards it.": (
                _table_zero_first
            ),
            "hidden cells hold what a raw 0 becomes by standardizing. Put the 0 there last.": (
                _table_zero_then_scaled
            ),
            "the variance is divided by n. std, as it was used, divides by n - 1.": lambda *given: (
                _table_prepare(*given, less=0)
            ),
            "mean and scale are those of rows without a hidden cell. All shown training cells count.": (
                _table_complete_rows
            ),
            "all columns share one mean and one scale. Each column has its own.": _table_one_mean,
            "hidden cells were filled by the mean before the scale was taken, which makes it too small.": (
                _table_mean_filled
            ),
            "std is NaN where any cell of the column is. Sum what is seen, and divide by their number.": (
                _table_nan_scale
            ),
        },
        unchanged=lambda *given: _table_prepare(*given, rows=True, hidden=True, left=True),
        name="values and mask",
    )
    return "Change a hidden number, and nothing changes: that is a test worth writing for any pipeline."
