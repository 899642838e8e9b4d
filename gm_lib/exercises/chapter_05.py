"""Checks of chapter 5, latent variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import one_hot

from gm_lib.exercises.core import (
    Wrong,
    call,
    exercise,
    expect,
    expect_function,
    number,
    predicted,
    tensor,
)

Function = Callable[..., Any]


def _shape(part: Tensor) -> str:
    return str(tuple(part.shape))


def _part(result: Any, names: Sequence[str], i: int, *, dims: int = -1) -> Any:
    """Return part ``i`` of a result with as many parts as ``names``; raises ``Wrong`` when it has not.

    A tensor with ``dims`` dimensions is as good as a tuple of its rows.
    """
    rows = isinstance(result, Tensor) and result.dim() == dims
    if not ((rows or isinstance(result, tuple | list)) and len(result) == len(names)):
        raise Wrong(f"{len(names)} things should come back: return {', '.join(names)}.")
    return result[i]


def _in_each_part(mistakes: Mapping[str, Function], parts: int) -> dict[str, Function]:
    """Mistakes that each compute one part alone, as functions that return it in the place of every part."""

    def repeated(f: Function) -> Function:
        return lambda *given: (f(*given),) * parts

    return {message: repeated(f) for message, f in mistakes.items()}


def _quotient(scores: Tensor, little: float = 0.0, by: Function | None = None) -> Tensor:
    """A softmax of rows without any care, or with one number, such as the maximum, taken from all rows."""
    p = (scores if by is None else scores - by(scores)).exp()
    return p / (p.sum(1, keepdim=True) + little)


_ONE_FOR_ALL = (
    "the same number, {}, is subtracted from all rows before the exponential, and a row far from the others "
    "still rounds to zero or to infinity. Each row has a maximum of its own."
)
_NOT_ITS_MAXIMUM = (
    "each row's {} is subtracted before the exponential. In a row whose numbers differ by hundreds the "
    "largest still overflows. Subtract the row's maximum."
)


# 5.1

_COEFFICIENTS = ("a", "b", "c")


def _log_odds(weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """a, b and c from the numbers themselves: Bayes' rule at three places, and the parabola through them."""
    w, m, v = weights.double(), means.double(), variances.double()
    x = torch.tensor([-1.0, 0.0, 2.0]).double()
    log_joint = w.log() + Normal(m, v.sqrt()).log_prob(x[:, None])
    powers = torch.stack([x**2, x, x**0], dim=1)
    return torch.linalg.solve(powers, log_joint[:, 1] - log_joint[:, 0])


