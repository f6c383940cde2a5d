"""Ancestral sampling with a denoiser that is guided by y, for methods that differ in the guidance.

    x_s ~ N(D_y + (k_s / k_t)^2 (x_t - D_y), k_s^2 (1 - (k_s / k_t)^2)),  D_y ~ E[X_0 | x_t, y]

from k of alpha_min to 0. In this form, x_t = x_0 + k e, a score term g on x_t moves the denoiser
by k^2 g (Tweedie's formula). No noise is added at the last step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench_baselines.guided.sampler import GuidedParams, GuidedSampler, Problem
from cwbench_baselines.guided.schedule import bridge, vp_levels


class AncestralParams(GuidedParams):
    """Settings of guided ancestral sampling."""

    steps: int = Field(100, ge=1, le=100_000, description="calls of the denoiser a sample")
    alpha_min: float = Field(
        1e-2, gt=0, lt=1, description="scale of x_0 at the noisy end of the schedule"
    )


class AncestralSampler(GuidedSampler):
    """The loop; a method adds `guided`."""

    Params: ClassVar[type[AncestralParams]] = AncestralParams
    params: AncestralParams

    @abstractmethod
    def guided(self, problem: Problem, x: Tensor, k: float, following: float) -> Tensor:
        """The estimate D_y of E[X_0 | x_t = x, y] with shape `(n, d)`.

        Args:
            problem: of the rows of x.
            x: with shape `(n, d)`; gradients are off.
            k: its level of noise.
            following: the level of the next step.
        """

    def draw(self, problem: Problem) -> Tensor:
        """Follow the levels down."""
        levels = vp_levels(self.params.steps, self.params.alpha_min).tolist()
        x = start(problem, levels[0])
        for k, following in pairwise(levels):
            estimate = self.guided(problem, x, k, following)
            mean, deviation = bridge(x, estimate, k, following)
            x = mean + deviation * problem.noise.normal(problem.size) if deviation else mean
        return x


def start(problem: Problem, k: float, *particles: int) -> Tensor:
    """x_0 + k e for an x_0 of unit variance, with shape `(n, *particles, d)`."""
    return math.hypot(1, k) * problem.noise.normal(*particles, problem.size)


def with_gradient(problem: Problem, x: Tensor, k: float) -> tuple[Tensor, Tensor]:
    """The same x with a gradient, and E[X_0 | x] as a function of it."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return x, problem.denoise(x, k)


def pulled(x: Tensor, estimate: Tensor, v: Tensor, *, again: bool = False) -> Tensor:
    """J^T v, J the Jacobian of `estimate` in x, with shape `(n, d)`; `again` if asked for again."""
    (product,) = torch.autograd.grad(estimate, x, v, retain_graph=again)
    return product
