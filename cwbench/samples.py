"""What the contracts exchange: pairs, exact posteriors, stored images.

`x` is the unknown, `y` the observation or class. Tensors have shapes `(n, *x_shape)` and
`(n, *y_shape)`; a class label is an int64 `y` of shape `(n,)`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

Part = Literal["train", "test"]
OTHER: dict[Part, Part] = {"train": "test", "test": "train"}
"""Images a method may learn from, or those that are held out."""


class JointSamples(NamedTuple):
    """Draws of the joint distribution: `x` with shape `(n, *x_shape)`, `y` `(n, *y_shape)`."""

    x: Tensor
    y: Tensor


class MixturePosterior(NamedTuple):
    """Gaussian mixtures, one for each of m observations, in float64.

    `weights` with shape `(m, K)`, `means` `(m, K, d)`, `covariances` `(m, K, d, d)`.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def moments(self) -> Moments:
        """Means and covariances, by the law of total variance."""
        weights, means, covariances = self
        mean = torch.einsum("mk,mkd->md", weights, means)
        centred = means - mean[:, None]
        between = torch.einsum("mk,mkd,mke->mde", weights, centred, centred)
        return Moments(mean, torch.einsum("mk,mkde->mde", weights, covariances) + between)


class MixturePrior(NamedTuple):
    """A mixture in float64: `weights` `(K,)`, `means` `(K, d)`, `covariances` `(K, d, d)`."""

    weights: Tensor
    means: Tensor
    covariances: Tensor


class FactorPrior(NamedTuple):
    """A mixture of factor analysers in float64, for x too large for covariance matrices.

    Component k is X = m_k + F_k Z + sqrt(t_k) R E with Z ~ N(0, I_q), E ~ N(0, I_d): `weights`
    `(K,)`, `means` `(K, d)`, `factors` `(K, d, q)`, `levels` t_k `(K,)`, and `deviations` `(d,)`,
    the diagonal of R, which all components share.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    levels: Tensor
    deviations: Tensor


class Moments(NamedTuple):
    """Posterior `mean` with shape `(m, d)` and `covariance` `(m, d, d)`, float64, x flattened."""

    mean: Tensor
    covariance: Tensor

    def draws(self, n: int, generator: Generator) -> Tensor:
        """Of the Gaussians that have them, with shape `(m, n, d)`."""
        eigenvalues, V = torch.linalg.eigh(self.covariance.double())
        root = V * eigenvalues.clamp_min(0).sqrt()[:, None]
        shape = len(self.mean), n, self.mean.shape[1]
        noise = torch.randn(shape, dtype=torch.float64, generator=generator)
        draws: Tensor = self.mean.double()[:, None] + noise @ root.mT
        return draws


class RunningMoments:
    """Mean and covariance of points that come in parts, of which none is kept.

    Two parts with n, m points, means a, b and scatters S, T have the scatter
    S + T + n m / (n + m) (a - b)(a - b)' (Chan, Golub, LeVeque 1979).
    """

    def __init__(self) -> None:
        self.n, self.mean, self.covariance = 0, torch.zeros(()), torch.zeros(())

    def add(self, points: Tensor) -> None:
        """Take in points `(m, d)`, float64."""
        m, mean = len(points), points.mean(0)
        covariance = torch.cov(points.T, correction=1 if m > 1 else 0).reshape(len(mean), -1)
        n, total = self.n, self.n + m
        if n:
            gap = mean - self.mean
            scatter = (n - 1) * self.covariance + (m - 1) * covariance
            covariance = (scatter + n * m / total * torch.outer(gap, gap)) / (total - 1)
            mean = self.mean + m / total * gap
        self.n, self.mean, self.covariance = total, mean, covariance

    def moments(self) -> Moments:
        """`(1, d)` and `(1, d, d)`."""
        return Moments(self.mean[None], self.covariance[None])


class ImageSet(NamedTuple):
    """Images `(n, C, H, W)` as uint8 and their labels `(n,)` as int64, in an order that is fixed.

    The order has nothing to do with the classes: the first k are a sample of all.
    """

    images: Tensor
    labels: Tensor

    def first(self, n: int) -> ImageSet:
        """The first `n`, or all if there are fewer."""
        return ImageSet(self.images[:n], self.labels[:n])
