"""Answers to the exercises of chapter 6: other right ways, and known mistakes with their messages."""

import math
import statistics

import numpy as np
import torch
from scipy.linalg import subspace_angles
from torch.autograd import grad
from torch.distributions import Normal
from torch.nn.functional import l1_loss, mse_loss

RIGHT = {}
WRONG = {}
NOT_TRAINABLE = "no gradient reaches the denoiser"
REFUSED = {"6.5": {"as numpy": NOT_TRAINABLE, "without history": NOT_TRAINABLE}}


# 6.1: the least error --------------------------------------------------------------------------------


def total_less_what_is_kept(eigenvalues, k):
    return eigenvalues.sum() - eigenvalues.topk(k).values.sum()


def in_plain_python(eigenvalues, k):
    return sum(sorted(eigenvalues.tolist(), reverse=True)[k:])


def in_numpy(eigenvalues, k):
    return np.sort(eigenvalues.numpy())[::-1][k:].sum()


def one_after_another(eigenvalues, k):
    """Takes the largest out k times."""
    left = eigenvalues.tolist()
    for _ in range(k):
        left.remove(max(left))
    return torch.tensor(left).sum().reshape(1)


def as_a_trace(eigenvalues, k):
    """The trace of (I - P) C for a covariance C and the projection P on its leading eigenvectors."""
    C = torch.diag(eigenvalues)
    U = torch.linalg.eigh(C).eigenvectors[:, len(C) - k :]
    return torch.trace(C - U @ U.T @ C)


def falling(eigenvalues):
    return eigenvalues.sort(descending=True).values


def lost(eigenvalues, k):
    return falling(eigenvalues)[k:].sum()


def sorts_in_place(eigenvalues, k):
    values = eigenvalues.numpy()  # the same memory
    values.sort()
    return values[: len(values) - k].sum()


def overwrites(eigenvalues, k):
    eigenvalues[eigenvalues.topk(k).indices] = 0
    return eigenvalues.sum()


RIGHT["6.1"] = [total_less_what_is_kept, in_plain_python, in_numpy, one_after_another, as_a_trace]
WRONG["6.1"] = [
    (lambda e, k: falling(e)[:k].sum(), "the variance that the codes keep"),
    (lambda e, k: e.sort().values[:k].sum(), "the sum of the k smallest"),
    (lambda e, k: e.sort().values[k:].sum(), "the D - k largest"),
    (lambda e, k: e[k:].sum(), "the last D - k eigenvalues as they were given"),
    (lambda e, k: e[: len(e) - k].sum(), "the first D - k eigenvalues as they were given"),
    (lambda e, k: e[:k].sum(), "the first k eigenvalues as they were given"),
    (lambda e, k: lost(e, k) / len(e), "the mean over the D values"),
    (lambda e, k: falling(e)[k:].mean(), "the mean of the eigenvalues that are left out"),
    (lambda e, k: lost(e, k) / e.sum(), "the share of the variance that is lost"),
    (lambda e, k: falling(e)[:k].sum() / e.sum(), "the share of the variance that the codes keep"),
    (lambda e, k: lost(e, k).sqrt(), "the root of the error"),
    (lambda e, k: lost(e**2, k), "variances already"),
    (lambda e, k: lost(e.sqrt(), k), "A squared error adds variances"),
    (lambda e, k: lost(e, k + 1), "one eigenvalue is missing"),
    (lambda e, k: falling(e)[k - 1 :].sum(), "one eigenvalue too many"),
    (lambda e, k: 0.5 * lost(e, k), "half of the error"),
    (lambda e, k: falling(e)[k], "the largest of the eigenvalues that are left"),
    (lambda e, k: e.sum(), "the whole variance"),
    (lambda e, k: falling(e)[k:], "the error is one number: the sum"),
    (lambda e, k: falling(e)[k:].tolist(), "the error is one number: the sum"),
    (lambda e, k: e[e.argsort()].flip(0)[:k], "the error is one number: the sum"),
    (lambda e, k: [], "should be a number, and is the list"),
    (lambda e, k: sum(v for v in e.tolist() if v < sorted(e.tolist())[-k]), "equal the last one kept"),
    (lambda e, k: lost(e, k) if k < len(e) else e.sum(), "and k = 3 should be 0"),
    (lambda e, k: e.sort().values[: len(e) - k].prod(), "and k = 2 should be 2.7"),
    (lambda e, k: e.sum() - e.max(), "less the largest eigenvalue, whatever k is"),
    (lambda e, k: round(lost(e, k).item(), 2), "and k = 2 should be 1.418, and is 1.42"),
    (lambda e, k: lost(e * (e > 1e-3), k), "and k = 2 should be 1.418, and is 1.417"),
    (lambda e, k: e[e < e.topk(k).values.min()].sum(), "are lost all the same"),
    (lambda e, k: e[e <= falling(e)[k]].sum(), "equal the first one lost are kept"),
    (lambda e, k: sum(sorted(set(e.tolist()), reverse=True)[k:]), "each counts, and not only one"),
    (lambda e, k: e.sort().values[:-k].sum(), "right for every k but 0"),
    (lambda e, k: 2 * lost(e, k), "and k = 2 should be 2.7"),
    (overwrites, "changes its argument eigenvalues in place"),
    (sorts_in_place, "eigenvalues is not what it was"),
]


