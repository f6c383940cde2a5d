"""How far ranks are from uniform: the Cramer-von Mises distance, estimated without bias.

For a rank u in [0, 1] with distribution function F, the squared distance from uniformity is

    int_0^1 (F(t) - t)^2 dt = E k(u, u'),    k(u, v) = 1/3 - max(u, v) + (u^2 + v^2) / 2

with u, u' independent. Over m observations, U = mean over pairs i != j of k(u_i, u_j) is unbiased:
0 in expectation for a perfect sampler, hence negative for many. With h_i the mean over j != i of
k(u_i, u_j), the jackknife's pseudo-values

    m U - (m - 1) U_{-i} = U + 2 (m - 1) / (m - 2) (h_i - U)

have mean U, and their spread gives its interval. For uniform ranks U is degenerate (E h_i = 0): the
jackknife's variance is about twice the true one on average, but nearly 0 where the ranks happen to
be very even. The true one is then known, Var U = 2 E k^2 / (m (m - 1)) = 1 / (45 m (m - 1)), and no
standard error below it is believed.

Away from uniformity U and its standard error rise and fall together (correlation .6 to .96), so
that U plus or minus t errors covers 84 to 95 %: what it misses lies above it. How much ranks vary
that are a distance theta off is known: the leading term of U has variance 4 <g, B g> / m with
g = F - t and B the covariance of the Brownian bridge, whose largest eigenvalue is 1 / pi^2, near
uniformity; so Var U <= 4 theta / (pi^2 m) + 1 / (45 m (m - 1)). The upper end is the largest theta
that U does not contradict by that (`highest`): the interval covers 97 % or more.

The V-statistic, which includes i = j, is 1 / (6 m) in expectation for uniform ranks: that floor is
about one standard deviation of U, so U of several floors is a finding even where its interval,
which is that of an estimate, is wide.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Uniformity(NamedTuple):
    """Pseudo-values of m observations, each with shape `(m,)`; only their mean has a meaning.

    The mean of `value` is U, that of `plug_in` the V-statistic, that of `floor` its expectation
    for uniform ranks. `least_error` is the standard deviation of U for uniform ranks of one
    quantity, at least that of a mean over several.
    """

    value: Tensor
    plug_in: Tensor
    floor: Tensor
    least_error: float


def uniformity(ranks: Tensor, weights: Tensor) -> Uniformity:
    """The weighted mean over test quantities of their distances from uniformity.

    Args:
        ranks: in [0, 1] with shape `(m, q)`, m >= 2.
        weights: of the test quantities, with shape `(q,)`, summing to 1.
    """
    m = len(ranks)
    values, plug_ins = zip(*(_pseudo_values(column) for column in ranks.T), strict=True)
    value = torch.stack(values, 1) @ weights
    plug_in = torch.stack(plug_ins, 1) @ weights
    return Uniformity(value, plug_in, torch.full_like(value, 1 / (6 * m)), least_error(m))


def least_error(m: int) -> float:
    """The standard deviation of U for m uniform ranks."""
    return float((45 * m * (m - 1)) ** -0.5)


def highest(value: float, m: int, least_error: float, quantile: float) -> float:
    """The largest distance that the mean of `value` over m observations does not refute.

    The larger root of (theta - U)^2 = t^2 (4 theta / (pi^2 m) + least_error^2).
    """
    half_slope = 2 * (quantile / math.pi) ** 2 / m
    inside = half_slope**2 + 2 * half_slope * value + (quantile * least_error) ** 2
    return value + half_slope + math.sqrt(max(0.0, inside))


def _pseudo_values(u: Tensor) -> tuple[Tensor, Tensor]:
    """Those of U and of V for ranks of one test quantity, with shape `(m,)`."""
    m = len(u)
    kernel = cramer_von_mises_kernel(u[:, None], u[None])
    own = kernel.diagonal()
    h = (kernel.sum(1) - own) / (m - 1)
    value = h.mean() + 2 * (m - 1) / max(m - 2, 1) * (h - h.mean())  # for m = 2, h is constant
    return value, value * (m - 1) / m + own / m


def cramer_von_mises_kernel(u: Tensor, v: Tensor) -> Tensor:
    """int_0^1 (1[u <= t] - t) (1[v <= t] - t) dt for numbers in [0, 1]."""
    return 1 / 3 - torch.maximum(u, v) + (u.square() + v.square()) / 2
