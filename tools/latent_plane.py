"""Render what the pretrained VAE with two latent dimensions makes of its plane of codes, as one picture.

    python tools/latent_plane.py FOLDER

writes it to the folder, unless it is there: a square of ``SIDE`` by ``SIDE`` digits. Each is the mean image
of the code in the middle of its cell, and all cells are equally probable under the prior N(0, I). Beside it,
as JSON, stands how the pretrained classifier reads each digit, row by row. Both have a name that changes with
what they are made from.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

SIDE = 25  # digits along each side; odd, so that the middle one has the code (0, 0)
PIXELS = 28  # of a digit's side
QUALITY = 60  # of the WebP: below it grey specks come up on the white paper
INK = (24, 58, 96)


@dataclass(frozen=True)
class Plane:
    """The picture, and what each of its digits is read as, row by row from the top."""

    picture: Path
    read_as: str


def plane(folder: Path) -> Plane:
    """Return the plane that ``folder`` keeps; render it if it keeps none made from the present model."""
    from gm_lib import pretrained

    made_from = [Path(__file__).read_bytes()]
    made_from += [
        json.dumps(pretrained.card(name)).encode() for name in ("digit_vae_plane", "digit_classifier")
    ]
    picture = folder / f"plane-{hashlib.sha256(b''.join(made_from)).hexdigest()[:12]}.webp"
    answers = picture.with_suffix(".json")
    if not (picture.is_file() and answers.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        _render(picture, answers)
    return Plane(picture, json.loads(answers.read_text("utf-8")))


def middles() -> list[float]:
    """Return the codes' coordinate in each column from left to right; it is that in each row, upwards."""
    return [NormalDist().inv_cdf((i + 0.5) / SIDE) for i in range(SIDE)]


def _render(picture: Path, answers: Path) -> None:
    import numpy as np
    import torch
    from PIL import Image

    from gm_lib import pretrained

    along = middles()
    codes = torch.tensor([[x, y] for y in reversed(along) for x in along])
    model, classifier = pretrained.digit_vae(plane=True), pretrained.digit_classifier()
    with torch.no_grad():
        digits = model.likelihood.mean(model.decode(codes)).cpu()
        read_as = "".join(map(str, classifier(digits).argmax(1).tolist()))
    ink = digits.view(SIDE, SIDE, PIXELS, PIXELS).transpose(1, 2).reshape(SIDE * PIXELS, SIDE * PIXELS)
    paper = 255 - ink.numpy()[..., None] * (255 - np.array(INK))
    # The picture is written last: an interrupted run is told by its absence.
    answers.write_text(json.dumps(read_as), "utf-8")
    new = picture.with_suffix(".new")
    Image.fromarray(paper.round().astype(np.uint8), mode="RGB").save(
        new, format="WEBP", quality=QUALITY, method=6
    )
    new.replace(picture)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    try:
        made = plane(parser.parse_args(arguments).folder)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{made.picture}: {made.picture.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
