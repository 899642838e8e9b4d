"""Claims about the page of results: made from the records alone, each under its own anchor."""

import re

import pytest
from toy_record import at_most, put, quantity, toy_record

import results_sentences
from make_results_page import FIGURE, GREY, PAGE, PENDING, SCOREBOARD, figure, main, page
from measure import CLAIMS
from records import ROOT, RecordError, read_all
from results_sentences import SENTENCES, Number, Sentence, sentence


@pytest.fixture(autouse=True)
def own_sentences(monkeypatch):
    """The toys have the names of records of the course, and no sentences."""
    own = {}
    monkeypatch.setattr(results_sentences, "SENTENCES", own)
    return own


@pytest.fixture
def course(tmp_path):
    """A course with two records and no page yet."""
    (tmp_path / "book" / "_static").mkdir(parents=True)
    for name in ("toy_vae", "toy_gan"):
        put(tmp_path, toy_record(name))
    return tmp_path


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", text.replace("\N{NO-BREAK SPACE}", " "), re.M)
    ]


def test_each_record_has_a_section_with_everything_it_holds_and_its_name_for_an_anchor():
    record = toy_record()
    text = page({"toy_gan": record})
    assert '\n<a id="toy_gan"></a>\n\n## A toy\n' in text
    for said in (
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
    assert re.findall(r'^<a id="(.+)"></a>$', first, re.M) == ["toy_gan", "toy_vae"]
    assert main([], course) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {PAGE}", f"{PAGE} is up to date"]
    put(course, toy_record("toy_vae", title="Another toy"))
    assert main([], course) == 0
    assert "## Another toy\n" in (course / PAGE).read_text("utf-8")


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
    board = text[text.index("## Scoreboard") : text.index('<a id="gan_quick">')]
    assert rows(board)[2:] == [
        ["13", "GAN, 1,200 steps", "has no p(x)", "[2.50 ± 0.71](#gan_quick)"],
    ]


def test_the_scoreboard_calls_a_bound_a_bound_and_a_likelihood_a_likelihood():
    names = ("pixels", "tiles", "tiles_by_digit", "neighbours", "causes")
    of = {name: quantity("d", "nats per image", 104.3, 104.5) for name in names}
    of |= {f"frechet_{name}": quantity("d", "u", 24.3, 24.5) for name in names}
    bounded = toy_record("vae_quick", quantities={"bound_300": of["causes"], "frechet": of["frechet_tiles"]})
    text = page({"first_digits": toy_record("first_digits", quantities=of), "vae_quick": bounded})
    board = rows(text[text.index("## Scoreboard") : text.index("## What was measured")])[2:]
    assert [row[0] for row in board] == ["1", "1", "1", "2", "5", "9"]
    assert all(row[2] == "[104.40 ± 0.14](#first_digits)" for row in board[:-1])
    assert board[-1][2].startswith("≤ [104.40 ± 0.14](#vae_quick)")


def test_a_spread_below_a_ten_thousandth_is_not_printed():
    values = quantity("d", "nats per image", 6.12825, 6.12829)
    text = page({"toy": toy_record("toy", quantities={"d": values})})
    assert rows(text)[-1][1:] == ["**6.13**", "6.13 · 6.13"]


def test_grey_models_have_a_table_of_their_own():
    names = [name for _, _, record, name in GREY if record == "first_grey"]
    grey = toy_record("first_grey", quantities={name: quantity("d", "b", 1.9, 2.1) for name in names})
    text = page(
        {
            "first_grey": grey,
            "gan_quick": toy_record("gan_quick", quantities={"frechet": quantity("d", "u", 2.0, 3.0)}),
        }
    )
    board = text[text.index("Grey digits") : text.index("## What was measured")]
    assert [row[2] for row in rows(board)[2:]] == ["[2.00 ± 0.14](#first_grey)"] * len(names)


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


# The sentence that each record begins with


def test_a_section_begins_with_what_came_out_in_its_own_numbers_and_what_became_of_gates_and_aims(
    own_sentences,
):
    own_sentences["toy_gan"] = Sentence(
        "It is sure of {confident}, for {price} nats.", lambda q: (q.price > 0,)
    )
    after = page({"toy_gan": toy_record()}).partition("## A toy\n\n")[2].replace("\N{NO-BREAK SPACE}", " ")
    assert after.startswith(
        "**It is sure of 52 %, for 1,103 nats. "
        "Its two gates were kept in each of the three runs; its aim was not reached.**\n\nWhat was claimed"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantities": {"a": quantity("a", "nats", 1.0, 2.0, 3.0)}}, "No gate was set."),
        (
            {"quantities": {"a": quantity("a", "nats", 1.0, 2.0, 3.0, aim=at_most(2.5))}},
            "Its aim was reached.",
        ),
        (
            {"seeds": (0,), "quantities": {"a": quantity("a", "nats", 1.0, gate=at_most(2.5))}},
            "Its gate was kept in the one run.",
        ),
        (
            {
                "quantities": {
                    "a": quantity("a", "nats", 1.0, 2.0, 3.0, aim=at_most(2.5)),
                    "b": quantity("b", "nats", 1.0, 2.0, 3.0, aim=at_most(1.5)),
                }
            },
            "Of its two aims one was reached.",
        ),
    ],
)
def test_what_became_of_gates_and_aims_is_said(changes, said):
    assert sentence(toy_record(**changes)) == said


