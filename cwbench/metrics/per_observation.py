"""A distance between two sets of points, applied observation by observation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def per_observation(distance: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor) -> Tensor:
    """`distance` of points `(n, d)` for each of m observations, float64 with shape `(m,)`.

    Args:
        distance: takes two sets of flattened points with shape `(n, d)`.
        a: samples with shape `(m, n, *x_shape)`.
        b: samples with shape `(m, n, *x_shape)`.
    """
    pairs = zip(flatten_x(a), flatten_x(b), strict=True)
    return torch.tensor([distance(p, q) for p, q in pairs], dtype=torch.float64)


def flatten_x(samples: Tensor) -> Tensor:
    """Samples `(m, n, *x_shape)` in float64 as points `(m, n, d)`."""
    return samples.reshape(*samples.shape[:2], -1).double()
