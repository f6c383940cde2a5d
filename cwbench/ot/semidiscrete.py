"""Semidiscrete transport: latents are paired with the whole training set, not with a minibatch.

The source is the continuous law of (z, y), z a latent and y a condition independent of it; the
target the N training pairs (x_k, y_k) with weight 1/N. For the relaxed cost
c_k(z, y) = |z - x_k|^2 + beta |e(y) - e(y_k)|^2 the dual problem is concave in N numbers,

    max over g of  E[min_k (c_k(z, y) - g_k)] + mean_k g_k,

with the gradient 1/N - P(k is the minimiser). At its maximum every x_k is used equally often, and
k*(z, y) = argmin_k (c_k(z, y) - g_k) is the optimal map. g is found once, before training, by
stochastic ascent with averaging; then a pair costs one row of distances, whatever the batch. With
beta = infinity, for class labels, only data of the class of y compete.

How equally the data are used is measured by the chi^2 divergence of the frequencies p from uniform,
N sum_k p_k^2 - 1: estimated without bias from coincidences among independent draws.

Source: Flow Matching with Semidiscrete Couplings (Mousavi-Hosseini, Zhang, Klein, Cuturi, 2025)
https://arxiv.org/abs/2509.25519
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from cwbench.ot.checks import as_float64, check_positive, is_label, same_count

_AVERAGED = 0.2  # share of the ascent, at its end, over which g is averaged
_BATCH = 256
_TILE = 2_000  # data whose costs stay in a core's cache


class Fed(NamedTuple):
    """The data as the cost sees them: `points` `(N, d)` in float32, `classes` `(N,)` or None.

    `points` holds x beside sqrt(beta) e(y), so that the cost is a squared distance, less the data's
    mean: products of float32 keep their digits wherever the data lie.
    """

    points: Tensor
    classes: Tensor | None


class Semidiscrete:
    """k*(z, y) for given data, after `ascend`.

    Args:
        x: data with shape `(N, *x_shape)`.
        y: their conditions with shape `(N, *y_shape)`, or integer class labels `(N,)`.
        beta: weight on the squared distance of conditions; infinite for class labels only.
        embedding: e, from y to `(n, k)`; None flattens y, and is not used for class labels.

    Raises:
        ValueError: if an input is not finite, or beta does not fit the kind of condition.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        beta: float,
        embedding: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        same_count(x=as_float64("x", x), y=as_float64("y", y))
        if not beta >= 0 or (math.isinf(beta) and not is_label(y)):
            raise ValueError(f"beta is {beta}; give a number from 0, inf for class labels only")
        self.beta, self.embedding = beta, embedding
        self.labels = y.unique() if is_label(y) else torch.empty(0)
        self.mean: Tensor | float = 0.0
        self.mean = self._fed(x, y, torch.float64).points.mean(0)
        self.data = self._fed(x, y)
        self.squares = self.data.points.square().sum(1)
        self.spread = float(x.flatten(1).double().var(0, correction=0).sum())
        self.g = torch.zeros(len(x))

    def _fed(self, x: Tensor, y: Tensor, dtype: torch.dtype = torch.float32) -> Fed:
        flat = x.flatten(1).double()
        if is_label(y):
            if math.isinf(self.beta):
                return Fed((flat - self.mean).to(dtype), y)
            e = y[:, None] == self.labels  # a batch may lack some of the data's classes
        else:
            with torch.no_grad():
                e = y.flatten(1) if self.embedding is None else self.embedding(y)
        points = torch.cat([flat, math.sqrt(self.beta) * e.double()], 1)
        return Fed((points - self.mean).to(dtype), None)

    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        """The index k* with shape `(n,)` of latents `(n, *z_shape)` with conditions `(n, ...)`.

        To a class that the data lack all of them are equally near.
        """
        source = self._fed(z, y)
        best = torch.full((len(z),), math.inf, device=source.points.device)
        nearest = torch.zeros_like(best, dtype=torch.int64)
        for start in range(0, len(self.g), _TILE):
            cost = self._reduced_cost(source, slice(start, start + _TILE))
            low = cost.amin(1)
            better = (low < best).nonzero()[:, 0]  # to find the place takes ten times the minimum
            best[better] = low[better]
            nearest[better] = start + cost[better].argmin(1)
        return nearest

    def _reduced_cost(self, source: Fed, data: slice = slice(None)) -> Tensor:
        """c_k - g_k less |(z, e)|^2, which no argmin depends on, at some data; shape `(n, ...)`."""
        points, bias = self.data.points[data], self.squares[data] - self.g[data]
        cost = torch.addmm(bias.expand(len(source.points), -1), source.points, points.T, alpha=-2.0)
        if source.classes is not None and self.data.classes is not None:
            other = source.classes[:, None] != self.data.classes[data]
            known = torch.isin(source.classes, self.labels)
            cost.masked_fill_(other & known[:, None], math.inf)
        return cost

    def ascend(
        self,
        sample: Callable[[int, Generator], tuple[Tensor, Tensor]],
        *,
        steps: int,
        generator: Generator,
        batch: int = _BATCH,
    ) -> None:
        """Stochastic ascent on the dual; g becomes the average over the last fifth.

        The first step lowers g of an atom that is hit by the gap between the nearest atom and the
        eighth (less where there are more draws than atoms); the steps fall as half a cosine. An
        atom that is never hit rises by draws / N times the sum of all steps: were they to fall as
        1 / sqrt(step), atoms far out would not be reached where N is large.

        Args:
            sample: draws latents and conditions, `(n, generator) -> (z, y)`.
            steps: of ascent.
            generator: source of randomness.
            batch: draws in a step.
        """
        check_positive("steps", steps)
        count = len(self.g)
        first = self._gap(sample(batch, generator)) / max(1, batch / count)
        total, averaged = torch.zeros(count), 0
        for step in range(steps):
            hits = torch.bincount(self(*sample(batch, generator)), minlength=count).float()
            rate = first * (1 + math.cos(math.pi * step / steps)) / 2
            self.g += rate * (batch / count - hits)
            if step >= (1 - _AVERAGED) * steps:
                total += self.g
                averaged += 1
        self.g = total / averaged

    def _gap(self, drawn: tuple[Tensor, Tensor]) -> float:
        """The mean gap between the nearest datum and the eighth, at most the variance of x.

        A large beta would make the gap one of conditions, which g has no need to bridge.
        """
        cost = self._reduced_cost(self._fed(*drawn))
        nearest = cost.topk(min(8, cost.shape[1]), largest=False).values
        gap = nearest[:, -1] - nearest[:, 0]
        return min(self.spread, float(gap[gap.isfinite()].mean()))


def chi_squared(k: Tensor, count: int) -> float:
    """N sum_k p_k^2 - 1 from draws `k` `(n,)` of p, without bias; 0 if p is uniform."""
    n = len(k)
    hits = torch.bincount(k, minlength=count).double()
    coincidences = float((hits * (hits - 1)).sum()) / (n * (n - 1))
    return count * coincidences - 1.0
