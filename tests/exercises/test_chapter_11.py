"""What the check of 11.5 measures does not depend on what was checked before."""

import pytest

from gm_lib.exercises import chapter_11
from gm_lib.exercises.core import grade


def test_the_first_check_of_a_codebook_finds_what_a_later_one_finds():
    settings = {"decay": 0.6, "revive_below": 0.1}
    chapter_11._best_distortion.cache_clear()
    chapter_11._follow.cache_clear()
    first = grade("11.5", settings).message
    chapter_11._follow.cache_clear()
    assert grade("11.5", settings).message == first


@pytest.mark.parametrize("decay", [0.0, 0.8, 0.99])
def test_a_moving_average_that_began_at_zero_is_behind_by_its_age(decay):
    total = weight = 0.0
    for batch in range(chapter_11._BATCHES):
        total = decay * total + (1 - decay) * batch
        weight = decay * weight + (1 - decay)
    assert chapter_11._age(decay) == pytest.approx(chapter_11._BATCHES - 1 - total / weight)
