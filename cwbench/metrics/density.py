"""The exact posterior's density: the law of its logarithm, and the score behind Stein's identity.

log p(x | y) = log p(x) + log p(y | x) - log p(y), of which the last part, the same for all x, is
left out: no distance of two sets of values sees it.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.errors import NoValueError
from cwbench.known.factors import noisy_prior
from cwbench.metric import MetricInfo, ReferenceMetric
from cwbench.metrics.per_observation import flatten_x
from cwbench.task import Task

_FAR = 1e4
"""By how much x is multiplied to ask whether the prior is positive everywhere."""


class PosteriorDensity:
    """log p(x | y) up to a constant of y, and its gradient in x."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """With shape `(m, n)`, float64, of x with shape `(m, n, *x_shape)`."""
        return self._log_prior(x) + self.task.log_likelihood(x, y)

    def _log_prior(self, x: Tensor) -> Tensor:
        """By the mixture where the task has one: its graph holds no (d,) for each component."""
        mixture, points = self.task.prior_mixture(), x.flatten(0, 1)
        if mixture is None:
            density = self.task.log_prior(points)
        else:
            density = noisy_prior(mixture).log_density(points.flatten(1))
        return density.reshape(x.shape[:2])

    def score(self, x: Tensor, y: Tensor) -> Tensor:
        """The gradient in x with shape `(m, n, d)`, float64.

        Raises:
            NoValueError: if the prior is 0 somewhere: Stein's identity has a boundary term then.
        """
        if not self._log_prior(_FAR * (1 + x[:1, :1].abs())).isfinite().all():
            raise NoValueError("the prior has an edge, at which Stein's identity does not hold")
        x = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            (score,) = torch.autograd.grad(self(x, y).sum(), x)
        return flatten_x(score)


class LogDensityW1(ReferenceMetric):
    """W_1 between the laws of log p(x | y) for x from the sampler and for x from the posterior.

    One number of each sample: it is 0 for every law with the right values of the density. In
    hundreds of dimensions the noise of single pixels rules it, whatever is wrong with modes and
    leading directions. Never ranks.
    """

    info: ClassVar = MetricInfo(
        name="log-density-w1",
        version=1,
        title="Wasserstein-1 distance of the laws of log p(x | y), in nats",
        direction="lower",
        needs=frozenset({"reference", "density"}),
        citation="cwbench",
        opt_in=True,
        ranks=False,
        sees=frozenset({"shift", "scale", "shape", "weights", "atoms", "condition"}),
    )

    def coordinates(self, x: Tensor, y: Tensor, units: Tensor) -> Tensor:
        """Log p(x | y) up to a constant, with shape `(m, n, 1)`."""
        with torch.no_grad():
            return PosteriorDensity(self.task)(x, y)[..., None]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The mean distance of values in their order, with shape `(m,)`."""
        apart = a.sort(dim=1).values - b.sort(dim=1).values
        return apart.abs().flatten(1).mean(dim=1)
