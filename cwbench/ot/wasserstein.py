"""Wasserstein distances between samples: plain, conditional and joint, as p-th powers.

`wasserstein_power` is W_p^p of two samples, `conditional_wasserstein_power` is W_{p,Y}^p (the
average over y of the distances at y), `joint_wasserstein_power` is W_{p,beta}^p with the relaxed
cost |x-x'|^p + beta |y-y'|^p. For the same samples the joint distance is at most the conditional
one, and tends to it as beta -> infinity. All are exact. The package docstring holds the theory.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from cwbench.ot.assignment import assignment, power_distances
from cwbench.ot.checks import (
    Array,
    ConvergenceError,
    Float64,
    Int64,
    as_float64,
    as_masses,
    check_exponent,
    check_weight,
    is_label,
    same_count,
    same_size,
)

_OPTIMAL = 1  # result code of POT's network simplex
_MAX_PIVOTS = 100_000_000


class JointTransport(NamedTuple):
    """An optimal pairing for the relaxed cost: `cost` = `x_cost` + beta `y_cost`, averages.

    `sigma` with shape `(n,)` pairs row i of the first sample with row sigma(i) of the second.
    """

    sigma: Int64
    cost: float
    x_cost: float
    y_cost: float


def wasserstein_power(
    a: Array,
    b: Array,
    *,
    p: float = 2.0,
    a_weights: Array | None = None,
    b_weights: Array | None = None,
) -> float:
    """W_p^p between two samples, exactly: inf over plans of the mean of |a_i - b_j|^p.

    Args:
        a: with shape `(n, *shape)`.
        b: with shape `(k, *shape)`.
        p: exponent, at least 1.
        a_weights: masses with shape `(n,)` that sum to 1; uniform if None.
        b_weights: masses with shape `(k,)` that sum to 1; uniform if None.

    Raises:
        ValueError: if an input is not finite, shapes do not match, p < 1 or masses are wrong.
        ConvergenceError: if the solver does not report an optimum.

    Source: POT: Python Optimal Transport (Flamary et al., 2021)
    https://jmlr.org/papers/v22/20-451.html
    """
    check_exponent(p)
    a, b = as_float64("a", a), as_float64("b", b)
    same_size(a=a, b=b)
    cost = _finite_cost(power_distances(a, b, p))
    if len(a) == len(b) and a_weights is None and b_weights is None:
        return _paired_mean(cost, assignment(cost, plain=_repeated(a) or _repeated(b)))
    masses = as_masses("a_weights", a_weights, len(a)), as_masses("b_weights", b_weights, len(b))
    return _network_simplex(cost, *masses)


def conditional_wasserstein_power(
    x1: Array, y1: Array, x2: Array, y2: Array, *, p: float = 2.0
) -> float:
    """W_{p,Y}^p = E_y[W_p^p(P_{X|Y=y}, Q_{X|Y=y})] for samples grouped by observation.

    Rows with exactly equal y form a group; transport stays inside it. With continuous observations
    every y occurs once and nothing is left to transport: draw many x for each y.

    Args:
        x1: with shape `(n, *x_shape)`.
        y1: class labels with shape `(n,)`, or observations `(n, *y_shape)`.
        x2: with shape `(k, *x_shape)`.
        y2: as `y1`, with k rows.
        p: exponent, at least 1.

    Raises:
        ValueError: if an input is not finite, shapes do not match, p < 1, or some y has another
            share of the first sample than of the second (the distance is then infinite).

    Source: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
    (Chemseddine, Hagemann, Steidl, Wald, 2025) https://arxiv.org/abs/2403.18705
    """
    check_exponent(p)
    x1, y1 = as_float64("x1", x1), as_float64("y1", y1)
    x2, y2 = as_float64("x2", x2), as_float64("y2", y2)
    same_count(x1=x1, y1=y1)
    same_count(x2=x2, y2=y2)
    same_size(x1=x1, x2=x2)
    same_size(y1=y1, y2=y2)
    groups = group_rows(np.concatenate([y1, y2]))
    parts = [(rows[rows < len(x1)], rows[rows >= len(x1)] - len(x1)) for rows in groups]
    for first, second in parts:
        if len(first) * len(x2) != len(second) * len(x1):
            y = y1[first[0]] if len(first) else y2[second[0]]
            raise ValueError(
                f"y = {y} has {len(first)} of {len(x1)} rows in the first sample but "
                f"{len(second)} of {len(x2)} in the second; W_{{p,Y}} needs equal shares of each y"
            )
    return sum(
        len(first) / len(x1) * wasserstein_power(x1[first], x2[second], p=p)
        for first, second in parts
    )


def joint_wasserstein_power(
    x1: Array, y1: Array, x2: Array, y2: Array, *, beta: float = 1.0, p: float = 2.0
) -> float:
    """W_{p,beta}^p of joint samples of equal size: see `joint_transport`."""
    return joint_transport(x1, y1, x2, y2, beta=beta, p=p).cost


def joint_transport(
    x1: Array, y1: Array, x2: Array, y2: Array, *, beta: float = 1.0, p: float = 2.0
) -> JointTransport:
    """An optimal pairing of joint samples for the cost |x1-x2|^p + beta |y1-y2|^p.

    Class labels count as one-hot vectors: |y1-y2|^p is 2^(p/2) between different classes.

    Args:
        x1: with shape `(n, *x_shape)`.
        y1: observations with shape `(n, *y_shape)`, or class labels `(n,)`.
        x2: with shape `(n, *x_shape)`.
        y2: as `y1`.
        beta: weight of the p-th power of the distance in y, finite and at least 0.
        p: exponent, at least 1.

    Raises:
        ValueError: if an input is not finite, sizes do not match, beta < 0 or p < 1.

    Source: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
    (Chemseddine, Hagemann, Steidl, Wald, 2025) https://arxiv.org/abs/2403.18705
    """
    check_exponent(p)
    check_weight("beta", beta)
    labels = is_label(y1)
    if labels != is_label(y2):
        raise ValueError("one of y1 and y2 holds integer class labels and the other does not")
    x1, y1 = as_float64("x1", x1), as_float64("y1", y1)
    x2, y2 = as_float64("x2", x2), as_float64("y2", y2)
    same_count(x1=x1, y1=y1, x2=x2, y2=y2)
    same_size(x1=x1, x2=x2)
    same_size(y1=y1, y2=y2)
    x_cost = power_distances(x1, x2, p)
    y_cost = 2 ** (p / 2) * (y1 != y2.T) if labels else power_distances(y1, y2, p)
    cost = _finite_cost(x_cost + beta * y_cost)
    sigma = assignment(cost, plain=True)
    return JointTransport(sigma, *(_paired_mean(part, sigma) for part in (cost, x_cost, y_cost)))


def group_rows(y: Float64) -> list[Int64]:
    """The indices of rows that are exactly equal, one array for each distinct row of `(n, k)`."""
    # adding 0 turns -0.0 into 0.0, which compare equal
    _, inverse = np.unique(y + 0.0, axis=0, return_inverse=True)
    inverse = inverse.ravel()
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.cumsum(np.bincount(inverse))[:-1])


def _finite_cost(cost: Float64) -> Float64:
    if not np.isfinite(cost).all():
        raise ValueError("the points are so far apart that the cost overflows; rescale them")
    return cost


def _repeated(points: Float64) -> bool:
    """Whether points occur twice, which leaves several optima.

    There the plain cost decides which one is taken, as it always did: another order of the same
    terms would move the last digit of their mean.
    """
    return len(np.unique(points, axis=0)) < len(points)


def _paired_mean(cost: Float64, sigma: Int64) -> float:
    return float(cost[np.arange(len(sigma)), sigma].mean())


def _network_simplex(cost: Float64, a: Float64, b: Float64) -> float:
    import ot as pot  # the library POT, not this package

    # the simplex stops at tolerances of its own that know no unit; a power of two rounds nothing
    unit = 2.0 ** np.frexp(cost.max())[1] if cost.max() > 0 else 1.0
    log: dict[str, Any]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            value, log = pot.emd2(a, b, cost / unit, numItermax=_MAX_PIVOTS, log=True)
        except Warning as warning:
            raise ConvergenceError(f"POT's emd2 warned: {warning}") from warning
    if log["warning"] is not None or log["result_code"] != _OPTIMAL:
        raise ConvergenceError(f"POT's emd2 stopped early: {log['warning']}")
    return float(value) * unit
