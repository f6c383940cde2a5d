"""Whether distances in the task's units see every coordinate of x."""

from __future__ import annotations

import torch
from torch import Tensor

from cwbench.machine.streams import stream
from cwbench.ot.scaling import Scaling, spread_of
from cwbench.records.tables import SCALES_APART
from cwbench.task import Task

APART = 100.0
"""Ratio of scales from which on the smaller one is hidden: 1e-4 of a squared distance."""

DRAWS = 10_000
"""Of x, from which its deviations are found."""


def distance_units(task: Task) -> Tensor:
    """What distances to the posterior divide x by, float64; 1 unless the task's settings say else.

    See `cwbench.task.UnitParams`: deviations of the prior, whatever the observation.
    """
    if getattr(task.params, "distances", "task") == "task":
        return torch.ones((), dtype=torch.float64)
    x = task.sample_joint(DRAWS, stream(task.info.name, task.info.version, "units")).x
    return Scaling.of(x, by_channel=True).deviation.double()


def scale_facts(x: Tensor) -> dict[str, float]:
    """The ratio of the largest deviation of an entry to the smallest, where it is above 100.

    Images count by channel; what does not vary at all has no scale.

    Args:
        x: with shape `(n, *x_shape)`.
    """
    _, deviation, varies = spread_of(x, by_channel=True)
    scales = deviation[varies]
    if scales.numel() < 2:
        return {}
    ratio = float(scales.max() / scales.min())
    return {SCALES_APART: ratio} if ratio > APART else {}
