"""A task with a closed form and metrics written out by hand, for tests of the judge."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor

from cwbench.metric import (
    CalibrationMetric,
    MetricInfo,
    PairMetric,
    ReferenceMetric,
    SetMetric,
)
from cwbench.preset import Preset
from cwbench.samples import JointSamples, Moments
from cwbench.task import Task, TaskInfo

M, N = 9, 40
PRESET = Preset(training_pairs=1, steps=1, observations=M, samples=N)


class Shifted(Task):
    """X | Y = y ~ N(y, I) in the plane, Y ~ N(0, I)."""

    info: ClassVar = TaskInfo("shifted", 1, "shifted", "ew2sq", "MIT", "none", {})
    drawn = 0

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (2,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (2,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        y = torch.randn(n, 2, generator=generator)
        return JointSamples(y + torch.randn(n, 2, generator=generator), y)

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        self.drawn += 1
        return y[:, None] + torch.randn(len(y), n, 2, generator=generator)

    def posterior_moments(self, y: Tensor) -> Moments:
        eye = torch.eye(2, dtype=torch.float64)
        return Moments(y.double(), eye.expand(len(y), 2, 2))


class Unknown(Shifted):
    """The same without a posterior."""

    sample_posterior = Task.sample_posterior


def metric_info(name: str, *needs: str, debiased: bool = True) -> MetricInfo:
    return MetricInfo(name, 1, name, "lower", frozenset(needs), debiased=debiased)  # type: ignore[arg-type]


class MeanGap(ReferenceMetric):
    """|mean a - mean b|^2, counted."""

    info: ClassVar = metric_info("mean-gap", "reference")
    calls = 0

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        type(self).calls += len(a)
        return (a.mean(1) - b.mean(1)).square().sum(1)


class Biased(MeanGap):
    info: ClassVar = metric_info("biased", "reference", debiased=False)


class SquaredError(PairMetric):
    info: ClassVar = metric_info("squared-error", "pairs")

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        assert len(y) == len(x)
        return (samples.mean(1) - x).square().sum(1)


class First(CalibrationMetric):
    """Ranks of the coordinates without ties."""

    info: ClassVar = metric_info("first", "pairs")

    @property
    def weights(self) -> Tensor:
        return torch.tensor([0.25, 0.75], dtype=torch.float64)

    def ranks(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (samples < x[:, None]).double().mean(1)


class Farthest(SetMetric):
    """Sum over all that was taken in: tells whether a state is carried over."""

    n: ClassVar[int] = 30
    info: ClassVar = metric_info("farthest", "pairs", debiased=False)

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.taken = 0

    def update(self, samples: Tensor, x: Tensor) -> None:
        assert samples.shape == x.shape == (30, 2)
        self.taken += len(samples)

    def compute(self) -> float:
        return float(self.taken)
