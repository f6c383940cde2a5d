"""A linear-Gaussian problem: everything about its posterior is known in closed form.

X ~ N(0, I) and Y = A X + s E with E ~ N(0, I), A square with singular values falling
geometrically from 1 to 0.4. Then X | Y = y ~ N(m(y), C) with m(y) = K y and C independent of y.
With the default noise every direction has a posterior deviation of at most 0.5.

The conditional optimal-transport map from the latent N(0, I) is T_y(z) = m(y) + C^{1/2} z. Along
x_t = (1 - t) z + t T_y(z), with noise at t = 0, its velocity is T_y(z) - z, where
z = ((1 - t) I + t C^{1/2})^{-1} (x_t - t m(y)).
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, Field
from torch import Generator, Tensor

from cwbench.known.operator import LinearOperator
from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, MixturePosterior, MixturePrior
from cwbench.task import Params, Task, TaskInfo
from cwbench_tasks.mixtures import linear_posterior, linear_residual, sample_mixture

SMALLEST_SINGULAR_VALUE = 0.4


class GaussianLinearParams(Params):
    """Settings of `GaussianLinear`."""

    dimension: int = Field(5, ge=1, le=512, description="d, of x and of y")
    noise: float = Field(0.2, ge=1e-4, le=10, description="standard deviation s of the noise")
    instance: int = Field(0, ge=0, lt=2**63, description="which operator A is drawn")


class GaussianLinear(Task):
    """Gaussian prior, linear operator, Gaussian noise."""

    info = TaskInfo(
        name="gaussian-linear",
        version=1,
        title="Linear-Gaussian inverse problem",
        main_metric="ew2sq",
        licence="MIT",
        citation="chemseddine2025conditional",
        presets=vector_presets(),
        group="gaussian",
        notes="Posteriors are Gaussians of one covariance, so a linear-Gaussian fit is optimal.",
    )
    Params = GaussianLinearParams
    params: GaussianLinearParams

    def __init__(self, params: BaseModel | None = None) -> None:
        super().__init__(params)
        d = self.params.dimension
        identity = torch.eye(d, dtype=torch.float64)
        self.A = _operator(d, Generator().manual_seed(self.params.instance))
        self.prior = MixturePrior(
            torch.ones(1, dtype=torch.float64),
            torch.zeros(1, d, dtype=torch.float64),
            identity[None],
        )
        self.S = self.A @ self.A.T + self.params.noise**2 * identity
        self.K = torch.linalg.solve(self.S, self.A).mT
        self.C = identity - self.K @ self.A

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(dimension,)`."""
        return (self.params.dimension,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`(dimension,)`."""
        return (self.params.dimension,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs of the joint distribution."""
        x = torch.randn(n, *self.x_shape, dtype=torch.float64, generator=generator)
        noise = torch.randn(n, *self.y_shape, dtype=torch.float64, generator=generator)
        y = x @ self.A.T + self.params.noise * noise
        return JointSamples(x.float(), y.float())

    def posterior_mixture(self, y: Tensor) -> MixturePosterior:
        """The posterior as a mixture of one Gaussian."""
        return linear_posterior(self.prior, self.A, self.params.noise, y)

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples for each row of `y`, with shape `(m, n, *x_shape)`."""
        return sample_mixture(self.posterior_mixture(y), n, generator).float()

    def linear_operator(self) -> LinearOperator:
        """A and s."""
        return LinearOperator(self.A, self.params.noise)

    def prior_mixture(self) -> MixturePrior:
        """The prior."""
        return self.prior

    def standardised_residual(self, x: Tensor, y: Tensor) -> Tensor:
        """(y - A x) / s with shape `(m, n, d)`."""
        return linear_residual(self.A, self.params.noise, x, y)

    def conditional_w2_squared(self, matrix: Tensor, offset: Tensor, covariance: Tensor) -> float:
        """E_y[W_2^2(P_{X|Y=y}, N(matrix y + offset, covariance))] in closed form.

        Args:
            matrix: with shape `(d, d)`.
            offset: with shape `(d,)`.
            covariance: with shape `(d, d)`, positive semi-definite.
        """
        matrix, offset, covariance = matrix.double(), offset.double(), covariance.double()
        difference = self.K - matrix
        means = (difference @ self.S @ difference.T).trace() + offset.square().sum()
        root = _symmetric_root(self.C)
        cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
        return float(means + self.C.trace() + covariance.trace() - 2 * cross)

    def velocity(self, t: float | Tensor, y: Tensor, x_t: Tensor) -> Tensor:
        """The conditional optimal-transport velocity v(t, y, x_t), in float64.

        Args:
            t: time in [0, 1], one number or with shape `(n,)`.
            y: observations with shape `(n, d)`.
            x_t: points with shape `(n, d)`.
        """
        t = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1)
        mean = y.double() @ self.K.T
        eigenvalues, V = torch.linalg.eigh(self.C)
        scale = eigenvalues.sqrt()
        z = (x_t.double() - t * mean) @ V / (1 - t + t * scale)
        v: Tensor = mean + z * (scale - 1) @ V.T
        return v


def _operator(d: int, generator: Generator) -> Tensor:
    """A with random singular vectors; singular values from 1 down to the smallest one."""
    exponent = torch.linspace(0, 1, d, dtype=torch.float64)
    return (_rotation(d, generator) * SMALLEST_SINGULAR_VALUE**exponent) @ _rotation(d, generator)


def _rotation(d: int, generator: Generator) -> Tensor:
    """Haar-distributed orthogonal matrix; positive diagonal of R makes the QR unique."""
    Q, R = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator))
    rotation: Tensor = Q * R.diagonal().sign()
    return rotation


def _symmetric_root(C: Tensor) -> Tensor:
    eigenvalues, V = torch.linalg.eigh(C)
    root: Tensor = V * eigenvalues.clamp(min=0).sqrt() @ V.T
    return root
