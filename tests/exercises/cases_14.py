"""Answers to the exercises of chapter 14: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch.autograd.functional import hessian
from torch.nn.functional import softplus

RIGHT = {}
WRONG = {}
REFUSED = {
    "14.4": {"as numpy": "a gradient has to pass", "without history": "a gradient has to pass"},
}


# 14.1: instance noise as R1 --------------------------------------------------------------------------


def by_quadrature(sigma):
    """Twice the second derivative by psi of what the discriminator pays, halved: Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    noise, weights = float(sigma) * torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())

    def paid(psi):
        return (weights * (softplus(-psi * noise) + softplus(psi * noise))).sum()

    return hessian(paid, torch.tensor(0.0, dtype=torch.float64))


def by_the_trace(sigma):
    """gamma is minus the sum of the eigenvalues."""
    J = np.array([[0.0, 0.5], [-0.5, -(float(sigma) ** 2) / 2]])
    return -np.linalg.eigvals(J).sum().real


def simulated(sigma):
    return (sigma * torch.randn(1000)).square().mean().item() / 2


RIGHT["14.1"] = [by_quadrature, by_the_trace, lambda sigma: 0.5 * sigma * sigma]
WRONG["14.1"] = [
    (lambda sigma: sigma**2 / 4, "half of it is missing"),
    (lambda sigma: sigma**2, "twice too much"),
    (lambda sigma: sigma**2 / 8, "one of the two terms"),
    (lambda sigma: sigma / 2, "four times the variance"),
    (lambda sigma: sigma, "this is σ itself"),
    (lambda sigma: -(sigma**2) / 2, "the sign is wrong"),
    (lambda sigma: -(sigma**2) / 4, "the real part of the eigenvalues"),
    (simulated, "another number at each call"),
    (lambda sigma: None, "is None"),
    (0.5, "a function is needed"),
]


# 14.2: is it better to take turns --------------------------------------------------------------------

SLOW, FAST, AT_ONCE, IN_TURNS = (
    "γ = 0, η = 0.2, at once",
    "γ = 0, η = 1, in turns",
    "γ = 1, η = 2, at once",
    "γ = 1, η = 2, in turns",
)
HAPPENS = {SLOW: "outwards", FAST: "round", AT_ONCE: "inwards", IN_TURNS: "outwards"}


def by_matrices():
    """The largest distance of the last fifty rounds, of the four linear games."""
    ends = {}
    for name, gamma, eta in ((SLOW, 0, 0.2), (FAST, 0, 1.0), (AT_ONCE, 1, 2.0), (IN_TURNS, 1, 2.0)):
        of_psi = np.array([[1, 0], [-eta / 2, 1 - eta * gamma]])
        of_theta = np.array([[1, eta / 2], [0, 1]])
        at_once = of_psi + of_theta - np.eye(2)
        matrix = of_theta @ of_psi if "in turns" in name else at_once
        place, seen = np.array([0.1, 0.1]), []
        for _ in range(300 if gamma else 1000):
            place = matrix @ place
            seen.append(float(np.hypot(*place)))
        ends[name] = max(seen[-50:])
    return ends


RIGHT["14.2"] = [
    (HAPPENS, by_matrices),
    (["Outwards", "round", "inwards", "outwards"], by_matrices),
    (np.array(list(HAPPENS.values())), by_matrices),
]
WRONG["14.2"] = [
    *(
        ((predictions, by_matrices), piece)
        for predictions, piece in (
            (HAPPENS | {SLOW: "round"}, "above 1 at every step size"),
            (HAPPENS | {FAST: "outwards"}, "the determinant 1"),
            (HAPPENS | {AT_ONCE: "outwards"}, "no step size is better here"),
            (HAPPENS | {IN_TURNS: "inwards"}, "One factor is below -1"),
            (HAPPENS | {IN_TURNS: "inwards", FAST: "inwards"}, "2 of four"),
            (HAPPENS | {FAST: "away"}, "is none of the names"),
            ({SLOW: "outwards"}, "is missing"),
            ("outwards", "a dictionary with the keys"),
        )
    ),
    ((HAPPENS, lambda: by_matrices() | {AT_ONCE: 7.0}), "was it changed?"),
    ((HAPPENS, lambda: by_matrices() | {FAST: math.nan}), "was it changed?"),
    ((HAPPENS, lambda: {}), "does not return its four numbers"),
]


# 14.3: a plan and its proof --------------------------------------------------------------------------

