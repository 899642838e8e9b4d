"""Answers to the exercises of chapter 0: other right ways, and known mistakes with their messages."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA

RIGHT = {}
WRONG = {}


# 0.1: all distances at once --------------------------------------------------------------------------


def squared_by_expanding(a, b):
    return (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T


def by_loops(a, b):
    return torch.stack([torch.stack([(p - q).norm() for q in b]) for p in a])


RIGHT["0.1"] = [
    torch.cdist,
    lambda a, b: squared_by_expanding(a.double(), b.double()).clamp_min(0).sqrt(),
    lambda a, b: (a.unsqueeze(1) - b).norm(dim=-1),
    lambda a, b: torch.linalg.vector_norm(a[:, None] - b[None], dim=2),
    by_loops,
]
WRONG["0.1"] = [
    (lambda a, b: ((b[:, None] - a[None]) ** 2).sum(-1).sqrt(), "have changed places"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).sum(-1), "Take the root"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).mean(-1).sqrt(), "Pythagoras adds them"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).mean(-1), "add up instead"),
    (lambda a, b: (a[:, None] - b[None]).abs().sum(-1), "a city of blocks"),
    (lambda a, b: (a[:, None] - b[None]).sum(-1).abs(), "Square first"),
    (lambda a, b: a[:, None] - b[None], "a number for each coordinate"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).sum().sqrt(), "one number for all pairs"),
    (lambda a, b: (a - b).norm(dim=-1), "your code stopped with RuntimeError"),
    (lambda a, b: torch.cdist(a, b) + 1, "a distance should be"),
    (lambda a, b: (a[:, None] - b[None]).abs().amax(-1), "largest difference of a coordinate"),
    (lambda a, b: (a.norm(dim=1)[:, None] - b.norm(dim=1)).abs(), "difference of two lengths"),
    (lambda a, b: torch.cdist(a, b).squeeze(), "should have shape"),
    (lambda a, b: ((a[:, None] - b[None]) ** 2).sum(1).sqrt(), "a distance should have shape"),
    (lambda a, b: (a[:, None] - b[None]).norm(dim=-1, keepdim=True), "one dimension too many"),
    (lambda a, b: (a[:, None] + b[None]).norm(dim=-1), "the points were added"),
    (lambda a, b: a @ b.T, "inner products"),
    (lambda a, b: squared_by_expanding(a, b).clamp_min(0).sqrt(), "not for points close together"),
    (lambda a, b: squared_by_expanding(a, b).abs().sqrt(), "not for points close together"),
    (lambda a, b: squared_by_expanding(a, b).sqrt().nan_to_num(), "not for points close together"),
]


# 0.2: gradient descent -------------------------------------------------------------------------------


def with_backward(f, start, lr, steps):
    theta = start.clone().detach().requires_grad_()
    for _ in range(steps):
        theta.grad = None
        f(theta).backward()
        with torch.no_grad():
            theta -= lr * theta.grad
    return theta.detach()


def with_optimizer(f, start, lr, steps):
    theta = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([theta], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        f(theta).backward()
        optimizer.step()
    return theta.data


def accumulating(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        f(theta).backward()
        with torch.no_grad():
            theta -= lr * theta.grad
    return theta.detach()


def with_history(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        theta = theta - lr * torch.autograd.grad(f(theta), theta, create_graph=True)[0]
    return theta


def descent(sign=-1.0, extra=0, by_lr=True, keep=True, along=lambda slope: slope):
    """Gradient descent with one thing changed."""

    def answer(f, start, lr, steps):
        theta = start.clone()
        for _ in range(steps + extra):
            theta.requires_grad_()
            slope = along(torch.autograd.grad(f(theta), theta)[0])
            new = theta.detach() + sign * (lr if by_lr else 1.0) * slope
            theta = new if keep else theta.detach()
        return theta.detach()

    return answer


def returns_in_the_loop(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        return (theta - lr * torch.autograd.grad(f(theta), theta)[0]).detach()
    return start


def with_slope_of_the_start(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    slope = torch.autograd.grad(f(theta), theta)[0]
    return (theta - steps * lr * slope).detach()


def by_functional_gradient(f, start, lr, steps):
    for _ in range(steps):
        start = start - lr * torch.func.grad(f)(start)
    return start.detach()


def with_closure(f, start, lr, steps):
    theta = start.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([{"params": [theta], "lr": lr}])

    def closure():
        optimizer.zero_grad()
        value = f(theta)
        value.backward()
        return value

    for _ in range(steps):
        optimizer.step(closure)
    return theta.detach().numpy()


def always_a_tenth(f, start, lr, steps):
    return descent()(f, start, 0.1, steps)


def leaves_a_gradient(f, start, lr, steps):
    start.requires_grad_()
    f(start).backward()
    return descent()(f, start.detach(), lr, steps)


def at_least_one_step(f, start, lr, steps):
    return descent()(f, start, lr, max(steps, 1))


def in_place(f, start, lr, steps):
    start.requires_grad_()
    for _ in range(steps):
        slope = torch.autograd.grad(f(start), start)[0]
        with torch.no_grad():
            start -= lr * slope
    return start.detach()


def new_tensor(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        f(theta).backward()
        theta = theta - lr * theta.grad
    return theta.detach()


def new_tensor_without_gradient(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        f(theta).backward()
        with torch.no_grad():
            theta = theta - lr * theta.grad
    return theta


def step_with_gradient(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    for _ in range(steps):
        f(theta).backward()
        theta -= lr * theta.grad
    return theta.detach()


def with_momentum(f, start, lr, steps):
    theta = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([theta], lr=lr, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        f(theta).backward()
        optimizer.step()
    return theta.detach()


def the_best_point(f, start, lr, steps):
    points = [descent()(f, start, lr, n) for n in range(steps + 1)]
    return min(points, key=f)


def stops_where_f_rises(f, start, lr, steps):
    for _ in range(steps):
        new = descent()(f, start, lr, 1)
        if f(new) > f(start):
            break
        start = new
    return start


RIGHT["0.2"] = [with_backward, with_optimizer, descent(), by_functional_gradient, with_closure]
WRONG["0.2"] = [
    (descent(sign=1.0), "you went uphill"),
    (accumulating, "the slopes of earlier steps were added"),
    (with_history, "drags the history"),
    (descent(extra=-1), "one step too few"),
    (descent(extra=1), "one step too many"),
    (descent(by_lr=False), "lr does not enter"),
    (descent(keep=False), "this is still the start"),
    (returns_in_the_loop, "one step, however many are asked for"),
    (at_least_one_step, "where no step is asked for"),
    (in_place, "changes its argument start in place"),
    (lambda f, start, lr, steps: f(start), "the value of f at the start"),
    (lambda *given: given[0](descent()(*given)), "the value of f at the end"),
    (new_tensor, "it is no leaf"),
    (new_tensor_without_gradient, "is new and requires no gradient"),
    (step_with_gradient, "put it under torch.no_grad()"),
    (with_momentum, "momentum"),
    (the_best_point, "go back to the best point"),
    (stops_where_f_rises, "go back to the best point"),
    (descent(along=torch.sign), "the sign of the slope"),
    (descent(along=lambda slope: slope / slope.norm()), "scaled to length 1"),
    (descent(along=lambda slope: slope / slope.numel()), "averaged over the coordinates"),
    (descent(along=lambda slope: slope.clamp(-10, 10)), "should be -57.6 at index [1], and is -18"),
    (lambda f, start, lr, steps: descent()(f, start, lr**2, steps), "by lr twice"),
    (lambda *given: descent()(*given).flatten(), "should have shape (2, 2)"),
    (with_slope_of_the_start, "the slope at the start"),
    (always_a_tenth, "always a tenth"),
    (lambda *given: descent()(*given).requires_grad_(), "still requires a gradient"),
    (leaves_a_gradient, "it requires a gradient now"),
    (lambda f, start, lr, steps: descent()(f, start, lr, steps).sum(), "should have shape"),
]


# 0.3: the logarithm of what is left -----------------------------------------------------------------


def shifted(shift):
    """Plain exponentials of logits minus a shift."""

    def answer(logits, y):
        powers = (logits - shift(logits)).exp()
        others = powers.sum(1) - powers[range(len(y)), y]
        return (others / powers.sum(1)).log()

    return answer


def by_rows(logits, y):
    found = []
    for row, label in zip(logits, y, strict=True):
        others = torch.cat([row[:label], row[label + 1 :]])
        found.append(others.logsumexp(0) - row.logsumexp(0))
    return torch.stack(found)


def by_selecting(logits, y):
    n, k = logits.shape
    others = logits[torch.arange(k) != y[:, None]].view(n, k - 1)
    return torch.logsumexp(others, 1) - torch.logsumexp(logits, 1)


def by_a_softplus(logits, y):
    logit = logits.gather(1, y[:, None])[:, 0] - by_masking(logits, y, -math.inf)
    return -F.softplus(logit)


def by_masking(logits, y, value):
    chosen = F.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(chosen, value).logsumexp(1)


def of_log_probabilities(logits, y):
    return by_masking(logits.log_softmax(1), y, -math.inf)


def with_shifts_by_hand(logits, y):
    others = logits.clone()
    others[range(len(y)), y] = -torch.inf
    above, below = others.amax(1, True), logits.amax(1, True)
    of_others = above[:, 0] + (others - above).exp().sum(1).log()
    return of_others - below[:, 0] - (logits - below).exp().sum(1).log()


def sure(logits, y):
    return logits.softmax(1)[range(len(y)), y]


def log_not(logits, y):
    return by_rows(logits, y)


def of_row_shifts(logits, y):
    others = logits.scatter(1, y[:, None], -math.inf)
    of_others = (others - others.amax(1, keepdim=True)).exp().sum(1).log()
    return of_others - (logits - logits.amax(1, keepdim=True)).exp().sum(1).log()


def with_one_shift_for_the_others(logits, y):
    others = logits.scatter(1, y[:, None], -math.inf)
    largest = others.max()
    return largest + (others - largest).exp().sum(1).log() - logits.logsumexp(1)


def without_equal_ones(logits, y):
    equal = logits == logits[range(len(y)), y][:, None]
    return logits.masked_fill(equal, -math.inf).logsumexp(1) - logits.logsumexp(1)


def without_columns(logits, y):
    others = logits.clone()
    others[:, y] = -math.inf
    return others.logsumexp(1) - logits.logsumexp(1)


def largest_difference_where_sure(logits, y):
    above = logits.scatter(1, y[:, None], -math.inf).amax(1) - logits[range(len(y)), y]
    return torch.where(above < -20, above, torch.log1p(-sure(logits, y)))


def writing_over_the_logits(logits, y):
    normalizer = logits.logsumexp(1)
    logits[range(len(y)), y] = -math.inf
    return logits.logsumexp(1) - normalizer


RIGHT["0.3"] = [by_rows, by_selecting, by_a_softplus, of_log_probabilities, with_shifts_by_hand]
WRONG["0.3"] = [
    (lambda logits, y: (1 - sure(logits, y)).log(), "-inf where π_y rounds to 1"),
    (lambda logits, y: torch.log1p(-sure(logits, y)), "-inf where π_y rounds to 1"),
    (lambda logits, y: torch.log1p(-(-F.cross_entropy(logits, y, reduction="none")).exp()), "rounds to 1"),
    (lambda logits, y: logits.softmax(1).scatter(1, y[:, None], 0).sum(1).log(), "the others round to 0"),
    (lambda logits, y: (1 - sure(logits, y) + 1e-8).log(), "the 1e-08 that keeps 1 - π_y from 0"),
    (lambda logits, y: (1 - sure(logits, y)).clamp_min(1e-12).log(), "never falls below -28"),
    (lambda logits, y: (1 - sure(logits, y)).clamp_min(1e-30).log(), "never falls below -69"),
    (lambda logits, y: (1 - sure(logits, y)).log().clamp_min(-1000), "of 500 to 1,000"),
    (largest_difference_where_sure, "of 500 to 1,000"),
    (with_one_shift_for_the_others, "Each row needs its own"),
    (of_row_shifts, "the shifts are not added back"),
    (without_equal_ones, "leave out by place"),
    (without_columns, "takes all these columns out"),
    (lambda logits, y: log_not(logits, y).squeeze(), "a batch of one has lost its dimension"),
    (lambda logits, y: F.logsigmoid(-logits[range(len(y)), y]), "a single one, against 0"),
    (lambda logits, y: log_not(logits, logits.argmax(1)), "the most probable digit was left out"),
    (lambda logits, y: (1 - sure(logits.double(), y)).log(), "-inf where π_y rounds to 1"),
    (shifted(lambda x: 0.0), "an exponential is infinite"),
    (shifted(lambda x: x.amax(1, keepdim=True)), "-inf where π_y rounds to 1"),
    (shifted(lambda x: x.max()), "not a number"),
    (shifted(lambda x: x.mean()), "not a number"),
    (shifted(lambda x: x.min()), "not a number"),
    (shifted(lambda x: x.mean(1, keepdim=True)), "not a number"),
    (lambda logits, y: logits.log_softmax(1)[range(len(y)), y], "this is log π_y"),
    (F.cross_entropy, "one number for the whole batch"),
    (lambda logits, y: F.cross_entropy(logits, y, reduction="none"), "the cross-entropy"),
    (lambda logits, y: -log_not(logits, y), "the sign is wrong"),
    (lambda logits, y: log_not(logits, y).exp(), "this is 1 - π_y itself"),
    (lambda logits, y: 1 - sure(logits, y), "this is 1 - π_y itself"),
    (lambda logits, y: log_not(logits, y) / math.log(2), "these are bits"),
    (lambda logits, y: (1 - sure(logits, y)).log10(), "base 10"),
    (lambda logits, y: by_masking(logits, y, -math.inf), "the denominator, is missing"),
    (lambda logits, y: by_masking(logits, y, 0.0) - logits.logsumexp(1), "e⁰ is 1"),
    (lambda logits, y: by_masking(logits, y, -1e3) - logits.logsumexp(1), "the -1000 in the place"),
    (lambda logits, y: by_masking(logits, y, -100.0) - logits.logsumexp(1), "the -100 in the place"),
    (
        lambda logits, y: logits.log_softmax(1).sum(1) - logits.log_softmax(1)[range(len(y)), y],
        "logarithms of the other probabilities were added",
    ),
    (
        lambda logits, y: logits.scatter(1, y[:, None], -math.inf).amax(1) - logits.logsumexp(1),
        "only the most probable",
    ),
    (lambda logits, y: (1 - sure(logits.T.softmax(1).T.log(), y)).log(), "log(1 - π_y) should be"),
    (lambda logits, y: (1 - logits.softmax(0)[range(len(y)), y]).log(), "over the batch"),
    (lambda logits, y: 1 - logits.log_softmax(1)[range(len(y)), y], "is not the logarithm of 1 - π_y"),
    (lambda logits, y: by_rows(logits, y)[:, None], "has shape (6, 1)"),
    (lambda logits, y: (1 - logits.softmax(1)).log(), "has shape (6, 4)"),
    (lambda logits, y: (1 - logits.softmax(1)[:, y]).log(), "has shape (6, 6)"),
    (writing_over_the_logits, "changes its argument logits in place"),
]


# 0.4: three faults in a training loop ----------------------------------------------------------------


def loop(
    *,
    softmax=False,
    cost=F.cross_entropy,
    clear="each",
    step="each",
    reduction="mean",
    sign=1,
    keep=torch.Tensor.item,
    after=False,
    of=None,
):
    """The loop with some things changed."""

    def answer(model, optimizer, batches):
        if clear == "once":
            optimizer.zero_grad()
        losses = []
        for x, y in batches:
            logits = model(x).softmax(1) if softmax else model(x)
            loss = cost(logits, y, reduction=reduction)
            if clear == "each":
                optimizer.zero_grad()
            if step == "early":
                optimizer.step()
            (sign * loss).backward()
            if clear == "between":
                optimizer.zero_grad()
            if step == "each":
                optimizer.step()
            if clear == "late":
                optimizer.zero_grad()
            losses.append(keep(F.cross_entropy(model(x), y) if after else loss))
        if step == "once":
            optimizer.step()
        return of(losses) if of else sum(losses) / len(losses)

    return answer


def with_closure_and_likelihood(model, optimizer, batches):
    losses = []
    for x, y in batches:

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = F.nll_loss(model(x).log_softmax(1), y)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).detach())
    return torch.stack(losses).mean()


def clearing_by_the_model(model, optimizer, batches):
    model.zero_grad()
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x).log_softmax(1), y)
        loss.backward()
        optimizer.step()
        model.zero_grad(set_to_none=False)
        losses.append(loss.item())
    return np.mean(losses)


def counting(of):
    """The loop, and what ``of`` makes of the losses and the sizes of the batches."""

    def answer(model, optimizer, batches):
        batches = list(batches)
        sizes = [len(x) for x, _ in batches]
        return loop(of=lambda losses: of(losses, sizes))(model, optimizer, batches)

    return answer


def per_image(losses, sizes):
    return sum(loss * size for loss, size in zip(losses, sizes, strict=True))


def likelihood_of(of):
    return loop(cost=lambda logits, y, **_: F.nll_loss(of(logits), y))


def cross_entropy_of(of):
    return loop(cost=lambda logits, y, **_: F.cross_entropy(of(logits), y))


def in_training_mode(model, optimizer, batches):
    model.train()
    return loop()(model, optimizer, batches)


def without_short_batches(model, optimizer, batches):
    batches = list(batches)
    full = [(x, y) for x, y in batches if len(x) >= len(batches[0][0])]
    return loop()(model, optimizer, full)


def with_length(model, optimizer, batches):
    return loop(of=lambda losses: sum(losses) / len(batches))(model, optimizer, batches)


def step_first(model, optimizer, batches):
    losses = []
    for x, y in batches:
        loss = F.cross_entropy(model(x), y)
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
    return np.mean(losses)


def categorical(model, optimizer, batches):
    return loop(
        cost=lambda logits, y, **_: -torch.distributions.Categorical(logits=logits).log_prob(y).mean()
    )(model, optimizer, batches)


def with_eval(model, optimizer, batches):
    loss = loop()(model, optimizer, batches)
    model.eval()
    return loss


def returning_in_the_loop(model, optimizer, batches):
    for batch in batches:
        return loop()(model, optimizer, [batch])


def history(loss):
    return loss


RIGHT["0.4"] = [
    loop(),
    loop(keep=torch.Tensor.detach),
    with_closure_and_likelihood,
    clearing_by_the_model,
    categorical,
]
WRONG["0.4"] = [
    (loop(softmax=True, clear="once"), "cannot come near 0; and from the second batch on"),
    (loop(softmax=True), "one fault less, but the cost is not"),
    (loop(softmax=True, keep=history), "one fault less, but the cost is not"),
    (loop(clear="once"), "one fault less, but from the second batch on"),
    (loop(clear="once", keep=history), "one fault less, but from the second batch on"),
    (loop(keep=history), "still has its history"),
    (loop(clear="never"), "cleared nowhere"),
    (loop(clear="between"), "no zero_grad() between"),
    (loop(clear="late"), "not after the step"),
    (loop(step="never"), "the weights have not moved"),
    (loop(step="once"), "one step, at the end"),
    (loop(step="early"), "the weights have not moved"),
    (loop(step="early", clear="never"), "your code stopped with RuntimeError"),
    (loop(reduction="sum"), "summed over the batch"),
    (loop(sign=-1), "you went uphill"),
    (loop(after=True), "losses after the step"),
    (loop(of=sum), "the losses were added up"),
    (loop(of=lambda losses: losses[-1]), "the last batch alone"),
    (returning_in_the_loop, "Does the return stand inside the loop?"),
    (likelihood_of(lambda logits: logits.softmax(1)), "minus the probability itself"),
    (likelihood_of(lambda logits: logits), "and these are logits"),
    (likelihood_of(lambda logits: logits.softmax(1).log()), "a softmax is 0 and its logarithm -inf"),
    (likelihood_of(lambda logits: (logits.softmax(1) + 1e-8).log()), "the constant added"),
    (cross_entropy_of(lambda logits: logits.softmax(0)), "over the batch"),
    (cross_entropy_of(torch.sigmoid), "A sigmoid is no more needed"),
    (loop(step="once", clear="once"), "of all batches together"),
    (counting(lambda losses, sizes: per_image(losses, sizes) / len(sizes)), "of a batch were added up"),
    (counting(lambda losses, sizes: per_image(losses, sizes) / sum(sizes)), "the mean over all images"),
    (counting(lambda losses, sizes: sum(losses) / sum(sizes)), "divided by the number of images"),
    (counting(per_image), "the mean loss should be"),
    (in_training_mode, "The mode is the caller's"),
    (without_short_batches, "sizes 6, 9, 4, a weight should be"),
    (with_length, "count them as they come"),
    (lambda model, optimizer, batches: loop()(model, optimizer, batches[:]), "go through them with for"),
    (step_first, "Does step() stand before backward()?"),
    (with_eval, "evaluation mode"),
    (lambda model, optimizer, batches: None, "Is a return missing?"),
    (loop(of=list), "the result should be a number"),
    (
        lambda model, optimizer, batches: loop()(lambda x: 2 * model(x), optimizer, batches),
        "a weight should be",
    ),
]


# 0.5: training from zeros ----------------------------------------------------------------------------


def ten():
    return 10


RIGHT["0.5"] = [(10.0, ten), (torch.tensor(10), ten), [np.int64(10), lambda: torch.tensor(10)]]
WRONG["0.5"] = [
    ((650, ten), "multiply the hidden numbers"),
    ((0, ten), "a bias of the last layer changes the cost"),
    ((50_890, ten), "only half of it"),
    ((74, ten), "all 0"),
    ((64, ten), "weights of 0"),
    ((50_880, ten), "the other way round"),
    ((640, ten), "along the way back"),
    ((10.5, ten), "a whole number"),
    ((-1, ten), "a whole number"),
    ((50_891, ten), "a whole number"),
    (("ten", ten), "your prediction should be a number"),
    ((None, ten), "Write one down"),
    ((10, lambda: 50_890), "was it changed?"),
    ((50_890, lambda: 50_890), "was it changed?"),
    (10, "the prediction and the experiment"),
]


# 0.6: what down and up again loses --------------------------------------------------------------------


def down(h, kernel, stride, padding):
    return (h + 2 * padding - kernel) // stride + 1


def rounding(how):
    """Both formulas, rounded this way."""

    def answer(h, kernel, stride, padding):
        small = how((h + 2 * padding - kernel) / stride) + 1
        return h - ((small - 1) * stride + kernel - 2 * padding)

    return answer


def by_trying(h, kernel, stride, padding):
    x, weight = torch.zeros(1, 1, h, 1), torch.zeros(1, 1, kernel, 1)
    settings = {"stride": (stride, 1), "padding": (padding, 0)}
    return h - F.conv_transpose2d(F.conv2d(x, weight, **settings), weight, **settings).shape[2]


def by_size(*, after=0, times=2, on_the_way=0):
    def answer(h, kernel, stride, padding):
        return (h + times * padding - kernel + on_the_way) % stride + after

    return answer


RIGHT["0.6"] = [
    rounding(math.floor),
    by_trying,
    lambda h, kernel, stride, padding: math.fmod(h + 2 * padding - kernel, stride),
    lambda h, kernel, stride, padding: torch.remainder(torch.tensor(h + 2 * padding - kernel), stride),
]
WRONG["0.6"] = [
    (by_size(times=1), "both sides"),
    (by_size(times=0), "the padding is missing"),
    (by_size(times=-2), "a convolution adds padding"),
    (by_size(on_the_way=1), "cancels on the way up"),
    (lambda h, kernel, stride, padding: (h + 2 * padding) % stride, "the kernel is missing"),
    (lambda h, kernel, stride, padding: h % stride, "not the stride alone"),
    (lambda *case: -by_trying(*case), "never negative"),
    (lambda *case: case[0] - by_trying(*case), "the size at the end"),
    (lambda *case: down(*case), "the size after the convolution"),
    (lambda *case: 0, "does not divide"),
    (lambda *case: min(by_trying(*case), 1), "can lose more than one"),
    (lambda h, kernel, stride, padding: (kernel - h - 2 * padding) % stride, "you rounded up"),
    (lambda *case: case[2] - by_trying(*case), "the stride minus"),
    (lambda *case: by_trying(*case) - 2 * case[3], "- 2 * padding"),
    (lambda *case: by_trying(*case) - case[2], "only n - 1 strides"),
    (lambda h, kernel, stride, padding: (h + 2 * padding - kernel) // stride, "the quotient"),
    (lambda h, kernel, stride, padding: (h + 2 * padding - kernel) / stride % 1, "what is missing should be"),
    (lambda h, kernel, stride, padding: (h + 2 * padding - kernel) / stride, "% and not /"),
    (lambda h, kernel, stride, padding: (h + 2 * padding + kernel) % stride, "the kernel is subtracted"),
    (lambda h, kernel, stride, padding: (h + 2 * padding - stride) % kernel, "have changed places"),
    (by_size(on_the_way=-1), "a 1 too much"),
    (rounding(round), "rounded to the nearest"),
    (rounding(math.ceil), "you rounded up on the way down"),
    (lambda *case: rounding(math.floor)(*case) + case[2], "a stride too much"),
    (lambda *case: case[0] - down(*case), "before the way up"),
    (lambda *case: None, "Is a return missing?"),
]


# 0.7: the widest direction ---------------------------------------------------------------------------


def by_svd(points):
    return torch.linalg.svd(points - points.mean(0), full_matrices=False).Vh[0]


def by_sklearn(points):
    return PCA(1).fit(points.numpy()).components_[0]


def by_power_iteration(points):
    covariance = points.T.cov()
    v = torch.ones(points.shape[1], dtype=points.dtype)
    for _ in range(500):
        v = covariance @ v
        v = v / v.norm()
    return -v


def eigenvectors(points):
    return torch.linalg.eigh(points.T.cov()).eigenvectors


def by_second_moments(away):
    return torch.linalg.eigh(away.T @ away).eigenvectors[:, -1]


RIGHT["0.7"] = [by_svd, by_sklearn, by_power_iteration]
WRONG["0.7"] = [
    (lambda points: eigenvectors(points)[:, 0], "vary least"),
    (lambda points: eigenvectors(points)[:, -2], "the second direction"),
    (lambda points: eigenvectors(points)[-1], "a row of the matrix"),
    (lambda points: eigenvectors(points)[0], "the first row of the matrix"),
    (lambda points: torch.linalg.eigh(points.T @ points).eigenvectors[:, -1], "the mean was not subtracted"),
    (lambda points: F.normalize(points.mean(0), dim=0) * 1.0, "the middle of the cloud"),
    (lambda points: 3 * by_svd(points), "its length is 3"),
    (lambda points: by_svd(points)[:, None], "Take out one dimension"),
    (lambda points: eigenvectors(points), "should have shape (3,)"),
    (lambda points: F.one_hot(torch.tensor(0), points.shape[1]), "of the variance that the widest one has"),
    (lambda points: torch.ones(points.shape[1]), "a unit vector has length 1"),
    (lambda points: 0 * by_svd(points), "a unit vector has length 1"),
    (lambda points: F.one_hot(points.var(0).argmax(), points.shape[1]), "between the axes"),
    (lambda points: by_power_iteration(points[:20]), "of the variance"),
    (lambda points: eigenvectors(points)[:, 2], "your code stopped with IndexError"),
    (lambda points: F.normalize(points[0] - points.mean(0), dim=0), "of the variance"),
    (lambda points: by_second_moments(points - points.median(0).values), "the median was subtracted"),
    (lambda points: by_second_moments(points - points.mean()), "mean of all coordinates"),
    (lambda points: by_second_moments((points - points.mean(0)) / points.std(0)), "the correlations"),
    (lambda points: torch.linalg.eig(points.T.cov()).eigenvectors.real[:, -1], "its last column"),
    (lambda points: torch.linalg.eig(points.T.cov()).eigenvectors.real[:, 0], "its first column"),
    (lambda points: torch.linalg.svd(points - points.mean(0)).Vh[:, 0], "a column of Vh"),
    (lambda points: by_svd(points).abs(), "is there an abs()?"),
    (lambda points: torch.linalg.eigvalsh(points.T.cov()), "these are the eigenvalues"),
    (lambda points: torch.linalg.eigvalsh(points.T.cov())[-1], "an eigenvalue?"),
    (lambda points: torch.linalg.eigh(points.cov()).eigenvectors[:, -1], "an entry for each point"),
]


# 0.8: a self-test ------------------------------------------------------------------------------------

ALL_RIGHT = ((5, 4, 3), 18, 10, math.log(4), 3216, 19, "train", 3)


def but(place, given):
    """Return the right answers, with another one for the question at ``place``."""
    return (*ALL_RIGHT[: place - 1], given, *ALL_RIGHT[place:])


RIGHT["0.8"] = [
    ALL_RIGHT,
    [torch.Size([5, 4, 3]), 18.0, torch.tensor(10.0), 1.386, 3216, 19, "Train", torch.tensor(3)],
    but(1, [5, 4, 3]),
    but(7, "model.train()"),
    but(7, "training mode"),
]
WRONG["0.8"] = [
    (but(1, (5, 1, 3)), "7 of 8 are right. (1) the shape: read “Tensors have shapes” again."),
    (but(2, 27), "“Derivatives for free” again, for detach makes a constant"),
    (but(2, 9), "it is theta**2 that has a derivative"),
    (but(2, 6), "and still its value, 3"),
    (but(2, 0), "only the detached factor"),
    (but(3, 25), "does not multiply"),
    (but(3, 5), "backward adds to .grad"),
    (but(4, 0.25), "that is the probability"),
    (but(4, math.log10(4)), "base-10"),
    (but(4, 2), "in bits"),
    (but(4, -math.log(4)), "positive"),
    (but(4, 4), "how many are left"),
    (but(4, 2.303), "four share it"),
    (but(5, 3200), "the biases are missing"),
    (but(5, 416), "all 8 channels"),
    (but(5, 3208), "those are 16"),
    (but(5, 216), "one kernel, over 8 channels"),
    (but(6, 1), "the size after the convolution"),
    (but(6, 21), "padding cuts off here."),
    (but(6, 20), "on both sides"),
    (but(6, 23), "it does not add"),
    (but(6, 22), "five strides"),
    (but(7, "model.eval()"), "running averages are used"),
    (but(7, "both"), "“Batch norm has two modes” again."),
    (but(8, 2), "along the coordinate axes"),
    (but(8, "3"), "“A picture of covariance” again"),
    (but(6, None), "(6) the height after the transposed convolution: read “The transpose"),
    ((*ALL_RIGHT[:2], None, 1.0, *ALL_RIGHT[4:]), "6 of 8 are right"),
    (ALL_RIGHT[:7], "eight answers are needed"),
]
