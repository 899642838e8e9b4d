"""No page states a number that is neither computed there nor in results/, and the records hold."""

import re
from pathlib import Path

import pytest

import benchmarks.page
import make_results_page
from chapters import ROOT, chapter_paths
from gm_lib.pretrained import card
from measure import CLAIMS
from quoted_numbers import misquoted, unmeasured, without_literal
from records import paths, read, read_all

MADE = {ROOT / make_results_page.PAGE, ROOT / benchmarks.page.PAGE}
PAGES = [ROOT / "README.md", *(path for path in sorted((ROOT / "book").glob("*.md")) if path not in MADE)]

# What looks measured and is not: definitions, sizes, somebody's imagined answer. A passage for each, as it is
# written; nothing that a run gave, and nothing that could be an assertion in a cell, belongs here.
ALLOWED = {
    "book/glossary.md": ["exceeds 0.01", r"$1/\log 2 \approx 1.44$ bits"],
    "book/notation.md": [r"one bit is $\log 2$ nats"],
    "book/reliability.md": ["at most half a minute"],
    "book/setup.md": ["6 GB of disk", "a download of 12 MB"],
    "book/chapters/00_tools.md": ["“85 % clear” means nothing; “85 %, where real images reach 98 %” does."],
    "book/chapters/11_beyond_the_plain_vae.md": ["82.90 (two levels, 50 draws)"],  # Burda et al. 2016
    "book/chapters/16c_music.md": [  # Krishnan et al. 2017, tables 3 and 4
        "the 3.99 before one knows its output",
        "bound as 5.335 and, in braces, 5.264",
    ],
    "book/chapters/16e_tables.md": ["86.76 nats", "5.12, ≤ 5.34"],  # Burda et al.; Krishnan et al.
    "book/chapters/17c_flows.md": [  # the University of Amsterdam's tutorial, number 11
        "reach 1.078 bits",
        "has 0.808",
    ],
    "book/chapters/17f_map.md": [  # invented reports, to be judged
        "82 nats, exact, model Q at most 84",
        "1.1 bits per dimension; an autoregressive model of coins 80 nats, which is 0.15 bits",
        "from 90 to 88 nats",
        "is 79 nats on average",
        "from 60 to 85 %",
        "1.10 and 1.05 bits",
    ],
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_a_record_is_whole_and_its_mean_and_spread_are_those_of_its_values(path):
    read(path)  # raises what is wrong


@pytest.mark.parametrize("path", paths(), ids=lambda path: path.stem)
def test_a_record_says_what_its_claim_says_now(path):
    record, claim = read(path), CLAIMS.get(path.stem)
    assert claim is not None, f"results/{path.name}: tools/measure.py has no claim of that name any more"
    asked = {
        key: (quantity.what, quantity.unit, quantity.gate, quantity.aim)
        for key, quantity in claim.quantities.items()
    }
    held = {key: (q.what, q.unit, q.gate, q.aim) for key, q in record.quantities.items()}
    assert (record.title, record.claim, record.data, held) == (claim.title, claim.claim, claim.data, asked), (
        f"measure it again, {record.command}; where only words differ, change them in results/{path.name} too"
    )
    seeds = " ".join(map(str, record.seeds))
    assert record.command == f"python tools/measure.py {path.stem} --seeds {seeds}"


def test_the_record_of_the_listener_agrees_with_the_card_of_the_weights_that_are_here():
    record, ours = read_all().get("speech_classifier"), card("speech_classifier")
    if record is None:
        pytest.skip("results/speech_classifier.json is not measured yet")
    found = record.quantities["real"].values[record.seeds.index(ours["seed"])]
    assert found == pytest.approx(ours["accuracy"]["test"]["share"], abs=1 / 300 + 1e-4)


def test_the_record_of_the_classifier_agrees_with_the_card_of_the_weights_that_are_here():
    record, ours = read_all().get("digit_classifier"), card("digit_classifier")
    if record is None:
        pytest.skip("results/digit_classifier.json is not measured yet")
    place = record.seeds.index(ours["seed"])
    for data, quantity in record.quantities.items():
        shipped = ours["accuracy"][data]["test"]  # from weights in half precision, perhaps of another machine
        assert abs(quantity.values[place] - shipped["share"]) <= 2 * shipped["standard_error"], data


def test_the_page_of_results_is_what_the_records_give():
    assert make_results_page.main(["--check"]) == 0


@pytest.mark.parametrize("path", [*PAGES, *chapter_paths()], ids=name)
def test_every_quoted_number_is_in_its_record(path):
    assert misquoted(name(path), path.read_text("utf-8"), read_all()) == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_that_computes_nothing_quotes_what_was_measured(path):
    assert unmeasured(name(path), path.read_text("utf-8"), ALLOWED.get(name(path), ())) == []


@pytest.mark.parametrize("path", chapter_paths(), ids=name)
def test_every_number_in_the_prose_of_a_chapter_stands_in_its_code(path):
    assert without_literal(name(path), path.read_text("utf-8"), ALLOWED.get(name(path), ())) == []


@pytest.mark.parametrize("path", [*PAGES, *chapter_paths()], ids=name)
def test_what_a_page_calls_not_measured_yet_has_no_record(path):
    """A page names the record that it waits for: when that is there, its numbers belong in the place."""
    waiting = re.findall(r"not measured yet \(`(\w+)`\)", path.read_text("utf-8"))
    assert {*waiting} & {*read_all()} == set()


def test_every_page_with_allowed_passages_is_there():
    assert {*ALLOWED} <= {name(path) for path in (*PAGES, *chapter_paths())}
