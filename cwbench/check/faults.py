"""Samplers with one fault each, on small problems whose exact law is known: metrics are tried so.

trial-vector   x in R^2,             y = x + e, X of two modes (1, 0) and (-1, 0), E standard normal
trial-images   x of shape 1 x 4 x 4, likewise, modes 1/2 +- .4 P with a fixed pattern P
trial-stored   x of shape 1 x 8 x 8, y one of three classes, two modes in each, stored as images

Every mode is N(mu, .3^2 I), so all posteriors are mixtures of two Gaussians.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Protocol, get_args

import torch
from torch import Generator, Tensor

from cwbench.check.probes import declared
from cwbench.images import to_pixels, to_x
from cwbench.known.operator import LinearOperator
from cwbench.metric import Fault, Need
from cwbench.samples import (
    ImageSet,
    JointSamples,
    MixturePosterior,
    MixturePrior,
    Moments,
    Part,
)
from cwbench.task import Task

FAULTS: tuple[Fault, ...] = get_args(Fault)
MODE_SPREAD, NOISE = 0.3, 1.0
SHIFT, SCALE = 0.5, 0.6
"""In deviations of the posterior."""

TILT = 0.5
"""By how much too heavy the first mode is: its weight w becomes w + TILT (1 - w)."""

ATOMS = 10
CLASSES, STORED = 3, {"train": 900, "test": 600}


class Trial(Protocol):
    """A task whose exact law a fault can be built from, whatever it shows to a metric."""

    x_shape: tuple[int, ...]

    def exact(self, y: Tensor) -> MixturePosterior:
        """P(X | Y = y)."""

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs."""


class MixtureTrial(Task):
    """Two modes seen through noise; it offers a metric no more than `offered`."""

    info = declared("trial-mixture", "Two modes seen through noise")

    def __init__(self, x_shape: tuple[int, ...], offered: frozenset[Need]) -> None:
        super().__init__()
        self.shape, self.offered = x_shape, offered
        pattern = torch.linspace(-1, 1, prod(x_shape), dtype=torch.float64)
        first = torch.eye(1, prod(x_shape), dtype=torch.float64)[0]
        sign = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
        self.modes = sign * first if len(x_shape) == 1 else 0.5 + 0.4 * sign * pattern

    @property
    def x_shape(self) -> tuple[int, ...]:
        """As it was made."""
        return self.shape

    @property
    def y_shape(self) -> tuple[int, ...]:
        """That of x."""
        return self.shape

    @property
    def has_posterior(self) -> bool:
        """Whether a metric may draw from it."""
        return "reference" in self.offered

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs."""
        modes = self.modes[torch.randint(2, (n,), generator=generator)]
        x = modes + MODE_SPREAD * torch.randn(modes.shape, generator=generator).double()
        y = x + NOISE * torch.randn(modes.shape, generator=generator).double()
        return JointSamples(
            *(part.float().reshape(n, *self.shape) for part in (x, y)),
        )

    def exact(self, y: Tensor) -> MixturePosterior:
        """Weights by the density of y about each mode, means between mode and y."""
        s, e = MODE_SPREAD**2, NOISE**2
        flat = y.double().flatten(1)[:, None]
        weights = torch.softmax(-(flat - self.modes).square().sum(-1) / (2 * (s + e)), 1)
        means = (e * self.modes + s * flat) / (s + e)
        covariance = s * e / (s + e) * torch.eye(means.shape[2], dtype=torch.float64)
        return MixturePosterior(weights, means, covariance.expand(*weights.shape, -1, -1))

    def posterior_mixture(self, y: Tensor) -> MixturePosterior | None:
        """The exact one, if it is offered."""
        return self.exact(y) if "mixture" in self.offered else None

    def posterior_moments(self, y: Tensor) -> Moments:
        """The exact ones, if a posterior is offered."""
        if not self.has_posterior:
            raise NotImplementedError("this task has no exact posterior")
        return self.exact(y).moments()

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Exact draws `(m, n, *x_shape)`, if they are offered."""
        if not self.has_posterior:
            raise NotImplementedError("this task has no exact posterior")
        return drawn(self.exact(y), n, generator).reshape(len(y), n, *self.shape).float()

    def prior_mixture(self) -> MixturePrior | None:
        """The law of x, if a density is offered."""
        if "density" not in self.offered:
            return None
        eye = torch.eye(self.modes.shape[1], dtype=torch.float64).expand(2, -1, -1)
        return MixturePrior(torch.full((2,), 0.5).double(), self.modes, MODE_SPREAD**2 * eye)

    def linear_operator(self) -> LinearOperator | None:
        """Y = X + noise, if a density is offered."""
        if "density" not in self.offered:
            return None
        return LinearOperator(torch.eye(self.modes.shape[1], dtype=torch.float64), NOISE)

    def standardised_residual(self, x: Tensor, y: Tensor) -> Tensor | None:
        """The noise y - x in its units, if it is offered."""
        if "residual" not in self.offered:
            return None
        return ((y[:, None].double() - x.double()) / NOISE).flatten(2)


