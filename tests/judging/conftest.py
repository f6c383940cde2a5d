"""The judge of the task of `shifted.py`, and samples that are wrong in mean and scale."""

from __future__ import annotations

import pytest
import torch
from shifted import PRESET, M, N, Shifted
from torch import Generator, Tensor

from cwbench.judging.judge import Judge


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def judge() -> Judge:
    return Judge(Shifted(), PRESET)


@pytest.fixture
def samples(judge) -> Tensor:
    generator = Generator().manual_seed(5)
    y = judge.observations.y
    return 0.3 + y[:, None] + 1.2 * torch.randn(M, 2 * N, 2, generator=generator)
