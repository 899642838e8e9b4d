"""The page of the benchmarks is made from their record."""

import json
import re

import pytest

from benchmarks import __main__ as bench
from benchmarks.page import FIGURE, PAGE, RECORD, ROOT, main


def test_the_page_is_what_the_record_gives():
    assert main(["--check"]) == 0


@pytest.fixture
def course(tmp_path):
    for name in (RECORD, PAGE, FIGURE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def change(course, part, contestant, name, value):
    record = json.loads((course / RECORD).read_text("utf-8"))
    for each in record["measured"][part]:
        each[contestant][name] = value(each)
    (course / RECORD).write_text(json.dumps(record), "utf-8")


def test_check_fails_without_writing_when_a_number_of_the_page_changes(course):
    change(course, "vae_speed", "pythae", "seconds_per_step", lambda each: 1.0)
    before = (course / PAGE).read_bytes()
    assert main(["--check"], course) == 1
    assert (course / PAGE).read_bytes() == before


def test_check_fails_when_the_figure_shows_other_numbers(course):
    (course / FIGURE).write_text("<svg/>")
    assert main(["--check"], course) == 1
    assert main([], course) == 0
    assert main(["--check"], course) == 0


@pytest.mark.parametrize(
    ("times", "said"),
    [(3.01, "kept; aim ≥ 3 reached"), (2.01, "kept; aim ≥ 3 not reached"), (1.99, "**missed**")],
)
def test_the_page_says_whether_a_gate_was_kept(course, times, said):
    change(course, "vae_time", "pythae", "seconds", lambda each: times * each["ours"]["seconds"])
    main([], course)
    page = (course / PAGE).read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    (row,) = (line for line in page.splitlines() if line.startswith("| VAE: pythae's time to the quality"))
    assert f"| {times} |" in row
    assert said in row


def test_the_page_says_who_did_not_reach_the_quality(course):
    change(course, "vae_time", "script", "reached", lambda each: False)
    main([], course)
    page = (course / PAGE).read_text("utf-8")
    assert any(
        line.startswith("| an ordinary script |") and "given up in 3 of 3 runs" in line
        for line in page.splitlines()
    )
    assert "would have taken longer" in page


def test_a_part_measured_anew_stands_beside_the_others_of_the_record_with_its_own_date(monkeypatch):
    old = json.loads((ROOT / RECORD).read_text("utf-8"))
    monkeypatch.setattr(bench, "setting", lambda: {"hardware": "this"})  # without the peers' packages
    made = bench.record({"gan_time": [{"ours": {"seconds": 1.234567}}]}, old)
    assert made["measured"] == {**old["measured"], "gan_time": [{"ours": {"seconds": 1.2346}}]}
    assert {**made["dates"], "gan_time": ""} == {**old["dates"], "gan_time": ""}
    assert made["dates"]["gan_time"] >= "2026-11-29"


def test_parts_of_another_machine_are_not_mixed_with_new_ones(course, monkeypatch):
    setting = {
        name: json.loads((course / RECORD).read_text("utf-8"))[name] for name in ("hardware", "versions")
    }
    monkeypatch.setattr(bench, "setting", lambda: setting)
    assert bench.earlier_record(course)["hardware"] == setting["hardware"]
    setting["hardware"] = "64 CPU cores"
    with pytest.raises(ValueError, match="measured with other hardware"):
        bench.earlier_record(course)


def test_a_part_that_there_is_not_is_named_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        bench.main(["gan_tine"])
    assert "unknown gan_tine; the parts are vae_speed" in capsys.readouterr().err


def test_a_record_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path, capsys):
    assert main([], tmp_path) == 1
    assert "Run make bench" in capsys.readouterr().err


# What came out, in sentences


def said(course):
    """Return the sentences that the page and its sections begin with."""
    assert main([], course) == 0
    page = (course / PAGE).read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ").replace("\n", " ")
    return re.findall(r"(?:# Benchmarks|## [^*]*?)  \*\*(.+?)\*\*", page)


def test_the_page_and_each_section_begin_with_what_came_out(course):
    for name, times in (("script", 2.5), ("lightning", 3), ("pythae", 2.25)):
        change(course, "vae_time", name, "seconds", lambda each, times=times: times * each["ours"]["seconds"])
        change(
            course, "vae_speed", name, "seconds_per_step", lambda each: 2 * each["ours"]["seconds_per_step"]
        )
    first, asked, vae, gan, more = said(course)
    assert first.startswith(
        "The course's library has a good VAE after 15 seconds, where others take 2.2 to 3.0 times as long"
    )
    assert asked == "All gates were kept; of 5 aims 3 were reached."
    assert vae.startswith(
        "A step takes 3.4 milliseconds, one of the others 2.0 times as long; and they need more"
    )
    assert gan.startswith("A step takes 13.0 milliseconds")
    assert more.startswith("Batches of 1,024 instead of 16 bring 5.1 times as many images a second; 32 times")


def test_who_was_given_up_takes_at_least_as_long_as_that(course):
    assert "a good GAN after 62, where they take at least 3.1" in said(course)[0]
    for name in ("script", "torchgan"):
        change(course, "gan_time", name, "reached", lambda each: True)
    assert "a good GAN after 62, where they take 3.1" in said(course)[0]


def test_others_that_need_fewer_steps_are_not_said_to_need_more(course):
    change(course, "vae_time", "script", "steps", lambda each: each["ours"]["steps"])
    assert "more steps" not in said(course)[2]


def test_a_missed_gate_is_said_first(course):
    change(course, "vae_time", "pythae", "seconds", lambda each: each["ours"]["seconds"])
    assert said(course)[1].startswith("Of 10 gates 1 was missed; of 5 aims")
