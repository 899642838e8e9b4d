"""How the cost of our VAE grows: with the draws of the tighter bound, and with the number of processes."""

import os
import re
import subprocess
import sys
import tempfile
import time

from benchmarks.vae import LATENT, WIDTH, binary_images
from gm_lib.evaluation import log_likelihood
from gm_lib.runtime import forked_rng
from gm_lib.vae import digit_vae

DRAWS = 20_000  # in all, so that every point takes about as long


def bound(k: int) -> dict[str, float]:
    """Return the seconds that the bound of one image's log p(x) from ``k`` draws takes."""
    with forked_rng(0):
        model = digit_vae(latent_dim=LATENT, hidden=WIDTH).eval()
    x = binary_images("test", 10_000)[: max(20, DRAWS // k)]
    start = time.perf_counter()
    log_likelihood(model, x, k=k, seed=0)
    return {"seconds_per_image": (time.perf_counter() - start) / len(x)}


def processes(n: int, threads: int, steps: int) -> dict[str, float]:
    """Return images per second of ``gm_lib train vae`` in ``n`` processes of ``threads`` threads each."""
    with tempfile.TemporaryDirectory() as folder:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
        command = ["-m", "gm_lib", "train", "vae", f"--steps={steps}", f"--out={folder}/run", "--device=cpu"]
        launched = subprocess.run(
            [*torchrun, *command],
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"([\d,]+) images/s", launched.stdout)
    if launched.returncode or not found:
        raise RuntimeError(f"torchrun failed:\n{launched.stdout[-1000:]}\n{launched.stderr[-2000:]}")
    return {"images_per_second": float(found[1].replace(",", ""))}