def test_a_sentence_whose_words_are_not_true_of_every_run_is_refused(own_sentences, course, capsys):
    assert main([], course) == 0
    before = (course / PAGE).read_bytes()
    own_sentences["toy_gan"] = Sentence("More than half: {confident}.", lambda q: (q.confident > 0.5,))
    with pytest.raises(RecordError, match="Write it anew"):
        sentence(toy_record())
    assert main([], course) == 1, "one run of three has half, not more"
    assert "results/toy_gan.json" in capsys.readouterr().err
    assert (course / PAGE).read_bytes() == before


def test_every_record_of_the_course_has_its_sentence_and_no_other_has(monkeypatch):
    monkeypatch.setattr(results_sentences, "SENTENCES", SENTENCES)
    records = read_all(ROOT)
    assert {*SENTENCES} == {*records}, "write what came out, in tools/results_sentences.py"
    for record in records.values():
        assert sentence(record)[0].isupper()


@pytest.mark.parametrize(
    ("unit", "mean", "said"),
    [
        ("share", 0.524, "52 %"),
        ("share", 0.9942, "99.4 %"),
        ("share", 1.0, "100 %"),
        ("nats", 1565.0, "1,565"),
        ("nats", 99.96, "100.0"),
        ("nats", 5.318, "5.32"),
        ("nats", 0.0047, "0.0047"),
    ],
)
def test_a_mean_is_said_with_few_digits(unit, mean, said):
    assert f"{Number(quantity('a', unit, mean))}".replace("\N{NO-BREAK SPACE}", " ") == said


# The picture of the scoreboard


@pytest.fixture
def scored(course):
    """The course, with a model on the scoreboard."""
    put(course, toy_record("gan_quick", quantities={"frechet": quantity("d", "u", 2.0, 3.0, 4.0)}))
    return course


def test_the_scoreboard_has_a_picture_and_words_for_it(scored):
    assert main([], scored) == 0
    text, drawing = (scored / PAGE).read_text("utf-8"), (scored / FIGURE).read_text("utf-8")
    (alt,) = re.findall(r"!\[([^\]]+)\]\(_static/scoreboard\.svg\)", text)
    assert "Fréchet distance, from 3.0 (13 · GAN, 1,200 steps) down to 3.0" in alt
    assert "13 · GAN, 1,200 steps" in drawing
    assert drawing.index("Fréchet distance: shorter is better") > 0
    assert "nats per image" not in drawing


def test_check_fails_when_the_picture_shows_other_numbers(scored):
    main([], scored)
    (scored / FIGURE).write_text("<svg/>", "utf-8")
    assert main(["--check"], scored) == 1
    assert (scored / FIGURE).read_text("utf-8") == "<svg/>"
    assert main([], scored) == 0
    assert main(["--check"], scored) == 0
    put(scored, toy_record("gan_quick", quantities={"frechet": quantity("d", "u", 2.0, 3.0, 5.0)}))
    assert main(["--check"], scored) == 1


def test_a_bar_is_as_long_as_its_number_and_a_bound_is_told_from_a_likelihood():
    of = {
        name: quantity("d", "nats per image", value)
        for name, value in {"pixels": 200.0, "tiles": 100.0}.items()
    }
    of |= dict.fromkeys(("tiles_by_digit", "neighbours", "causes"), of["tiles"])
    of |= {f"frechet_{name}": of["tiles"] for name in ("pixels", "tiles", "neighbours", "causes")}
    bounded = toy_record("vae_quick", quantities={"bound_300": of["tiles"], "frechet": of["tiles"]})
    drawing = figure(
        {"first_digits": toy_record("first_digits", quantities=of), "vae_quick": bounded}
    ).decode()
    boxes = [
        [float(number) for number in re.findall(r"-?[\d.]+", path)]
        for path in re.findall(r'<g id="patch_\d+">\s*<path d="([^"]+)"[^>]*clip-path', drawing)
    ]
    widths = [max(box[::2]) - min(box[::2]) for box in boxes]
    assert widths[0] == pytest.approx(2 * widths[1], rel=1e-3)
    assert drawing.count("≤ 100.0") == 1
