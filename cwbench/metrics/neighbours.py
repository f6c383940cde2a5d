"""Nearest neighbours of generated images: precision, recall, and copies of the training set.

Precision is the share of generated features inside a ball around a real one that reaches to its
third nearest real neighbour; recall is the same with the roles exchanged.
Improved Precision and Recall Metric for Assessing Generative Models (Kynkaanniemi et al., 2019),
https://arxiv.org/abs/1904.06991

Memorisation compares how near generated and held-out images are to their nearest training image, in
pixels: a ratio of means, 1 where generated images are as far from it as unseen real ones.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from cwbench.metrics.kernel_distance import Rows

NEIGHBOUR = 3
TABLE = 2_000_000
"""Distances held at a time, whatever the number of rows they are between."""


def precision(generated: Tensor, real: Tensor) -> float:
    """Share of generated features `(n, d)` within the manifold of real ones `(m, d)`."""
    return float(inside(generated, real).double().mean())


def recall(generated: Tensor, real: Tensor) -> float:
    """Share of real features within the manifold of generated ones."""
    return float(inside(real, generated).double().mean())


def inside(points: Tensor, manifold: Tensor) -> Tensor:
    """Whether each point lies in a ball around a row of `manifold`, `(n,)`."""
    points, manifold = points.double(), manifold.double()
    nearest = [
        distances(part, manifold).kthvalue(NEIGHBOUR + 1, dim=1).values  # itself is at 0
        for part in _parts(manifold, manifold)
    ]
    radius = torch.cat(nearest)
    near = [(distances(p, manifold) <= radius).any(1) for p in _parts(points, manifold)]
    return torch.cat(near)


def _parts(rows: Tensor, others: Tensor) -> tuple[Tensor, ...]:
    """Rows in parts whose distances to all others fit into the table."""
    parts: tuple[Tensor, ...] = rows.split(max(1, TABLE // len(others)))
    return parts


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances `(n, m)`, float64, without a matrix product's cancellation."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


class NearestTraining:
    """The sum of distances to the nearest of some rows, over a stream.

    Args:
        training: the rows `(n, d)`.
        among: the stream is those rows themselves, in order; none is its own neighbour.
    """

    def __init__(self, training: Tensor, *, among: bool = False) -> None:
        self.training = training.double()
        self.among = among
        self.sum = 0.0
        self.count = 0

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in pixels `(k, d)`; labels do not matter."""
        for part in _parts(features.double(), self.training):
            # the matrix product is exact to about 1e-6 here, on pixels in [0, 1]
            squared = part.square().sum(1)[:, None] + self.training.square().sum(1)
            squared = squared - 2 * part @ self.training.T
            if self.among:
                squared.diagonal(self.count).fill_(torch.inf)
            self.sum += float(squared.clamp(min=0).amin(1).sqrt().sum())
            self.count += len(part)

    @property
    def mean(self) -> float:
        """The mean distance."""
        return self.sum / self.count

    def state(self) -> dict[str, Tensor]:
        """The sum and the count; the rows are the task's."""
        return {"sum": torch.tensor(self.sum, dtype=torch.float64),
                "count": torch.tensor(self.count)}  # fmt: skip

    def load(self, state: dict[str, Tensor]) -> Self:
        """Take back the sum and the count."""
        self.sum, self.count = float(state["sum"]), int(state["count"])
        return self


__all__ = ["NearestTraining", "Rows", "distances", "inside", "precision", "recall"]