PLAN, POTENTIAL = [[0.1, 0.5], [0.4, 0.0]], [5.0, 4.0, 0.0, 1.0]

RIGHT["14.3"] = [
    (np.array(PLAN), np.array(POTENTIAL) - 7.5),
    [torch.tensor(PLAN), torch.tensor([2.5, 1.5, -2.5, -1.5])],
    (PLAN, (0, -1, -5, -4)),
    (PLAN, dict(zip("ABCD", POTENTIAL, strict=True))),
    (PLAN, {"D": np.float64(1.0), "C": 0, "B": 4, "A": torch.tensor(5.0)}),
]
WRONG["14.3"] = [
    (([[0.5, 0.1], [0.0, 0.4]], POTENTIAL), "So there is a cheaper plan"),
    (([[0.3, 0.3], [0.2, 0.2]], POTENTIAL), "So there is a cheaper plan"),
    ((PLAN, [4.0, 4.0, 0.0, 0.0]), "On each way that it uses"),
    (([[0.3, 0.3], [0.2, 0.2]], [4.0, 4.0, 0.0, 0.0]), "They have to meet"),
    ((PLAN, [-5.0, -4.0, 0.0, -1.0]), "signs of the potential are turned"),
    ((PLAN, [6.0, 4.0, 0.0, 1.0]), "from C to A it rises by 6"),
    ((PLAN, [5.0, 5.0, 0.0, 1.0]), "from C to B it rises by 5"),
    (([[0.1, 0.4], [0.5, 0.0]], POTENTIAL), "the plan is turned"),
    (([[0.2, 0.5], [0.4, 0.0]], POTENTIAL), "from A goes 0.7"),
    (([[0.2, 0.4], [0.4, 0.0]], POTENTIAL), "at C arrives 0.6"),
    (([[0.0, 0.6], [0.5, -0.1]], POTENTIAL), "an entry of the plan is negative"),
    ((PLAN, PLAN), "four numbers, at A, B, C and D"),
    ((PLAN, dict(zip("abcd", POTENTIAL, strict=True))), "a list for A, B, C and D"),
    ((PLAN, {"A": 5.0, "B": 4.0, "C": 0.0, "D": "1"}), "the potential at D should be a number"),
    (([0.1, 0.5, 0.4, 0.0], POTENTIAL), "a row for A and one for B"),
    (PLAN[0], "the plan should have"),
    (3.0, "wants both, the plan first"),
]


# 14.4: a penalty with two mistakes -------------------------------------------------------------------


def penalty(weights=None, slope=None, charged=lambda slope: (slope - 1) ** 2, create_graph=True):
    def answer(critic, real, fake):
        each = (len(real), *[1] * (real.ndim - 1))
        weight = torch.rand(each, dtype=real.dtype) if weights is None else weights(real, each)
        mixed = (fake + weight * (real - fake)).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=create_graph)
        return charged(gradient.flatten(1).square().sum(1).sqrt() if slope is None else slope(gradient))

    return answer


def normal(real, each):
    return torch.randn(each)


def of_batch(gradient):
    return gradient.norm().expand(len(gradient))


def one_by_one(critic, real, fake):
    parts = []
    for x, y in zip(real, fake, strict=True):
        u = torch.rand(()).to(x.dtype)
        place = torch.lerp(x, y, u)[None].detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(place).sum(), place, create_graph=True)
        parts.append((gradient.norm() - 1) ** 2)
    return torch.stack(parts)


def with_func(critic, real, fake):
    """With torch.func, and weights from NumPy."""
    u = torch.from_numpy(np.random.default_rng().random(len(real))).to(real.dtype).reshape(-1, 1, 1, 1)
    place = u * fake + (1 - u) * real
    gradient = torch.func.grad(lambda x: critic(x).sum())(place)
    return (torch.linalg.vector_norm(gradient, dim=(1, 2, 3)) - 1).square()


def shuffled(critic, real, fake):
    return penalty()(critic, real, fake[torch.arange(len(fake)).roll(1)])


