"""What is measured, in this order, and what must come out of it."""

import inspect

from benchmarks.rounds import Gate, Job, Part, ratios
from gm_lib.gan import digit_gan

THREADS = 2
NAMES = {
    "ours": "gm_lib",
    "ours_dynamic": "gm_lib, the binarization drawn anew for each batch",
    "ours_bfloat16": "gm_lib, bfloat16",
    "pythae": "pythae, its own trainer",
    "script": "an ordinary script",
    "lightning": "Lightning, with our module and optimizer",
    "torchgan": "torchgan, its own trainer",
    "script_with_our_lr": "an ordinary script, our step size",
    "floor": "the matrix products of a step, alone",
    "pythae_in_our_loop": "pythae's model and loss in our loop",
    "script_in_our_loop": "the script's model and loss in our loop",
}

NATS = 105  # the quality that is asked for
FRECHET = 5
N_SAMPLES = 5_000  # that this distance is taken of
STEPS = 10_000  # after which it is given up
LOOKED_AT_EVERY = 250  # steps
OUR_GAN_LR = inspect.signature(digit_gan).parameters["lr"].default

BATCHES = (16, 32, 64, 128, 256, 512, 1024)
WIDTHS = (50, 100, 200, 400, 800, 1600)
IMAGES = (3_200, 6_400, 12_800, 25_600, 49_920)
DRAWS = (1, 10, 100, 1_000)
PROCESSES = ((1, 1), (1, 2), (2, 1))  # processes, threads of each


def parts(bfloat16: bool) -> list[Part]:
    """Return the parts. ``bfloat16``: whether this CPU computes in it."""
    return [
        Part("vae_speed", 7, lambda number: vae_speed(bfloat16)),
        Part("vae_time", 3, lambda number: vae_time(number, bfloat16)),
        Part("gan_speed", 7, lambda number: gan_speed(bfloat16)),
        Part("gan_time", 2, lambda number: gan_time(number, bfloat16)),
        Part("scaling", 3, lambda number: scaling()),
        Part("processes", 3, lambda number: processes()),
    ]


def vae_speed(bfloat16: bool) -> dict[str, Job]:
    """Return the jobs for the seconds per step of a VAE."""
    steps = {"warm_up": 30, "steps": 200}

    def job(contestant: str, **options: object) -> Job:
        return Job("benchmarks.vae:speed", {"contestant": contestant, **steps, **options})

    plain = ("ours", "pythae", "script", "lightning", "pythae_in_our_loop", "script_in_our_loop")
    return {
        **{name: job(name) for name in plain},
        "ours_dynamic": job("ours", dynamic=True),
        **({"ours_bfloat16": job("ours", precision="bfloat16")} if bfloat16 else {}),
        "floor": Job("benchmarks.vae:floor", steps),
    }


def vae_time(number: int, bfloat16: bool) -> dict[str, Job]:
    """Return the jobs for the seconds until -ELBO is ``NATS``."""
    goal = {"at_most": NATS, "every": LOOKED_AT_EVERY, "steps": STEPS, "seed": number}

    def job(contestant: str, **options: object) -> Job:
        return Job("benchmarks.vae:time_to_quality", {"contestant": contestant, **goal, **options})

    return {
        "ours": job("ours"),
        **({"ours_bfloat16": job("ours", precision="bfloat16")} if bfloat16 else {}),
        **{name: job(name) for name in ("script", "lightning", "pythae")},
    }


def gan_speed(bfloat16: bool) -> dict[str, Job]:
    """Return the jobs for the seconds per step of a GAN."""

    def job(contestant: str, **options: object) -> Job:
        arguments = {"contestant": contestant, "warm_up": 5, "steps": 40, **options}
        return Job("benchmarks.gan:speed", arguments)

    return {
        **{name: job(name) for name in ("ours", "script", "torchgan", "script_in_our_loop")},
        **({"ours_bfloat16": job("ours", precision="bfloat16")} if bfloat16 else {}),
    }


def gan_time(number: int, bfloat16: bool) -> dict[str, Job]:
    """Return the jobs for the seconds until the Fréchet distance is ``FRECHET``."""
    goal = {"at_most": FRECHET, "every": LOOKED_AT_EVERY, "steps": STEPS, "n": N_SAMPLES, "seed": number}

    def job(contestant: str, **options: object) -> Job:
        return Job("benchmarks.gan:time_to_quality", {"contestant": contestant, **goal, **options})

    return {
        "ours": job("ours"),
        **({"ours_bfloat16": job("ours", precision="bfloat16")} if bfloat16 else {}),
        **{name: job(name) for name in ("script", "torchgan")},
        "script_with_our_lr": job("script", lr=OUR_GAN_LR),
    }


def scaling() -> dict[str, Job]:
    """Return the points of the curves: what our VAE costs as one thing grows and the others stay."""

    def point(**options: object) -> Job:
        arguments = {"contestant": "ours", "warm_up": 10, "steps": 50, **options}
        return Job("benchmarks.vae:speed", arguments, "ours")

    return {
        **{f"batch {batch}": point(batch=batch) for batch in BATCHES},
        **{f"width {width}": point(width=width) for width in WIDTHS},
        **{f"images {n}": point(n=n) for n in IMAGES},
        **{f"draws {k}": Job("benchmarks.scaling:bound", {"k": k}, "ours") for k in DRAWS},
    }


def processes() -> dict[str, Job]:
    """Return the jobs for training with several processes."""
    return {
        f"{n} × {threads}": Job(
            "benchmarks.scaling:processes", {"n": n, "threads": threads, "steps": 400}, "processes"
        )
        for n, threads in PROCESSES
    }


def speed_gate(part: str, model: str, peer: str, whose: str, bound: float) -> Gate:
    """Return the gate of a peer's seconds per step over ours."""
    return Gate(
        f"{model}: {whose} time per step over ours",
        bound,
        lambda m: ratios(m[part], peer, "ours", "seconds_per_step"),
    )


def time_gate(part: str, model: str, peer: str, whose: str) -> Gate:
    """Return the gate of a peer's time to the quality asked for over ours."""
    return Gate(
        f"{model}: {whose} time to the quality asked for, over ours",
        2,
        lambda m: ratios(m[part], peer, "ours", "seconds"),
        aim=3,
    )


GATES = [
    speed_gate("vae_speed", "VAE", "script", "the script's", 1),
    speed_gate("vae_speed", "VAE", "lightning", "Lightning's", 1.2),
    speed_gate("vae_speed", "VAE", "pythae", "pythae's", 1.2),
    time_gate("vae_time", "VAE", "script", "the script's"),
    time_gate("vae_time", "VAE", "lightning", "Lightning's"),
    time_gate("vae_time", "VAE", "pythae", "pythae's"),
    speed_gate("gan_speed", "DCGAN", "script", "the script's", 1.2),
    speed_gate("gan_speed", "DCGAN", "torchgan", "torchgan's", 1.2),
    time_gate("gan_time", "DCGAN", "script", "the script's"),
    time_gate("gan_time", "DCGAN", "torchgan", "torchgan's"),
]
