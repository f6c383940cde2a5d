"""Populations of particles, one for each draw, so that draws are independent."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from cwbench_baselines.guided.ancestral import AncestralParams


class PopulationParams(AncestralParams):
    """Settings of samplers with a population for each draw."""

    steps: int = Field(20, ge=1, le=100_000, description="steps; times particles: denoiser calls")
    alpha_min: float = Field(
        0.03, gt=0, lt=1, description="scale of x_0 at the noisy end of the schedule"
    )
    particles: int = Field(5, ge=1, le=100_000, description="of the population of a draw")


def resampled(log_weights: Tensor, uniform: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
    """Systematic resampling of each population; afterwards all weights are equal.

    Args:
        log_weights: with shape `(n, P)`.
        uniform: one number in [0, 1) for each population, `(n, 1)`.
        parts: what goes with the particles, `(n, P, ...)`.
    """
    P = log_weights.shape[1]
    steps = (torch.arange(P, dtype=uniform.dtype) + uniform) / P
    chosen = _at(log_weights, steps)
    row = torch.arange(len(chosen))[:, None]
    return tuple(part[row, chosen] for part in parts)


def picked(log_weights: Tensor, uniform: Tensor, particles: Tensor) -> Tensor:
    """One particle of each population `(n, P, d)` by its weight, `(n, d)`."""
    return particles[torch.arange(len(particles)), _at(log_weights, uniform)[:, 0]]


def effective_size(log_weights: Tensor) -> Tensor:
    """The effective sample size of each population, `(n,)`, from 1 to P."""
    return 1 / log_weights.softmax(1).square().sum(1)


def _at(log_weights: Tensor, levels: Tensor) -> Tensor:
    """The particles at which the cumulated weights reach `levels` `(n, m)`."""
    cumulated = log_weights.softmax(1).cumsum(1)
    cumulated = cumulated / cumulated[:, -1:]
    return torch.searchsorted(cumulated, levels, right=True).clamp_max(log_weights.shape[1] - 1)
