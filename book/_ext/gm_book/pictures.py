"""The picture of a chapter: one of its figures, or a part of one, on its card and at the top of its page."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ANCHOR = "pictured"  # of the figure, where it stands on its page
SHAPE = 8 / 5  # width over height of every picture
WIDTH = 640  # pixels at most, twice those on the screen
MARGIN = 12  # pixels left around what is seen
REACH = 0.06  # of a figure's width or height: how far the edge of a part moves to where it cuts nothing
WHITE, LIGHT, DARK = 250, 200, 64  # of 255
GAP = 0.6  # the share of white from which a column of pixels lies between two images of a grid
DRAWN = 0.7  # the share of light pixels from which a picture is a drawing on paper, to be turned in the dark


@dataclass(frozen=True)
class Choice:
    """The figure of a page that stands for it.

    ``begin`` is how its alternative text begins, ``caption`` says in a few words what is to be seen, ``part``
    what of it is shown: left, top, right and bottom as shares of its width and height.
    """

    begin: str
    caption: str
    part: tuple[float, float, float, float] = (0, 0, 1, 1)


PICTURES = {
    "00_tools": Choice(
        "Three pictures: a handwritten digit",
        "A digit, and the edges that nine numbers find in it",
        (0, 0.2, 0.64, 1),
    ),
    "01_what_is_a_generative_model": Choice(
        "Six rows of ten samples",
        "Samples of models that count, from single pixels to whole images",
        (0.088, 0.06, 1, 1),
    ),
    "02_distributions": Choice(
        "Left: a square grid over a round cloud",
        "A square grid and a round cloud of draws, after a map",
        (0.51, 0.09, 1, 1),
    ),
    "03_fitting": Choice(
        "Two histograms over the same axis",
        "Data, and draws from the most likely Gaussian",
        (0, 0.09, 1, 1),
    ),
    "04_monte_carlo": Choice(
        "The bell-shaped density for theta",
        "A density, and where it grows as its parameter does",
        (0, 0.1, 1, 1),
    ),
    "05_latent_variables": Choice(
        "Left: the forty components in a grid",
        "Forty causes that explain the digits",
        (0, 0.2, 0.49, 1),
    ),
    "06_autoencoders": Choice(
        "Five rows of twelve images, all by the same decoder",
        "One decoder, and five ways to come by a code",
        (0.125, 0.08, 0.86, 1),
    ),
    "07_elbo": Choice(
        "Nats per fresh point against the training step",
        "A bound rises while its encoder learns",
        (0, 0.1, 1, 1),
    ),
    "08_reparameterization": Choice(
        "Four rows of ten digits. First row: images. Second, drawn by sample",
        "Digits, and what encoders with three kinds of gradient make of them",
        (0.115, 0.1, 0.735, 1),
    ),
    "09_vae": Choice(
        "Sixty samples in six rows of ten",
        "Sixty samples of the VAE, none chosen",
        (0, 0.05, 1, 1),
    ),
    "10_blur_and_collapse": Choice(
        "Five rows of ten digits. Real: crisp",
        "Digits, and the same rebuilt with four widths",
        (0.105, 0.08, 0.91, 1),
    ),
    "11_beyond_the_plain_vae": Choice(
        "Three rows of ten. Top: binarized digits",
        "Digits, their codes from a list, and the digits rebuilt",
        (0.14, 0.1, 0.575, 1),
    ),
    "12_minimax": Choice(
        "Six snapshots of samples as dots",
        "Samples climb the surface of their judge",
        (0, 0.05, 0.885, 1),
    ),
    "13_gan": Choice(
        "Six rows of ten images, each column the same noise",
        "The same ten draws of noise while the GAN learns",
        (0.132, 0.06, 1, 1),
    ),
    "14_what_goes_wrong": Choice(
        "Ten panels in two rows",
        "Samples and the ring they should cover, with two settings",
        (0, 0.12, 0.605, 1),
    ),
    "15_judging": Choice("Twenty-four numbered digits", "Which are real?", (0, 0.08, 0.75, 1)),
    "16a_images": Choice(
        "Five labelled rows of ten images. Real: crisp shapes. Rebuilt",
        "Images in colour, rebuilt, and made by a VAE",
        (0.2, 0.08, 0.8, 1),
    ),
    "16b_speech": Choice(
        "Two panels over the same three quarters of a second",
        "A sound, as a waveform and as a picture",
        (0, 0.06, 1, 1),
    ),
    "16c_music": Choice(
        "Diagram of three time steps",
        "Memories, codes and notes, step by step",
        (0, 0.08, 1, 1),
    ),
    "16d_prose": Choice(
        "Two panels, short texts and long text",
        "How well counting guesses the next letter of a name",
        (0, 0.13, 0.5, 1),
    ),
    "16e_tables": Choice(
        "Three scatter plots of the filled value",
        "Missing cells, filled by a VAE and as well as can be",
        (0.37, 0.12, 1, 1),
    ),
    "17a_both_at_once": Choice(
        "Digits in four rows, left of the VAE and right",
        "Digits, rebuilt and drawn by a VAE with a judge",
        (0.535, 0.22, 1, 1),
    ),
    "17b_autoregression": Choice(
        "Four rows of ten digits. In each row first the test image",
        "Half a digit, and ways to go on",
        (0, 0.08, 0.7, 1),
    ),
    "17c_flows": Choice(
        "Three densities on the plane as grey pictures",
        "Two moons, and two flows that learned them",
        (0, 0.1, 1, 1),
    ),
    "17d_diffusion": Choice(
        "Two rows of six clouds of samples of the best denoiser",
        "From noise to two moons, with ever smaller steps",
        (0.03, 0.08, 0.69, 1),
    ),
    "17e_flow_matching": Choice(
        "Three panels with fifteen paths from noise",
        "Paths from noise to eight clusters",
        (0, 0.15, 0.35, 0.85),
    ),
    "17f_map": Choice(
        "A map of eight families",
        "Eight families, by what they know and what they cost",
        (0, 0.07, 1, 1),
    ),
    "A1_mathematics": Choice(
        "A tilted elliptical cloud of points",
        "Draws of a normal distribution, and its axes",
        (0, 0.08, 0.53, 1),
    ),
}


@dataclass(frozen=True)
class Thumbnail:
    """A picture in ``_images``; ``drawn``: on paper, so that it is turned in the dark."""

    name: str
    width: int
    height: int
    drawn: bool

    def image(self, folder: str, kind: str, loading: str) -> str:
        """Return the picture as HTML. It decorates: what it shows is said beside it."""
        classes = f"{kind} drawn" if self.drawn else kind
        return (
            f'<img class="{classes}" src="{folder}{self.name}" alt="" '
            f'width="{self.width}" height="{self.height}" loading="{loading}" />'
        )


_made: dict[tuple[str, str], Thumbnail] = {}  # in this build, by the picture's file and the figure's


def note(app: Sphinx, document: nodes.document) -> None:
    """Keep which figure stands for a page, and give the figure an anchor."""
    figure = _figure(document, app.env.docname)
    pictures(app.env).pop(app.env.docname, None)
    if figure is None:
        return
    pictures(app.env)[app.env.docname] = figure["uri"]
    outputs = (node for node in _around(figure) if node.get("nb_element") == "cell_code_output")
    place = next(outputs, figure.parent)
    place["ids"].append(ANCHOR)


def _around(node: nodes.Node) -> Iterator[nodes.Element]:
    """Yield the elements that a node is in, from within."""
    while node.parent is not None:
        node = node.parent
        yield node


def pictures(env: BuildEnvironment) -> dict[str, str]:
    """Return the file of the figure that stands for each page, from the folder of the sources."""
    return vars(env).setdefault("gm_pictures", {})


def _figure(document: nodes.document, page: str) -> nodes.image | None:
    """Return the figure that is chosen for a page, else its first; of one in two formats, the PNG."""
    figures = [node for node in document.findall(nodes.image) if node["uri"].endswith(".png")]
    choice = PICTURES.get(Path(page).name)
    chosen = [node for node in figures if choice and node.get("alt", "").startswith(choice.begin)]
    return next(iter(chosen + figures), None)


def caption(page: str) -> str:
    choice = PICTURES.get(Path(page).name)
    return choice.caption if choice else "A figure of this page"


def thumbnail(env: BuildEnvironment, page: str) -> Thumbnail | None:
    """Make the picture of a page. A page above others takes that of the first which has one."""
    figure = pictures(env).get(page)
    if figure is None:
        below = (thumbnail(env, name) for name in env.toctree_includes.get(page, []))
        return next(filter(None, below), None)
    name = f"card-{Path(page).name}.webp"
    target = Path(env.app.outdir) / "_images" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and (str(target), figure) in _made:
        return _made[str(target), figure]  # for a card, and again for the top of the page
    choice = PICTURES.get(Path(page).name, Choice("", ""))
    picture = framed(part_of(Image.open(Path(env.srcdir) / figure), choice.part))
    picture.save(target, format="WEBP", quality=80, method=6)
    light = np.asarray(picture.convert("L")) > LIGHT
    made = _made[str(target), figure] = Thumbnail(name, *picture.size, drawn=bool(light.mean() > DRAWN))
    return made


def part_of(figure: Image.Image, part: tuple[float, float, float, float]) -> Image.Image:
    """Return a part of a figure without the white around it. Its edges run where no ink is, if they can."""
    paper = Image.new("RGB", figure.size, "white")
    paper.paste(figure, mask=figure.getchannel("A") if "A" in figure.getbands() else None)
    inked = np.asarray(paper.convert("L")) < WHITE
    width = figure.width
    left, right = (round(share * width) for share in part[::2])
    top, bottom = (_free(inked[:, left:right], 1, share) for share in part[1::2])
    left, right = (_free(inked[top:bottom], 0, share) for share in part[::2])
    rows, columns = np.nonzero(inked[top:bottom, left:right])
    if not len(rows):
        return paper
    left, right = left + int(columns.min()), left + int(columns.max()) + 1
    top, bottom = top + int(rows.min()), top + int(rows.max()) + 1
    return paper.crop((left, top, right, bottom))


def _free(inked: np.ndarray, axis: int, share: float) -> int:
    """Return the place nearest to a share of a width or height where no ink is, if there is one in reach."""
    free = np.flatnonzero(~np.any(inked, axis=axis))
    length = inked.shape[1 - axis]
    wanted = round(share * length)
    if share in (0, 1) or not len(free):
        return wanted
    nearest = int(free[np.abs(free - wanted).argmin()])
    return nearest if abs(nearest - wanted) <= REACH * length else wanted


def framed(picture: Image.Image) -> Image.Image:
    """Return a picture as all have it, of one shape. A grid of dark images stands on black, not on white."""
    pixels = np.array(picture)
    grey = np.asarray(picture.convert("L"))
    edges = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ground = 0 if np.median(edges) < DARK else 255
    white = grey >= WHITE
    between = white.all(axis=1, keepdims=True) | (white.mean(axis=0) > GAP)
    pixels[white & between] = ground
    width, height = picture.width + 2 * MARGIN, picture.height + 2 * MARGIN
    size = (max(width, round(height * SHAPE)), max(height, round(width / SHAPE)))
    whole = Image.new("RGB", size, (ground,) * 3)
    whole.paste(Image.fromarray(pixels), ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
    if whole.width > WIDTH:
        whole = whole.resize((WIDTH, round(WIDTH / SHAPE)), Image.Resampling.LANCZOS)
    return whole
