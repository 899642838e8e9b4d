"""Claims about the pictures of the pages: whole pages in every view, or a word on why there are none."""

import re
from pathlib import Path

import pytest
from PIL import Image

from built_site import MissingError, chromium, find_chromium
from shots import main

TALL = 20_000  # more than Chromium draws in one picture
TOY = """\
<!doctype html>
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
  body {{ height: {height}px; margin: 0; border-bottom: 10px solid red; box-sizing: border-box; }}
  h1 {{ margin: 0; }}
  img {{ bottom: 30px; display: none; height: 30px; position: absolute; width: 100%; }}
  @media (prefers-color-scheme: dark) {{
    body {{ background: black; position: relative; }}
    img {{ display: block; }}
  }}
</style>
<h1>{title}</h1>
<img src="blue.png" loading="lazy" alt="">
"""
WIDTHS = ("300", "200")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder of a course whose book has two pages, one of them taller than a picture may be."""
    html = tmp_path / "_build" / "html"
    (html / "book").mkdir(parents=True)
    (html / "index.html").write_text("This leads on to the first page.")
    for title, height in (("tall", TALL), ("short", 500)):
        (html / "book" / f"{title}.html").write_text(TOY.format(title=title, height=height))
    Image.new("RGB", (8, 8), "blue").save(html / "book" / "blue.png")
    return tmp_path


@pytest.fixture
def _has_chromium() -> None:
    try:
        find_chromium()
    except MissingError as error:
        pytest.skip(str(error))


def colours(root: Path, view: str) -> list[tuple[int, int, int]]:
    """Return the colour in the middle and at the lower edge of the last piece of a page's picture."""
    *_, last = sorted((root / "_build" / "shots" / "book").glob(f"{view}-*.webp"))
    with Image.open(last) as picture:
        wide, high = picture.size
        rgb = picture.convert("RGB")
        return [rgb.getpixel((wide // 2, y)) for y in (high // 2, high - 3)]


def height(root: Path, view: str) -> int:
    pieces = (root / "_build" / "shots" / "book").glob(f"{view}-*.webp")
    return sum(Image.open(piece).height for piece in pieces)


def is_red(colour: tuple[int, int, int]) -> bool:
    red, green, blue = colour
    return red > 200 and max(green, blue) < 60


@pytest.mark.usefixtures("_has_chromium")
def test_a_page_is_pictured_from_top_to_bottom_light_and_dark_at_each_width(site):
    assert main(["--widths", *WIDTHS], site) == 0
    for width in WIDTHS:
        for theme, ground in (("light", 255), ("dark", 0)):
            middle, edge = colours(site, f"tall-{theme}-{width}")
            assert height(site, f"tall-{theme}-{width}") == TALL
            assert is_red(edge)
            assert middle == pytest.approx((ground, ground, ground), abs=3)


@pytest.mark.usefixtures("_has_chromium")
def test_a_picture_that_only_a_dark_page_has_is_there_far_below_too(site):
    main(["--widths", "200", "--pages", "tall"], site)
    *_, last = sorted((site / "_build" / "shots" / "book").glob("tall-dark-200-*.webp"))
    with Image.open(last) as picture:
        red, green, blue = picture.convert("RGB").getpixel((100, picture.height - 45))
    assert blue > 200
    assert max(red, green) < 60


@pytest.mark.usefixtures("_has_chromium")
def test_a_person_leafs_through_the_pictures_with_the_keys_and_without_a_network(site):
    main(["--widths", *WIDTHS], site)
    viewer = site / "_build" / "shots" / "index.html"
    assert not re.search(r"https?://", viewer.read_text("utf-8"))
    with chromium() as browser:
        page = browser.new_page()
        page.goto(viewer.as_uri())

        def shown() -> str:
            page.wait_for_function("[...document.images].every((i) => i.complete && i.naturalWidth)")
            return page.locator("img").first.get_attribute("alt").partition(" pixels")[0]

        assert shown() == "book/short, light, 300"
        page.keyboard.press("ArrowRight")
        assert shown() == "book/tall, light, 300"
        assert page.locator("main").bounding_box()["height"] >= TALL
        page.keyboard.press("ArrowRight")
        assert shown() == "book/tall, light, 300", "that was the last page"
        page.keyboard.press("t")
        page.keyboard.press("w")
        assert shown() == "book/tall, dark, 200"
        page.get_by_label("Page").select_option("book/short")
        page.keyboard.press("t")
        assert shown() == "book/short, light, 200"
        page.reload()
        assert shown() == "book/short, light, 200"


@pytest.mark.usefixtures("_has_chromium")
def test_pages_are_chosen_by_a_part_of_their_names_and_no_older_picture_stays(site):
    main(["--widths", "200"], site)
    assert main(["--widths", "200", "--pages", "t*l"], site) == 0
    pictured = {path.name.partition("-")[0] for path in (site / "_build" / "shots" / "book").iterdir()}
    assert pictured == {"tall"}


def test_a_page_that_is_not_there_is_named_beside_those_that_are(site, capsys):
    assert main(["--pages", "short", "long"], site) == 1
    said = capsys.readouterr().err
    assert "No page has long in its name" in said
    assert "book/short\n  book/tall" in said


def test_where_nothing_is_built_it_says_how_to_build(tmp_path, capsys):
    assert main([], tmp_path) == 1
    assert "run make book first" in capsys.readouterr().err


def test_without_a_browser_it_says_what_to_install_and_keeps_the_older_pictures(site, capsys, monkeypatch):
    older = site / "_build" / "shots" / "index.html"
    older.parent.mkdir()
    older.touch()
    monkeypatch.setenv("PATH", str(site))
    monkeypatch.delenv("GM_CHROMIUM", raising=False)
    assert main([], site) == 1
    assert re.search("install one of chromium, .* or set GM_CHROMIUM", capsys.readouterr().err)
    monkeypatch.setenv("GM_CHROMIUM", "/no/such/browser")
    assert main([], site) == 1
    assert "GM_CHROMIUM is /no/such/browser, which is no program" in capsys.readouterr().err
    assert older.is_file()


@pytest.mark.parametrize("width", ["wide", "0", "-375", "100000"])
def test_a_width_that_no_screen_has_is_refused(site, width, capsys):
    with pytest.raises(SystemExit):
        main(["--widths", width], site)
    assert "a width is 200 to 4000 pixels" in capsys.readouterr().err
