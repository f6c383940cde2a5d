"""The Gaussian-mixture inverse problem of the conditional Wasserstein paper.

Prior: equal Gaussians of deviation 0.1 with means uniform in [-1, 1]^d. Observation:
Y = A X + s E with A = diag(scale / (i + 1)), i = 0..d-1, E ~ N(0, I). The posterior is a Gaussian
mixture in closed form. The paper's noise of 0.1 leaves y saying little about x; the informative
variant, with noise 0.03, is where methods can differ. Both share the same mixture.

`instance` is the NumPy seed of the authors' script, whose means it reproduces. The default, 42, is
that of the script's option; its main loop runs over 0, 1 and 2, a new mixture each.

Source: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl, Wald, 2025), https://arxiv.org/abs/2403.18705
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Generator, Tensor

from cwbench.known.operator import LinearOperator
from cwbench.preset import vector_presets
from cwbench.samples import JointSamples, MixturePosterior, MixturePrior
from cwbench.task import Params, Task, TaskInfo
from cwbench_tasks.mixtures import (
    linear_posterior,
    linear_residual,
    sample_mixture,
    sample_prior,
)

COMPONENT_DEVIATION = 0.1

PAPER = {
    "training_pairs": 10_000,
    "validation_pairs": 2_000,
    "standardise": False,
    "steps": 50_000,
    "batch_size": 200,
    "width": 256,
    "depth": 3,
    "activation": "leaky-relu",
    "learning_rate": 1e-4,
    "decay": False,
    "observations": 100,
    "samples": 1000,
    "nfe": (3, 10),
    "metrics": ("sinkhorn-paper",),
}


class GaussianMixtureParams(Params):
    """Settings of `GaussianMixture`."""

    dimension: int = Field(5, ge=1, le=512, description="d, of x and of y")
    components: int = Field(10, ge=1, le=1000, description="equal Gaussians in the prior")
    noise: float = Field(0.1, ge=1e-4, le=10, description="standard deviation s of the noise")
    scale: float = Field(0.1, gt=0, le=100, description="of the operator diag(scale / (i + 1))")
    instance: int = Field(42, ge=0, lt=2**32, description="NumPy seed of the prior's means")


class GaussianMixtureInformativeParams(GaussianMixtureParams):
    """Settings of `GaussianMixtureInformative`."""

    noise: float = Field(0.03, ge=1e-4, le=10, description="standard deviation s of the noise")


class GaussianMixture(Task):
    """Gaussian-mixture prior, diagonal operator, Gaussian noise: the paper's setting."""

    info = TaskInfo(
        name="gaussian-mixture",
        version=1,
        title="Gaussian-mixture inverse problem (noise 0.1)",
        main_metric="ew2sq",
        licence="MIT",
        citation="chemseddine2025conditional",
        presets=vector_presets(paper=PAPER),
        group="mixture",
        informative=False,
        notes="The paper draws a new mixture for each seed; here it belongs to the task.",
    )
    Params = GaussianMixtureParams
    params: GaussianMixtureParams

    def __init__(self, params: BaseModel | None = None) -> None:
        super().__init__(params)
        d, K = self.params.dimension, self.params.components
        uniform = np.random.RandomState(self.params.instance).uniform(size=(K, d))
        self.prior = MixturePrior(
            torch.full((K,), 1 / K, dtype=torch.float64),
            torch.from_numpy(2 * uniform - 1),
            (COMPONENT_DEVIATION**2 * torch.eye(d, dtype=torch.float64)).expand(K, d, d),
        )
        self.A = torch.diag(self.params.scale / torch.arange(1, d + 1, dtype=torch.float64))

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
        x = sample_prior(self.prior, n, generator)
        noise = torch.randn(n, *self.y_shape, dtype=torch.float64, generator=generator)
        y = x @ self.A.T + self.params.noise * noise
        return JointSamples(x.float(), y.float())

    def posterior_mixture(self, y: Tensor) -> MixturePosterior:
        """The posterior: as many Gaussians as the prior has."""
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


class GaussianMixtureInformative(GaussianMixture):
    """The same mixture seen through noise of 0.03: about two modes remain."""

    info = TaskInfo(
        name="gaussian-mixture-informative",
        version=1,
        title="Gaussian-mixture inverse problem (noise 0.03)",
        main_metric="ew2sq",
        licence="MIT",
        citation="chemseddine2025conditional",
        presets=vector_presets(),
        group="mixture",
    )
    Params = GaussianMixtureInformativeParams
    params: GaussianMixtureInformativeParams
