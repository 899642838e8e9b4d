"""Checks of chapter 6, autoencoders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import (
    Wrong,
    call_intact,
    describe,
    exercise,
    expect,
    expect_close,
    is_close,
    number,
    tensor,
)

Case = Mapping[str, Any]
Mistakes = Sequence[tuple[str, Callable[..., Any]]]


def _is_right(
    found: Sequence[Any],
    cases: Sequence[Case],
    right: Callable[..., Any],
    mistakes: Mistakes,
    *,
    atol: float = 1e-5,
) -> bool:
    """Tell whether ``found`` is what ``right`` makes of each case, within atol + 1e-4·|right|.

    Raises ``Wrong`` with the message of a known mistake, a function of the same arguments, where it explains
    the answers to all cases.
    """

    def agrees(function: Callable[..., Any]) -> bool:
        pairs = zip(found, cases, strict=True)
        return all(is_close(value, function(*case.values()), atol=atol) for value, case in pairs)

    if agrees(right):
        return True
    for message, mistaken in mistakes:
        expect(not agrees(mistaken), message)
    return False


def _expect_all(
    found: Sequence[Any],
    cases: Sequence[Case],
    right: Callable[..., Any],
    mistakes: Mistakes,
    name: Callable[..., str],
    *,
    atol: float = 1e-5,
) -> None:
    """Raise ``Wrong`` unless ``_is_right``; where no mistake is known, the first wrong case is told."""
    if not _is_right(found, cases, right, mistakes, atol=atol):
        for value, case in zip(found, cases, strict=True):
            expect_close(value, right(*case.values()), name=name(**case), atol=atol)


def _list(values: Tensor) -> str:
    return f"[{', '.join(f'{value:g}' for value in values.tolist())}]"


# 6.1


def _falling(eigenvalues: Tensor) -> Tensor:
    return eigenvalues.sort(descending=True).values


def _error_of(eigenvalues: Tensor, k: int) -> Tensor:
    return _falling(eigenvalues)[k:].sum()


_EQUAL = (
    "right as long as all eigenvalues differ. Where several are equal, each of them is a direction of its "
    "own: keep k of them, whatever their values."
)

_ERRORS: Mistakes = (
    (
        "this is the sum of the k largest: the variance that the codes keep. The error is what they lose.",
        lambda e, k: _falling(e)[:k].sum(),
    ),
    (
        "this is the sum of the k smallest. The codes take k directions away, and D - k are lost.",
        lambda e, k: _falling(e)[-k:].sum(),
    ),
    (
        "this is the sum of the D - k largest, the largest error that there is. Which directions should the "
        "codes keep?",
        lambda e, k: _falling(e)[:-k].sum(),
    ),
    (
        "these are the last D - k eigenvalues as they were given. They come in any order: sort them first.",
        lambda e, k: e[k:].sum(),
    ),
    (
        "these are the first D - k eigenvalues as they were given. They come in any order: sort them first.",
        lambda e, k: e[:-k].sum(),
    ),
    (
        "these are the first k eigenvalues as they were given. They come in any order, and the error is the "
        "sum of those that the codes lose.",
        lambda e, k: e[:k].sum(),
    ),
    (
        "this is the mean over the D values. The task asks for the error summed over them.",
        lambda e, k: _error_of(e, k) / len(e),
    ),
    (
        "this is the mean of the eigenvalues that are left out. The error is their sum.",
        lambda e, k: _error_of(e, k) / (len(e) - k),
    ),
    (
        "this is the share of the variance that is lost. The task asks for the error itself, not divided by "
        "the total.",
        lambda e, k: _error_of(e, k) / e.sum(),
    ),
    (
        "this is the share of the variance that the codes keep. The task asks for what they lose, not "
        "divided by the total.",
        lambda e, k: 1 - _error_of(e, k) / e.sum(),
    ),
    (
        "this is the root of the error. The mean *squared* error is asked for.",
        lambda e, k: _error_of(e, k).sqrt(),
    ),
    (
        "the eigenvalues are squared here. Those of a covariance are variances already.",
        lambda e, k: _error_of(e.square(), k),
    ),
    (
        "the roots of the eigenvalues are added here, which are standard deviations. A squared error adds "
        "variances.",
        lambda e, k: _error_of(e.sqrt(), k),
    ),
    (
        "one eigenvalue is missing in the sum: k directions are kept, and D - k are left.",
        lambda e, k: _error_of(e, k + 1),
    ),
    (
        "one eigenvalue too many is in the sum: k directions are kept, and D - k are left.",
        lambda e, k: _error_of(e, k - 1),
    ),
    (
        "this is half of the error. Nothing is halved here: the squared error is a plain sum.",
        lambda e, k: _error_of(e, k) / 2,
    ),
    (
        "this is the largest of the eigenvalues that are left out. All of them add to the error.",
        lambda e, k: _falling(e)[k],
    ),
    (
        "this is the whole variance, whatever k is. Each code takes one direction out of it.",
        lambda e, k: e.sum(),
    ),
    (_EQUAL, lambda e, k: e[e < _falling(e)[k - 1]].sum()),
    (_EQUAL, lambda e, k: e[e <= _falling(e)[k]].sum()),
    (_EQUAL, lambda e, k: _error_of(e.unique(), k)),
)

_NO_CODE: Mistakes = (
    (
        "right for every k but 0: a slice that ends at -k is empty when k is 0. Count from the front: "
        "D - k eigenvalues are left.",
        lambda e, k: _error_of(e, k) if k else 0.0,
    ),
)


@exercise(
    "6.1",
    "The least error of linear codes",
    hints=(
        "Look along the eigenvectors of the covariance: the coordinates are uncorrelated there, and their "
        "variances are the eigenvalues. What does it cost to replace one coordinate by its mean?",
        "Each direction that the codes leave out adds its variance to the error, and k directions may be "
        "kept. Which ones do you keep?",
        "The error is a sum of D - k eigenvalues. They come in any order, so sort first. Then try k = 0 and "
        "k = D by hand.",
    ),
)
def _least_error(answer: Any) -> str:
    def name(eigenvalues: Tensor, k: int) -> str:
        return f"the error for the eigenvalues {_list(eigenvalues)} and k = {k}"

    def judge(cases: Sequence[Case], mistakes: Mistakes) -> None:
        results = [call_intact(answer, **case) for case in cases]
        for result, case in zip(results, cases, strict=True):
            left = _falling(case["eigenvalues"])[case["k"] :]
            expect(
                not (isinstance(result, Tensor) and result.numel() > 1)
                or not is_close(_falling(result), left),
                "these are the eigenvalues that the codes leave out. The error is one number, their sum.",
            )
        found = [number(result, name(**case)) for result, case in zip(results, cases, strict=True)]
        _expect_all(found, cases, _error_of, mistakes, name)

    between = (
        ([0.5, 4.0, 0.1, 2.5, 1.2, 0.9], 2),
        ([1.5, 0.3, 6.0, 0.8], 1),
        ([2.0, 3.0, 2.0, 0.5, 2.0, 0.2, 0.7], 2),  # which of the equal ones is kept makes no difference
        ([0.4, 20.0, 7.0, 0.002, 1.0], 3),
    )
    judge([{"eigenvalues": torch.tensor(values), "k": k} for values, k in between], _ERRORS)
    ends = (([0.7, 5.0, 1.1], 3), ([0.7, 5.0, 1.1], 0), ([0.3, 0.2, 0.9, 0.8], 0))
    judge([{"eigenvalues": torch.tensor(values), "k": k} for values, k in ends], _NO_CODE)
    return "What k codes lose is the variance along the D - k directions that they leave out."


# 6.2


def _planes(size: int, angles: Sequence[float], *, turned: bool = False) -> dict[str, Tensor]:
    """Two matrices (size, k) whose column spaces enclose the k angles; columns of any length and direction.

    ``turned`` makes the directions of the columns of B opposite: the angles between the spaces stay.
    """
    angle = torch.tensor(angles, dtype=torch.float64)
    k = len(angles)
    Q = _rotation(size)[:, : 2 * k]
    near, far = Q[:, :k], Q[:, k:]
    A = near @ _mixing(k)
    B = (near * angle.cos() + far * angle.sin()) @ _mixing(k)
    return {"A": A.float(), "B": (-B if turned else B).float()}


def _rotation(size: int) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q


def _mixing(k: int) -> Tensor:
    """A matrix (k, k) with singular values from 0.5 to 3, far enough from singular for single precision."""
    return _rotation(k) @ torch.linspace(0.5, 3, k, dtype=torch.float64).diag() @ _rotation(k)


def _angles_of(A: Tensor, B: Tensor) -> Tensor:
    Q_A, Q_B = torch.linalg.qr(A.double()).Q, torch.linalg.qr(B.double()).Q
    return torch.linalg.svdvals(Q_A.T @ Q_B).clamp(max=1).acos()


def _acos_of(cosines: Tensor) -> Tensor:
    return cosines.clamp(-1, 1).acos().sort().values


def _unit(columns: Tensor) -> Tensor:
    return columns / columns.norm(dim=0)


_PAIRS = (
    "these are angles between pairs of single vectors, the first of A's with the first of B's and so on. "
    "Other vectors of the two spaces may lie closer together: the cosines are singular values of Q_Aᵀ Q_B, "
    "not its diagonal."
)

_ANGLES: Mistakes = (
    (
        "all k angles are there, the largest first. Return the smallest first.",
        lambda A, B: _angles_of(A, B).flip(0),
    ),
    ("these are the cosines. The angles are asked for.", lambda A, B: _angles_of(A, B).cos()),
    ("these are the cosines. The angles are asked for.", lambda A, B: _angles_of(A, B).cos().flip(0)),
    (
        "these are the squares of the cosines. The angles are asked for.",
        lambda A, B: _angles_of(A, B).cos().square(),
    ),
    ("these are degrees. The task asks for radians.", lambda A, B: _angles_of(A, B).rad2deg()),
    (
        "this is the arcsine of the cosines. Their arccosine is the angle.",
        lambda A, B: math.pi / 2 - _angles_of(A, B),
    ),
    (
        "this is the arcsine of the cosines. Their arccosine is the angle.",
        lambda A, B: math.pi / 2 - _angles_of(A, B).flip(0),
    ),
    ("these are the sines. The angles are asked for.", lambda A, B: _angles_of(A, B).sin()),
    (
        "a root is missing: the eigenvalues of C Cᵀ are the squares of the singular values of C.",
        lambda A, B: _angles_of(A, B).cos().square().acos(),
    ),
    (
        "these are the angles of A and B as they come. Their columns have any length and are not at right "
        "angles: make an orthonormal basis of each space first.",
        lambda A, B: _acos_of(torch.linalg.svdvals(A.T @ B)),
    ),
    (
        "the columns have length 1 here, but are not yet at right angles to each other. A basis has to be "
        "orthonormal: torch.linalg.qr.",
        lambda A, B: _acos_of(torch.linalg.svdvals(_unit(A).T @ _unit(B))),
    ),
    (_PAIRS, lambda A, B: _acos_of((_unit(A) * _unit(B)).sum(0))),
    (_PAIRS, lambda A, B: (_unit(A) * _unit(B)).sum(0).clamp(-1, 1).acos()),
    (_PAIRS, lambda A, B: _acos_of((_unit(A) * _unit(B)).sum(0).abs())),
    (_PAIRS, lambda A, B: (torch.linalg.qr(A).Q * torch.linalg.qr(B).Q).sum(0).clamp(-1, 1).acos()),
    (_PAIRS, lambda A, B: _acos_of((torch.linalg.qr(A).Q * torch.linalg.qr(B).Q).sum(0))),
    (_PAIRS, lambda A, B: _acos_of((torch.linalg.qr(A).Q * torch.linalg.qr(B).Q).sum(0).abs())),
    (
        "this is π minus the angle: a sign is turned round. Angles between two spaces are at most π/2.",
        lambda A, B: math.pi - _angles_of(A, B),
    ),
)


@exercise(
    "6.2",
    "Principal angles",
    hints=(
        "The angle between two vectors of length 1 is the arccosine of their inner product. What has to be "
        "done with the columns of A and of B, so that inner products mean angles?",
        "torch.linalg.qr(A).Q has orthonormal columns that span the same space. A unit vector of the one "
        "space is Q_A u, of the other Q_B v, with unit vectors u and v: for which u and v is "
        "uᵀ (Q_Aᵀ Q_B) v largest?",
        "The cosines are the singular values of Q_Aᵀ Q_B. They come with the largest first: which angle is "
        "then the first? And rounding may make a cosine a little larger than 1.",
    ),
)
def _principal_angles(answer: Any) -> str:
    def angles(pair: Case, nan: str) -> Tensor:
        D, k = pair["A"].shape
        result = call_intact(answer, **pair)
        expect(not (isinstance(result, Tensor) and bool(result.isnan().any())), nan)
        found = tensor(result, name="the result")
        shape = tuple(found.shape)
        expect(
            k == 1 or shape != (k, k),
            f"this is a matrix, ({k}, {k}). There are k angles: their cosines are its singular values.",
        )
        expect(
            shape != (D,),
            f"these are D = {D} angles. A basis of a column space has k vectors, and there are k angles.",
        )
        expect(k > 1 or found.dim() == 1, f"for k = 1 the shape is (1,), and yours is {shape}.")
        return tensor(found, shape=(k,), name=f"the result for k = {k}")

    pairs = [
        _planes(9, (0.2, 0.7, 1.3)),
        _planes(5, (0.4, 1.1), turned=True),
        _planes(8, (0.1, 0.5, 0.8, 1.5)),
        _planes(6, (0.9,)),
        _planes(6, (0.9,), turned=True),
    ]
    above_one = (
        "an angle is NaN, the arccosine of a number above 1. Have your bases columns of length 1, at right "
        "angles to each other?"
    )
    _expect_all(
        [angles(pair, above_one) for pair in pairs],
        pairs,
        _angles_of,
        _ANGLES,
        lambda A, B: f"for k = {A.shape[1]} the angle",
        atol=2e-3,
    )

    # Where spaces share directions the cosines are 1, and single precision rounds some of them to above 1.
    rounded = (
        "right in general; where the two spaces share a direction, an angle is NaN. Its cosine is 1, and "
        "rounding lifts it a little above: clamp it."
    )
    least = math.inf
    for _ in range(12):
        for shared in ((0.0, 0.0, 0.0), (0.0, 0.0, 0.6, math.pi / 2)):
            found = angles(_planes(10, shared), rounded)
            expect_close(
                found,
                torch.tensor(shared),
                atol=6e-3,  # the arccosine of 1 - 1e-7 is 4e-4
                name="right in general; where the two spaces share a direction, the angle",
            )
            least = min(least, float(found[0]))
    expect(  # of 24 cosines of shared directions one is within 8 roundings of 1, whatever the processor
        least < 1e-3,
        f"right in general; where the two spaces share a direction, the angle is 0, and yours is never below "
        f"{least:.2g}, as if cosines were limited to a number below 1. The limit is 1 itself: clamp(max=1).",
    )
    return "Two bases of the same space have the angles 0, whatever their vectors are."


# 6.3

_UNDER_M = {
    "reconstructions": (True, "the decoder multiplies with M⁻¹ what the encoder multiplied with M."),
    "error": (True, "it is computed from the reconstructions. Do they change?"),
    "subspace": (
        True,
        "the columns of W M⁻¹ are combinations of those of W, and the other way round, since M has an "
        "inverse.",
    ),
    "codes": (False, "M z is another code than z, unless M is the identity."),
    "variance of the codes": (False, "with M = 2 I, for example, it becomes four times as large."),
    "distances between codes": (
        False,
        "with M = 2 I, for example, they double. Only a rotation or reflection would keep them.",
    ),
}


@exercise(
    "6.3",
    "What stays when the codes are mixed",
    hints=(
        "Write the new codes as M z and the new decoder as W M⁻¹, and put the one into the other.",
        "W M⁻¹ M z = W z. Which of the six are made of W z alone? And can an invertible matrix on the right "
        "change what the columns of W span?",
        "Try M = 2 I on the last three: what happens to the codes, to their variance, to their distances?",
    ),
)
def _unchanged(answer: Any) -> str:
    wanted = f'a set of names is needed, such as {{"error", "codes"}}, and this is {describe(answer)}.'
    expect(isinstance(answer, Iterable) and not isinstance(answer, str | bytes | Mapping | Tensor), wanted)
    names = list(answer)
    expect(all(isinstance(name, str) for name in names), f"{wanted} Each name is a text.")
    chosen = {" ".join(name.lower().replace("_", " ").split()) for name in names}
    for name in sorted(chosen - set(_UNDER_M)):
        raise Wrong(f"there is no {name!r} among the six. They are {', '.join(_UNDER_M)}.")
    for name, (stays, why) in _UNDER_M.items():
        expect(stays or name not in chosen, f"{name!r} does not stay: {why}")
        expect(not stays or name in chosen, f"{name!r} is missing: {why}")
    return "Training cannot tell these autoencoders apart: the error is the same for all of them."


# 6.4


def _held_out(n: int, spread: float, behind: Mapping[int, tuple[float, float]]) -> dict[int, Tensor]:
    """Log-densities of n codes under mixtures that are behind the best one by exactly what is given.

    ``behind`` has for each number of components the mean difference to the best, and its standard error.
    ``spread`` is the standard deviation of what all mixtures share: some codes are improbable under each.
    """
    shared = spread * torch.randn(n) - 20
    log_densities = {}
    for components, (gap, error) in behind.items():
        noise = torch.empty(n).exponential_()  # skewed: a median is no mean
        noise = (noise - noise.mean()) / noise.std()
        log_densities[components] = shared - gap - error * math.sqrt(n) * noise
    return log_densities


def _best(log_densities: Mapping[int, Tensor]) -> int:
    return max(log_densities, key=lambda components: float(log_densities[components].mean()))


def _standard_error(values: Tensor) -> Tensor:
    return values.std() / math.sqrt(len(values))


def _of_differences(best: Tensor, other: Tensor) -> Tensor:
    return _standard_error(best - other)


Margin = Callable[[Tensor, Tensor], Any]


def _within(log_densities: Mapping[int, Tensor], margin: Margin = _of_differences) -> list[int]:
    """The numbers whose mean is behind the best by at most ``margin(best, other)``, in the given order."""
    best = log_densities[_best(log_densities)]
    return [
        components
        for components, other in log_densities.items()
        if (best - other).mean() <= margin(best, other)
    ]


def _smallest(margin: Margin = _of_differences) -> Callable[..., int]:
    return lambda by: min(_within(by, margin))


def _down_from_the_best(log_densities: Mapping[int, Tensor]) -> int:
    """The last number reached from the best one on before one is outside."""
    chosen, good = _best(log_densities), _within(log_densities)
    for components in sorted((k for k in log_densities if k < chosen), reverse=True):
        if components not in good:
            break
        chosen = components
    return chosen


def _strictly_within(log_densities: Mapping[int, Tensor]) -> int:
    best = _best(log_densities)
    return min(k for k in _within(log_densities) if k != best)


_UNPAIRED = (
    "your answers are those that come out with the standard error of single means. It is large because some "
    "codes are improbable under every mixture. Subtract code by code first: what the mixtures share "
    "cancels, and the standard error is that of the difference."
)
_AS_A_LOSS = "your answers are those for the smallest mean. A log-density is better the larger it is."

_CHOICES: Mistakes = (
    (
        "your answers are the numbers with the largest mean. Smaller ones lie within a standard error of "
        "it, and the smallest of these is asked for.",
        _best,
    ),
    (_UNPAIRED, _smallest(lambda best, other: _standard_error(best))),
    (_UNPAIRED, _smallest(lambda best, other: _standard_error(other))),
    (_UNPAIRED, _smallest(lambda best, other: _standard_error(best).hypot(_standard_error(other)))),
    (_UNPAIRED, _smallest(lambda best, other: _standard_error(best) + _standard_error(other))),
    (
        "your answers are those that come out with the standard deviation of the differences. The standard "
        "error of their mean is that over √n.",
        _smallest(lambda best, other: (best - other).std()),
    ),
    (
        "your answers are those that come out with the standard deviation of the log-densities. Take the "
        "standard error of the differences: their standard deviation over √n.",
        _smallest(lambda best, other: best.std()),
    ),
    (
        "your answers are those that come out when the standard deviation is divided by n. The standard "
        "error is the standard deviation over √n.",
        _smallest(lambda best, other: (best - other).std() / len(best)),
    ),
    (
        "your answers are those that come out with the square of the standard error. Is it the variance "
        "that was divided by n? Take the root.",
        _smallest(lambda best, other: _of_differences(best, other).square()),
    ),
    (
        "your answers are those that come out with the variance over √n. Is the root of the variance "
        "missing?",
        _smallest(lambda best, other: (best - other).var() / math.sqrt(len(best))),
    ),
    (
        "your answers are those that come out with two standard errors. The task allows one.",
        _smallest(lambda best, other: 2 * _of_differences(best, other)),
    ),
    (
        "your answers are the largest numbers within a standard error. The smallest is asked for.",
        lambda by: max(_within(by)),
    ),
    (
        "your answers are the first numbers of the dictionary that lie within a standard error. Its order "
        "is not that of the numbers: take the smallest.",
        lambda by: _within(by)[0],
    ),
    (
        "your answers are those that come out when a number is compared with < alone. The difference of the "
        "best one to itself is 0, and so is its standard error: it belongs to the candidates.",
        _strictly_within,
    ),
    (
        "your answers are those of a walk down from the best that stops at the first number outside. "
        "Smaller ones may lie within again: look at all.",
        _down_from_the_best,
    ),
    (_AS_A_LOSS, lambda by: _best({k: -v for k, v in by.items()})),
    (_AS_A_LOSS, lambda by: min(_within({k: -v for k, v in by.items()}))),
    (
        "your answers are places in the dictionary. The number of components, its key, is asked for.",
        lambda by: list(by).index(min(_within(by))),
    ),
    (
        "your answers are places in the sorted dictionary. The number of components, its key, is asked for.",
        lambda by: sorted(by).index(min(_within(by))),
    ),
    (
        "your answers are the smallest numbers of all. Their mean has to lie within a standard error of the "
        "best.",
        lambda by: min(by),
    ),
)


@exercise(
    "6.4",
    "As few components as the data allow",
    hints=(
        "Find the number with the largest mean. Subtract each of the other tensors from its tensor: one "
        "difference for each code.",
        "The standard error of a mean of n differences is their standard deviation over √n.",
        "Collect the numbers whose mean difference is at most its standard error. The best one belongs to "
        "them, with a difference of 0. Which of them is asked for?",
    ),
)
def _choose_components(answer: Any) -> str:
    cases = [
        {"log_densities": _held_out(n, spread, behind)}
        for n, spread, behind in (
            (
                400,
                10.0,
                {1: (1.5, 0.1), 2: (0.3, 0.1), 3: (0.15, 0.1), 4: (0.05, 0.1), 8: (0, 0), 16: (0.02, 0.1)},
            ),
            (100, 4.0, {12: (0.4, 0.3), 3: (2.0, 0.3), 6: (0, 0), 9: (0.001, 0.02), 5: (0.08, 0.05)}),
            (250, 3.0, {2: (1.5, 2.0), 4: (0.3, 0.05), 8: (0, 0), 16: (0.5, 0.1)}),
            (
                900,
                2.0,
                {
                    10: (0.01, 0.1),
                    12: (0.6, 0.3),
                    7: (0, 0),
                    4: (0.05, 0.1),
                    5: (0.0005, 0.1),
                    1: (10.0, 0.8),
                    2: (0.5, 0.1),
                },
            ),
            (50, 0.3, {3: (0, 0), 6: (0.1, 0.2), 20: (40.0, 0.1), 1: (30.0, 0.1)}),
        )
    ]
    found = [number(call_intact(answer, **case), "the result") for case in cases]
    if not _is_right(found, cases, _smallest(), _CHOICES):
        for value, case in zip(found, cases, strict=True):
            _expect_choice(value, **case)
    return "What the mixtures share cancels in the differences, so that small gains can be told from noise."


def _expect_choice(found: float, log_densities: Mapping[int, Tensor]) -> None:
    """Raise ``Wrong`` with the difference that speaks against ``found``, unless it is right."""
    right, best = min(_within(log_densities)), _best(log_densities)
    if found == right:
        return
    of = f"of the numbers {', '.join(map(str, log_densities))}, {best} is best and {right} the answer"
    if found not in log_densities:
        raise Wrong(f"{of}; yours is {found:g}, which is none of them. Return a key of the dictionary.")
    telling = int(found) if found < right else right
    behind = log_densities[best] - log_densities[telling]
    raise Wrong(
        f"{of}; yours is {found:g}. {telling} is behind the best by {behind.mean():.3g}, with a standard "
        f"error of {_standard_error(behind):.3g}."
    )


# 6.5


def _loss_of(answer: Any, x: Tensor, sigma: float, generator: torch.Generator) -> tuple[Any, Tensor, Tensor]:
    """Return loss, noisy examples and the parameter of the denoiser that was shown them: scale · x + 0.1."""
    seen: list[Tensor] = []
    scale = torch.tensor(0.7, dtype=x.dtype, requires_grad=True)

    def denoise(noisy: Tensor) -> Tensor:
        seen.append(noisy.detach().clone())
        return scale * noisy + 0.1

    loss = call_intact(answer, denoise=denoise, x=x, sigma=sigma, generator=generator)
    expect(seen, "denoise is never called. The loss is about what it makes of the noisy examples.")
    expect(scale.grad is None, "your code calls backward. Return the losses; what trains on them does that.")
    if all(torch.equal(seen[0], again) for again in seen):
        seen = seen[:1]
    expect(
        len(seen) == 1 or not any(torch.equal(shown, x) for shown in seen),
        "denoise is shown the clean x, too. The target is x itself, not what denoise makes of it.",
    )
    fitting = all(shown.shape[1:] == x.shape[1:] for shown in seen) and sum(map(len, seen)) == len(x)
    shapes = " and ".join(str(tuple(shown.shape)) for shown in seen[:3])
    expect(
        fitting,
        f"denoise should be shown the noisy examples in shape {tuple(x.shape)}, and is shown {shapes}.",
    )
    return loss, torch.cat(seen), scale


def _expect_noise(noise: Tensor, noisy: Tensor, sigma: float) -> None:
    """Raise ``Wrong`` unless ``noise`` can be draws from N(0, sigma²), one for each value."""
    error = sigma / math.sqrt(noise.numel())
    mean, sd, flat = noise.mean().item(), noise.std().item(), noise.flatten(1)
    expect(sd > 1e-6 or abs(mean) > 1e-6, "denoise is shown x without noise.")
    expect(
        not (noisy.min() >= 0 and noisy.max() <= 1),
        "the noisy values are cut off at 0 and 1. The noise is normal: leave it as it is.",
    )
    expect(
        not is_close(flat, flat[:1].expand_as(flat)),
        "every example gets the same noise. Draw it in the shape of x, so that each has its own.",
    )
    expect(
        not is_close(flat, flat[:, :1].expand_as(flat)),
        "all values of an example get the same noise. Draw it in the shape of x, so that each has its own.",
    )
    expect(
        abs(mean) < 6 * error,
        f"at sigma = {sigma:g} the noise, what denoise is shown minus x, has the mean {mean:.3g}, and "
        "should have 0. torch.randn draws from N(0, 1), torch.rand from [0, 1].",
    )
    for guess, value in (("sigma²", sigma**2), ("the root of sigma", math.sqrt(sigma)), ("1", 1.0)):
        expect(
            abs(sd - value) > 6 * value / math.sqrt(2 * noise.numel()),
            f"at sigma = {sigma:g} the noise has the standard deviation {sd:.3g}, as if {guess} stood where "
            "sigma belongs.",
        )
    expect(
        abs(sd - sigma) < 6 * error / math.sqrt(2),
        f"at sigma = {sigma:g} the noise has the standard deviation {sd:.3g}, and should have {sigma:g}.",
    )
    expect(
        noise.abs().max() > 2.5 * sigma,
        f"of {noise.numel()} values of the noise none lies beyond 2.5 sigma, so it is not normal. Use "
        "torch.randn.",
    )


def _expect_loss(loss: Any, x: Tensor, noisy: Tensor, sigma: float, scale: Tensor) -> None:
    """Raise ``Wrong`` unless ``loss`` is the squared error of scale · noisy + 0.1 against the clean x."""
    made = scale * noisy + 0.1

    def summed(values: Tensor) -> Tensor:
        return values.flatten(1).sum(1)

    n, noise = len(x), noisy - x
    squares = (made - x).square()
    found = tensor(loss, name="the loss")
    expect(
        found.dim() > 0,
        f"this is one number for the whole batch. Return one loss for each example, shape ({n},).",
    )
    expect(
        found.shape != x.shape,
        f"this is one number for each value. Sum the squares over the values of an example, shape ({n},).",
    )
    expect(
        tuple(found.shape) == (n,),
        f"one loss for each example is shape ({n},), and yours is {tuple(found.shape)}. Sum over all values "
        f"of an example, whatever shape it has.",
    )
    right = summed(squares)
    expect_close(
        found,
        right,
        rtol=1e-3,
        name="the loss of an example",
        mistakes={
            "the error is measured against the noisy x: a denoiser that changes nothing would have the loss "
            "0. The target is the clean x.": summed((made - noisy).square()),
            "the noise is the target here. A denoiser returns x: compare with the clean x.": (
                summed((made - noise).square())
            ),
            "eps is the target here. A denoiser returns x: compare with the clean x.": (
                summed((made - noise / sigma).square())
            ),
            "the squares are averaged over the values of an example. Sum them.": right / x[0].numel(),
            "this is the root of the sum of squares. Return the sum.": right.sqrt(),
            "these are absolute errors. Square them.": summed((made - x).abs()),
            "the errors are added without squaring, and those of opposite sign cancel.": summed(made - x),
            "the errors are added without a square, and those of opposite sign cancel.": summed(x - made),
            "the errors are added first and squared then. Square each.": summed(made - x).square(),
            "this is half of the squared error. The task has no ½.": right / 2,
            "the loss is divided by sigma². The task asks for the plain sum of squares.": right / sigma**2,
            "the sign is turned round: this is minus the squared error.": -right,
            "this is the squared length of the noise, whatever denoise returns.": summed(noise.square()),
            "this is the mean over the batch, once for each example. Keep the examples apart.": (
                right.mean().expand(n)
            ),
        },
    )
    (wanted,) = torch.autograd.grad(right.sum(), scale)
    if not found.requires_grad:
        raise Wrong(
            "the values are right, but no gradient reaches the denoiser, and it could not be trained. Is "
            "there a no_grad, a detach, an item or NumPy?"
        )
    (gradient,) = torch.autograd.grad(found.sum(), scale, allow_unused=True)
    expect(gradient is not None, "the values are right, but no gradient reaches the denoiser.")
    expect_close(gradient, wanted, rtol=1e-3, name="the values are right; the derivative by a parameter")


@exercise(
    "6.5",
    "A denoiser that learns nothing",
    hints=(
        "Try suspicious_loss with a denoiser that changes nothing, lambda x: x. What should its loss be, "
        "and what is it?",
        "When the difference is taken, which values does the name x stand for? And what does x += … do to "
        "the x of the caller, if flatten returned a view of it?",
        "Give the noisy examples a name of their own, in a new tensor of the shape of x. Then x is still "
        "the clean target. Flatten the error, not x, since denoise wants the shape of x.",
    ),
)
def _denoising_loss(answer: Any) -> str:
    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    for shape, sigma, seed in (((200, 6), 0.5, 1), ((80, 1, 3, 5), 2.0, 2), ((150, 8), 0.1, 3)):
        x = torch.rand(shape)
        loss, noisy, scale = _loss_of(answer, x, sigma, generator(seed))
        expect(
            not is_close(noisy, _loss_of(answer, 1 - x, sigma, generator(seed))[1]),
            "what denoise is shown is the same for another x, if the noise is the same. Perhaps it is the "
            "noise alone, and x is missing: show it x + sigma * eps.",
        )
        _expect_noise(noisy - x, noisy, sigma)
        _expect_loss(loss, x, noisy, sigma, scale)

    x, one = torch.rand(20, 4), generator(4)
    first = _loss_of(answer, x, 1.0, one)[1]
    second = _loss_of(answer, x, 1.0, one)[1]
    again = _loss_of(answer, x, 1.0, generator(4))[1]
    other = _loss_of(answer, x, 1.0, generator(5))[1]
    expect(
        is_close(first, again),
        "a generator with the same seed gives other noise at each call. Draw with generator=generator.",
    )
    expect(
        not is_close(first, other) and not is_close(first, second),
        "the noise is the same at each call. Draw it from the generator that is given, and do not seed.",
    )
    return "The noise goes in, and the clean x is what must come out."


# 6.6


def _posterior_mean(noisy: Tensor, mean: Tensor, variance: Tensor, noise_variance: Tensor) -> Tensor:
    return mean + variance / (variance + noise_variance) * (noisy - mean)


_SQUARED = "noise_variance is squared here. It is σ² already."

_SHRUNK: Mistakes = (  # y for noisy, m for the mean, v for the variance, s for the variance of the noise
    (
        "the product of σ² and the score of x is added to the mean. Tweedie's formula adds it to noisy.",
        lambda y, m, v, s: m - s * (y - m) / (v + s),
    ),
    (
        "the weights have changed places. The smaller the noise, the closer to noisy the answer must be.",
        lambda y, m, v, s: _posterior_mean(y, m, s, v),
    ),
    (
        "v is taken for the variance of noisy here. Tweedie's formula has the score of x of the density of "
        "noisy, and the noise adds to its variance.",
        lambda y, m, v, s: y - s * (y - m) / v,
    ),
    (
        "the score of x is added as it is. Tweedie's formula multiplies it by the variance of the noise.",
        lambda y, m, v, s: y - (y - m) / (v + s),
    ),
    (
        "this moves noisy away from the mean: the sign of the score of x is turned round.",
        lambda y, m, v, s: y + s * (y - m) / (v + s),
    ),
    (
        "the score of x is multiplied by σ. Tweedie's formula has σ², and noise_variance is σ².",
        lambda y, m, v, s: y - s.sqrt() * (y - m) / (v + s),
    ),
    (_SQUARED, lambda y, m, v, s: y - s**2 * (y - m) / (v + s)),
    (_SQUARED, lambda y, m, v, s: _posterior_mean(y, m, v, s**2)),
    (
        "both variances are squared here, and they are variances already.",
        lambda y, m, v, s: _posterior_mean(y, m, v**2, s**2),
    ),
    (
        "standard deviations stand where variances belong: no root is needed.",
        lambda y, m, v, s: _posterior_mean(y, m, v.sqrt(), s.sqrt()),
    ),
    (
        "standard deviations are added here. Of independent terms the variances add up.",
        lambda y, m, v, s: y - s * (y - m) / (v.sqrt() + s.sqrt()) ** 2,
    ),
    (
        "the score of x has the standard deviation of noisy in its denominator. The variance belongs there.",
        lambda y, m, v, s: y - s * (y - m) / (v + s).sqrt(),
    ),
    (
        "noisy is pulled towards 0 here. x has the mean m.",
        lambda y, m, v, s: v / (v + s) * y,
    ),
    (
        "this is E[x | noisy] - m: the mean is not added again.",
        lambda y, m, v, s: v / (v + s) * (y - m),
    ),
    (
        "m is added, but not subtracted from noisy before. The weight belongs to noisy - m.",
        lambda y, m, v, s: m + v / (v + s) * y,
    ),
    (
        "this lies halfway between m and noisy, whatever the variances are. The one with the smaller "
        "variance should count more.",
        lambda y, m, v, s: (m + y) / 2,
    ),
    ("this is noisy itself. Part of it is noise.", lambda y, m, v, s: y),
    ("this is m, the mean without knowing noisy. noisy tells something about x.", lambda y, m, v, s: m),
    (
        "this is the score of x alone, of the density of noisy. Put it into Tweedie's formula.",
        lambda y, m, v, s: -(y - m) / (v + s),
    ),
    (
        "this is the product of σ² and the score of x. Tweedie's formula adds it to noisy.",
        lambda y, m, v, s: -s * (y - m) / (v + s),
    ),
    ("this is the variance of x given noisy. Its mean is asked for.", lambda y, m, v, s: v * s / (v + s)),
    (
        "this is the weight v/(v + σ²) alone. It is the share of noisy - m that is kept.",
        lambda y, m, v, s: v / (v + s),
    ),
    (
        "the weight is v/σ² here, which may be larger than 1. Divide by the variance of noisy.",
        lambda y, m, v, s: m + v / s * (y - m),
    ),
    (
        "the variance of noisy is v - σ² here. Noise adds to the variance.",
        lambda y, m, v, s: y - s * (y - m) / (v - s),
    ),
)


def _in_full(mistaken: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same mistake with its result in the shape to which all arguments broadcast."""
    return lambda *given: mistaken(*given).expand(torch.broadcast_shapes(*(part.shape for part in given)))