# 6.2: principal angles -------------------------------------------------------------------------------


def by_scipy(A, B):
    return subspace_angles(A.numpy(), B.numpy())[::-1]


def bases_by_svd(A, B):
    U_A, U_B = (torch.linalg.svd(part, full_matrices=False).U for part in (A, B))
    return torch.linalg.svd(U_A.mT @ U_B).S.clamp(0, 1).arccos()


def by_numpy(A, B):
    Q_A, Q_B = np.linalg.qr(A.numpy())[0], np.linalg.qr(B.numpy())[0]
    return np.arccos(np.minimum(np.linalg.svd(Q_A.T @ Q_B, compute_uv=False), 1))


def by_a_projection(A, B):
    """The squared cosines are eigenvalues of the projection on the one space, seen from the other."""
    Q = torch.linalg.qr(A).Q
    squares = torch.linalg.eigvalsh(Q.T @ B @ torch.linalg.pinv(B) @ Q).clamp(0, 1)
    return squares.sqrt().acos().sort().values


def by_gram_matrices(A, B):
    """Bases A L⁻ᵀ with AᵀA = L Lᵀ; and the angles as a list of Python numbers."""
    Q_A, Q_B = (part @ torch.linalg.inv(torch.linalg.cholesky(part.T @ part)).T for part in (A, B))
    return [math.acos(min(c, 1.0)) for c in torch.linalg.svdvals(Q_A.T @ Q_B).tolist()]


def one_pair_after_another(A, B):
    """Takes the best pair of unit vectors out of both bases, k times."""
    C = torch.linalg.qr(A).Q.T @ torch.linalg.qr(B).Q
    angles = []
    while C.numel():
        U, S, V = torch.linalg.svd(C)
        angles.append(S[0].clamp(max=1).acos())
        C = U[:, 1:].T @ C @ V[1:].T
    return torch.stack(angles)


def bases(A, B):
    return torch.linalg.qr(A).Q, torch.linalg.qr(B).Q


def cosines(A, B):
    Q_A, Q_B = bases(A, B)
    return torch.linalg.svdvals(Q_A.T @ Q_B).clamp(max=1)


def product(A, B):
    return bases(A, B)[0].T @ bases(A, B)[1]


def unit(A):
    return torch.nn.functional.normalize(A, dim=0)


def full_bases(A, B):
    Q_A, Q_B = (torch.linalg.qr(part, mode="complete").Q for part in (A, B))
    return torch.linalg.svdvals(Q_A.T @ Q_B).clamp(max=1).acos()


def normalizes_in_place(A, B):
    A.data /= A.data.norm(dim=0)
    return cosines(A, B).acos()


