"""Claims about the page of results: made from the records alone, each under its own anchor."""

import re

import pytest
from toy_record import put, quantity, toy_record

from make_results_page import GREY, PAGE, PENDING, SCOREBOARD, main, page
from measure import CLAIMS
from records import ROOT, read_all


@pytest.fixture
def course(tmp_path):
    """A course with two records and no page yet."""
    (tmp_path / "book").mkdir()
    for name in ("toy_vae", "toy_gan"):
        put(tmp_path, toy_record(name))
    return tmp_path


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", text.replace("\N{NO-BREAK SPACE}", " "), re.M)
    ]


def test_each_record_has_a_section_named_after_it_with_everything_it_holds():
    record = toy_record()
    text = page({"toy_gan": record})
    assert "\n## toy_gan\n" in text
    for said in (
        record.title,
        record.claim,
        record.data,
        record.command,
        record.hardware,
        record.date,
        "torch 2.13.0",
    ):
        assert said in text
    assert "It took 54 seconds for each seed, of processor time 41" in text
    assert "](../results/toy_gan.json)" in text


def test_the_table_gives_mean_and_sd_every_seed_and_what_was_to_be_kept():
    head, _, *body = rows(page({"toy_gan": toy_record()}))
    assert head == ["quantity", "mean ± sd", "seeds 0, 1, 2", "gate or aim"]
    assert body == [
        [
            "confident",
            "**52.5 ± 2.8 %**",
            "50.0 % · 52.0 % · 55.5 %",
            "gate ≥ 35 %; aim ≥ 60 %: not reached",
        ],
        ["−ELBO, nats per image", "**1,102.97 ± 0.40**", "1,102.61 · 1,102.90 · 1,103.40", "gate ≤ 1,105"],
        ["entropy, nats per image", "**46**", "46 · 46 · 46", ""],
    ]


def test_a_bar_in_a_quantity_does_not_cut_its_cell():
    text = page({"toy_gan": toy_record(quantities={"a": quantity("log p(x | z)", "nats", 1.0, 2.0, 3.0)})})
    assert r"| log p(x \| z), nats |" in text


def test_a_single_seed_has_no_spread():
    alone = toy_record(
        seeds=(7,),
        seconds=(3.0,),
        cpu_seconds=(2.0,),
        quantities={"a": quantity("accuracy", "share", 0.9934)},
    )
    assert rows(page({"toy_gan": alone}))[2] == ["accuracy", "**99.34 %**", "99.34 %"]


def test_the_page_is_written_once_and_again_when_a_record_changes(course, capsys):
    assert main([], course) == 0
    first = (course / PAGE).read_text("utf-8")
    assert re.findall(r"^## (.+)$", first, re.M)[-2:] == ["toy_gan", "toy_vae"]
    assert main([], course) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {PAGE}", f"{PAGE} is up to date"]
    put(course, toy_record("toy_vae", title="Another toy"))
    assert main([], course) == 0
    assert "**Another toy.**" in (course / PAGE).read_text("utf-8")


def test_check_writes_nothing_and_fails_when_the_page_is_not_what_the_records_give(course, capsys):
    assert main(["--check"], course) == 1
    assert not (course / PAGE).exists()
    assert "run python tools/make_results_page.py" in capsys.readouterr().err
    main([], course)
    assert main(["--check"], course) == 0
    (course / PAGE).write_text((course / PAGE).read_text("utf-8").replace("52.5", "62.5"), "utf-8")
    assert main(["--check"], course) == 1


def test_a_broken_record_is_named_and_the_page_left_as_it_was(course, capsys):
    main([], course)
    before = (course / PAGE).read_bytes()
    (course / "results" / "toy_vae.json").write_text('{"title": ', "utf-8")
    assert main([], course) == 1
    assert "results/toy_vae.json: is not whole JSON" in capsys.readouterr().err
    assert (course / PAGE).read_bytes() == before


def test_the_scoreboard_shows_the_models_that_were_measured_with_links_to_their_records():
    text = page({"gan_quick": toy_record("gan_quick", quantities={"frechet": quantity("d", "u", 2.0, 3.0)})})
    board = text[text.index("## Scoreboard") : text.index("## gan_quick")]
    assert rows(board)[2:] == [
        ["13", "GAN, 1,200 steps", "has no p(x)", "[2.50 ± 0.71](#gan_quick)"],
    ]


def test_the_scoreboard_calls_a_bound_a_bound_and_a_likelihood_a_likelihood():
    names = ("pixels", "tiles", "tiles_by_digit", "neighbours", "causes")
    of = {name: quantity("d", "nats per image", 104.3, 104.5) for name in names}
    of |= {f"frechet_{name}": quantity("d", "u", 24.3, 24.5) for name in names}
    bounded = toy_record("vae_quick", quantities={"bound_300": of["causes"], "frechet": of["frechet_tiles"]})
    text = page({"first_digits": toy_record("first_digits", quantities=of), "vae_quick": bounded})
    board = rows(text[text.index("## Scoreboard") : text.index("## first_digits")])[2:]
    assert [row[0] for row in board] == ["1", "1", "1", "2", "5", "9"]
    assert all(row[2] == "[104.40 ± 0.14](#first_digits)" for row in board[:-1])
    assert board[-1][2].startswith("≤ [104.40 ± 0.14](#vae_quick)")


def test_a_spread_below_a_ten_thousandth_is_not_printed():
    values = quantity("d", "nats per image", 6.12825, 6.12829)
    text = page({"toy": toy_record("toy", quantities={"d": values})})
    assert rows(text)[-1][1:] == ["**6.13**", "6.13 · 6.13"]


def test_grey_models_have_a_table_of_their_own():
    names = [name for _, _, name in GREY]
    grey = toy_record("first_grey", quantities={name: quantity("d", "b", 1.9, 2.1) for name in names})
    text = page(
        {
            "first_grey": grey,
            "gan_quick": toy_record("gan_quick", quantities={"frechet": quantity("d", "u", 2.0, 3.0)}),
        }
    )
    board = text[text.index("Grey digits") : text.index("## first_grey")]
    assert [row[2] for row in rows(board)[2:]] == ["[2.00 ± 0.14](#first_grey)"] * len(GREY)


def test_each_model_of_the_scoreboard_has_its_record_and_quantities():
    records = read_all(ROOT)
    for each in SCOREBOARD:
        asked = [each.nats[0]] if each.nats else []
        asked += [each.frechet] if each.frechet else []
        assert asked
        assert set(asked) <= set(records[each.record].quantities), each.model
        if each.nats:
            assert records[each.record].quantities[each.nats[0]].unit == "nats per image"
    assert [each.chapter for each in SCOREBOARD] == sorted(each.chapter for each in SCOREBOARD)


def test_what_waits_to_be_measured_is_listed_until_it_has_a_record():
    assert set(PENDING) <= set(CLAIMS)
    for name in PENDING:
        assert f"`python tools/measure.py {name}`" in page({"toy": toy_record("toy")})
        assert f"`python tools/measure.py {name}`" not in page({name: toy_record(name)})
    assert "Not measured yet" not in page({name: toy_record(name) for name in PENDING})
