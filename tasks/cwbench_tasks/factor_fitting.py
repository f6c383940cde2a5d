"""Mixtures of factor analysers fitted by expectation-maximisation, all components of one Psi.

In coordinates u = Psi^(-1/2) x a component is N(m_k, L_k L_k^T + t_k I), a probabilistic principal
component analysis: given responsibilities its maximum is closed form, with S_k the weighted
covariance, l_j, v_j its leading eigenvalues and vectors and t_k the mean of the others:
L_k = [v_j (l_j - t_k)^(1/2)] (Mixtures of Probabilistic Principal Component Analysers, Tipping and
Bishop, 1999, https://doi.org/10.1162/089976699300016728). Psi follows given those, from the
residuals that factors leave. Both steps raise the likelihood until a bound holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from cwbench.errors import UsageError
from cwbench_tasks.factors import FactorMixture

LEAST_DEVIATION = 0.02
"""Of a pixel's noise: pixels that never change, as the border of digits, keep some."""

LEAST_LEVEL, MOST_LEVEL = 0.1, 2.0
"""Of t_k, whose mean is 1."""

LEAST_POINTS = 2.0
_NO_SHARE = 1e-6
_CHUNK = 4096  # images that are held against all components at a time


class Fitted(NamedTuple):
    """A mixture and the mean log-likelihood of its data before each step."""

    mixture: FactorMixture
    log_likelihoods: list[float]


@dataclass(frozen=True)
class _State:
    """Components in coordinates u: `directions` v `(K, d, q)`, `values` l `(K, q)`."""

    weights: Tensor
    means: Tensor
    directions: Tensor
    values: Tensor
    levels: Tensor
    deviations: Tensor

    def joint(self, x: Tensor) -> Tensor:
        """Logarithm of p(x, k) with shape `(n, K)`."""
        u, means = x / self.deviations, self.means / self.deviations
        centre = means.mean(0)  # close to all: differences of squares keep their digits
        u, means = u - centre, means - centre
        distances = u.square().sum(1)[:, None] - 2 * u @ means.T + means.square().sum(1)
        K, d, q = self.directions.shape
        along = (u @ self.directions.permute(1, 0, 2).reshape(d, K * q)).unflatten(1, (K, q))
        along = along - torch.einsum("kd,kdq->kq", means, self.directions)
        explained = (1 - self.levels[:, None] / self.values) * along.square()
        quadratic = (distances - explained.sum(2)) / self.levels
        log_volume = self.values.log().sum(1) + (d - q) * self.levels.log()
        log_volume = log_volume + 2 * self.deviations.log().sum() + d * math.log(2 * math.pi)
        joint: Tensor = self.weights.log() - (quadratic + log_volume) / 2
        return joint

    def mixture(self) -> FactorMixture:
        """The same in coordinates x, float64."""
        spread = (self.values - self.levels[:, None]).clamp_min(0).sqrt()
        factors = self.deviations[:, None] * self.directions * spread[:, None]
        parts = (self.weights, self.means, factors, self.levels, self.deviations)
        return FactorMixture.prior(*parts)


def fit(
    x: Tensor,
    components: int,
    rank: int,
    *,
    steps: int = 60,
    seed: int = 0,
    least_gain: float = 3e-5,
) -> Fitted:
    """Fit to rows of `x`, `(n, d)`, in its precision.

    Args:
        x: the data.
        components: K, started by k-means.
        rank: q of every component.
        steps: at most so many.
        seed: of k-means.
        least_gain: share of the log-likelihood that a step has to gain for another one.

    Raises:
        UsageError: if there are more components than data, or a rank is not from 1 to d - 1.
    """
    n, d = x.shape
    if not 0 < rank < d:
        raise UsageError(f"rank {rank} of {d} dimensions; choose from 1 to {d - 1}")
    if not 0 < components <= n // 2:
        raise UsageError(
            f"{components} components for {n} images; choose from 1 to {n // 2}, "
            "so that each has two"
        )
    state = _started(x, components, rank, seed)
    history: list[float] = []
    for _ in range(steps):
        shares, log_likelihood = _expected(state, x)
        gained = log_likelihood - history[-1] if history else math.inf
        history.append(log_likelihood)
        if gained < least_gain * abs(log_likelihood):
            break
        state = _maximised(state, x, shares)
    return Fitted(state.mixture(), history)


