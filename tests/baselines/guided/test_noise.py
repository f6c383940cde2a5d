"""The streams of draws: those of NumPy, whoever is drawn beside and however they are asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cwbench_baselines.guided import noise as module
from cwbench_baselines.guided.noise import Noise

CALL, DRAWS = 77, [(0, 0), (0, 1), (3, 2)]


def philox(i: int, j: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=(CALL, (i << 32) | j)))


@pytest.mark.parametrize("ahead", [0, 7, 2_000_000])
def test_normal_numbers_are_those_of_the_stream(
    monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """However many are made ahead, and with uniform ones in between."""
    monkeypatch.setattr(module, "_AHEAD", ahead)
    noise = Noise(CALL, DRAWS)
    parts = []
    for shape in ((2,), (3, 4), (1,), (5, 3)):
        parts.append(noise.normal(*shape).flatten(1))
        noise.uniform(2)
    found = torch.cat(parts, 1)
    wanted = np.stack([philox(i, j).standard_normal(found.shape[1]) for i, j in DRAWS])
    torch.testing.assert_close(found, torch.from_numpy(wanted), rtol=0, atol=0)


def test_uniform_numbers_depend_on_the_draw_alone_and_on_no_normal_ones() -> None:
    together, alone = Noise(CALL, DRAWS), Noise(CALL, DRAWS[2:])
    together.normal(9)
    first = together.uniform(3)
    torch.testing.assert_close(first[2:], alone.uniform(3), rtol=0, atol=0)
    assert len(torch.cat([first, together.uniform(3)]).unique()) == 18
    assert not torch.equal(first[2], torch.from_numpy(philox(3, 2).random(3)))