class StoredTrial(Task):
    """Images of three classes, each with a bright row high or low, whose place is the class."""

    info = declared("trial-stored", "Two modes in each of three classes")
    x_shape, y_shape = (1, 8, 8), ()
    num_classes = CLASSES

    @cached_property
    def modes(self) -> Tensor:
        """With shape `(classes, 2, 64)`, in the scale of x."""
        images = torch.full((CLASSES, 2, 8, 8), -0.4, dtype=torch.float64)
        for label in range(CLASSES):
            images[label, 0, 1:3, 2 * label : 2 * label + 3] = 0.4
            images[label, 1, 5:7, 2 * label : 2 * label + 3] = 0.4
        return images.flatten(2)

    def exact(self, y: Tensor) -> MixturePosterior:
        """Both modes of the class, equally often."""
        means = self.modes[y]
        weights = torch.full(means.shape[:2], 0.5, dtype=torch.float64)
        covariance = (MODE_SPREAD / 3) ** 2 * torch.eye(64, dtype=torch.float64)
        return MixturePosterior(weights, means, covariance.expand(*weights.shape, -1, -1))

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs."""
        y = torch.randint(CLASSES, (n,), generator=generator)
        x = drawn(self.exact(y), 1, generator).reshape(n, *self.x_shape).float()
        return JointSamples(to_x(to_pixels(x)), y)

    def stored_images(self, part: Part) -> ImageSet:
        """Draws of a fixed stream for each part."""
        x, y = self.sample_joint(STORED[part], Generator().manual_seed(len(part)))
        return ImageSet(to_pixels(x), y)


def drawn(mixture: MixturePosterior, n: int, generator: Generator) -> Tensor:
    """Draws of Gaussian mixtures, float64 with shape `(m, n, d)`."""
    weights, means, covariances = mixture
    mode = torch.multinomial(weights, n, replacement=True, generator=generator)
    rows = torch.arange(len(weights))[:, None]
    noise = torch.randn(*mode.shape, means.shape[2], generator=generator).double()
    factor = torch.linalg.cholesky(covariances)
    draws: Tensor = means[rows, mode] + (factor[rows, mode] @ noise[..., None])[..., 0]
    return draws


def sampled(trial: Trial, y: Tensor, n: int, fault: Fault | None, generator: Generator) -> Tensor:
    """Samples `(m, n, *x_shape)` with one fault, or exact ones, float32."""
    points = FAULTY[fault](trial, y, n, generator)
    return points.reshape(len(y), n, *trial.x_shape).float()


Faulty = Callable[[Trial, Tensor, int, Generator], Tensor]


def _exact(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    return drawn(trial.exact(y), n, generator)


def _moments(trial: Trial, y: Tensor) -> Moments:
    return trial.exact(y).moments()


def _shifted(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    deviation = _moments(trial, y).covariance.diagonal(dim1=1, dim2=2).sqrt()
    return _exact(trial, y, n, generator) + SHIFT * deviation[:, None]


def _narrow(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    mean = _moments(trial, y).mean[:, None]
    return mean + SCALE * (_exact(trial, y, n, generator) - mean)


def _gaussian(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    mean, covariance = _moments(trial, y)
    one = torch.ones(len(y), 1, dtype=torch.float64)
    return drawn(MixturePosterior(one, mean[:, None], covariance[:, None]), n, generator)


def _tilted(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    mixture = trial.exact(y)
    weights = (1 - TILT) * mixture.weights
    weights[:, 0] += TILT
    return drawn(mixture._replace(weights=weights), n, generator)


def _repeated(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    """Of an observation that comes several times (a class) the same few points."""
    kinds, kind = torch.unique(y, dim=0, return_inverse=True)
    atoms = _exact(trial, kinds, ATOMS, generator)
    return atoms[kind[:, None], torch.randint(ATOMS, (len(y), n), generator=generator)]


def _marginal(trial: Trial, y: Tensor, n: int, generator: Generator) -> Tensor:
    """Each observation gets the samples of all, in one order for all."""
    others = y.repeat_interleave(n, 0)[torch.randperm(len(y) * n, generator=generator)]
    return _exact(trial, others, 1, generator)


FAULTY: dict[Fault | None, Faulty] = {
    None: _exact, "shift": _shifted, "scale": _narrow, "shape": _gaussian, "weights": _tilted,
    "atoms": _repeated, "condition": _marginal,
}  # fmt: skip
