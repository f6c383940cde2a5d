"""Mixtures of factor analysers: Gaussian mixtures in thousands of dimensions, and their posteriors.

Component k is X = m_k + F_k Z + sqrt(t_k) R E with Z ~ N(0, I_q), E ~ N(0, I_d), R = Psi^(1/2): the
shape Psi of the noise is shared, its level t_k is not. Given Y = A X + s E', one decomposition
A R = U diag(S) V^T serves all components, since in its coordinates

    D_k = t_k S^2 + s^2            variances of U^T Y given Z
    G_k = S V^T R^{-1} F_k         what U^T Y shows of Z
    M_k = I + G_k^T D_k^{-1} G_k   precision of Z given Y, (q, q)

are diagonal or small, and the posterior is again a mixture of factor analysers:

    factors  R (R^{-1} F_k - V (t_k S / D_k) G_k) M_k^{-1/2}
    noise    R sqrt(t_k) (I + V (s D_k^{-1/2} - 1) V^T), narrower along V

of which no (d, d) matrix is ever formed. Draws are those of the prior with their noise corrected
along V: Matheron's rule without noise of its own, since this root is known. The mixing of K
components by their first two moments is one factor analyser of rank at most K (q + 1).

On GANs and GMMs (Richardson and Weiss, 2018) https://arxiv.org/abs/1805.12462 fits such mixtures to
images; there each component has a Psi of its own, and A Psi_k A^T + s^2 I one inverse each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.samples import FactorPrior, MixturePrior, Moments

_NEGLIGIBLE = 1e-10
"""Share of the largest singular value below which a direction counts as not observed."""

_NO_WEIGHT = 1e-18
"""Of components that moments are taken without: their share is below rounding."""


@dataclass(frozen=True)
class FactorMixture:
    """A mixture of K factor analysers over d dimensions, float64.

    Args:
        weights: with shape `(K,)`.
        means: m_k with shape `(K, d)`.
        factors: F_k with shape `(K, d, q)`.
        levels: t_k with shape `(K,)`.
        deviations: the diagonal of R with shape `(d,)`.
        V: with shape `(d, r)`, orthonormal: the directions that something was observed of.
        narrowed: with shape `(K, r)`: by which the noise is multiplied along V.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    levels: Tensor
    deviations: Tensor
    V: Tensor
    narrowed: Tensor

    @classmethod
    def prior(
        cls, weights: Tensor, means: Tensor, factors: Tensor, levels: Tensor, deviations: Tensor
    ) -> FactorMixture:
        """A mixture of which nothing was observed, in float64.

        Raises:
            UsageError: if shapes do not fit, a factor has no column, or a number is not sound.
        """
        K, d = means.shape
        if factors.ndim != 3 or factors.shape[:2] != (K, d) or factors.shape[2] < 1:
            raise UsageError(
                f"factors have shape {tuple(factors.shape)}; {K} components in {d} dimensions need "
                f"({K}, {d}, rank) with a rank of at least 1"
            )
        if (weights.shape, levels.shape, deviations.shape) != ((K,), (K,), (d,)):
            raise UsageError(
                f"weights {tuple(weights.shape)}, levels {tuple(levels.shape)} and deviations "
                f"{tuple(deviations.shape)} do not fit {K} components in {d} dimensions"
            )
        parts = (weights, means, factors, levels, deviations)
        if not all(part.isfinite().all() for part in parts):
            raise UsageError("a mixture of factor analysers holds NaN or infinite numbers")
        sound = (weights >= 0).all() and weights.sum() > 0
        if not (sound and (levels > 0).all() and (deviations > 0).all()):
            raise UsageError("weights are at least 0 and not all 0, levels and deviations above 0")
        weights, means, factors, levels, deviations = (part.double() for part in parts)
        V, narrowed = means.new_zeros(d, 0), means.new_zeros(K, 0)
        share = weights / weights.sum()
        return cls(share, means, factors, levels, deviations, V, narrowed)

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples with shape `(n, d)`."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        z = torch.randn(n, self.factors.shape[2], dtype=torch.float64, generator=generator)
        noise += ((self.narrowed[k] - 1) * (noise @ self.V)) @ self.V.T
        x = self.means[k] + self.levels[k, None].sqrt() * self.deviations * noise
        for component in k.unique():
            here = k == component
            x[here] += z[here] @ self.factors[component].T
        return x

    def joint_log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x, component k) with shape `(n, K)` of x with shape `(n, d)`."""
        given = [self._log_density(k, x.double()) for k in range(len(self.weights))]
        return self.weights.log() + torch.stack(given, dim=1)

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x) with shape `(n,)` of x with shape `(n, d)`."""
        return self.joint_log_density(x).logsumexp(1)

    def _log_density(self, k: int, x: Tensor) -> Tensor:
        """Of one component, by Woodbury in the rank."""
        t, d = self.levels[k], len(self.deviations)
        wider = self.narrowed[k].square().reciprocal() - 1
        u, F = (x - self.means[k]) / self.deviations, self.factors[k] / self.deviations[:, None]
        along, F_along = u @ self.V, self.V.T @ F
        shown = (u @ F + (wider * along) @ F_along) / t  # F^T N^{-1} u
        M = F.T @ F / t + F_along.T @ (wider[:, None] * F_along) / t
        factor = torch.linalg.cholesky(M + torch.eye(len(M), dtype=torch.float64))
        explained = torch.linalg.solve_triangular(factor, shown.T, upper=False)
        quadratic = (u.square().sum(1) + along.square() @ wider) / t - explained.square().sum(0)
        log_volume = self.narrowed[k].log().sum() + self.deviations.log().sum()
        log_volume = log_volume + factor.diagonal().log().sum()
        density: Tensor = -(quadratic + d * (2 * math.pi * t).log()) / 2 - log_volume
        return density

    @cached_property
    def matched(self) -> FactorMixture:
        """The Gaussian with the same mean and covariance: one factor analyser of high rank."""
        there = self.weights > _NO_WEIGHT
        w, t = self.weights[there], self.levels[there]
        mean = w @ self.means[there]
        centred = self.means[there] - mean
        columns = torch.cat([self.factors[there], centred[..., None]], 2) * w.sqrt()[:, None, None]
        level = w @ t
        variances = (w * t) @ self.narrowed[there].square() / level
        return replace(
            self,
            weights=w.new_ones(1),
            means=mean[None],
            factors=columns.permute(1, 0, 2).flatten(1)[None],
            levels=level[None],
            narrowed=variances.sqrt()[None],
        )

    def dense(self) -> MixturePrior:
        """The same with covariances `(K, d, d)`, for small d."""
        RV = self.deviations[:, None] * self.V
        change = (RV * (self.narrowed.square() - 1)[:, None]) @ RV.T
        noise = change + torch.diag(self.deviations.square())
        factored = self.factors @ self.factors.mT
        return MixturePrior(self.weights, self.means, self.levels[:, None, None] * noise + factored)

    def mixture(self) -> FactorPrior:
        """A prior, as methods are handed it.

        Raises:
            UsageError: if something was observed already.
        """
        if self.V.shape[1]:
            raise UsageError("what was observed leaves no prior of factor analysers")
        return FactorPrior(self.weights, self.means, self.factors, self.levels, self.deviations)

    @cached_property
    def variances(self) -> Tensor:
        """Of each entry of x, with shape `(d,)`."""
        one = self.matched
        noise = 1 + one.V.square() @ (one.narrowed[0].square() - 1)
        return one.levels[0] * one.deviations.square() * noise + one.factors[0].square().sum(1)

    def spread(self, v: Tensor) -> Tensor:
        """Cov(x) v with shape `(..., d)` of v with shape `(..., d)`."""
        one = self.matched
        u = one.deviations * v
        u = u + ((one.narrowed[0].square() - 1) * (u @ one.V)) @ one.V.T
        return one.levels[0] * one.deviations * u + (v @ one.factors[0]) @ one.factors[0].T

    def leading(self, k: int) -> tuple[Tensor, Tensor]:
        """The k largest eigenvalues of Cov(x), falling, and their directions `(d, k)`, by Lanczos.

        Raises:
            UsageError: if k is not from 1 to d - 1.
        """
        d = len(self.deviations)
        if not 0 < k < d:
            raise UsageError(f"{k} leading directions of {d}; choose from 1 to {d - 1}")
        spread = LinearOperator(
            (d, d), lambda v: self.spread(torch.from_numpy(v.ravel())).numpy(), dtype=np.float64
        )
        start = np.random.RandomState(0).randn(d)  # Lanczos would take a global random one
        values, directions = eigsh(spread, k, v0=start)
        return torch.from_numpy(values[::-1].copy()), torch.from_numpy(directions[:, ::-1].copy())

    def variation(self, A: Tensor) -> Tensor:
        """Mean variance of the entries of A x; A is as in `observed`."""
        one = self.matched
        columns = one.factors[0].unflatten(0, (-1, A.shape[1]))
        noise = (A * one.deviations.unflatten(0, (-1, 1, A.shape[1]))).square().sum()
        total: Tensor = one.levels[0] * noise + (A @ columns).square().sum()
        return total / (len(A) * len(columns))

    def observed(self, A: Tensor, noise: float) -> FactorPosterior:
        """What Y = A X + s E says of X, for every y.

        Args:
            A: with shape `(p, d / c)`; it acts on each of c channels by itself.
            noise: the standard deviation s, above 0.

        Raises:
            UsageError: if A does not fit, or something was observed already.
        """
        if A.ndim != 2 or not A.shape[1] or len(self.deviations) % A.shape[1]:
            raise UsageError(
                f"an operator of shape {tuple(A.shape)} does not fit x of {len(self.deviations)} "
                "numbers: its columns are the pixels of a channel"
            )
        if self.V.shape[1]:
            raise UsageError("condition the prior once, on all that was observed")
        return FactorPosterior(self, A.double(), noise)


