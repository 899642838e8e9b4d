"""Everything that can be measured of a model, in one table, and why the rest cannot be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from gm_lib.data import Recordings, Split, binarize, stacked
from gm_lib.distributions.estimates import Estimate, estimate
from gm_lib.evaluation.annealed import annealed_log_likelihood
from gm_lib.evaluation.copies import copy_test
from gm_lib.evaluation.coverage import CONFIDENT, stacked_mode_coverage
from gm_lib.evaluation.digits import COVERED, Looks, look_at_digits, report_of, shape_read_by
from gm_lib.evaluation.distances import density_coverage
from gm_lib.evaluation.extrapolation import frechet_distance_at_infinity
from gm_lib.evaluation.likelihood import (
    LikelihoodEstimate,
    dequantized_bits_per_dim,
    exact_log_likelihood,
    log_likelihood,
    negative_elbo,
)
from gm_lib.evaluation.models import Model, device_of
from gm_lib.evaluation.noise import NoisyDecoder
from gm_lib.evaluation.sharpness import gradient_energy
from gm_lib.evaluation.training_value import train_on_samples
from gm_lib.evaluation.two_sample import two_sample_test
from gm_lib.networks import require

TEMPERATURES, CHAINS = 200, 8  # of the annealed bound
COPIES = 500  # samples, and as many fresh images, that are compared with all training images
STACKED = 3  # channels of a stack of digits
_WARM_UP = 10  # samples drawn before the clock starts


class Cell(NamedTuple):
    """What stands in a line of the table behind the measure's name."""

    model: str = ""
    real: str = ""
    """What real images score in place of samples."""
    note: str = ""


