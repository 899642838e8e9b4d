"""The command line: ``python -m gm_lib --help``, installed also as ``gm_lib``.

torch and what needs it are imported inside the commands: ``--help`` answers at once, and ``env`` can report a
torch that does not work.
"""

import contextlib
import importlib.util
import inspect
import json
import math
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gm_lib import __version__
from gm_lib.choose import choose

if TYPE_CHECKING:
    import torch

    from gm_lib.data import ImageData
    from gm_lib.training import History

DATA = ("mnist", "digits")
LIKELIHOODS = ("bernoulli", "gaussian", "discretized_logistic", "categorical")
PRECISIONS = ("float32", "bfloat16")
GAN_LOSSES = ("minimax", "non_saturating")
# Which function builds a run's model again, by the name in its config.json.
MODELS = {"vae": "gm_lib.vae:digit_vae", "gan": "gm_lib.gan:digit_gan"}
NUM_CLASSES = 10
POSITIVE = click.IntRange(min=1)
FEWEST_SAMPLES = 65  # that can be judged: one more than the classifier has features
VALIDATION_IMAGES = 2_000  # enough for a curve; evaluate takes them all


class OneOf(click.Choice):
    """A choice that answers a misspelt name with the nearest ones."""

    def __init__(self, kind: str, known: tuple[str, ...]) -> None:
        super().__init__(known)
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value``, or fail with the names that resemble it."""
        try:
            return choose(self.kind, value, self.choices)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Finite(click.FloatRange):
    """A range of numbers, of which neither infinity nor NaN is one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return ``value`` as a number, or fail."""
        number = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


class Place(click.Path):
    """A path, in which ``~`` is the user's home folder also where no shell has said so (``--out=~/run``)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        return Path(str(super().convert(value, param, ctx))).expanduser()


