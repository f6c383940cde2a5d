"""Training contexts over a small data set whose rows know their number."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from cwbench.preset import Preset
from cwbench.training.context import TrainingContext, unshared
from cwbench.training.networks import Meter, Networks

MakeContext = Callable[..., TrainingContext]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_context() -> MakeContext:
    """A context over `rows` pairs: x is the number of the row, y is minus that."""

    def make(
        rows: int = 35,
        directory: Path | None = None,
        checkpoint_seconds: float = 1e9,
        stop: threading.Event | None = None,
        key: tuple[str | int, ...] = ("test", 0),
        shelf: Any = unshared,
        **preset: Any,
    ) -> TrainingContext:
        sizes = {
            "training_pairs": rows, "steps": 12, "batch_size": 10, "width": 8, "depth": 1,
            "observations": 2, "samples": 2,
        } | preset  # fmt: skip
        x = torch.arange(rows, dtype=torch.float32)[:, None]
        return TrainingContext(
            TensorDataset(x, -x),
            (preset := Preset(**sizes)),
            key,
            Networks(preset, Meter()),
            directory=directory,
            checkpoint_seconds=checkpoint_seconds,
            stop=stop or threading.Event(),
            shelf=shelf,
        )

    return make
