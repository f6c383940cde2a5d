"""Optimal assignment: exact transport between two samples of equal size and weight.

Between uniform measures on n points each, some permutation sigma is an optimal plan (Birkhoff), so
the linear assignment problem min_sigma sum_i C[i, sigma(i)] gives the exact optimum. SciPy solves
it and lets other threads run meanwhile.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from cwbench.ot.checks import Array, Float64, Int64, as_float64, same_size


def squared_distances(a: Array, b: Array) -> Float64:
    """|a_i - b_j|^2 with shape `(n, k)`, from the differences and so without cancellation.

    Args:
        a: with shape `(n, *shape)`.
        b: with shape `(k, *shape)`.

    Raises:
        ValueError: if an input is not finite, or the points differ in dimension.
    """
    a, b = as_float64("a", a), as_float64("b", b)
    same_size(a=a, b=b)
    return cdist(a, b, "sqeuclidean")


def power_distances(a: Float64, b: Float64, p: float) -> Float64:
    """|a_i - b_j|^p with shape `(n, k)`, for points that are checked already."""
    if p == 2:
        return cdist(a, b, "sqeuclidean")
    distances = cdist(a, b)
    return distances if p == 1 else distances**p


def assignment(cost: Array, *, plain: bool = False) -> Int64:
    """The column sigma(i) of each row i in an assignment of least total cost, `(n,)`.

    The columns' and then the rows' minima are taken off before: the same optimum, found in up to
    half the time. Where points occur twice there are several, and another one may be taken.

    Args:
        cost: with shape `(n, n)`.
        plain: whether to leave them on.

    Raises:
        ValueError: if `cost` is not square or not finite.

    Source: On implementing 2D rectangular assignment algorithms (Crouse, 2016)
    https://doi.org/10.1109/TAES.2016.140952
    """
    C = as_float64("cost", cost)
    n = len(C)
    if C.shape != (n, n):
        raise ValueError(f"cost has shape {C.shape}; an assignment needs (n, n)")
    if n and not plain:
        C = C - C.min(axis=0)
        C -= C.min(axis=1, keepdims=True)
    from scipy.optimize import linear_sum_assignment  # slow to import; reading a plugin needs none

    _, sigma = linear_sum_assignment(C)
    sigma = sigma.astype(np.int64)
    if not np.array_equal(np.sort(sigma), np.arange(n)):
        raise AssertionError("the assignment is not a bijection")
    return sigma
