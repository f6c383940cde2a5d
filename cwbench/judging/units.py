"""Whether distances in the task's units see every coordinate of x."""

from __future__ import annotations

from torch import Tensor

from cwbench.ot.scaling import spread_of
from cwbench.records.tables import SCALES_APART

APART = 100.0
"""Ratio of scales from which on the smaller one is hidden: 1e-4 of a squared distance."""


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
