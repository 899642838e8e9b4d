"""Checks of chapter 6, autoencoders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gm_lib.exercises.core import (
    NotAttempted,
    Wrong,
    call,
    choice,
    describe,
    exercise,
    expect,
    expect_close,
    expect_function,
    is_close,
    number,
    predicted,
    tensor,
)

Mistakes = dict[str, Callable[..., Any]]


# 6.1


def _falling(eigenvalues: Tensor) -> Tensor:
    return eigenvalues.sort(descending=True).values


def _error_of(eigenvalues: Tensor, k: int) -> Tensor:
    return _falling(eigenvalues)[k:].sum()


_EQUAL = "right as long as all eigenvalues differ. Each of several equal ones is a direction of its own: "

_ERRORS: Mistakes = {
    "this is the sum of the k largest: the variance that the codes keep. The error is what they lose.": (
        lambda e, k: _falling(e)[:k].sum()
    ),
    "this is the sum of the k smallest. The codes take k directions away, and D - k are lost.": (
        lambda e, k: _falling(e)[-k:].sum()
    ),
    "this is the sum of the D - k largest, the largest error that there is. Which directions should the "
    "codes keep?": lambda e, k: _falling(e)[:-k].sum(),
    "these are the last D - k eigenvalues as they were given. They come in any order: sort them first.": (
        lambda e, k: e[k:].sum()
    ),
    "these are the first D - k eigenvalues as they were given. They come in any order: sort them first.": (
        lambda e, k: e[:-k].sum()
    ),
    "these are the first k eigenvalues as they were given. They come in any order, and the error is the "
    "sum of those that the codes lose.": lambda e, k: e[:k].sum(),
    "this is the mean over the D values. The task asks for the error summed over them.": (
        lambda e, k: _error_of(e, k) / len(e)
    ),
    "this is the mean of the eigenvalues that are left out. The error is their sum.": (
        lambda e, k: _error_of(e, k) / (len(e) - k)
    ),
    "this is the share of the variance that is lost. The task asks for the error itself, not divided by "
    "the total.": lambda e, k: _error_of(e, k) / e.sum(),
    "this is the share of the variance that the codes keep. The task asks for what they lose, not "
    "divided by the total.": lambda e, k: 1 - _error_of(e, k) / e.sum(),
    "this is the root of the error. The mean *squared* error is asked for.": (
        lambda e, k: _error_of(e, k).sqrt()
    ),
    "the eigenvalues are squared here. Those of a covariance are variances already.": (
        lambda e, k: _error_of(e.square(), k)
    ),
    "the roots of the eigenvalues are added here, which are standard deviations. A squared error adds "
    "variances.": lambda e, k: _error_of(e.sqrt(), k),
    "one eigenvalue is missing in the sum: k directions are kept, and D - k are left.": (
        lambda e, k: _error_of(e, k + 1)
    ),
    "one eigenvalue too many is in the sum: k directions are kept, and D - k are left.": (
        lambda e, k: _error_of(e, k - 1)
    ),
    "this is half of the error. Nothing is halved here: the squared error is a plain sum.": (
        lambda e, k: _error_of(e, k) / 2
    ),
    "this is the largest of the eigenvalues that are left out. All of them add to the error.": (
        lambda e, k: _falling(e)[k]
    ),
    "this is the whole variance, whatever k is. Each code takes one direction out of it.": (
        lambda e, k: e.sum()
    ),
    "this is the whole variance less the largest eigenvalue, whatever k is. Each of the k codes takes one "
    "direction out.": lambda e, k: e.sum() - e.max(),
    f"{_EQUAL}some that equal the last one kept are lost all the same.": (
        lambda e, k: e[e < _falling(e)[k - 1]].sum()
    ),
    f"{_EQUAL}some that equal the first one lost are kept.": lambda e, k: e[e <= _falling(e)[k]].sum(),
    f"{_EQUAL}each counts, and not only one of them.": lambda e, k: _error_of(e.unique(), k),
}

_NO_CODE: Mistakes = {
    "right for every k but 0: a slice that ends at -k is empty when k is 0. Count from the front: "
    "D - k eigenvalues are left.": lambda e, k: _error_of(e, k) if k else 0.0,
}


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
        listed = ", ".join(f"{value:g}" for value in eigenvalues.tolist())
        return f"the error for the eigenvalues [{listed}] and k = {k}"

    def one(result: Any) -> float:
        several = (
            isinstance(result, Tensor | list)
            and (result.numel() if isinstance(result, Tensor) else len(result)) > 1
        )
        expect(not several, "the error is one number: the sum of the eigenvalues that the codes leave out.")
        return number(result, "the error")

    def judge(mistakes: Mistakes, *cases: tuple[Sequence[float], int]) -> None:
        given = [{"eigenvalues": torch.tensor(values), "k": k} for values, k in cases]
        expect_function(answer, _error_of, given, mistakes=mistakes, name=name, read=one)

    judge(
        _ERRORS,
        ([0.5, 4.0, 0.1, 2.5, 1.2, 0.9], 2),
        ([1.5, 0.3, 6.0, 0.8], 1),
        ([2.0, 3.0, 2.0, 0.5, 2.0, 0.2, 0.7], 2),  # which of the equal ones is kept makes no difference
        ([0.4174, 20.0, 7.0, 0.0004, 1.0], 2),  # no small one may be dropped or rounded away
        ([1.0, 1.0, 0.0, 4.0, 0.3], 1),
    )
    judge(_NO_CODE, ([0.7, 5.0, 1.1], 3), ([0.7, 5.0, 1.1], 0), ([0.3, 0.2, 0.9, 0.8], 0), ([2.5], 0))
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


def _product(A: Tensor, B: Tensor) -> Tensor:
    return torch.linalg.qr(A).Q.T @ torch.linalg.qr(B).Q


def _angles_of(A: Tensor, B: Tensor) -> Tensor:
    return torch.linalg.svdvals(_product(A.double(), B.double())).clamp(max=1).acos()


def _acos_of(cosines: Tensor) -> Tensor:
    return cosines.clamp(-1, 1).acos().sort().values


def _unit(columns: Tensor) -> Tensor:
    return columns / columns.norm(dim=0)


_BASES: dict[str, Callable[[Tensor], Tensor]] = {
    "columns of length 1": _unit,
    "basis vectors": lambda A: torch.linalg.qr(A).Q,
}
_ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda cosines: cosines.clamp(-1, 1).acos(),
    ", sorted": _acos_of,
    ", their signs left out": lambda cosines: _acos_of(cosines.abs()),
}
_PAIRS: Mistakes = {
    f"these are angles between pairs of single vectors, the {what} of A with those of B{end}. Other vectors "
    "of the two spaces may lie closer together: the cosines are singular values of Q_Aᵀ Q_B, not its "
    "diagonal.": lambda A, B, base=base, angles=angles: angles((base(A) * base(B)).sum(0))
    for what, base in _BASES.items()
    for end, angles in _ENDS.items()
}

_ANGLES: Mistakes = {
    "all k angles are there, the largest first. Return the smallest first.": (
        lambda A, B: _angles_of(A, B).flip(0)
    ),
    "these are the cosines. The angles are asked for.": lambda A, B: _angles_of(A, B).cos(),
    "these are the cosines, the smallest first. The angles are asked for.": (
        lambda A, B: _angles_of(A, B).cos().flip(0)
    ),
    "these are the squares of the cosines. The angles are asked for.": (
        lambda A, B: _angles_of(A, B).cos().square()
    ),
    "these are degrees. The task asks for radians.": lambda A, B: _angles_of(A, B).rad2deg(),
    "this is the arcsine of the cosines. Their arccosine is the angle.": (
        lambda A, B: math.pi / 2 - _angles_of(A, B)
    ),
    "this is the arcsine of the cosines, the smallest first. Their arccosine is the angle.": (
        lambda A, B: math.pi / 2 - _angles_of(A, B).flip(0)
    ),
    "these are the sines. The angles are asked for.": lambda A, B: _angles_of(A, B).sin(),
    "a root is missing: the eigenvalues of C Cᵀ are the squares of the singular values of C.": (
        lambda A, B: _angles_of(A, B).cos().square().acos()
    ),
    "a root is missing, and the largest angle comes first: the eigenvalues of C Cᵀ are the squares of the "
    "singular values of C.": lambda A, B: _angles_of(A, B).cos().square().acos().flip(0),
    "these are the angles of A and B as they come. Their columns have any length and are not at right "
    "angles: make an orthonormal basis of each space first.": (
        lambda A, B: _acos_of(torch.linalg.svdvals(A.T @ B))
    ),
    "the columns have length 1 here, but are not yet at right angles to each other. A basis has to be "
    "orthonormal: torch.linalg.qr.": lambda A, B: _acos_of(torch.linalg.svdvals(_unit(A).T @ _unit(B))),
    "these are eigenvalues of Q_Aᵀ Q_B, which depend on the bases. Its singular values do not.": (
        lambda A, B: _acos_of(torch.linalg.eigvals(_product(A, B)).abs())
    ),
    "these are the real parts of the eigenvalues of Q_Aᵀ Q_B, which depend on the bases. Its singular values "
    "do not.": lambda A, B: _acos_of(torch.linalg.eigvals(_product(A, B)).real),
    "these are angles between single basis vectors of the space of B and the whole space of A. Other vectors "
    "of B's space may lie closer: take the singular values of Q_Aᵀ Q_B, not the lengths of its columns.": (
        lambda A, B: _acos_of(_product(A, B).norm(dim=0))
    ),
    "these are angles between single basis vectors of the space of A and the whole space of B. Other vectors "
    "of A's space may lie closer: take the singular values of Q_Aᵀ Q_B, not the lengths of its rows.": (
        lambda A, B: _acos_of(_product(A, B).norm(dim=1))
    ),
    "the orthonormal basis of the space of B is missing: both need one.": (
        lambda A, B: _acos_of(torch.linalg.svdvals(_BASES["basis vectors"](A).T @ B))
    ),
    "the orthonormal basis of the space of A is missing: both need one.": (
        lambda A, B: _acos_of(torch.linalg.svdvals(A.T @ _BASES["basis vectors"](B)))
    ),
    "this is π minus the angle: a sign is turned round. Angles between two spaces are at most π/2.": (
        lambda A, B: math.pi - _angles_of(A, B)
    ),
}


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
    pairs = [
        _planes(9, (0.2, 0.7, 1.3)),
        _planes(5, (0.4, 1.1), turned=True),
        _planes(8, (0.1, 0.5, 0.8, 1.5)),
        _planes(6, (0.9,)),
        _planes(6, (0.9,), turned=True),
    ]
    for pair in pairs[0], pairs[3]:
        _expect_k_angles(answer, pair)

    def read(result: Any) -> Tensor:
        found = tensor(result, name="the result", nan=True)
        above_one = (
            "an angle is NaN, the arccosine of a number above 1. Have your bases columns of length 1, "
        )
        expect(not found.isnan().any(), f"{above_one}at right angles to each other?")
        return found

    expect_function(
        answer,
        _angles_of,
        pairs,
        mistakes=_ANGLES | _PAIRS,
        name=lambda A, B: f"for k = {A.shape[1]} the angle",
        read=read,
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
            found = tensor(call(answer, *_planes(10, shared).values()), name="the result", nan=True)
            expect(not found.isnan().any(), rounded)
            expect_close(
                found,
                torch.tensor(shared),
                atol=6e-3,  # the arccosine of 1 - 1e-7 is 4e-4
                name="right in general; where the two spaces share a direction, the angle",
            )
            least = min(least, found[0].item())
    expect(  # of 24 cosines of shared directions one is within 8 roundings of 1, whatever the processor
        least < 1e-3,
        f"right in general; where the two spaces share a direction, the angle is 0, and yours is never below "
        f"{least:.2g}, as if cosines were limited to a number below 1. The limit is 1 itself: clamp(max=1).",
    )
    expect_close(
        tensor(call(answer, *_planes(7, (0.012, 0.5)).values()), name="the result", nan=True),
        torch.tensor([0.012, 0.5]),
        atol=2e-3,
        name="right in general; where the two spaces nearly share a direction, the angle",
    )
    return "Two bases of the same space have the angles 0, whatever their vectors are."


def _expect_k_angles(answer: Any, pair: Mapping[str, Tensor]) -> None:
    D, k = pair["A"].shape
    found = tensor(call(answer, *pair.values()), name="the result", nan=True)
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
    tensor(found, shape=(k,), name=f"the result for k = {k}", nan=True)


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
    prediction, outcome = predicted("6.3", answer, _names)
    chosen = prediction.split(", ")
    expect(isinstance(outcome, Mapping) and set(outcome) == set(_UNDER_M), _ANOTHER_EXPERIMENT)
    for name, (stays, why) in _UNDER_M.items():
        change = number(outcome[name], f"the change of {name!r}")
        expect(change < 1e-3 if stays else change > 0.05, _ANOTHER_EXPERIMENT)
        expect(stays or name not in chosen, f"{name!r} does not stay, but changes by {change:.0%}: {why}")
        expect(not stays or name in chosen, f"{name!r} stays too: {why}")
    return "The loss cannot tell these autoencoders apart: the error is the same for all of them."


_ANOTHER_EXPERIMENT = (
    "the experiment does not give what it gives as it stands in the chapter: was it changed? Take it from "
    "there again."
)


def _names(prediction: Any) -> str:
    """Return the names of a prediction, in the order of the task."""
    wanted = f'a set of names is needed, such as {{"error", "codes"}}, and this is {describe(prediction)}.'
    is_list = isinstance(prediction, Iterable) and not isinstance(prediction, str | bytes | Mapping | Tensor)
    expect(is_list, wanted)
    names = list(prediction)
    expect(all(isinstance(name, str) for name in names), f"{wanted} Each name is a text.")
    chosen = {choice(name, list(_UNDER_M), "one of the set") for name in names}
    return ", ".join(name for name in _UNDER_M if name in chosen) or "nothing"


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


def _within(
    log_densities: Mapping[int, Tensor], best: Tensor | None = None, margin: Margin = _of_differences
) -> list[int]:
    """The numbers whose mean is behind the best by at most ``margin(best, other)``, in the given order."""
    best = log_densities[_best(log_densities)] if best is None else best
    return [
        components
        for components, other in log_densities.items()
        if (best - other).mean() <= margin(best, other)
    ]


def _smallest(margin: Margin = _of_differences) -> Callable[..., int]:
    return lambda by: min(_within(by, margin=margin))


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


_AS_A_LOSS = "your answers are those for the smallest mean{}. A log-density is better the larger it is."
_CHOICES: Mistakes = {
    "your answers are the numbers with the largest mean. Smaller ones lie within a standard error of "
    "it, and the smallest of these is asked for. Compare the mean of the differences, each with its sign, "
    "with its standard error.": _best,
    "your answers are those that come out with the standard error of single means. It is large because some "
    "codes are improbable under every mixture. Subtract code by code first: what the mixtures share "
    "cancels, and the standard error is that of the difference.": _smallest(
        lambda best, other: _standard_error(best)  # or of the other, or of both: they give the same here
    ),
    "your answers are those that come out with the standard deviation of the differences. The standard "
    "error of their mean is that over √n.": _smallest(lambda best, other: (best - other).std()),
    "your answers are those that come out with the standard deviation of the log-densities. Take the "
    "standard error of the differences: their standard deviation over √n.": (
        _smallest(lambda best, other: best.std())
    ),
    "your answers are those that come out when the standard deviation is divided by n. The standard "
    "error is the standard deviation over √n.": (
        _smallest(lambda best, other: (best - other).std() / len(best))
    ),
    "your answers are those that come out with the square of the standard error. Is it the variance "
    "that was divided by n? Take the root.": (
        _smallest(lambda best, other: _of_differences(best, other).square())
    ),
    "your answers are those that come out with the variance over √n. Is the root of the variance "
    "missing?": _smallest(lambda best, other: (best - other).var() / math.sqrt(len(best))),
    "your answers are those that come out when the standard deviation is divided by the root of the number "
    "of mixtures. The mean is over n codes: divide by √n.": lambda by: _smallest(
        lambda best, other: (best - other).std() / math.sqrt(len(by))
    )(by),
    "your answers are those that come out with the standard deviation of the absolute differences. Each "
    "difference has a sign: leave it.": _smallest(lambda best, other: _standard_error((best - other).abs())),
    "your answers are those that come out with the largest of the standard errors for all. Each difference "
    "has its own.": lambda by: _smallest(
        lambda best, other: max(_of_differences(best, v) for v in by.values())
    )(by),
    "your answers are those that come out with the differences to the mixture with the most components. "
    "Subtract from the one with the largest mean.": lambda by: min(_within(by, by[max(by)])),
    "your answers are those that come out with the differences to the mixture that has the largest single "
    "log-density. The best one has the largest mean.": lambda by: min(
        _within(by, max(by.values(), key=torch.max))
    ),
    "your answers are those that come out with two standard errors. The task allows one.": (
        _smallest(lambda best, other: 2 * _of_differences(best, other))
    ),
    "your answers are the largest numbers within a standard error. The smallest is asked for.": (
        lambda by: max(_within(by))
    ),
    "your answers are the first numbers of the dictionary that lie within a standard error. Its order "
    "is not that of the numbers: take the smallest.": lambda by: _within(by)[0],
    "your answers are those that come out when a number is compared with < alone. The difference of the "
    "best one to itself is 0, and so is its standard error: it belongs to the candidates.": _strictly_within,
    "your answers are those of a walk down from the best that stops at the first number outside. "
    "Smaller ones may lie within again: look at all.": _down_from_the_best,
    _AS_A_LOSS.format(""): lambda by: _best({k: -v for k, v in by.items()}),
    _AS_A_LOSS.format(" and what is near it"): lambda by: min(_within({k: -v for k, v in by.items()})),
    "your answers are the largest mean. The number of components, its key, is asked for.": (
        lambda by: by[_best(by)].mean()
    ),
    "your answers are places in the dictionary. The number of components, its key, is asked for.": (
        lambda by: list(by).index(min(_within(by)))
    ),
    "your answers are places in the sorted dictionary. The number of components, its key, is asked for.": (
        lambda by: sorted(by).index(min(_within(by)))
    ),
    "your answers are the smallest numbers of all. Their mean has to lie within a standard error of the "
    "best.": lambda by: min(by),
}


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
                {1: (5.0, 0.1), 2: (0.3, 0.1), 3: (0.15, 0.1), 4: (0.085, 0.1), 8: (0, 0), 16: (0.02, 0.1)},
            ),
            (100, 4.0, {12: (0.4, 0.3), 3: (2.0, 0.3), 6: (0, 0), 9: (0.001, 0.02), 5: (0.08, 0.05)}),
            (250, 3.0, {2: (0.05, 0.1), 4: (0.3, 0.05), 8: (0, 0), 16: (0.5, 0.1)}),
            (120, 2.0, {2: (0.05, 0.1), 8: (0, 0), 1: (5.0, 0.2)}),  # the best is the largest
            (
                900,
                30.0,
                {
                    10: (0.01, 0.1),
                    12: (0.6, 0.3),
                    7: (0, 0),
                    4: (0.05, 0.1),
                    5: (0.0005, 0.1),
                    1: (8.0, 0.8),
                    3: (0.5, 0.8),
                },
            ),
            (50, 0.3, {3: (0, 0), 6: (0.1, 0.2), 20: (40.0, 0.1), 1: (30.0, 0.1), 2: (1.0, 0.4)}),
        )
    ]
    found = [number(call(answer, *case.values()), "the result") for case in cases]
    right = [_smallest()(*case.values()) for case in cases]
    for message, mistaken in _CHOICES.items():  # all, as one alone is easily met by chance
        expect(found == right or found != [mistaken(*case.values()) for case in cases], message)
    for value, wanted, case in zip(found, right, cases, strict=True):
        expect_close(value, wanted, name=_told(**case))
    return "What the mixtures share cancels in the differences, so that small gains can be told from noise."


def _told(log_densities: Mapping[int, Tensor]) -> str:
    """Say how far each number of components is behind the best."""
    best = log_densities[_best(log_densities)]
    behind = {number: best - values for number, values in log_densities.items()}
    parts = [f"{k} by {b.mean():.3g} ± {_standard_error(b):.3g}" for k, b in behind.items()]
    return f"where the numbers are behind the best, {', '.join(parts)} (standard errors), the answer"


# 6.5


def _loss_of(answer: Any, x: Tensor, sigma: float, generator: torch.Generator) -> tuple[Any, Tensor, Tensor]:
    """Return loss, noisy examples and the parameter of the denoiser that was shown them: scale · x + 0.1."""
    seen: list[Tensor] = []
    scale = torch.tensor(0.7, dtype=x.dtype, requires_grad=True)

    def denoise(noisy: Tensor) -> Tensor:
        seen.append(noisy.detach().clone())
        return scale * noisy + 0.1

    loss = call(answer, denoise, x, sigma, generator)
    expect(seen, "denoise is never called. The loss is about what it makes of the noisy examples.")
    expect(scale.grad is None, "your code calls backward. Return the losses; what trains on them does that.")
    if all(torch.equal(seen[0], again) for again in seen):
        seen = seen[:1]
    expect(
        len(seen) == 1 or not any(torch.equal(shown, x) for shown in seen),
        "denoise is shown the clean x, too. The target is x itself, not what denoise makes of it.",
    )
    expect(
        len(seen) == 1 or any(shown.shape != x.shape for shown in seen),
        f"denoise is called {len(seen)} times on the whole batch, each time on something else. Call it once, "
        "on the noisy examples, and compare what it makes of them with x.",
    )
    fitting = all(shown.shape[1:] == x.shape[1:] for shown in seen) and sum(map(len, seen)) == len(x)
    shapes = " and ".join(str(tuple(shown.shape)) for shown in seen[:3])
    expect(
        fitting,
        f"denoise should be shown the noisy examples in shape {tuple(x.shape)}, and is shown {shapes}.",
    )
    return loss, torch.cat(seen), scale


def _still_has_the_bug(answer: Any, x: Tensor, sigma: float) -> bool:
    """Tell whether an answer gives, and makes of x, what the function with the bug does."""

    def given(denoise: Callable[[Tensor], Tensor], x: Tensor, sigma: float, dice: torch.Generator) -> Tensor:
        x += sigma * torch.randn(x.shape, generator=dice, dtype=x.dtype)
        return (denoise(x) - x).square().flatten(1).sum(1)

    def outcome(function: Any) -> tuple[Any, Tensor]:
        own = x.clone()
        return function(lambda noisy: 0.7 * noisy, own, sigma, torch.Generator().manual_seed(1)), own

    try:
        return all(torch.equal(a, b) for a, b in zip(outcome(answer), outcome(given), strict=True))
    except Exception:  # told, with its line, when it is called again
        return False


def _expect_noise(noise: Tensor, sigma: float) -> None:
    """Raise ``Wrong`` unless ``noise`` can be draws from N(0, sigma²), one for each value."""
    mean, sd, flat = noise.mean().item(), noise.std().item(), noise.flatten(1)
    expect(
        sd > 1e-6 or abs(mean) > 1e-6,
        "denoise is shown x without noise. What it is shown is noisy; the target is clean.",
    )
    for guess, value in (("sigma²", sigma**2), ("the root of sigma", math.sqrt(sigma)), ("1", 1.0)):
        expect(
            abs(sd - value) > 6 * value / math.sqrt(2 * noise.numel()),
            f"at sigma = {sigma:g} the noise has the standard deviation {sd:.3g}, as if {guess} stood where "
            "sigma belongs.",
        )
    error = sigma / math.sqrt(noise.numel())
    expect(
        abs(mean) < 6 * error
        and abs(sd - sigma) < 6 * error / math.sqrt(2)
        and noise.abs().max() > 2.5 * sigma
        and not is_close(flat, flat[:1].expand_as(flat))
        and not is_close(flat, flat[:, :1].expand_as(flat)),
        "what denoise is shown, minus x, should be a draw from N(0, sigma²) for each value, and here it is "
        f"not: at sigma = {sigma:g} mean and standard deviation are {mean:.3g} and {sd:.3g}. The noise was "
        "right as given.",
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
    try:
        (gradient,) = torch.autograd.grad(found.sum(), scale, allow_unused=True)
    except RuntimeError as error:
        raise Wrong(
            "the values are right, but the denoiser's gradient cannot be computed: it needs what denoise "
            "was shown, and this was overwritten afterwards. Put the noisy examples into a new tensor, and "
            "leave x alone."
        ) from error
    expect(gradient is not None, "the values are right, but no gradient reaches the denoiser.")
    expect_close(gradient, wanted, rtol=1e-3, name="the values are right; the derivative by a parameter")


@exercise(
    "6.5",
    "A denoiser that learns nothing",
    hints=(
        "Try the function with a denoiser that changes nothing, lambda x: x, on zeros. What should its loss "
        "be, and what is it? What has become of the zeros?",
        "When the difference is taken, which values does the name x stand for?",
        "Give the noisy examples a name of their own, in a new tensor. Then x is still the clean target, "
        "and still what the caller gave.",
    ),
)
def _denoising_loss(answer: Any) -> str:
    def generator(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    if all(
        _still_has_the_bug(answer, torch.rand(shape), sigma)
        for shape, sigma in (((3, 2), 0.5), ((2, 4), 2.0))
    ):
        raise NotAttempted("it still does what it did")
    for shape, sigma, seed in (((200, 6), 0.5, 1), ((80, 1, 3, 5), 2.0, 2), ((150, 8), 0.1, 3)):
        x = torch.rand(shape)
        loss, noisy, scale = _loss_of(answer, x, sigma, generator(seed))
        expect(
            not is_close(noisy, _loss_of(answer, 1 - x, sigma, generator(seed))[1]),
            "what denoise is shown is the same for another x, if the noise is the same. Perhaps it is the "
            "noise alone, and x is missing: show it x + sigma * eps.",
        )
        _expect_noise(noisy - x, sigma)
        _expect_loss(loss, x, noisy, sigma, scale)

    x = torch.rand(1, 40, dtype=torch.float64)
    loss, noisy, scale = _loss_of(answer, x, 0.5, generator(6))
    _expect_loss(loss, x, noisy, 0.5, scale)

    x = torch.rand(1, 1)
    noise = _loss_of(answer, x, 0.5, generator(7))[1] - x
    expect(
        noise.isfinite().all() and noise.abs() > 1e-6,
        f"for a single value the noise is {noise.item():g}, as if mean or standard deviation of the batch's "
        "own noise were taken out of it. Draws from N(0, sigma²) stay as they are.",
    )

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


_SHRUNK: Mistakes = {  # y for noisy, m for the mean, v for the variance, s for the variance of the noise
    "the product of σ² and the score of x is added to the mean. Tweedie's formula adds it to noisy.": (
        lambda y, m, v, s: m - s * (y - m) / (v + s)
    ),
    "the weights have changed places. The smaller the noise, the closer to noisy the answer must be.": (
        lambda y, m, v, s: _posterior_mean(y, m, s, v)
    ),
    "v is taken for the variance of noisy here. Tweedie's formula has the score of x of the density of "
    "noisy, and the noise adds to its variance.": lambda y, m, v, s: y - s * (y - m) / v,
    "the score of x is added as it is. Tweedie's formula multiplies it by the variance of the noise.": (
        lambda y, m, v, s: y - (y - m) / (v + s)
    ),
    "this moves noisy away from the mean: the sign of the score of x is turned round.": (
        lambda y, m, v, s: y + s * (y - m) / (v + s)
    ),
    "the score of x is multiplied by σ. Tweedie's formula has σ², and noise_variance is σ².": (
        lambda y, m, v, s: y - s.sqrt() * (y - m) / (v + s)
    ),
    "noise_variance is squared here where it multiplies the score of x. It is σ² already.": (
        lambda y, m, v, s: y - s**2 * (y - m) / (v + s)
    ),
    "noise_variance is squared here. It is σ² already.": lambda y, m, v, s: _posterior_mean(y, m, v, s**2),
    "both variances are squared here, and they are variances already.": (
        lambda y, m, v, s: _posterior_mean(y, m, v**2, s**2)
    ),
    "standard deviations stand where variances belong: no root is needed.": (
        lambda y, m, v, s: _posterior_mean(y, m, v.sqrt(), s.sqrt())
    ),
    "standard deviations are added here. Of independent terms the variances add up.": (
        lambda y, m, v, s: y - s * (y - m) / (v.sqrt() + s.sqrt()) ** 2
    ),
    "the score of x has the standard deviation of noisy in its denominator. The variance belongs there.": (
        lambda y, m, v, s: y - s * (y - m) / (v + s).sqrt()
    ),
    "noisy is pulled towards 0 here. x has the mean m.": lambda y, m, v, s: v / (v + s) * y,
    "the score of x has the square of v + σ² in its denominator, as if a variance were given to Normal for a "
    "scale. Normal wants the root.": lambda y, m, v, s: y - s * (y - m) / (v + s) ** 2,
    "the weight is the root of v/(v + σ²) here. It is a ratio of variances: no root is needed.": (
        lambda y, m, v, s: m + (v / (v + s)).sqrt() * (y - m)
    ),
    "the variance of x given noisy, v σ²/(v + σ²), stands in place of the weight v/(v + σ²).": (
        lambda y, m, v, s: m + v * s / (v + s) * (y - m)
    ),
    "this is E[x | noisy] - m: the mean is not added again.": lambda y, m, v, s: v / (v + s) * (y - m),
    "m is added, but not subtracted from noisy before. The weight belongs to noisy - m.": (
        lambda y, m, v, s: m + v / (v + s) * y
    ),
    "this lies halfway between m and noisy, whatever the variances are. The one with the smaller "
    "variance should count more.": lambda y, m, v, s: (m + y) / 2,
    "this is noisy itself. Part of it is noise.": lambda y, m, v, s: y,
    "this is m, the mean without knowing noisy. noisy tells something about x.": lambda y, m, v, s: m,
    "this is the score of x alone, of the density of noisy. Put it into Tweedie's formula.": (
        lambda y, m, v, s: -(y - m) / (v + s)
    ),
    "this is the product of σ² and the score of x. Tweedie's formula adds it to noisy.": (
        lambda y, m, v, s: -s * (y - m) / (v + s)
    ),
    "this is the variance of x given noisy. Its mean is asked for.": lambda y, m, v, s: v * s / (v + s),
    "this is the weight v/(v + σ²) alone. It is the share of noisy - m that is kept.": (
        lambda y, m, v, s: v / (v + s)
    ),
    "the weight is v/σ² here, which may be larger than 1. Divide by the variance of noisy.": (
        lambda y, m, v, s: m + v / s * (y - m)
    ),
    "m and noisy are weighted by the precisions 1/v and 1/σ², and their sum is not divided by the sum of the "
    "weights.": lambda y, m, v, s: m / v + y / s,
    "the score of x has the squares of the two variances in its denominator. They are variances already, and "
    "add up as they are.": lambda y, m, v, s: y - s * (y - m) / (v**2 + s**2),
    "the variance of noisy is v - σ² here. Noise adds to the variance.": (
        lambda y, m, v, s: y - s * (y - m) / (v - s)
    ),
}


def _in_full(mistaken: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the same mistake with its result in the shape to which all arguments broadcast."""
    return lambda *given: mistaken(*given).expand(torch.broadcast_shapes(*(part.shape for part in given)))


