"""Twisted diffusion sampler: sequential Monte Carlo along the reverse diffusion.

Particles are weighted by a twist, an approximation of p(y | x_t), here that of `pigdm`,
N(y; A D(x_t), r_t^2 A A^T + s^2 I); the last weights have the exact p(y | x_0), so that the target
of the last population is the posterior, whatever the twist.

`ancestral`: steps of N(D + ..., ...) moved by the twist's gradient, with the weight of the move.
Exact as particles grow *for that discretised chain*, whose own law is the prior only as steps grow.
`exact`: draw X_0 | x_t from the task's own prior, then x_s from the Gaussian bridge. The chain has
the prior's law at any number of steps, and only particles remain.

Every draw has a population of its own, from which one particle is taken. It is resampled at each
step, as in the authors' code by default, systematically; the last step has no noise, so that its
particles are weighted and not moved.

Practical and Asymptotically Exact Conditional Sampling in Diffusion Models (Wu, Trippe, Naesseth,
Blei, Cunningham, 2023), https://arxiv.org/abs/2306.17775
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from cwbench.known.prior import ExactPrior
from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import (
    pulled,
    start,
    with_gradient,
)
from cwbench_baselines.guided.particles import PopulationParams, picked, resampled
from cwbench_baselines.guided.pigdm import misfit, spread_of
from cwbench_baselines.guided.sampler import GuidedSampler, Problem
from cwbench_baselines.guided.schedule import bridge, vp_levels


class TDSParams(PopulationParams):
    """Settings of the twisted diffusion sampler."""

    kernel: Literal["ancestral", "exact"] = Field(
        "ancestral", description="the reverse step; exact needs denoiser=exact"
    )

    @model_validator(mode="after")
    def _exact_kernel_of_exact_prior(self) -> TDSParams:
        if self.kernel == "exact" and self.denoiser != "exact":
            raise ValueError("kernel=exact draws X_0 | x_t: set denoiser=exact as well")
        return self


class TwistedDiffusionSampler(GuidedSampler):
    """Sequential Monte Carlo with a twist."""

    info = MethodInfo(
        name="tds",
        version=2,
        title="Twisted diffusion sampler (TDS)",
        citation="wu2023practical",
    )
    Params: ClassVar[type[TDSParams]] = TDSParams
    params: TDSParams

    @property
    def particles(self) -> int:
        """The setting."""
        return self.params.particles

    def draw(self, problem: Problem) -> Tensor:
        """A particle of the last population of each row."""
        P = self.params.particles
        levels = vp_levels(self.params.steps, self.params.alpha_min).tolist()
        population = Population(problem, P, exact=self.params.kernel == "exact")
        x = start(problem, levels[0], P)
        log_weights = torch.zeros(len(problem), P, dtype=torch.float64)
        for k, following in pairwise(levels):
            D, twist, slope = population.twisted(x, k)
            uniform = problem.noise.uniform(1)
            x, D, twist, slope = resampled(log_weights + twist, uniform, x, D, twist, slope)
            x, moved = population.stepped(x, D, slope, k, following)
            log_weights = moved - twist
        last = population.likelihood(x)
        return picked(log_weights + last, problem.noise.uniform(1), x)


class Population:
    """The particles of some draws; `x` has shape `(n, P, d)`."""

    def __init__(self, problem: Problem, particles: int, *, exact: bool) -> None:
        self.problem, self.P, self.exact = problem, particles, exact
        self.y = problem.observed.repeat_interleave(particles, 0)

    def twisted(self, x: Tensor, k: float) -> tuple[Tensor, Tensor, Tensor]:
        """The denoised, the log twist, and k^2 times its gradient in x; no gradient if `exact`."""
        flat, A = x.flatten(0, 1), self.problem.operator
        if self.exact:
            D = self.problem.denoise(flat, k)
            twist, _ = misfit(A, self.y, D, spread_of(k))
            return self._split(D), self._split(twist), torch.zeros_like(x)
        flat, D = with_gradient(self.problem, flat, k)
        twist, slope = misfit(A, self.y, D.detach(), spread_of(k))
        pull = k**2 * pulled(flat, D, slope)
        return self._split(D.detach()), self._split(twist), self._split(pull)

    def stepped(
        self, x: Tensor, D: Tensor, slope: Tensor, k: float, following: float
    ) -> tuple[Tensor, Tensor]:
        """The particles one level further, and the log of p(x_s | x_t) / q(x_s | x_t)."""
        if self.exact:
            D = self._drawn(x, k)
        mean, deviation = bridge(x, D, k, following)
        if not deviation:  # the last step has no noise that could be moved
            return mean, torch.zeros(x.shape[:2], dtype=torch.float64)
        share = 1 - (following / k) ** 2
        e = self.problem.noise.normal(self.P, self.problem.size)
        shift = share * slope / deviation
        log_ratio = (e.square() - (e + shift).square()).sum(-1) / 2
        return mean + deviation * (e + shift), log_ratio

    def likelihood(self, x: Tensor) -> Tensor:
        """Logarithm of p(y | x_0) up to a constant, `(n, P)`."""
        value, _ = misfit(self.problem.operator, self.y, x.flatten(0, 1), 0.0)
        return self._split(value)

    def _drawn(self, x: Tensor, k: float) -> Tensor:
        """X_0 | x_t."""
        prior = self.problem.prior
        assert isinstance(prior, ExactPrior)  # noqa: S101 - checked by the settings
        uniform = self.problem.noise.uniform(self.P).flatten()
        normal = self.problem.noise.normal(self.P, self.problem.size).flatten(0, 1)
        drawn = prior.drawn(x.flatten(0, 1), 1.0, k, uniform=uniform, normal=normal)
        return self._split(drawn)

    def _split(self, rows: Tensor) -> Tensor:
        split: Tensor = rows.unflatten(0, (-1, self.P))
        return split
