"""Rounds, medians, ratios and gates, with contestants that only pretend to work."""

import json

import pytest

from benchmarks.rounds import Gate, Job, Part, measure, ratios, spread, values

SECONDS = {"a": [1.0, 2.0, 4.0], "b": [3.0, 4.0, 20.0]}


class Pretender:
    """Answers each contestant with its next number, notes who was asked, and may be stopped before a turn."""

    def __init__(self, stop_at=None):
        self.asked, self.ended, self.stop_at = [], 0, stop_at

    def __call__(self, worker, function, arguments):
        if len(self.asked) == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append((worker, arguments["round"]))
        return {"seconds": SECONDS[worker][arguments["round"]]}

    def end_of_part(self):
        self.ended += 1


def part(name="speed", rounds=3):
    return Part(name, rounds, lambda number: {c: Job("m:f", {"round": number}) for c in SECONDS})


def run(tmp_path, ask, parts=None, made_by="this code"):
    return measure(parts or [part()], ask, tmp_path / "kept.json", made_by, ask.end_of_part)


def test_contestants_take_turns(tmp_path):
    ask = Pretender()
    run(tmp_path, ask)
    assert ask.asked == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert ask.ended == 1


def test_a_median_comes_with_the_lowest_and_the_highest_value(tmp_path):
    rounds = run(tmp_path, Pretender())["speed"]
    assert spread(values(rounds, "b", "seconds")) == (4, 3, 20)


def test_a_ratio_is_taken_within_each_round(tmp_path):
    rounds = run(tmp_path, Pretender())["speed"]
    assert ratios(rounds, "b", "a", "seconds") == [3, 2, 5]
    assert spread(ratios(rounds, "b", "a", "seconds")).median == 3  # and not 4 / 2


def test_an_interrupted_run_keeps_its_finished_rounds_and_does_the_broken_one_again(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Pretender(stop_at=3))  # amid the second round
    again = Pretender()
    assert run(tmp_path, again) == run(tmp_path / "elsewhere", Pretender())
    assert again.asked == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()


def test_rounds_of_other_code_do_not_count(tmp_path, capsys):
    run(tmp_path, Pretender(), made_by="old code")
    ask = Pretender()
    run(tmp_path, ask)
    assert len(ask.asked) == 6
    assert "everything is measured again" in capsys.readouterr().out


def test_what_is_kept_is_json(tmp_path):
    measured = run(tmp_path, Pretender())
    assert json.loads((tmp_path / "kept.json").read_text())["measured"] == measured


@pytest.mark.parametrize(
    ("found", "kept", "reached"),
    [([1.0, 1.7, 9.0], True, False), ([1.0, 1.69, 9.0], False, False), ([2.0, 2.1, 2.2], True, True)],
)
def test_a_gate_is_kept_when_the_median_reaches_it(found, kept, reached):
    verdict = Gate("speed", 1.7, lambda measured: found, aim=2).verdict({})
    assert (verdict.kept, verdict.aim_reached) == (kept, reached)
    assert str(verdict).split()[0] == ("kept" if kept else "MISSED")
