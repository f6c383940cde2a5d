"""The coupling of C^2OT: minibatch transport with a penalty on the condition, set per batch.

Class labels: the exact assignment inside each class. Other conditions: the assignment of least

    |z_i - x_j|^2 + w d(y_i, y_j),

where d is 1 - cos(y_i, y_j), or |y_i - y_j|^2 where y is a single number, as in the authors' toy
(the cosine of two numbers is only their sign). w is found for each batch so that

    share(w) = mean over (i, j) of 1[|z_i - x_j|^2 + w d(y_i, y_j) <= |z_j - x_j|^2] = r_tar,

a share of cost entries, not of pairs. It falls in w; the diagonal always counts, so it never falls
below 1/n, and r_tar must lie above. Where share(0) is below r_tar already, w = 0.

An entry is compared with the pair as drawn of its datum x_j (`diagonal` is "column"), as in the
authors' code: `(cost <= torch.diag(cost)).mean()`, rows being latents. With that of its latent z_i
("row") the same r_tar gives another w.

Source: The Curse of Conditions (Cheng, Schwing, 2025) https://arxiv.org/abs/2503.10636, and
`search_for_w` of https://github.com/hkchengrex/C2OT
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cwbench.ot.assignment import assignment, squared_distances
from cwbench.ot.checks import Float64, as_float64, is_label
from cwbench.ot.coupling import ConditionalOT, check_counts, transport_cost

Distance = Literal["auto", "cosine", "squared"]
Diagonal = Literal["column", "row"]

_LARGEST = 2.0**80  # beyond, only pairs with d = 0 exactly are kept


@dataclass(frozen=True)
class ConditionAwareOT:
    """The assignment of least sum_i |z_i - x_{sigma(i)}|^2 + w d(y_i, y_{sigma(i)}).

    Attributes:
        r_tar: the share of entries at most as dear as the pair as drawn, from 0 to 1.
        distance: d; auto is the cosine distance, but squared where y is a single number.
        diagonal: the pair as drawn that entry (i, j) is compared with: of its datum (column) or of
            its latent (row).

    Raises:
        ValueError: if r_tar does not lie between 0 and 1, or is at most 1/n for the batch given.
    """

    r_tar: float = 0.05
    distance: Distance = "auto"
    diagonal: Diagonal = "column"

    def __post_init__(self) -> None:
        if not 0 < self.r_tar <= 1:
            raise ValueError(f"r_tar is {self.r_tar}; give a share above 0 and at most 1")

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The optimal assignment; see `cwbench.ot.Coupling`."""
        check_counts(z, x, y)
        if is_label(y):
            return ConditionalOT(math.inf)(z, x, y)
        cost, apart = transport_cost(z, x), condition_distance(y, self.distance)
        w = smallest_weight(cost, apart, self.r_tar, self.diagonal)
        return torch.from_numpy(assignment(cost + w * apart))


def condition_distance(y: Tensor, distance: Distance) -> Float64:
    """d(y_i, y_j) with shape `(n, n)`, exactly 0 on the diagonal.

    A y of 0 has no direction: it is the centre of their sphere, at 1/2 from all others. Where y is
    standardised and takes few values, some are.

    Raises:
        ValueError: if y is not finite.
    """
    flat = as_float64("y", y)
    if distance == "squared" or (distance == "auto" and flat.shape[1] == 1):
        return squared_distances(flat, flat)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    direction = flat / np.where(length > 0, length, 1.0)
    return squared_distances(direction, direction) / 2  # 1 - cos, without cancellation


def share(cost: Float64, apart: Float64, w: float, diagonal: Diagonal = "column") -> float:
    """The share of entries at most as dear as the pair as drawn of their column, or row."""
    return float((cost + w * apart <= _drawn(cost, diagonal)).mean())


def _drawn(cost: Float64, diagonal: Diagonal) -> Float64:
    """What each entry is compared with, to be broadcast over `cost` `(latents, data)`."""
    drawn: Float64 = np.diagonal(cost)
    return drawn if diagonal == "column" else drawn[:, None]


def smallest_weight(
    cost: Float64, apart: Float64, r_tar: float, diagonal: Diagonal = "column"
) -> float:
    """The least w at which the share is at most `r_tar`, to nine digits.

    Entry (i, j) counts up to the weight (cost_jj - cost_ij) / apart_ij, without end where apart is
    0: w lies just above as many of these as must no longer count.

    Raises:
        ValueError: if `r_tar` is at most 1/n, which the diagonal alone has.
    """
    n = len(cost)
    if r_tar <= 1 / n:
        raise ValueError(
            f"r_tar is {r_tar}, not above 1/{n}: in a batch of {n} the pairs as drawn alone have "
            "that share; raise r_tar or the OT batch"
        )
    spare = _drawn(cost, diagonal) - cost
    counted = spare >= 0
    allowed = int(r_tar * cost.size)
    if counted.sum() <= allowed:
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        up_to = np.where(apart > 0, spare / apart, math.inf)[counted]
    place = len(up_to) - allowed - 1
    return min(_LARGEST, float(np.partition(up_to, place)[place]) * (1 + 1e-9))
