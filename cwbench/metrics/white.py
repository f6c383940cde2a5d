"""Distances in coordinates whitened by each exact posterior covariance.

There every direction counts alike, so that errors in directions of little variance are seen, as
artefacts are; what is wrong in a few leading directions of hundreds is not.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.dimensions import HUNDREDS
from cwbench.metric import MetricInfo
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.per_observation import flatten_x
from cwbench.metrics.sliced import SlicedW2Squared
from cwbench.task import KEPT_NUMBERS, Task

_JITTER = 1e-10
"""Share of the mean variance that is added to each: a direction without variance stays finite."""


class _Whitening:
    """Cholesky factors of the posterior covariances; of many observations the first stay."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.kept: dict[bytes, Tensor] = {}

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """L^{-1} x with shape `(m, n, d)` of points `(m, n, d)`."""
        return torch.stack([self._row(*row) for row in zip(x, y.split(1), strict=True)])

    def _row(self, x: Tensor, y: Tensor) -> Tensor:
        whitened: Tensor = torch.linalg.solve_triangular(self._factor(y), x.T, upper=False).T
        return whitened

    def _factor(self, y: Tensor) -> Tensor:
        key = y.numpy().tobytes()
        if key in self.kept:
            return self.kept[key]
        covariance = self.task.posterior_moments(y).covariance[0].double().clone()
        covariance.diagonal().mul_(1 + _JITTER).add_(_JITTER * covariance.diagonal().mean())
        factor: Tensor = torch.linalg.cholesky(covariance)
        if (len(self.kept) + 1) * factor.numel() <= KEPT_NUMBERS:
            self.kept[key] = factor
        return factor


class WhiteEnergyDistance(EnergyDistance):
    """Expected energy distance in whitened coordinates."""

    info: ClassVar = MetricInfo(
        name="energy-white",
        version=1,
        title="expected energy distance in coordinates whitened by the exact posterior",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="szekely2013energy",
        least_dimension=HUNDREDS,
        ranks=False,
        sees=EnergyDistance.info.sees,
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._white = _Whitening(task)

    def coordinates(self, x: Tensor, y: Tensor, units: Tensor) -> Tensor:
        """X whitened, with shape `(m, n, d)`: units are gone."""
        return self._white(flatten_x(x), y)


class WhiteSlicedW2Squared(SlicedW2Squared):
    """Expected sliced W_2^2 in whitened coordinates."""

    info: ClassVar = MetricInfo(
        name="esw2sq-white",
        version=1,
        title="expected sliced squared W_2 in coordinates whitened by the exact posterior",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="bonneel2015sliced",
        opt_in=True,
        ranks=False,
        sees=SlicedW2Squared.info.sees,
    )

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._white = _Whitening(task)

    def coordinates(self, x: Tensor, y: Tensor, units: Tensor) -> Tensor:
        """X whitened, with shape `(m, n, d)`: units are gone."""
        return self._white(flatten_x(x), y)
