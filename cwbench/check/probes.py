"""Small problems with exact posteriors in which x depends strongly on y: methods are tried on them.

probe-vector   x in R^3,            y = A x + .2 e in R^4, X and e standard normal
probe-labels   x in R^3,            y one of three classes, X = mean(y) + .3 e
probe-images   x of shape 1 x 4 x 4, y = x + .2 e, X = 2 s P + .3 e with a fixed pattern P
"""

from __future__ import annotations

import torch
from pydantic import BaseModel
from torch import Generator, Tensor

from cwbench.known.operator import LinearOperator
from cwbench.preset import Preset
from cwbench.samples import JointSamples, MixturePrior, Moments
from cwbench.task import Task, TaskInfo

SMALL = Preset.model_validate(
    {
        "training_pairs": 2_000, "steps": 200, "batch_size": 100, "width": 64, "depth": 2,
        "observations": 20, "samples": 100, "nfe": (4,),
    }
)  # fmt: skip
NOISE, SPREAD = 0.2, 0.3


def declared(name: str, title: str) -> TaskInfo:
    """The declaration of a small problem."""
    return TaskInfo(
        name=name, version=1, title=title, main_metric="ew2sq", licence="MIT", citation="",
        presets={"smoke": SMALL},
    )  # fmt: skip


class LinearProbe(Task):
    """X ~ N(0, P), Y = A X + s E: the posterior is N(K y, C), in closed form."""

    def __init__(self, A: Tensor, P: Tensor, params: BaseModel | None = None) -> None:
        super().__init__(params)
        self.P = P.double()
        self.A, self.L = A.double(), torch.linalg.cholesky(P.double())
        S = self.A @ P.double() @ self.A.T + NOISE**2 * torch.eye(len(A)).double()
        self.K = torch.linalg.solve(S, self.A @ P.double()).mT
        self.C = P.double() - self.K @ self.A @ P.double()

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs."""
        x = torch.randn(n, self.A.shape[1], dtype=torch.float64, generator=generator) @ self.L.T
        e = torch.randn(n, self.A.shape[0], dtype=torch.float64, generator=generator)
        y = x @ self.A.T + NOISE * e
        return JointSamples(
            x.float().reshape(n, *self.x_shape), y.float().reshape(n, *self.y_shape)
        )

    def linear_operator(self) -> LinearOperator:
        """A and s."""
        return LinearOperator(self.A, NOISE)

    def prior_mixture(self) -> MixturePrior:
        """N(0, P)."""
        one = torch.ones(1, dtype=torch.float64)
        return MixturePrior(one, torch.zeros(1, len(self.P), dtype=torch.float64), self.P[None])

    def posterior_moments(self, y: Tensor) -> Moments:
        """K y, and the same C for every y."""
        return Moments(y.flatten(1).double() @ self.K.T, self.C.expand(len(y), *self.C.shape))

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw from N(K y, C), with shape `(m, n, *x_shape)`."""
        e = torch.randn(len(y), n, len(self.C), dtype=torch.float64, generator=generator)
        draws: Tensor = (
            self.posterior_moments(y).mean[:, None] + e @ torch.linalg.cholesky(self.C).T
        )
        return draws.float().reshape(len(y), n, *self.x_shape)


class VectorProbe(LinearProbe):
    """A vector seen through a tall matrix."""

    info = declared("probe-vector", "Probe with a vector y")
    x_shape, y_shape = (3,), (4,)

    def __init__(self, params: BaseModel | None = None) -> None:
        A = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0], [1.0, 1.0, 1.0]])
        super().__init__(A, torch.eye(3), params)


class ImageProbe(LinearProbe):
    """Noisy images of one pattern in changing strength."""

    info = declared("probe-images", "Probe with images")
    x_shape = y_shape = (1, 4, 4)

    def __init__(self, params: BaseModel | None = None) -> None:
        pattern = torch.linspace(-1.0, 1.0, 16)
        P = 4.0 * torch.outer(pattern, pattern) + SPREAD**2 * torch.eye(16)
        super().__init__(torch.eye(16), P, params)


class LabelProbe(Task):
    """Three classes of vectors."""

    info = declared("probe-labels", "Probe with class labels")
    x_shape, y_shape = (3,), ()
    num_classes = 3
    means = torch.tensor([[1.0, 1.0, 0.0], [-1.0, 0.0, 1.0], [0.0, -1.0, -1.0]])

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs."""
        y = torch.randint(3, (n,), generator=generator)
        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)

    def posterior_moments(self, y: Tensor) -> Moments:
        """The mean of the class."""
        covariance = SPREAD**2 * torch.eye(3, dtype=torch.float64)
        return Moments(self.means[y].double(), covariance.expand(len(y), 3, 3))

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw around the mean of the class, with shape `(m, n, 3)`."""
        noise = torch.randn(len(y), n, 3, generator=generator)
        return self.means[y][:, None] + SPREAD * noise


PROBES: tuple[type[Task], ...] = (VectorProbe, LabelProbe, ImageProbe)