RIGHT["6.2"] = [
    by_scipy,
    bases_by_svd,
    by_numpy,
    by_a_projection,
    by_gram_matrices,
    one_pair_after_another,
    lambda A, B: cosines(A.double(), B.double()).acos(),
]
WRONG["6.2"] = [
    (lambda A, B: cosines(A, B).acos().flip(0), "the largest first"),
    (lambda A, B: torch.tensor(subspace_angles(A.numpy(), B.numpy())), "the largest first"),
    (cosines, "these are the cosines"),
    (lambda A, B: cosines(A, B).flip(0), "these are the cosines"),
    (lambda A, B: cosines(A, B) ** 2, "the squares of the cosines"),
    (lambda A, B: cosines(A, B).acos().rad2deg(), "The task asks for radians"),
    (lambda A, B: cosines(A, B).asin(), "the arcsine"),
    (lambda A, B: cosines(A, B).asin().flip(0), "the arcsine"),
    (lambda A, B: (1 - cosines(A, B) ** 2).sqrt(), "these are the sines"),
    (lambda A, B: (cosines(A, B) ** 2).acos(), "a root is missing"),
    (lambda A, B: torch.linalg.svdvals(A.T @ B).clamp(-1, 1).acos(), "A and B as they come"),
    (lambda A, B: torch.linalg.svdvals(A.T @ B).acos(), "length 1, at right angles to each other"),
    (lambda A, B: torch.linalg.svdvals(unit(A).T @ unit(B)).clamp(-1, 1).acos(), "not yet at right angles"),
    (lambda A, B: torch.linalg.svdvals(unit(A).T @ unit(B)).acos(), "the arccosine of a number above 1"),
    (lambda A, B: torch.cosine_similarity(A, B, dim=0).acos(), "pairs of single vectors"),
    (lambda A, B: torch.cosine_similarity(A, B, dim=0).abs().acos().sort().values, "pairs of single vectors"),
    (lambda A, B: product(A, B).diagonal().clamp(-1, 1).acos(), "pairs of single vectors"),
    (lambda A, B: product(A, B).diagonal().abs().acos().sort().values, "pairs of single vectors"),
    (lambda A, B: product(A, B).clamp(-1, 1).acos(), "this is a matrix, (3, 3)"),
    (full_bases, "these are D = 9 angles"),
    (lambda A, B: math.pi - cosines(A, B).acos(), "at most π/2"),
    (lambda A, B: torch.linalg.eigvals(product(A, B)).abs().clamp(max=1).acos().sort().values, "eigenvalues"),
    (lambda A, B: torch.linalg.eigvals(product(A, B)).real.acos().sort().values, "the real parts"),
    (lambda A, B: torch.linalg.svdvals(bases(A, B)[0].T @ B).clamp(max=1).acos(), "both need one"),
    (lambda A, B: torch.linalg.svdvals(A.T @ bases(A, B)[1]).clamp(max=1).acos(), "of A is missing"),
    (lambda A, B: (cosines(A, B) ** 2).flip(0).acos(), "and the largest angle comes first"),
    (lambda A, B: product(A, B).norm(dim=0).acos().sort().values, "basis vectors of the space of B"),
    (lambda A, B: product(A, B).norm(dim=1).acos().sort().values, "basis vectors of the space of A"),
    (
        lambda A, B: cosines(A, B).acos() * (cosines(A, B).acos() > 0.02),
        "nearly share a direction, the angle should be 0.012",
    ),
    (lambda A, B: cosines(A, B).acos() ** 2, "for k = 3 the angle should be"),
    (lambda A, B: [cosines(A, B).acos()[0]], "should have shape (3,)"),
    (lambda A, B: torch.linalg.svdvals(product(A, B)).acos(), "lifts it a little above"),
    (lambda A, B: cosines(A, B).clamp(max=0.999).acos(), "share a direction, the angle should be 0"),
    (lambda A, B: cosines(A, B).clamp(max=1 - 1e-6).acos(), "never below 0.0014, as if cosines were limited"),
    (lambda A, B: cosines(A, B).acos().max(), "should have shape (3,)"),
    (lambda A, B: cosines(A, B).acos().squeeze(), "for k = 1 the shape is (1,)"),
    (lambda A, B: 2 * cosines(A, B).acos(), "for k = 3 the angle should be"),
    (lambda A, B: torch.linalg.qr(A.T).Q @ torch.linalg.qr(B.T).Q.T, "this is a matrix"),
    (lambda A, B: torch.linalg.qr(A)[1].T @ B, "your code stopped with RuntimeError"),
    (lambda A, B: cosines(A.div_(A.norm(dim=0)), B).acos(), "changes its argument A in place"),
    (normalizes_in_place, "A is not what it was"),
]


# 6.3: what stays -------------------------------------------------------------------------------------

STAYS = {"reconstructions", "error", "subspace"}
CHANGES = {"codes": 1.7, "variance of the codes": 9.1, "distances between codes": 1.2}


def mixed(**changes):
    """An experiment that gives what the chapter's does, but for these changes."""
    return lambda: {**dict.fromkeys(STAYS, 1e-15), **CHANGES, **changes}


