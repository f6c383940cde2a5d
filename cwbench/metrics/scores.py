"""Proper scores: they need no posterior, only the x behind each observation.

S(Q, x) is proper if E_x[S(Q, x)] over x from P is smallest at Q = P. With samples x_1, ..., x_n of
Q the pairs i = j are left out, so the expectation does not depend on n. The best possible value is
not 0 but that of the exact posterior, which is the floor where it is known; a difference between
methods on the same observations is far more exact than either value.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from cwbench.metric import MetricInfo, PairMetric
from cwbench.metrics.per_observation import flatten_x


class EnergyScore(PairMetric):
    """E|x' - x| - E|x' - x''| / 2 with x', x'' independent samples; strictly proper.

    Its expected excess over the exact posterior's is half the `energy` distance.
    """

    info: ClassVar = MetricInfo(
        name="energy-score",
        version=1,
        title="energy score of the samples for the x behind each observation",
        direction="lower",
        needs=frozenset({"pairs"}),
        citation="gneiting2007strictly",
        debiased=False,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The score with shape `(m,)`."""
        points, truth = flatten_x(samples), x.double().flatten(1)
        accuracy = (points - truth[:, None]).norm(dim=2).mean(dim=1)
        spread = [pdist(part.numpy()).mean() for part in points]
        score: Tensor = accuracy - torch.tensor(spread, dtype=torch.float64) / 2
        return score


class ContinuousRankedProbabilityScore(PairMetric):
    """Mean over coordinates of the energy score in one dimension; blind to their dependence.

    It is int (F(t) - 1[x <= t])^2 dt of each marginal's distribution function F, so it is proper
    for the marginals alone. The spread comes from sorting, O(n log n).
    """

    info: ClassVar = MetricInfo(
        name="crps",
        version=1,
        title="continuous ranked probability score, mean over coordinates",
        direction="lower",
        needs=frozenset({"pairs"}),
        citation="gneiting2007strictly",
        debiased=False,
        sees=frozenset({"shift", "scale", "weights", "condition"}),
    )

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The score with shape `(m,)`."""
        points, truth = flatten_x(samples), x.double().flatten(1)
        accuracy = (points - truth[:, None]).abs().mean(dim=1)
        return (accuracy - mean_difference(points) / 2).mean(dim=1)


def mean_difference(points: Tensor) -> Tensor:
    """Mean of |x_i - x_j| over i != j by coordinate; points `(m, n, d)` to `(m, d)`.

    In order, x_(i) is the larger of i - 1 pairs and the smaller of n - i.
    """
    n = points.shape[1]
    ordered = points.sort(dim=1).values
    signs = torch.arange(1 - n, n, 2, dtype=torch.float64)
    return 2 * torch.einsum("i,mid->md", signs, ordered) / (n * (n - 1))
