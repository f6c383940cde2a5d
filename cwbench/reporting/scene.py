"""One observation of a run as its figures need it: what is exact of it, and what the model drew."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from cwbench.known.factors import noisy_prior
from cwbench.machine.streams import stream
from cwbench.metrics.mixture import responsibilities
from cwbench.reporting.figures import Directions, ExactImages, Modes
from cwbench.reporting.figures.structure import LEAST_WEIGHT
from cwbench.task import Task

EXACT_DRAWS = 4_000
EXACT_IMAGES = 24
LEADING = 8


class Scene(NamedTuple):
    """An observation: `x` with shape `x_shape`, `y` `y_shape`, `samples` `(n, *x_shape)`."""

    task: Task
    number: int
    x: Tensor
    y: Tensor
    samples: Tensor | None

    def exact_draws(self, n: int) -> Tensor:
        """Draws of the exact posterior with shape `(n, *x_shape)`, the same for every method."""
        generator = stream("figure", self.task.info.name, self.number)
        return self.task.sample_posterior(self.y[None], n, generator)[0]

    def exact_images(self) -> ExactImages:
        """The exact posterior's moments at each pixel, and draws."""
        mean, covariance = (part[0] for part in self.task.posterior_moments(self.y[None]))
        sd = covariance.diagonal().clamp(min=0).sqrt()
        shape = self.task.x_shape
        draws = self.exact_draws(EXACT_IMAGES).numpy()
        return ExactImages(mean.reshape(shape).numpy(), sd.reshape(shape).numpy(), draws)

    def directions(self, exact: Tensor, model: Tensor) -> Directions:
        """Those in which the exact posterior varies most, and draws `(n, *x_shape)` along them."""
        mean, covariance = (part[0].double() for part in self.task.posterior_moments(self.y[None]))
        V = self.task.posterior_leading(self.y[None], LEADING)[0]
        variances = (V * (covariance @ V)).sum(0).clamp(min=0)
        order = variances.argsort(descending=True)
        V, variances = V[:, order], variances[order]
        of_exact, of_model = ((x.flatten(1).double() - mean) @ V for x in (exact, model))
        return Directions(
            V.T.reshape(-1, *self.task.x_shape).numpy(),
            variances.sqrt().numpy(),
            of_exact.numpy(),
            of_model.numpy(),
            float(variances.sum() / covariance.diagonal().sum()),
        )

    def modes(self, exact: Tensor, model: Tensor) -> Modes | None:
        """Components of the exact posterior; None where it is no mixture, or one has all weight.

        Their means are those of exact draws `(n, *x_shape)`, by responsibility.
        """
        weights = self.task.posterior_weights(self.y[None])
        if weights is None or int((weights[0] >= LEAST_WEIGHT).sum()) < 2:
            return None
        of_exact, of_model = (self._responsibilities(x.flatten(1).double()) for x in (exact, model))
        if of_exact is None or of_model is None:
            return None
        share = of_exact / of_exact.sum(0).clamp(min=1e-12)
        means = (share.T @ exact.flatten(1).double()).reshape(-1, *self.task.x_shape)
        return Modes(weights[0].numpy(), means.numpy(), of_model.numpy())

    def _responsibilities(self, x: Tensor) -> Tensor | None:
        """p(component | x, y) with shape `(n, K)`; y says no more of it where the prior has it."""
        mixture, prior = self.task.posterior_mixture(self.y[None]), self.task.prior_mixture()
        if mixture is not None:
            return responsibilities(x, *(part[0].double() for part in mixture))
        return None if prior is None else noisy_prior(prior).responsibilities(x)