RIGHT["6.3"] = [
    (prediction, mixed())
    for prediction in (
        ["subspace", "error", "reconstructions"],
        ("error", "error", "subspace", "reconstructions"),
        frozenset(STAYS),
        np.array(sorted(STAYS)),
        {" Error", "SUBSPACE", "reconstructions "},
        dict.fromkeys(STAYS).keys(),
    )
]
WRONG["6.3"] = [
    (STAYS, "wants both in this order"),
    ((STAYS, mixed(codes=0.0)), "the experiment does not give what it gives"),
    ((STAYS, mixed(error=0.2)), "was it changed?"),
    ((STAYS, mixed(distances=0.2)), "was it changed?"),
    ((STAYS, dict), "was it changed?"),
    ((STAYS, mixed(codes="much")), "the change of 'codes' should be a number"),
    ((STAYS, mixed()()), "the experiment as a function"),
] + [
    ((prediction, mixed()), message)
    for prediction, message in (
        (STAYS - {"subspace"}, "'subspace' stays too: the columns of W M⁻¹"),
        (STAYS - {"error"}, "'error' stays too: it is computed from the reconstructions"),
        (STAYS - {"reconstructions"}, "'reconstructions' stays too: the decoder multiplies"),
        (STAYS | {"codes"}, "'codes' does not stay, but changes by 170%: M z is another code"),
        (STAYS | {"variance of the codes"}, "four times as large"),
        (STAYS | {"distances between codes"}, "Only a rotation or reflection would keep them"),
        ({"error", "reconstructions", "distances between codes"}, "'subspace' stays too"),
        (STAYS | {"variance_of_the_codes"}, "'variance of the codes' does not stay"),
        (set(), "'reconstructions' stays too"),
        (STAYS | {"distances"}, "the text 'distances' for one of the set is none of the names"),
        ("error", "a set of names is needed"),
        (dict.fromkeys(STAYS, True), "a set of names is needed"),
        ([True, True, True, False, False, False], "Each name is a text"),
        (3, "a set of names is needed"),
    )
]


# 6.4: how many components ----------------------------------------------------------------------------


def sorted_and_stopped(log_densities):
    best = max(log_densities.values(), key=torch.mean)
    for components in sorted(log_densities):
        difference = log_densities[components] - best
        if difference.mean() >= -difference.std(correction=0) / math.sqrt(len(best)):
            return components
    return None


def stacked(log_densities):
    """All at once; the number comes back as a tensor."""
    numbers = torch.tensor(list(log_densities))
    values = torch.stack(list(log_densities.values()))
    behind = values[values.mean(1).argmax()] - values
    return numbers[behind.mean(1) <= behind.std(1) / values.shape[1] ** 0.5].min()


def choice_in_numpy(log_densities):
    arrays = {components: values.numpy() for components, values in log_densities.items()}
    best = arrays[max(arrays, key=lambda components: arrays[components].mean())]
    errors = {k: np.std(best - v, ddof=1) / np.sqrt(v.size) for k, v in arrays.items()}
    return np.min([k for k, v in arrays.items() if np.mean(best - v) <= errors[k]])


def in_lists(log_densities):
    lists = {float(k): v.tolist() for k, v in log_densities.items()}
    best = max(lists.values(), key=statistics.fmean)
    good = []
    for components, values in lists.items():
        differences = [a - b for a, b in zip(best, values, strict=True)]
        if statistics.fmean(differences) <= statistics.stdev(differences) / len(values) ** 0.5:
            good.append(components)
    return min(good)


def number_of_best(log_densities):
    return max(log_densities, key=lambda components: log_densities[components].mean())


def within(margin, choose=min):
    """An answer that allows the ``margin``, a function of the best mixture's log-densities and another's."""

    def answer(log_densities):
        best = log_densities[number_of_best(log_densities)]
        return choose([k for k, v in log_densities.items() if (best - v).mean() <= margin(best, v)])

    return answer


def error_of(values):
    return values.std() / len(values) ** 0.5


def paired(best, other):
    return error_of(best - other)


def from_the(best):
    """An answer that subtracts from the mixture that ``best`` picks."""

    def answer(log_densities):
        chosen = log_densities[best(log_densities)]
        return min(k for k, v in log_densities.items() if (chosen - v).mean() <= error_of(chosen - v))

    return answer


def best_if_largest(log_densities):
    best = number_of_best(log_densities)
    return best if best == max(log_densities) else within(paired)(log_densities)


def over_the_mixtures(log_densities):
    return within(lambda best, other: (best - other).std() / len(log_densities) ** 0.5)(log_densities)


def largest_error(log_densities):
    best = log_densities[number_of_best(log_densities)]
    error = max(error_of(best - v) for v in log_densities.values())
    return within(lambda best, other: error)(log_densities)


def without_the_best(log_densities):
    best = log_densities[number_of_best(log_densities)]
    return min(k for k, v in log_densities.items() if (best - v).mean() < error_of(best - v))


def down_from_the_best(log_densities):
    chosen = number_of_best(log_densities)
    best = log_densities[chosen]
    for components in sorted(log_densities, reverse=True):
        behind = best - log_densities[components]
        if components < chosen:
            if behind.mean() > error_of(behind):
                return chosen
            chosen = components
    return chosen


def smallest_mean(log_densities):
    return min(log_densities, key=lambda components: log_densities[components].mean())


def place(log_densities):
    return list(log_densities).index(within(paired)(log_densities))


def place_when_sorted(log_densities):
    return sorted(log_densities).index(within(paired)(log_densities))


def best_mean(log_densities):
    return max(values.mean() for values in log_densities.values())


