"""Claims about records of measured results: read as written; what is wrong is said with the file's name."""

import json
import math
import statistics

import pytest
from toy_record import put, quantity, toy_record

from records import Limit, RecordError, as_json, paths, read, read_all, summary


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = toy_record()
    path = tmp_path / "toy_gan.json"
    path.write_text(as_json(record), "utf-8")
    assert read(path) == record


def test_the_summary_is_mean_sample_sd_and_standard_error_of_the_mean():
    values = [102.6, 102.9, 103.4, 101.0]
    found = summary(values)
    assert found["mean"] == pytest.approx(statistics.fmean(values), rel=1e-5)
    assert found["sd"] == pytest.approx(statistics.stdev(values), rel=1e-5)
    assert found["standard_error"] == pytest.approx(statistics.stdev(values) / math.sqrt(4), rel=1e-5)


def test_of_a_single_seed_the_spread_is_unknown_and_not_zero():
    assert summary([3.0]) == {"mean": 3.0, "sd": None, "standard_error": None}


def test_all_records_are_found_in_order_and_files_of_unfinished_runs_are_none(tmp_path):
    for name in ("b", "a"):
        put(tmp_path, toy_record(name))
    (tmp_path / "results" / ".c.partial.json").write_text("{}")
    assert list(read_all(tmp_path)) == ["a", "b"] == [path.stem for path in paths(tmp_path)]


def test_a_limit_is_kept_on_its_right_side_and_at_its_bound():
    assert [Limit("at_least", 2).holds(x) for x in (1.9, 2, 2.1)] == [False, True, True]
    assert [Limit("at_most", 2).holds(x) for x in (1.9, 2, 2.1)] == [True, True, False]


def broken(path):
    with pytest.raises(RecordError) as caught:
        read(path)
    return str(caught.value)


def test_a_file_that_is_not_whole_json_is_named_with_the_command_that_measures_it_again(tmp_path):
    path = put(tmp_path, toy_record())
    path.write_bytes(path.read_bytes()[:-20])
    message = broken(path)
    assert message.startswith("results/toy_gan.json: is not whole JSON")
    assert "python tools/measure.py toy_gan" in message


def test_every_broken_file_is_reported_at_once(tmp_path):
    for name in ("a", "b", "c"):
        path = put(tmp_path, toy_record(name))
        if name != "b":
            path.write_text("{", "utf-8")
    with pytest.raises(RecordError) as caught:
        read_all(tmp_path)
    assert [line[:14] for line in str(caught.value).splitlines()] == ["results/a.json", "results/c.json"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"command": None}, "the field command is missing"),
        ({"comand": "x"}, "the field comand is unknown"),
        ({"hardware": ""}, "hardware should be a text"),
        ({"seeds": []}, "seeds should be a list of whole numbers"),
        ({"seeds": [0, 1, "2"]}, "seeds should be a list of whole numbers"),
        ({"seeds": [0, 1, 1]}, "a seed is named twice"),
        ({"seeds": [0, 1]}, "seconds are 3, but there are 2 seeds"),
        ({"seconds": [1, 2, None]}, "seconds should be a list of finite numbers"),
        ({"date": "31.1.2026"}, "date should be written like 2026-01-31"),
        ({"versions": {"torch": 2}}, "versions should be texts"),
        ({"quantities": {}}, "quantities should be an object with at least one"),
        ({"quantities": {"price": 3}}, "quantity price should be an object"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(tmp_path, fields, message):
    found = broken(put(tmp_path, toy_record(), **fields))
    assert f"results/toy_gan.json: {message}" in found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": 1102.0}, "mean of price is 1102.0, but its values give 1102.97"),
        ({"sd": 0.3}, "sd of price is 0.3, but its values give 0.399"),
        ({"sd": None}, "sd of price is None, but its values give"),
        ({"standard_error": 0.4}, "standard_error of price is 0.4"),
        ({"values": [1102.61, 1102.9]}, "values of price are 2, but there are 3 seeds"),
        ({"values": [1102.61, 1102.9, math.nan]}, "values of price should be a list of finite numbers"),
        (
            {"unit": "share"},
            "price is a share, kept as a fraction such as 0.52, so its",
        ),
        ({"gate": {"at_most": 1103}}, "not every value of price keeps its gate, at most 1103"),
        ({"gate": {"below": 1103}}, 'gate of price should be {"at_least": number} or {"at_most": number}'),
        ({"aim": {"at_most": "low"}}, "aim of price should have a number as its bound"),
        ({"what": 3}, "what of price should be a text"),
        ({"median": 3}, "the field median of price is unknown"),
    ],
)
def test_a_quantity_that_does_not_add_up_is_named_with_what_its_values_give(tmp_path, changes, message):
    quantities = json.loads(as_json(toy_record()))["quantities"]
    quantities["price"] |= changes
    assert message in broken(put(tmp_path, toy_record(), quantities=quantities))


def test_a_name_that_could_be_no_anchor_is_refused(tmp_path):
    assert "it is the record's anchor" in broken(put(tmp_path, toy_record("Toy-GAN")))


def test_an_aim_may_be_missed(tmp_path):
    record = toy_record(
        quantities={"share": quantity("x", "share", 0.1, 0.2, 0.3, aim=Limit("at_least", 0.9))}
    )
    assert read(put(tmp_path, record)) == record
