"""Where x has hundreds of dimensions: the directions a posterior varies most in, and the others.

`ew2sq` of hundreds of dimensions goes blind in the noise of single pixels. In the k leading
directions of each exact posterior covariance it sees again; what it then leaves out, the
complement, is where artefacts live, and `complement-error` looks there by two moments.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.dimensions import HUNDREDS
from cwbench.metric import MetricInfo, SplitMetric
from cwbench.metrics.per_observation import Asked, flatten_x
from cwbench.metrics.wasserstein import W2Squared
from cwbench.task import Task

DIRECTIONS = 10


class LeadingW2Squared(W2Squared):
    """Expected W_2^2 in the 10 leading directions of each exact posterior covariance.

    Blind to everything in the other directions: read it beside `complement-error`. Where x has no
    more than 10 dimensions it is `ew2sq`.
    """

    info: ClassVar = MetricInfo(
        name="ew2sq-leading",
        version=1,
        title="expected squared Wasserstein-2 distance in the posterior's 10 leading directions",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="cwbench",
        least_dimension=HUNDREDS,
        ranks=False,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._leading = Asked(lambda y: (task.posterior_leading(y, DIRECTIONS)[0],))

    @property
    def identifier(self) -> str:
        """Its name with the number of directions."""
        return f"{self.info.name}-{DIRECTIONS}"

    def coordinates(self, x: Tensor, y: Tensor, units: Tensor) -> Tensor:
        """X along the leading directions, with shape `(m, n, k)`, in the task's units."""
        (V,) = self._leading(y)
        return flatten_x(x) @ V


class ComplementError(SplitMetric):
    """Errors of mean and trace outside the 10 leading directions, each in posterior units.

    With m and C the exact moments there and t = tr C(a) / tr C - 1,
    <m(a1) - m, m(a2) - m> / tr C + t1 t2: unbiased, since the halves are independent, and 0 where
    no direction is left.
    """

    info: ClassVar = MetricInfo(
        name="complement-error",
        version=1,
        title="error of mean and trace outside the posterior's 10 leading directions",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="cwbench",
        least_dimension=HUNDREDS,
        ranks=False,
        sees=frozenset({"shift", "scale", "atoms", "condition"}),
    )
    excused: ClassVar = {"sees": "the plane that it is tried in has no directions but the leading"}

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._exact = Asked(self._moments)

    def _moments(self, y: Tensor) -> tuple[Tensor, ...]:
        """V `(d, k)`, the mean outside V `(d,)`, the trace there, and that of all directions."""
        V, moments = self.task.posterior_leading(y, DIRECTIONS), self.task.posterior_moments(y)
        total = moments.covariance.diagonal(dim1=1, dim2=2).sum(1)
        within = (V * (moments.covariance.double() @ V)).sum((1, 2))
        mean = _outside(moments.mean[:, None], V)[0, 0]
        return V[0], mean, (total - within)[0], total[0]

    def estimate(self, a1: Tensor, a2: Tensor, y: Tensor) -> Tensor:
        """The error with shape `(m,)`."""
        V, mean, trace, total = self._exact(y)
        left = trace > 1e-9 * total
        trace = torch.where(left, trace, 1.0)
        parts = [_outside(flatten_x(a), V) for a in (a1, a2)]
        error1, error2 = (part.mean(1) - mean for part in parts)
        wider1, wider2 = (part.var(1).sum(1) / trace - 1 for part in parts)
        error = (error1 * error2).sum(1) / trace + wider1 * wider2
        return torch.where(left | error.isnan(), error, 0.0)


def _outside(x: Tensor, V: Tensor) -> Tensor:
    """Points `(m, n, d)` without what lies along V `(m, d, k)`."""
    return x - (x @ V) @ V.mT