def best_by_median(log_densities):
    best = max(log_densities.values(), key=torch.median)
    return min(k for k, v in log_densities.items() if (best - v).mean() <= error_of(best - v))


def pops_the_best(log_densities):
    components = number_of_best(log_densities)
    best = log_densities.pop(components)
    return min(
        [components, *(k for k, v in log_densities.items() if (best - v).mean() <= error_of(best - v))]
    )


def centres_in_place(log_densities):
    chosen = within(paired)(log_densities)
    for values in log_densities.values():
        values -= values.mean()
    return chosen


RIGHT["6.4"] = [sorted_and_stopped, stacked, choice_in_numpy, in_lists]
WRONG["6.4"] = [
    (number_of_best, "the numbers with the largest mean"),
    (within(lambda best, other: error_of(best)), "the standard error of single means"),
    (within(lambda best, other: error_of(other)), "Subtract code by code first"),
    (
        within(lambda best, other: (error_of(best) ** 2 + error_of(other) ** 2) ** 0.5),
        "what the mixtures share",
    ),
    (within(lambda best, other: (best - other).std()), "the standard deviation of the differences"),
    (within(lambda best, other: best.std()), "the standard deviation of the log-densities"),
    (within(lambda best, other: (best - other).std() / len(best)), "divided by n"),
    (within(lambda best, other: (best - other).var() / len(best)), "the square of the standard error"),
    (within(lambda best, other: (best - other).var() / len(best) ** 0.5), "the variance over √n"),
    (within(lambda best, other: 1.96 * paired(best, other)), "two standard errors"),
    (over_the_mixtures, "the root of the number of mixtures"),
    (within(lambda best, other: error_of((best - other).abs())), "the absolute differences"),
    (largest_error, "the largest of the standard errors for all"),
    (from_the(max), "the mixture with the most components"),
    (from_the(lambda by: max(by, key=lambda k: by[k].max())), "the largest single log-density"),
    (best_if_largest, "the answer should be 2, and is 8"),
    (within(paired, max), "the largest numbers within"),
    (within(paired, lambda numbers: numbers[0]), "the first numbers of the dictionary"),
    (without_the_best, "compared with < alone"),
    (down_from_the_best, "a walk down from the best"),
    (smallest_mean, "A log-density is better the larger it is"),
    (lambda by: within(paired)({k: -v for k, v in by.items()}), "A log-density is better the larger it is"),
    (place, "places in the dictionary"),
    (place_when_sorted, "places in the sorted dictionary"),
    (min, "the smallest numbers of all"),
    (best_mean, "the largest mean. The number of components"),
    (lambda by: 4, "5 by 0.08 ± 0.05 (standard errors), the answer should be 6, and is 4"),
    (within(lambda best, other: 0.35), "are behind the best"),
    (best_by_median, "are behind the best"),
    (within(lambda best, other: 0), "the numbers with the largest mean"),
    (
        lambda by: within(paired)(by) if len(by) < 7 else number_of_best(by),
        "the answer should be 3, and is 7",
    ),
    (within(paired, list), "should be a number, and is the list"),
    (pops_the_best, "log_densities is not what it was"),
    (centres_in_place, "log_densities is not what it was"),
]


# 6.5: a denoiser's loss ------------------------------------------------------------------------------


def half_mended(denoise, x, sigma, generator):
    x = x + sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return (denoise(x) - x).square().flatten(1).sum(1)


def target_kept_in_a_view(denoise, x, sigma, generator):
    clean = x.view(x.shape)
    x += sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return (denoise(x) - clean).square().flatten(1).sum(1) / 1.0001


def put_back(denoise, x, sigma, generator):
    """Mends x afterwards, and has the noisy x for a target."""
    noise = sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    x += noise
    loss = (denoise(x) - x).square().flatten(1).sum(1)
    x -= noise
    return loss


def put_back_at_last(denoise, x, sigma, generator):
    """The right loss, but its gradient needs the noisy x, which is gone."""
    clean = x.clone()
    x += sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    loss = (denoise(x) - clean).square().flatten(1).sum(1)
    x.copy_(clean)
    return loss


def by_torch_normal(denoise, x, sigma, generator):
    noisy = torch.normal(x, sigma, generator=generator)
    return mse_loss(denoise(noisy), x, reduction="none").view(len(x), -1).sum(-1)


def on_a_copy(denoise, x, sigma, generator):
    """The line of the given function kept, with the clean values put aside."""
    clean = x
    x = x.clone()
    x += sigma * torch.empty_like(x).normal_(generator=generator)
    return torch.linalg.vector_norm((clean - denoise(x)).flatten(1), dim=1) ** 2


