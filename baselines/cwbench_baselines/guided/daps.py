"""Decoupled annealing: a clean draw near the denoised state, then noise again.

At each level k of the annealing: the probability-flow ODE from x_t down to x^, a few Euler steps;
Langevin steps on x_0 with the target N(x_0; x^, k^2 I) N(y; A x_0, tau^2 I); noise of the next
level. The published code has tau = .01 whatever the noise; here tau is the noise of y unless set.
The Langevin step is `step` over the target's largest curvature, so that no unit matters; it falls
in a line along the annealing, as published, here down to `decay` at the last level itself.
Published are 200 levels from 100 on and 5 Euler steps at each, which end at .01 whatever the level:
with `ode_steps=2` the second starts there, so that x^ is nearly the denoised mean of the first; at
the default of 1 it is that mean, and twice as many levels are left to a budget of calls.

Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing (Zhang, Chu, Berner,
Meng, Anandkumar, Song, 2025), https://arxiv.org/abs/2407.01521
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import start
from cwbench_baselines.guided.sampler import GuidedParams, GuidedSampler, Problem
from cwbench_baselines.guided.schedule import polynomial_levels

ODE_END = 1e-2
"""Noise at which the inner ODE ends in a last step to 0."""


class DAPSParams(GuidedParams):
    """Settings of decoupled annealing."""

    steps: int = Field(100, ge=1, description="levels; times ode_steps: calls of the denoiser")
    ode_steps: int = Field(1, ge=1, description="Euler steps from x_t to x^")
    langevin_steps: int = Field(100, ge=1, description="on x_0, at each level")
    step: float = Field(1.0, gt=0, le=1, description="first step over the largest curvature")
    decay: float = Field(0.01, gt=0, le=1, description="what is left of it at the last level")
    sigma_max: float = Field(3.0, gt=0, description="first level")
    sigma_min: float = Field(0.1, gt=0, description="last level")
    tau: float | None = Field(
        None, gt=0, description="deviation of y in the likelihood; the noise of y unless set"
    )


class DecoupledAnnealing(GuidedSampler):
    """Denoise, correct, add noise."""

    info = MethodInfo(
        name="daps",
        version=3,
        title="Decoupled annealing posterior sampling (DAPS)",
        citation="zhang2025improving",
    )
    Params: ClassVar[type[DAPSParams]] = DAPSParams
    params: DAPSParams

    def draw(self, problem: Problem) -> Tensor:
        """The clean draw at the last level."""
        params = self.params
        levels = polynomial_levels(params.steps, params.sigma_max, params.sigma_min).tolist()
        x = start(problem, levels[0])
        for i, (k, following) in enumerate(pairwise([*levels, 0.0])):
            clean = denoised(problem, x, k, params.ode_steps)
            share = i / max(1, len(levels) - 1)
            step = params.step * (1 - share + share * params.decay)
            clean = self._corrected(problem, clean, k, step)
            x = clean + following * problem.noise.normal(problem.size) if following else clean
        return x

    def _corrected(self, problem: Problem, centre: Tensor, k: float, step: float) -> Tensor:
        """Langevin steps on N(x_0; centre, k^2 I) p(y | x_0)."""
        A, x = problem.operator, centre
        tau = self.params.tau or A.noise
        size = step / (float(A.singular_values.S[0]) ** 2 / tau**2 + 1 / k**2)
        for _ in range(self.params.langevin_steps):
            pull = A.adjoint(problem.observed - A.forward(x)) / tau**2 + (centre - x) / k**2
            e = problem.noise.normal(problem.size)
            x = x + size * pull + (2 * size) ** 0.5 * e
        return x


def denoised(problem: Problem, x: Tensor, k: float, steps: int) -> Tensor:
    """The end of the probability-flow ODE dx/dk = (x - D) / k from x at level k, by Euler steps."""
    low = min(ODE_END, k / 2)
    inner = polynomial_levels(steps, k, low).tolist() if steps > 1 else [k]
    for here, following in pairwise([*inner, 0.0]):
        D = problem.denoise(x, here)
        x = D + following / here * (x - D)
    return torch.as_tensor(x)
