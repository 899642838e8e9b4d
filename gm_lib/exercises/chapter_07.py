"""Checks of chapter 7, the ELBO."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from gm_lib.exercises.answers import same
from gm_lib.exercises.core import (
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

_LOG_2PI = math.log(2 * math.pi)


def _is_finite(value: Any) -> bool:
    """Tell whether a result is made of finite numbers, or of something that has to be judged elsewhere."""
    try:
        return bool(torch.as_tensor(value).isfinite().all())
    except (TypeError, ValueError, RuntimeError):
        return True


def _functions(
    values: Callable[..., Mapping[str, Any]], case: Mapping[str, Any]
) -> dict[str, Callable[..., Any]]:
    """Return, by message, the function whose results ``values`` gives under that message.

    One call gives the results under all messages; it is kept, and not repeated for the next message.
    """
    kept: list[tuple[tuple[Any, ...], Mapping[str, Any]]] = []

    def result(message: str, *given: Any) -> Any:
        for arguments, results in kept:
            if same(arguments, given):
                return results[message]
        kept.append((given, values(*given)))
        return kept[-1][1][message]

    return {message: functools.partial(result, message) for message in values(*case.values())}


# 7.1

_ELBO_ARGUMENTS = ("x", "w", "noise_variance", "mean", "variance")


@exercise(
    "7.1",
    "The ELBO of a linear-Gaussian model",
    hints=(
        "Write the ELBO as E_q[log p(x | z)] - KL(q ‖ p(z)). The first part is the log-density of a "
        "Gaussian, averaged over z: which square has to be averaged?",
        "The average of a square is the square of the average, plus the variance. What are mean and variance "
        "of x - w z when z is a draw from q?",
        "The first part is -½ log(2πs²) - ((x - w m)² + …) / (2s²), the dots being the variance of w z. "
        "The second, the KL from N(m, v) to N(0, 1), is ½ (m² + v - 1 - log v).",
    ),
)
def _elbo_1d(answer: Any) -> str:
    cases = [_gaussian_rows(8), _gaussian_grid(), _gaussian_rows(1)]
    cases.append({name: value[0] for name, value in _gaussian_rows(1).items()})
    first, again = (tensor(call(answer, *cases[0].values()), name="the ELBO", nan=True) for _ in range(2))
    expect(
        first.numel() > 1, "this is one number for all examples. Keep them apart: no sum, no mean over them."
    )
    expect(
        is_close(first, again, rtol=1e-6, atol=1e-6, equal_nan=True),
        "your function gives other numbers at each call: it draws z. Draws are a good test; here the "
        "expectation is asked for, as a formula.",
    )
    mistakes = _functions(_mistaken_elbos, cases[0])
    in_full = {message: _broadcast(mistaken) for message, mistaken in mistakes.items()} | {
        f"{message} Nor has it the shape to which all arguments broadcast.": mistaken
        for message, mistaken in mistakes.items()
    }
    expect_function(answer, _elbo, cases, mistakes=in_full, name="the ELBO")
    _expect_extreme_elbo(answer)
    return "Exact for every Gaussian q, without a draw."


def _broadcast(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the function with its results in the shape to which all arguments broadcast."""
    return lambda *given: function(*given).expand(torch.broadcast_shapes(*(part.shape for part in given)))


def _gaussian_rows(n: int) -> dict[str, Tensor]:
    """Return arguments of ``elbo_1d``, each (n,), none near a value at which two formulas agree."""
    x, w, s, m, v = 2 * torch.randn(n), torch.rand(n), torch.rand(n), torch.randn(n), torch.rand(n)
    sign = torch.tensor([1.0, -1.0]).repeat(n)[:n]
    values = (x, sign * (0.4 + 1.5 * w), 0.3 + 2 * s, m + 0.3, 0.2 + 1.8 * v)
    return dict(zip(_ELBO_ARGUMENTS, values, strict=True))


def _gaussian_grid() -> dict[str, Tensor]:
    """Return arguments of several shapes: x goes down, q across, in double precision."""
    x, w, s = [[-1.5], [0.2], [2.0], [4.0]], -1.7, 0.6
    values = (x, w, s, [0.4, -1.3, 0.9], [0.15, 2.5, 0.7])
    return {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in zip(_ELBO_ARGUMENTS, values, strict=True)
    }


def _fit(squares: Tensor, s: Tensor) -> Tensor:
    """Return log N of what has these squares, averaged or not, and variance s."""
    return -0.5 * (_LOG_2PI + s.log() + squares / s)


def _kl(m: Tensor, v: Tensor) -> Tensor:
    return 0.5 * (m**2 + v - 1 - v.log())


def _elbo(x: Tensor, w: Tensor, s: Tensor, m: Tensor, v: Tensor) -> Tensor:
    """Return the ELBO; s is s² of the chapter."""
    return _fit((x - w * m) ** 2 + w**2 * v, s) - _kl(m, v)


