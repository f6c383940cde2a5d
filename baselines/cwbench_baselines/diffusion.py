"""Conditional diffusion in the EDM formulation: a denoiser, and Heun's method on Karras' schedule.

    min E_{x, y, sigma, n} lambda(sigma) |D(x + n; sigma, y) - x|^2,   n ~ N(0, sigma^2 I),
    D(x; sigma, y) = c_skip x + c_out F(c_in x, c_noise, y),

with the preconditioning of the paper for data of unit deviation: x is centred and divided by its
deviation, pooled over the entries of an image as there.
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
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, MethodInfo, State, some_of
from cwbench.ot.scaling import Scaling
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition
from cwbench.training.ode import integrate, whole_observations

HEUN_FROM = 24
"""The fewest evaluations at which steps are Heun's, found by `python -m benchmarks.heun`."""


class DiffusionParams(Params):
    """Settings of the diffusion model; noise levels in deviations of x."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")
    ema: float = Field(0.99, ge=0, lt=1, description="decay of the averaged weights; 0 is off")
    noise_mean: float = Field(-0.5, description="mean of log sigma in training")
    noise_deviation: float = Field(1.2, gt=0, description="deviation of log sigma in training")
    sigma_min: float = Field(0.004, gt=0, description="smallest noise of the schedule")
    sigma_max: float = Field(80.0, gt=0, description="largest noise of the schedule")
    rho: float = Field(7.0, gt=0, description="exponent of the schedule")

    @model_validator(mode="after")
    def _ordered(self) -> DiffusionParams:
        if self.sigma_min >= self.sigma_max:
            raise ValueError("sigma_min must lie below sigma_max")
        return self


class Denoiser(nn.Module):
    """D(x; sigma, y) for x of mean 0 and deviation 1, and the scale of the data."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, condition: Condition, x_size: int) -> None:
        super().__init__()
        self.network, self.condition = network, condition
        self.register_buffer("mean", torch.zeros(x_size))
        self.register_buffer("deviation", torch.ones(x_size))

    def fit_scale(self, x: Tensor, *, pooled: bool) -> None:
        """Take means and deviations, or one for all, from training data `(n, x_size)`."""
        self.mean, deviation = Scaling.pooled(x) if pooled else Scaling.of(x)
        self.deviation = deviation.expand_as(self.mean).clone()

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """The estimate of clean x `(n, x_size)` at noise `(n,)`, condition `(n, size)`."""
        sigma = sigma[:, None]
        total = (1 + sigma**2).sqrt()
        c_skip, c_out, c_in, c_noise = 1 / total**2, sigma / total, 1 / total, sigma.log() / 4
        F = self.network(torch.cat([c_in * x, c_noise, condition], 1))
        clean: Tensor = c_skip * x + c_out * F
        return clean


class Diffusion(Method):
    """A denoiser, sampled along the probability-flow ODE."""

    info = MethodInfo(
        name="diffusion",
        version=2,
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
        trainer = Trainer(
            self.denoiser, context, learning_rate=params.learning_rate, average=params.ema
        )
        context.save({"trainer": trainer})

        def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            generator = context.generator("noise", step)
            noise = torch.randn(len(x), spec.x_size, generator=generator)
            level = torch.randn(len(x), generator=generator)
            return x.flatten(1), y, noise, level

        for batch in context.batches(prepare):
            trainer.step(self.loss(*batch))
        trainer.finish()

    def loss(self, x: Tensor, y: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """The weighted denoising error; `noise` and `level` are standard normal."""
        sigma = (self.params.noise_mean + self.params.noise_deviation * level).exp()
        clean = Scaling(self.denoiser.mean, self.denoiser.deviation)(x)
        noisy = clean + sigma[:, None] * noise
        error = self.denoiser(noisy, sigma, self.denoiser.condition(y)) - clean
        weight = (1 + sigma**2) / sigma**2
        loss: Tensor = (weight[:, None] * error.square()).mean()
        return loss

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
