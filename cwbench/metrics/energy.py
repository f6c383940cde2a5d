"""Energy distance: 2 E|a - b| - E|a - a'| - E|b - b'|, zero if and only if the laws agree."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from cwbench.metric import MetricInfo, ReferenceMetric
from cwbench.metrics.per_observation import per_observation
from cwbench.ot.energy import energy_distance


class EnergyDistance(ReferenceMetric):
    """Expected energy distance of the posteriors; unbiased once debiased by its self terms.

    The V-statistic is used: in cross - (self + self) / 2 its bias cancels exactly, so the value is
    the U-statistic's in expectation: the distance of the laws, whatever the error. Nearly blind to
    atoms and memorised points.
    """

    info: ClassVar = MetricInfo(
        name="energy",
        version=1,
        title="expected energy distance of the posteriors",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="szekely2013energy",
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Energy distance of the empirical measures, with shape `(m,)`."""
        return per_observation(energy_distance, a, b)
