"""Markov chain Monte Carlo in the latent space of a model that was trained without y.

The model is x = T(z), z ~ N(0, I): the probability-flow ODE of the prior's denoiser, `sigma_max`
to 0, in `ode_steps` Euler steps. Chains have the target N(z; 0, I) p(y | T(z)), by preconditioned
Crank-Nicolson moves,

    z' = (1 - b^2)^(1/2) z + b e,   accepted with probability min(1, p(y | T(z')) / p(y | T(z))),

which leave N(0, I) as it is. No gradient is followed, so that any likelihood will do. A draw is the
end of a chain of its own, from z ~ N(0, I): draws are independent, and the length of the chain is
their cost. During its first half each chain widens or narrows b towards an acceptance of `accepted`
and the likelihood is tempered, its exponent growing to 1; the second half leaves the target as it
is. What a chain shorter than its mixing time leaves is bias towards the prior. Euler's steps
shrink: of a prior N(0, 1) T makes a deviation of .77 at the defaults, of .89 with 10 steps and,
from a level of 10 on, of .84, .92 and .97 with 10, 20 and 50, and chains end in the posterior of
that. With a learned prior and 1,000 calls a draw more moves gain more than better ones.

MCMC Methods for Functions: Modifying Old Algorithms to Make Them Faster (Cotter, Roberts, Stuart,
White, 2013), https://doi.org/10.1214/13-STS421
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench.known.classes import Need
from cwbench.method import MethodInfo, ProblemSpec
from cwbench_baselines.guided.daps import denoised
from cwbench_baselines.guided.sampler import GuidedParams, GuidedSampler, Problem

WIDEST, NARROWEST = 1.0, 1e-3
"""Moves b: the widest is a fresh draw of the prior."""


class LatentMCMCParams(GuidedParams):
    """Settings of Markov chains in latent space."""

    moves: int = Field(201, ge=1, description="of the chain of a draw")
    ode_steps: int = Field(5, ge=1, description="of T; times moves + 1: calls of the denoiser")
    sigma_max: float = Field(3.0, gt=0, description="noise at which T begins")
    accepted: float = Field(0.3, gt=0, lt=1, description="share of moves that is aimed at")


class LatentMCMC(GuidedSampler):
    """Preconditioned Crank-Nicolson on the latents of the prior's flow."""

    info = MethodInfo(
        name="latent-mcmc",
        version=2,
        title="Latent MCMC (preconditioned Crank-Nicolson)",
        citation="cotter2013mcmc",
    )
    Params: ClassVar[type[LatentMCMCParams]] = LatentMCMCParams
    params: LatentMCMCParams
    uses: ClassVar[frozenset[Need]] = frozenset({"likelihood"})

    @classmethod
    def unsupported(cls, spec: ProblemSpec) -> str | None:
        """Nothing: it follows no gradient."""
        return None

    def draw(self, problem: Problem) -> Tensor:
        """The end of each chain."""
        moves, tempered = self.params.moves, self.params.moves // 2
        z = problem.noise.normal(problem.size)
        x, fit = self._decoded(problem, z)
        width = torch.full((len(z), 1), WIDEST / 2, dtype=torch.float64)
        for i in range(moves):
            share = min(1.0, (i + 1) / (tempered + 1))
            z_new = (1 - width**2).sqrt() * z + width * problem.noise.normal(problem.size)
            x_new, fit_new = self._decoded(problem, z_new)
            accept = problem.noise.uniform(1)[:, 0].log() < share**2 * gained(fit_new, fit)
            fit = torch.where(accept, fit_new, fit)
            z, x = (torch.where(accept[:, None], a, b) for a, b in ((z_new, z), (x_new, x)))
            if i < tempered:
                off = accept[:, None].double() - self.params.accepted
                width = (width * (off / math.sqrt(i + 1)).exp()).clamp(NARROWEST, WIDEST)
        return x

    def _decoded(self, problem: Problem, z: Tensor) -> tuple[Tensor, Tensor]:
        """The pair T(z) `(n, d)` and log p(y | T(z)) `(n,)`."""
        k = self.params.sigma_max
        x = denoised(problem, math.hypot(1, k) * z, k, self.params.ode_steps)
        return x, problem.likelihood(x)


def gained(new: Tensor, old: Tensor) -> Tensor:
    """The log ratio of likelihoods; where neither x can have given y, it is 0."""
    return torch.where(new == old, 0.0, new - old)