Examples: TypeAlias = Split | Recordings  # real ones: pictures ``x`` (n, c, h, w) with labels ``y`` (n,)
Found: TypeAlias = tuple[dict[str, Any], list[Cell]]  # numbers for JSON, and what the table shows of them
# Its name in JSON, why this model has none, what computes it, and its lines in the table.
Measure: TypeAlias = tuple[str, str, Callable[[], Found], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Judgement:
    """What :func:`judge` found; prints as a table.

    ``measures``: for each measure its numbers, or ``{"missing": why}``. ``rows``: the lines of the table, the
    name of a number and its :class:`Cell`. ``samples``: what the model's samples are.
    """

    measures: dict[str, dict[str, Any]]
    rows: list[tuple[str, Cell]]
    samples: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and texts by name, for JSON."""
        return dict(self.measures)

    def __str__(self) -> str:
        rows = [("", Cell(self.samples, "real images")), *self.rows]
        name, model, real = (
            max(len(name) for name, _ in rows),
            *(max(len(cell[i]) for _, cell in rows) for i in (0, 1)),
        )
        return "\n".join(
            f"{title:<{name}}  {cell.model:>{model}}  {cell.real:>{real}}  {cell.note}".rstrip()
            if cell.model
            else f"{title:<{name}}  {cell.note}"
            for title, cell in rows
        )


def judge(
    model: Model,
    data: Examples,
    *,
    training: Examples | None = None,
    samples: int = 2_000,
    k: int = 100,
    limit: int | None = None,
    ais: int = 0,
    sigma: float = 0.1,
    learn: bool = False,
    classifier: Model | None = None,
    seed: int = 0,
    against: str = "the real images",
    progress: bool = False,
) -> Judgement:
    """Measure all that can be measured of a model of digits, of stacks of three, or of another domain.

    ``model`` has ``sample(n, y, generator=…)``. Its ``samples`` are judged beside the real images ``data``,
    which it has not learned from, and looked for among those of ``training``, which it has. What else the
    model can do decides on more:

    * ``elbo`` and ``log_weights``: bounds of -log p(x) for the first ``limit`` images, with ``k`` draws; of
      a model that has ``elbo`` alone, that bound. If the model's ``check`` refuses grey images they are
      binarized by one draw.
    * ``log_prob`` and no ``elbo``: -log p(x) of these images, exact. If ``check`` takes grey images it is a
      density, of dequantized levels, and is told in bits per dimension: another number for other data.
    * ``log_joint``, with ``ais`` > 0: the annealed bound for the first ``ais`` images; it is slow. A model
      without a density gets one by Gaussian noise of standard deviation ``sigma``, see :class:`NoisyDecoder`.
    * ``num_classes``: samples are drawn with all labels in turn, and with ``learn`` networks are trained on
      them, which is slow too.

    Each measure is a function of this package with its defaults; the copy test looks at no more than 500
    samples. ``classifier`` and ``against`` are those of :func:`judge_digits`: it is the classifier that says
    what the domain is. Three channels of what it reads in one are a stack. ``seed`` fixes all but the
    seconds. Samples are first held in [0, 1]: a model of real numbers may overshoot. What this kind of model
    cannot have, and what a function refuses, is named with the reason.

    Raises ``TypeError`` for a model without ``sample``, and ``ValueError`` if nothing could be measured.
    """
    require(model, "model", sample="sample(n, y, generator=…) draws n images")
    num_classes = getattr(model, "num_classes", 0)
    labels = torch.arange(samples, device=device_of(model)) % num_classes if num_classes else None
    made, seconds = _drawn(model, samples, labels, seed)
    channels, *sides = shape_read_by(classifier)
    stacks = channels == 1 and made.shape[1:] == (STACKED, *sides)
    it = _Subject(
        model=model,
        samples=made,
        labels=labels,
        seconds=seconds,
        data=data,
        real=stacked(data.x, samples, seed=seed) if stacks else data.x,
        training=training,
        limit=limit,
        k=k,
        ais=ais,
        sigma=sigma,
        classifier=classifier,
        seed=seed,
        against=against,
        progress=progress,
    )
    bounded = hasattr(model, "elbo")
    exact = hasattr(model, "log_prob") and not bounded
    implicit = "" if exact or bounded else "not for this model: a generator has no density"
    needless = "not for this model: it has no hidden variables" if exact else implicit
    bounds = "not for this model: of its log p(x) there are only bounds" if bounded else implicit
    unweighted = "" if hasattr(model, "log_weights") else "not for this model: it weighs no draws of z"
    binary = "not for this model: it is of binarized pixels" if exact and it.binarized else ""
    density = "not for this model: it has a density, of grey values" if exact and not binary else ""
    hint = "; annealing gives one under Gaussian noise of a stated sd" if implicit else ""
    single = "not for stacks: the judge reads single digits" if stacks else ""
    unknown = "" if training is not None else "not computed: what the model learned from is not given"
    unlabelled = "" if num_classes else "not for this model: it takes no labels"
    measures: list[Measure] = [
        ("negative_log_likelihood", bounds or density, it.exact, ("-log p(x), exact",)),
        ("bits_per_dim", bounds or binary, it.bits, ("bits per dimension, dequantized",)),
        ("negative_elbo", needless, it.elbo, ("-ELBO",)),
        (
            "negative_log_likelihood_bound",
            needless or unweighted,
            it.bound,
            (f"-log p(x), bound from k = {k:,} draws",),
        ),
        (
            "annealed",
            (needless if exact else "") or ("" if ais else f"not asked for (ais){hint}"),
            it.annealed,
            ("-log p(x), annealed bound",),
        ),
        ("digits", single, it.digits, READ),
        ("frechet_at_infinity", single, it.frechet_at_infinity, ("Fréchet distance at infinity",)),
        ("density_coverage", single, it.density_coverage, ("density", "coverage")),
        ("two_sample_test", single, it.two_sample_test, ("classifier two-sample test",)),
        *([("stacks", "", it.modes, STACKS)] if stacks else []),
        ("gradient_energy", "", it.gradient_energy, ("gradient energy",)),
        ("copies", single or unknown, it.copies, ("nearness to training images",)),
        (
            "train_on_samples",
            unlabelled or ("" if learn else "not asked for (learn)") or unknown,
            it.learned,
            ("accuracy if trained on samples",),
        ),
        ("seconds_per_1000_samples", "", it.speed, ("seconds for 1,000 samples",)),
    ]
    judgement = Judgement({}, [], "means of p(x | z)" if hasattr(model, "likelihood") else "samples")
    for name, missing, measure, titles in measures:
        cells = [Cell(note=missing)] * len(titles)
        if not missing:
            try:
                judgement.measures[name], cells = measure()
            except ValueError as error:
                missing = f"not computed: {error}"
                first = re.split(r"[.:;] |\.$", str(error))[0]
                cells = [Cell(note=f"not computed: {first}")] * len(titles)
        if missing:
            judgement.measures[name] = {"missing": missing}
        judgement.rows.extend(zip(titles, cells, strict=True))
    computed = {name for name, numbers in judgement.measures.items() if "missing" not in numbers}
    if computed <= {"seconds_per_1000_samples"}:
        raise ValueError(f"nothing could be measured:\n{judgement}")
    return judgement


READ = (
    "Fréchet distance",
    "kernel distance",
    "precision",
    "recall",
    f"read with ≥ {CONFIDENT:.0%} confidence",
    "classes covered",
)
STACKS = ("modes covered, of 1,000", "KL of the modes, nats", "stacks read with confidence")


@dataclass(frozen=True, eq=False)
class _Subject:
    """A model with its samples and real images; each method is a measure of them."""

    model: Model
    samples: Tensor
    labels: Tensor | None
    seconds: float
    data: Examples
    real: Tensor
    training: Examples | None
    limit: int | None
    k: int
    ais: int
    sigma: float
    classifier: Model | None
    seed: int
    against: str
    progress: bool

    @cached_property
    def looks(self) -> Looks:
        """What the classifier sees in single images."""
        return look_at_digits(self.samples, self.real, classifier=self.classifier, seed=self.seed)

    @cached_property
    def given(self) -> tuple[Tensor, Tensor | None, str]:
        """Real images and labels as the model's p(x | z) takes them, and what they are."""
        x, y = self.real[: self.limit], None if self.labels is None else self.data.y[: self.limit]
        kind, knowing = "grey values in [0, 1]", "" if y is None else ", given their labels"
        if self.binarized:
            x, kind = binarize(x, torch.Generator().manual_seed(self.seed)), "dynamically binarized"
        return x, y, kind + knowing

    @cached_property
    def binarized(self) -> bool:
        """Whether the model has a likelihood, and refuses grey images."""
        if hasattr(self.model, "elbo") or hasattr(self.model, "log_prob"):
            try:
                labels = None if self.labels is None else self.data.y[: self.limit]
                self.model.check((self.real[: self.limit], labels))
            except ValueError:
                return True
        return False

    def exact(self) -> Found:
        x, y, kind = self.given
        return _nats(exact_log_likelihood(self.model, x, y, seed=self.seed), kind, sign=-1)

    def bits(self) -> Found:
        x, y, _ = self.given
        found = dequantized_bits_per_dim(self.model, x, y, seed=self.seed)
        kind = f"256 grey levels, dequantized with seed {self.seed}" + ("" if y is None else ", given labels")
        numbers: dict[str, Any] = {"mean": found.mean, "standard_error": found.standard_error}
        numbers |= {"images": found.n, "unit": "bits per dimension", "kind": kind}
        return numbers, [Cell(str(found), "", f"bits per dimension; {found.n:,} images, {kind}")]

    def elbo(self) -> Found:
        x, y, kind = self.given
        return _nats(negative_elbo(self.model, x, y, seed=self.seed), kind)

    def bound(self) -> Found:
        x, y, kind = self.given
        found = log_likelihood(self.model, x, y, k=self.k, seed=self.seed, progress=self.progress)
        return _nats(found, kind, k=self.k, sign=-1)

    def annealed(self) -> Found:
        x, y, kind = self.given
        model = self.model
        if not hasattr(model, "elbo"):
            if not hasattr(model, "latent_dim"):
                raise ValueError("annealing moves one z through a generator, and this model has no such z.")
            model, kind = (
                NoisyDecoder(model, sigma=self.sigma),
                f"{kind}, Gaussian noise of sd {self.sigma:g}",
            )
        elif not hasattr(model, "log_joint"):
            raise ValueError("annealing follows gradients in z, and this model has no log_joint to follow.")
        found = annealed_log_likelihood(
            model,
            x[: self.ais],
            None if y is None else y[: self.ais],
            temperatures=TEMPERATURES,
            chains=CHAINS,
            seed=self.seed,
            progress=self.progress,
        )
        return _nats(found, kind, sign=-1, temperatures=TEMPERATURES, chains=CHAINS)

    def digits(self) -> Found:
        found = report_of(self.looks, self.against)
        counts = f"{found.n_samples:,} samples, and as many real images, beside {found.n_reference:,} others"
        kernel = Estimate(found.kernel, found.kernel_error, found.n_samples)
        return found.as_dict(), [
            Cell(f"{found.frechet:.2f}", f"{found.frechet_floor:.2f}", counts),
            Cell(str(kernel), f"{found.kernel_floor:.4f}", "± standard error, here and below"),
            Cell(f"{found.precision:.1%}", f"{found.precision_real:.1%}"),
            Cell(f"{found.recall:.1%}", f"{found.recall_real:.1%}"),
            Cell(f"{found.confident:.1%}", f"{found.confident_real:.1%}"),
            Cell(
                f"{found.digits}",
                "",
                f"of {len(found.shares)}, each in at least {COVERED:.0%} of the samples",
            ),
        ]

    def frechet_at_infinity(self) -> Found:
        found = frechet_distance_at_infinity(self.looks.reference, self.looks.samples, seed=self.seed)
        value = Estimate(found.at_infinity, found.standard_error, found.n_generated)
        return found.as_dict(), [Cell(str(value), "0", "without the bias of few images")]

    def density_coverage(self) -> Found:
        n = len(self.looks.samples)
        found = density_coverage(self.looks.reference[:n], self.looks.samples)
        return found.as_dict(), [
            Cell(f"{found.density:.2f}", "1", "beside what a perfect generator scores on average"),
            Cell(f"{found.coverage:.1%}", f"{found.coverage_perfect:.1%}", "the same"),
        ]

    def two_sample_test(self) -> Found:
        found = two_sample_test(self.looks.reference, self.looks.samples, seed=self.seed)
        note = f"accuracy; p = {found.p_value:.2g}; it finds accuracies from {found.detectable:.1%}"
        return found.as_dict(), [Cell(_percent(found.accuracy, found.standard_error), "50 %", note)]

    def modes(self) -> Found:
        ours, theirs = (
            stacked_mode_coverage(x, classifier=self.classifier) for x in (self.samples, self.real)
        )
        numbers = {"generated": ours.as_dict(), "real": theirs.as_dict()}
        return numbers, [
            Cell(f"{ours.covered:,}", f"{theirs.covered:,}", f"{ours.n:,} stacks; the real ones as many"),
            Cell(f"{ours.kl:.4f}", f"{theirs.kl:.4f}", f"on average {ours.kl_floor:.4f} if perfect"),
            Cell(f"{ours.good:.1%}", f"{theirs.good:.1%}"),
        ]

    def gradient_energy(self) -> Found:
        ours, theirs = (estimate(gradient_energy(x)) for x in (self.samples, self.real))
        numbers = {"mean": ours.mean, "standard_error": ours.standard_error}
        numbers |= {"real_mean": theirs.mean, "real_standard_error": theirs.standard_error}
        return numbers, [Cell(str(ours), str(theirs), "edges; noise has most of all")]

    def copies(self) -> Found:
        assert self.training is not None
        count = min(COPIES, len(self.data) // 2)
        generator = torch.Generator("cpu").manual_seed(self.seed)
        mixed = self.data.x[torch.randperm(len(self.data), generator=generator, device="cpu")]
        found = copy_test(
            self.samples[:COPIES], self.training.x, mixed[count:], mixed[:count], seed=self.seed
        )
        value = Estimate(found.ratio, found.standard_error, found.n)
        note = f"1 by chance, below 1 if copied: p = {found.p_value:.2g}, {found.n:,} samples"
        return found.as_dict(), [Cell(str(value), "1", note)]

    def learned(self) -> Found:
        assert self.training is not None
        test, training = ((part.x, part.y) for part in (self.data, self.training))
        found = train_on_samples(self.samples, self.labels, test, training, seed=self.seed)
        note = f"{found.runs} networks, each on {found.n:,} images"
        ours = _percent(found.accuracy, found.accuracy_error)
        return found.as_dict(), [Cell(ours, _percent(found.accuracy_real, found.accuracy_real_error), note)]

    def speed(self) -> Found:
        return {"seconds": self.seconds}, [Cell(f"{self.seconds:.2g}", "", f"on {device_of(self.model)}")]


def _drawn(model: Model, n: int, labels: Tensor | None, seed: int) -> tuple[Tensor, float]:
    """Return n samples, held in [0, 1], and the seconds that 1,000 of them take."""
    device = device_of(model)
    first = None if labels is None else labels[:1].expand(_WARM_UP)
    model.sample(_WARM_UP, first, generator=torch.Generator(device).manual_seed(seed))
    start = time.perf_counter()
    x = model.sample(n, labels, generator=torch.Generator(device).manual_seed(seed)).cpu()
    return x.clamp(0, 1), 1_000 * (time.perf_counter() - start) / n


def _nats(found: LikelihoodEstimate, kind: str, *, sign: int = 1, **settings: int) -> Found:
    """Return a bound of -log p(x), with what a reader must know to compare it."""
    value = Estimate(sign * found.mean, found.standard_error, len(found.bound))
    numbers = {"mean": value.mean, "standard_error": value.standard_error, "images": value.n} | settings
    note = f"nats per image; {value.n:,} images, {kind}"
    return numbers | {"unit": "nats per image", "kind": kind}, [Cell(str(value), "", note)]


def _percent(share: float, error: float) -> str:
    return f"{Estimate(100 * share, 100 * error, 1)} %"
