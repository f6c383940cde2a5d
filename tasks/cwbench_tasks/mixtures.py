"""Posteriors of Gaussian-mixture priors under linear observations, in closed form and float64.

With X ~ sum_k w_k N(m_k, C_k) and Y = A X + s E, E ~ N(0, I), the posterior is again a mixture.
For component k, with S_k = A C_k A^T + s^2 I:

    mean        m_k + C_k A^T S_k^{-1} (y - A m_k)
    covariance  C_k - C_k A^T S_k^{-1} A C_k
    log weight  log w_k + log N(y; A m_k, S_k), normalised over k

The covariances do not depend on y. K = 1 is the linear-Gaussian case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from cwbench.known.prior import NoisyPrior
from cwbench.samples import MixturePosterior, MixturePrior, Moments


def joint_log_evidence(prior: MixturePrior, A: Tensor, noise: float, y: Tensor) -> Tensor:
    """Logarithm of p(y, component k), with shape `(m, K)`; its log-sum-exp over k is log p(y).

    Args:
        prior: mixture over d dimensions.
        A: operator with shape `(d_y, d)`.
        noise: standard deviation s.
        y: observations with shape `(m, d_y)`.
    """
    S = _observation_covariances(prior, A, noise)
    factor = torch.linalg.cholesky(S)
    residual = y.double()[:, None] - prior.means @ A.T
    whitened = torch.linalg.solve_triangular(factor, residual[..., None], upper=False)[..., 0]
    log_determinant = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = A.shape[0] * math.log(2 * math.pi)
    quadratic = whitened.square().sum(-1)
    log_likelihood: Tensor = -(quadratic + log_determinant + constant) / 2
    return prior.weights.log() + log_likelihood


def linear_posterior(prior: MixturePrior, A: Tensor, noise: float, y: Tensor) -> MixturePosterior:
    """The exact posterior of X given each row of Y = A X + noise; arguments as above."""
    S = _observation_covariances(prior, A, noise)
    # by Cholesky: with more than one thread `solve` of a batch fails in MKL from 151 rows on
    # (https://github.com/pytorch/pytorch/issues/142815)
    gains = torch.cholesky_solve(A @ prior.covariances, torch.linalg.cholesky(S)).mT  # C A^T / S
    residual = y.double()[:, None] - prior.means @ A.T
    means = prior.means + torch.einsum("kde,mke->mkd", gains, residual)
    covariances = prior.covariances - gains @ A @ prior.covariances
    covariances = (covariances + covariances.mT) / 2
    weights = joint_log_evidence(prior, A, noise, y).softmax(-1)
    return MixturePosterior(weights, means, covariances.expand(len(y), -1, -1, -1))


def _observation_covariances(prior: MixturePrior, A: Tensor, noise: float) -> Tensor:
    identity = torch.eye(A.shape[0], dtype=torch.float64)
    return A @ prior.covariances @ A.T + noise**2 * identity


def linear_residual(A: Tensor, noise: float, x: Tensor, y: Tensor) -> Tensor:
    """(y - A x) / s with shape `(m, n, d_y)`, float64; log p(y | x) is minus half its square.

    Args:
        A: operator with shape `(d_y, d)`.
        noise: standard deviation s.
        x: with shape `(m, n, *x_shape)`, d numbers each.
        y: with shape `(m, *y_shape)`, d_y numbers each.
    """
    residual: Tensor = y.double().flatten(1)[:, None] - x.double().flatten(2) @ A.T
    return residual / noise


def sample_mixture(mixture: MixturePosterior, n: int, generator: Generator) -> Tensor:
    """Draw `n` samples of each of m mixtures, with shape `(m, n, d)`, float64."""
    weights, means, covariances = mixture
    components = torch.multinomial(weights, n, replacement=True, generator=generator)
    samples = torch.randn(
        *components.shape, means.shape[-1], dtype=torch.float64, generator=generator
    )
    shared = covariances.stride(0) == 0  # one set of covariances for all m, as linear_posterior's
    factors = square_roots(covariances[:1] if shared else covariances).expand_as(covariances)
    for row, chosen in enumerate(components):
        for k in chosen.unique():
            here = chosen == k
            samples[row, here] = means[row, k] + samples[row, here] @ factors[row, k].mT
    return samples


def sample_prior(prior: MixturePrior, n: int, generator: Generator) -> Tensor:
    """Draw `n` samples of the prior, with shape `(n, d)`, float64."""
    return sample_mixture(MixturePosterior(*(part[None] for part in prior)), n, generator)[0]


def square_roots(covariances: Tensor) -> Tensor:
    """Factors L with L L^T = covariance: Cholesky, or eigenvectors where one is not definite."""
    factors: Tensor
    factors, info = torch.linalg.cholesky_ex(covariances)
    if info.any():
        eigenvalues, eigenvectors = torch.linalg.eigh(covariances)
        factors = eigenvectors * eigenvalues.clamp(min=0).sqrt()[..., None, :]
    return factors


@dataclass(frozen=True)
class DenseMixture:
    """A prior by its covariance matrices, as `cwbench_tasks.image_priors.Law` asks for one."""

    prior: MixturePrior

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Draws with shape `(n, d)`."""
        return sample_prior(self.prior, n, generator)

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x) with shape `(n,)` of x with shape `(n, d)`."""
        return NoisyPrior(self.prior).log_density(x)

    def variation(self, A: Tensor) -> Tensor:
        """Mean variance of the entries of A x."""
        moments = MixturePosterior(*(part[None] for part in self.prior)).moments()
        return (A @ moments.covariance[0] * A).sum() / len(A)

    def observed(self, A: Tensor, noise: float) -> DensePosterior:
        """The law given Y = A X + noise."""
        return DensePosterior(self.prior, A, noise)

    def mixture(self) -> MixturePrior:
        """Itself."""
        return self.prior


@dataclass(frozen=True)
class DensePosterior:
    """The law of X given each row of Y = A X + noise."""

    prior: MixturePrior
    A: Tensor
    noise: float

    def mixture(self, y: Tensor) -> MixturePosterior:
        """As `linear_posterior`."""
        return linear_posterior(self.prior, self.A, self.noise, y)

    def weights(self, y: Tensor) -> Tensor:
        """Of the components, with shape `(m, K)`."""
        return joint_log_evidence(self.prior, self.A, self.noise, y).softmax(-1)

    def sample(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draws with shape `(m, n, d)`."""
        return sample_mixture(self.mixture(y), n, generator)

    def moments(self, y: Tensor) -> Moments:
        """Means and covariances."""
        return self.mixture(y).moments()

    def variances(self, y: Tensor) -> Tensor:
        """The diagonals of the covariances, with shape `(m, d)`."""
        return self.moments(y).covariance.diagonal(dim1=1, dim2=2)

    def leading(self, y: Tensor, k: int) -> Tensor:
        """The k directions of most variance, with shape `(m, d, k)`."""
        directions: Tensor = torch.linalg.eigh(self.moments(y).covariance)[1]
        return directions[..., -k:]

    def sample_matched(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draws of the Gaussians with these moments, with shape `(m, n, d)`."""
        return self.moments(y).draws(n, generator)
