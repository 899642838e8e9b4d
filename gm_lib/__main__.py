"""The command line: ``python -m gm_lib --help``, installed also as ``gm_lib``.

torch and what needs it are imported inside the commands: ``--help`` answers at once, and ``env`` can report a
torch that does not work.
"""

import inspect
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gm_lib import __version__
from gm_lib.choose import choose

if TYPE_CHECKING:
    import torch

    from gm_lib.vae import VAE

DATA = ("mnist", "digits")
LIKELIHOODS = ("bernoulli", "gaussian", "discretized_logistic", "categorical")
NUM_CLASSES = 10
POSITIVE = click.IntRange(min=1)
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


class FriendlyGroup(click.Group):
    """A group whose commands end with the message of an error that the user can mend, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `gm_lib env | head`: click ends quietly
            raise
        except (ValueError, OSError, FloatingPointError) as error:
            raise click.ClickException(str(error)) from error


device_option = click.option("--device", help="cpu, cuda, cuda:1 or mps.  [default: the fastest here]")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Fixes all random numbers."
)
run_argument = click.argument("run", type=click.Path(path_type=Path))


@click.group(
    cls=FriendlyGroup,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gm_lib")
def main() -> None:
    """Train, sample and evaluate the models of the course Generative Models.

    \b
    Examples:
      python -m gm_lib train vae            about a minute on two CPU cores
      python -m gm_lib sample runs/vae
      python -m gm_lib evaluate runs/vae
      python -m gm_lib env                  does this machine have what is needed?
    """


@main.group()
def train() -> None:
    """Train a model and keep it in a folder, the run.

    A run has config.json (its settings), metrics.jsonl (what was recorded), samples.png and its last
    checkpoint. Training stops with Ctrl-C; the same command goes on where it stopped.
    """


@train.command("vae")
@click.option("--data", type=OneOf("data set", DATA), default="mnist", help="The images to learn from.")
@click.option(
    "--steps", type=POSITIVE, help="Updates, earlier ones included.  [default: 4000, on a GPU 20000]"
)
@click.option("--batch-size", type=POSITIVE, default=128, help="Images per update.")
@click.option("--latent-dim", type=POSITIVE, default=20, help="Dimensions of z.")
@click.option(
    "--hidden", type=POSITIVE, default=(400,), multiple=True, help="Units of a layer; repeat for more."
)
@click.option("--conditional", is_flag=True, help="Give encoder and decoder the label: p(x | z, y).")
@click.option("--likelihood", type=OneOf("likelihood", LIKELIHOODS), default="bernoulli", help="p(x | z).")
@click.option(
    "--beta", type=click.FloatRange(min=0), default=1.0, help="Weight of the KL in the loss; 1 is the ELBO."
)
@click.option(
    "--learning-rate", type=click.FloatRange(min=0, min_open=True), default=1e-3, help="Adam's step size."
)
@seed_option
@device_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/vae"), help="The run's folder.")
@click.option("--resume/--no-resume", default=True, help="Go on with the run in --out, or replace it.")
def train_vae(
    *,
    data: str,
    steps: int | None,
    batch_size: int,
    conditional: bool,
    learning_rate: float,
    seed: int,
    device: str | None,
    out: Path,
    resume: bool,
    **model_options: Any,
) -> None:
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
    from gm_lib.data import Batches, images
    from gm_lib.evaluation import negative_elbo
    from gm_lib.plotting import save_images
    from gm_lib.training import fit
    from gm_lib.vae import digit_vae

    where = runtime.device(device)
    sets = images(data)
    with runtime.forked_rng(seed):
        model = digit_vae(**model_options, num_classes=NUM_CLASSES if conditional else 0, lr=learning_rate)
    settings = {"model": "vae", "data": sets.name, "batch_size": batch_size, **model.config}
    if resume:
        _refuse_other_settings(out, {**settings, "seed": seed})
    binary = model_options["likelihood"] == "bernoulli"
    x, y = sets.train.x, sets.train.y
    batches = Batches(x, y, batch_size=batch_size, seed=seed, device=where, dynamic_binarization=binary)
    valid_x = _as_trained_on(model, sets.valid.x[:VALIDATION_IMAGES], seed)
    valid_y = sets.valid.y[:VALIDATION_IMAGES]
    steps = steps or runtime.budget(quick=4_000, full=20_000)
    history = fit(
        model,
        batches,
        steps=steps,
        seed=seed,
        device=where,
        out=out,
        evaluate=lambda model: {"valid_negative_elbo": negative_elbo(model, valid_x, valid_y).mean},
        evaluate_every=min(1_000, steps),
        resume=resume,
        progress=sys.stderr.isatty(),
        settings=settings,
    )
    if history.interrupted:
        click.get_current_context().exit(130)  # what a shell expects after Ctrl-C
    save_images(_draw(model, 100, None, seed), out / "samples.png", columns=10)
    click.echo(
        f"{out}: loss {history.final('loss'):.1f} nats per image, {history.images_per_second:,.0f} images/s; "
        f"samples in {out / 'samples.png'}. Next: python -m gm_lib evaluate {out}"
    )


@main.command()
@run_argument
@click.option("--n", type=POSITIVE, default=64, help="How many images.")
@click.option("--label", type=click.IntRange(0, NUM_CLASSES - 1), help="The digit, for a conditional model.")
@seed_option
@click.option("--out", type=click.Path(path_type=Path), default=Path("samples.png"), help="The picture.")
@device_option
def sample(run: Path, n: int, label: int | None, seed: int, out: Path, device: str | None) -> None:
    """Draw images from a trained model into one picture.

    RUN is the folder of the model. Shown are the means of p(x | z), with z from the prior. A conditional
    model draws all digits in turn, unless --label names one.

    \b
    Example:
      python -m gm_lib sample runs/by-digit --label 7 --n 25 --out sevens.png
    """
    from gm_lib.plotting import save_images

    model, _ = _load(run, device)
    if label is not None and not model.num_classes:
        raise click.UsageError(f"the model in {run} takes no labels; train one with --conditional.")
    click.echo(f"{n} samples in {save_images(_draw(model, n, label, seed), out)}")


@main.command()
@run_argument
@click.option("--split", type=OneOf("split", ("valid", "test")), default="valid", help="On which images.")
@click.option("--k", type=POSITIVE, default=100, help="Draws of z per image for the bound.")
@click.option("--limit", type=click.IntRange(min=2), help="Only the first images.  [default: all]")
@seed_option
@device_option
def evaluate(run: Path, split: str, k: int, limit: int | None, seed: int, device: str | None) -> None:
    """Measure how likely a trained model finds other images.

    Prints -ELBO and the tighter bound from k importance-weighted draws [Burda et al. 2016], in nats per image
    with the standard error over the images, and writes RUN/evaluation.json; RUN is the folder of the model.
    Choose between models by --split valid, and look at --split test once, at the end.

    \b
    Example:
      python -m gm_lib evaluate runs/vae --split test --k 1000 --limit 1000
    """
    from gm_lib.data import images
    from gm_lib.evaluation import log_likelihood, negative_elbo
    from gm_lib.files import replace_file

    model, config = _load(run, device)
    sets = images(config["data"])
    if sets.name != config["data"]:
        raise click.ClickException(f"{run} learned {config['data']}; {sets.name} say nothing about it.")
    data = sets.valid if split == "valid" else sets.test
    x, y = _as_trained_on(model, data.x[:limit], seed), data.y[:limit]
    upper = negative_elbo(model, x, y, seed=seed)
    lower = log_likelihood(model, x, y, k=k, seed=seed, progress=sys.stderr.isatty())
    kind = "dynamically binarized" if config["likelihood"] == "bernoulli" else "grey values in [0, 1]"
    given = ", given their labels" if model.num_classes else ""
    title = f"{run} on {len(x):,} {split} images of {config['data']}, {kind}{given}"
    bounds = {
        "-ELBO": {"mean": upper.mean, "standard_error": upper.standard_error},
        f"-log p(x), bound from k = {k:,} draws": {
            "mean": -lower.mean,
            "standard_error": lower.standard_error,
        },
    }
    result = {
        "title": title,
        "unit": "nats per image",
        "split": split,
        "images": len(x),
        "k": k,
        "seed": seed,
    }
    names = ("negative_elbo", "negative_log_likelihood_bound")
    result |= dict(zip(names, bounds.values(), strict=True))
    replace_file(run / "evaluation.json", (json.dumps(result, indent=1) + "\n").encode())
    click.echo(f"{title}; nats per image ± standard error")
    for name, bound in bounds.items():
        click.echo(f"  {name:<40}{bound['mean']:>9.2f} ± {bound['standard_error']:.2f}")


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


def _refuse_other_settings(run: Path, settings: dict[str, Any]) -> None:
    """Raise if ``run`` was trained with other settings: a run in two ways would be neither."""
    from gm_lib.training import latest_checkpoint

    if latest_checkpoint(run) is None:
        return
    old = _config(run)
    changed = [
        f"{name} was {old.get(name)!r}, now {now!r}" for name, now in settings.items() if old.get(name) != now
    ]
    if changed:
        raise click.ClickException(
            f"{run} holds a run with other settings: {'; '.join(changed)}. Go on with those it has, choose "
            "another folder with --out, or replace it with --no-resume."
        )


def _load(run: Path, device: str | None) -> tuple["VAE", dict[str, Any]]:
    """Return the model of a run, on the device and ready to be used, and the settings of the run."""
    from gm_lib import runtime
    from gm_lib.training import load_weights
    from gm_lib.vae import digit_vae

    config = _config(run)
    names = inspect.signature(digit_vae).parameters
    model = digit_vae(**{name: value for name, value in config.items() if name in names})
    load_weights(run, model)
    return model.to(runtime.device(device)).eval(), config


def _config(run: Path) -> dict[str, Any]:
    """Return the settings of a run."""
    path = run / "config.json"
    if not path.is_file():
        raise click.ClickException(
            f"there is no run in {run}: {path} is missing. Make one: python -m gm_lib train vae --out {run}"
        )
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise click.ClickException(f"{path} is damaged: {error}.") from error
    if not isinstance(config, dict) or config.get("model") != "vae":
        raise click.ClickException(f"{path} does not describe a model that this command knows (vae).")
    return config


def _draw(model: "VAE", n: int, label: int | None, seed: int) -> "torch.Tensor":
    """Return ``n`` samples (n, 1, 28, 28): with one label, or with all labels in turn."""
    import torch

    device = model.prior.mean.device
    y = torch.arange(n, device=device) % NUM_CLASSES  # an unconditional model does not look at it
    if label is not None:
        y = torch.full_like(y, label)
    x = model.sample(n, y, generator=torch.Generator(device).manual_seed(seed))
    return x.clamp(0, 1)  # a Gaussian's mean knows no limits, a picture does


def _as_trained_on(model: "VAE", x: "torch.Tensor", seed: int) -> "torch.Tensor":
    """Return the images as the model's likelihood takes them: binarized by one draw, or as they are."""
    import torch

    from gm_lib.data import binarize
    from gm_lib.vae import Bernoulli

    return binarize(x, torch.Generator().manual_seed(seed)) if isinstance(model.likelihood, Bernoulli) else x


if __name__ == "__main__":
    main()
