from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from cwbench.machine.streams import seed_of, seeded_globals, stream


def draw(*key: str | int) -> list[float]:
    return torch.rand(3, generator=stream(*key)).tolist()


def test_a_stream_is_a_function_of_its_key_alone() -> None:
    torch.manual_seed(0)
    first = draw("task", 0, "noise", 7)
    torch.manual_seed(1)
    draw("task", 0, "noise", 8)
    assert draw("task", 0, "noise", 7) == first


def test_seeds_are_the_same_in_another_process() -> None:
    code = "from cwbench.machine.streams import seed_of; print(seed_of('task', 1, 'data'))"
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert int(told) == seed_of("task", 1, "data")


def test_keys_that_read_alike_have_seeds_of_their_own() -> None:
    keys = [("a", 1), ("a", "1"), ("a1",), ("a", 1, ""), (1, "a"), ("a,", 1), ("a", 11)]
    assert len({seed_of(*key) for key in keys}) == len(keys)
    assert all(0 <= seed_of(*key) < 2**63 for key in keys)


def test_the_streams_of_consecutive_steps_are_not_correlated() -> None:
    draws = torch.stack([torch.randn(200, generator=stream("task", 0, i)) for i in range(100)])
    correlations = torch.corrcoef(draws) - torch.eye(100)
    assert correlations.abs().max() < 5.5 / 200**0.5


def globals_now() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002, S311


def test_global_state_is_seeded_inside_and_restored_outside() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    undisturbed = globals_now()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    with seeded_globals("a", 1):
        inside = globals_now()
    assert globals_now() == undisturbed
    with seeded_globals("a", 1):
        assert globals_now() == inside
    with seeded_globals("a", 2):
        assert all(a != b for a, b in zip(globals_now(), inside, strict=True))


def test_global_state_is_restored_after_an_exception() -> None:
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with pytest.raises(RuntimeError, match="inside"), seeded_globals("a"):
        globals_now()
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert random.getstate() == state[2]
