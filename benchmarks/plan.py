"""What is measured, in this order, and what must come out of it."""

from benchmarks.rounds import Gate, Job, Measured, Part, ratios, spread, values

THREADS = 2
NAMES = {
    "ours": "gm_lib",
    "ours_dynamic": "gm_lib, the binarization drawn anew for each batch",
    "ours_bfloat16": "gm_lib, bfloat16",
    "pythae": "pythae, its own trainer",
    "script": "an ordinary script",
    "lightning": "Lightning, with our module and optimizer",
    "torchgan": "torchgan, its own trainer",
    "floor": "the matrix products of a step, alone",
    "pythae_in_our_loop": "pythae's model and loss in our loop",
    "script_in_our_loop": "the script's model and loss in our loop",
    "script_longer": "an ordinary script, half as long again",
}
VAE_STEPS = 1_000  # after which the others have had as much time
GAN_STEPS = 1_200  # as in chapter 13
LONGER = 1.5

BATCHES = (16, 32, 64, 128, 256, 512, 1024)
WIDTHS = (50, 100, 200, 400, 800, 1600)
IMAGES = (3_200, 6_400, 12_800, 25_600, 49_920)
DRAWS = (1, 10, 100, 1_000)
PROCESSES = ((1, 1), (1, 2), (2, 1))  # processes, threads of each


def parts(bfloat16: bool) -> list[Part]:
    """Return the parts. ``bfloat16``: whether this CPU computes in it."""
    return [
        Part("vae_speed", 9, lambda measured, number: vae_speed(bfloat16)),
        Part("vae_quality", 3, lambda measured, number: vae_quality(measured, number, bfloat16)),
        Part("gan_speed", 9, lambda measured, number: gan_speed()),
        Part("gan_quality", 3, gan_quality),
        Part("scaling", 3, lambda measured, number: scaling()),
        Part("processes", 3, lambda measured, number: processes()),
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


def vae_quality(measured: Measured, number: int, bfloat16: bool) -> dict[str, Job]:
    """Return the jobs for −ELBO after the time that ``VAE_STEPS`` of our steps take."""
    contestants = ("ours", "pythae", "script", "lightning")
    jobs = {
        name: Job(
            "benchmarks.vae:quality",
            {
                "contestant": name,
                "seed": number,
                "steps": in_our_time(measured["vae_speed"], name, VAE_STEPS),
            },
        )
        for name in contestants
    }
    if bfloat16:  # as many steps as float32: what the precision costs
        arguments = {"contestant": "ours", "seed": number, "steps": VAE_STEPS, "precision": "bfloat16"}
        jobs["ours_bfloat16"] = Job("benchmarks.vae:quality", arguments)
    return jobs


def gan_speed() -> dict[str, Job]:
    """Return the jobs for the seconds per step of a GAN."""
    names = ("ours", "script", "torchgan", "script_in_our_loop")
    return {
        name: Job("benchmarks.gan:speed", {"contestant": name, "warm_up": 5, "steps": 40}) for name in names
    }


def gan_quality(measured: Measured, number: int) -> dict[str, Job]:
    """Return the jobs for the Fréchet distance after equal time, and for the script after more."""
    steps = in_our_time(measured["gan_speed"], "script", GAN_STEPS)

    def job(contestant: str, steps: int) -> Job:
        return Job(
            "benchmarks.gan:quality", {"contestant": contestant, "seed": number, "steps": steps}, contestant
        )

    return {
        "ours": job("ours", GAN_STEPS),
        "script": job("script", steps),
        "script_longer": job("script", round(LONGER * steps)),
    }


def in_our_time(rounds: list[dict[str, dict[str, float]]], contestant: str, our_steps: int) -> int:
    """Return how many steps a contestant takes while we take ``our_steps``."""
    return max(1, round(our_steps / spread(ratios(rounds, contestant, "ours", "seconds_per_step")).median))


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


GATES = [
    Gate(
        "VAE: steps per second, ours over pythae's",
        1.7,
        lambda m: ratios(m["vae_speed"], "pythae", "ours", "seconds_per_step"),
        aim=2,
    ),
    Gate(
        "VAE: steps per second, ours over Lightning's",
        1.3,
        lambda m: ratios(m["vae_speed"], "lightning", "ours", "seconds_per_step"),
    ),
    Gate(
        "VAE: share of a step that its matrix products take alone",
        0.65,
        lambda m: ratios(m["vae_speed"], "floor", "ours", "seconds_per_step"),
        aim=0.8,
    ),
    Gate(
        "VAE: steps per second, bfloat16 over float32",
        1.5,
        lambda m: (
            ratios(m["vae_speed"], "ours", "ours_bfloat16", "seconds_per_step")
            if "ours_bfloat16" in m["vae_speed"][0]
            else []
        ),
    ),
    Gate(
        "VAE: nats of −ELBO that bfloat16 costs",
        0.3,
        lambda m: (
            [
                low - full
                for low, full in zip(
                    values(m["vae_quality"], "ours_bfloat16", "negative_elbo"),
                    values(m["vae_quality"], "ours", "negative_elbo"),
                    strict=True,
                )
            ]
            if "ours_bfloat16" in m["vae_quality"][0]
            else []
        ),
        at_least=False,
    ),
    Gate(
        f"DCGAN: Fréchet distance of the script after {LONGER} times our time, over ours",
        1,
        lambda m: ratios(m["gan_quality"], "script_longer", "ours", "frechet"),
    ),
]
