"""Wasserstein distances by exact optimal assignment of n points to n points.

`ew2sq` and `ew1` are E_y[W_p^p(P_y, Q_y)] with p = 2 and 1: the conditional Wasserstein distance
W_{p,Y}^p of Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl and Wald, 2025) https://arxiv.org/abs/2403.18705.
`w2sq-marginal` forgets y: W_2^2 of the marginals of x, which is 0 for a sampler that ignores y.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from cwbench.errors import UsageError
from cwbench.metric import MetricInfo, ReferenceMetric, SetMetric
from cwbench.metrics.per_observation import flatten_x, per_observation
from cwbench.ot.wasserstein import wasserstein_power
from cwbench.task import Task


class W2Squared(ReferenceMetric):
    """Expected squared Wasserstein-2 distance of the posteriors, E_y[W_2^2(P_y, Q_y)].

    Debiased, it is |delta|^2 + rho (1 - s)^2 tr C for a posterior of covariance C shifted by delta
    and scaled by s, where rho is the resolution: for a shift exactly, in expectation, for a scale
    about. It hardly sees wrong weights of modes.
    """

    info: ClassVar = MetricInfo(
        name="ew2sq",
        version=1,
        title="expected squared Wasserstein-2 distance of the posteriors",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="chemseddine2025conditional",
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """W_2^2 of the empirical measures, with shape `(m,)`."""
        return per_observation(partial(wasserstein_power, p=2.0), a, b)

    def resolution(self, floor: Tensor, b: Tensor) -> Tensor:
        """The factor rho = 1 - floor / (2 tr Cov(b)), with shape `(m,)`; 1 is perfect."""
        return 1 - floor / (2 * flatten_x(b).var(dim=1).sum(dim=1))


class W1(ReferenceMetric):
    """Expected Wasserstein-1 distance of the posteriors, E_y[W_1(P_y, Q_y)].

    Debiased, it is 0 in expectation for a perfect sampler and grows with an error, but its size is
    that of no distance: where an error moves a point by less than the distance between neighbouring
    samples, both self terms take off most of it. Of a shift by |delta| the value is not |delta| but
    a share of it that depends on delta, the dimension and the number of samples, small where they
    are (`docs/metrics.md` has the shares), and so has no resolution. It orders methods; to read
    sizes take `ew2sq`, which shows shifts in full, or `energy`. Hence it is computed on request.
    """

    info: ClassVar = MetricInfo(
        name="ew1",
        version=1,
        title="expected Wasserstein-1 distance of the posteriors",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="chemseddine2025conditional",
        opt_in=True,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """W_1 of the empirical measures, with shape `(m,)`."""
        return per_observation(partial(wasserstein_power, p=1.0), a, b)


class MarginalW2Squared(SetMetric):
    """W_2^2 between `n` generated and `n` held-out points, whatever their y.

    A plug-in value, as published: it has a floor and is blind to the condition. The assignment of
    10,000 points takes a cost matrix of 800 MB.
    """

    n: ClassVar[int] = 10_000
    info: ClassVar = MetricInfo(
        name="w2sq-marginal",
        version=1,
        title="squared Wasserstein-2 distance of the marginal of x, 10,000 points, plug-in",
        direction="lower",
        needs=frozenset({"pairs"}),
        citation="cheng2025curse",
        opt_in=True,
        debiased=False,
        sees=frozenset({"shift", "scale", "shape", "weights"}),
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._samples: list[Tensor] = []
        self._x: list[Tensor] = []

    def update(self, samples: Tensor, x: Tensor) -> None:
        """Take in samples and held-out data, both with shape `(k, *x_shape)`."""
        self._samples.append(samples.flatten(1).double())
        self._x.append(x.flatten(1).double())

    def compute(self) -> float:
        """W_2^2 of all that was taken in.

        Raises:
            UsageError: if that is not exactly `n` points.
        """
        taken = sum(map(len, self._samples))
        if taken != self.n:
            raise UsageError(
                f"{self.info.name} is defined for {self.n} points, but {taken} were taken in; "
                f"update it with {self.n} samples in all."
            )
        return wasserstein_power(torch.cat(self._samples), torch.cat(self._x), p=2.0)