RIGHT["14.4"] = [
    penalty(),
    penalty(lambda real, each: 1 - torch.rand(each)),
    one_by_one,
    with_func,
]
WRONG["14.4"] = [
    (penalty(slope=of_batch), "all images together"),
    (penalty(slope=lambda g: g.norm()), "all images together"),
    (penalty(slope=lambda g: of_batch(g) / len(g)), "Divided by n it is no slope"),
    (penalty(slope=lambda g: of_batch(g) / len(g) ** 0.5), "a root of a mean square"),
    (penalty(slope=lambda g: g.flatten(1).norm(dim=1).mean().expand(len(g))), "the slope is averaged"),
    (penalty(charged=lambda s: ((s - 1) ** 2).mean().expand(len(s))), "the penalty is averaged"),
    (penalty(slope=lambda g: g.flatten(1).abs().sum(1)), "the sum of the absolute values"),
    (penalty(slope=lambda g: g.norm(dim=(2, 3)).mean(1)), "each channel has a norm of its own"),
    (penalty(slope=lambda g: g.flatten(1).norm(dim=1) / len(g)), "sum the scores"),
    (penalty(charged=lambda s: 10 * (s - 1) ** 2), "multiplied by 10"),
    (penalty(charged=lambda s: 0.5 * (s - 1) ** 2), "half of it is missing"),
    (penalty(charged=lambda s: ((s - 1) ** 2).detach()), "nothing after it may be detached"),
    (penalty(normal), "not between a real image and its generated one"),
    (penalty(lambda real, each: torch.randn(each).abs()), "not between a real image and its generated one"),
    (shuffled, "not between a real image and its generated one"),
    (penalty(lambda real, each: torch.rand(1, 1, 1, 1)), "the same weight"),
    (penalty(lambda real, each: torch.rand_like(real)), "pixels of one image have different weights"),
    (penalty(lambda real, each: torch.rand(*real.shape[:2], 1, 1)), "pixels of one image have different"),
    (penalty(lambda real, each: 2 * torch.rand(each) - 1), "has a w between 0 and 1"),
    (penalty(lambda real, each: torch.rand(each).sqrt()), "mean ½ and variance 1/12"),
    (penalty(charged=lambda s: ((s - 1) ** 2).mean()), "one number for each image"),
    (penalty(charged=lambda s: (s - 1).clamp(min=0) ** 2), "slopes below 1 count as well"),
    (penalty(slope=lambda g: g.flatten(1).square().sum(1)), "the squared norm"),
    (penalty(slope=lambda g: g.flatten(1).square().mean(1).sqrt()), "The slope is the norm"),
    (penalty(charged=lambda s: s - 1), "(slope - 1)²"),
    (penalty(charged=lambda s: s**2), "not of 0"),
    (penalty(create_graph=False), "create_graph=True has to stay"),
    (lambda critic, real, fake: torch.zeros(len(real)), "the critic was not asked"),
    (lambda critic, real, fake: None, "Is a return missing?"),
]


# 14.5: a round that lets the wrong one move --------------------------------------------------------------


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def paired(d_pays, g_pays, second="G", detach=False):
    """A round of the relativistic game; each loss is a function of how far real examples are ahead."""

    def one_round(G, D, learn_G, learn_D, x, z):
        fake = G(z)
        loss_D = d_pays(D(x) - D(fake.detach())).mean()
        step(learn_D, loss_D)
        loss_G = g_pays(D(x) - D(fake.detach() if detach else fake)).mean()
        learn_G.zero_grad()
        loss_G.backward()
        for who in second:
            {"G": learn_G, "D": learn_D}[who].step()
        return loss_D.detach(), loss_G.detach()

    return one_round


def patched(t):
    return -(torch.sigmoid(t) + 1e-8).log()


def up(t):
    return F.softplus(-t)


def with_fresh_samples(G, D, learn_G, learn_D, x, z):
    with torch.no_grad():
        fake = G(z)
    loss_D = -F.logsigmoid(D(x) - D(fake)).mean()
    step(learn_D, loss_D)
    loss_G = -F.logsigmoid(D(G(z)) - D(x).detach()).mean()
    step(learn_G, loss_G)
    return loss_D, loss_G


def with_cross_entropy(G, D, learn_G, learn_D, x, z):
    fake, ones = G(z), torch.ones(len(x))
    loss_D = F.binary_cross_entropy_with_logits(D(x) - D(fake.detach()), ones)
    step(learn_D, loss_D)
    loss_G = F.binary_cross_entropy_with_logits(D(fake) - D(x), ones)
    step(learn_G, loss_G)
    return loss_D.item(), loss_G.item()