def _coefficients(
    *, a: Function | None = None, b: Function | None = None, c: Function | None = None
) -> Function:
    """The right a, b and c, with something added to them: functions of π, μ and σ²."""

    def mistaken(weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        added = [f(weights, means, variances) if f else torch.zeros(()) for f in (a, b, c)]
        return _log_odds(weights, means, variances) + torch.stack(added)

    return mistaken


@exercise(
    "5.1",
    "The quotient of two responsibilities",
    hints=(
        "In the quotient r_1/r_0 the denominators of Bayes' rule cancel. What is left are two products, and "
        "the logarithm makes sums of them.",
        "log π_k + log N(x; μ_k, σ_k²) = log π_k - ½ log 2π - ½ log σ_k² - (x - μ_k)²/(2σ_k²). Multiply out "
        "the square, subtract component 0 from component 1, and sort by powers of x.",
        "a = ½ (1/σ_0² - 1/σ_1²) and b = μ_1/σ_1² - μ_0/σ_0². In c are log(π_1/π_0), ½ log(σ_0²/σ_1²) and "
        "½ (μ_0²/σ_0² - μ_1²/σ_1²).",
    ),
)
def _coefficients_of_log_odds(answer: Any) -> str:
    def case(weights: list[float], means: list[float], variances: list[float]) -> dict[str, Tensor]:
        given = {"weights": weights, "means": means, "variances": variances}
        return {name: torch.tensor(values) for name, values in given.items()}

    def read(result: Any) -> Tensor:
        if isinstance(result, Tensor):
            result = result.reshape(-1)
        parts = [
            tensor(_part(result, _COEFFICIENTS, i, dims=1), name=_COEFFICIENTS[i], nan=True) for i in range(3)
        ]
        for name, part in zip(_COEFFICIENTS, parts, strict=True):
            expect(part.numel() == 1, f"{name} should be one number, and has shape {_shape(part)}.")
        return torch.stack([part.detach().double().reshape(()) for part in parts])

    def log_ratio(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return w[1].log() - w[0].log()

    def heights(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (v[0] / v[1]).log()

    def squared_means(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (m[0] ** 2 / v[0] - m[1] ** 2 / v[1])

    def quadratic(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return 0.5 * (1 / v[0] - 1 / v[1])

    def linear(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return m[1] / v[1] - m[0] / v[0]

    def times(factor: float, f: Function) -> Function:
        return lambda *given: factor * f(*given)

    def added_weights(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return w[1] - w[0] - log_ratio(w, m, v)

    def two_together(*functions: Function) -> Function:
        return lambda *given: sum(f(*given) for f in functions)

    def as_one_width(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        """One variance for both, the mean of the two, as in linear discriminant analysis."""
        return _log_odds(w, m, v.mean().expand(2))

    def of_one(k: int) -> Function:
        return lambda w, m, v: _log_odds(w, m, v[k].expand(2))

    def without_squaring(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return -0.5 * linear(w, m, v) - squared_means(w, m, v)

    def sigma_below(w: Tensor, m: Tensor, v: Tensor) -> Tensor:
        return linear(w, m, v.sqrt()) - linear(w, m, v)

    def normalizer(factor: float) -> Function:
        return _coefficients(c=lambda *_: torch.tensor(factor * math.log(2 * math.pi)))

    all_of_c = two_together(log_ratio, heights, squared_means)
    two_pi = "½ log 2π does not belong to c: both components have it, and it cancels{}."

    expect_function(
        answer,
        _log_odds,
        [
            case([0.85, 0.15], [10.0, 40.0], [110.0, 23.0]),
            case([0.3, 0.7], [-1.0, 2.0], [4.0, 0.25]),
            case([0.9, 0.1], [0.5, -3.0], [0.5, 2.0]),
            case([0.2, 0.8], [1.0, 3.0], [2.0, 2.0]),
        ],
        mistakes={
            "this is log r_0 - log r_1, the other way round.": lambda w, m, v: -_log_odds(w, m, v),
            "these are c, b, a. The order is a, b, c, with a before x².": lambda w, m, v: _log_odds(
                w, m, v
            ).flip(0),
            "all three are twice too large.": lambda w, m, v: 2 * _log_odds(w, m, v),
            "the weights π_k are missing in c: a component is probable also because it is frequent.": (
                _coefficients(c=times(-1.0, log_ratio))
            ),
            "in c the weights stand as they are. It is their logarithms that are subtracted.": (
                _coefficients(c=added_weights)
            ),
            "the quotient of the weights stands in c. It is its logarithm that is added.": _coefficients(
                c=lambda w, m, v: w[1] / w[0] - log_ratio(w, m, v)
            ),
            "c is log(π_1/π_0) alone. Heights and squares leave something behind that has no x.": (
                _coefficients(c=times(-1.0, two_together(heights, squared_means)))
            ),
            "c is not zero: without x are left log π_k, -log σ_k and -μ_k²/(2σ_k²).": (
                _coefficients(c=times(-1.0, all_of_c))
            ),
            "c has the wrong sign, all of it: component 0 is subtracted from component 1.": (
                _coefficients(c=times(-2.0, all_of_c))
            ),
            "log(π_1/π_0) is halved in c. It counts as a whole: π_k stands in front of the normal.": (
                _coefficients(c=times(-0.5, log_ratio))
            ),
            "the logarithms in c have base 2. The densities' exponents ask for base e: log, not log2.": (
                _coefficients(c=times(1 / math.log(2) - 1, two_together(log_ratio, heights)))
            ),
            two_pi.format(", with component 1"): normalizer(-0.5),
            two_pi.format(", with component 0"): normalizer(0.5),
            two_pi.format("; it is not added up"): normalizer(-1.0),
            "log(π_1/π_0) has the wrong sign.": _coefficients(c=times(-2.0, log_ratio)),
            "the heights are missing in c: log N has the term -log σ_k, and a narrow component is a high "
            "one.": _coefficients(c=times(-1.0, heights)),
            "log(σ_0²/σ_1²) stands in c where log(σ_0/σ_1) belongs, half as much.": _coefficients(c=heights),
            "the heights in c have the wrong sign: log N has -log σ_k.": _coefficients(
                c=times(-2.0, heights)
            ),
            "weights and heights are missing in c: these are the squares alone.": _coefficients(
                c=times(-1.0, two_together(log_ratio, heights))
            ),
            "only the squares are right: log(π_1/π_0) and log(σ_0/σ_1) have the wrong sign in c.": (
                _coefficients(c=times(-2.0, two_together(log_ratio, heights)))
            ),
            "μ_k² is missing in c: (x - μ_k)² = x² - 2μ_k x + μ_k².": (
                _coefficients(c=times(-1.0, squared_means))
            ),
            "the factor ½ is missing before μ_k²/σ_k² in c: log N has (x - μ_k)² divided by 2σ_k².": (
                _coefficients(c=squared_means)
            ),
            "μ_k stands in c where μ_k² belongs: (x - μ_k)² = x² - 2μ_k x + μ_k².": (
                _coefficients(c=without_squaring)
            ),
            "the part of c with μ_k² has the wrong sign: the square is subtracted in log N.": (
                _coefficients(c=times(-2.0, squared_means))
            ),
            "b has the wrong sign: -(x - μ_k)² contains +2μ_k x.": _coefficients(b=times(-2.0, linear)),
            "a has the wrong sign: log N has -(x - μ_k)²/(2σ_k²).": _coefficients(a=times(-2.0, quadratic)),
            "a is twice too large: log N has the square divided by 2σ_k².": _coefficients(a=quadratic),
            "b is twice too large: of 2μ_k x/(2σ_k²) the twos cancel.": _coefficients(b=linear),
            "b is half of what it should be: of 2μ_k x/(2σ_k²) the twos cancel.": (
                _coefficients(b=times(-0.5, linear))
            ),
            "b has σ_k where σ_k² belongs.": _coefficients(b=sigma_below),
            "the factor ½ of the squares is missing, in a, b and c: log N has (x - μ_k)² divided by "
            "2σ_k².": _coefficients(a=quadratic, b=linear, c=squared_means),
            "both components were given one width. Here each has a variance of its own, and x² stays.": (
                as_one_width
            ),
            "σ_0² stands for both variances. Each component has its own, and x² stays.": of_one(0),
            "σ_1² stands for both variances. Each component has its own, and x² stays.": of_one(1),
            "a is zero only if both components are equally wide. Here x² does not cancel.": (
                _coefficients(a=times(-1.0, quadratic))
            ),
            "variances are σ² already, and were squared.": lambda w, m, v: _log_odds(w, m, v**2),
            "the square root of the variance stands where the variance belongs.": lambda w, m, v: _log_odds(
                w, m, v.sqrt()
            ),
        },
        name="[a, b, c]",
        read=read,
        atol=1e-4,
    )
    return (
        "If both are equally wide, a = 0 and r_1 is a sigmoid of a line, logistic regression. If not, the "
        "wider one wins at both ends."
    )


# 5.2


@exercise(
    "5.2",
    "The best q at another temperature",
    hints=(
        "Divide by T. Then it is the bound again, with log p(x, z)/T where log p(x, z) stood: the logarithm "
        "of something positive that does not add up to one over z.",
        "Divide this something, p(x, z)^(1/T), by its sum over z, which makes it a distribution. What is "
        "left is minus a KL from q to it, and a constant.",
        "(log_joint / temperature).softmax(1)",
    ),
)
def _best_q(answer: Any) -> str:
    ordinary = 2 * torch.randn(6, 4) - 3
    place = torch.tensor([[-2_000.0], [-3.0], [300.0], [-700.0], [-2_000.0]])
    extreme = place + torch.tensor(
        [[0.0, 1.5, -2.0], [0.5, 0.0, 1.0], [-1.0, 2.0, 0.0], [500.0, -500.0, 499.0], [3.0, -200.0, 1.0]]
    )
    underflow = (
        "right while log p(x, z) is of ordinary size. In a row far from zero each exponential rounds to zero "
        "or to infinity, {}. softmax takes logarithms."
    )
    mistakes: dict[str, Function] = {
        "a temperature below one is taken for one.": lambda j, t: (j / max(t, 1)).softmax(1),
        "this is the posterior p(z | x), the best q at T = 1. The temperature has no influence.": (
            lambda j, t: j.softmax(1)
        ),
        "the logarithms are multiplied by T, and T stands on the entropy's side: the higher it is, the more "
        "even q has to become. Divide by T.": lambda j, t: (t * j).softmax(1),
        "the sign is wrong: this q prefers the least probable z.": lambda j, t: (-j / t).softmax(1),
        "this is the posterior divided by T. The rows of q should add up to one.": lambda j, t: (
            j.softmax(1) / t
        ),
        "this is the posterior to the power 1/T. It is not divided by its sum, and the rows of q should add "
        "up to one.": lambda j, t: j.softmax(1) ** (1 / t),
        "this is p(x, z)^(1/T), not divided by its sum over z.": lambda j, t: (j / t).exp(),
        "these are logarithms of probabilities. Return q.": lambda j, t: (j / t).log_softmax(1),
        "this is log p(x, z)/T. A softmax over z makes q of it.": lambda j, t: j / t,
        "each column adds up to one. Each x has a q of its own, so it is the rows.": lambda j, t: (
            j / t
        ).softmax(0),
        "this gives all to the most probable z, the best q without an entropy (T = 0).": lambda j, t: one_hot(
            j.argmax(1), j.shape[1]
        ),
        "this is the same probability for each z: the best q if there were only the entropy.": lambda j, t: (
            torch.full_like(j, 1 / j.shape[1])
        ),
        "this is the value at the top, T log Σ p(x, z)^(1/T). Return the q that has it.": lambda j, t: (
            t * (j / t).logsumexp(1)
        ),
        "these add up to one over the whole table. Each x has a q of its own: add up rows.": lambda j, t: (
            (j / t).flatten().softmax(0).reshape(j.shape)
        ),
        "this is p(x, z)^(1/T)/e, where the derivative is zero. The rows of q also have to add up to one: a "
        "multiplier for that takes the place of the one.": lambda j, t: (j / t - 1).exp(),
        "this divides by T² where T belongs.": lambda j, t: (j / t**2).softmax(1),
        "this divides by the root of T where T belongs.": lambda j, t: (j / math.sqrt(t)).softmax(1),
        "this divides by 1 + T where T belongs.": lambda j, t: (j / (1 + t)).softmax(1),
        "right while the probabilities of a row are of like size. Of p(x, z) that differ by hundreds of nats "
        "the smaller rounds to zero before its root is taken. Divide the logarithms by T, then softmax.": (
            lambda j, t: (j.softmax(1).log() / t).softmax(1)
        ),
        "right while the probabilities of a row are of like size. Of p(x, z) that differ by 750 nats or more "
        "the smaller rounds to zero even in double precision, before its root is taken. Divide the "
        "logarithms by T, then softmax.": lambda j, t: (j.double().softmax(1).log() / t).softmax(1),
        "right while log p(x, z) is of ordinary size. Cut off at one size, probabilities that differ become "
        "equal. Subtract each row's maximum in its place; softmax does.": lambda j, t: (
            (j / t).clamp(-80, 80).softmax(1)
        ),
        _NOT_ITS_MAXIMUM.format("mean"): lambda j, t: _quotient(j / t, by=lambda s: s.mean(1, keepdim=True)),
        _NOT_ITS_MAXIMUM.format("smallest number"): lambda j, t: _quotient(
            j / t, by=lambda s: s.amin(1, keepdim=True)
        ),
        underflow.format("and 0/0 is NaN"): lambda j, t: _quotient(j / t),
        underflow.format("and nan_to_num only hides it"): lambda j, t: _quotient(j / t).nan_to_num(0.0),
        underflow.format("and the row adds up to zero"): lambda j, t: _quotient(j / t, 1e-12),
        _ONE_FOR_ALL.format("the largest of all"): lambda j, t: _quotient(j / t, by=torch.max),
        _ONE_FOR_ALL.format("the mean of all"): lambda j, t: _quotient(j / t, by=torch.mean),
        _ONE_FOR_ALL.format("the smallest of all"): lambda j, t: _quotient(j / t, by=torch.min),
    }
    case = [{"log_joint": ordinary, "temperature": t} for t in (1.0, 0.3, 5.0)]
    case += [
        {"log_joint": torch.tensor(scores), "temperature": 2.5}
        for scores in ([[-1.0, -2.5]], [[-4.0], [2.0]], [[0.5, -1.0], [-2.0, -0.5]])
    ]
    case += [{"log_joint": extreme, "temperature": t} for t in (0.25, 1.0, 64.0)]  # exact in float32
    expect_function(
        answer,
        lambda j, t: (j.double() / t).softmax(1),
        case,
        mistakes=mistakes,
        name="q",
        rtol=1e-3,
        atol=1e-8,  # a thousand nats at T = 64 are a probability of 1.6e-7
    )
    return (
        "T = 1 gives the posterior, and EM. As T goes to zero each x goes to its most probable z, as in "
        "k-means, though by weights and widths too; as it grows, x is forgotten."
    )


# 5.3

_M_STEP = ("weights", "means", "variances")


def _right_m_step(x: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, r = x.double(), r.double()
    means = (r * x[:, None]).sum(0) / r.sum(0)
    return r.mean(0), means, (r * (x[:, None] - means) ** 2).sum(0) / r.sum(0)


def _squares(x: Tensor, r: Tensor) -> Tensor:
    return (x[:, None] - _right_m_step(x, r)[1]) ** 2


@exercise(
    "5.3",
    "The M-step",
    hints=(
        "For μ_k and σ_k² it is the log-likelihood of one normal in which image i counts r_ik times; for π, "
        "a cross-entropy. How many images does component k hold, fractions counted? Call it counts[k].",
        "Each mean is a sum of r * x over the images divided by the component's counts, not by n. The "
        "variance is the same kind of average, of squared distances from the mean that was just found.",
        "counts = r.sum(0); means = (r * x[:, None]).sum(0) / counts; variances = (r * (x[:, None] - "
        "means) ** 2).sum(0) / counts; return counts / len(x), means, variances",
    ),
)
def _m_step(answer: Any) -> str:
    def sharp(x: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _right_m_step(x, one_hot(r.argmax(1), r.shape[1]).float())

    hard = "each image is given to one component as a whole. It counts for each with the weight r_ik."
    all_images = "the sums are divided by the number of all images. Component k holds Σ_i r_ik of them."
    mistakes: list[dict[str, Function]] = [
        {
            "the means come first in your result. The order is weights, means, variances.": lambda x, r: (
                _right_m_step(x, r)[1]
            ),
            "the variances come first in your result. The order is weights, means, variances.": lambda x, r: (
                _right_m_step(x, r)[2]
            ),
            "the weights are counts, and do not add up to one. Divide them by n.": lambda x, r: r.sum(0),
            "the counts are divided by the number of components. Divide by the number of images.": (
                lambda x, r: r.sum(0) / r.shape[1]
            ),
            "the counts are divided by n - 1. Weights add up to one: divide by n.": lambda x, r: (
                r.sum(0) / (len(x) - 1)
            ),
            "all weights are equal. Component k has the share of the images that it is responsible for.": (
                lambda x, r: torch.full((r.shape[1],), 1 / r.shape[1])
            ),
            "the responsibilities are averaged over the components, one number for each image. Sum over the "
            "images.": lambda x, r: r.mean(1),
            "the responsibilities are added up over the components, which gives one. Sum over the images.": (
                lambda x, r: r.sum(1)
            ),
            "the weights are the softmax of the counts. They are the counts divided by n.": lambda x, r: (
                r.sum(0).softmax(0)
            ),
            "each weight is one: the responsibilities were normalized down the columns. Add up r as it is, "
            "and divide by n.": lambda x, r: torch.ones(r.shape[1]),
            "each weight is 1/n: the responsibilities were normalized down the columns. Average r itself.": (
                lambda x, r: torch.full((r.shape[1],), 1 / len(x))
            ),
            hard: lambda x, r: sharp(x, r)[0],
        },
        {
            "the variances come second. The order is weights, means, variances.": lambda x, r: _right_m_step(
                x, r
            )[2],
            all_images: lambda x, r: (r * x[:, None]).mean(0),
            "these are sums. Divide by Σ_i r_ik, how many images the component holds.": lambda x, r: r.T @ x,
            "every component has the mean of all images. Weight the images with r_ik.": lambda x, r: (
                x.mean().expand(r.shape[1])
            ),
            hard: lambda x, r: sharp(x, r)[1],
        },
        {
            all_images: lambda x, r: (r * _squares(x, r)).mean(0),
            "these are sums of squares. Divide by Σ_i r_ik.": lambda x, r: (r * _squares(x, r)).sum(0),
            "these are standard deviations.": lambda x, r: _right_m_step(x, r)[2].sqrt(),
            "this is n - 1 in the place of n. Maximum likelihood divides by Σ_i r_ik.": lambda x, r: (
                (r * _squares(x, r)).sum(0) / (r.sum(0) - 1)
            ),
            "this is n/(n - 1) times too large. Maximum likelihood divides by Σ_i r_ik.": lambda x, r: (
                _right_m_step(x, r)[2] * len(x) / (len(x) - 1)
            ),
            "these are precisions, 1/σ_k². Return the variances.": lambda x, r: 1 / _right_m_step(x, r)[2],
            "one variance is shared by all components. Each has its own: average over the images only.": (
                lambda x, r: ((r * _squares(x, r)).sum() / len(x)).expand(r.shape[1])
            ),
            "the distances are taken from the mean of all images. Each component has a mean of its own.": (
                lambda x, r: r.T @ (x - x.mean()) ** 2 / r.sum(0)
            ),
            "these are averages of x². Subtract the mean first.": lambda x, r: r.T @ x**2 / r.sum(0),
            "these are mean distances. Square them.": lambda x, r: (
                (r * _squares(x, r).sqrt()).sum(0) / r.sum(0)
            ),
            "r is squared with the distance. It weights the square: r * (x - mean) ** 2.": lambda x, r: (
                (r**2 * _squares(x, r)).sum(0) / r.sum(0)
            ),
            "the squares are not weighted with r_ik.": lambda x, r: _squares(x, r).mean(0),
            "every component has the variance of all images. Weight the images with r_ik.": lambda x, r: (
                x.var(correction=0).expand(r.shape[1])
            ),
            hard: lambda x, r: sharp(x, r)[2],
        },
    ]
    case = [
        {"x": 2 * torch.randn(n) + 5, "r": (2 * torch.randn(n, k)).softmax(1)}
        for n, k in ((40, 3), (7, 2), (3, 5), (4, 4), (6, 1))
    ]
    for i, name in enumerate(_M_STEP):

        def read(result: Any, i: int = i, name: str = name) -> Tensor:
            part = tensor(_part(result, _M_STEP, i, dims=2), name=name, nan=True)
            expect(
                part.dim() == 1,
                f"{name} should have shape (K,), one for each component, and has {_shape(part)}. Sum "
                "over the images.",
            )
            return part

        told = _in_each_part(mistakes[i], 3)
        expect_function(
            answer, _right_m_step, case, mistakes=told, name=name, read=read, atol=1e-4, rtol=1e-3
        )
    return "Weighted averages, and the bound is at its top."


# 5.4


@exercise(
    "5.4",
    "Two components that begin in one place",
    hints=(
        "At the start both components have the same density for every x. Which responsibilities does Bayes' "
        "rule give, then?",
        "p(z = 0 | x) is 0.9 for every x: no x says anything about z. What does the M-step make of the means "
        "if every point counts 0.9 for component 0 and 0.1 for component 1?",
        "A weighted average in which all weights are equal is the plain one. So both means become the mean "
        "of all points, of which 30 % lie around 10 and 70 % around 50. And in the next step?",
    ),
)
def _same_start(answer: Any) -> str:
    mean, outcome = predicted("5.4", answer, lambda value: number(value, "the prediction"))
    outcome = number(outcome, "what the experiment returns")
    expect(
        abs(outcome - 38.366) < 1e-2,
        f"the experiment gives {outcome:.3f}, which as the chapter has it it cannot: was it changed?",
    )
    why = (
        "Where both components are the same, every responsibility is the weight itself, whatever x is. So "
        "the M-step gives both the mean of all points, and then they are the same again."
    )
    for guess, thought in (
        (50.0, "This is where most points are, but in 40 steps nothing has parted the two"),
        (10.0, "This is one of the places where points are, but in 40 steps nothing has parted the two"),
        (14.0, "This weighs the places with 0.9 and 0.1, but those are the components' weights"),
        (46.0, "This weighs the places with 0.1 and 0.9, but those are the components' weights"),
        (30.0, "This is halfway between the places, but there are more points around 50"),
        (22.0, "This weighs the places with 0.7 and 0.3; the 30 % are around 10"),
        (20.0, "EM does leave its start, though it does not part the two"),
    ):
        expect(abs(mean - guess) > 1.0, f"the mean comes to {outcome:.1f}. {thought}. {why}")
    expect(abs(mean - outcome) < 2.001, f"the mean comes to {outcome:.1f}. {why}")
    return (
        "The weights stay 0.9 and 0.1, too. The likelihood has no slope there, so EM stands still, on a "
        "point that is no maximum: the least difference grows. After some hundreds of steps rounding has "
        "parted the two. A start with different components spares you the wait."
    )


# 5.5


@exercise(
    "5.5",
    "Completions with too much ink",
    hints=(
        "Complete an upper half without a single white pixel. What is `log_joint` then, and which part of it "
        "depends on the image?",
        "A coin shows white with probability p, and black with probability 1 - p. Both are evidence about "
        "which component it was.",
        "The log-probability of the known pixels is the sum of x * log p + (1 - x) * log(1 - p).",
    ),
)
def _complete(answer: Any) -> str:
    def parts(x: Tensor, weights: Tensor, probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What white and black pixels say about each component, (n, K), and its other pixels."""
        x, probs, known = x.double(), probs.double(), x.shape[1]
        seen = probs[:, :known]
        return x @ seen.log().T, (1 - x) @ torch.log1p(-seen).T, probs[:, known:]

    def log_joint(x: Tensor, weights: Tensor, probs: Tensor) -> Tensor:
        white, black, _ = parts(x, weights, probs)
        return weights.double().log() + white + black

    def hidden(x: Tensor, weights: Tensor, probs: Tensor) -> Tensor:
        return parts(x, weights, probs)[2]

    def right(*given: Tensor) -> Tensor:
        return log_joint(*given).softmax(1) @ hidden(*given)

    def buggy(x: Tensor, weights: Tensor, probs: Tensor) -> Tensor:
        white, _, rest = parts(x, weights, probs)
        return (weights.double().log() + white).softmax(1) @ rest

    def from_log_joint(f: Function) -> Function:
        return lambda *given: f(log_joint(*given)) @ hidden(*given)

    def with_evidence(f: Function) -> Function:
        def mistaken(x: Tensor, weights: Tensor, probs: Tensor) -> Tensor:
            white, black, rest = parts(x, weights, probs)
            return f(weights.double(), white, black).softmax(1) @ rest

        return mistaken

    def black_as(f: Function) -> Function:
        """White pixels as they should be, black ones by another rule: a function of 1 - x and p."""

        def mistaken(x: Tensor, weights: Tensor, probs: Tensor) -> Tensor:
            white, _, rest = parts(x, weights, probs)
            seen = probs.double()[:, : x.shape[1]]
            return (weights.double().log() + white + f((1 - x).double(), seen)).softmax(1) @ rest

        return mistaken

    def clamped(little: float) -> Function:
        def mistaken(x: Tensor, weights: Tensor, probs: Tensor) -> Tensor:
            scores = log_joint(x, weights, probs.double().clamp(little, 1 - little))
            return scores.softmax(1) @ hidden(x, weights, probs)

        return mistaken

    cut_off = (
        "probabilities are cut off at {}. A component may be surer of a pixel than that, and the pixel is "
        "strong evidence then."
    )
    underflow = (
        "right while few pixels are known; with a thousand their product rounds to zero{}. Stay with "
        "logarithms until the softmax."
    )
    decided = "this decides for {}. The expected value is an average over what is possible."
    many = 0.02 + 0.96 * torch.rand(2, 1200)  # a product of a thousand is beyond double precision
    sharp = torch.tensor([[0.99999, 0.9, 0.3, 0.8], [0.999, 0.01, 0.7, 0.4]])
    odd = torch.stack([torch.full((1200,), 0.999), torch.full((1200,), 0.99)])
    odd[1, 1000:] = 0.3
    half = torch.tensor([0.5, 0.5])
    case = [
        {
            "x_known": torch.randint(0, 2, (n, known)).float(),
            "weights": weights,
            "probs": 0.05 + 0.9 * torch.rand(len(weights), d),
        }
        for n, known, d, weights in (
            (8, 4, 9, torch.tensor([0.6, 0.1, 0.3])),
            (1, 2, 8, torch.tensor([0.3, 0.7])),
            (3, 5, 6, torch.tensor([0.1, 0.2, 0.3, 0.4])),
        )
    ]
    case += [
        {"x_known": torch.tensor([[0.0, 1.0], [1.0, 0.0]]), "weights": half, "probs": sharp},
        {"x_known": torch.randint(0, 2, (1, 1000)).float(), "weights": half, "probs": many},
        # One image that both hold probable, and one that neither does.
        {"x_known": torch.stack([torch.ones(1000), torch.zeros(1000)]), "weights": half, "probs": odd},
    ]
    expect_function(
        answer,
        right,
        case,
        unchanged=buggy,
        mistakes={
            "now white pixels are no evidence. Both are: p for a white one, 1 - p for a black one.": (
                with_evidence(lambda w, white, black: w.log() + black)
            ),
            "black pixels are counted with the wrong sign: log(1 - p) is added, as log p is.": (
                with_evidence(lambda w, white, black: w.log() + white - black)
            ),
            "a black pixel is counted with log p. It has the probability 1 - p.": (
                black_as(lambda black, p: black @ p.log().T)
            ),
            "a black pixel is counted with -log p. Its probability is 1 - p, not 1/p.": (
                black_as(lambda black, p: -black @ p.log().T)
            ),
            "a black pixel is counted with 1 - p itself. It is the logarithm that is added.": (
                black_as(lambda black, p: black @ (1 - p).T)
            ),
            "log(1 - p) is multiplied by x. It belongs to the black pixels: times 1 - x.": (
                black_as(lambda black, p: (1 - black) @ torch.log1p(-p).T)
            ),
            "log(1 - p) is added for all known pixels. It belongs to the black ones: times 1 - x.": (
                black_as(lambda black, p: torch.log1p(-p).sum(1))
            ),
            "the evidence is averaged over the pixels. Independent pixels multiply their probabilities: add "
            "the logarithms.": lambda x, w, p: (
                (w.double().log() + (log_joint(x, w, p) - w.double().log()) / x.shape[1]).softmax(1)
                @ hidden(x, w, p)
            ),
            "the weights are left out. Before any pixel is seen, a component has the probability π_k.": (
                with_evidence(lambda w, white, black: white + black)
            ),
            "the weights are added as they are; it is their logarithm that is added.": (
                with_evidence(lambda w, white, black: w + white + black)
            ),
            "the known pixels have no influence: these are the prior's averages.": lambda x, w, p: (
                w.double() @ hidden(x, w, p)
            ).expand(len(x), -1),
            "all images get what belongs to the first. Each has known pixels of its own.": lambda *given: (
                right(*given)[:1].expand(len(given[0]), -1)
            ),
            "this is the probability of black. The expected value is that of white, p.": lambda *given: (
                1 - right(*given)
            ),
            "white and black are exchanged.": lambda x, w, p: right(1 - x, w, p),
            decided.format("the most probable component"): lambda *given: hidden(*given)[
                log_joint(*given).argmax(1)
            ],
            decided.format("black or white"): lambda *given: right(*given).round(),
            "responsibilities are normalized over the images. Each image has one unit to share out.": (
                from_log_joint(lambda scores: scores.softmax(0))
            ),
            "the average is not divided by its weights: p(x, z) stands where p(z | x) belongs.": (
                from_log_joint(torch.exp)
            ),
            "this is the mean of the logarithms. Average the probabilities.": lambda *given: (
                log_joint(*given).softmax(1) @ hidden(*given).log()
            ),
            "these are all pixels. Return those that were not given: probs[:, known:].": (
                lambda x, w, p: torch.cat([x.double(), right(x, w, p)], dim=1)
            ),
            "these are the averages of all pixels. Return those that were not given: probs[:, known:].": (
                lambda x, w, p: log_joint(x, w, p).softmax(1) @ p.double()
            ),
            "these are the pixels that were given. Return the others: probs[:, known:].": (
                lambda x, w, p: log_joint(x, w, p).softmax(1) @ p.double()[:, : x.shape[1]]
            ),
            "these are the responsibilities, one column for each component. Average the components' other "
            "pixels with them.": lambda *given: log_joint(*given).softmax(1),
            underflow.format(", and 0/0 is NaN"): from_log_joint(
                lambda scores: _quotient(scores.float()).double()
            ),
            underflow.format(", and equal responsibilities are no answer"): from_log_joint(
                lambda scores: _quotient(scores.float()).nan_to_num(1 / scores.shape[1]).double()
            ),
            cut_off.format("0.01 and 0.99"): clamped(0.01),
            cut_off.format("0.001 and 0.999"): clamped(0.001),
            cut_off.format("0.0001 and 0.9999"): clamped(0.0001),
            underflow.format(""): from_log_joint(lambda scores: _quotient(scores.float(), 1e-30).double()),
            _ONE_FOR_ALL.format("the largest of all"): from_log_joint(
                lambda scores: _quotient(scores.float(), by=torch.max).double()
            ),
        },
        name="the expected value of the pixels",
        rtol=1e-3,
        atol=1e-4,
    )
    return "A pixel that is black says as much as one that is white."


# 5.6


@exercise(
    "5.6",
    "The posterior of probabilistic PCA",
    hints=(
        "Multiply out the square ‖x - μ - Wz‖². Collect the terms that are quadratic in z, and those "
        "that are linear. The prior has a quadratic one too.",
        "What stands between zᵀ and z is C⁻¹ = I + WᵀW/σ², and what zᵀ is multiplied with is C⁻¹m = "
        "Wᵀ(x - μ)/σ². x has a row for each image, so (x - mu) @ W has the rows Wᵀ(x - μ).",
        "covariance = torch.linalg.inv(torch.eye(W.shape[1]) + W.T @ W / noise_variance); return (x - mu) @ "
        "W @ covariance / noise_variance, covariance",
    ),
)
def _posterior_of_code(answer: Any) -> str:
    names = ("the mean", "the covariance")

    def right(x: Tensor, W: Tensor, mu: Tensor, noise: float) -> tuple[Tensor, Tensor]:
        """By the rule for a part of a normal vector given the other, from the joint covariance of (z, x)."""
        x, W, mu = x.double(), W.double(), mu.double()
        gain = torch.linalg.solve(W @ W.T + noise * torch.eye(len(W)), W).T
        return (x - mu) @ gain.T, torch.eye(W.shape[1]) - gain @ W

    def scaled(part: int, factor: float) -> Function:
        return lambda *given: factor * right(*given)[part]

    def linear(x: Tensor, W: Tensor, mu: Tensor, noise: float) -> Tensor:
        """The rows Wᵀ(x - μ)/σ², what stands beside zᵀ."""
        return (x - mu) @ W / noise

    def eye_like(matrix: Tensor) -> Tensor:
        return torch.eye(len(matrix))

    def mean_by(precision: Function, beside: Function = linear) -> Function:
        """The mean with another C⁻¹, a function of WᵀW and σ², or another term linear in z."""
        return lambda x, W, mu, noise: beside(x, W, mu, noise) @ torch.linalg.inv(precision(W.T @ W, noise))

    def covariance_by(precision: Function) -> Function:
        return lambda x, W, mu, noise: torch.linalg.inv(precision(W.T @ W, noise))

    def precision(square: Tensor, noise: float) -> Tensor:
        return eye_like(square) + square / noise

    def without_noise(square: Tensor, noise: float) -> Tensor:
        return eye_like(square) + square

    def multiplied(square: Tensor, noise: float) -> Tensor:
        return eye_like(square) + noise * square

    def with_root(square: Tensor, noise: float) -> Tensor:
        return eye_like(square) + square / math.sqrt(noise)

    def projected(x: Tensor, W: Tensor, mu: Tensor, noise: float) -> Tensor:
        return (x - mu) @ W

    def halved(square: Tensor, noise: float) -> Tensor:
        return eye_like(square) + square / (2 * noise)

    every_entry = "a number was added to every entry of WᵀW. I has ones on the diagonal only: torch.eye(d)."
    half_left = "WᵀW is halved in C⁻¹. The exponent is -½ zᵀC⁻¹z: the ½ of 1/(2σ²) is no part of C⁻¹."
    no_noise = "σ² is missing in C⁻¹. The less noise, the more the data weigh: I + WᵀW/σ²."
    times_noise = "WᵀW is multiplied by σ² in C⁻¹. The less noise, the more the data weigh: I + WᵀW/σ²."
    no_prior = "I is missing in C⁻¹: it comes from the prior. Without it this is least squares."
    mistakes: list[dict[str, Function]] = [
        {
            every_entry: mean_by(lambda square, noise: 1 + square / noise),
            "μ is not subtracted. The code explains how x differs from the mean.": mean_by(
                precision, lambda x, W, mu, noise: linear(x, W, 0 * mu, noise)
            ),
            "μ is added. The code explains how x differs from the mean: x - μ.": mean_by(
                precision, lambda x, W, mu, noise: linear(x, W, -mu, noise)
            ),
            "σ² is missing, in C⁻¹ and beside zᵀ: the whole square is divided by it.": mean_by(
                without_noise, projected
            ),
            half_left: mean_by(halved),
            no_noise: mean_by(without_noise),
            times_noise: mean_by(multiplied),
            no_prior: mean_by(lambda square, noise: square / noise),
            "this is Wᵀ(x - μ). What stands beside zᵀ is that divided by σ²; multiplied by C it is m.": (
                projected
            ),
            "this is what stands beside zᵀ, C⁻¹m. Multiply it by C to get the mean m.": linear,
            "the sign is wrong. The square has -2 zᵀWᵀ(x - μ), and half of minus that is positive.": (
                scaled(0, -1.0)
            ),
            "it is multiplied by C⁻¹. What stands beside zᵀ is C⁻¹m: multiply it by C.": (
                lambda x, W, mu, noise: linear(x, W, mu, noise) @ precision(W.T @ W, noise)
            ),
            "it is multiplied by WᵀW + σ²I. Multiply by its inverse.": lambda x, W, mu, noise: (
                projected(x, W, mu, noise) @ (noise * precision(W.T @ W, noise))
            ),
            "it is twice too large. The ½ before zᵀC⁻¹z is no part of C⁻¹, and of -½ · -2zᵀWᵀ(x - μ)/σ² the "
            "twos cancel.": scaled(0, 2.0),
            "it is half of what it should be: of -½ · -2zᵀWᵀ(x - μ)/σ² the twos cancel.": scaled(0, 0.5),
            "it is too small by the factor σ²: beside zᵀ stands Wᵀ(x - μ)/σ².": mean_by(precision, projected),
            "it is divided by σ² once too often.": mean_by(
                precision, lambda x, W, mu, noise: linear(x, W, mu, noise) / noise
            ),
            "σ stands where σ² belongs.": mean_by(
                with_root, lambda x, W, mu, noise: linear(x, W, mu, math.sqrt(noise))
            ),
            "noise_variance is σ² already, and was squared.": mean_by(
                lambda square, noise: precision(square, noise**2),
                lambda x, W, mu, noise: linear(x, W, mu, noise**2),
            ),
            "the means are transposed: one row for each x, shape (n, d).": lambda *given: right(*given)[0].T,
            "the covariance comes first in your result. The order is mean, covariance.": lambda *given: right(
                *given
            )[1],
        },
        {
            "this is (WᵀW + σ²I)⁻¹. C is σ² times that.": lambda x, W, mu, noise: (
                right(x, W, mu, noise)[1] / noise
            ),
            "this is (WᵀW + σ²I)⁻¹/σ². C is σ² times that inverse.": lambda x, W, mu, noise: (
                right(x, W, mu, noise)[1] / noise**2
            ),
            "this is C⁻¹, the precision. The covariance is its inverse.": lambda x, W, mu, noise: precision(
                W.T @ W, noise
            ),
            "this is WᵀW + σ²I. C is σ² times the inverse of that.": lambda x, W, mu, noise: (
                noise * precision(W.T @ W, noise)
            ),
            "it is twice too large. The exponent is -½ zᵀC⁻¹z: the ½ is no part of C⁻¹.": scaled(1, 2.0),
            "it is half of what it should be. The exponent is -½ zᵀC⁻¹z, with a ½ of its own.": scaled(
                1, 0.5
            ),
            every_entry: covariance_by(lambda square, noise: 1 + square / noise),
            half_left: covariance_by(halved),
            no_noise: covariance_by(without_noise),
            times_noise: covariance_by(multiplied),
            no_prior: covariance_by(lambda square, noise: square / noise),
            "σ stands where σ² belongs.": covariance_by(with_root),
            "σ² is missing beside WᵀW: C is σ² (WᵀW + σ²I)⁻¹, and I stands without σ² here.": (
                lambda x, W, mu, noise: noise * torch.linalg.inv(without_noise(W.T @ W, noise))
            ),
            "WWᵀ stands where WᵀW belongs. The code has d coordinates, so C is d by d.": (
                lambda x, W, mu, noise: torch.linalg.inv(precision(W @ W.T, noise))
            ),
            "this is the covariance of x, WWᵀ + σ²I. The task asks for that of z, having seen x.": (
                lambda x, W, mu, noise: noise * precision(W @ W.T, noise)
            ),
            "this is the prior's covariance. Having seen x, we know more.": lambda x, W, *_: eye_like(W.T),
            "outside its diagonal the covariance is not zero: the code's coordinates correlate.": (
                lambda *given: right(*given)[1].diagonal().diag()
            ),
            "these are the variances alone. The code's coordinates correlate: return the matrix.": (
                lambda *given: right(*given)[1].diagonal()
            ),
            "one covariance for each x is too many: it does not depend on x.": lambda x, *given: right(
                x, *given
            )[1].expand(len(x), -1, -1),
        },
    ]
    case = []
    for n, D, d, noise in ((7, 5, 2, 0.3), (1, 3, 1, 2.5), (4, 4, 3, 0.05)):
        W, mu = (
            torch.linalg.qr(torch.randn(D, d)).Q @ (0.5 + torch.rand(d, d) + torch.eye(d)),
            3 * torch.randn(D),
        )
        case.append({"x": mu + 2 * torch.randn(n, D), "W": W, "mu": mu, "noise_variance": noise})
    for i, name in enumerate(names):

        def read(result: Any, i: int = i, name: str = name) -> Tensor:
            return tensor(_part(result, names, i), name=name, nan=True)

        told = _in_each_part(mistakes[i], 2)
        expect_function(answer, right, case, mistakes=told, name=name, read=read, rtol=1e-3, atol=1e-4)
    return "No sampling, no network: the exact posterior."


# 5.7


@exercise(
    "5.7",
    "Fitting by eigenvalues",
    hints=(
        "σ² is what is left in a direction that W does not use, on average. Which eigenvalues are these?",
        "values[d:].mean() is σ². A direction's variance λ is W's part plus the noise's part σ², and W's "
        "columns are standard deviations.",
        "noise_variance = values[d:].mean(); return vectors[:, :d] * (values[:d] - noise_variance).sqrt(), "
        "noise_variance",
    ),
)
def _fit_by_eigenvalues(answer: Any) -> str:
    def right(values: Tensor, vectors: Tensor, d: int) -> tuple[Tensor, Tensor]:
        values, vectors = values.double(), vectors.double()
        noise = values[d:].mean()
        return vectors[:, :d] * (values[:d] - noise).sqrt(), noise

    def read_noise(result: Any) -> Tensor:
        return tensor(_part(result, ("W", "σ²"), 1), name="σ²", nan=True).reshape(())

    def read_explained(result: Any) -> Tensor:
        """W Wᵀ, which is all of W that the model's density knows: W R with a rotation R is as good."""
        W = tensor(_part(result, ("W", "σ²"), 0), name="W", nan=True).double()
        return W @ W.T

    def noise_of(f: Function) -> Function:
        return lambda values, vectors, d: (vectors, f(values, d))

    def loadings(scale: Function, directions: Function = lambda vectors, d: vectors[:, :d]) -> Function:
        """A mistaken W, its columns scaled by a function of the first d eigenvalues and σ²."""
        return lambda values, vectors, d: (
            directions(vectors, d) * scale(values[:d], values[d:].mean()),
            values[d:].mean(),
        )

    def root(top: Tensor, noise: Tensor) -> Tensor:
        return (top - noise).sqrt()

    case = []
    for values, d in (
        ([9.0, 5.0, 2.0, 0.9, 0.5, 0.3, 0.1], 2),
        ([3.0, 0.8, 0.5, 0.2], 1),
        ([4.0, 2.5, 0.6], 2),
        ([20.0, 7.0, 6.0, 1.5, 0.2], 3),
    ):
        vectors = torch.linalg.qr(torch.randn(len(values), len(values))).Q
        case.append({"values": torch.tensor(values), "vectors": vectors, "d": d})
        result, D = call(answer, *case[-1].values()), len(values)
        W, noise = (tensor(_part(result, ("W", "σ²"), i), name=("W", "σ²")[i], nan=True) for i in range(2))
        expect(W.numel() > 1 or noise.numel() == 1, "W comes first, then σ².")
        expect(
            noise.numel() == 1,
            f"σ² is one number for all directions that are left, and yours has shape {_shape(noise)}.",
        )
        expect(W.shape != (d, D), f"W is transposed: it takes d numbers to D, shape (D, d) = {(D, d)}.")
        columns = "; its columns are multiples of the first d eigenvectors"
        expect(W.shape == (D, d), f"W should have shape (D, d) = {(D, d)}, and has {_shape(W)}{columns}.")
    expect_function(
        answer,
        right,
        case,
        mistakes={
            "this is the sum of the eigenvalues that are left out. σ² is their mean.": noise_of(
                lambda values, d: values[d:].sum()
            ),
            "the sum is divided by all D dimensions. The noise is estimated from the D - d that are left.": (
                noise_of(lambda values, d: values[d:].sum() / len(values))
            ),
            "σ² is the mean of all eigenvalues. The first d belong to W.": noise_of(
                lambda values, d: values.mean()
            ),
            "σ² is the mean of the first d eigenvalues. It is what they do *not* explain.": noise_of(
                lambda values, d: values[:d].mean()
            ),
            "one eigenvalue too many: values[d:] begins behind the first d.": noise_of(
                lambda values, d: values[d - 1 :].mean()
            ),
            "one eigenvalue is left out: values[d:] begins behind the first d.": noise_of(
                lambda values, d: values[d + 1 :].mean()
            ),
            "this is the smallest eigenvalue. Maximum likelihood takes the mean of all that are left.": (
                noise_of(lambda values, d: values[-1])
            ),
            "this is the largest that is left. Maximum likelihood takes the mean of all of them.": noise_of(
                lambda values, d: values[d]
            ),
            "this is the median of those that are left. The total variance asks for their mean.": noise_of(
                lambda values, d: values[d:].median()
            ),
            "the sum is divided by d. It has D - d terms, the eigenvalues that are left.": noise_of(
                lambda values, d: values[d:].sum() / d
            ),
            "the sum is divided by D - d - 1. Maximum likelihood divides by D - d.": noise_of(
                lambda values, d: values[d:].sum() / (len(values) - d - 1)
            ),
            "this is the mean of the last d eigenvalues. Those that are left begin behind the first d: "
            "values[d:].": noise_of(lambda values, d: values[-d:].mean()),
            "the last d eigenvalues are left out. The first d are W's, and values[d:] are left.": noise_of(
                lambda values, d: values[:-d].mean()
            ),
            "this is σ. Return the variance.": noise_of(lambda values, d: values[d:].mean().sqrt()),
            "the eigenvalues are variances already, and their mean was squared.": noise_of(
                lambda values, d: values[d:].mean() ** 2
            ),
        },
        name="σ²",
        read=read_noise,
    )
    expect_function(
        answer,
        right,
        case,
        mistakes={
            "the root is missing: W's columns are standard deviations, the root of λ - σ².": loadings(
                lambda top, noise: top - noise
            ),
            "σ² is not subtracted. The noise adds it again in every direction, and the model would have more "
            "variance than the data.": loadings(lambda top, noise: top.sqrt()),
            "σ² is added to the eigenvalues; subtract it.": loadings(lambda top, noise: (top + noise).sqrt()),
            "the roots are subtracted. It is the variances that are, and then the root is taken.": loadings(
                lambda top, noise: top.sqrt() - noise.sqrt()
            ),
            "σ² is subtracted from the root. Subtract it from the variance, and then take the root.": (
                loadings(lambda top, noise: top.sqrt() - noise)
            ),
            "σ is subtracted, and should be σ².": loadings(lambda top, noise: (top - noise.sqrt()).sqrt()),
            "W has the right directions, but all columns have length one.": loadings(
                lambda top, noise: torch.ones_like(top)
            ),
            "the columns are eigenvalues times directions. Their squares would be variances: take roots, and "
            "subtract σ² before.": loadings(lambda top, noise: top),
            "rows of `vectors` were taken. The eigenvectors are its columns.": loadings(
                root, lambda vectors, d: vectors[:d].T
            ),
            "the last d directions were taken. The largest eigenvalues come first.": loadings(
                root, lambda vectors, d: vectors[:, -d:]
            ),
            "W contains NaN: a root of negative numbers. σ²I has σ² on the diagonal only; subtract σ² from "
            "the eigenvalues themselves, take the roots, and multiply the columns with them.": (
                lambda values, vectors, d: (
                    vectors[:, :d] @ (torch.diag(values[:d]) - values[d:].mean()).sqrt(),
                    values[d:].mean(),
                )
            ),
        },
        name="W Wᵀ, what W adds to the covariance,",
        read=read_explained,
        rtol=1e-3,
        atol=1e-3,
    )
    return "The maximum of a likelihood, without a single step of training."
