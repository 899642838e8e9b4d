"""The process in which a contestant runs."""

import pytest

from benchmarks.worker import Worker, WorkerError


@pytest.fixture
def worker():
    worker = Worker("somebody", threads=1)
    yield worker
    worker.close()


def test_a_worker_answers_again_and_again_whatever_its_jobs_print(worker):
    worker.ask("builtins:print", {})
    assert [worker.ask("builtins:dict", {"seconds": seconds}) for seconds in (1, 2)] == [
        {"seconds": 1},
        {"seconds": 2},
    ]


def test_a_worker_has_the_threads_that_it_was_given(worker):
    assert worker.ask("torch:get_num_threads", {}) == 1


def test_the_error_of_a_job_is_told_and_the_worker_goes_on(worker):
    with pytest.raises(WorkerError, match=r"somebody failed in math:nothing(?s:.*)AttributeError"):
        worker.ask("math:nothing", {})
    assert worker.ask("builtins:dict", {"a": 1}) == {"a": 1}


def test_a_worker_that_dies_is_an_error_and_no_hang(worker):
    worker.ask("builtins:print", {})
    with pytest.raises(WorkerError, match="somebody ended before it answered"):
        worker.ask("os:abort", {})
    with pytest.raises(WorkerError, match="somebody ended"):
        worker.ask("builtins:dict", {})