def without_pairs(G, D, learn_G, learn_D, x, z):
    fake = G(z)
    loss_D = (F.softplus(-D(x)) + F.softplus(D(fake.detach()))).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(-D(fake)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


def no_clearing(G, D, learn_G, learn_D, x, z):
    fake = G(z)
    loss_D = up(D(x) - D(fake.detach())).mean()
    loss_D.backward()
    learn_D.step()
    loss_G = F.softplus(D(x) - D(fake)).mean()
    loss_G.backward()
    learn_G.step()
    return loss_D.detach(), loss_G.detach()


def only_D_compares(G, D, learn_G, learn_D, x, z):
    fake = G(z)
    loss_D = up(D(x) - D(fake.detach())).mean()
    step(learn_D, loss_D)
    loss_G = up(D(fake)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


def compared_with_before(G, D, learn_G, learn_D, x, z):
    fake, real = G(z), D(x)
    loss_D = up(real - D(fake.detach())).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(real.detach() - D(fake)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


def old_gradients_of_G(G, D, learn_G, learn_D, x, z):
    fake = G(z)
    loss_D = up(D(x) - D(fake.detach())).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(D(x) - D(fake)).mean()
    loss_G.backward()
    learn_G.step()
    return loss_D.detach(), loss_G.detach()


def sums(G, D, learn_G, learn_D, x, z):
    fake = G(z)
    loss_D = up(D(x) - D(fake.detach())).sum()
    step(learn_D, loss_D)
    loss_G = F.softplus(D(x) - D(fake)).sum()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


RIGHT["14.5"] = [with_fresh_samples, with_cross_entropy, paired(up, F.softplus)]
WRONG["14.5"] = [
    (paired(patched, lambda t: patched(-t)), "the right player moves now"),
    (
        paired(
            lambda t: -torch.sigmoid(t).clamp(min=1e-8).log(),
            lambda t: -torch.sigmoid(-t).clamp(min=1e-8).log(),
        ),
        "A limit on the probability",
    ),
    (paired(up, lambda t: patched(-t)), "the generator's still has a constant"),
    (paired(patched, F.softplus), "the discriminator's still has a constant"),
    (paired(up, F.softplus, second="D"), "the wrong player moves"),
    (paired(patched, F.softplus, second="D"), "still has the constant"),
    (paired(up, lambda t: patched(-t), second="D"), "still has its constant"),
    (paired(up, F.softplus, second="GD"), "both players move now"),
    (paired(up, F.softplus, second=""), "does learn_G step"),
    (paired(F.softplus, F.softplus), "the discriminator's sign is wrong"),
    (paired(up, up), "the generator's sign is wrong"),
    (paired(F.softplus, up), "both signs are wrong"),
    (paired(lambda t: -t, lambda t: t), "another game"),
    (without_pairs, "judges each example by itself"),
    (no_clearing, "the vector of G's weights"),
    (only_D_compares, "only the discriminator compares"),
    (compared_with_before, "before it moved"),
    (old_gradients_of_G, "goes along old gradients too"),
    (paired(up, lambda t: -up(t)), "pays minus what the discriminator pays"),
    (sums, "sums over the batch"),
    (paired(up, F.softplus, detach=True), "cut from their history"),
    (lambda *given: paired(up, F.softplus)(*given)[0], "should return two losses"),
]


# 14.6: what spectral norm bounds -------------------------------------------------------------------------

PARTS = ("a weight matrix", "a convolution", "three layers", "three layers, weights × 100", "x + f(x)")
BOUNDED, MORE = "at most 1", "more than 1"


def stretches(**changes):
    found = dict(zip(PARTS, (1.0, 1.7, torch.tensor(0.37), 0.47, 1.38), strict=True))
    return lambda: found | changes


def predict(*words):
    return dict(zip(PARTS, words, strict=True)), stretches()


TRUE = (BOUNDED, MORE, BOUNDED, BOUNDED, MORE)

RIGHT["14.6"] = [
    predict(*TRUE),
    predict("At most 1", "More than 1", "at most 1", " at most 1", "more than 1"),
    (list(TRUE), stretches()),
]
WRONG["14.6"] = [
    (predict(BOUNDED, BOUNDED, BOUNDED, BOUNDED, MORE), "belongs to several patches"),
    (predict(BOUNDED, MORE, BOUNDED, BOUNDED, BOUNDED), "x is added"),
    (predict(BOUNDED, MORE, MORE, BOUNDED, MORE), "stretches multiply"),
    (predict(BOUNDED, MORE, BOUNDED, MORE, MORE), "divided out"),
    (predict(MORE, MORE, MORE, MORE, MORE), "(3 of five are not right yet.)"),
    (predict(BOUNDED, MORE, BOUNDED, BOUNDED, "two"), "is none of the names"),
    ((predict(*TRUE)[0], lambda: None), "the result is None"),
    ((predict(*TRUE)[0], lambda: 3.0), "was it changed?"),
    ((predict(*TRUE)[0], stretches(**{"a convolution": 1.0})), 'gives 1 for "a convolution"'),
    (predict(*TRUE)[0], "wants both in this order"),
]


# 14.7: nine Gaussians ------------------------------------------------------------------------------------


def settings(**changes):
    fine = {"loss": "non_saturating", "gamma": 0.1, "beta_1": 0.0, "lr_G": 4e-3, "lr_D": 4e-3}
    return fine | changes


RIGHT["14.7"] = [
    settings(loss="relativistic", gamma=1.0),
    settings(gamma=0, lr_G=torch.tensor(4e-3)),
]
WRONG["14.7"] = [
    (settings(beta_1=0.9), "The memory is still long"),
    (settings(beta_1=0.9, gamma=1.0), "The memory is still long"),
    (settings(lr_G=2e-2, lr_D=1e-3), "much faster than the discriminator"),
    (settings(lr_G=1e-5, lr_D=1e-5), "too few"),
    (settings(gamma=-1), '"gamma" should be from 0'),
    (settings(loss="wasserstein"), "is none of the names"),
    ({"loss": "hinge"}, '"gamma" is missing'),
    (settings(clip=0.1), "there is no setting 'clip'"),
    (0.5, "a dictionary with the keys"),
]


# 14.8: augmentation that leaks ---------------------------------------------------------------------------


def augmented(in_D=True, in_G=True, real=True, moves=True):
    def one_round(G, D, learn_G, learn_D, augment, x, z):
        fake = G(z)
        cut = fake.detach()
        on_real = D(augment(x)) if real else D(x)
        on_fake = D(augment(cut)) if in_D else D(cut)
        loss_D = (F.softplus(-on_real) + F.softplus(on_fake)).mean()
        step(learn_D, loss_D)
        shown = fake if moves else cut
        loss_G = F.softplus(-D(augment(shown) if in_G else shown)).mean()
        step(learn_G, loss_G)
        return loss_D.detach(), loss_G.detach()

    return one_round


def anew(G, D, learn_G, learn_D, augment, x, z):
    """New samples in the second turn, changed anew."""
    with torch.no_grad():
        seen = augment(G(z))
    loss_D = (F.softplus(-D(augment(x))) + F.softplus(D(seen))).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(-D(augment(G(z)))).mean()
    step(learn_G, loss_G)
    return loss_D.item(), loss_G.item()


def changed_once(G, D, learn_G, learn_D, augment, x, z):
    seen = augment(G(z))
    loss_D = (F.softplus(-D(augment(x))) + F.softplus(D(seen.detach()))).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(-D(seen)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


def without_its_gradient(G, D, learn_G, learn_D, augment, x, z):
    fake = G(z)
    loss_D = (F.softplus(-D(augment(x))) + F.softplus(D(augment(fake.detach())))).mean()
    step(learn_D, loss_D)
    with torch.no_grad():
        change = augment(fake) - fake
    loss_G = F.softplus(-D(fake + change)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


def caught(G, D, learn_G, learn_D, augment, x, z):
    seen = augment(G(z))
    loss_D = (F.softplus(-D(augment(x))) + F.softplus(D(seen.detach()))).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(D(seen)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


def changed_twice(G, D, learn_G, learn_D, augment, x, z):
    seen = augment(augment(G(z)))
    loss_D = (F.softplus(-D(augment(x))) + F.softplus(D(seen.detach()))).mean()
    step(learn_D, loss_D)
    loss_G = F.softplus(-D(seen)).mean()
    step(learn_G, loss_G)
    return loss_D.detach(), loss_G.detach()


RIGHT["14.8"] = [anew, changed_once, augmented()]
WRONG["14.8"] = [
    (augmented(moves=False), "does a gradient reach the generator"),
    (augmented(moves=False, in_G=False), "And in the generator's turn"),
    (augmented(moves=False, in_D=False), "And the discriminator sees"),
    (augmented(in_D=False), "the generator learns to make changed examples"),
    (augmented(in_D=False, in_G=False), "the generator moves now. But"),
    (augmented(in_G=False), "in the generator's turn the discriminator sees unchanged"),
    (augmented(real=False), "real ones no longer"),
    (augmented(real=False, in_D=False, in_G=False), "without augmentation"),
    (without_its_gradient, "cut out of the gradient"),
    (changed_twice, "changed twice"),
    (caught, "wants its examples taken for real"),
    (lambda *given: None, "the result is None"),
]
