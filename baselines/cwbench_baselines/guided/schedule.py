"""Noise levels of reverse diffusion, and its step, for x_t = x_0 + k e.

Everything here is in variance-exploding form: x_t = alpha x_0 + sigma e divided by alpha, with
k = sigma / alpha. The chain of a variance-preserving schedule is the same one, its states scaled.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIGMA_MIN = 1e-3


def vp_levels(steps: int, alpha_min: float) -> Tensor:
    """The `steps + 1` levels k of alpha = alpha_min^(t^2), t from 1 to 0, of which the last is 0.

    With azula's sigma^2 = 1 - alpha^2 + 10^-6, whose k at t = 0 of 10^-3 is taken to 0.
    """
    t = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    alpha = (math.log(alpha_min) * t.square()).exp()
    k = (1 - alpha.square() + SIGMA_MIN**2).sqrt() / alpha
    return torch.cat([k[:-1], torch.zeros(1, dtype=torch.float64)])


def polynomial_levels(steps: int, high: float, low: float, rho: float = 7.0) -> Tensor:
    """`steps` levels from `high` to `low`, equally spaced in the root of order `rho`."""
    t = torch.linspace(0, 1, steps, dtype=torch.float64)
    ends = high ** (1 / rho), low ** (1 / rho)
    levels: Tensor = (ends[0] + t * (ends[1] - ends[0])).pow(rho)
    return levels


def bridge(x_t: Tensor, x_0: Tensor, k_t: float, k_s: float) -> tuple[Tensor, float]:
    """Mean and deviation of x_s given x_t and x_0, k_s < k_t.

    With x_0 drawn from X_0 | x_t the step is exact; with the denoiser's mean it is ancestral.
    """
    ratio = (k_s / k_t) ** 2
    return x_0 + ratio * (x_t - x_0), k_s * math.sqrt(1 - ratio)
