"""Counts in the Voronoi cells of random points: PQMass.

Of the samples of both sides together some are drawn as reference points, the others are counted in
the cell of the nearest one. Counts of equal laws are a contingency table of independent rows, whose
chi-squared has as many degrees of freedom as there are filled cells but one.

PQMass: Probabilistic Assessment of the Quality of Generative Models using Probability Mass
Estimation (Lemos et al., 2024) https://arxiv.org/abs/2402.04355. Its authors' package `pqm` takes
the reference points from the global random numbers, which would make a value depend on the order of
calls; and it maps chi-squared through the p-value, which is 0 where samples are far apart.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Generator, Tensor

from cwbench.errors import NoValueError
from cwbench.metric import MetricInfo, ReferenceMetric
from cwbench.metrics.per_observation import flatten_x

CELLS = 20
TESSELLATIONS = 10
"""Over which the statistic is averaged: a single one hangs on its points."""


class PQMass(ReferenceMetric):
    """Mean chi-squared of counts in 20 Voronoi cells, over 10 tessellations.

    Debiased it is the excess over what equal laws give. It grows with the number of samples, as
    statistics of tests do: compare at equal numbers alone.
    """

    info: ClassVar = MetricInfo(
        name="pqmass",
        version=1,
        title="PQMass: chi-squared of counts in 20 Voronoi cells, above that of equal laws",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="lemos2024pqmass",
        opt_in=True,
        ranks=False,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    @property
    def identifier(self) -> str:
        """Its name with the number of cells."""
        return f"{self.info.name}-{CELLS}"

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The statistic with shape `(m,)`."""
        return torch.stack([_averaged(*pair) for pair in zip(*map(flatten_x, (a, b)), strict=True)])


def _averaged(a: Tensor, b: Tensor) -> Tensor:
    """Over tessellations whose points depend on the samples and not on their order or side."""
    points = torch.cat([a, b])
    if not points.isfinite().all():
        raise NoValueError("a sample that is not finite lies in no cell")
    order = _order(points)
    points, of_a = points[order], (order < len(a)).double()
    apart = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    generator = Generator().manual_seed(0)
    drawn = [torch.randperm(len(points), generator=generator) for _ in range(TESSELLATIONS)]
    return torch.stack(
        [chi_squared(*counts(apart, of_a, p[:CELLS], p[CELLS:])) for p in drawn]
    ).mean()


def _order(points: Tensor) -> Tensor:
    """Indices by the first coordinate, then the second, and so on."""
    place: Tensor = points.unique(dim=0, return_inverse=True)[1]
    return place.argsort(stable=True)


def counts(apart: Tensor, of_a: Tensor, centres: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Of both sides in each cell, from all distances and the indices of centres and counted."""
    cell = apart[counted][:, centres].argmin(1)
    ours = of_a[counted]
    first, second = (cell.bincount(side, minlength=len(centres)) for side in (ours, 1 - ours))
    return first, second


def chi_squared(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's statistic of two rows of counts `(cells,)`; empty cells say nothing."""
    table = torch.stack([first, second])
    table = table[:, table.sum(0) > 0]
    expected = table.sum(1, keepdim=True) * table.sum(0) / table.sum()
    statistic: Tensor = ((table - expected).square() / expected).sum()
    return statistic
