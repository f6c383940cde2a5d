"""Methods bound to tasks and fitted with little, without a run around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Generator
from torch.utils.data import Dataset

from cwbench.api import load_method, load_task
from cwbench.machine.streams import stream
from cwbench.method import Method
from cwbench.running.request import problem_spec
from cwbench.task import Task
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter, Networks

Bind = Callable[..., Method]
KEY = ("test", 0)


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Bench:
    """A task with its data, and methods on it that share one small preset."""

    def __init__(self, task: str, params: dict[str, Any], sizes: dict[str, Any]) -> None:
        self.task: Task = load_task(task, **params)
        small = {
            "training_pairs": 1_000, "steps": 30, "batch_size": 50, "width": 32, "depth": 2,
        }  # fmt: skip
        self.preset = self.task.info.presets["smoke"].model_copy(update=small | sizes)
        self.data: Dataset[Any] = self.task.training_data(
            self.preset.training_pairs, stream(*KEY, "data")
        )
        self.y = self.task.evaluation_set(6, stream(*KEY, "observations")).y
        self.meter = Meter()

    def context(self) -> TrainingContext:
        return TrainingContext(self.data, self.preset, KEY, Networks(self.preset, self.meter))

    def bind(self, method: str, **params: Any) -> Method:
        chosen = load_method(method, **params)
        self.meter = Meter()
        device = torch.device("cpu")
        spec = problem_spec(self.task, chosen.cls, chosen.params, self.preset, self.meter, device)
        return chosen.cls(chosen.params, spec)

    def fitted(self, method: str, **params: Any) -> Method:
        bound = self.bind(method, **params)
        bound.fit(self.data, self.context())
        return bound


@pytest.fixture(scope="session")
def bench() -> Callable[..., Bench]:
    """`bench(task, params, **sizes)`."""

    def make(
        task: str = "gaussian-linear", params: dict[str, Any] | None = None, **sizes: Any
    ) -> Bench:
        return Bench(task, params or {}, sizes)

    return make


@pytest.fixture
def seeded() -> Callable[[int], Generator]:
    return lambda seed: Generator().manual_seed(seed)
