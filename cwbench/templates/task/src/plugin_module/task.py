"""Two numbers seen through their noisy sum.

X ~ N(0, I_2) and Y = x_1 + x_2 + s E with E ~ N(0, 1). Then X | Y = y ~ N(k y (1, 1), I - k 1 1^T)
with k = 1 / (2 + s^2).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from cwbench import JointSamples, Moments, Params, Task, TaskInfo, vector_presets


class PluginClassParams(Params):
    """Settings: `cwbench run --set task.noise=0.5`."""

    noise: float = Field(0.1, gt=0, le=10, description="standard deviation s of the noise")


class PluginClass(Task):
    """Gaussian prior, a noisy sum, Gaussian posteriors along the line of equal sum."""

    info = TaskInfo(
        name="plugin-name",
        version=1,
        title="Two numbers seen through their sum",
        main_metric="ew2sq",
        licence="MIT",
        citation="@misc{plugin_module, title = {plugin-name}, year = {plugin-year}}",
        presets=vector_presets(),
    )
    Params: ClassVar[type[PluginClassParams]] = PluginClassParams
    params: PluginClassParams

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Two numbers."""
        return (2,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Their sum."""
        return (1,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` pairs."""
        x = torch.randn(n, 2, generator=generator)
        noise = torch.randn(n, 1, generator=generator)
        return JointSamples(x, x.sum(1, keepdim=True) + self.params.noise * noise)

    def posterior_moments(self, y: Tensor) -> Moments:
        """Mean `(m, 2)` and covariance `(m, 2, 2)` of the posterior, float64."""
        k = 1 / (2 + self.params.noise**2)
        covariance = torch.eye(2, dtype=torch.float64) - k
        return Moments(k * y.double().expand(-1, 2), covariance.expand(len(y), 2, 2))

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        """Draw `n` samples for each row of `y`, with shape `(m, n, 2)`."""
        mean, covariance = self.posterior_moments(y)
        noise = torch.randn(len(y), n, 2, dtype=torch.float64, generator=generator)
        x: Tensor = mean[:, None] + noise @ torch.linalg.cholesky(covariance).mT
        return x.float()
