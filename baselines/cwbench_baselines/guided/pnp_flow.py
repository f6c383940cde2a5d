"""PnP-Flow: a gradient step on the misfit, noise along the flow's path, its denoiser; in turn.

    z = x - gamma_t A^T (A x - y) / s^2,   x = mean_j D(t z + (1 - t) e_j),   t from 0 to 1

with gamma_t = step (1 - t)^a s^2 over the operator's largest squared singular value, by which the
authors do not divide. D is the denoiser at alpha = t, sigma = 1 - t, which for a flow
of straight paths is x + (1 - t) v. It estimates one point, not a posterior: the control that has to
score as collapsed.

PnP-Flow: Plug-and-Play Image Restoration with Flow Matching (Martin, Gagneux, Hagemann, Steidl,
2025), https://arxiv.org/abs/2410.02423
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench.method import MethodInfo
from cwbench_baselines.guided.sampler import GuidedParams, GuidedSampler, Problem

EARLIEST = 1e-2
"""t at the first step, where the path is nearly noise."""


class PnPFlowParams(GuidedParams):
    """Settings of PnP-Flow."""

    steps: int = Field(100, ge=1, description="times average: calls of the denoiser")
    average: int = Field(1, ge=1, description="noises that a step averages over")
    step: float = Field(1.0, gt=0, le=2, description="of the gradient, over its curvature")
    exponent: float = Field(0.5, ge=0, le=2, description="a, by which the step falls")


class PnPFlow(GuidedSampler):
    """Plug-and-play with a flow's denoiser."""

    info = MethodInfo(
        name="pnp-flow",
        version=2,
        title="Plug-and-play flow matching (PnP-Flow)",
        citation="martin2025pnp",
        notes="A point estimator: it bounds what ignoring the spread of the posterior costs.",
    )
    Params: ClassVar[type[PnPFlowParams]] = PnPFlowParams
    params: PnPFlowParams

    @property
    def particles(self) -> int:
        """Noises at a time."""
        return self.params.average

    def draw(self, problem: Problem) -> Tensor:
        """The point after the last step."""
        params, A = self.params, problem.operator
        largest = float(A.singular_values.S[0]) ** 2
        x = torch.zeros(len(problem), problem.size, dtype=torch.float64)
        for i in range(params.steps):
            t = EARLIEST + (1 - EARLIEST) * i / params.steps
            size = params.step * (1 - t) ** params.exponent / largest
            z = x - size * A.adjoint(A.forward(x) - problem.observed)
            e = problem.noise.normal(params.average, problem.size)
            noisy = (t * z[:, None] + (1 - t) * e).flatten(0, 1)
            D = problem.prior.denoise(noisy, t, 1 - t)
            x = D.unflatten(0, (-1, params.average)).mean(1)
        return x