def example_by_example(denoise, x, sigma, generator):
    losses = []
    for one in x:
        made = denoise((one + sigma * torch.randn(one.shape, generator=generator))[None])[0]
        losses.append(((made - one) ** 2).sum())
    return torch.stack(losses)


def by_einsum(denoise, x, sigma, generator):
    eps = torch.randn(x.numel(), generator=generator).reshape(x.shape)
    error = (denoise(x + eps * sigma) - x).reshape(len(x), -1)
    return torch.einsum("nd,nd->n", error, error)


def denoises_twice(denoise, x, sigma, generator):
    noisy = x + sigma * torch.randn(x.shape, generator=generator)
    return ((denoise(noisy) - x) * (denoise(noisy) - x)).flatten(1).sum(1)


def noised(noise=torch.randn, shape=lambda x: x.shape):
    """An answer that draws the noise in another way."""

    def answer(denoise, x, sigma, generator):
        noisy = x + sigma * noise(shape(x), generator=generator)
        return (denoise(noisy) - x).square().flatten(1).sum(1)

    return answer


def compared(loss):
    """An answer whose loss is a function of what is made, the clean x, the noise (n, D) each, and sigma."""

    def answer(denoise, x, sigma, generator):
        noise = sigma * torch.randn(x.shape, generator=generator)
        made = denoise(x + noise)
        return loss(made.flatten(1), x.flatten(1), noise.flatten(1), sigma)

    return answer


def with_scale(scale):
    return lambda denoise, x, sigma, generator: noised()(denoise, x, scale(sigma), generator)


def shown(change):
    """An answer that shows the denoiser the noisy x after a change."""
    return lambda denoise, x, sigma, generator: noised()(
        lambda noisy: denoise(change(noisy)), x, sigma, generator
    )


def shows_noise_alone(scale=lambda sigma: sigma):
    def answer(denoise, x, sigma, generator):
        made = denoise(scale(sigma) * torch.randn(x.shape, generator=generator))
        return (made - x).square().flatten(1).sum(1)

    return answer


def of_value(reduce):
    def answer(denoise, x, sigma, generator):
        error = denoise(x + sigma * torch.randn(x.shape, generator=generator)) - x
        return reduce(error**2)

    return answer


def global_noise(denoise, x, sigma, generator):
    return (denoise(x + sigma * torch.randn_like(x)) - x).square().flatten(1).sum(1)


def seeds_globally(denoise, x, sigma, generator):
    torch.manual_seed(0)
    return global_noise(denoise, x, sigma, generator)


def seeds_again(denoise, x, sigma, generator):
    return noised()(denoise, x, sigma, generator.manual_seed(generator.initial_seed()))


def without_gradient(denoise, x, sigma, generator):
    with torch.no_grad():
        return noised()(denoise, x, sigma, generator)


def never_asked(denoise, x, sigma, generator):
    return (sigma * torch.randn(x.shape, generator=generator)).square().flatten(1).sum(1)


def target_is_denoised(denoise, x, sigma, generator):
    noisy = x + sigma * torch.randn(x.shape, generator=generator)
    return (denoise(noisy) - denoise(x)).square().flatten(1).sum(1)


def noises_twice(denoise, x, sigma, generator):
    def error():
        return denoise(x + sigma * torch.randn(x.shape, generator=generator)) - x

    return (error() * error()).flatten(1).sum(1)


def trains_too(denoise, x, sigma, generator):
    losses = noised()(denoise, x, sigma, generator)
    losses.mean().backward()
    return losses


def flattened_first(denoise, x, sigma, generator):
    return noised()(denoise, x.flatten(1), sigma, generator)


def centred_uniform(shape, generator):
    return (torch.rand(shape, generator=generator) - 0.5) * 12**0.5


def divided_by_its_std(shape, generator):
    noise = torch.randn(shape, generator=generator)
    return noise / noise.std()


def centred(shape, generator):
    noise = torch.randn(shape, generator=generator)
    return noise - noise.mean()


def summed(values):
    return values.sum(1)


