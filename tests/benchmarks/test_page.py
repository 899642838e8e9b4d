"""The page of the benchmarks is made from their record."""

import json

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
