import contextlib
import random
import re

import numpy as np
import pytest
import torch

from gm_lib import runtime


def global_draws() -> tuple[float, float, float]:
    """One draw from each of the global generators of Python, NumPy and PyTorch."""
    return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


@pytest.mark.parametrize("wanted", ["quick", "full"])
def test_gm_profile_decides_the_profile_and_the_budget(wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_PROFILE", wanted)
    assert runtime.profile() == wanted
    assert runtime.budget(quick="quick", full="full") == wanted


@pytest.mark.parametrize(("has_cuda", "expected"), [(False, "quick"), (True, "full")])
@pytest.mark.parametrize("unset", [True, False])
def test_without_gm_profile_the_gpu_decides(
    has_cuda: bool, expected: str, unset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    if not unset:
        monkeypatch.setenv("GM_PROFILE", "")
    assert runtime.profile() == expected


def test_an_unknown_profile_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GM_PROFILE", "quik")
    with pytest.raises(ValueError, match=r"GM_PROFILE 'quik'; did you mean 'quick'\? Known: full, quick"):
        runtime.profile()


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_the_default_device_is_cuda_before_mps_before_the_cpu(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert runtime.device() == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "cpu:0", torch.device("cpu")])
def test_a_device_is_taken_by_name_or_as_it_is(name: str | torch.device) -> None:
    assert runtime.device(name) == torch.device(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cdua", "unknown device 'cdua'; did you mean 'cuda'"),
        ("cuda", "device 'cuda' is not available here. Available: cpu."),
        ("cuda:1", "device 'cuda:1' is not available here. Available: cpu."),
        (torch.device("mps"), "device 'mps' is not available here. Available: cpu."),
        ("cpu:1", "there is no device cpu:1 here: cpu has 1, counted from cpu:0."),
        ("cpu:x", "there is no device cpu:x here"),
    ],
)
def test_a_device_that_is_not_here_is_refused(
    name: str | torch.device, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=re.escape(message)):
        runtime.device(name)


def test_each_process_of_a_machine_gets_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for place in (0, 1, 2):
        monkeypatch.setattr(runtime.parallel, "local_rank", lambda place=place: place)
        assert runtime.device("cpu") == torch.device("cpu")
        assert runtime.device("cuda:0") == torch.device("cuda:0")
        if place < 2:
            assert runtime.device() == runtime.device("cuda") == torch.device("cuda", place)
    with pytest.raises(ValueError, match="there is no device cuda:2 here: cuda has 2"):
        runtime.device()


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runtime.device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="cuda:2 here: cuda has 2"):
        runtime.device("cuda:2")


def test_seeding_fixes_the_draws_of_all_three_libraries() -> None:
    with runtime.forked_rng():
        runtime.seed_everything(5)
        first = global_draws()
        runtime.seed_everything(5)
        assert global_draws() == first
        runtime.seed_everything(6)
        assert not set(global_draws()) & set(first)


@pytest.mark.parametrize("seed", [None, 5])
def test_a_fork_leaves_every_global_stream_where_it_was(seed: int | None) -> None:
    with runtime.forked_rng(seed=1):
        expected = global_draws()
    with runtime.forked_rng(seed=1):
        with runtime.forked_rng(seed):
            global_draws()
        assert global_draws() == expected


def test_a_fork_restores_the_state_after_an_error_too() -> None:
    with runtime.forked_rng(seed=1):
        expected = global_draws()
    with runtime.forked_rng(seed=1):
        with contextlib.suppress(KeyError), runtime.forked_rng(2):
            global_draws()
            raise KeyError
        assert global_draws() == expected


def test_a_seeded_fork_is_reproducible_and_an_unseeded_one_goes_on() -> None:
    with runtime.forked_rng(seed=3):
        inside = global_draws()
    with runtime.forked_rng(seed=3), runtime.forked_rng():
        assert global_draws() == inside


def test_the_state_of_one_gpu_is_gone_on_with_on_whichever_gpus_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = [torch.tensor([7]), torch.tensor([8])]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: list(states))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[device.index])
    state = runtime.rng_state(torch.device("cuda:1"))
    assert runtime.rng_state()["cuda"] == states
    found: dict[int, int] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, gpu: found.update({gpu: int(state)}))
    runtime.set_rng_state(state)
    assert found == {0: 8, 1: 8, 2: 8}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_fork_leaves_the_stream_of_the_gpu_where_it_was() -> None:
    torch.cuda.manual_seed_all(1)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed_all(1)
    with runtime.forked_rng(2):
        torch.rand(5, device="cuda")
    assert torch.equal(torch.rand(3, device="cuda"), expected)
