"""A problem whose posterior mean says nothing: only magnitudes are observed.

X ~ N(0, I) in the plane and Y = (A X)^2 + s E componentwise, E ~ N(0, I), A = [[1, 0], [.6, .8]].
Since x and -x are equally likely given y, E[X | Y = y] = 0: a method that learns the mean learns
nothing. With U = A X ~ N(0, S), S = A A^T, of unit variances and correlation 0.6, the posterior of
U has up to four modes (+-sqrt(y_1), +-sqrt(y_2)), those of equal signs the more probable.

The posterior is drawn from a bilinear interpolation of its density on a grid over |u_1|, |u_2| that
is fitted to each observation, once for equal and once for opposite signs. A node is a twelfth of a
posterior deviation from the next, and the error is of second order: far below Monte Carlo noise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Generator, Tensor

from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, MixturePrior, Moments
from cwbench.task import Params, Task, TaskInfo

A = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
SIGNS = torch.tensor([1.0, -1.0], dtype=torch.float64)
NODES = 192  # of the grid, along each axis
DEVIATIONS = 8  # of the noise that the grid covers on either side of y


class Grid(NamedTuple):
    """Nodes `u_1`, `u_2` of absolute values, each `(NODES,)`, and the density at `(u_1, +-u_2)`.

    `density` has shape `(2, NODES, NODES)`: equal signs, then opposite ones; not normalised.
    """

    u_1: Tensor
    u_2: Tensor
    density: Tensor


class SignSymmetricParams(Params):
    """Settings of `SignSymmetric`."""

    noise: float = Field(0.2, ge=1e-3, le=1, description="standard deviation s of the noise")


class SignSymmetric(Task):
    """Squares of linear measurements of a Gaussian: a posterior symmetric about the origin."""

    info = TaskInfo(
        name="sign-symmetric",
        version=1,
        title="Magnitudes of two linear measurements",
        main_metric="ew2sq",
        licence="MIT",
        citation="chemseddine2025conditional",
        presets=vector_presets(),
        group="symmetric",
        notes="Built for this suite; the citation is of the theory that judges it.",
    )
    Params = SignSymmetricParams
    params: SignSymmetricParams

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`(2,)`."""
        return (2,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs of the joint distribution."""
        x = torch.randn(n, 2, dtype=torch.float64, generator=generator)
        noise = torch.randn(n, 2, dtype=torch.float64, generator=generator)
        y = (x @ A.T).square() + self.params.noise * noise
        return JointSamples(x.float(), y.float())

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples for each row of `y`, with shape `(m, n, 2)`."""
        u = torch.stack([_sample_grid(self.grid(row), n, generator) for row in y])
        x: Tensor = torch.linalg.solve(A, u.mT).mT
        return x.float()

    def standardised_residual(self, x: Tensor, y: Tensor) -> Tensor:
        """(y - (A x)^2) / s with shape `(m, n, 2)`."""
        residual: Tensor = y.double()[:, None] - (x.double() @ A.T).square()
        return residual / self.params.noise

    def log_likelihood(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of N(y; (A x)^2, s^2 I) with shape `(m, n)`."""
        constant = 2 * math.log(2 * math.pi * self.params.noise**2)
        return -(self.standardised_residual(x, y).square().sum(-1) + constant) / 2

    def prior_mixture(self) -> MixturePrior:
        """A standard normal."""
        one = torch.ones(1, dtype=torch.float64)
        return MixturePrior(one, torch.zeros(1, 2).double(), torch.eye(2).double()[None])

    def posterior_moments(self, y: Tensor) -> Moments:
        """Mean zero, and the covariance by the trapezoidal rule on the grid."""
        second_moments = torch.stack([_second_moments(self.grid(row)) for row in y])
        inverse = torch.linalg.inv(A)
        return Moments(
            torch.zeros(len(y), 2, dtype=torch.float64), inverse @ second_moments @ inverse.T
        )

    def grid(self, y: Tensor, nodes: int = NODES) -> Grid:
        """The posterior density of U = A X given one observation `y`, with shape `(2,)`."""
        u_1, u_2 = (self._nodes(value, nodes) for value in y.tolist())
        s, precision = self.params.noise, torch.linalg.inv(A @ A.T)
        misfit_1 = ((float(y[0]) - u_1.square()) / s).square() + precision[0, 0] * u_1.square()
        misfit_2 = ((float(y[1]) - u_2.square()) / s).square() + precision[1, 1] * u_2.square()
        cross = 2 * precision[0, 1] * u_1[:, None] * u_2
        exponent = misfit_1[:, None] + misfit_2 + SIGNS[:, None, None] * cross
        return Grid(u_1, u_2, ((exponent.min() - exponent) / 2).exp())

    def _nodes(self, y: float, nodes: int) -> Tensor:
        reach = DEVIATIONS * self.params.noise
        low, high = max(0.0, y - reach) ** 0.5, (max(0.0, y) + reach) ** 0.5
        return torch.linspace(low, high, nodes, dtype=torch.float64)


def _sample_grid(grid: Grid, n: int, generator: Generator) -> Tensor:
    """Draw `n` points u of the bilinear interpolation of a density, with shape `(n, 2)`."""
    f = grid.density
    mass = f[:, :-1, :-1] + f[:, :-1, 1:] + f[:, 1:, :-1] + f[:, 1:, 1:]
    uniform = 1 - torch.rand(4, n, dtype=torch.float64, generator=generator)  # never 0
    cumulative = mass.flatten().cumsum(0)  # ten times as fast as torch.multinomial here
    cell = torch.searchsorted(cumulative, uniform[3] * cumulative[-1])
    sign, i, j = torch.unravel_index(cell, mass.shape)
    f_00, f_01, f_10, f_11 = (f[sign, i + di, j + dj] for di in (0, 1) for dj in (0, 1))
    a = _sample_linear(f_00 + f_01, f_10 + f_11, uniform[0])
    b = _sample_linear(f_00.lerp(f_10, a), f_01.lerp(f_11, a), uniform[1])
    u_1 = grid.u_1[i].lerp(grid.u_1[i + 1], a)
    u_2 = grid.u_2[j].lerp(grid.u_2[j + 1], b) * SIGNS[sign]
    flip = torch.where(uniform[2] <= 0.5, -1.0, 1.0)
    return torch.stack([u_1, u_2], -1) * flip[:, None]


def _sample_linear(left: Tensor, right: Tensor, uniform: Tensor) -> Tensor:
    """Invert the distribution function of the density on [0, 1] that is linear between two ends."""
    root = (left.square().lerp(right.square(), uniform)).sqrt()
    return uniform * (left + right) / (left + root)


def _second_moments(grid: Grid) -> Tensor:
    """E[U U^T | Y = y] with shape `(2, 2)`."""
    trapezoid = torch.ones_like(grid.u_1)
    trapezoid[[0, -1]] = 0.5
    weights = grid.density * trapezoid[:, None] * trapezoid
    weights = weights / weights.sum()
    cross = torch.einsum("sij,s,i,j->", weights, SIGNS, grid.u_1, grid.u_2)
    first = weights.sum((0, 2)) @ grid.u_1.square()
    second = weights.sum((0, 1)) @ grid.u_2.square()
    return torch.stack([first, cross, cross, second]).reshape(2, 2)