class _Seen(NamedTuple):
    """A R = U diag(S) V^T: U `(d_y, r)`, S `(r,)`, V `(d, r)`."""

    U: Tensor
    S: Tensor
    V: Tensor


class FactorPosterior:
    """The posteriors of a mixture under one operator; y has shape `(m, d_y)`."""

    def __init__(self, prior: FactorMixture, A: Tensor, noise: float) -> None:
        self.prior, self.noise = prior, noise
        self.U, self.S, self.V = _decomposed(A, prior.deviations)
        self.D = prior.levels[:, None] * self.S.square() + noise**2
        F = prior.factors / prior.deviations[:, None]
        self.G = self.S[:, None] * (self.V.T @ F)
        shown = self.G / self.D[..., None]  # D^{-1} G
        identity = torch.eye(F.shape[2], dtype=torch.float64)
        self.root = torch.linalg.cholesky(identity + self.G.mT @ shown)  # of M
        gain = prior.levels[:, None, None] * (self.S[:, None] * shown)
        left = prior.deviations[:, None] * (F - self.V @ gain)
        self.factors = torch.linalg.solve_triangular(self.root, left.mT, upper=False).mT
        self.seen_means = self.S * ((prior.means / prior.deviations) @ self.V)  # U^T A m_k

    def _shown(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """D^{-1} (U^T y - U^T A m_k), `(m, K, r)`, and M^{-1/2} G^T of it, `(m, K, q)`."""
        residual = (y.double() @ self.U)[:, None] - self.seen_means
        fit = residual / self.D
        shown = torch.einsum("krq,mkr->kqm", self.G, fit)
        return fit, torch.linalg.solve_triangular(self.root, shown, upper=False).permute(2, 0, 1)

    def joint_log_evidence(self, y: Tensor) -> Tensor:
        """Logarithm of p(y, component k) with shape `(m, K)`."""
        fit, z = self._shown(y)
        unseen = y.double() - y.double() @ self.U @ self.U.T  # of which only noise is in y
        quadratic = (fit.square() * self.D).sum(2) - z.square().sum(2)
        quadratic = quadratic + unseen.square().sum(1, keepdim=True) / self.noise**2
        log_volume = self.D.log().sum(1) / 2 + self.root.diagonal(dim1=1, dim2=2).log().sum(1)
        log_volume = log_volume + (y.shape[1] - len(self.S)) * math.log(self.noise)
        constant = y.shape[1] * math.log(2 * math.pi) / 2
        evidence: Tensor = self.prior.weights.log() - quadratic / 2 - log_volume - constant
        return evidence

    def weights(self, y: Tensor) -> Tensor:
        """Of the components, with shape `(m, K)`."""
        return self.joint_log_evidence(y).softmax(1)

    def given(self, y: Tensor) -> Iterator[FactorMixture]:
        """The posterior of each of m observations."""
        for row in y.split(1):
            fit, z = (part[0] for part in self._shown(row))
            moved = (self.prior.levels[:, None] * self.S * fit) @ self.V.T * self.prior.deviations
            moved = moved + torch.einsum("kdq,kq->kd", self.factors, z)
            yield replace(
                self.prior,
                weights=self.weights(row)[0],
                means=self.prior.means + moved,
                factors=self.factors,
                V=self.V,
                narrowed=self.noise * self.D.rsqrt(),
            )

    def sample(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples of each posterior, with shape `(m, n, d)`."""
        return torch.stack([mixture.sample(n, generator) for mixture in self.given(y)])

    def sample_matched(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """As `sample`, of the Gaussians with the posteriors' means and covariances."""
        return torch.stack([mixture.matched.sample(n, generator) for mixture in self.given(y)])

    def moments(self, y: Tensor) -> Moments:
        """Means `(m, d)` and covariances `(m, d, d)`."""
        dense = [mixture.matched.dense() for mixture in self.given(y)]
        means, covariances = (torch.cat([one[part] for one in dense]) for part in (1, 2))
        return Moments(means, covariances)

    def variances(self, y: Tensor) -> Tensor:
        """The diagonals of the covariances, with shape `(m, d)`."""
        return torch.stack([mixture.variances for mixture in self.given(y)])

    def leading(self, y: Tensor, k: int) -> Tensor:
        """The k directions of most variance, with shape `(m, d, k)`."""
        return torch.stack([mixture.leading(k)[1] for mixture in self.given(y)])

    def mixture(self, y: Tensor) -> None:
        """None: its covariances would not fit into memory; `given` has it."""


def _decomposed(A: Tensor, deviations: Tensor) -> _Seen:
    """The singular values of A R that are not 0, channel by channel."""
    scaled = A * deviations.unflatten(0, (-1, 1, A.shape[1]))
    U, S, Vh = torch.linalg.svd(scaled, full_matrices=False)
    kept = (_NEGLIGIBLE * S.max() < S).flatten()
    return _Seen(
        torch.block_diag(*U)[:, kept], S.flatten()[kept], torch.block_diag(*Vh.mT)[:, kept]
    )
