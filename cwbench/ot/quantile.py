r"""Expected order statistics of one-dimensional Gaussian mixtures, exact up to quadrature.

In one dimension an optimal plan pairs quantiles, so the empirical measure of n draws is compared
with an exact law through its expected order statistics q_i = E x_(i). With distribution function F,

    P(x_(i) <= t) = B_i(F(t)),    B_i(u) = P(Bin(n, u) >= i),
    q_i = b - int_a^b B_i(F(t)) dt,

where all but a negligible part of the law lies in [a, b]. F is never inverted: between separated
modes the quantile function all but jumps, and quadrature over it would lose its accuracy there.

Two facts set the steps. On the scale v = arcsin sqrt(u) every B_i rises over a width of
1 / (2 sqrt n), so a single table over a uniform grid of v serves all i and all laws. And if every
component has a deviation of at least s, then Phi^{-1} F is 1/s-Lipschitz (Lévy-Gromov's
Isoperimetric Inequality for an Infinite Dimensional Diffusion Generator, Bakry, Ledoux, 1996,
https://doi.org/10.1007/s002220050026), so B_i(F(t)) rises over no less than 1.25 s / sqrt n: the
trapezoidal rule is spectrally accurate for such a sigmoid, with an error below 1e-6 s at the step
1.6 s / sqrt n.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.special import gammaln, xlogy
from torch import Tensor

from cwbench.ot.checks import Array, Float64, as_float64

NEGLIGIBLE_WEIGHT = 1e-12
TAIL = 6.5
"""Deviations beyond the outermost components that [a, b] covers."""
STEP = 1.6
"""Step of t in units of s / sqrt n."""
NARROWEST = 1e-3
"""Of the law's deviation: a narrower component is widened to it, which moves q by no more."""
NODES_PER_RISE = 16
"""Table nodes over the width of a rise; cubic interpolation is then exact to about 1e-6."""
BLOCK = 2**16
"""Numbers worked on at a time, so that they stay in the processor's cache."""


def mixture_order_statistics(weights: Array, means: Array, deviations: Array, n: int) -> Float64:
    """q_i = E x_(i) of n draws for each of L mixtures, ascending, with shape `(L, n)`.

    Args:
        weights: of K components with shape `(K,)`, common to all laws, summing to 1.
        means: with shape `(L, K)`.
        deviations: standard deviations with shape `(L, K)`, at least 0.
        n: number of draws, at least 1.

    Raises:
        ValueError: if a value is not finite, the shapes disagree, or `n` is below 1.
    """
    w = as_float64("weights", weights)[:, 0]
    m, s = as_float64("means", means), as_float64("deviations", deviations)
    if n < 1 or m.shape != s.shape or m.shape[1] != len(w) or (s < 0).any():
        raise ValueError(
            f"n is {n}, weights {w.shape}, means {m.shape}, deviations {s.shape}; n >= 1, "
            "(K,), (L, K) and (L, K) with deviations of at least 0 are needed"
        )
    kept = w > NEGLIGIBLE_WEIGHT
    w, m, s = w[kept] / w[kept].sum(), m[:, kept], s[:, kept]
    s = np.maximum(s, NARROWEST * _deviation(w, m, s)[:, None])
    s = np.maximum(s, np.finfo(float).tiny)  # a law of one point has no width at all
    a, b = (m - TAIL * s).min(1), (m + TAIL * s).max(1)
    nodes = 2 + np.ceil((b - a) / s.min(1) * math.sqrt(n) / STEP).astype(int)
    blocks = min(len(m), math.ceil(nodes.sum() / BLOCK))
    table = _rises(n)
    masses = np.empty((len(m), len(table)))
    for rows in np.array_split(np.argsort(nodes), blocks):  # laws of like sizes together
        t = np.linspace(a[rows], b[rows], nodes[rows].max(), axis=1)
        masses[rows] = _deposited(w, m[rows], s[rows], t, n)
    q: Float64 = b[:, None] - masses @ table
    return q


def _deviation(w: Float64, m: Float64, s: Float64) -> Float64:
    """Standard deviations of the laws, with shape `(L,)`."""
    centred = m - (m @ w)[:, None]
    deviation: Float64 = np.sqrt((s**2 + centred**2) @ w)
    return deviation


def _deposited(w: Float64, m: Float64, s: Float64, t: Float64, n: int) -> Float64:
    """Trapezoidal weights dt of nodes `(L, T)`, moved to the table's grid of v: `(L, nodes)`."""
    v = torch.asin(_distribution(t, w, m, s).clamp_(0, 1).sqrt_()).numpy()
    dt = np.repeat(t[:, 1:2] - t[:, :1], t.shape[1], axis=1)
    dt[:, [0, -1]] /= 2
    return _interpolated(v / _step(n), dt, len(_rises(n)))


def _distribution(t: Float64, w: Float64, m: Float64, s: Float64) -> Tensor:
    """F at nodes `(L, T)`."""
    nodes = torch.from_numpy(t)
    F = torch.full_like(nodes, 0.5)
    for k in range(len(w)):
        mean, scale = (torch.from_numpy(part[:, k, None]) for part in (m, s * math.sqrt(2)))
        F.add_(((nodes - mean) / scale).erf_(), alpha=w[k] / 2)
    return F


def _interpolated(position: Float64, mass: Float64, size: int) -> Float64:
    """Spread masses over the four nodes around each position as cubic interpolation weighs them.

    Position 0 is the table's second node: one node stands outside [0, pi/2] at the left.
    """
    left = np.minimum(position.astype(np.int64), size - 4)
    r = position - left
    start = left + size * np.arange(len(left))[:, None]
    cubic = (
        -r * (r - 1) * (r - 2) / 6,
        (r + 1) * (r - 1) * (r - 2) / 2,
        -(r + 1) * r * (r - 2) / 2,
        (r + 1) * r * (r - 1) / 6,
    )
    total = np.zeros(len(left) * size)
    for k, weight in enumerate(cubic):
        total += np.bincount((start + k).ravel(), (mass * weight).ravel(), minlength=len(total))
    return total.reshape(len(left), size)


@lru_cache(maxsize=4)
def _rises(n: int) -> Float64:
    """B_i(sin^2 v), i = 1..n, on a grid of v that reaches over [0, pi/2]; shape `(nodes, n)`."""
    step = _step(n)
    v = step * np.arange(-1, math.ceil(math.pi / 2 / step) + 3)
    u, j = np.sin(v)[:, None] ** 2, np.arange(n + 1)
    log_choose = gammaln(n + 1) - gammaln(j + 1) - gammaln(n - j + 1)
    binomial = np.exp(log_choose + xlogy(j, u) + xlogy(n - j, np.cos(v)[:, None] ** 2))
    tails = np.cumsum(binomial[:, :0:-1], axis=1)  # P(Bin >= n), ..., P(Bin >= 1)
    return np.ascontiguousarray(tails[:, ::-1])


def _step(n: int) -> float:
    """Of the table's grid; a rise is 1 / (2 sqrt n) wide."""
    return 1 / (2 * math.sqrt(n) * NODES_PER_RISE)
