"""A prior of factor analysers seen through noise: x_t = alpha x_0 + sigma e, e ~ N(0, I).

Component k is X_0 = m_k + F_k Z + sqrt(t_k) R E (`cwbench.samples.FactorPrior`). Given Z, x_t has
the diagonal covariance V_k = alpha^2 t_k R^2 + sigma^2 I, and with W_k = V_k^-1 F_k, u = x_t -
alpha m_k, component k of X_0 given x_t has

    precision of Z  M_k = I + alpha^2 F_k^T W_k, (q, q); its mean z_k = alpha M_k^-1 W_k^T u
    mean            sigma^2 V_k^-1 m_k + alpha t_k R^2 V_k^-1 x_t + sigma^2 W_k z_k
    covariance      t_k R^2 sigma^2 V_k^-1 + sigma^4 W_k M_k^-1 W_k^T
    log weight      log w_k + (alpha^2 |M_k^-1/2 W_k^T u|^2 - |V_k^-1/2 u|^2
                    - log det V_k - log det M_k) / 2, normalised over k

by Woodbury's identity in the rank q. No (d, d) matrix is formed, nor a (d,) vector for each pair of
an x_t and a component: all components are products of x_t with one (d, K q) matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from cwbench.errors import ContractError
from cwbench.known.prior import (
    ExactPrior,
    NoisyPrior,
    Noted,
    levels_of,
    picked,
    refuse_parts,
    refuse_weights,
)
from cwbench.samples import FactorPrior, MixturePrior


def noisy_prior(prior: MixturePrior | FactorPrior, noted: Noted = lambda *_: None) -> ExactPrior:
    """What is known at every noise level of a prior of either kind.

    Raises:
        ContractError: if it is malformed.
    """
    if isinstance(prior, FactorPrior):
        return NoisyFactors(prior, noted)
    return NoisyPrior(prior, noted)


class _Level:
    """What depends on the noise level alone; means are those about `centre`."""

    def __init__(self, prior: FactorPrior, centre: Tensor, alpha: float, sigma: float) -> None:
        self.alpha, self.sigma, self.centre = alpha, sigma, centre
        means, F = prior.means - centre, prior.factors
        self.noise = prior.levels[:, None] * prior.deviations.square()
        variance = alpha**2 * self.noise + sigma**2
        self.inverse = 1 / variance
        self.W = F * self.inverse[..., None]
        identity = torch.eye(F.shape[2], dtype=F.dtype)
        self.root = torch.linalg.cholesky(identity + alpha**2 * (F.mT @ self.W))
        self.turn = self.W.permute(1, 0, 2).flatten(1)
        self.shown_means = torch.einsum("kdq,kd->kq", self.W, means)
        self.weighed = means * self.inverse
        self.square = (means * self.weighed).sum(1)
        self.kept = sigma**2 * self.weighed
        self.gain = alpha * self.noise * self.inverse
        log_volume = variance.log().sum(1) / 2 + self.root.diagonal(dim1=1, dim2=2).log().sum(1)
        self.constant = prior.weights.log() - log_volume

    def given(self, x_t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x_t - alpha c `(n, d)`, log p(x_t, k) `(n, K)` but for 2 pi, and z_k `(n, K, q)`."""
        alpha, x = self.alpha, x_t.double() - self.alpha * self.centre
        shown = (x @ self.turn).unflatten(1, self.shown_means.shape) - alpha * self.shown_means
        half = torch.linalg.solve_triangular(self.root, shown.permute(1, 2, 0), upper=False)
        quadratic = x.square() @ self.inverse.T - 2 * alpha * (x @ self.weighed.T)
        explained = alpha**2 * half.square().sum(1).T
        joint = self.constant - (quadratic + alpha**2 * self.square - explained) / 2
        z = alpha * torch.linalg.solve_triangular(self.root.mT, half, upper=True)
        return x, joint, z.permute(2, 0, 1)

    def denoise(self, x_t: Tensor) -> Tensor:
        """E[X_0 | x_t]."""
        x, joint, z = self.given(x_t)
        weights = joint.softmax(-1)
        along = (weights[..., None] * z).flatten(1) @ self.turn.T
        mean = self.centre + weights @ self.kept + (weights @ self.gain) * x
        return mean + self.sigma**2 * along

    def drawn(self, x_t: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """One draw of X_0 for each x_t, by the symmetric root of B^-1/2 Cov B^-1/2."""
        x, joint, z = self.given(x_t)
        component = picked(joint.log_softmax(-1), uniform)
        drawn = torch.empty_like(x)
        for k in component.unique().tolist():
            here = component == k
            mean = self.kept[k] + self.gain[k] * x[here] + self.sigma**2 * z[here, k] @ self.W[k].T
            drawn[here] = self.centre + mean + self._spread(k, normal[here])
        return drawn

    def _spread(self, k: int, e: Tensor) -> Tensor:
        """Noise of component k from standard normal e `(n, d)`.

        I + Y Y^T has the root I + Y Q diag(1 / (1 + sqrt(1 + h^2))) Q^T Y^T, with Y^T Y =
        Q diag(h^2) Q^T, also where an h is 0.
        """
        share = (self.noise[k] * self.inverse[k]).sqrt()
        H = self.sigma * self.W[k] / share[:, None]
        Y = torch.linalg.solve_triangular(self.root[k], H.T, upper=False).T
        values, Q = torch.linalg.eigh(Y.T @ Y)
        inner = (Q / (1 + (1 + values.clamp_min(0)).sqrt())) @ Q.T
        spread: Tensor = self.sigma * share * (e + e @ Y @ inner @ Y.T)
        return spread


@dataclass(frozen=True)
class NoisyFactors(ExactPrior):
    """The exact denoiser, score and draws of a mixture of factor analysers, float64."""

    prior: FactorPrior
    noted: Noted = field(default=lambda *_: None, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is no mixture of factor analysers."""
        refuse_parts(self.prior)
        shapes = [tuple(part.shape) for part in self.prior]
        K, d, q = shapes[2] if len(shapes[2]) == 3 else (0, 0, 0)
        if shapes != [(K,), (K, d), (K, d, q), (K,), (d,)] or not q:
            raise ContractError(
                f"the prior of factor analysers has shapes {', '.join(map(str, shapes))}; weights "
                "(K,), means (K, d), factors (K, d, q), levels (K,) and deviations (d,) are needed"
            )
        refuse_weights(self.prior.weights)
        if not ((self.prior.levels > 0).all() and (self.prior.deviations > 0).all()):
            raise ContractError("levels and deviations of the factor analysers are above 0")

    @property
    def size(self) -> int:
        """d, the numbers of x."""
        return self.prior.means.shape[1]

    @cached_property
    def _centre(self) -> Tensor:
        """The mean of X_0, about which squares lose fewer digits."""
        return self.prior.weights @ self.prior.means

    @cached_property
    def _last(self) -> dict[tuple[float, float], _Level]:
        """The level that was asked for last: samplers ask several times for each."""
        return {}

    def _level(self, alpha: float, sigma: float) -> _Level:
        if (alpha, sigma) not in self._last:
            self._last.clear()
            self._last[alpha, sigma] = _Level(self.prior, self._centre, alpha, sigma)
        return self._last[alpha, sigma]

    def _by_level(
        self, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float
    ) -> Iterator[tuple[Tensor, _Level]]:
        """The rows of x_t that share a level, with it."""
        if x_t.ndim != 2 or x_t.shape[1] != self.size:
            raise ContractError(
                f"x_t has shape {tuple(x_t.shape)}; the prior takes (n, {self.size})"
            )
        both = [part.flatten().expand(len(x_t)) for part in levels_of(x_t, alpha, sigma)]
        levels, place = torch.stack(both, 1).unique(dim=0, return_inverse=True)
        for number, (a, s) in enumerate(levels.tolist()):
            yield (place == number).nonzero()[:, 0], self._level(a, s)

    def denoise(self, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """E[X_0 | x_t] with shape `(n, d)`."""
        parts = [(rows, at.denoise(x_t[rows])) for rows, at in self._by_level(x_t, alpha, sigma)]
        mean = _in_order(parts, x_t)
        self.noted(len(x_t), mean)
        return mean

    def drawn(
        self,
        x_t: Tensor,
        alpha: Tensor | float,
        sigma: Tensor | float,
        *,
        uniform: Tensor,
        normal: Tensor,
    ) -> Tensor:
        """One draw of X_0 | x_t for each x_t, from `uniform` `(n,)` and `normal` `(n, d)`."""
        parts = [
            (rows, at.drawn(x_t[rows], uniform[rows], normal[rows]))
            for rows, at in self._by_level(x_t, alpha, sigma)
        ]
        drawn = _in_order(parts, x_t)
        self.noted(len(x_t), drawn)
        return drawn

    def joint_log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x, component k) with shape `(n, K)` of x with shape `(n, d)`."""
        _, joint, _ = self._level(1.0, 0.0).given(x)
        return joint - self.size * math.log(2 * math.pi) / 2

    def standardised(self, mean: Tensor, deviation: Tensor) -> NoisyFactors:
        """The prior of u, with x = mean + deviation u; both have shape `(d,)`."""
        weights, means, factors, levels, deviations = self.prior
        mean, deviation = mean.double(), deviation.double()
        scaled = factors / deviation[:, None], levels, deviations / deviation
        return NoisyFactors(FactorPrior(weights, (means - mean) / deviation, *scaled), self.noted)


def _in_order(parts: list[tuple[Tensor, Tensor]], x_t: Tensor) -> Tensor:
    """The rows of x_t again, from those of each level."""
    if not parts:
        return x_t.double()
    order = torch.cat([rows for rows, _ in parts]).argsort()
    return torch.cat([values for _, values in parts])[order]
