"""Tasks with closed forms, and the harness's formula for the debiased value, written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import pytest
import torch
from torch import Generator, Tensor

from cwbench.metric import ReferenceMetric, SplitMetric
from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, MixturePosterior
from cwbench.task import Task, TaskInfo


def info(name: str) -> TaskInfo:
    return TaskInfo(
        name=name,
        version=1,
        title=name,
        main_metric="ew2sq",
        licence="MIT",
        citation="none",
        presets=vector_presets(),
    )


class MixtureTask(Task):
    """y is a shift of a fixed mixture of Gaussians, which is the posterior."""

    info: ClassVar = info("test-mixture")

    def __init__(self, weights: list[float], means: Tensor, covariances: Tensor) -> None:
        super().__init__()
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.means, self.covariances = means.double(), covariances.double()

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (self.means.shape[1],)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return self.x_shape

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        y = torch.randn(n, *self.y_shape, generator=generator)
        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)

    def posterior_mixture(self, y: Tensor) -> MixturePosterior:
        m = len(y)
        return MixturePosterior(
            self.weights.expand(m, -1),
            self.means + y[:, None].double(),
            self.covariances.expand(m, -1, -1, -1),
        )

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        return draw(self.posterior_mixture(y), n, generator)


class GaussianTask(MixtureTask):
    """The posterior is N(y, C) with C = diag(1, 1/2, 1/3, ...)."""

    info: ClassVar = info("test-gaussian")

    def __init__(self, d: int = 3) -> None:
        C = torch.diag(1 / torch.arange(1, d + 1))
        super().__init__([1.0], torch.zeros(1, d), C[None])


def draw(mixture: MixturePosterior, n: int, generator: Generator) -> Tensor:
    weights, means, covariances = mixture
    k = torch.multinomial(weights, n, replacement=True, generator=generator)
    rows = torch.arange(len(weights))[:, None]
    noise = torch.randn(*k.shape, means.shape[2], 1, generator=generator, dtype=torch.float64)
    factor = torch.linalg.cholesky(covariances)[rows, k]
    return means[rows, k] + (factor @ noise)[..., 0]


Sampler = Callable[[Tensor, int, Generator], Tensor]


class Values(NamedTuple):
    """Values of m observations and what a reader of the table sees of them."""

    each: Tensor

    @property
    def mean(self) -> float:
        return float(self.each.mean())

    @property
    def error(self) -> float:
        return float(self.each.std() / len(self.each) ** 0.5)

    @property
    def t(self) -> float:
        return self.mean / self.error


def value(metric: ReferenceMetric | SplitMetric, a: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """What the harness makes of a metric with 2n samples a side, one value an observation."""
    n = a.shape[1] // 2
    a1, a2, b1, b2 = a[:, :n], a[:, n:], b[:, :n], b[:, n:]
    if isinstance(metric, SplitMetric):
        return metric.estimate(a1, a2, y)
    units = torch.ones(())

    def D(a: Tensor, b: Tensor) -> Tensor:  # noqa: N802 - as in the formula
        return metric.distance(*(metric.coordinates(part, y, units) for part in (a, b)))

    cross = (D(a1, b1) + D(a2, b2)) / 2
    return cross - (D(a1, a2) + D(b1, b2)) / 2 if metric.info.debiased else cross


@pytest.fixture
def judge():
    """Judge a sampler on m observations with 2n samples a side from independent streams."""

    def judge(
        metric: ReferenceMetric | SplitMetric, sampler: Sampler, *, n: int, m: int, stream: int = 0
    ) -> Values:
        task = metric.task
        y = task.sample_joint(m, Generator().manual_seed(1)).y
        b = task.sample_posterior(y, 2 * n, Generator().manual_seed(2)).double()
        a = sampler(y, 2 * n, Generator().manual_seed(3 + stream)).double()
        return Values(value(metric, a, b, y))

    return judge


@pytest.fixture
def gaussian_task():
    return GaussianTask


@pytest.fixture
def mixture_task():
    return MixtureTask


@pytest.fixture
def draw_mixture():
    return draw


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
