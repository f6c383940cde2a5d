"""What is done observation by observation: distances of sets of points, and asking the task."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from cwbench.machine.signals import heed


def per_observation(distance: Callable[[Tensor, Tensor], float], a: Tensor, b: Tensor) -> Tensor:
    """`distance` of points `(n, d)` for each of m observations, float64 with shape `(m,)`.

    Args:
        distance: takes two sets of flattened points with shape `(n, d)`.
        a: samples with shape `(m, n, *x_shape)`.
        b: samples with shape `(m, n, *x_shape)`.
    """
    distances = []
    for p, q in zip(flatten_x(a), flatten_x(b), strict=True):
        heed()
        distances.append(distance(p, q))
    return torch.tensor(distances, dtype=torch.float64)


def flatten_x(samples: Tensor) -> Tensor:
    """Samples `(m, n, *x_shape)` in float64 as points `(m, n, d)`."""
    return samples.reshape(*samples.shape[:2], -1).double()


class Asked:
    """What a task knows of each observation, found once: metrics ask again for every sampler."""

    def __init__(self, find: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        """Take what finds it.

        Args:
            find: takes one observation `(1, *y_shape)`; its parts are without an axis for it, and
                small, since those of all observations stay in memory.
        """
        self._find = find
        self._found: dict[bytes, tuple[Tensor, ...]] = {}

    def __call__(self, y: Tensor) -> tuple[Tensor, ...]:
        """The parts, each with the axis of y first."""
        return tuple(map(torch.stack, zip(*map(self._row, y.split(1)), strict=True)))

    def _row(self, y: Tensor) -> tuple[Tensor, ...]:
        key = y.numpy().tobytes()
        if key not in self._found:
            self._found[key] = self._find(y)
        return self._found[key]
