"""Calibration: is the truth exchangeable with the samples?

For the x behind an observation and exact posterior samples x_1, ..., x_n, the rank of T(x, y) among
T(x_1, y), ..., T(x_n, y) is uniform, whatever the test quantity T. **Calibration never stands
alone:** it is necessary, not sufficient. A sampler that ignores y is calibrated in every T that
does not depend on y, and one that is wrong in compensating ways is calibrated in T on average over
y. So these metrics never rank; read them beside a distance or a proper score.

Their intervals reach further up than down and cover 97 % or more
(`cwbench.judging.uniformity`).
"""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from cwbench.machine.streams import stream
from cwbench.metric import CalibrationMetric, MetricInfo
from cwbench.metrics.per_observation import flatten_x
from cwbench.samples import JointSamples
from cwbench.task import Task

POOL = 1000
"""Joint samples of the task among which `tarp` finds its reference points."""


class SimulationBasedCalibration(CalibrationMetric):
    """Ranks of the true x in every coordinate, and of its likelihood where that is known.

    log p(y | x) is the test quantity that depends on y (Modrak et al.): it catches the sampler that
    ignores y, which all coordinates let pass. It weighs as much as the coordinates together.
    Calibration never alone: where no likelihood is known, `prior` has the value 0.
    """

    info: ClassVar = MetricInfo(
        name="sbc",
        version=2,
        title="simulation-based calibration: distance of the truth's ranks from uniform",
        direction="lower",
        needs=frozenset({"pairs"}),
        citation="talts2018validating, modrak2023simulation",
        ranks=False,
        sees=frozenset({"shift", "scale", "condition"}),
    )

    @cached_property
    def with_likelihood(self) -> bool:
        """Whether the task knows log p(y | x) up to a constant."""
        x, y = self.task.sample_joint(1, stream("probe"))
        return self.task.standardised_residual(x[:, None], y) is not None

    @property
    def weights(self) -> Tensor:
        """The coordinates together as much as the likelihood."""
        coordinates = torch.full((prod(self.task.x_shape),), 1.0, dtype=torch.float64)
        coordinates = coordinates / len(coordinates)
        if not self.with_likelihood:
            return coordinates
        return torch.cat([coordinates, torch.ones(1, dtype=torch.float64)]) / 2

    def ranks(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Ranks of the coordinates of x, then of its likelihood, with shape `(m, q)`."""
        rows = zip(samples.split(1), x.split(1), y.split(1), strict=True)
        quantities = [self._quantities(torch.cat([t[:, None], s], 1), v) for s, t, v in rows]
        return truth_ranks(quantities, self.info.name)

    def _quantities(self, points: Tensor, y: Tensor) -> Tensor:
        """Test quantities of points `(1, k, *x_shape)`, with shape `(k, q)`."""
        coordinates = flatten_x(points)[0]
        if not self.with_likelihood:
            return coordinates
        residual = self.task.standardised_residual(points, y)
        assert residual is not None  # noqa: S101 - known from the probe
        return torch.cat([coordinates, -residual[0].square().sum(1, keepdim=True) / 2], 1)


class RandomPointCoverage(CalibrationMetric):
    """Share of the samples that lie closer to a reference point r(y) than the truth does.

    r must depend on y, or a sampler that ignores y passes: here it is the x of the nearest
    neighbour of y, each coordinate standardised, among 1,000 other joint samples (for labels, one
    of the same class). Calibration never alone: where y says little about x, `prior` nearly passes.
    """

    info: ClassVar = MetricInfo(
        name="tarp",
        version=2,
        title="coverage about random points: distance of the truth's ranks from uniform",
        direction="lower",
        needs=frozenset({"pairs"}),
        citation="lemos2023sampling",
        ranks=False,
        sees=frozenset({"scale"}),
    )

    @cached_property
    def pool(self) -> JointSamples:
        """The joint samples that reference points are taken from; equal for every method."""
        return self.task.sample_joint(POOL, stream(*_identity(self.task), "tarp"))

    @property
    def weights(self) -> Tensor:
        """A single test quantity."""
        return torch.ones(1, dtype=torch.float64)

    def reference_points(self, y: Tensor) -> Tensor:
        """r(y) with shape `(m, d)`, float64."""
        if self.task.num_classes is not None:
            nearest = (y[:, None] == self.pool.y).int().argmax(1)
        else:
            pool = self.pool.y.double().flatten(1)
            spread = pool.std(dim=0)
            spread = torch.where(spread > 0, spread, torch.ones_like(spread))
            distances = torch.cdist(y.double().flatten(1) / spread, pool / spread)
            nearest = distances.argmin(1)
        return self.pool.x[nearest].double().flatten(1)

    def ranks(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Ranks of the truth's distance from r(y), with shape `(m, 1)`."""
        rows = zip(samples, x, self.reference_points(y), strict=True)
        distances = [
            (torch.cat([truth[None], draws]).flatten(1) - r).norm(dim=1)[:, None]
            for draws, truth, r in rows
        ]
        return truth_ranks(distances, self.info.name)


def truth_ranks(quantities: list[Tensor], purpose: str) -> Tensor:
    """Ranks in [0, 1] of the first of n + 1 points, NaN where a quantity is not finite.

    Over the n + 1 places that the truth can take among n samples; its place among equals, and the
    position inside the place, are drawn from a fixed stream: exactly uniform if all points are
    exchangeable.

    Args:
        quantities: for each of m observations, with shape `(n + 1, q)`; row 0 is the truth.
        purpose: names the stream.

    Returns:
        Ranks with shape `(m, q)`, float64.
    """
    below = torch.stack([(part[1:] < part[0]).sum(0) for part in quantities]).double()
    equal = torch.stack([(part[1:] == part[0]).sum(0) for part in quantities]).double()
    finite = torch.stack([part.isfinite().all(0) for part in quantities])
    uniform = torch.rand(below.shape, dtype=torch.float64, generator=stream("ties", purpose))
    ranks = (below + (equal + 1) * uniform) / len(quantities[0])
    return torch.where(finite, ranks, torch.nan)


def _identity(task: Task) -> tuple[str | int, ...]:
    return task.info.name, task.info.version, task.fingerprint()
