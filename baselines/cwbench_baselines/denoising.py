"""A denoiser and the loop that fits it, for data of unit deviation.

    min E_{x, y, sigma, n} lambda(sigma) |D(x + n; sigma, y) - x|^2,   n ~ N(0, sigma^2 I),
    D(x; sigma, y) = c_skip x + c_out F(c_in x, c_noise, y)

Elucidating the Design Space of Diffusion-Based Generative Models (Karras, Aittala, Aila, Laine,
2022), https://arxiv.org/abs/2206.00364
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from cwbench.method import FitContext
from cwbench.ot.scaling import Scaling
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition


class DenoiserParams(Params):
    """Settings of the fit; noise levels in deviations of x."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")
    ema: float = Field(0.99, ge=0, lt=1, description="decay of the averaged weights; 0 is off")
    noise_mean: float = Field(-0.5, description="mean of log sigma in training")
    noise_deviation: float = Field(1.2, gt=0, description="deviation of log sigma in training")


class Unconditional(nn.Module):
    """The condition of a denoiser of X alone: nothing, whatever y is."""

    size = 0

    def forward(self, y: Tensor) -> Tensor:
        """`(n, *y_shape)` to `(n, 0)`."""
        return torch.zeros(len(y), 0, device=y.device)


class Denoiser(nn.Module):
    """D(x; sigma, y) for x of mean 0 and deviation 1, and the scale of the data."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: nn.Module, condition: Condition | Unconditional, x_size: int
    ) -> None:
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


def train(denoiser: Denoiser, context: FitContext, params: DenoiserParams) -> None:
    """Regress clean data on noisy ones until the budget is spent."""
    trainer = Trainer(denoiser, context, learning_rate=params.learning_rate, average=params.ema)
    context.save({"trainer": trainer})
    size = len(denoiser.mean)

    def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        generator = context.generator("noise", step)
        noise = torch.randn(len(x), size, generator=generator)
        level = torch.randn(len(x), generator=generator)
        return x.flatten(1), y, noise, level

    for batch in context.batches(prepare):
        trainer.step(loss(denoiser, params, *batch))
    trainer.finish()


def loss(
    denoiser: Denoiser, params: DenoiserParams, x: Tensor, y: Tensor, noise: Tensor, level: Tensor
) -> Tensor:
    """The weighted denoising error; `noise` and `level` are standard normal."""
    sigma = (params.noise_mean + params.noise_deviation * level).exp()
    clean = Scaling(denoiser.mean, denoiser.deviation)(x)
    noisy = clean + sigma[:, None] * noise
    error = denoiser(noisy, sigma, denoiser.condition(y)) - clean
    weight = (1 + sigma**2) / sigma**2
    weighted: Tensor = (weight[:, None] * error.square()).mean()
    return weighted