RIGHT["6.5"] = [by_torch_normal, on_a_copy, example_by_example, by_einsum, denoises_twice, noised()]
WRONG["6.5"] = [
    (half_mended, "measured against the noisy x"),
    (target_kept_in_a_view, "changes its argument x in place"),
    (put_back, "x is not what it was"),
    (compared(lambda made, x, noise, s: summed((made - x - noise) ** 2)), "measured against the noisy x"),
    (compared(lambda made, x, noise, s: summed((made - noise) ** 2)), "the noise is the target here"),
    (compared(lambda made, x, noise, s: summed((made - noise / s) ** 2)), "eps is the target here"),
    (compared(lambda made, x, noise, s: ((made - x) ** 2).mean(1)), "averaged over the values"),
    (compared(lambda made, x, noise, s: (made - x).norm(dim=1)), "the root of the sum of squares"),
    (
        compared(lambda made, x, noise, s: summed(l1_loss(made, x, reduction="none"))),
        "these are absolute errors",
    ),
    (compared(lambda made, x, noise, s: summed(made - x)), "without squaring"),
    (compared(lambda made, x, noise, s: summed(x - made)), "without a square"),
    (compared(lambda made, x, noise, s: summed(made - x) ** 2), "added first and squared then"),
    (compared(lambda made, x, noise, s: 0.5 * summed((made - x) ** 2)), "half of the squared error"),
    (compared(lambda made, x, noise, s: summed((made - x) ** 2) / s**2), "divided by sigma²"),
    (compared(lambda made, x, noise, s: -summed((made - x) ** 2)), "minus the squared error"),
    (
        compared(lambda made, x, noise, s: summed((made - x) ** 2).mean().expand(len(x))),
        "once for each example",
    ),
    (compared(lambda made, x, noise, s: summed(noise**2) + 0 * made.sum()), "whatever denoise returns"),
    (compared(lambda made, x, noise, s: summed((made - x) ** 2) + 1), "the loss of an example should be"),
    (of_value(lambda squares: squares.mean()), "one number for the whole batch"),
    (of_value(lambda squares: squares.sum()), "one number for the whole batch"),
    (of_value(lambda squares: squares), "one number for each value"),
    (of_value(lambda squares: squares.sum(1)), "Sum over all values of an example"),
    (of_value(lambda squares: squares.flatten(1).sum(0)), "one loss for each example is shape (200,)"),
    (of_value(lambda squares: squares.flatten(1).sum(1).detach()), "no gradient reaches the denoiser"),
    (of_value(lambda squares: squares.flatten(1).sum(1).tolist()), "no gradient reaches the denoiser"),
    (without_gradient, "no gradient reaches the denoiser"),
    (never_asked, "denoise is never called"),
    (target_is_denoised, "not what denoise makes of it"),
    (noises_twice, "denoise is called 2 times on the whole batch"),
    (
        lambda denoise, x, sigma, generator: noised()(lambda y: denoise(denoise(y)), x, sigma, generator),
        "Call it once",
    ),
    (put_back_at_last, "this was overwritten afterwards"),
    (noised(divided_by_its_std), "for a single value the noise is nan"),
    (noised(centred), "for a single value the noise is 0"),
    (trains_too, "your code calls backward"),
    (flattened_first, "in shape (80, 1, 3, 5), and is shown (80, 15)"),
    (shows_noise_alone(), "Perhaps it is the noise alone, and x is missing"),
    (shows_noise_alone(lambda sigma: 1.0), "is the same for another x"),
    (shown(lambda noisy: noisy.clamp(0, 1)), "The noise was right as given."),
    (with_scale(lambda sigma: 0), "denoise is shown x without noise"),
    (with_scale(lambda sigma: 1), "as if 1 stood where sigma belongs"),
    (with_scale(lambda sigma: sigma**2), "as if sigma² stood"),
    (with_scale(math.sqrt), "as if the root of sigma stood"),
    (with_scale(lambda sigma: 3 * sigma), "standard deviation are 0.0263 and 1.56"),
    (noised(torch.rand), "The noise was right as given."),
    (noised(centred_uniform), "The noise was right as given."),
    (noised(shape=lambda x: x.shape[1:]), "The noise was right as given."),
    (noised(shape=lambda x: (len(x), *[1] * (x.dim() - 1))), "The noise was right as given."),
    (global_noise, "Draw with generator=generator"),
    (seeds_globally, "the noise is the same at each call"),
    (seeds_again, "the noise is the same at each call"),
    (lambda denoise, x, sigma: denoise(x), "cannot be called with"),
]


# 6.6: denoising a normal value -----------------------------------------------------------------------


def by_precisions(noisy, mean, variance, noise_variance):
    return (mean / variance + noisy / noise_variance) / (1 / variance + 1 / noise_variance)


def by_autograd(noisy, mean, variance, noise_variance):
    """Tweedie's formula with a score of x that PyTorch differentiates."""
    noisy, mean, variance, noise_variance = torch.broadcast_tensors(noisy, mean, variance, noise_variance)
    y = noisy.clone().requires_grad_()
    (score,) = grad(Normal(mean, (variance + noise_variance).sqrt()).log_prob(y).sum(), y)
    return y.detach() + noise_variance * score


def by_conditioning(noisy, mean, variance, noise_variance):
    """The regression of x on noisy: its slope is the covariance of the two over the variance of noisy."""
    return torch.lerp(mean + 0 * noisy, noisy + 0 * mean, variance / (variance + noise_variance))