def _started(x: Tensor, components: int, rank: int, seed: int) -> _State:
    """From the clusters of k-means, with as much noise everywhere as there is at all."""
    found = KMeans(components, n_init=1, random_state=seed, max_iter=20).fit(x.numpy())
    shares = torch.nn.functional.one_hot(torch.from_numpy(found.labels_).long(), components)
    ones, zeros = x.new_ones(components), x.new_zeros(components, x.shape[1], rank)
    deviations = x.var(0).clamp_min(LEAST_DEVIATION**2).mean().sqrt().expand(x.shape[1])
    state = _State(ones, zeros[..., 0], zeros, ones[:, None].expand(-1, rank), ones, deviations)
    return _maximised(state, x, shares.to(x))


def _expected(state: _State, x: Tensor) -> tuple[Tensor, float]:
    """Responsibilities `(n, K)`, and the mean log-likelihood."""
    joint = torch.cat([state.joint(part) for part in x.split(_CHUNK)])
    return joint.softmax(1), float(joint.double().logsumexp(1).mean())


class _Component(NamedTuple):
    """One of a state's, and the share of its noise that its residuals ask for, entry by entry."""

    weight: Tensor
    mean: Tensor
    directions: Tensor
    values: Tensor
    level: Tensor
    residual: Tensor


def _maximised(state: _State, x: Tensor, shares: Tensor) -> _State:
    """The maximum of the components at this Psi, then of Psi at these components.

    A component that fewer than two points are left of is dropped.
    """
    shares = shares[:, shares.sum(0) >= LEAST_POINTS]
    found = [_component(state.deviations, x, share, state.values.shape[1]) for share in shares.T]
    weights, means, directions, values, levels, residuals = map(
        torch.stack, zip(*found, strict=True)
    )
    weights = weights / weights.sum()
    scale = weights @ levels  # the mean of t_k goes into Psi
    asked = state.deviations * (scale * (weights @ residuals)).sqrt()
    deviations = asked.clamp_min(LEAST_DEVIATION)
    spread = (values - levels[:, None]).clamp_min(0).sqrt()
    factors = directions * spread[:, None] * (state.deviations / deviations)[:, None]
    directions, sizes, _ = torch.linalg.svd(factors, full_matrices=False)
    levels = levels / scale
    return _State(weights, means, directions, sizes.square() + levels[:, None], levels, deviations)


def _component(deviations: Tensor, x: Tensor, share: Tensor, q: int) -> _Component:
    there = share > _NO_SHARE
    r = share[there] / share[there].sum()
    mean = r @ x[there]
    rows = r.sqrt()[:, None] * (x[there] - mean) / deviations
    values, directions = _leading(rows, q)
    rest = (rows.square().sum() - values.sum()) / (x.shape[1] - q)
    level = rest.clamp(LEAST_LEVEL, MOST_LEVEL)
    values = values.clamp_min(level)
    explained = 1 - level / values  # E[Z | x] takes so much of the way along each direction
    left = rows - (rows @ directions * explained) @ directions.T
    residual = left.square().sum(0) + directions.square() @ (explained * level)
    return _Component(share.sum(), mean, directions, values, level, residual / level)


def _leading(rows: Tensor, q: int) -> tuple[Tensor, Tensor]:
    """The q largest eigenvalues of rows^T rows, and their directions `(d, q)`."""
    short = len(rows) < rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if short else rows.T @ rows)
    values, vectors = values[-q:].clamp_min(1e-12), vectors[:, -q:]
    directions = torch.linalg.qr(rows.T @ vectors)[0] if short else vectors
    missing = q - directions.shape[1]
    if missing > 0:  # fewer points than the rank
        values = torch.cat([values, values.new_full((missing,), 1e-12)])
        filled = torch.cat([directions, torch.eye(len(directions))[:, :missing].to(rows)], 1)
        directions = torch.linalg.qr(filled)[0]
    return values, directions
