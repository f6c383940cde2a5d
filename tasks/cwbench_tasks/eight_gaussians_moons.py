"""Eight Gaussians to two moons, the toy on which conditional couplings are compared.

Latents: equal Gaussians of variance 0.1 centred at eight equispaced points of a circle of radius 5.
The published code means 0.1 too and hands its root to a function that takes a covariance, so the
published numbers are for a variance of 0.316 (`latent_variance`).
Data: X = 3 (c(a) + u (1, 1)) - 1 with a ~ U[0, pi], u ~ U[0, 0.2) and one of two half circles with
equal probability, c(a) = (cos a, sin a) or (1 - cos a, 1/2 - sin a). The noise moves both
coordinates together and is uniform: so it is in the generator behind the published numbers, which
differs from scikit-learn's moons. There the angles lie on a regular grid; here they are drawn.

The condition is the first coordinate of X (`continuous`) or which moon it lies on (`class`). Given
X_1 = y, let s = (y + 1) / 3. On the first moon u = s - cos a must lie in [0, 0.2), so `a` is
uniform on one interval; on the second likewise with 1 - cos a; the interval lengths are the odds of
the moons. So the posterior is drawn exactly, and its moments are elementary integrals.

Source: The Curse of Conditions (Cheng, Schwing, 2025), https://arxiv.org/abs/2503.10636, after
Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport
(Tong et al., 2023), https://arxiv.org/abs/2302.00482
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, Moments
from cwbench.task import Params, Task, TaskInfo

NOISE = 0.2
SUPPORT = (-1.0, 2 + NOISE)  # of s = (x_1 + 1) / 3
RADIUS = 5.0


class EightGaussiansMoonsParams(Params):
    """Settings of `EightGaussiansMoons`."""

    condition: Literal["continuous", "class"] = Field(
        "continuous", description="y is the first coordinate of x, or which moon x lies on"
    )
    latent_variance: float = Field(
        0.1,
        gt=0,
        description="of each of the eight Gaussians; that of the published numbers is 0.316",
    )


class EightGaussiansMoons(Task):
    """Latents are eight Gaussians, data two moons, y a coordinate or the moon."""

    info = TaskInfo(
        name="eight-gaussians-moons",
        version=1,
        title="Eight Gaussians to two moons",
        main_metric="ew2sq",
        licence="MIT",
        citation="cheng2025curse",
        presets=vector_presets(),
        group="moons",
        notes="With the continuous condition the posterior fixes the first coordinate of x to y.",
    )
    Params = EightGaussiansMoonsParams
    params: EightGaussiansMoonsParams

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`(1,)`, or `()` for the class."""
        return () if self._by_class else (1,)

    @property
    def num_classes(self) -> int | None:
        """Two moons if y is the class, else None."""
        return 2 if self._by_class else None

    @property
    def _deviation(self) -> float:
        return math.sqrt(self.params.latent_variance)

    @property
    def _by_class(self) -> bool:
        return self.params.condition == "class"

    def fingerprint(self) -> str:
        """Of name, version and condition, and of the latents' variance where it was set.

        Latents are no part of the data; but the observations are drawn from a stream that is named
        by this, and those of another variance were drawn from another one.
        """
        own = type(self.params).model_fields["latent_variance"].default
        left_out = {"latent_variance"} if self.params.latent_variance == own else set()
        settings = self.params.model_dump(mode="json", exclude=left_out)
        text = json.dumps([self.info.name, self.info.version, settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs of the joint distribution."""
        moon = torch.randint(2, (n,), generator=generator)
        x = _draw(moon, generator).float()
        return JointSamples(x, moon if self._by_class else x[:, :1])

    def sample_latent(self, n: int, generator: Generator) -> Tensor:
        """Draw `n` latents of the eight Gaussians, with shape `(n, 2)`."""
        angle = math.pi / 4 * torch.randint(8, (n,), generator=generator)
        centres = RADIUS * torch.stack([angle.cos(), angle.sin()], -1)
        z: Tensor = centres + self._deviation * torch.randn(n, 2, generator=generator)
        return z

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples for each row of `y`, with shape `(m, n, 2)`.

        Raises:
            UsageError: if y is a coordinate that no point of the moons has.
        """
        if self._by_class:
            return _draw(y[:, None].expand(-1, n), generator).float()
        s = _circle_coordinate(y)
        low, high = _angles(s)
        odds = high - low
        uniform = torch.rand(len(y), n, 2, dtype=torch.float64, generator=generator)
        moon = (uniform[..., 0] * odds.sum(-1, keepdim=True) >= odds[:, :1]).long()
        a = low.gather(1, moon) + odds.gather(1, moon) * uniform[..., 1]
        first = y.expand(-1, n).double()
        second = 3 * _height(moon, a, s) - 1
        return torch.stack([first, second], -1).float()

    def posterior_moments(self, y: Tensor) -> Moments:
        """Exact mean and covariance of x given each row of `y`."""
        return _class_moments(y) if self._by_class else _coordinate_moments(y)


def _draw(moon: Tensor, generator: Generator) -> Tensor:
    """Points of the given moons, with shape `(*moon.shape, 2)`, float64."""
    uniform = torch.rand(*moon.shape, 2, dtype=torch.float64, generator=generator)
    a, u = math.pi * uniform[..., 0], NOISE * uniform[..., 1]
    circle = torch.where(
        moon[..., None] == 0,
        torch.stack([a.cos(), a.sin()], -1),
        torch.stack([1 - a.cos(), 0.5 - a.sin()], -1),
    )
    return 3 * (circle + u[..., None]) - 1


def _circle_coordinate(y: Tensor) -> Tensor:
    """Coordinate s = (y + 1) / 3 with shape `(m, 1)`; what rounding moved out is moved back."""
    s = (y.double() + 1) / 3
    low, high = SUPPORT
    outside = (s < low - 1e-6) | (s > high + 1e-6) | s.isnan()
    if outside.any():
        raise UsageError(
            f"y = {y[outside][0].item():g} is not a first coordinate of the moons; "
            f"allowed: {3 * low - 1:g} to {3 * high - 1:g}."
        )
    return s.clamp(low + 1e-9, high - 1e-9)


def _angles(s: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of the interval of angles on each moon that s allows, both with shape `(m, 2)`."""
    # moon 0: s - NOISE < cos a <= s;  moon 1: 1 - s <= cos a < 1 - s + NOISE
    largest = torch.cat([s, 1 - s + NOISE], -1)
    smallest = torch.cat([s - NOISE, 1 - s], -1)
    return largest.clamp(-1, 1).acos(), smallest.clamp(-1, 1).acos()


def _height(moon: Tensor, a: Tensor, s: Tensor) -> Tensor:
    """(x_2 + 1) / 3 at angle `a`, given s: the circle's height plus u."""
    return torch.where(moon == 0, s + a.sin() - a.cos(), s - 0.5 - a.sin() + a.cos())


def _coordinate_moments(y: Tensor) -> Moments:
    """Moments given X_1 = y, from the integrals of sin a - cos a and (sin a - cos a)^2."""
    s = _circle_coordinate(y)
    low, high = _angles(s)
    length = high - low
    first = (-high.cos() - high.sin()) - (-low.cos() - low.sin())
    second = length - (high.sin().square() - low.sin().square())
    offset = torch.cat([s, s - 0.5], -1)
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64)
    total = length.sum(-1)
    mean = (offset * length + sign * first).sum(-1) / total
    centred = offset - mean[:, None]
    variance = (centred.square() * length + 2 * centred * sign * first + second).sum(-1) / total
    covariance = torch.zeros(len(y), 2, 2, dtype=torch.float64)
    covariance[:, 1, 1] = 9 * variance
    return Moments(torch.stack([y[:, 0].double(), 3 * mean - 1], -1), covariance)


def _class_moments(y: Tensor) -> Moments:
    """Moments of each moon; the second is the first turned by pi, apart from the noise."""
    u, variance = NOISE / 2, NOISE**2 / 12
    heights = torch.tensor([[0, 2 / math.pi], [1, 0.5 - 2 / math.pi]], dtype=torch.float64)
    circle = torch.tensor([0.5, 0.5 - 4 / math.pi**2], dtype=torch.float64).diag()
    covariance = 9 * (circle + variance)
    return Moments(3 * (heights[y] + u) - 1, covariance.expand(len(y), 2, 2))
