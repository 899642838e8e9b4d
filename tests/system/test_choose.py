import re
from typing import Any

import numpy as np
import pytest
import torch

from gm_lib.system.choose import choose, whole_number


def test_a_known_name_gives_its_value_from_a_mapping_and_itself_from_names() -> None:
    assert choose("number", "two", {"one": 1, "two": 2}) == 2
    assert choose("number", "two", ["one", "two"]) == "two"


def test_a_misspelt_name_is_answered_with_the_nearest_and_with_all_names() -> None:
    message = "unknown data set 'mnits'; did you mean 'mnist'? Known: digits, mnist."
    with pytest.raises(ValueError, match=re.escape(message)):
        choose("data set", "mnits", ["mnist", "digits"])


def test_a_name_that_resembles_none_is_answered_without_a_guess() -> None:
    with pytest.raises(ValueError, match=re.escape("unknown data set 'faces'. Known: digits, mnist.")):
        choose("data set", "faces", ["mnist", "digits"])


def test_the_wrong_case_is_recognized() -> None:
    for name, known in (("MNIST", "mnist"), ("mnist", "MNIST")):
        with pytest.raises(ValueError, match=f"did you mean '{known}'"):
            choose("data set", name, [known, "digits"])


@pytest.mark.parametrize("name", [None, 3, ("mnist",)])
def test_what_is_no_name_at_all_gets_the_same_answer(name: object) -> None:
    with pytest.raises(ValueError, match=r"unknown data set .* Known: mnist"):
        choose("data set", name, ["mnist"])  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_a_whole_number_is_one_whichever_library_made_it(value: Any) -> None:
    found = whole_number("steps", value, 1)
    assert (type(found), found) == (int, 3)


@pytest.mark.parametrize("value", [0, -1, np.int64(0), 3.0, np.float32(3), "3", None, torch.ones(2), [3]])
def test_what_is_no_whole_number_or_too_small_is_named(value: Any) -> None:
    message = f"steps must be a whole number, at least 1, not {value!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        whole_number("steps", value, 1)
