"""Weights of the modes of a posterior that is a Gaussian mixture.

With w_k(y) the exact weights and r_k(x, y) = p(k | x, y) the responsibilities of the exact
mixture, E[r_k(X, y)] = w_k(y) for X from the exact posterior. A sampler with the right modes and
the wrong weights misses that; W_2^2 hardly sees it when the modes are close.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.errors import UsageError
from cwbench.metric import MetricInfo, SplitMetric
from cwbench.metrics.per_observation import flatten_x
from cwbench.samples import MixturePosterior


class ModeWeights(SplitMetric):
    """sum_k (w1_k - w_k)(w2_k - w_k), w1 and w2 the mean responsibilities of the two halves.

    Unbiased for sum_k (E[r_k(A, y)] - w_k)^2, since the halves are independent. It is 0 for every
    sampler where the mixture has a single component.
    """

    info: ClassVar = MetricInfo(
        name="mode-weights",
        version=1,
        title="squared error of the weights of the posterior modes",
        direction="lower",
        needs=frozenset({"reference", "mixture"}),
        citation="cwbench",
        sees=frozenset({"scale", "weights", "atoms", "condition"}),
    )

    def estimate(self, a1: Tensor, a2: Tensor, y: Tensor) -> Tensor:
        """The error with shape `(m,)`."""
        mixture = self.task.posterior_mixture(y)
        if mixture is None:
            raise UsageError(
                f"{self.info.name} needs a posterior that is a Gaussian mixture; task "
                f"{self.task.info.name!r} has none. Choose another metric: cwbench list metrics."
            )
        error1, error2 = (mean_responsibilities(a, mixture) - mixture.weights for a in (a1, a2))
        return (error1 * error2).sum(dim=1)


def mean_responsibilities(samples: Tensor, mixture: MixturePosterior) -> Tensor:
    """Mean of p(k | x, y) over samples `(m, n, *x_shape)`, float64 with shape `(m, K)`."""
    parts = zip(flatten_x(samples), *(part.double() for part in mixture), strict=True)
    return torch.stack([responsibilities(*part).mean(dim=0) for part in parts])


def responsibilities(x: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """p(k | x) of one mixture, with shape `(n, K)`; finite however far x lies from all modes.

    Args:
        x: points with shape `(n, d)`.
        weights: with shape `(K,)`.
        means: with shape `(K, d)`.
        covariances: with shape `(K, d, d)`.
    """
    factor = torch.linalg.cholesky(covariances)
    centred = (x[None] - means[:, None]).mT  # (K, d, n)
    whitened = torch.linalg.solve_triangular(factor, centred, upper=False)
    log_volume = factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    log_density = -0.5 * whitened.square().sum(dim=1) - log_volume[:, None]  # up to a constant
    return torch.softmax(weights.log()[:, None] + log_density, dim=0).mT
