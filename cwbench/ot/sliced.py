"""Sliced Wasserstein distance: the average of exact distances along directions.

In one dimension the optimal plan pairs quantiles, so W_p^p(P, Q) is the integral over q in [0, 1]
of |F_P^{-1}(q) - F_Q^{-1}(q)|^p: sort and compare. The average over directions theta on the unit
sphere, E_theta[W_p^p(theta.a, theta.b)], is **not** multiplied by d: a shift by delta counts
|delta|^2 / d in it, for p = 2.

Source: Sliced and Radon Wasserstein Barycenters of Measures (Bonneel, Rabin, Peyre, Pfister, 2015)
https://doi.org/10.1007/s10851-014-0506-3
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor

from cwbench.ot.checks import Array, Float64, as_float64, check_exponent, same_size


def unit_directions(d: int, count: int, generator: Generator) -> Tensor:
    """Directions drawn uniformly from the unit sphere, float64 with shape `(count, d)`.

    Raises:
        ValueError: if `d` or `count` is below 1.
    """
    if d < 1 or count < 1:
        raise ValueError(f"d is {d} and count {count}; both must be at least 1")
    normal: Tensor = torch.randn(count, d, generator=generator, dtype=torch.float64)
    return normal.div(normal.norm(dim=1, keepdim=True))


def sliced_wasserstein_power(a: Array, b: Array, directions: Array, *, p: float = 2.0) -> float:
    """The mean over directions of W_p^p(theta.a, theta.b), exact for each, not multiplied by d.

    Args:
        a: with shape `(n, *shape)`, d numbers each.
        b: with shape `(k, *shape)`.
        directions: unit vectors with shape `(m, d)`.
        p: exponent, at least 1.

    Raises:
        ValueError: if an input is not finite, dimensions do not match or p < 1.
    """
    check_exponent(p)
    a, b = as_float64("a", a), as_float64("b", b)
    theta = as_float64("directions", directions)
    same_size(a=a, b=b, directions=theta)
    quantiles_a = np.sort(theta @ a.T, axis=1)
    quantiles_b = np.sort(theta @ b.T, axis=1)
    if len(a) == len(b):
        return float(np.mean(np.abs(quantiles_a - quantiles_b) ** p))
    rank_a, rank_b, masses = _common_steps(len(a), len(b))
    return float(np.mean(np.abs(quantiles_a[:, rank_a] - quantiles_b[:, rank_b]) ** p @ masses))


def _common_steps(n: int, k: int) -> tuple[np.ndarray, np.ndarray, Float64]:
    """Where two empirical quantile functions are both constant: ranks in each, and lengths.

    Levels are counted in units of 1 / (n k), so that equal ones are recognised exactly.
    """
    levels = np.union1d(np.arange(n + 1) * k, np.arange(k + 1) * n)
    return levels[:-1] // k, levels[:-1] // n, np.diff(levels) / (n * k)
