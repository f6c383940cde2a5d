"""Diffusion posterior sampling as the azula library has it, unchanged, `CHUNK` draws at a time.

    x_s <- x_s - zeta grad_{x_t} ||y - A D(x_t)||

with one norm over all draws of a chunk, as the authors' own code: the step of a draw is shorter the
more are made with it, by about the root of their number, so that draws are not independent and
their law is another one where few are made. That fails the check `independent-draws`; `dps` takes
the norm of each draw. zeta is in units of y and azula's default.

Diffusion Posterior Sampling for General Noisy Inverse Problems (Chung, Kim, Mccann, Klasky, Ye,
2023), https://arxiv.org/abs/2209.14687
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

CHUNK = 50
"""A part of the draws that each preset has of an observation, so that no chunk has two of them."""


class AzulaDPSParams(AzulaParams):
    """Settings of azula's diffusion posterior sampling."""

    zeta: float = Field(1.0, gt=0, description="the step on the norm of all draws of a chunk")


class AzulaDPS(AzulaSampler):
    """`azula.guidance.DPSSampler`."""

    info = MethodInfo(
        name="azula-dps",
        version=1,
        title=f"DPS of azula, {CHUNK} draws at a time (fails the check independent-draws)",
        citation="rozet2024azula, chung2023diffusion",
    )
    excused: ClassVar = {
        "independent-draws": "azula's step has one norm for all that is drawn at once"
    }
    Params: ClassVar[type[AzulaDPSParams]] = AzulaDPSParams
    params: AzulaDPSParams
    together = CHUNK

    def guided(self, denoiser: HandedDenoiser, problem: Problem) -> Any:
        """DDPM steps, each followed by one on the norm."""
        A = handed_operator(problem.operator)
        zeta = self.params.zeta
        return self.azula().guidance.DPSSampler(
            denoiser, problem.observed, A, zeta=zeta, **self.options
        )