def _mistaken_elbos(x: Tensor, w: Tensor, s: Tensor, m: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Return what the known mistakes lead to."""
    square, spread = (x - w * m) ** 2, w**2 * v
    likelihood, kl = _fit(square + spread, s), _kl(m, v)
    elbo = likelihood - kl
    evidence = Normal(0.0, (w**2 + s).sqrt()).log_prob(x)
    entropy = 0.5 * (_LOG_2PI + v.log() + 1)
    narrow = (
        "E_q[(x - w z)²] is more than (x - w m)²: z varies under q, and w z with it. The variance of w z "
        "has to be added to the square."
    )
    scale = "Normal takes a standard deviation; here a variance stands in its place"
    squared = "v² stands where v belongs, as if `variance` were a standard deviation,"
    return {
        narrow: _fit(square, s) - kl,
        "the variance of w z is w² times that of z, and here it is w times.": _fit(square + w * v, s) - kl,
        "the variance of z is added to the square, and should be that of w z: the factor w² is missing.": (
            _fit(square + v, s) - kl
        ),
        "`variance` is a variance already, and was squared where the variance of w z is added.": (
            _fit(square + w**2 * v**2, s) - kl
        ),
        "the variance of w z is subtracted from the square. A q that varies more fits x less well: add it.": (
            _fit(square - spread, s) - kl
        ),
        "the variance of w z is added, but not divided by s² as the square is.": (
            _fit(square, s) - 0.5 * spread - kl
        ),
        "this is log E_q[p(x | z)] - KL: the logarithm is taken of the average. The ELBO averages the "
        "logarithm, and is lower.": _fit(square, s + spread) - kl,
        "this is log p(x, z) - log q(z) at z = the mean of q. An average over z is asked for, and that of a "
        "square is larger than the square of the mean.": _fit(square, s) - 0.5 * (m**2 - v.log()),
        "the KL is added. It is what q costs: subtract it.": likelihood + kl,
        "the KL from q to the prior is missing: this is E_q[log p(x | z)] alone.": likelihood,
        "this is minus the KL. E_q[log p(x | z)] is missing.": -kl,
        "this is the KL. The ELBO is E_q[log p(x | z)] minus it.": kl,
        "this is minus the ELBO, a loss.": -elbo,
        "this is log p(x), whatever q is. The ELBO is lower, by KL(q ‖ posterior).": evidence,
        "this is the gap, KL(q ‖ posterior). The ELBO is log p(x) minus it.": evidence - elbo,
        "this is minus KL(q ‖ posterior). The ELBO is log p(x) minus that KL.": elbo - evidence,
        "E_q[log p(z)] is missing: this is E_q[log p(x | z)] plus the entropy of q.": likelihood + entropy,
        "the entropy of q is missing: this is E_q[log p(x | z) + log p(z)].": elbo - entropy,
        "E_q[log q(z)] is added. Subtract it: -E_q[log q(z)] is the entropy of q.": elbo - 2 * entropy,
        "it is ½ too low everywhere. In the KL the -1 is missing, or in the entropy ½ log(2πe v) the e.": (
            elbo - 0.5
        ),
        "E_q[z²] is m² + v, and v stands in its place: the mean has to be squared too.": (
            elbo + w**2 * m**2 / (2 * s)
        ),
        "to (x - w m)² the variance of w z is added, w² v. Here it is w² E_q[z²], which has the mean in it "
        "once more.": elbo - w**2 * m**2 / (2 * s),
        "the squares are divided by the square of noise_variance. It is s² already.": (
            elbo + (square + spread) * (1 - 1 / s) / (2 * s)
        ),
        "the factor ½ of log(2πs²) is missing.": elbo - 0.5 * (_LOG_2PI + s.log()),
        "it is 1 too low everywhere. The KL has a -1 where you have +1.": elbo - 1,
        "the constant -½ log 2π of log p(x | z) is missing.": elbo + 0.5 * _LOG_2PI,
        "the term -½ log s² of log p(x | z) is missing: a narrow Gaussian is a high one.": (
            elbo + 0.5 * s.log()
        ),
        "of log p(x | z) only the square is there. -½ log(2πs²) belongs to it.": (
            elbo + 0.5 * (_LOG_2PI + s.log())
        ),
        "log s² enters with the factor 1. In log p(x | z) it is -½ log s².": elbo - 0.5 * s.log(),
        "½ log(2πs²) enters with a plus. A wide Gaussian is a low one.": elbo + _LOG_2PI + s.log(),
        "the squares are not divided by s², the noise variance.": (
            elbo + 0.5 * (square + spread) * (1 / s - 1)
        ),
        "the factor ½ of the squares in log p(x | z) is missing.": elbo - (square + spread) / (2 * s),
        "the factor ½ of the KL is missing.": likelihood - 2 * kl,
        "the term -½ log v of the KL is missing: a narrow q has to cost.": elbo - 0.5 * v.log(),
        "log v enters the KL with a plus. It is -½ log v: a narrow q has to cost.": elbo - v.log(),
        "the KL has -log v where -½ log v belongs.": elbo + 0.5 * v.log(),
        "the m² of the KL, or of E_q[log p(z)], is missing: a q whose mean is far from that of the prior has "
        "to cost.": elbo + 0.5 * m**2,
        "the v of the KL, or of E_q[log p(z)], is missing: E_q[z²] is m² + v.": elbo + 0.5 * v,
        f"{narrow} The v of the KL, or of E_q[log p(z)], is missing too.": _fit(square, s) - kl + 0.5 * v,
        "log 2π enters with the factor 1. In log p(x | z) it is -½ log 2π.": elbo - 0.5 * _LOG_2PI,
        "the square is that of x + w m. x has the mean w z: the square is that of x - w m.": (
            _fit((x + w * m) ** 2 + spread, s) - kl
        ),
        "the mean of q enters the KL as its square.": elbo + 0.5 * (m**2 - m),
        "this has the other KL, from the prior to q. The ELBO has the one from q to the prior.": (
            likelihood - 0.5 * ((1 + m**2) / v - 1 + v.log())
        ),
        "`variance` was taken for a logarithm. It is the variance itself: take no exp.": (
            _fit(square + w**2 * v.exp(), s) - 0.5 * (m**2 + v.exp() - 1 - v)
        ),
        "these are bits. The result should be in nats, with natural logarithms.": elbo / math.log(2),
        f"{squared} where w z is averaged and in the KL.": _fit(square + w**2 * v**2, s) - _kl(m, v**2),
        f"{squared} where w z is averaged and in the KL. noise_variance is squared too.": (
            _fit(square + w**2 * v**2, s**2) - _kl(m, v**2)
        ),
        f"{scale} in log p(x | z).": _fit(square + spread, s**2) - kl,
        f"{scale} in log p(x | z), though not where the variance of w z is divided by it.": (
            _fit(square, s**2) - spread / (2 * s) - kl
        ),
        f"{scale} in the KL.": likelihood - _kl(m, v**2),
        f"{scale} in log p(x | z) and in the KL.": _fit(square + spread, s**2) - _kl(m, v**2),
        f"{scale} in log p(x | z). Also, {narrow}": _fit(square, s**2) - kl,
        f"{scale} in the KL. Also, {narrow}": _fit(square, s) - _kl(m, v**2),
        f"{scale} in log p(x | z) and in the KL. Also, {narrow}": _fit(square, s**2) - _kl(m, v**2),
    }


def _expect_extreme_elbo(answer: Any) -> None:
    """Ordinary examples beside a very narrow q, a very wide one, little noise, a far x and a w of 0."""
    rows = (
        (0.7, 1.2, 0.5, 0.3, 0.4),
        (0.7, 1.2, 0.5, 0.3, 1e-12),
        (0.7, 1.2, 0.5, 0.3, 1e6),
        (0.7, 1.2, 1e-10, 0.3, 0.4),
        (1e5, 1.2, 0.5, 0.3, 0.4),
        (0.7, 0.0, 0.5, 0.3, 0.4),
        (0.7, 1.2, 0.5, 0.7 * 1.2 / (1.2**2 + 0.5), 0.5 / (1.2**2 + 0.5)),  # q is the posterior
    )
    columns = torch.tensor(rows, dtype=torch.float64).unbind(1)
    given = dict(zip(_ELBO_ARGUMENTS, columns, strict=True))
    right = _elbo(*given.values())
    found = tensor(call(answer, *given.values()), shape=right.shape, name="the ELBO")
    close = [is_close(a, b) for a, b in zip(found, right, strict=True)]
    if close[0] and not (close[1] and close[3]):
        raise Wrong(
            "right for ordinary numbers, but not for a variance of 1e-12 or a noise variance of 1e-10. "
            "Perhaps a small number is added to a variance, or a variance is clamped: leave that out."
        )
    expect_close(found, right, name="right for ordinary numbers, but the ELBO", rtol=1e-5)


# 7.2


@exercise(
    "7.2",
    "What a diagonal q costs",
    hints=(
        "For two Gaussians with the same mean, covariance S of q and precision Λ of the posterior, KL(q ‖ "
        "posterior) = ½ (tr(Λ S) - d - log det S - log det Λ). Put in S = diag(v₁, …, v_d). Which terms "
        "depend on v_j?",
        "The terms with v_j are ½ (Λ_jj v_j - log v_j). Set the derivative to zero, and put the v_j that you "
        "find back into the KL. What becomes of the trace?",
        "With the best v_j the trace is d and cancels. Two logarithms of determinants are left, one of them "
        "that of a diagonal matrix. torch.logdet does not overflow where torch.det does.",
    ),
)
def _diagonal_gap(answer: Any) -> str:
    def judge(*cases: Tensor, name: str = "", atol: float = 1e-5, **more: Any) -> None:
        given = [{"precision": precision} for precision in cases]
        expect_function(
            answer,
            _gap,
            given,
            name=lambda p: f"the gap {name or f'in {len(p)} dimensions'}",
            **{"read": _one_gap, "rtol": 1e-3, "atol": atol, **more},
        )

    few = _precision(3).float(), _precision(5)
    judge(*few, mistakes=_functions(_mistaken_gaps, {"precision": few[0]}))
    judge(
        torch.diag(torch.tensor([0.2, 3.0, 1.0, 7.0])),
        name="of a diagonal precision, which a diagonal q fits,",
    )
    judge(torch.tensor([[2.5]]), name="in one dimension, where there is none,")
    judge(0.01 * _precision(6), name="of 0.01 Λ, the same as that of Λ,", atol=1e-4)
    many = 2 * torch.eye(120, dtype=torch.float64) + _precision(120)
    place = torch.arange(150, dtype=torch.float64)
    tilted = 0.999 ** (place[:, None] - place).abs()  # its diagonal is 1: correlations have this determinant
    for large, what in (
        (1e-4 * many, "In 120, with entries near 1e-4, the determinant is 0"),
        (1e3 * many, "In 120, with entries near 1000, the determinant is infinite"),
        (tilted, "In 150 that are strongly correlated, the determinant is 0"),
    ):

        def finite(result: Any, what: str = what) -> Tensor:
            expect(
                _is_finite(result),
                f"right in few dimensions. {what} for a computer, and your gap is no finite number. Stay "
                "with logarithms: torch.logdet.",
            )
            return _one_gap(result)

        judge(large, read=finite, atol=1e-2)
    return "It is 0 only where the precision is diagonal. No training of an encoder makes it smaller."


def _one_gap(result: Any) -> Tensor:
    found = tensor(result, name="the gap")
    if found.numel() != 1:
        raise Wrong(
            f"the gap is one number, and yours has shape {tuple(found.shape)}. Add up the dimensions."
        )
    return found.reshape(())


def _precision(d: int) -> Tensor:
    """Return a positive definite matrix (d, d) with entries of both signs outside its diagonal."""
    root = torch.randn(d, d + 1, dtype=torch.float64)
    scale = 0.5 + torch.rand(d, dtype=torch.float64)
    return scale[:, None] * (root @ root.T / d + 0.4 * torch.eye(d)) * scale


def _gap(precision: Tensor) -> Tensor:
    precision = precision.double()
    return 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))


def _mistaken_gaps(precision: Tensor) -> dict[str, Tensor]:
    """Return what the known mistakes lead to, in double precision."""
    precision = precision.double()
    d, diagonal, gap = len(precision), precision.diagonal(), _gap(precision)
    log_det, variances = torch.logdet(precision), torch.linalg.inv(precision).diagonal()
    logs = diagonal.log().sum()
    corner = precision[:2, :2]
    return {
        "the sign is wrong. A KL is never negative: log det Λ is at most the sum of the log Λ_jj.": -gap,
        "the factor ½ is missing.": 2 * gap,
        "the sign is wrong, and the factor ½ is missing.": -2 * gap,
        "the factor ½ of log det Λ is missing.": 0.5 * logs - log_det,
        "the factor ½ of the sum of the log Λ_jj is missing.": logs - 0.5 * log_det,
        "½ log det Λ stands where log det Λ belongs. Is it the sum of the logs on the diagonal of a Cholesky "
        "factor? Take it twice.": 0.5 * (logs - 0.5 * log_det),
        "1 stands where log det Λ belongs. torch.linalg.slogdet gives the sign first, then the logarithm.": (
            0.5 * (logs - 1)
        ),
        "the diagonal of Λ⁻¹ stands where that of Λ belongs. This is the other KL, from the posterior to "
        "its best q, which agrees with the gap in two dimensions but not in more.": (
            0.5 * (variances.log().sum() + log_det)
        ),
        "this q has the posterior's own variances, the diagonal of Λ⁻¹. They are not the best in KL(q ‖ "
        "posterior): write the KL with any variances v_j, and minimize it.": (
            0.5 * ((diagonal * variances).sum() - d - variances.log().sum() - log_det)
        ),
        "this q has Λ_jj as variances. They are precisions.": 0.5
        * ((diagonal**2).sum() - d - logs - log_det),
        "this q has the variances 1 of the prior. Others come closer to the posterior.": (
            0.5 * (diagonal.sum() - d - log_det)
        ),
        "this is ½ (Σ log Λ_jj + log det Λ). The two terms have opposite signs: one comes from q, the other "
        "from the posterior.": 0.5 * (logs + log_det),
        "log(1/Λ_jj) stands where log Λ_jj belongs. The best q has the variances 1/Λ_jj, and log det S "
        "enters the KL with a minus.": 0.5 * (-logs - log_det),
        "log det Λ is missing.": 0.5 * logs,
        "the sum of the log Λ_jj is missing: log det S of the best q is minus this sum.": -0.5 * log_det,
        "this is ½ log det Λ. Its sign is wrong, and the best q's own log det is missing.": 0.5 * log_det,
        "it is divided by the number of dimensions. The gap is a sum over them.": gap / d,
        "the average of the log Λ_jj stands where their sum belongs.": 0.5 * (logs / d - log_det),
        "this has the logarithm of the sum of the Λ_jj. It is their logarithms that are added.": (
            0.5 * (diagonal.sum().log() - log_det)
        ),
        "det Λ is subtracted where its logarithm belongs.": 0.5 * (logs - log_det.exp()),
        "the Λ_jj are added as they are. It is their logarithms that are added.": (
            0.5 * (diagonal.sum() - log_det)
        ),
        "d is subtracted, but the trace tr(Λ S) is missing. For the best q it is d: they cancel.": gap
        - 0.5 * d,
        "the trace tr(Λ S) is there, but the -d is missing. For the best q they cancel.": gap + 0.5 * d,
        "these are bits. The result should be in nats, with natural logarithms.": gap / math.log(2),
        "the logarithm is to base 10. Nats have the natural one.": gap / math.log(10),
        "this is det Λ over the product of the Λ_jj. Nats are logarithms.": (log_det - logs).exp(),
        "this looks only at the first two dimensions. Write it for d of them.": (
            0.5 * (corner.diagonal().log().sum() - torch.logdet(corner))
        ),
        "it is 0, as if a diagonal q were the posterior. (The product of the eigenvalues is the determinant; "
        "that of the diagonal is larger.)": torch.zeros_like(gap),
    }


# 7.3


@exercise(
    "7.3",
    "Find the bug: a lower bound that lies above",
    hints=(
        "A weight is p(x, z) / q(z). Its mean is sure to be p(x) when z is drawn from the very q in the "
        "denominator. Find the two lines in which q occurs.",
        "log_var is log σ². One of the two lines needs σ, and so does the other. Compare what they have.",
        "Normal(mean, scale) wants σ. Print what the noise is multiplied by, and what Normal is given.",
    ),
)
def _importance_bound(answer: Any) -> str:
    _expect_draws_of_q(answer)
    _expect_generator(answer)
    cases = []
    for k, n, d in ((6, 4, 3), (15, 7, 2), (1, 5, 2), (4, 1, 3)):
        given = _Guess(n, d)
        z, given.found = _draws_and_bound(answer, given, k)
        cases.append({"z": z, "given": given})
    mistakes = _functions(_mistaken_bounds, cases[0])
    expect_function(
        lambda z, given: given.found,
        _bound,
        cases,
        mistakes=mistakes,
        unchanged=_with_the_bug,
        name=lambda z, given: "the bound",
        rtol=1e-3,
        atol=1e-3,
    )
    _expect_extreme_weights(answer)
    return "The density is that of the draws, and on average the bound is below log p(x)."


class _Guess:
    """A small linear-Gaussian model, n examples, and an encoder's guess at their posterior.

    ``log_joint`` keeps what it is asked about, so that any way of drawing can be judged.
    """

    def __init__(self, n: int, d: int, dtype: torch.dtype = torch.float32) -> None:
        self.loadings = torch.randn(d + 2, d).to(dtype)
        self.x = (1.5 * torch.randn(n, d + 2)).to(dtype)
        self.mean = (0.5 * torch.randn(n, d)).to(dtype)
        # No log_var near 0, where variance and standard deviation are alike, and both signs in every example.
        wide = (torch.arange(d) + torch.arange(n)[:, None]) % 2 == 0
        self.log_var = (torch.where(wide, 0.9, -1.6) + 0.3 * torch.rand(n, d)).to(dtype)
        self.offset = torch.zeros(n, dtype=dtype)
        self.found: Any = None  # what an answer gave
        self._seen: dict[tuple[torch.Size, bytes], Tensor] = {}

    def log_joint(self, z: Any) -> Tensor:
        """Return log p(x, z) for z (k, n, d), and remember z: (k, n)."""
        z, (n, d) = torch.as_tensor(z), self.mean.shape
        if tuple(z.shape[-2:]) != (n, d):
            raise ValueError(f"log_joint takes z of shape (k, {n}, {d}), and was given {tuple(z.shape)}")
        if bool(z.isnan().any()):
            raise ValueError("log_joint was given NaN for z")
        z = z.to(self.x.dtype)
        self._seen.setdefault((z.shape, z.detach().numpy().tobytes()), z.detach().clone())
        return self.value(z)

    def value(self, z: Tensor) -> Tensor:
        """Return log p(x, z) for z (k, n, d): (k, n)."""
        prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
        return prior + Normal(z @ self.loadings.T, 0.8).log_prob(self.x).sum(-1) + self.offset

    def draws(self) -> Tensor:
        """Return all codes that ``log_joint`` was asked about since the last call, once each: (k, n, d)."""
        expect(self._seen, "log_joint was never called. The weights are p(x, z) / q(z), for k draws of z.")
        draws = torch.cat([z.reshape(-1, *self.mean.shape) for z in self._seen.values()])
        self._seen.clear()
        return draws


def _draws_and_result(answer: Any, given: _Guess, k: int, seed: int = 5) -> tuple[Tensor, Any]:
    """Return the draws (k, n, d) that the answer made, and what it returned."""
    generator = torch.Generator().manual_seed(seed)
    result = call(answer, given.mean, given.log_var, given.log_joint, k, generator)
    return given.draws(), result


def _draws_and_bound(answer: Any, given: _Guess, k: int, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Return the draws (k, n, d) that the answer made, and the bound (n,)."""
    z, result = _draws_and_result(answer, given, k, seed)
    n = len(given.x)
    found = tensor(result, name="the result")
    if found.dim() == 0:
        raise Wrong("this is one number for all examples. Keep them apart: shape (n,).")
    if tuple(found.shape) == (k, n):
        raise Wrong("this is one number for each draw. Average the weights of the k draws: shape (n,).")
    if tuple(found.shape) == (k,) and k != n:
        raise Wrong("this is one number for each draw: you averaged over the examples. Draws come first.")
    if len(z) not in (1, k):
        raise Wrong(f"log_joint was asked about {len(z)} codes for each x, and k is {k}. Draw k codes.")
    if len(z) != k:
        raise Wrong("one code is drawn for each x, whatever k is. The noise has the shape (k, n, d).")
    return z, tensor(found, shape=(n,), name="the result")


def _expect_draws_of_q(answer: Any) -> None:
    """Raise ``Wrong`` unless z is drawn from N(mean, exp(log_var)), k times, every dimension on its own."""
    k = 1000  # a mean strays by 0.032, a standard deviation by 0.022 of itself
    given = _Guess(4, 3)
    z, _ = _draws_and_bound(answer, given, k)
    std, spread = (0.5 * given.log_var).exp(), z.std(0)

    eps = (z - given.mean) / std
    faults = {
        "all k of them are equal.": (spread < 1e-6 * std).all(),
        f"their standard deviation is {spread[0, 0]:.3g} where that of q is {std[0, 0]:.3g}.": (
            not is_close(spread, std, rtol=0.12, atol=0)
        ),
        "their mean is not `mean`.": (eps.mean(0).abs() > 0.17).any(),
        "the dimensions of a code share their noise.": (
            (eps[..., 0] * eps[..., 1]).mean(0).abs() > 0.5
        ).all(),
    }
    for fault, there in faults.items():
        expect(
            not there,
            f"z are no draws from q: {fault} They were right as given, mean + exp(½ log_var) ε with an ε of "
            "its own for each of the k draws and each dimension: log_var is log σ². Look at the line with "
            "the density.",
        )
    alone = _Guess(1, 4)
    z, _ = _draws_and_bound(answer, alone, 1)
    expect(
        not is_close(z[0], alone.mean),
        "z are no draws from q: for k = 1 and one example z is `mean` itself, as if an average were taken "
        "out of the noise. It was right as given. Look at the line with the density.",
    )


def _expect_generator(answer: Any) -> None:
    """Raise ``Wrong`` unless the generator alone decides about the draws."""
    given = _Guess(4, 2)
    first, again, other = (_draws_and_bound(answer, given, 3, seed)[0] for seed in (1, 1, 2))
    expect(
        torch.equal(first, again),
        "two generators with the same seed give different draws: the noise does not come from "
        "`generator`. Hand it on: torch.randn(..., generator=generator).",
    )
    expect(
        not torch.equal(first, other),
        "generators with different seeds give the same draws: the noise ignores `generator`.",
    )


def _expect_extreme_weights(answer: Any) -> None:
    """Ordinary weights beside very small, very large and very different ones, each example on its own."""
    given = _Guess(5, 2, torch.float64)
    given.offset = torch.tensor([0.0, -2000.0, 2000.0, 0.0, 40.0], dtype=torch.float64)
    given.log_var[3] = 9.0  # a q so wide that the weights differ by thousands of nats
    given.log_var[4] = -32.0  # σ is 1e-7
    z, result = _draws_and_result(answer, given, 30)
    if not _is_finite(result):
        raise Wrong(
            "right where the log-weights are near 0. Here those of one x are near 2000, those of another "
            "near -2000, those of a third far apart, and exp() makes infinity or 0 of them. torch.logsumexp "
            "over the k draws takes the largest out, for each x its own."
        )
    found, right = tensor(result, shape=(5,), name="the result"), _bound(z, given)
    expect(
        is_close(found[4], right[4], rtol=1e-5, atol=1e-3)
        or not is_close(found[:4], right[:4], rtol=1e-5, atol=1e-3),
        "right for ordinary q, but not for a σ of 1e-7. Perhaps a small number is added to σ, or σ is "
        "clamped: leave that out.",
    )
    expect_close(found, right, name="the bound for log-weights far from 0", rtol=1e-5, atol=1e-3)


def _bound(z: Tensor, given: _Guess) -> Tensor:
    """Return the bound for the draws z (k, n, d)."""
    return _weighed(z, given, (0.5 * given.log_var).exp())


def _with_the_bug(z: Tensor, given: _Guess) -> Tensor:
    return _weighed(z, given, given.log_var.exp())


def _weighed(z: Tensor, given: _Guess, scale: Tensor) -> Tensor:
    log_q = Normal(given.mean, scale).log_prob(z).sum(-1)
    return (given.value(z) - log_q).logsumexp(0) - math.log(len(z))


def _mistaken_bounds(z: Tensor, given: _Guess) -> dict[str, Tensor]:
    """Return what the known mistakes lead to."""
    k, n, d = z.shape
    log_var, log_joint = given.log_var, given.value(z)
    std = (0.5 * log_var).exp()
    by_dimension = Normal(given.mean, std).log_prob(z)
    log_q = by_dimension.sum(-1)
    log_w = log_joint - log_q

    def bound(log_q: Tensor) -> Tensor:
        return (log_joint - log_q).logsumexp(0) - math.log(k)

    return {
        "log q has the scale √σ: one square root too many. Normal wants σ = exp(½ log_var).": (
            _weighed(z, given, std.sqrt())
        ),
        "log q has the scale ½ σ²: exp comes before the product. Normal wants σ = exp(½ log_var), "
        "(0.5 * log_var).exp().": _weighed(z, given, 0.5 * log_var.exp()),
        "log q has the scale 1/σ. Normal wants σ = exp(½ log_var).": _weighed(z, given, 1 / std),
        "log q has the scale |½ log_var|. log_var is a logarithm, and abs does not undo one: "
        "σ = exp(½ log_var).": _weighed(z, given, (0.5 * log_var).abs()),
        "log q has the scale |log_var|. log_var is a logarithm, and abs does not undo one: "
        "σ = exp(½ log_var).": _weighed(z, given, log_var.abs()),
        "log q has the scale 1, whatever log_var is. Normal wants σ = exp(½ log_var).": (
            _weighed(z, given, torch.ones_like(std))
        ),
        "log q has the mean 0. That of q is `mean`.": bound(
            Normal(torch.zeros_like(std), std).log_prob(z).sum(-1)
        ),
        "log q is added over all draws and examples. Each weight has that of its own z: sum(-1).": bound(
            log_q.sum()
        ),
        "log q is the density of the noise, not of z. z = mean + σ ε is spread out by σ: subtract log σ in "
        "each dimension.": bound(log_q + 0.5 * log_var.sum(-1)),
        "log q has -log_var in each dimension where -log σ belongs, which is -½ log_var.": (
            bound(log_q - 0.5 * log_var.sum(-1))
        ),
        "the closed KL stands where log q(z) belongs. Each weight needs the density of its own draw.": (
            bound(0.5 * (given.mean**2 + log_var.exp() - 1 - log_var).sum(-1))
        ),
        "½ log 2π is missing in log q, once for each dimension.": bound(log_q + 0.5 * d * _LOG_2PI),
        "log q is averaged over the dimensions of the code. Logarithms of independent dimensions add up.": (
            bound(by_dimension.mean(-1))
        ),
        "log q is missing in the weights. They are p(x, z) / q(z).": bound(torch.zeros_like(log_q)),
        "log p(x, z) is missing in the weights. They are p(x, z) / q(z).": (
            (-log_q).logsumexp(0) - math.log(k)
        ),
        "log q is added. A weight is p(x, z) / q(z): subtract it.": bound(-log_q),
        "this is the mean of the log-weights, the ELBO. The logarithm of the mean weight is asked for.": (
            log_w.mean(0)
        ),
        "this is the logarithm of the sum of the weights. Subtract log k to have that of their mean.": (
            log_w.logsumexp(0)
        ),
        "log k is added. The mean is the sum over k: subtract log k.": log_w.logsumexp(0) + math.log(k),
        "the logarithm of the sum is divided by k. Divide the sum itself: subtract log k.": (
            log_w.logsumexp(0) / k
        ),
        "log n is subtracted, n being the number of examples. The mean is over the k draws.": (
            log_w.logsumexp(0) - math.log(n)
        ),
        "this is the largest log-weight of each x. The others count too.": log_w.max(0).values,
        "this is the average of the log-weights under the normalized weights. It is no bound.": (
            (log_w.softmax(0) * log_w).sum(0)
        ),
        "the sign is wrong: this is minus the bound.": -bound(log_q),
        "the logarithm is missing: this is the mean weight.": log_w.exp().mean(0),
    }


# 7.4

_FAR, _NEAR = "far from the posterior", "at the posterior"
_ESTIMATORS = ("three densities", "closed KL", "closed entropy")
_NOISE = {
    (_FAR, "three densities"): (
        "there nothing cancels. log p(x | z) and log p(z) slope the same way in z, and log q(z) adds noise "
        "of its own."
    ),
    (_FAR, "closed entropy"): (
        "q lies beyond the posterior, as seen from the prior. There log p(x | z) and log p(z) slope the same "
        "way in z, and their noise adds up. Which estimator replaces one of the two by its mean?"
    ),
    (_NEAR, "closed KL"): (
        "log p(x | z) alone still varies with z, also when q is the posterior. In one of the others the "
        "terms that vary cancel, for every single z."
    ),
    (_NEAR, "closed entropy"): (
        "log p(x, z) still varies with z, also when q is the posterior. What would have to be subtracted "
        "from it, so that log p(x) is left for every single z?"
    ),
}


_VARIANCES = {_FAR: (0.994, 0.293, 0.549), _NEAR: (0.0, 0.413, 0.5)}


@exercise(
    "7.4",
    "The quietest of three estimators",
    hints=(
        "Write the three estimators side by side. Which terms depend on the draw z, and which are numbers?",
        "Terms that depend on z may cancel, or their noise may add up. What is log p(x, z) - log q(z) when q "
        "is the posterior?",
        "By Bayes' rule p(x, z) / p(z | x) is p(x), the same for every z. In the far place look at slopes: "
        "as z grows from 2, do log p(x | z) and log p(z) move together or against each other?",
    ),
)
def _quietest(answer: Any) -> str:
    chosen, outcome = predicted("7.4", answer, lambda given: choices(given, (_FAR, _NEAR), _ESTIMATORS))
    for place, variances in _VARIANCES.items():
        for name, variance in zip(_ESTIMATORS, variances, strict=True):
            try:
                found = number(outcome[place][name], f"the variance of {name} {place}")
            except (KeyError, TypeError, IndexError):
                found = math.inf
            expect(  # over 100,000 draws
                math.isclose(found, variance, rel_tol=0.05, abs_tol=1e-6),
                f"the experiment should give a variance near {variance:.3g} for {name} {place}: was it "
                "changed? Take it from the chapter again.",
            )
    for place in (_FAR, _NEAR):
        name = chosen[place]
        if (place, name) in _NOISE:
            size = f"{float(outcome[place][name]):.2g}"
            raise Wrong(
                f"{place}, {name!r} has the variance {size} and is not the quietest: {_NOISE[place, name]}"
            )
    return "At the posterior the noise of three terms cancels. In the far place that of two would add up."


# 7.5


@exercise(
    "7.5",
    "The log-density of the aggregated posterior",
    hints=(
        "This is a mixture of n Gaussians of equal weight, one for each example. First every code under "
        "every encoder's Gaussian: which shape has that?",
        "z[:, None] against mean and std gives (m, n, d). In which order do the two dimensions n and d go, "
        "and which of them is summed as logarithms, which as densities?",
        "Add the log-densities over d. Then take torch.logsumexp over n, which is the log of a sum; the log "
        "of a *mean* is asked for.",
    ),
)
def _log_aggregated(answer: Any) -> str:
    for sizes in (((6, 6, 3), (4, 4, 2)), ((5, 9, 2), (1, 3, 4), (7, 1, 2))):
        cases = [_codes(*size) for size in sizes]
        _expect_one_for_each_code(answer, cases[0])
        expect_function(
            answer,
            _aggregated,
            cases,
            mistakes=_functions(_mistaken_aggregates, cases[0]),
            name=lambda z, mean, std: (
                f"log q(z) for {len(z)} codes and {len(mean)} encoders in {z.shape[1]} dimensions"
            ),
        )
    _expect_far_codes(answer)
    _expect_high_densities(answer)
    return "A mixture with one component for each example, and far codes do not underflow."


def _codes(m: int, n: int, d: int) -> dict[str, Tensor]:
    mean, std = 1.2 * torch.randn(n, d), 0.6 + 1.3 * torch.rand(n, d)
    return {"z": 1.5 * torch.randn(m, d), "mean": mean, "std": std}


def _expect_one_for_each_code(answer: Any, case: Mapping[str, Tensor]) -> None:
    (m, d), n = case["z"].shape, len(case["mean"])
    found = tensor(call(answer, *case.values()), name="log q(z)")
    if found.dim() == 0:
        raise Wrong("this is one number for all codes. Keep them apart: shape (m,).")
    if tuple(found.shape) == (m, n):
        raise Wrong("this is log q(z | x), for each code and each example. Average over the examples.")
    if tuple(found.shape) == (m, d):
        raise Wrong("this is one number for each dimension. The density of a code is one number.")
    if tuple(found.shape) == (n,) and m != n:
        raise Wrong(
            f"this is one number for each encoder, ({n},): you averaged over the codes. One number for "
            f"each code is asked for, ({m},)."
        )
    tensor(found, shape=(m,), name="log q(z)")


def _aggregated(z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return Normal(mean, std).log_prob(z[:, None]).sum(2).logsumexp(1) - math.log(len(mean))


def _mistaken_aggregates(z: Tensor, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """Return what the known mistakes lead to."""
    m, (n, d) = len(z), mean.shape

    def pairs(scale: Tensor) -> Tensor:
        return Normal(mean, scale).log_prob(z[:, None])

    def mixture(log_densities: Tensor) -> Tensor:
        return log_densities.logsumexp(1) - math.log(n)

    each = pairs(std)
    joint = each.sum(2)
    right = mixture(joint)
    moments = (std**2).mean(0) + mean.var(0, correction=0)
    mistakes = {
        "these are sums over the n encoders. q(z) is their mean: subtract log n.": joint.logsumexp(1),
        "log n is added. q(z) is the mean of n densities: subtract log n.": joint.logsumexp(1) + math.log(n),
        "the encoders are summed in each dimension on its own, and log n is subtracted once. An encoder's "
        "Gaussian is one density of all d numbers: add over d first, then average over n.": (
            each.logsumexp(1).sum(1) - math.log(n)
        ),
        "log m is subtracted, with m the number of codes. The mean is over the n encoders.": (
            joint.logsumexp(1) - math.log(m)
        ),
        "the logarithm of the sum is divided by n. Divide the sum itself: subtract log n.": (
            joint.logsumexp(1) / n
        ),
        "this is the mean of the logarithms. It must be the logarithm of the mean density, which is never "
        "smaller.": joint.mean(1),
        "logarithms are added over the encoders: the log of a product. q(z) is a mean of densities.": (
            joint.sum(1)
        ),
        "this averages each dimension over the encoders on its own, then multiplies the dimensions. An "
        "encoder's Gaussian is one density of all d numbers: add over d first, then average over n.": (
            mixture(each).sum(1)
        ),
        "the log-densities are averaged over the d dimensions. Densities of independent dimensions multiply: "
        "add their logarithms.": mixture(each.mean(2)),
        "this is the largest of the n densities. The others are part of the mean.": joint.max(1).values,
        "this is the largest of the n densities over n. The others are part of the mean.": (
            joint.max(1).values - math.log(n)
        ),
        "this is q(z), the density. Its logarithm is asked for.": right.exp(),
        "the sign is wrong: this is -log q(z).": -right,
        "Normal takes the standard deviation, and was given its square. std is one already.": (
            mixture(pairs(std**2).sum(2))
        ),
        "std is the standard deviation, and its square root was taken.": mixture(pairs(std.sqrt()).sum(2)),
        "std was taken for a logarithm, and its exp for the scale. It is the standard deviation itself.": (
            mixture(pairs(std.exp()).sum(2))
        ),
        "std was taken for log σ². It is the standard deviation itself.": (
            mixture(pairs((0.5 * std).exp()).sum(2))
        ),
        "½ log 2π is there once for each code, and belongs there once for each dimension.": (
            right + 0.5 * (d - 1) * _LOG_2PI
        ),
        "the factor ½ of the squares is missing.": (
            mixture(joint - 0.5 * ((z[:, None] - mean) / std).square().sum(2))
        ),
        "log σ is subtracted twice. In log N it is -½ log σ², which is -log σ.": (
            mixture(joint - std.log().sum(1))
        ),
        "these are bits. The result should be in nats, with natural logarithms.": right / math.log(2),
        "½ log 2π is missing, once for each dimension.": right + 0.5 * d * _LOG_2PI,
        "-log σ is missing in each dimension: a narrow Gaussian is a high one.": (
            mixture(joint + std.log().sum(1))
        ),
        "the Gaussians have no height: log N has -log σ - ½ log 2π beside the square.": (
            mixture(joint + std.log().sum(1)) + 0.5 * d * _LOG_2PI
        ),
        "this is one Gaussian, with the average mean and the average std. The average of densities has n "
        "peaks.": Normal(mean.mean(0), std.mean(0)).log_prob(z).sum(1),
        "this is one Gaussian, with mean and variance of the mixture. The mixture itself is no Gaussian.": (
            Normal(mean.mean(0), moments.sqrt()).log_prob(z).sum(1)
        ),
        "this is the prior, log p(z). The encoders' densities, averaged, are asked for.": (
            Normal(0.0, 1.0).log_prob(z).sum(1)
        ),
    }
    if m == n:
        mistakes |= {
            "each code is compared with one encoder alone, the one in the same row. All n belong to the "
            "mean: z[:, None].": joint.diagonal(),
            "this averages over the codes, for each encoder. Average over the encoders, for each code.": (
                joint.logsumexp(0) - math.log(m)
            ),
            "this averages over the codes, for each encoder, and the division is missing. Average over "
            "the encoders, for each code.": joint.logsumexp(0),
        }
    return mistakes


def _expect_far_codes(answer: Any) -> None:
    """An ordinary code beside codes far away, each by its own amount, and one at a lonely encoder."""
    double = torch.float64
    mean = torch.tensor([[0.0, 0.0], [1.0, -0.5], [300.0, 0.0], [300.0, 2.0], [0.0, 2000.0]], dtype=double)
    std = torch.tensor([[1.0, 0.8], [0.7, 1.2], [1.0, 0.6], [1.4, 1.0], [0.9, 1.1]], dtype=double)
    z = torch.tensor([[0.3, 0.1], [90.0, 1.0], [170.0, -80.0], [5000.0, 5000.0], [0.2, 2000.5]], dtype=double)
    right = _aggregated(z, mean, std)
    result = call(answer, z, mean, std)
    if not _is_finite(result):
        raise Wrong(
            "right near the encoders. Far from them every density rounds to zero before its logarithm is "
            "taken, or exp() overflows. torch.logsumexp over the encoders takes the largest out, for each "
            "code its own."
        )
    found = tensor(result, shape=(5,), name="log q(z)")
    if is_close(found[1], found[2]) or is_close(found[2], found[3]):
        raise Wrong(
            f"right near the encoders; several codes far away get the same {float(found[2]):.4g}. A small "
            "number added to densities that have underflowed, or a clamp, hides the error. Use "
            "torch.logsumexp."
        )
    expect_close(found, right, name="log q(z), some codes being far from all encoders,", rtol=1e-5)


def _expect_high_densities(answer: Any) -> None:
    """Many dimensions and narrow encoders: densities beyond the largest number there is."""
    n, d = 4, 256
    mean = torch.randn(n, d, dtype=torch.float64)
    std = torch.tensor([[1e-7], [0.02], [0.3], [1.0]], dtype=torch.float64).expand(n, d).clone()
    z = mean[[0, 1, 2]] + std[[0, 1, 2]] * torch.randn(3, d, dtype=torch.float64)
    result = call(answer, z, mean, std)
    if not _is_finite(result):
        raise Wrong(
            "right in few dimensions. In 256 the density of a narrow Gaussian is larger than the largest "
            "number of a computer, or so small that it rounds to zero: stay with logarithms until the end, "
            "add them over d, then torch.logsumexp over n."
        )
    right = _aggregated(z, mean, std)
    expect_close(
        tensor(result, shape=(3,), name="log q(z)"),
        right,
        name="log q(z) in 256 dimensions and with standard deviations from 1e-7 to 1",
        rtol=1e-5,
    )


# 7.6

_ENCODER, _FAMILY, _DECODER = "a better encoder", "a richer family for q", "a better decoder"
_CASES = {"A": _FAMILY, "B": _ENCODER, "C": _DECODER}
_BLAME = {
    ("A", _ENCODER): (
        "the encoder reaches nearly what the best diagonal q reaches. A perfect encoder would win the small "
        "difference between these two numbers, and no more."
    ),
    ("A", _DECODER): (
        "log p(x), which the decoder decides, is as high as in B. What keeps the ELBO below it, though the "
        "encoder is good? (Turning the codes to other axes is ruled out here; it would leave p(x) as it is.)"
    ),
    ("B", _FAMILY): (
        "the best diagonal q reaches log p(x), or nearly: this family is rich enough. Which number is below?"
    ),
    ("B", _DECODER): (
        "log p(x), which the decoder decides, is as high as in A, and some diagonal q reaches it or nearly. "
        "What does not find this q?"
    ),
    ("C", _ENCODER): (
        "all three numbers are close together: with q = the posterior itself, the ELBO would be log p(x), "
        "hardly more. It is log p(x) that is low."
    ),
    ("C", _FAMILY): (
        "all three numbers are close together: no q lifts the ELBO above log p(x), and it is log p(x) that "
        "is low."
    ),
}


@exercise(
    "7.6",
    "Which part of the model to mend",
    hints=(
        "Look at two differences: from log p(x) to the ELBO of the best diagonal q, and from there to the "
        "ELBO of the encoder.",
        "The first difference is there for a perfect encoder too. The second is what the encoder misses. In "
        "which case is which one large?",
        "No q lifts the ELBO above log p(x). Where both differences are small and the ELBO is low, log p(x) "
        "itself has to rise: which part of the model is it computed from?",
    ),
)
def _remedies(answer: Any) -> str:
    chosen = choices(answer, tuple(_CASES), (_ENCODER, _FAMILY, _DECODER))
    for case, remedy in _CASES.items():
        if chosen[case] != remedy:
            raise Wrong(f"{case} does not need {chosen[case]}: {_BLAME[case, chosen[case]]}")
    return (
        "Two differences tell them apart: the approximation gap and the amortization gap. "
        "(Were it allowed, turning the codes to other axes would help A too.)"
    )
