"""Conditional diffusion in the EDM formulation: a denoiser, and Heun's method on Karras' schedule.

    min E_{x, y, sigma, n} lambda(sigma) |D(x + n; sigma, y) - x|^2,   n ~ N(0, sigma^2 I),
    D(x; sigma, y) = c_skip x + c_out F(c_in x, c_noise, y),

as `denoising` has it: x is centred and divided by its deviation, pooled over the entries of an
image as in the paper.
Samples solve the probability-flow ODE dx/dsigma = (x - D(x; sigma, y)) / sigma
from sigma_max to 0, on sigma(t) = (sigma_max^(1/rho) (1 - t) + sigma_min^(1/rho) t)^rho. There
Heun's second-order step uses two evaluations and the last step, to 0, Euler's one: an odd NFE. An
even one makes the last step of the schedule Euler's too. Below `HEUN_FROM` evaluations Heun's
correction would take the slope where sigma is many times smaller, whose errors the long step
multiplies: all steps are Euler's there (which is DDIM). `adaptive` is dopri5 in t, then one Euler
step to 0. The noise is Gaussian here whatever the task's latents are.

Elucidating the Design Space of Diffusion-Based Generative Models (Karras, Aittala, Aila, Laine,
2022), https://arxiv.org/abs/2206.00364
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, MethodInfo, State, some_of
from cwbench.ot.scaling import Scaling
from cwbench.preset import NFE
from cwbench.training.networks import Condition
from cwbench.training.ode import integrate, whole_observations
from cwbench_baselines.denoising import Denoiser, DenoiserParams, train

HEUN_FROM = 24
"""The fewest evaluations at which steps are Heun's, found by `python -m benchmarks.heun`."""


class DiffusionParams(DenoiserParams):
    """Settings of the diffusion model; noise levels in deviations of x."""

    noise_mean: float = Field(0.3, description="mean of log sigma in training")
    sigma_min: float = Field(0.004, gt=0, description="smallest noise of the schedule")
    sigma_max: float = Field(80.0, gt=0, description="largest noise of the schedule")
    rho: float = Field(7.0, gt=0, description="exponent of the schedule")

    @model_validator(mode="after")
    def _ordered(self) -> DiffusionParams:
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must lie below sigma_max")
        return self


class Diffusion(Method):
    """A denoiser, sampled along the probability-flow ODE."""

    info = MethodInfo(
        name="diffusion",
        version=3,
        title="Conditional diffusion (EDM)",
        citation="karras2022elucidating",
        nfe=True,
    )
    Params: ClassVar[type[DiffusionParams]] = DiffusionParams
    params: DiffusionParams
    heun_from: int = HEUN_FROM

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Regress clean data on noisy ones."""
        spec, params = self.spec, self.params
        condition = Condition.fitted(spec, data, context)
        network = context.network((spec.x_size, 1, condition.size), spec.x_size)
        self.denoiser = Denoiser(network, condition, spec.x_size)
        pooled = len(spec.x_shape) > 1 or not context.standardise
        self.denoiser.fit_scale(some_of(data).x.flatten(1), pooled=pooled)
        self.denoiser.to(context.device)
        train(self.denoiser, context, params)

    def sigma(self, t: Tensor) -> Tensor:
        """Karras' schedule: sigma_max at t = 0, sigma_min at t = 1."""
        high, low = self._roots()
        sigma: Tensor = torch.pow(high + t * (low - high), self.params.rho)
        return sigma

    def _roots(self) -> tuple[float, float]:
        """sigma_max^(1 / rho) and sigma_min^(1 / rho)."""
        params = self.params
        return params.sigma_max ** (1 / params.rho), params.sigma_min ** (1 / params.rho)

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Solve the ODE from Gaussian noise, whole observations at a time."""
        noise = torch.randn(len(y) * n, self.spec.x_size, generator=generator)
        x = [self._solve(*chunk, nfe or "adaptive") for chunk in whole_observations(noise, y, n)]
        return torch.cat(x).cpu().reshape(len(y), n, *self.spec.x_shape)

    def _solve(self, noise: Tensor, y: Tensor, nfe: NFE) -> Tensor:
        device = self.spec.device
        condition = self.denoiser.condition(y.to(device))

        def slope(x: Tensor, sigma: Tensor) -> Tensor:
            """The slope dx / dsigma."""
            slope: Tensor = (x - self.denoiser(x, sigma.expand(len(x)), condition)) / sigma
            return slope

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            """The velocity dx / dt along the schedule."""
            sigma, (high, low) = self.sigma(t), self._roots()
            speed = self.params.rho * (low - high) * sigma ** (1 - 1 / self.params.rho)
            return slope(x, sigma) * speed

        x = noise.to(device) * self.params.sigma_max
        if nfe == "adaptive":
            x = integrate(velocity, x, "adaptive")
            last = self.sigma(torch.ones((), device=device))
            x = x - last * slope(x, last)
        else:
            corrected = (nfe - 1) // 2 if nfe >= self.heun_from else 0
            x = heun(slope, x, self.levels(nfe - corrected).to(device), corrected)
        return Scaling(self.denoiser.mean, self.denoiser.deviation).inverse(x)

    def levels(self, steps: int) -> Tensor:
        """The noise levels between `steps` steps, the last of which is to 0."""
        t = torch.linspace(0, 1, steps) if steps > 1 else torch.zeros(1)
        return torch.cat([self.sigma(t), torch.zeros(1)])

    def state_dict(self) -> State:
        """The denoiser with the scales of x and of the condition."""
        return self.denoiser.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Rebuild the denoiser."""
        condition = Condition.of(self.spec)
        network = self.spec.network((self.spec.x_size, 1, condition.size), self.spec.x_size)
        self.denoiser = Denoiser(network, condition, self.spec.x_size).to(self.spec.device)
        self.denoiser.load_state_dict(dict(state))


def heun(
    slope: Callable[[Tensor, Tensor], Tensor], x: Tensor, levels: Tensor, corrected: int
) -> Tensor:
    """Integrate dx/dsigma along falling `levels`; the first `corrected` steps are Heun's.

    The others are Euler's, as the last has to be if `levels` end at 0, where there is no slope.
    """
    for step, (sigma, following) in enumerate(pairwise(levels)):
        first = slope(x, sigma)
        ahead = x + (following - sigma) * first
        if step < corrected:
            ahead = x + (following - sigma) * (first + slope(ahead, following)) / 2
        x = ahead
    return x
