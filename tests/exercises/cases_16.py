"""Answers to the exercises of chapter 16: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import logistic

from gm_lib.sound import griffin_lim, istft, stft

RIGHT = {}
WRONG = {}
REFUSED = {}


# 16.1, images: bits per dimension ------------------------------------------------------------------------

BITS, SCENE = 12_000 / 3_072 / math.log(2), math.log2(70_560) / 3_072

RIGHT["16.1"] = [(5.6, 0.0052), (5.635, 16 / 3_072), (torch.tensor(BITS), np.float64(SCENE)), [BITS, SCENE]]
WRONG["16.1"] = [
    ((12_000 / 3_072, SCENE), "in nats per dimension"),
    ((12_000 / 3_072 * math.log(2), SCENE), "multiplied by ln 2"),
    ((3 * BITS, SCENE), "for each pixel. A pixel has three values"),
    ((3_072 * BITS, SCENE), "that of the whole image"),
    ((BITS + 8, SCENE), "8 was added"),
    ((BITS, math.log(70_560) / 3_072), "floor without grain is in nats"),
    ((BITS, math.log2(70_560)), "floor without grain is that of the whole image"),
    ((BITS, 3 * SCENE), "floor without grain is for each pixel"),
    ((BITS, 8), "the values hang together"),
    ((BITS, 0), "Which rendering it is"),
    ((BITS, 70_560 / 3_072), "log2 is missing"),
    ((BITS, 0.0036), "floor without grain is in nats"),
    ((SCENE, BITS), "exchanged"),
    ((BITS, 0.005), "two significant"),
    ((4.4, SCENE), "of_model is 4.4"),
    ((BITS, "few"), "of_scene should be a number"),
    (BITS, "wants both numbers"),
]


# 16.2, images: shuffled pixels ---------------------------------------------------------------------------


def ran(**changes):
    return lambda: {"histogram": (6.5, 6.5), "png": (3.0, 7.3)} | changes


RIGHT["16.2"] = [
    ({"histogram": "the same", "png": "more"}, ran()),
    (("The same", "MORE"), ran()),
]
WRONG["16.2"] = [
    ({"histogram": "more", "png": "more"}, ran(), "its histogram goes with it"),
    ({"histogram": "the same", "png": "the same"}, ran(), "the neighbours know nothing"),
    ({"histogram": "the same", "png": "fewer"}, ran(), "needs more, not fewer"),
    ({"histogram": "more", "png": "fewer"}, ran(), 'And "png" needs more'),
    ({"histogram": "the same", "png": "many"}, ran(), "none of the names"),
    ({"histogram": "the same"}, ran(), "is missing"),
    ({"histogram": "the same", "png": "more"}, ran(png=(3.0, 3.0)), 'for "png": was it changed?'),
    ({"histogram": "the same", "png": "more"}, lambda: 3.0, "does not return its two pairs"),
]
WRONG["16.2"] = [((prediction, experiment), piece) for prediction, experiment, piece in WRONG["16.2"]]


# 16.3, images: three bugs --------------------------------------------------------------------------------


def with_bugs(log_density, x, dims=None, total=torch.mean, more=8.0):
    dims = x[0].numel() if dims is None else dims(x)
    return (-total(log_density) / dims / math.log(2) + more).item()


def by_library(log_density, x):
    from gm_lib.evaluation import bits_per_dim

    return bits_per_dim(log_density, x[0].numel(), bin_width=1 / 256).mean()


def from_each(log_density, x):
    per_value = log_density / math.prod(x.shape[1:]) - math.log(256)
    return -(per_value.double() / math.log(2)).mean().item()


def without_channels(x):
    return x.shape[-1] * x.shape[-2]


RIGHT["16.3"] = [by_library, from_each]
WRONG["16.3"] = [
    (
        lambda d, x: with_bugs(d, x, without_channels),
        "(2 of 3). Look at one thing: a dimension",
    ),
    (lambda d, x: with_bugs(d, x, total=torch.sum), "(2 of 3). Look at one thing: the batch"),
    (lambda d, x: with_bugs(d, x, more=0), "that adds 8 bits"),
    (lambda d, x: with_bugs(d, x, without_channels, torch.sum), "(1 of 3)"),
    (lambda d, x: with_bugs(d, x, more=math.log2(255)), "taken for 1/255"),
    (lambda d, x: with_bugs(d, x, more=-8), "the wrong sign"),
    (lambda d, x: with_bugs(d, x, more=math.log(256)), "ln 256 was added"),
    (lambda d, x: with_bugs(d, x) * math.log(2), "in nats: divide by ln 2"),
    (lambda d, x: with_bugs(d, x, more=8 / x[0].numel()), "shared out over the dimensions"),
    (lambda d, x: with_bugs(d, x, more=8 / math.log(2)), "before the division by ln 2"),
    (lambda d, x: with_bugs(d, x, lambda x: 3_072), "3,072 is written"),
    (lambda d, x: with_bugs(d, x, lambda x: x.numel()), "counts the examples"),
    (lambda d, x: 8.0, "it should be"),
    (lambda d, x: d / x[0].numel(), "should be a number"),
]


# 16.4, images: the discretized logistic ------------------------------------------------------------------


def stable(level, location, scale):
    upper, lower = (level + 0.5 - location) / scale, (level - 0.5 - location) / scale
    middle = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-1 / scale))
    return torch.where(
        level == 0, F.logsigmoid(upper), torch.where(level == 255, F.logsigmoid(-lower), middle)
    )


def by_scipy(level, location, scale):
    level, location, scale = (np.asarray(v, dtype=np.float64) for v in (level, location, scale))
    upper = np.where(level == 255, np.inf, (level + 0.5 - location) / scale)
    lower = np.where(level == 0, -np.inf, (level - 0.5 - location) / scale)
    flip = lower > 0  # the tail on the right, as its mirror image
    a, b = np.where(flip, -upper, lower), np.where(flip, -lower, upper)
    return torch.from_numpy(logistic.logcdf(b) + np.log1p(-np.exp(logistic.logcdf(a) - logistic.logcdf(b))))


def mirrored(level, location, scale):
    """The difference of two sigmoids on the side where both are small, in double precision."""
    level, location, scale = (v.double() for v in (level, location, scale))
    upper = torch.where(level == 255, math.inf, (level + 0.5 - location) / scale)
    lower = torch.where(level == 0, -math.inf, (level - 0.5 - location) / scale)
    right = (torch.sigmoid(-lower) - torch.sigmoid(-upper)).log()
    return torch.where(lower > 0, right, (torch.sigmoid(upper) - torch.sigmoid(lower)).log())


def plain(level, location, scale, half=0.5, low=True, high=True):
    upper = torch.sigmoid((level + half - location) / scale)
    lower = torch.sigmoid((level - half - location) / scale)
    if high:
        upper = torch.where(level == 255, 1.0, upper)
    if low:
        lower = torch.where(level == 0, 0.0, lower)
    return (upper - lower).log()


def small_side(level, location, scale):
    """The difference on the side where both sigmoids are small, in single precision: they underflow."""
    upper, lower = (level + 0.5 - location) / scale, (level - 0.5 - location) / scale
    right = (torch.sigmoid(-lower) - torch.sigmoid(-upper)).log()
    inside = torch.where(level > location, right, (torch.sigmoid(upper) - torch.sigmoid(lower)).log())
    return torch.where(
        level == 0, F.logsigmoid(upper), torch.where(level == 255, F.logsigmoid(-lower), inside)
    )


def clamped(level, location, scale):
    return plain(level, location, scale).exp().clamp_min(1e-12).log()


def with_density(level, location, scale):
    p = plain(level, location, scale).exp()
    z = (level - location) / scale
    return torch.where(p > 1e-5, p.clamp_min(1e-12).log(), -z - scale.log() - 2 * F.softplus(-z))


def exchanged(level, location, scale):
    upper, lower = (level + 0.5 - location) / scale, (level - 0.5 - location) / scale
    inside = stable(level, location, scale)
    return torch.where(
        level == 0, F.logsigmoid(-lower), torch.where(level == 255, F.logsigmoid(upper), inside)
    )


def difference_of_logs(level, location, scale):
    upper, lower = (level + 0.5 - location) / scale, (level - 0.5 - location) / scale
    return F.logsigmoid(upper) - F.logsigmoid(lower)


RIGHT["16.4"] = [by_scipy, mirrored]
WRONG["16.4"] = [
    (plain, "two sigmoids that round to the same number"),
    (lambda k, m, s: plain(k, m, s, low=False, high=False), "both outer bins"),
    (lambda k, m, s: plain(k, m, s, low=False), "its lower edge is missing"),
    (lambda k, m, s: plain(k, m, s, high=False), "its upper edge is missing"),
    (lambda k, m, s: plain(k, m, s, half=1.0), "twice as wide"),
    (lambda k, m, s: stable(k, m, s).exp(), "take their logarithm"),
    (lambda k, m, s: -(k - m) / s - s.log() - 2 * F.softplus(-(k - m) / s), "the density of the logistic"),
    (lambda k, m, s: stable(k, m, 1 / s), "divide"),
    (lambda k, m, s: plain(k + 0.5, m, s), "centred on its level"),
    (small_side, "both to 1 or both to 0"),
    (clamped, "invents a probability"),
    (with_density, "the density stands in"),
    (exchanged, "outer bins are exchanged"),
    (difference_of_logs, "logarithm of a quotient"),
    (lambda k, m, s: stable(k, m, s) / math.log(2), "to the base 2"),
    (lambda k, m, s: plain(k, m, s, half=0.5 / 255), "not in units of 255"),
    (lambda k, m, s: stable(k, m, s) - torch.where(stable(k, m, s) < -20, 1.0, 0.0), "right near"),
    (lambda k, m, s: stable(k, m, s).sum(), "shape (256,)"),
    (lambda k, m, s: stable(k, m, s) - 1, "probabilities add up to"),
]


# 16.5, speech: how large is the picture? -----------------------------------------------------------------

SIZES = {
    "frames": 95,
    "rows": 513,
    "highest": 8000,
    "spacing": 15.625,
    "power": 0.001,
    "amplitude": 0.0316,
}
RIGHT["16.5"] = [
    SIZES | {"spacing": torch.tensor(15.625), "amplitude": np.sqrt(0.001), "frames": 95.0},
    SIZES | {"spacing": 15.63, "amplitude": 0.032},
]
WRONG["16.5"] = [
    (SIZES | {key: value}, piece)
    for key, value, piece in [
        ("frames", 94, "one frame before the first"),
        ("frames", 93, "count both ends"),
        ("frames", 91, "wholly within the sound"),
        ("frames", 23.5, "frames overlap"),
        ("frames", 188, "the hop is 256 here"),
        ("frames", 48, "count for this recording"),
        ("rows", 257, "window of 512"),
        ("rows", 64, "not mel bands"),
        ("highest", 8, "in kHz"),
        ("rows", 512, "both ends counted"),
        ("rows", 1024, "repeat those below"),
        ("highest", 16000, "Nyquist"),
        ("highest", 4000, "16,000 here"),
        ("spacing", 31.25, "up to half the rate only"),
        ("rows", 1023, "repeat those below"),
        ("spacing", 62.5, "the hop has nothing to do with it"),
        ("spacing", 15.5, "Was it rounded?"),
        ("power", 0.0316, "that is for the amplitude"),
        ("power", 1e-6, "the square of it"),
        ("power", 0.5, "how bright the cell is"),
        ("power", 1000, "below, not above"),
        ("amplitude", 0.001, "that is for the power"),
        ("amplitude", 1e-6, "take the root"),
        ("amplitude", 0.5, "how bright the cell is"),
        ("amplitude", 0.2, '"amplitude" is not 0.2'),
        ("power", "little", "should be a number"),
    ]
]
WRONG["16.5"] += [
    ({"frames": 95}, "a dictionary with the keys"),
    (list(SIZES.values()), "a dictionary with the keys"),
]


# 16.6, speech: what the picture does not see -------------------------------------------------------------

SEEN = {
    "quieter": "same",
    "upside down": "same",
    "later": "same",
    "backwards": "changed",
    "fading": "changed",
}


def heard(**changes):
    found = {"quieter": 0.0, "upside down": 0.0, "later": 0.008, "backwards": 0.3, "fading": 0.15}
    return lambda: found | changes


RIGHT["16.6"] = [(SEEN, heard()), (list(SEEN.values()), heard())]
WRONG["16.6"] = [
    ((SEEN | {"quieter": "changed"}, heard()), "a factor for the whole recording cancels"),
    ((SEEN | {"upside down": "changed"}, heard()), "the square of an absolute value"),
    ((SEEN | {"later": "changed"}, heard()), "turns the phases"),
    ((SEEN | {"backwards": "same"}, heard()), "their order is turned round"),
    ((SEEN | {"fading": "same"}, heard()), "30 dB darker"),
    ((SEEN | {"fading": "same", "later": "changed"}, heard()), "(2 of five are not right yet.)"),
    ((SEEN, heard(later=0.2)), "was it changed?"),
    ((SEEN, lambda: 1.0), "does not return its five numbers"),
    ((heard(), SEEN), "wants both in this order"),
    ((SEEN | {"fading": "maybe"}, heard()), "none of the names"),
]


# 16.7, speech: pictures that depend on their company -----------------------------------------------------


def decibels(power, over=(-2, -1), factor=10, added=0.0):
    level = factor * (power + added).log10()
    return (1 + (level - level.amax(over, keepdim=True)) / 60).clamp(min=0)


def one_by_one(power):
    return torch.stack([(1 + (one / one.max()).log10() / 6).clamp(min=0) for one in power])


def by_ratio(power):
    loudest = power.flatten(1).amax(1).view(-1, 1, 1, 1)
    return (1 + 10 * (power / loudest).clamp(min=1e-30).log10() / 60).relu()


RIGHT["16.7"] = [one_by_one, by_ratio]
WRONG["16.7"] = [
    (lambda power: decibels(power, -2), "There is a second bug"),
    (lambda power: decibels(power, -1), "each band is measured"),
    (lambda power: decibels(power, (0, 1, 2, 3)), "that of the whole batch"),
    (lambda power: decibels(power, (0, 1, 2, 3), added=1e-3), "and a number is still added"),
    (lambda power: decibels(power, added=1e-3), "0.001 is still added"),
    (lambda power: decibels(power, added=1e-10), "1e-10 is still added"),
    (lambda power: decibels(power, factor=20), "20 log₁₀ is for amplitudes"),
    (lambda power: decibels(power) - 0.1, "the pictures should be"),
    (lambda power: power, "the pictures should be"),
]


# 16.8, speech: a step towards the phases -----------------------------------------------------------------


def by_division(waveform, magnitude):
    spectrum = stft(waveform)
    return istft(magnitude * spectrum / spectrum.abs().clamp(min=1e-12))


def by_exponential(waveform, magnitude):
    return istft(magnitude * torch.exp(1j * torch.angle(stft(waveform))))


RIGHT["16.8"] = [by_division, by_exponential]
WRONG["16.8"] = [
    (lambda waveform, magnitude: waveform, "its own magnitudes were kept"),
    (lambda waveform, magnitude: istft(magnitude + 0j), "all phases are 0 now"),
    (lambda waveform, magnitude: istft(magnitude * stft(waveform)), "without the division"),
    (lambda waveform, magnitude: istft(torch.polar(magnitude, -stft(waveform).angle())), "a conjugate"),
    (
        lambda waveform, magnitude: istft(
            torch.polar((magnitude + stft(waveform).abs()) / 2, stft(waveform).angle())
        ),
        "do not average them",
    ),
    (lambda waveform, magnitude: istft(torch.polar(magnitude.sqrt(), stft(waveform).angle())), "no powers"),
    (lambda waveform, magnitude: istft(magnitude * stft(waveform) / stft(waveform).abs()), "0 / 0"),
    (lambda waveform, magnitude: magnitude * stft(waveform).sgn(), "istft has to come last"),
    (lambda waveform, magnitude: griffin_lim(magnitude), "one step made"),
    (lambda waveform, magnitude: griffin_lim(magnitude, steps=8), "the waveform should be"),
    (lambda waveform, magnitude: istft(torch.polar(magnitude**2, stft(waveform).angle())), "no square"),
    (
        lambda waveform, magnitude: istft(magnitude * stft(waveform) / (stft(waveform).abs() + 1e-3)),
        "makes weak frequencies weaker",
    ),
    (lambda waveform, magnitude: math.pi, "should have shape"),
]


# 16.9, music: nats per time step -------------------------------------------------------------------------


def counted_steps(log_p, lengths):
    return torch.arange(log_p.shape[1]) < lengths[:, None]


def piece_by_piece(log_p, lengths):
    total = sum(log_p[i, :n].sum() for i, n in enumerate(lengths.tolist()))
    return -total / sum(lengths.tolist())


def by_selection(log_p, lengths):
    return -log_p[counted_steps(log_p, lengths)].mean()


def means_of_pieces(log_p, lengths):
    return torch.stack([-log_p[i, :n].mean() for i, n in enumerate(lengths.tolist())]).mean()


RIGHT["16.9"] = [piece_by_piece, by_selection]
WRONG["16.9"] = [
    (means_of_pieces, "each piece still counts alike"),
    (
        lambda p, n: -p[:, 1:].where(counted_steps(p, n)[:, 1:], 0.0).sum() / (n - 1).sum(),
        "step 0 is still left out",
    ),
    (lambda p, n: -p.mean(), "they are padding"),
    (lambda p, n: -p[:, 1:].where(counted_steps(p, n)[:, 1:], 0.0).sum() / n.sum(), "and yet counted"),
    (lambda p, n: by_selection(p, n) * n.sum() / len(n), "number of pieces"),
    (lambda p, n: -(p * counted_steps(p, n)).mean(), "padding included"),
    (lambda p, n: -by_selection(p, n), "the sign"),
    (lambda p, n: by_selection(p, n) + 1, "nats per step should be"),
    (lambda p, n: -p.sum() / n.sum(), "has padding in it"),
    (
        lambda p, n: -p.where(torch.arange(p.shape[1]) <= n[:, None], 0.0).sum() / n.sum(),
        "one step of padding is summed",
    ),
    (lambda p, n: -p[torch.arange(p.shape[1]) <= n[:, None]].mean(), "one step of padding counts"),
    (lambda p, n: -(p * counted_steps(p, n)).sum() / n.sum(), "do not multiply"),
]


# 16.10, music: what independence costs -------------------------------------------------------------------

PRICES = {"coins": 61.0, "independent": 16.3, "best": 14.7}

RIGHT["16.10"] = [
    PRICES,
    {
        "coins": np.float64(60.997),
        "independent": torch.tensor(16.268),
        "best": math.log(88 * 87 * 86 * 85 / 24),
    },
]
WRONG["16.10"] = [
    (PRICES | {"coins": 88.0}, '"coins": that is in bits'),
    (PRICES | {"coins": math.log(2)}, "that is one key"),
    (PRICES | {"coins": 4 * math.log(2)}, "a key that is off"),
    (PRICES | {"independent": 16.27 / math.log(2)}, '"independent": that is in bits'),
    (PRICES | {"independent": 16.27 / 88}, "that is one key"),
    (PRICES | {"independent": 4 * math.log(22)}, "the four keys that sound"),
    (PRICES | {"independent": -84 * math.log(84 / 88)}, "the keys that are silent"),
    (PRICES | {"best": math.log2(math.comb(88, 4))}, '"best": that is in bits'),
    (PRICES | {"best": 4 * math.log(88)}, "lets two be one key"),
    (PRICES | {"best": math.log(88 * 87 * 86 * 85)}, "4! of them"),
    (PRICES | {"best": 14.66 / 4}, "that is one note"),
    (PRICES | {"best": 12.0}, '"best" is not 12.'),
    (PRICES | {"best": 15}, '"best" is not 15: give three digits'),
    (PRICES | {"best": -14.7}, "not negative"),
    (PRICES | {"independent": 14.66, "best": 16.27}, "the wrong way round"),
    (PRICES | {"independent": math.log(88) + 87 * math.log(88 / 87)}, "one key on of 88"),
    ({"coins": 61.0}, "a dictionary with the keys"),
]


# 16.11, music: parallel fifths ---------------------------------------------------------------------------


def by_pairs(before, now):
    pairs = [(i, j) for j in range(4) for i in range(j)]
    return sum(
        (before[j] - before[i] - 7) % 12 == 0
        and (now[j] - now[i] - 7) % 12 == 0
        and before[i] != now[i]
        and before[j] != now[j]
        for i, j in pairs
    )


def by_tensors(before, now):
    gaps = [torch.tensor(x)[None, :] - torch.tensor(x)[:, None] for x in (before, now)]
    moved = torch.tensor(before) != torch.tensor(now)
    upper = torch.ones(4, 4).triu(1).bool()
    fifths = (gaps[0] % 12 == 7) & (gaps[1] % 12 == 7) & upper
    return (fifths & moved[:, None] & moved[None, :]).sum()


def pairs_where(rule, before, now, pairs=None):
    pairs = pairs or [(i, j) for i in range(4) for j in range(i + 1, 4)]
    return sum(bool(rule(before[i], before[j], now[i], now[j])) for i, j in pairs)


def fifth(low, high):
    return (high - low) % 12 == 7


RIGHT["16.11"] = [by_pairs, by_tensors]
WRONG["16.11"] = [
    (
        lambda b, n: pairs_where(lambda a, c, d, e: c - a == 7 and e - d == 7 and a != d and c != e, b, n),
        "a fifth and an octave",
    ),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: fifth(a, c) and fifth(d, e) and a != d and c != e,
            b,
            n,
            [(0, 1), (1, 2), (2, 3)],
        ),
        "all six pairs",
    ),
    (lambda b, n: pairs_where(lambda a, c, d, e: fifth(a, c) and fifth(d, e), b, n), "stays where it was"),
    (
        lambda b, n: pairs_where(lambda a, c, d, e: fifth(a, c) and fifth(d, e) and (a != d or c != e), b, n),
        "both must have",
    ),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: (c - a) % 12 == 5 == (e - d) % 12 and a != d and c != e, b, n
        ),
        "5 are a fourth",
    ),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: (c - a) % 12 == 0 == (e - d) % 12 and a != d and c != e, b, n
        ),
        "octaves were counted",
    ),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: fifth(a, c) and c - a == e - d and a != d and c != e, b, n
        ),
        "whole octaves do not matter",
    ),
    (lambda b, n: by_pairs(b, n) > 0, "not whether there are any"),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: fifth(a, c) and fifth(d, e) and (d - a) % 12 != 0 and (e - c) % 12 != 0, b, n
        ),
        "leap an octave",
    ),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: fifth(a, c) and fifth(d, e) and (d - a) * (e - c) > 0, b, n
        ),
        "the direction does not matter",
    ),
    (lambda b, n: by_pairs((b[0], 0, 1, b[3]), (n[0], 0, 1, n[3])), "only the bass and the soprano"),
    (lambda b, n: 2 * by_pairs(b, n), "counted twice"),
    (lambda b, n: 0, "you find none"),
    (
        lambda b, n: pairs_where(
            lambda a, c, d, e: (c - a) % 7 == 0 == (e - d) % 7 and a != d and c != e, b, n
        ),
        "multiples of 7",
    ),
    (lambda b, n: 9, "the number of parallel fifths should be"),
]


# 16.12, prose: nats per character ------------------------------------------------------------------------


def prose_mask(x):
    return torch.stack([torch.arange(len(row)) <= length_of(row) for row in x])


def counted_letters(x):
    return torch.stack([torch.arange(len(row)) <= int((row != 0).sum()) for row in x])


def length_of(row):
    ends = (row == 0).nonzero()
    return int(ends[0]) if len(ends) else len(row)


def row_by_row(log_p, x):
    nats, symbols = 0.0, 0
    for values, row in zip(log_p, x, strict=True):
        n = min(length_of(row) + 1, len(row))
        nats, symbols = nats - values[:n].sum(), symbols + n
    return nats / symbols


def by_product(log_p, x):
    going_on = torch.cumprod((x != 0).long(), 1)
    mine = torch.cat([torch.ones_like(going_on[:, :1]), going_on[:, :-1]], 1).bool()
    return -log_p[mine].mean()


RIGHT["16.12"] = [row_by_row, by_product]
WRONG["16.12"] = [
    (lambda log_p, x: -(log_p * prose_mask(x)).mean(), "still divided by all places"),
    (lambda log_p, x: -(log_p * (x != 0)).sum() / (x != 0).sum(), "the end does not count yet"),
    (lambda log_p, x: -log_p.mean(), "padding is counted too"),
    (
        lambda log_p, x: -((log_p * prose_mask(x)).sum(1) / prose_mask(x).sum(1)).mean(),
        "a character of a short name counts for more",
    ),
    (
        lambda log_p, x: -(log_p * prose_mask(x)).sum() / (prose_mask(x) & (x != 0)).sum(),
        "divided by have not",
    ),
    (
        lambda log_p, x: -(log_p * (prose_mask(x) & (x != 0))).sum() / prose_mask(x).sum(),
        "not yet in the sum",
    ),
    (lambda log_p, x: -log_p[counted_letters(x)].mean(), "letters anywhere, and one more"),
    (lambda log_p, x: -log_p[(x != 0) | prose_mask(x)].mean(), "letters behind the first 0"),
    (lambda log_p, x: -log_p[(x == 0).cumsum(1) <= 1].mean(), "cumsum(1) <= 1"),
    (lambda log_p, x: -(log_p * prose_mask(x)).sum(1).mean(), "nats per text"),
    (lambda log_p, x: (log_p * prose_mask(x)).sum() / prose_mask(x).sum(), "the sign is missing"),
    (lambda log_p, x: row_by_row(log_p, x) / math.log(2), "in bits"),
    (
        lambda log_p, x: row_by_row(log_p, x) + 0.1,
        "[[3, 1, 0, 2]] with log_p [[-1.0, -2.0, -0.5, -4.0]] should be",
    ),
]


# 16.13, prose: what the numbers of a VAE say -------------------------------------------------------------

VERDICTS = {
    "A": "heard, at a price in the ELBO",
    "B": "collapsed",
    "C": "better than without a code",
    "D": "paid for nothing",
}

RIGHT["16.13"] = [VERDICTS, list(VERDICTS.values())]
WRONG["16.13"] = [
    (VERDICTS | {"A": "better than without a code"}, "12.9 + 4.1 is 17.0"),
    (VERDICTS | {"B": "paid for nothing"}, "q is the prior"),
    (VERDICTS | {"C": "heard, at a price in the ELBO"}, "9.8 + 4.2 is 14.0"),
    (VERDICTS | {"D": "heard, at a price in the ELBO"}, "is not read"),
    (VERDICTS | {"D": "heard, at a price in the ELBO", "C": "collapsed"}, "(2 of four are not right yet.)"),
    (VERDICTS | {"A": "fine"}, "none of the names"),
    ({"A": "collapsed"}, "is missing"),
]


# 16.14, tables: the log-likelihood of a row with missing cells -------------------------------------------


def by_rows(values, level, shown, mean, sigma, logits):
    rows = []
    for i in range(len(values)):
        total = 0 * logits[i, 0]
        for j in range(2):
            if shown[i, j]:
                total = total + torch.distributions.Normal(mean[i, j], sigma[j]).log_prob(values[i, j])
        if shown[i, 2]:
            total = total + torch.distributions.Categorical(logits=logits[i]).log_prob(level[i])
        rows.append(total)
    return torch.stack(rows)


def filled_first(values, level, shown, mean, sigma, logits):
    values, level = torch.where(shown[:, :2], values, mean), level.clamp(min=0)
    real = torch.distributions.Normal(mean, sigma).log_prob(values) * shown[:, :2]
    return real.sum(1) - F.cross_entropy(logits, level, reduction="none") * shown[:, 2]


def cells_of(values, level, mean, sigma, logits):
    real = torch.distributions.Normal(mean, sigma, validate_args=False).log_prob(values)
    return torch.cat([real, logits.log_softmax(1).gather(1, level.clamp(min=0)[:, None])], 1)


def cells_changed(change):
    def answer(values, level, shown, mean, sigma, logits):
        return change(cells_of(values, level, mean, sigma, logits), shown, sigma)

    return answer


def observed(cells, shown):
    return cells.where(shown, 0.0).sum(1)


REFUSED["16.14"] = {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"}
RIGHT["16.14"] = [by_rows, filled_first]
WRONG["16.14"] = [
    (cells_changed(lambda cells, shown, sigma: (cells * shown).sum(1)), "NaN times 0 is NaN"),
    (cells_changed(lambda cells, shown, sigma: observed(cells, shown)), "0 times NaN"),
    (
        lambda values, level, shown, mean, sigma, logits: torch.distributions.Normal(mean, sigma).log_prob(
            values
        ),
        "torch refuses what hidden cells hold",
    ),
    (
        lambda values, level, shown, mean, sigma, logits: logits.log_softmax(1).gather(1, level[:, None]),
        "torch refuses what hidden cells hold",
    ),
    (
        lambda values, level, shown, mean, sigma, logits: torch.distributions.Categorical(
            logits=logits
        ).log_prob(level),
        "torch refuses what hidden cells hold",
    ),
    (lambda *given: by_rows(*given).detach(), "no gradient passes"),
    (lambda *given: by_rows(*given[:4], given[4].detach(), given[5]), "reaches sigma is not"),
    (
        cells_changed(
            lambda cells, shown, sigma: observed(
                cells + F.pad(sigma.log() + 0.5 * math.log(2 * math.pi), (0, 1)), shown
            )
        ),
        "no normalizing constant",
    ),
    (lambda *given: by_rows(*given[:4], given[4].sqrt(), given[5]), "taken for a variance"),
    (
        cells_changed(
            lambda cells, shown, sigma: observed(torch.cat([cells[:, :2], -cells[:, 2:]], 1), shown)
        ),
        "wrong sign",
    ),
    (lambda *given: by_rows(*given) + given[5].logsumexp(1) * given[2][:, 2], "adds its logit"),
    (
        lambda *given: by_rows(*given) + given[5].log_softmax(1)[:, -1] * ~given[2][:, 2],
        "-1 takes the last",
    ),
    (cells_changed(lambda cells, shown, sigma: observed(cells[:, :2], shown[:, :2])), "level is missing"),
    (
        cells_changed(lambda cells, shown, sigma: observed(cells, shown) / shown.sum(1)),
        "a row without any has none",
    ),
    (
        lambda values, level, shown, mean, sigma, logits: cells_of(
            values.nan_to_num(0.0), level, mean, sigma, logits
        ).sum(1),
        "as if a 0, or the first level",
    ),
    (
        cells_changed(lambda cells, shown, sigma: cells[:, :2].where(shown[:, :2], 0.0).sum(1) + cells[:, 2]),
        "a hidden level is counted",
    ),
    (
        cells_changed(lambda cells, shown, sigma: observed(cells, shown) / shown.sum(1).clamp(min=1)),
        "A likelihood is their product",
    ),
    (
        cells_changed(
            lambda cells, shown, sigma: observed(cells + torch.cat([sigma.log(), torch.zeros(1)]), shown)
        ),
        "-log σ is missing",
    ),
    (
        cells_changed(
            lambda cells, shown, sigma: (
                observed(cells, shown) + 0.5 * math.log(2 * math.pi) * shown[:, :2].sum(1)
            )
        ),
        "-½ log 2π",
    ),
    (
        cells_changed(
            lambda cells, shown, sigma: observed(torch.cat([cells[:, :2], cells[:, 2:].exp()], 1), shown)
        ),
        "not the logarithm of it",
    ),
    (lambda *given: -by_rows(*given), "minus the log-likelihood"),
    (lambda *given: by_rows(*given).mean(), "one number for each row"),
    (lambda *given: by_rows(*given) + 1, "the log-likelihood"),
]


# 16.15, tables: three leaks ------------------------------------------------------------------------------


def by_columns(values, shown, train):
    made = []
    for one, there in zip(values.T, shown.T, strict=True):
        seen = one[there & train]
        made.append(torch.where(there, (one - seen.mean()) / seen.std(), 0.0))
    return torch.stack([torch.stack(made, 1), shown.to(values.dtype)], 1)


def by_nan(values, shown, train):
    known = torch.where(shown & train[:, None], values, torch.nan)
    mean, n = known.nanmean(0), (~known.isnan()).sum(0)
    scale = ((known - mean).square().nanmean(0) * n / (n - 1)).sqrt()
    return torch.stack([(values - mean) / scale * shown, shown.to(values.dtype)], 1)


def standardized(values, shown, train, *, seen, left=False, correction=1):
    made = []
    for one, which in zip(values.T, seen.T, strict=True):
        made.append((one - one[which].mean()) / one[which].std(correction=correction))
    z = torch.stack(made, 1)
    return torch.stack([z if left else z.where(shown, 0.0), shown.to(z.dtype)], 1)


def with_mask(z, shown):
    return torch.stack([z.where(shown, 0.0), shown.to(z.dtype)], 1)


def one_mean(values, shown, train):
    known = values[shown & train[:, None]]
    return with_mask((values - known.mean()) / known.std(), shown)


def mean_filled(values, shown, train):
    mean = torch.where(shown & train[:, None], values, torch.nan).nanmean(0)
    return with_mask((values - mean) / torch.where(shown, values, mean)[train].std(0), shown)


def nan_scale(values, shown, train):
    known = torch.where(shown & train[:, None], values, torch.nan)
    return with_mask((values - known.nanmean(0)) / known.std(0), shown)


RIGHT["16.15"] = [by_columns, by_nan]
WRONG["16.15"] = [
    (
        lambda values, shown, train: standardized(values, shown, train, seen=shown),
        "2 of 3 leaks are closed",
    ),
    (
        lambda values, shown, train: standardized(
            values, shown, train, seen=train[:, None].expand(shown.shape)
        ),
        "2 of 3 leaks are closed",
    ),
    (
        lambda values, shown, train: standardized(
            values, shown, train, seen=shown & train[:, None], left=True
        ),
        "2 of 3 leaks are closed",
    ),
    (
        lambda values, shown, train: standardized(values, shown, train, seen=shown, left=True),
        "1 of 3 leaks are closed",
    ),
    (
        lambda values, shown, train: standardized(
            values.where(shown, 0.0), shown, train, seen=train[:, None].expand(shown.shape)
        ),
        "drew the mean towards it",
    ),
    (
        lambda values, shown, train: standardized(
            values, shown, train, seen=shown & train[:, None], correction=0
        ),
        "divides by n - 1",
    ),
    (
        lambda values, shown, train: standardized(
            values.where(shown, 0.0), shown, train, seen=shown & train[:, None], left=True
        ),
        "Put the 0 there last",
    ),
    (lambda values, shown, train: by_columns(values, shown, train)[:, 0], "should have shape"),
    (
        lambda values, shown, train: standardized(
            values, shown, train, seen=(train & shown.all(1))[:, None].expand(shown.shape)
        ),
        "rows without a hidden cell",
    ),
    (one_mean, "all columns share one mean"),
    (mean_filled, "filled by the mean before"),
    (nan_scale, "std is NaN where"),
]