class FriendlyGroup(click.Group):
    """A group whose commands end with the message of an error that the user can mend, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        for output in (sys.stdout, sys.stderr):  # no result is lost because some terminal knows no ≥
            if hasattr(output, "reconfigure"):
                output.reconfigure(errors="replace")
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `gm_lib env | head`: click ends quietly
            raise
        except OSError as error:
            # The system's own messages name the file apart.
            named = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            raise click.ClickException(named or str(error)) from error
        except (ValueError, FloatingPointError, ImportError) as error:
            raise click.ClickException(str(error)) from error


device_option = click.option("--device", help="cpu, cuda, cuda:1 or mps.  [default: the fastest here]")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Fixes all random numbers."
)
run_argument = click.argument("run", type=Place())


def training_options(
    *, steps: str, batch_size: int, learning_rate: float, out: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that all trainings have, with the defaults of this one."""
    options = [
        click.option(
            "--data", type=OneOf("data set", DATA), default="mnist", help="The images to learn from."
        ),
        click.option("--steps", type=POSITIVE, help=f"Updates, earlier ones included.  [default: {steps}]"),
        click.option("--batch-size", type=POSITIVE, default=batch_size, help="Images per update."),
        click.option(
            "--learning-rate",
            type=Finite(min=0, min_open=True),
            default=learning_rate,
            help="Adam's step size.",
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


@click.group(
    cls=FriendlyGroup,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gm_lib")
def main() -> None:
    """Train, sample, evaluate and export the models of the course Generative Models.

    \b
    Examples:
      python -m gm_lib train vae            about a minute on two CPU cores
      python -m gm_lib train gan            about two
      python -m gm_lib sample runs/vae
      python -m gm_lib evaluate runs/vae
      python -m gm_lib export runs/vae
      python -m gm_lib env                  does this machine have what is needed?
    """


@main.group()
def train() -> None:
    """Train a model and keep it in a folder, the run.

    A run has config.json (its settings), metrics.jsonl (what was recorded), samples.png, samples/ (what the
    same noise gave in the course of training) and its last checkpoint. Ctrl-C and SIGTERM end the training
    after the step it is in, and so does a closed terminal; the same command goes on where it stopped.

    With --tensorboard the run also holds event files: tensorboard --logdir runs shows them. Several processes
    train one model when torchrun starts them: torchrun --nproc-per-node 2 -m gm_lib train vae.
    """


@train.command("vae")
@click.option("--latent-dim", type=POSITIVE, default=20, help="Dimensions of z.")
@click.option(
    "--hidden", type=POSITIVE, default=(400,), multiple=True, help="Units of a layer; repeat for more."
)
@click.option("--conditional", is_flag=True, help="Give encoder and decoder the label: p(x | z, y).")
@click.option("--likelihood", type=OneOf("likelihood", LIKELIHOODS), default="bernoulli", help="p(x | z).")
@click.option("--beta", type=Finite(min=0), default=1.0, help="Weight of the KL in the loss; 1 is the ELBO.")
@training_options(steps="4000, on a GPU 20000", batch_size=128, learning_rate=1e-3, out="runs/vae")
def train_vae(*, data: str, seed: int, steps: int | None, **options: Any) -> None:
    """Train a variational autoencoder on handwritten digits.

    With the Bernoulli likelihood every batch is binarized anew; the others learn the grey values. Without
    MNIST and without a network, scikit-learn's small digits take its place, and a line says so.

    \b
    Examples:
      python -m gm_lib train vae
      python -m gm_lib train vae --conditional --out runs/by-digit
      python -m gm_lib train vae --hidden 500 --hidden 300 --latent-dim 50 --steps 50000
    """
    from gm_lib import runtime
    from gm_lib.data import images
    from gm_lib.evaluation import negative_elbo

    _one_process_speaks()
    sets = images(data)

    def validate(model: Any) -> dict[str, float]:
        x = _as_trained_on(model, sets.valid.x[:VALIDATION_IMAGES], seed)
        return {"valid_negative_elbo": negative_elbo(model, x, sets.valid.y[:VALIDATION_IMAGES]).mean}

    steps = steps or runtime.budget(quick=4_000, full=20_000)
    binary = options["likelihood"] == "bernoulli"
    history = _train("vae", sets, seed, steps, binarize=binary, evaluate=validate, **options)
    _say_what_came_out(options["out"], f"loss {history.final('loss'):.1f} nats per image", history)


@train.command("gan")
@click.option("--latent-dim", type=POSITIVE, default=32, help="Dimensions of z.")
@click.option("--width", type=POSITIVE, default=32, help="Channels at 14×14; twice as many at 7×7.")
@click.option("--conditional", is_flag=True, help="Give both players the label.")
@click.option("--loss", type=OneOf("loss", GAN_LOSSES), default="non_saturating", help="What G minimizes.")
@click.option("--gamma", type=Finite(min=0), default=0.0, help="Weight of the penalty R1 on D's gradient.")
@click.option(
    "--average",
    type=Finite(min=0, max=1, max_open=True),
    default=0.999,
    help="How slowly the averaged generator, which samples, follows; 0 is at once.",
)
@training_options(steps="1200, on a GPU 20000", batch_size=64, learning_rate=2e-3, out="runs/gan")
def train_gan(*, data: str, seed: int, steps: int | None, **options: Any) -> None:
    """Train a generative adversarial network on handwritten digits.

    A DCGAN of the course learns the grey values. Its losses say little about its samples: look at them, and
    evaluate the run. Without MNIST and without a network, scikit-learn's small digits take its place, and a
    line says so.

    \b
    Examples:
      python -m gm_lib train gan
      python -m gm_lib train gan --conditional --gamma 1 --out runs/gan-by-digit
      python -m gm_lib train gan --width 64 --steps 20000
    """
    from gm_lib import runtime
    from gm_lib.data import images

    _one_process_speaks()
    steps = steps or runtime.budget(quick=1_200, full=20_000)
    history = _train("gan", images(data), seed, steps, **options)
    real, fake = (history.final(name) for name in ("d_real", "d_fake"))
    _say_what_came_out(
        options["out"], f"D gives {real:.2f} to real and {fake:.2f} to generated images", history
    )


@main.command()
@run_argument
@click.option("--n", type=POSITIVE, default=64, help="How many images.")
@click.option("--label", type=click.IntRange(0, NUM_CLASSES - 1), help="The digit, for a conditional model.")
@seed_option
@click.option("--out", type=Place(), default=Path("samples.png"), help="The picture.")
@device_option
def sample(run: Path, n: int, label: int | None, seed: int, out: Path, device: str | None) -> None:
    """Draw images from a trained model into one picture, a PNG file.

    RUN is the folder of the model. Shown is what a GAN's generator makes of noise, and of a VAE the means of
    p(x | z), with z from the prior. A conditional model draws all digits in turn, unless --label names one.

    \b
    Examples:
      python -m gm_lib sample runs/gan
      python -m gm_lib sample runs/by-digit --label 7 --n 25 --out sevens.png
    """
    from gm_lib.files import check_writable
    from gm_lib.plotting import save_images

    choose("kind of picture", out.suffix.lower(), (".png",))
    model, _, _ = _load(run, device)
    if label is not None and not model.num_classes:
        raise click.UsageError(f"the model in {run} takes no labels; train one with --conditional.")
    check_writable(out)
    click.echo(f"{n} samples in {save_images(_draw(model, n, label, seed), out)}")


@main.command()
@run_argument
@click.option("--split", type=OneOf("split", ("valid", "test")), default="valid", help="On which images.")
@click.option(
    "--samples",
    type=click.IntRange(min=FEWEST_SAMPLES),
    default=2_000,
    help="How many images the model draws to be judged.",
)
@click.option("--k", type=POSITIVE, default=100, help="Draws of z per image for the bound.")
@click.option(
    "--limit", type=click.IntRange(min=2), help="Only the first images for the likelihood.  [default: all]"
)
@click.option("--out", type=Place(), help="A JSON file.  [default: RUN/evaluation.json]")
@seed_option
@device_option
def evaluate(
    run: Path,
    split: str,
    samples: int,
    k: int,
    limit: int | None,
    out: Path | None,
    seed: int,
    device: str | None,
) -> None:
    """Measure how good a trained model is, in one table.

    RUN is the folder of the model. Its samples are judged by the course's classifier of digits, beside real
    images: Fréchet and kernel distance, precision and recall, digits covered, share read with confidence. A
    model with a likelihood (VAE) is also asked how likely it finds other images: -ELBO and the tighter bound
    from k importance-weighted draws [Burda et al. 2016]. Choose between models by --split valid, and look at
    --split test once, at the end.

    \b
    Examples:
      python -m gm_lib evaluate runs/gan
      python -m gm_lib evaluate runs/vae --split test --k 1000 --limit 1000
    """
    from gm_lib.data import images
    from gm_lib.evaluation import judge_digits
    from gm_lib.files import check_writable, replace_file

    model, config, step = _load(run, device)
    sets = images(config["data"], fallback=False)  # other images say nothing about what it learned
    data, name = (sets.valid, "validation") if split == "valid" else (sets.test, "test")
    against = f"{len(data):,} {name} images of {sets.name}"
    result: dict[str, Any] = {"title": f"{run}, step {step:,}, on {against}", "step": step}
    result |= {"split": split, "seed": seed}
    out = out or _folder(run) / "evaluation.json"
    check_writable(out)
    click.echo(result["title"])
    table = ""
    # What takes seconds, and so what may go wrong, before what takes minutes.
    report = judge_digits(_draw(model, samples, None, seed), data.x, seed=seed, against=against)
    if hasattr(model, "log_weights"):
        x, y = _as_trained_on(model, data.x[:limit], seed), data.y[:limit]
        result |= _likelihood(model, x, y, k, seed)
        table = f"\nnats per image ± standard error, {result['kind']}, {result['images']:,} images\n"
        for title, bound in (
            ("-ELBO", result["negative_elbo"]),
            (f"-log p(x), bound from k = {k:,} draws", result["negative_log_likelihood_bound"]),
        ):
            table += f"{title:<38}{bound['mean']:>10.2f} ± {bound['standard_error']:.2f}\n"
    result["digits"] = report.as_dict()
    replace_file(out, (json.dumps(result, indent=1) + "\n").encode())
    shown = "means of p(x | z)" if hasattr(model, "likelihood") else "generated images"
    click.echo(f"{table}\nsamples ({shown}) judged by the digit classifier\n{report}\nall of it in {out}")


@main.command()
@run_argument
@click.option("--out", type=Place(), default=Path("model.onnx"), help="A name in .onnx or .png.")
@seed_option
def export(run: Path, out: Path, seed: int) -> None:
    """Write what others can use of a trained model: its network, or a grid of images.

    RUN is the folder of the model. How the name in --out ends says what is written.

    .onnx is the network from noise to images: a GAN's averaged generator, or a VAE's mean of p(x | z). Its
    inputs are z (batch, dimensions), draws from N(0, I), and for a conditional model the labels y (batch);
    its output is x (batch, 1, 28, 28). The seed plays no part.

    .png is a picture of 10 x 10 images that differ in one thing at a time. A conditional model has a digit in
    each row and the same z in each column; another walks along each row from one random z to the next.

    \b
    Examples:
      python -m gm_lib export runs/gan --out gan.onnx
      python -m gm_lib export runs/by-digit --out grid.png
    """
    from gm_lib.export import OPSET, onnx_bytes, variations
    from gm_lib.files import check_writable, replace_file
    from gm_lib.plotting import save_images

    kind = choose("kind of export", out.suffix.lower(), (".onnx", ".png"))
    if kind == ".onnx":
        _need("onnx", "onnxscript")
    model, _, _ = _load(run, "cpu")
    check_writable(out)
    if kind == ".png":
        click.echo(f"a grid of images in {save_images(variations(model, seed=seed), out, columns=10)}")
        return
    click.echo("Translating the network, which takes some seconds…", err=True)
    content = onnx_bytes(model)
    replace_file(out, content)
    labels = ", y (batch)" if model.num_classes else ""
    click.echo(f"z (batch, {model.latent_dim}){labels} to x (batch, 1, 28, 28), ONNX opset {OPSET}, in {out}")


@main.command()
def env() -> None:
    """Check whether this machine has what the course needs.

    Exits with 1 if something is missing. Paste the output into a report of a problem.
    """
    from gm_lib.environment import findings

    ok = True
    for finding in findings():
        mark = click.style("[OK]  ", fg="green") if finding.ok else click.style("[FAIL]", fg="red", bold=True)
        click.echo(f"{mark} {finding.name:<13} {finding.text}")
        ok = ok and finding.ok
    if not ok:
        click.get_current_context().exit(1)


def _train(
    kind: str,
    sets: "ImageData",
    seed: int,
    steps: int,
    *,
    batch_size: int,
    learning_rate: float,
    conditional: bool,
    device: str | None,
    precision: str,
    out: Path,
    resume: bool,
    tensorboard: bool,
    binarize: bool = False,
    evaluate: Callable[[Any], dict[str, float]] | None = None,
    **model_options: Any,
) -> "History":
    """Train a new model of the ``kind``, or go on with the run in ``out``; leave if it is interrupted."""
    from gm_lib import parallel, runtime
    from gm_lib.data import Batches
    from gm_lib.logs import RunLog
    from gm_lib.plotting import save_images
    from gm_lib.training import fit, latest_checkpoint

    if tensorboard:
        _need("tensorboard")
    where = runtime.device(device)
    with runtime.forked_rng(seed):
        model = _builder(kind)(
            **model_options, num_classes=NUM_CLASSES if conditional else 0, lr=learning_rate
        )
    x, y = sets.train.x, sets.train.y
    batches = Batches(x, y, batch_size=batch_size, seed=seed, device=where, dynamic_binarization=binarize)
    watched = sys.stderr.isatty()
    draw = partial(_draw, model, 100, None, seed)
    log = RunLog(
        out,
        draw,
        steps=steps,
        fresh=not resume or latest_checkpoint(out) is None,
        tensorboard=tensorboard,
        say=None if watched else partial(click.echo, err=True),
    )
    with contextlib.closing(log):
        history = fit(
            model,
            batches,
            steps=steps,
            seed=seed,
            device=where,
            precision=precision,
            out=out,
            evaluate=evaluate,
            evaluate_every=log.every if evaluate else 0,
            resume=resume,
            progress=watched,
            on_record=log,
            settings={"model": kind, "data": sets.name, "batch_size": batch_size, **model.config},
        )
    if history.interrupted:
        click.get_current_context().exit(128 + history.interrupted)  # what a shell expects after a signal
    if parallel.is_main():
        save_images(draw(), out / "samples.png", columns=10)
    return history


def _one_process_speaks() -> None:
    """Let only the first of the processes that torchrun started print; of errors, on stderr, each tells."""
    from gm_lib import parallel

    if not parallel.is_main():
        click.get_current_context().with_resource(contextlib.redirect_stdout(None))


def _say_what_came_out(out: Path, result: str, history: "History") -> None:
    click.echo(
        f"{out}: {result}, {history.images_per_second:,.0f} images/s; samples in {out / 'samples.png'}. "
        f"Next: python -m gm_lib evaluate {shlex.quote(str(out))}"
    )


def _likelihood(model: Any, x: "torch.Tensor", y: "torch.Tensor", k: int, seed: int) -> dict[str, Any]:
    """Return both bounds of -log p(x) with what a reader must know to compare them."""
    from gm_lib.evaluation import log_likelihood, negative_elbo

    upper = negative_elbo(model, x, y, seed=seed)
    lower = log_likelihood(model, x, y, k=k, seed=seed, progress=sys.stderr.isatty())
    kind = "dynamically binarized" if _binary(model) else "grey values in [0, 1]"
    return {
        "unit": "nats per image",
        "kind": kind + (", given their labels" if model.num_classes else ""),
        "images": len(x),
        "k": k,
        "negative_elbo": {"mean": upper.mean, "standard_error": upper.standard_error},
        "negative_log_likelihood_bound": {"mean": -lower.mean, "standard_error": lower.standard_error},
    }


def _need(*packages: str) -> None:
    """Raise before anything is done if a package that only some commands use is not installed."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        names = " and ".join(missing)
        raise click.ClickException(f"{names} must be there for this: pip install {' '.join(missing)}.")


def _builder(kind: str) -> Callable[..., Any]:
    """Return the function that builds a model of the ``kind``, a key of ``MODELS``."""
    module, _, function = MODELS[kind].partition(":")
    return getattr(importlib.import_module(module), function)


def _load(run: Path, device: str | None) -> tuple[Any, dict[str, Any], int]:
    """Return the model of a run, on the device and ready to be used, the run's settings, and its steps."""
    from gm_lib import parallel, runtime
    from gm_lib.training import load_checkpoint
    from gm_lib.weight_files import put_weights

    if parallel.size() > 1:
        raise click.ClickException("this is work for one process: start it without torchrun.")
    config = _config(_folder(run))
    build = _builder(config["model"])
    needed = inspect.signature(build).parameters
    if missing := [name for name in ("data", *needed) if name not in config]:
        raise click.ClickException(
            f"{_folder(run) / 'config.json'} lacks {', '.join(missing)}, which every run has: get it from "
            "where this run came from, or train again."
        )
    model = build(**{name: config[name] for name in needed})
    checkpoint = load_checkpoint(run)
    put_weights(model, checkpoint.weights, checkpoint.path)
    return model.to(runtime.device(device)).eval(), config, checkpoint.step


def _folder(run: Path) -> Path:
    """Return the folder of a run, of which one of the checkpoints may have been given."""
    from gm_lib.training.checkpoint import is_checkpoint

    return run.parent if is_checkpoint(run) else run


def _config(run: Path) -> dict[str, Any]:
    """Return the settings of a run."""
    path = run / "config.json"
    if not path.is_file():
        raise click.ClickException(
            f"there is no run in {run}: {path} is missing. Make one: "
            f"python -m gm_lib train vae --out {shlex.quote(str(run))}, or train gan."
        )
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise click.ClickException(f"{path} is damaged: {error}.") from error
    if not isinstance(config, dict) or config.get("model") not in MODELS:
        known = ", ".join(MODELS)
        raise click.ClickException(f"{path} does not describe a model that this command knows ({known}).")
    return config


def _draw(model: Any, n: int, label: int | None, seed: int) -> "torch.Tensor":
    """Return ``n`` samples (n, 1, 28, 28): with one label, or with all labels in turn."""
    import torch

    device = next(model.parameters()).device
    y = torch.arange(n, device=device) % NUM_CLASSES  # an unconditional model does not look at it
    if label is not None:
        y = torch.full_like(y, label)
    x = model.sample(n, y, generator=torch.Generator(device).manual_seed(seed))
    return x.clamp(0, 1)  # a Gaussian's mean knows no limits, a picture does


def _binary(model: Any) -> bool:
    """Tell whether the model's likelihood is one of zeros and ones."""
    from gm_lib.vae import Bernoulli

    return isinstance(model.likelihood, Bernoulli)


def _as_trained_on(model: Any, x: "torch.Tensor", seed: int) -> "torch.Tensor":
    """Return the images as the model's likelihood takes them: binarized by one draw, or as they are."""
    import torch

    from gm_lib.data import binarize

    return binarize(x, torch.Generator().manual_seed(seed)) if _binary(model) else x


if __name__ == "__main__":
    main()