# Some need only one or two of the arguments, and may be written in either shape.
_SHRUNK = (*_SHRUNK, *((message, _in_full(mistaken)) for message, mistaken in _SHRUNK))


@exercise(
    "6.6",
    "The best guess at a noisy value",
    hints=(
        "noisy is the sum of two independent normal variables. What are its mean and its variance?",
        "The score of x of N(m, s²), taken at y, is -(y - m)/s². Here y is noisy, and s² is the variance "
        "that you have just found.",
        "Tweedie's formula adds the noise's variance times this score of x. To test it on paper: for very "
        "little noise the answer must be noisy, for very much noise m.",
    ),
)
def _denoise_gaussian(answer: Any) -> str:
    cases = [
        {
            "noisy": torch.tensor([-1.0, 0.3, 1.5, 2.2, 6.0]),
            "mean": torch.tensor(1.4),
            "variance": torch.tensor(0.8),
            "noise_variance": torch.tensor(0.3),
        },
        {  # (4, 1) and (3,), with little and much of either variance side by side
            "noisy": torch.tensor([[-2.0], [0.5], [3.0], [-30.0]]),
            "mean": torch.tensor([-1.0, 0.7, 20.0]),
            "variance": torch.tensor([0.01, 1.7, 300.0]),
            "noise_variance": torch.tensor([[0.02], [0.6], [5.0], [400.0]]),
        },
        {
            "noisy": torch.tensor([2.0, -1.0]),
            "mean": torch.tensor([0.0, 3.0]),
            "variance": torch.tensor([2.5, 0.2]),
            "noise_variance": torch.tensor([0.5, 0.7]),
        },
    ]
    found = [tensor(call_intact(answer, **case), name="the result") for case in cases]
    expect(
        is_close(found[0], tensor(call_intact(answer, **cases[0]), name="the result")),
        "your function gives other values at each call. The expectation is asked for, and not a draw.",
    )

    def name(noisy: Tensor, mean: Tensor, variance: Tensor, noise_variance: Tensor) -> str:
        shapes = ", ".join(str(tuple(part.shape)) for part in (noisy, mean, variance, noise_variance))
        return f"E[x | noisy] for arguments of the shapes {shapes}"

    _expect_all(found, cases, _posterior_mean, _SHRUNK, name)
    return "No rule of Bayes was needed: the score of x of the noisy density is enough."
