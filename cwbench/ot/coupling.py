"""Couplings: which latent of a minibatch is paired with which data point.

A coupling maps z, x, y to a bijection sigma: latent z_i goes to x_{sigma(i)}. What the network is
then fed as condition is the method's choice: y_i (`source`) leaves the latent independent of the
condition but pairs x with a condition not its own unless sigma keeps y; y_{sigma(i)} (`target`)
keeps (x, y) but makes the latent depend on y.

All run on the CPU in float64 and mostly inside SciPy, which releases the interpreter: they may work
in a background thread while the network trains.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cwbench.ot.assignment import assignment, squared_distances
from cwbench.ot.checks import Float64, Int64, as_float64, is_label, same_size
from cwbench.ot.wasserstein import group_rows


class Coupling(Protocol):
    """Pairs latent z_i with x_{sigma(i)}."""

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The bijection sigma, int64 with shape `(n,)`, on the CPU.

        Args:
            z: latents with shape `(n, *z_shape)`.
            x: data with shape `(n, *x_shape)`.
            y: conditions with shape `(n, *y_shape)`, or int64 class labels `(n,)`; y_i came with
                x_i.

        Raises:
            ValueError: if an input is not finite or sizes do not match.
        """


@dataclass(frozen=True)
class Independent:
    """The pairing as drawn, sigma(i) = i."""

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The identity; see `Coupling`."""
        check_counts(z, x, y)
        return torch.arange(len(x))


@dataclass(frozen=True)
class MinibatchOT:
    """The assignment that minimises sum_i |z_i - x_{sigma(i)}|^2; y is ignored.

    Source: Improving and generalizing flow-based generative models with minibatch optimal transport
    (Tong et al., 2023) https://arxiv.org/abs/2302.00482
    """

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The optimal assignment; see `Coupling`."""
        check_counts(z, x, y)
        return torch.from_numpy(assignment(transport_cost(z, x)))


@dataclass(frozen=True)
class ConditionalOT:
    """The assignment of least sum_i |z_i - x_{sigma(i)}|^2 + beta |e(y_i) - e(y_{sigma(i)})|^2.

    `beta` weighs the **squared** distance; the paper's code scales y by its flag inside the squared
    norm, so its flag 20 is beta = 400 here. beta = 0 is `MinibatchOT`. beta = infinity is the exact
    assignment inside each group of exactly equal y (whatever the embedding), hence the identity
    where all y differ.

    Attributes:
        beta: weight, from 0 to infinity.
        embedding: e, from y with shape `(n, *y_shape)` to `(n, k)`. None flattens y, and makes
            class labels one-hot: |e(c) - e(c')|^2 is 2 for different classes.

    Raises:
        ValueError: if beta is negative or NaN.

    Source: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
    (Chemseddine, Hagemann, Steidl, Wald, 2025) https://arxiv.org/abs/2403.18705
    """

    beta: float
    embedding: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise ValueError(f"beta is {self.beta}; give a number from 0 to infinity")

    def __call__(self, z: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The optimal assignment; see `Coupling`."""
        check_counts(z, x, y)
        cost = transport_cost(z, x)
        if math.isinf(self.beta):
            return torch.from_numpy(_assignment_within(cost, as_float64("y", y)))
        return torch.from_numpy(assignment(cost + self.beta * label_cost(y, self.embedding)))


def label_cost(y: Tensor, embedding: Callable[[Tensor], Tensor] | None = None) -> Float64:
    """|e(y_i) - e(y_j)|^2 with shape `(n, n)`; `embedding` as in `ConditionalOT`.

    Raises:
        ValueError: if y or its embedding is not finite.
    """
    flat = as_float64("y", y)
    if embedding is None:
        return 2.0 * (flat != flat.T) if is_label(y) else squared_distances(flat, flat)
    with torch.no_grad():
        e = as_float64("embedding(y)", embedding(y))
    return squared_distances(e, e)


def changed_pairs(sigma: Tensor) -> float:
    """The share of i with sigma(i) != i: 0 for the pairing as drawn."""
    return float((sigma != torch.arange(len(sigma))).double().mean())


def check_counts(z: Tensor, x: Tensor, y: Tensor) -> None:
    """Refuse a minibatch whose parts differ in length.

    Raises:
        ValueError: if they do.
    """
    if not len(z) == len(x) == len(y):
        raise ValueError(f"z, x and y have {len(z)}, {len(x)} and {len(y)} rows; give equal counts")


def transport_cost(z: Tensor, x: Tensor) -> Float64:
    """|z_i - x_j|^2 with shape `(n, n)`.

    Raises:
        ValueError: if an input is not finite or the points differ in dimension.
    """
    flat_z, flat_x = as_float64("z", z), as_float64("x", x)
    same_size(z=flat_z, x=flat_x)
    return squared_distances(flat_z, flat_x)


def _assignment_within(cost: Float64, y: Float64) -> Int64:
    sigma = np.empty(len(y), dtype=np.int64)
    for rows in group_rows(y):
        sigma[rows] = rows[assignment(cost[np.ix_(rows, rows)])]
    return sigma
