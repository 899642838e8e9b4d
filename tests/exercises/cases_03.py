"""Answers to the exercises of chapter 3: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
from scipy.stats import entropy, laplace, wasserstein_distance
from torch.distributions import Categorical, Laplace, MixtureSameFamily, Normal, kl_divergence
from torch.nn.functional import kl_div

RIGHT = {}
WRONG = {}

# 3.1: the most likely Laplace distribution ------------------------------------------------------------


def about(m, b):
    return lambda x: (m(x), b(x - m(x)))


def far(d):
    return d.abs().mean()


def by_trying_all_points(x):
    best = max(x, key=lambda m: Laplace(m, (x - m).abs().mean()).log_prob(x).sum())
    return [best, np.abs((x - best).numpy()).mean()]


RIGHT["3.1"] = [
    by_trying_all_points,
    lambda x: laplace.fit(x.numpy()),
    lambda x: torch.stack([x.quantile(0.5), (x - x.quantile(0.5)).abs().sum() / len(x)]),
    lambda x: ((m := float(np.median(x))), sum(abs(a - m) for a in x.tolist()) / len(x)),
    about(lambda x: x.sort().values[len(x) // 2], far),
]
WRONG["3.1"] = [
    (lambda x: (x.mean(), x.std(correction=0)), "as in the Gaussian fit"),
    (about(torch.mean, far), "m is the mean"),
    (lambda x: (x.mean(), far(x - x.median())), "m is the mean"),
    (lambda x: (x.median(), far(x - x.mean())), "distance from the mean"),
    (lambda x: (x.median(), far(x)), "distance from 0"),
    (lambda x: (x.median(), x.std(correction=0) / 2**0.5), "makes the variance right"),
    (lambda x: (x.median(), x.std() / 2**0.5), "makes the variance (with n - 1) right"),
    (about(torch.median, torch.mean), "the absolute value is missing"),
    (about(torch.median, lambda d: -far(d)), "the wrong sign"),
    (about(lambda x: x.abs().median(), far), "with their signs"),
    (about(lambda x: x.median().clamp_min(0), far), "m for x = [4, -2, 9, -2, -2] should be -2, and is 0"),
    (about(lambda x: x.unique().median(), far), "the median of the different values"),
    (about(torch.median, lambda d: d.square().mean().sqrt()), "not the root of the mean square"),
    (lambda x: (x.median(), x.std(correction=0)), "the median: both terms"),
    (lambda x: (x.median(), x.std()), "with n - 1"),
    (about(torch.median, lambda d: d.abs().median()), "its mean, not its median"),
    (about(torch.median, lambda d: d.abs().sum()), "divide by n"),
    (about(torch.median, lambda d: 2 * far(d)), "twice too large"),
    (about(torch.median, lambda d: far(d) / 2), "half of what"),
    (about(torch.median, lambda d: 1 / far(d)), "this is 1/b"),
    (about(torch.median, lambda d: d.square().mean()), "the unit of x²"),
    (lambda x: (far(x - x.median()), x.median()), "changed places"),
    (about(lambda x: (x.max() + x.min()) / 2, far), "half-way"),
    (about(lambda x: x[len(x) // 2], far), "sorted ones"),
    (about(lambda x: x.median() if len(x) % 2 else x.max(), far), "odd number"),
    (lambda x: x.median(), "two numbers are needed"),
    (about(torch.median, lambda d: d.abs()), "b should be a number"),
    (lambda x: (x.sum(), far(x)), "should be"),
]

# 3.2: bits per dimension -----------------------------------------------------------------------------

RIGHT["3.2"] = [
    lambda nll, d: (nll + d * math.log(256)) / d / math.log(2),
    lambda nll, d: np.log2(np.e) * nll / d + np.log2(256),
    lambda nll, d: torch.tensor(nll / d / math.log(2) + 8.0),
]
WRONG["3.2"] = [
    (lambda nll, d: nll / (d * math.log(2)), "8 bits more for each pixel"),
    (lambda nll, d: nll / d, "Two steps are left: one bit"),
    (lambda nll, d: nll / math.log(2), "Two steps are left: divide by d"),
    (lambda nll, d: (nll / d + 8) / math.log(2), "divide only nll"),
    (lambda nll, d: int(nll) / (d * math.log(2)) + 8, "should be"),
    (lambda nll, d: nll / (d * math.log(2)) - 8, "the wrong way"),
    (lambda nll, d: nll / d + math.log(256), "nats per dimension"),
    (lambda nll, d: nll / d + 8, "nll is still in nats"),
    (lambda nll, d: nll / d * math.log(2) + 8, "you multiply by log 2"),
    (lambda nll, d: nll / math.log(2) + 8 * d, "bits per image"),
    (lambda nll, d: (nll / math.log(2) + 8) / d, "before adding"),
    (lambda nll, d: -nll / (d * math.log(2)) + 8, "the negative log-density already"),
    (lambda nll, d: nll / (d * math.log(256)) + 8, "becomes bytes"),
    (lambda nll, d: nll / (d * math.log(2)) + math.log2(255), "256 of them"),
    (lambda nll, d: nll / (d * math.log(2)) + math.log(256), "log 256 is the 8 bits in nats"),
    (lambda nll, d: nll / math.log(2) + 8, "before you add the 8 bits"),
    (lambda nll, d: 256 * nll / (d * math.log(2)), "a length is stretched"),
    (lambda nll, d: 8.0, "should be"),
    (lambda nll, d: math.log2(nll), "your code stopped with ValueError"),
    (lambda nll, d: nll / (784 * math.log(2)) + 8, "should be"),
]

# 3.3: the KL of tables -------------------------------------------------------------------------------


def with_loop(p, q):
    total = 0.0
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        if a > 0:
            total += math.inf if b == 0 else a * math.log(a / b)
    return total


def hidden_by_a_constant(p, q):
    return (p * ((p + 1e-8) / (q + 1e-8)).log()).sum()


def skips_what_q_never_does(p, q):
    both = (p > 0) & (q > 0)
    return (p[both] * (p[both] / q[both]).log()).sum()


RIGHT["3.3"] = [
    with_loop,
    lambda p, q: np.float32(entropy(p.numpy(), q.numpy())),
    lambda p, q: (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(),
    lambda p, q: (
        kl_div(q.log(), p, reduction="sum")
        if ((q > 0) | (p == 0)).all() and (q > 0).all()
        else with_loop(p, q)
    ),
    lambda p, q: float(entropy(p, q)),
    lambda p, q: (p * (p / q).log()).nansum(),
]
WRONG["3.3"] = [
    (lambda p, q: with_loop(q, p), "you average over q"),
    (lambda p, q: -with_loop(p, q), "never negative"),
    (lambda p, q: with_loop(p, q) / math.log(2), "in bits"),
    (lambda p, q: (p * (p / q).log()).mean(), "the mean over the categories"),
    (lambda p, q: (p / q).log().sum(), "the weights p are missing"),
    (lambda p, q: -(p * q.log()).sum(), "the cross-entropy"),
    (lambda p, q: Categorical(p).entropy(), "Where is q?"),
    (lambda p, q: with_loop(p, q) + with_loop(q, p), "both directions"),
    (lambda p, q: (with_loop(p, (p + q) / 2) + with_loop(q, (p + q) / 2)) / 2, "Jensen-Shannon"),
    (lambda p, q: p * (p / q).log(), "Add them up"),
    (lambda p, q: -with_loop(q, p), "you average over q, and the sign"),
    (lambda p, q: (p * p / q).sum().log(), "the logarithm of the mean ratio"),
    (lambda p, q: (p - q).abs().sum() / 2, "total variation"),
    (lambda p, q: (p * (p / q).log()).abs().sum(), "no place here"),
    (lambda p, q: -(p * q.log()).sum() + Categorical(p).entropy(), "added to the entropy"),
    (lambda p, q: (p * (p / q.clamp(min=1e-30)).log()).nansum(), "only hides it"),
    (lambda p, q: kl_div(q.log(), p, reduction="sum"), "both zero"),
    (lambda p, q: kl_div(p, q, reduction="sum"), "should be"),
    (lambda p, q: (p * (p / q).log()).sum(), "until p has a zero"),
    (hidden_by_a_constant, "only hides it"),
    (skips_what_q_never_does, "you leave out what is impossible under q"),
    (lambda p, q: (p * (p / q).log()).nan_to_num().sum(), "your result is 3.403e+38."),
    (lambda p, q: min(with_loop(p, q), 1e9), "your result is 1e+09."),
    (lambda p, q: (v := with_loop(p, q)) * (-1 if v == math.inf else 1), "your result is -inf."),
    (lambda p, q: with_loop(p * (p > 1e-8), q), "what happens rarely"),
    (lambda p, q: kl_divergence(Categorical(p), Categorical(q)), "Categorical, which lets no probability"),
    (lambda p, q: with_loop(p, q + 1e-15 * (q > 0)), "right, until q is very small"),
]

# 3.4: the covering Gaussian --------------------------------------------------------------------------


def covering(w, m, s):
    mu = (w * m).sum()
    return mu, (w * s**2).sum(), (w * (m - mu) ** 2).sum()


def covering_with(combine):
    return lambda w, m, s: combine(*covering(w, m, s))


def by_torch(w, m, s):
    mixture = MixtureSameFamily(Categorical(w), Normal(m, s))
    return mixture.mean, mixture.variance.sqrt()


def by_moments(w, m, s):
    mean = float(w @ m)
    return mean, math.sqrt(float(w @ (s**2 + m**2)) - mean**2)


RIGHT["3.4"] = [by_torch, by_moments, covering_with(lambda mu, a, b: [mu, (a + b) ** 0.5])]
WRONG["3.4"] = [
    (covering_with(lambda mu, a, b: (mu, a.sqrt())), "The components also lie apart"),
    (covering_with(lambda mu, a, b: (mu, b.sqrt())), "a width of its own"),
    (covering_with(lambda mu, a, b: (mu, a + b)), "sigma is the variance"),
    (covering_with(lambda mu, a, b: (mu, a.sqrt() + b.sqrt())), "within and between"),
    (lambda w, m, s: ((w * m).sum(), (w * s).sum()), "averaged the standard deviations"),
    (lambda w, m, s: ((w * m).sum(), (w * (s**2 + m**2)).sum().sqrt()), "has not been subtracted"),
    (lambda w, m, s: (m.mean(), covering(w, m, s)[1].sqrt()), "missing in the mean"),
    (lambda w, m, s: ((w * m).sum(), (s**2 + (m - (w * m).sum()) ** 2).mean().sqrt()), "in the variance"),
    (lambda w, m, s: ((w * m).sum(), (w**2 * s**2).sum().sqrt()), "A mixture is no sum"),
    (lambda w, m, s: (w * m).sum(), "two numbers are needed"),
    (lambda w, m, s: (w * m, s), "mu should be a number"),
    (covering_with(lambda mu, a, b: (mu, (a + 2 * b).sqrt())), "should be"),
    (lambda w, m, s: ((w * m).sum(), ((w * s).sum() ** 2 + covering(w, m, s)[2]).sqrt()), "s squared"),
    (lambda w, m, s: ((w * m).sum(), ((w * s).sum() + covering(w, m, s)[2]).sqrt()), "variance is s squared"),
    (lambda w, m, s: (m.mean(), (s**2 + (m - m.mean()) ** 2).mean().sqrt()), "missing in the mean"),
    (lambda w, m, s: (m[w.argmax()], s[w.argmax()]), "the heaviest component"),
    (lambda w, m, s: ((w * m).mean(), (w * s**2).mean().sqrt()), "the sum of w m, without dividing"),
    (covering_with(lambda mu, a, b: (mu, a + b + math.nan)), "sigma contains NaN, for weights = the tensor"),
    (lambda w, m, s: ((w * m).sum(), (s.square().mean() + covering(w, m, s)[2]).sqrt()), "missing within"),
    (
        lambda w, m, s: ((w * m).sum(), (covering(w, m, s)[1] + m.var(correction=0)).sqrt()),
        "missing between",
    ),
    (lambda w, m, s: ((w * m).sum(), (covering(w, m, s)[1] + m.var()).sqrt()), "with K - 1"),
    (lambda w, m, s: ((w * m).sum(), (s**2 + (m - (w * m).sum()) ** 2).sum().sqrt()), "as they are"),
    (covering_with(lambda mu, a, b: (mu, (a + b + 2 * mu**2).sqrt())), "mu² is added"),
    (
        lambda w, m, s: ((w * m).sum(), (w**2 * (s**2 + (m - (w * m).sum()) ** 2)).sum().sqrt()),
        "are squared in the variance",
    ),
    (
        lambda w, m, s: ((w * m).sum(), (w * (s**2 + (m - (w * m).sum()) ** 2)).mean().sqrt()),
        "in the variance too, without dividing",
    ),
]

# 3.5: forward or reverse -----------------------------------------------------------------------------

RIGHT["3.5"] = [
    {"Photographer", "the forecaster".removeprefix("the "), " insurer"},
    ["photographer", "forecaster", "insurer"],
    frozenset({"insurer", "forecaster", "photographer"}),
    ("insurer", "insurer", "photographer", "forecaster"),
    dict.fromkeys(("insurer", "photographer", "forecaster")).keys(),
]
WRONG["3.5"] = [
    ({"physicist", "forger", "encoder"}, "exactly the wrong way round"),
    ({"photographer"}, "'forecaster' is missing"),
    ({"photographer", "forecaster"}, "It forbids to miss anything"),
    ({"forecaster", "insurer"}, "'photographer' is missing"),
    ({"photographer", "forecaster", "forger"}, "Only an average over q sees that"),
    ({"photographer", "forecaster", "insurer", "encoder"}, "'encoder' does not belong there"),
    ({"photographer", "physicist"}, "that of -log p over q"),
    ({"photograph"}, "none of the names"),
    ("photographer", "a set of names is needed"),
]

# 3.6: a tenth of a standard deviation ------------------------------------------------------------------


def shifted(shift=0.1, d=784):
    """The experiment of the chapter, whose answer is the normal probability below √d · shift / 2."""
    return lambda: float(Normal(0.0, 1.0).cdf(torch.tensor(math.sqrt(d) * shift / 2)))


RIGHT["3.6"] = [
    (0.9, shifted()),
    (torch.tensor(0.95), shifted()),
    (np.float64(0.88), lambda: np.float32(shifted()())),
    ((0.5 + 0.5 * math.erf(1.4 / 2**0.5)), shifted()),
    (0.965, lambda: 0.914),
    (0.872, lambda: 0.924),
]
WRONG["3.6"] = [
    (((1 + 2 * 0.02) / 2, shifted()), "more than you predict"),
    ((0.85, shifted()), "grow"),
    ((0.971, lambda: 0.914), "fewer than you predict"),
    ((0.868, lambda: 0.924), "more than you predict"),
    ((0.99, shifted()), "fewer than you predict"),
    ((0.1, shifted()), "worse than guessing"),
    ((92, shifted()), "between 0 and 1"),
    (("most", shifted()), "should be a number"),
    ((0.9, shifted(0.2)), "was it changed?"),
    ((0.52, shifted(d=1)), "was it changed?"),
]

# 3.7: Wasserstein-1 ----------------------------------------------------------------------------------


def by_cdf(x, y):
    steps = torch.cat([x, y]).sort().values
    f, g = ((s[:, None] <= steps[:-1]).float().mean(0) for s in (x, y))
    return ((f - g).abs() * steps.diff()).sum()


RIGHT["3.7"] = [
    lambda x, y: wasserstein_distance(x.numpy(), y.numpy()),
    by_cdf,
    lambda x, y: np.abs(np.sort(x.numpy()) - np.sort(y.numpy())).mean(),
    lambda x, y: torch.stack([x, y]).sort(1).values.diff(dim=0).abs().mean(),
    lambda x, y: (x.sort(descending=True).values - y.sort(descending=True).values).abs().sum() / len(x),
]
WRONG["3.7"] = [
    (lambda x, y: (x - y).abs().mean(), "not sorted"),
    (lambda x, y: (x.sort().values - y.sort().values).mean(), "cancel"),
    (lambda x, y: (x.mean() - y.mean()).abs(), "cancel"),
    (lambda x, y: ((x.sort().values - y.sort().values) ** 2).mean(), "the mean of the squares"),
    (lambda x, y: ((x.sort().values - y.sort().values) ** 2).mean().sqrt(), "second Wasserstein"),
    (lambda x, y: (x.sort().values - y.sort().values).abs().sum(), "the sum of the ways"),
    (lambda x, y: (x.sort().values - y.sort().values).abs().max(), "the longest way"),
    (lambda x, y: (x.sort().values - y.sort(descending=True).values).abs().mean(), "the worst plan"),
    (lambda x, y: (x.sort().values - y).abs().mean(), "only one of the two"),
    (lambda x, y: (x - y.sort().values).abs().mean(), "only one of the two"),
    (lambda x, y: (x[:, None] - y).abs().min(1).values.mean(), "nearest neighbour"),
    (lambda x, y: (x[:, None] - y).abs().mean(), "everybody goes everywhere"),
    (lambda x, y: (x.sort() - y.sort()).abs().mean(), "your code stopped with TypeError"),
    (lambda x, y: (x.sort().values - y.sort().values).abs(), "should be a number"),
    (lambda x, y: (x.sort().values - y.sort().values).abs().median(), "the way in the middle"),
    (lambda x, y: (x[:, None] - y).abs().min(0).values.mean(), "fetches its nearest"),
    (lambda x, y: (x.argsort() - y.argsort()).abs().double().mean(), "These are the places"),
    (
        lambda x, y: (x.sort().values - y.sort().values).abs().sum() / 5,
        "between [-1, 1] and [3, -3] should be 2, and is 0.8",
    ),
    (lambda x, y: (x.sort().values - y.sort().values).abs().sum() / (len(x) - 1), "divided by n - 1"),
    (lambda x, y: (x.sort().values - y.sort().values).norm(), "as a vector"),
    (lambda x, y: (x.sort().values - y.sort().values).std(), "between [-2.3"),
    (lambda x, y: (x.median() - y.median()).abs(), "between the medians"),
    (lambda x, y: (x[x.abs().argsort()] - y[y.abs().argsort()]).abs().mean(), "by their absolute values"),
    (lambda x, y: round(float(by_cdf(x, y)), 2), "should be 2.125, and is 2.12"),
]

# 3.8: a width that depends on the unit -----------------------------------------------------------------


def from_table(score):
    """An answer made of a score for each width, from the table of log-densities, point by centre."""
    return lambda data, widths: torch.stack([score(Normal(data, h).log_prob(data[:, None])) for h in widths])


def filled(own, others=1):
    def score(each):
        each.fill_diagonal_(own)
        return each.logsumexp(1).mean() - math.log(len(each) - others)

    return from_table(score)


def without_diagonal(each):
    n = len(each)
    others = each[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)
    return others.logsumexp(1).mean() - math.log(n - 1)


def by_leaving_out(data, widths):
    scores = []
    for h in widths.tolist():
        own = 0.0
        for i in range(len(data)):
            rest = torch.cat([data[:i], data[i + 1 :]])
            own += float(Normal(rest, h).log_prob(data[i]).logsumexp(0)) - math.log(len(rest))
        scores.append(own / len(data))
    return np.array(scores)


def without_points_equal_to_it(data, widths):
    scores = []
    for h in widths:
        each = Normal(data, h).log_prob(data[:, None])
        rest = each.masked_fill(data[:, None] == data, -math.inf).logsumexp(1)
        scores.append(rest.mean() - math.log(len(data) - 1))
    return torch.stack(scores)


densities = from_table(lambda e: e.exp().fill_diagonal_(0.0).sum(1).log().mean() - math.log(len(e) - 1))

RIGHT["3.8"] = [
    filled(-torch.inf),
    from_table(without_diagonal),
    by_leaving_out,
    from_table(lambda each: without_diagonal(each - torch.diag(torch.full((len(each),), math.inf)))),
]
WRONG["3.8"] = [
    (from_table(lambda each: each.logsumexp(1).mean() - math.log(len(each) - 1)), "meets its own kernel"),
    (from_table(lambda each: each.logsumexp(1).mean() - math.log(len(each))), "training likelihood itself"),
    (filled(-math.inf, 0), "the others are n - 1"),
    (filled(0.0, 0), "which was none"),
    (filled(-100.0), "the density exp(-100). It should"),
    (filled(1.0), "the density exp(1). It should"),
    (filled(-1e9), "the density exp(-1e+09). It should"),
    (from_table(lambda e: without_diagonal(e).clamp_min(-1e5)), "your score stops"),
    (filled(math.nan), "contains NaN"),
    (from_table(lambda e: without_diagonal(e) + math.log(len(e) - 1)), "log(n - 1) is missing"),
    (from_table(lambda e: without_diagonal(e) + 2 * math.log(len(e) - 1)), "to subtract its logarithm"),
    (from_table(lambda e: len(e) * without_diagonal(e)), "sums over the points"),
    (from_table(lambda e: -without_diagonal(e)), "the sign is turned round"),
    (
        from_table(
            lambda e: e.fill_diagonal_(-math.inf).flatten().logsumexp(0) - math.log(len(e) * (len(e) - 1))
        ),
        "the logarithm of the mean density",
    ),
    (lambda data, widths: filled(-math.inf)(data, widths) + widths.log(), "add no log h"),
    (lambda data, widths: filled(0.0)(data / data.std(), widths / data.std()), "the bug is still there"),
    (without_points_equal_to_it, "equal to it"),
    (lambda data, widths: densities(data.double(), widths.double()), "in double precision underflow"),
    (densities, "underflow to zero"),
    (filled(math.inf), "should be"),
    (lambda data, widths: filled(-math.inf)(data, widths).exp(), "should be"),
    (lambda data, widths: widths[filled(-math.inf)(data, widths).argmax()], "should have shape"),
]
