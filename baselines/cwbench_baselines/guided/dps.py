"""Diffusion posterior sampling: guidance by the misfit of the denoised state.

`norm`, as published: after the reverse step, in the variance-preserving x_t,

    x_s <- x_s - zeta grad_{x_t} ||y - A D(x_t)||

with the norm of each sample; the authors' code takes one norm over the batch, so that a draw
depends on its company. zeta is in units of the operator's largest singular value, so that no
result depends on the units of y. It has to be tuned at each number of steps, as all are equally
long: by `benchmarks.guided` .5 at 100 steps, 1.5 at 20.

`score`: grad log p(y | D(x_t)) as a score term. It takes D(x_t) for X_0 without its uncertainty,
so that it is wrong in the limit too: in one dimension with a prior N(0, 1), A = 1 and s = .5 its
variance tends to .125 and not to .2.

Diffusion Posterior Sampling for General Noisy Inverse Problems (Chung, Kim, Mccann, Klasky, Ye,
2023), https://arxiv.org/abs/2209.14687
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from cwbench.known.classes import Need
from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import (
    AncestralParams,
    AncestralSampler,
    pulled,
    with_gradient,
)
from cwbench_baselines.guided.sampler import Problem

TINY = 1e-12


class DPSParams(AncestralParams):
    """Settings of diffusion posterior sampling."""

    guidance: Literal["norm", "score"] = Field(
        "norm", description="the published step on the norm, or the gradient as a score term"
    )
    zeta: float = Field(0.5, gt=0, description="the step on the norm; 1.5 at 20 steps")

    def idle_settings(self) -> Mapping[str, str]:
        """As a score term the gradient has its own length."""
        return {"zeta": "guidance=norm"} if self.guidance == "score" else {}


class DiffusionPosteriorSampling(AncestralSampler):
    """Ancestral steps with DPS's guidance."""

    info = MethodInfo(
        name="dps",
        version=2,
        title="Diffusion posterior sampling (DPS)",
        citation="chung2023diffusion",
    )
    Params: ClassVar[type[DPSParams]] = DPSParams
    params: DPSParams

    @classmethod
    def needs(cls, params: BaseModel) -> frozenset[Need]:
        """The operator for the norm, the likelihood alone for the score."""
        score = getattr(params, "guidance", "norm") == "score"
        used: frozenset[Need] = frozenset({"likelihood"} if score else {"operator"})
        return (super().needs(params) - cls.uses) | used

    def guided(self, problem: Problem, x: Tensor, k: float, following: float) -> Tensor:
        """The denoiser moved along the gradient."""
        x, D = with_gradient(problem, x, k)
        if self.params.guidance == "score":
            moved = k**2 * pulled(x, D, slope_of(problem, D.detach()))
            return D.detach() + moved
        A = problem.operator
        misfit = problem.observed - A.forward(D.detach())
        norm = misfit.norm(dim=1, keepdim=True).clamp_min(TINY)
        uphill = pulled(x, D, -A.adjoint(misfit / norm)) / A.singular_values.S[0]
        alphas = 1 / (math.hypot(1, k) * math.hypot(1, following))  # of the preserving form
        share = 1 - (following / k) ** 2  # what a move of the denoiser moves x_s by
        return D.detach() - self.params.zeta / (alphas * share) * uphill


def slope_of(problem: Problem, x: Tensor) -> Tensor:
    """The gradient of log p(y | x) at x, `(n, d)`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(problem.likelihood(x).sum(), x)
    return slope