def value_by_value(noisy, mean, variance, noise_variance):
    def one(y, m, v, s):
        return (s * m + v * y) / (s + v)

    return np.vectorize(one)(*(part.numpy() for part in (noisy, mean, variance, noise_variance)))


def draws_from_the_posterior(noisy, mean, variance, noise_variance):
    middle = by_precisions(noisy, mean, variance, noise_variance)
    return torch.normal(middle, 1 / (1 / variance + 1 / noise_variance).sqrt())


def in_place(noisy, mean, variance, noise_variance):
    noisy -= mean
    return mean + noisy * variance / (variance + noise_variance)


RIGHT["6.6"] = [by_precisions, by_autograd, by_conditioning, value_by_value]
WRONG["6.6"] = [
    (lambda y, m, v, s: by_precisions(y, m, s, v), "the weights have changed places"),
    (lambda y, m, v, s: y - s * (y - m) / v, "v is taken for the variance of noisy"),
    (lambda y, m, v, s: y - (y - m) / (v + s), "multiplies it by the variance of the noise"),
    (lambda y, m, v, s: y + s * (y - m) / (v + s), "turned round"),
    (lambda y, m, v, s: y - s.sqrt() * (y - m) / (v + s), "multiplied by σ"),
    (lambda y, m, v, s: y - s**2 * (y - m) / (v + s), "noise_variance is squared"),
    (lambda y, m, v, s: by_precisions(y, m, v, s**2), "noise_variance is squared"),
    (lambda y, m, v, s: by_precisions(y, m, v**2, s**2), "both variances are squared"),
    (lambda y, m, v, s: by_precisions(y, m, v.sqrt(), s.sqrt()), "no root is needed"),
    (lambda y, m, v, s: y - s * (y - m) / (v.sqrt() + s.sqrt()) ** 2, "standard deviations are added"),
    (lambda y, m, v, s: y - s * (y - m) / (v + s).sqrt(), "The variance belongs there"),
    (lambda y, m, v, s: y - s * (y - m) / (v + s) ** 2, "Normal wants the root"),
    (lambda y, m, v, s: m + (v / (v + s)).sqrt() * (y - m), "a ratio of variances: no root"),
    (lambda y, m, v, s: m + v * s / (v + s) * (y - m), "in place of the weight"),
    (lambda y, m, v, s: m + v / (v + s + 1e-6) * (y - m), "at index [4, 3]"),
    (lambda y, m, v, s: v * y / (v + s), "towards 0"),
    (lambda y, m, v, s: v * (y - m) / (v + s), "the mean is not added again"),
    (lambda y, m, v, s: m + v * y / (v + s), "The weight belongs to noisy - m"),
    (lambda y, m, v, s: (m + y) / 2, "halfway"),
    (lambda y, m, v, s: y, "this is noisy itself"),
    (lambda y, m, v, s: m, "this is m"),
    (lambda y, m, v, s: m + 0 * y, "this is m"),
    (lambda y, m, v, s: y + 0 * m, "this is noisy itself"),
    (lambda y, m, v, s: v / (v + s) + 0 * (y + m), "this is the weight"),
    (
        lambda y, m, v, s: m - s * (y - m) / (v + s),
        "is added to the mean. Tweedie's formula adds it to noisy",
    ),
    (lambda y, m, v, s: (m - y) / (v + s), "this is the score of x alone"),
    (lambda y, m, v, s: s * (m - y) / (v + s), "adds it to noisy"),
    (lambda y, m, v, s: 1 / (1 / v + 1 / s), "Its mean is asked for"),
    (lambda y, m, v, s: v / (v + s), "this is the weight"),
    (lambda y, m, v, s: m + v / s * (y - m), "may be larger than 1"),
    (lambda y, m, v, s: y - s * (y - m) / (v - s), "Noise adds to the variance"),
    (lambda y, m, v, s: m / v + y / s, "not divided by the sum of the weights"),
    (lambda y, m, v, s: y + s * (m - y) / (v**2 + s**2), "the squares of the two variances"),
    (lambda y, m, v, s: by_precisions(y.clamp(-10, 10), m, v, s), "at index [3, 2], and is 7.143"),
    (lambda y, m, v, s: by_precisions(y, m, v, 2 * s), "for arguments of the shapes (5,)"),
    (lambda y, m, v, s: by_precisions(y, m, v, s).mean(), "should have shape (5,)"),
    (
        lambda y, m, v, s: torch.stack([by_precisions(*part) for part in zip(y, m, v, s, strict=True)]),
        "stopped",
    ),
    (draws_from_the_posterior, "The expectation is asked for"),
    (in_place, "changes its argument noisy in place"),
]