# Some need only one or two of the arguments, and may be written in either shape.
_SHRUNK = {message: _in_full(mistaken) for message, mistaken in _SHRUNK.items()} | {
    f"{message} Nor has it the shape to which all arguments broadcast.": mistaken
    for message, mistaken in _SHRUNK.items()
}


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
        {  # (5, 1) and (4,), with little and much of either variance side by side
            "noisy": torch.tensor([[-2.0], [0.5], [3.0], [-30.0], [1.0]]),
            "mean": torch.tensor([-1.0, 0.7, 20.0, 0.2]),
            "variance": torch.tensor([0.01, 1.7, 300.0, 1e-6]),
            "noise_variance": torch.tensor([[0.02], [0.6], [5.0], [400.0], [1e-6]]),
        },
        {
            "noisy": torch.tensor([2.0, -1.0]),
            "mean": torch.tensor([0.0, 3.0]),
            "variance": torch.tensor([2.5, 0.2]),
            "noise_variance": torch.tensor([0.5, 0.7]),
        },
    ]
    first, again = (tensor(call(answer, *cases[0].values()), name="the result") for _ in range(2))
    expect(
        is_close(first, again),
        "your function gives other values at each call. The expectation is asked for, and not a draw.",
    )

    def name(*given: Tensor) -> str:
        return (
            f"E[x | noisy] for arguments of the shapes {', '.join(str(tuple(part.shape)) for part in given)}"
        )

    expect_function(answer, _posterior_mean, cases, mistakes=_SHRUNK, name=name)
    return "No rule of Bayes was needed: the score of x of the noisy density is enough."
