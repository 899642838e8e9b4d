"""The commands ``train vae``, ``gan`` and ``music``; ``text`` and ``beyond`` have files of their own."""

import contextlib
import inspect
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gm_lib.cli import music
from gm_lib.cli.options import POSITIVE, PRECISIONS, Finite, OneOf, Place, device_option, seed_option
from gm_lib.cli.runs import NUM_CLASSES, as_trained_on, builder, draw, learned_from, need
from gm_lib.cli.sets import COLOUR, SETS, SPEECH, WAVE, load_sets, pictures, save_sounds
from gm_lib.cli.text import train_text

if TYPE_CHECKING:
    from gm_lib.data import ImageData
    from gm_lib.training import History

LIKELIHOODS = (
    "bernoulli",
    "gaussian",
    "pixel_gaussian",
    "discretized_logistic",
    "shared_discretized_logistic",
    "categorical",
)
# What --architecture offers: the function that builds the model, a key of runs.MODELS, and its argument.
ARCHITECTURES = {
    "mlp": ("vae", "mlp"),
    "conv": ("vae", "conv"),
    "hierarchical": ("hierarchical_vae", "mlp"),
    "hierarchical-conv": ("hierarchical_vae", "conv"),
}
ACTIVATIONS = ("relu", "tanh")
PRIORS = ("normal", "mixture", "vamp")
GRADIENTS = ("plain", "doubly reparameterized")
OPTIMIZERS = ("adam", "muon")
GAN_ARCHITECTURES = ("dcgan", "resnet", WAVE)
GAN_LOSSES = ("minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "relativistic")
PENALTIES = ("r1", "r2", "r1+r2", "gradient_penalty")
NORMS = ("batch", "spectral", "none")
STACKED = "stacked"  # three digits in three channels: another way to use a data set
VALIDATION_IMAGES = 2_000  # enough for a curve; evaluate takes them all


def training_options(
    *, steps: str, batch_size: int, learning_rate: float | None, out: str, data: tuple[str, ...] = SETS
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that all trainings have, with the defaults of this one."""
    options = [
        click.option(
            "--data",
            type=OneOf("data set", data),
            default=data[0],
            help="What to learn from.",
        ),
        click.option(
            "--final", is_flag=True, help="Learn from the validation split too: nothing is left to choose."
        ),
        click.option("--steps", type=POSITIVE, help=f"Updates, earlier ones included.  [default: {steps}]"),
        click.option("--batch-size", type=POSITIVE, default=batch_size, help="Examples per update."),
        click.option(
            "--learning-rate",
            type=Finite(min=0, min_open=True),
            default=learning_rate,
            help="Adam's step size." + ("" if learning_rate else "  [default: the family's own]"),
        ),
        seed_option,
        device_option,
        click.option(
            "--precision",
            type=OneOf("precision", PRECISIONS),
            default="float32",
            help="Of matrix products and convolutions.",
        ),
        click.option("--out", type=Place(), default=Path(out), help="The run's folder."),
        click.option(
            "--resume/--no-resume", default=True, help="Go on with the run in --out, or replace it."
        ),
        click.option("--tensorboard", is_flag=True, help="Write what is recorded for TensorBoard too."),
    ]

    def give(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def average_option(what: str, default: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that says how slowly averages follow; ``what`` says of what."""
    return click.option(
        "--average",
        type=Finite(min=0, max=1, max_open=True),
        default=default,
        help=f"How slowly the averaged {what}; 0 is at once.",
    )


@click.group()
def train() -> None:
    """Train a model and keep it in a folder, the run.

    A run has config.json (its settings), metrics.jsonl (what was recorded), samples.png, samples/ (what the
    same noise gave in the course of training) and its last checkpoint. Ctrl-C and SIGTERM end the training
    after the step it is in, and so does a closed terminal; the same command goes on where it stopped.

    With --tensorboard the run also holds event files: tensorboard --logdir runs shows them. Several processes
    train one model when torchrun starts them: torchrun --nproc-per-node 2 -m gm_lib train vae.
    """


train.add_command(train_text)


@train.command("vae")
@click.option(
    "--architecture",
    type=OneOf("architecture", tuple(ARCHITECTURES)),
    default="mlp",
    help="Linear layers or convolutions; one z, or a hierarchy of them.",
)
@click.option("--levels", type=POSITIVE, default=3, help="Levels of a hierarchy.")
@click.option(
    "--latent-dim", type=POSITIVE, default=20, help="Dimensions of z; in a hierarchy, of each level."
)
@click.option(
    "--hidden",
    type=POSITIVE,
    multiple=True,
    help="Units of a layer; repeat for more. Channels of convolutions.  [default: 400; channels: 32, or 48 "
    "in a hierarchy]",
)
@click.option("--conditional", is_flag=True, help="Give encoder and decoder the label: p(x | z, y).")
@click.option(
    "--likelihood",
    type=OneOf("likelihood", LIKELIHOODS),
    default=None,
    help="p(x | z).  [default: bernoulli; of colours discretized_logistic, of sounds gaussian]",
)
@click.option(
    "--sigma",
    type=Finite(min=0, min_open=True),
    default=None,
    help="Fixes the gaussian's scale, which is learned otherwise.",
)
@click.option("--activation", type=OneOf("activation", ACTIVATIONS), default="relu", help="Between layers.")
@click.option(
    "--prior", type=OneOf("prior", PRIORS), default="normal", help="p(z); all but normal are learned."
)
@click.option("--components", type=POSITIVE, default=100, help="Gaussians of a mixture or vamp prior.")
@click.option("--beta", type=Finite(min=0), default=1.0, help="Weight of the KL in the loss; 1 is the ELBO.")
@click.option(
    "--free-bits",
    type=Finite(min=0),
    default=0.0,
    help="Nats of KL in each dimension (or level) that are free.",
)
@click.option(
    "--k", type=POSITIVE, default=1, help="Draws of z in the importance-weighted bound; 1 is the ELBO."
)
@click.option(
    "--gradient", type=OneOf("gradient", GRADIENTS), default="plain", help="Of the encoder, for k > 1."
)
@click.option("--optimizer", type=OneOf("optimizer", OPTIMIZERS), default="adam", help="Muon takes matrices.")
@click.option(
    "--decay-steps",
    type=click.IntRange(0),
    default=0,
    help="Steps over which the step size falls to 0; 0: none.",
)
@average_option("weights, which are evaluated and saved, follow", 0.998)
@training_options(steps="4000, on a GPU 20000", batch_size=128, learning_rate=2e-3, out="runs/vae")
def train_vae(
    *,
    architecture: str,
    hidden: tuple[int, ...],
    data: str,
    likelihood: str | None,
    seed: int,
    steps: int | None,
    average: float,
    final: bool,
    **options: Any,
) -> None:
    """Train a variational autoencoder on handwritten digits, other images, or spoken digits.

    With the Bernoulli likelihood every batch is binarized anew; the others learn the grey values, or colours.
    A hierarchy has several levels of z, each drawn given those above; those of convolutions are maps. Of
    spoken digits (--data fsdd) log-mel pictures are learned, and samples.wav is their sound. Without MNIST
    (or the recordings) and without a network, scikit-learn's small digits (or synthesized sounds) take its
    place, and a line says so.

    \b
    Examples:
      python -m gm_lib train vae
      python -m gm_lib train vae --conditional --out runs/by-digit
      python -m gm_lib train vae --hidden 500 --hidden 300 --latent-dim 50 --steps 50000
      python -m gm_lib train vae --k 5 --optimizer muon --steps 20000 --decay-steps 20000
      python -m gm_lib train vae --architecture hierarchical --optimizer muon --batch-size 512
      python -m gm_lib train vae --data shapes --architecture conv --hidden 64
      python -m gm_lib train vae --data fsdd --architecture conv --conditional --out runs/speech
    """
    from gm_lib import runtime
    from gm_lib.evaluation import negative_elbo

    one_process_speaks()
    kind, options["architecture"] = ARCHITECTURES[architecture]
    options["hidden"] = _hidden(architecture, hidden)
    _refuse_what_no_argument_takes(kind, architecture)
    sets = load_sets(data)
    likelihood = likelihood or (
        "discretized_logistic" if data in COLOUR else "gaussian" if data in SPEECH else "bernoulli"
    )

    def validate(model: Any) -> dict[str, float]:
        x = as_trained_on(model, sets.valid.x[:VALIDATION_IMAGES], seed)
        return {"valid_negative_elbo": negative_elbo(model, x, sets.valid.y[:VALIDATION_IMAGES]).mean}

    steps = steps or runtime.budget(quick=4_000, full=20_000)
    history = fit_run(
        kind,
        sets,
        seed,
        steps,
        final=final,
        shape=list(sets.train.x.shape[1:]),
        likelihood=likelihood,
        binarize=likelihood == "bernoulli",
        evaluate=None if final else validate,
        averaging=average,
        **options,
    )
    say_what_came_out(options["out"], f"loss {history.final('loss'):.1f} nats per image", history)


@train.command("gan")
@click.option(
    "--architecture",
    type=OneOf("architecture", GAN_ARCHITECTURES),
    default="dcgan",
    help="Convolutions with batch norm, residual blocks without, or networks for waveforms.",
)
@click.option("--latent-dim", type=POSITIVE, default=32, help="Dimensions of z.")
@click.option(
    "--width",
    type=POSITIVE,
    default=32,
    help="Channels at half the height and width; twice as many at a quarter.",
)
@click.option("--conditional", is_flag=True, help="Give both players the label.")
@click.option("--loss", type=OneOf("loss", GAN_LOSSES), default="non_saturating", help="What both minimize.")
@click.option(
    "--penalty",
    type=OneOf("penalty", PENALTIES),
    default=None,
    help="On D's gradient, for a --gamma greater than 0.  [default: r1]",
)
@click.option("--gamma", type=Finite(min=0), default=0.0, help="Weight of the penalty on D's gradient.")
@click.option(
    "--norm",
    type=OneOf("norm", NORMS),
    default=None,
    help="What normalizes D.  [default: batch; under a penalty, and in resnet, none]",
)
@click.option("--pack", type=POSITIVE, default=1, help="Images that D judges together.")
@click.option(
    "--clip", type=Finite(min=0, min_open=True), default=None, help="Clamps D's parameters to ± this number."
)
@click.option(
    "--augment", is_flag=True, default=False, help="Show D all images moved and with a hole in them."
)
@click.option(
    "--discriminator-learning-rate",
    "discriminator_lr",
    type=Finite(min=0, min_open=True),
    default=None,
    help="D's step size.  [default: --learning-rate]",
)
@click.option(
    "--betas", type=Finite(0, 1, max_open=True), nargs=2, default=(0.5, 0.999), help="Of Adam, for both."
)
@click.option(
    "--decay-steps",
    type=click.IntRange(0),
    default=0,
    help="Steps over which the step sizes fall to 0; 0: none.",
)
@click.option("--discriminator-steps", type=POSITIVE, default=1, help="Steps of D for one of G.")
@average_option("generator, which samples, follows", 0.999)
@training_options(
    steps="1200, on a GPU 20000",
    batch_size=64,
    learning_rate=2e-3,
    out="runs/gan",
    data=(*SETS, STACKED),
)
def train_gan(*, data: str, seed: int, steps: int | None, **options: Any) -> None:
    """Train a generative adversarial network on handwritten digits, other images, or spoken digits.

    A generator G and a discriminator D of the course learn the grey values, or colours. Their losses say
    little about G's samples: look at them, and evaluate the run. --data stacked puts three digits of MNIST
    into the three channels of an image, whose thousand modes evaluate then counts. Of spoken digits (--data
    fsdd) log-mel pictures are learned or, with --architecture wave, waveforms; samples.wav is their sound.
    Without MNIST (or the recordings) and without a network, scikit-learn's small digits (or synthesized
    sounds) take its place, and a line says so.

    \b
    Examples:
      python -m gm_lib train gan
      python -m gm_lib train gan --conditional --gamma 1 --out runs/gan-by-digit
      python -m gm_lib train gan --width 64 --steps 20000
      python -m gm_lib train gan --architecture resnet --loss relativistic --penalty r1+r2 --gamma 1
      python -m gm_lib train gan --loss hinge --norm spectral --betas 0 0.9 --discriminator-steps 4
      python -m gm_lib train gan --data stacked --latent-dim 64 --pack 2 --out runs/stacked
      python -m gm_lib train gan --data fsdd --architecture wave --conditional --out runs/waves
    """
    from gm_lib import runtime

    stacks = data == STACKED
    _refuse_what_no_gan_can_be(stacks=stacks, data=data, **options)
    one_process_speaks()
    steps = steps or runtime.budget(quick=1_200, full=20_000)
    sets = load_sets("mnist" if stacks else data, waveforms=options["architecture"] == WAVE)
    channels, *size = sets.train.x.shape[1:]
    shape = [3 * channels if stacks else channels, *size]
    history = fit_run("gan", sets, seed, steps, stacks=stacks, shape=shape, **options)
    if "d_real" in history.terms:
        real, fake = (history.final(name) for name in ("d_real", "d_fake"))
        said = f"D gives {real:.2f} to real and {fake:.2f} to generated examples"
    else:
        real, fake = (history.final(name) for name in ("score_real", "score_fake"))
        said = f"D scores real examples {real:.2f} and generated ones {fake:.2f}"
    say_what_came_out(options["out"], said, history)


def _give_model_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(music.model_options):
        command = option(command)
    return command


@train.command("music")
@_give_model_options
@average_option("weights, which are evaluated and saved, follow", 0.995)
@training_options(
    steps="1500, on a GPU 3000", batch_size=16, learning_rate=2e-3, out="runs/music", data=music.MUSIC
)
def train_music(**options: Any) -> None:
    """Train a variational autoencoder of sequences on pieces of music.

    The pieces are chorales in C, one chord for each quarter note, as piano rolls: 88 keys, on or off. Each
    step has a code; networks with a memory of the past give it a prior and, with one that reads the future, a
    posterior. samples.mid and samples.wav hold pieces that the model made. Without the chorales and without a
    network, synthesized pieces of known entropy take their place, and a line says so.

    \b
    Examples:
      python -m gm_lib train music
      python -m gm_lib train music --output independent --dropout 0.2 --out runs/keys
      python -m gm_lib train music --data synthesized --steps 300 --out runs/chords
    """
    one_process_speaks()
    music.train_music(**options)


def fit_run(
    kind: str,
    sets: "ImageData",
    seed: int,
    steps: int,
    *,
    final: bool,
    batch_size: int,
    learning_rate: float | None,
    conditional: bool,
    device: str | None,
    precision: str,
    out: Path,
    resume: bool,
    tensorboard: bool,
    binarize: bool = False,
    stacks: bool = False,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    averaging: float = 0.0,
    **model_options: Any,
) -> "History":
    """Train a new model of the ``kind``, or go on with the run in ``out``; leave if it is interrupted."""
    from gm_lib import runtime
    from gm_lib.cli.logs import fit_and_log
    from gm_lib.data import Batches, Stacks
    from gm_lib.plotting import save_images
    from gm_lib.system import parallel

    if tensorboard:
        need("tensorboard")
    where = runtime.device(device)
    build = builder(kind)
    model_options |= {"num_classes": NUM_CLASSES if conditional else 0}
    model_options |= {} if learning_rate is None else {"lr": learning_rate}
    with runtime.forked_rng(seed):
        known = inspect.signature(build).parameters
        model = build(**{name: value for name, value in model_options.items() if name in known})
    learned = learned_from(sets, final=final)
    drawing: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "device": where}
    batches = (
        Stacks(learned.x, **drawing)
        if stacks
        else Batches(learned.x, learned.y, dynamic_binarization=binarize, **drawing)
    )
    samples = partial(draw, model, 100, None, seed)
    history = fit_and_log(
        model,
        batches,
        out,
        lambda: pictures(samples(), sets.name),
        steps=steps,
        resume=resume,
        tensorboard=tensorboard,
        evaluate=evaluate,
        seed=seed,
        device=where,
        precision=precision,
        average=averaging,
        settings={
            "model": kind,
            "data": sets.name,
            "batch_size": batch_size,
            **({"final": True} if final else {}),
            **({"stacked": True} if stacks else {}),
            **model.config,
        },
    )
    if parallel.is_main():
        made = samples()
        save_images(pictures(made, sets.name), out / "samples.png", columns=10)
        if sets.name in SPEECH:
            save_sounds(made[:NUM_CLASSES], out / "samples.wav")
    return history


def _hidden(architecture: str, hidden: tuple[int, ...]) -> int | list[int] | None:
    """Return --hidden as the model takes it; None is the model's own default."""
    if len(hidden) < 2:
        return hidden[0] if hidden else None
    if architecture != "mlp":
        raise click.UsageError(f"--architecture {architecture} has one width: give --hidden once.")
    return list(hidden)


def _refuse_what_no_argument_takes(kind: str, architecture: str) -> None:
    """Raise for an option of the command line that is about another kind of VAE than the one chosen."""
    context = click.get_current_context()
    taken, known = (
        {name for model in models for name in inspect.signature(builder(model)).parameters}
        for models in ((kind,), {model for model, _ in ARCHITECTURES.values()})
    )
    for option in context.command.params:
        name = "num_classes" if option.name == "conditional" else option.name
        given = context.get_parameter_source(str(option.name)) is click.core.ParameterSource.COMMANDLINE
        if given and name in known - taken:
            raise click.UsageError(f"--architecture {architecture} does not go with {option.opts[0]}.")


def _refuse_what_no_gan_can_be(**given: Any) -> None:
    """Raise for options of ``train gan`` that make no sense together, before any work is done."""
    spectral, penalized = given["norm"] == "spectral", given["gamma"] > 0
    batches = given["discriminator_steps"] * given["pack"]
    for wrong, reason in (
        (given["penalty"] and not penalized, "--penalty needs its weight, --gamma greater than 0."),
        (
            penalized and given["norm"] == "batch",
            "--gamma weighs a gradient for each image, which --norm batch mixes with the others'.",
        ),
        (given["clip"] and spectral, "--clip bounds what --norm spectral then rescales: choose one."),
        (
            given["loss"] == "wasserstein" and not (penalized or given["clip"] or spectral),
            "--loss wasserstein has no minimum without --gamma, --clip or --norm spectral.",
        ),
        (
            given["architecture"] == "resnet" and given["norm"] == "batch",
            "--architecture resnet has no batch norm: --norm spectral or none.",
        ),
        (
            given["architecture"] == WAVE and given["data"] not in SPEECH,
            f"--architecture {WAVE} makes waveforms: --data {' or '.join(SPEECH)}.",
        ),
        (
            given["architecture"] == WAVE and given["augment"],
            f"--augment moves pictures, which --architecture {WAVE} does not make.",
        ),
        (given["stacks"] and given["conditional"], "--data stacked has no labels for --conditional."),
        (given["pack"] > 1 and given["conditional"], "--pack does not go with --conditional."),
        (
            given["batch_size"] % batches,
            f"--batch-size must be a multiple of --discriminator-steps times --pack, {batches}.",
        ),
    ):
        if wrong:
            raise click.UsageError(reason)


def one_process_speaks() -> None:
    """Let only the first of the processes that torchrun started print; of errors, on stderr, each tells."""
    from gm_lib.system import parallel

    if not parallel.is_main():
        click.get_current_context().with_resource(contextlib.redirect_stdout(None))


def say_what_came_out(out: Path, result: str, history: "History") -> None:
    """Print what a run's folder holds now, and the command that comes next."""
    click.echo(
        f"{out}: {result}, {history.images_per_second:,.0f} images/s; samples in {out / 'samples.png'}. "
        f"Next: python -m gm_lib evaluate {shlex.quote(str(out))}"
    )
