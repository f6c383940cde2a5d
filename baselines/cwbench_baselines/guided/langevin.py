"""Annealed Langevin dynamics on score plus likelihood: the textbook baseline.

At each level k, falling, some steps x <- x + h g + sqrt(2 h) e with

    g = (D(x) - x) / k^2 + A^T (k^2 A A^T + s^2 I)^-1 (y - A x),   h = step * k^2 / 2

where k^2 A A^T is the noise that x still carries into A x; the authors' code divides by a multiple
of k^2 alone, whatever A and s. Biased at finite steps: nothing is accepted or rejected, and each
level starts from where the one before has stopped. The last state is the draw: no step denoises it.

Robust Compressed Sensing MRI with Deep Generative Priors (Jalal, Arvinte, Daras, Price, Dimakis,
Tamir, 2021), https://arxiv.org/abs/2108.01368, after Generative Modeling by Estimating Gradients of
the Data Distribution (Song, Ermon, 2019), https://arxiv.org/abs/1907.05600
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import start
from cwbench_baselines.guided.pigdm import misfit
from cwbench_baselines.guided.sampler import GuidedParams, GuidedSampler, Problem
from cwbench_baselines.guided.schedule import polynomial_levels


class LangevinParams(GuidedParams):
    """Settings of annealed Langevin dynamics."""

    levels: int = Field(100, ge=1, description="of noise; times steps: calls of the denoiser")
    steps: int = Field(1, ge=1, description="at each level")
    step: float = Field(1.5, gt=0, le=2, description="h over k^2 / 2")
    sigma_max: float = Field(10.0, gt=0, description="first level")
    sigma_min: float = Field(0.1, gt=0, description="last level")


class AnnealedLangevin(GuidedSampler):
    """Unadjusted Langevin steps at falling levels of noise."""

    info = MethodInfo(
        name="langevin",
        version=3,
        title="Annealed Langevin dynamics",
        citation="jalal2021robust",
    )
    Params: ClassVar[type[LangevinParams]] = LangevinParams
    params: LangevinParams

    def draw(self, problem: Problem) -> Tensor:
        """The state after the last level."""
        params = self.params
        levels = polynomial_levels(params.levels, params.sigma_max, params.sigma_min).tolist()
        x = start(problem, levels[0])
        for k in levels:
            h = params.step * k**2 / 2
            for _ in range(params.steps):
                _, pull = misfit(problem.operator, problem.observed, x, k**2)
                slope = (problem.denoise(x, k) - x) / k**2 + pull
                x = x + h * slope + (2 * h) ** 0.5 * problem.noise.normal(problem.size)
        return x
