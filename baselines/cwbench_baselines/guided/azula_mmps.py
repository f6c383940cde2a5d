"""Moment-matching posterior sampling as the azula library has it, unchanged, by ancestral steps.

    D_y = D + (sigma^2 / alpha) J^T A^T u,   (s^2 I + A (sigma^2 / alpha) J^T A^T) u = y - A D

with as many iterations of GMRES as are asked for, by default one, which is azula's; `mmps` iterates
until the system is solved.

Learning Diffusion Priors from Observations by Expectation Maximization (Rozet, Andry, Lanusse,
Louppe, 2024), https://arxiv.org/abs/2405.13712
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from cwbench.method import MethodInfo
from cwbench_baselines.guided.azula_peer import (
    AzulaParams,
    AzulaSampler,
    HandedDenoiser,
    handed_operator,
)
from cwbench_baselines.guided.sampler import Problem


class AzulaMMPSParams(AzulaParams):
    """Settings of azula's moment-matching posterior sampling."""

    iterations: int = Field(1, ge=1, le=1_000, description="of the linear solver, in each step")


class AzulaMMPS(AzulaSampler):
    """`azula.guidance.MMPSDenoiser` under `azula.sample.DDPMSampler`."""

    info = MethodInfo(
        name="azula-mmps",
        version=1,
        title="MMPS of azula (one iteration of its linear solver)",
        citation="rozet2024azula, rozet2024learning",
    )
    Params: ClassVar[type[AzulaMMPSParams]] = AzulaMMPSParams
    params: AzulaMMPSParams

    def guided(self, denoiser: HandedDenoiser, problem: Problem) -> Any:
        """DDPM steps of the guided denoiser."""
        azula, A = self.azula(), problem.operator
        noise = azula.linalg.covariance.IsotropicCovariance(A.noise**2)
        guided = azula.guidance.MMPSDenoiser(
            denoiser, problem.observed, handed_operator(A), noise, iterations=self.params.iterations
        )
        return azula.sample.DDPMSampler(guided, **self.options)
