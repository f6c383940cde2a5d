"""Errors of the first two posterior moments, relative to the spread of the posterior."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from cwbench.metric import MetricInfo, ReferenceMetric, SplitMetric
from cwbench.metrics.per_observation import Asked, flatten_x
from cwbench.task import Task


class MeanError(SplitMetric):
    """<m(a1) - m, m(a2) - m> / tr C with exact posterior mean m and covariance C.

    The halves are independent, so the expectation is |bias of the mean|^2 / tr C: unbiased, hence
    negative as often as positive for an exact sampler. Where a task knows its moments only from
    `N` draws (`Task.posterior_moments`) they add about 1 / N to every method alike.
    """

    info: ClassVar = MetricInfo(
        name="mean-error",
        version=1,
        title="squared error of the posterior mean over the posterior variance",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="cwbench",
        sees=frozenset({"shift", "weights", "atoms", "condition"}),
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._exact = Asked(self._mean_and_trace)

    def _mean_and_trace(self, y: Tensor) -> tuple[Tensor, Tensor]:
        mean, covariance = self.task.posterior_moments(y)
        return mean[0].double(), covariance[0].double().trace()

    def estimate(self, a1: Tensor, a2: Tensor, y: Tensor) -> Tensor:
        """The error with shape `(m,)`."""
        mean, trace = self._exact(y)
        error1, error2 = (flatten_x(a).mean(dim=1) - mean for a in (a1, a2))
        return (error1 * error2).sum(dim=1) / trace


class CovarianceError(ReferenceMetric):
    """|C(a) - C(b)|_F / |C(b)|_F of the sample covariances; read it against its floor."""

    info: ClassVar = MetricInfo(
        name="cov-error",
        version=1,
        title="relative Frobenius error of the posterior covariance",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="cwbench",
        debiased=False,
        sees=frozenset({"scale", "weights", "atoms", "condition"}),
        symmetric=False,
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The relative error with shape `(m,)`."""
        exact = covariances(b)
        return frobenius(covariances(a) - exact) / frobenius(exact)


def covariances(samples: Tensor) -> Tensor:
    """Sample covariances `(m, d, d)` of samples `(m, n, *x_shape)`, with n - 1 below."""
    centred = flatten_x(samples)
    centred = centred - centred.mean(dim=1, keepdim=True)
    return centred.mT @ centred / (centred.shape[1] - 1)


def frobenius(matrices: Tensor) -> Tensor:
    """Frobenius norms `(m,)` of matrices `(m, d, d)`."""
    return matrices.square().sum(dim=(1, 2)).sqrt()
