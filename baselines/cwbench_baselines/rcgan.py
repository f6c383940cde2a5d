"""The regularized conditional GAN: a Wasserstein game with an L1 loss and a reward on spread.

    adversarial * (Wasserstein generator loss) + L_1 - beta_sd L_sd,
    L_1  = E|x - mean_i G_i|_1,   L_sd = sqrt(pi / (2 P (P - 1))) sum_i E|G_i - mean_j G_j|_1

over P = 2 samples G_i of one y, norms averaged over entries. For Gaussian posteriors of independent
entries beta_N = sqrt(2 / (pi P (P + 1))) makes the true mean and deviation the minimiser of the
last two terms. In general beta_sd is adapted while training: were samples drawn from the posterior,
the mean of 8 would have a PSNR 10 log10(16/9) = 2.5 dB above that of one, so beta_sd grows where
the gain is smaller than that, and falls where it is larger. `adversarial` weighs the
game: with little of it posteriors come out unimodal.

A Regularized Conditional GAN for Posterior Sampling in Image Recovery Problems (Bendel, Ahmad,
Schniter, 2023), https://arxiv.org/abs/2210.13389
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench.method import Diagnostics, FitContext, MethodInfo, Stateful
from cwbench_baselines.cwgan import ConditionalWassersteinGAN, WassersteinGANParams

SAMPLES = 2
"""P, the samples of an observation in a generator step."""

GAUSSIAN_WEIGHT = math.sqrt(2 / (math.pi * SAMPLES * (SAMPLES + 1)))
"""beta_N."""

MANY, GAIN_DB = 8, 10 * math.log10(16 / 9)
"""Samples whose mean is compared with one, and the gain of an exact sampler."""

ADAPTED_EVERY, RATE = 20, 0.02
"""Generator steps between updates of beta_sd, and their size in beta_N a decibel."""


class RegularizedParams(WassersteinGANParams):
    """Settings of the regularized conditional GAN."""

    adversarial: float = Field(0.1, ge=0, description="weight of the Wasserstein game")


class SpreadWeight:
    """beta_sd, kept with every checkpoint."""

    def __init__(self) -> None:
        self.value = GAUSSIAN_WEIGHT
        self.steps = 0
        self.gain = math.nan

    def adapt(self, gain: float) -> None:
        """Move towards the gain in decibels that exact samples have."""
        if math.isfinite(gain):
            self.gain = gain
            self.value = max(0.0, self.value + RATE * (GAIN_DB - gain) * GAUSSIAN_WEIGHT)

    def state_dict(self) -> dict[str, Any]:
        """Weight, steps and the last gain."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back a checkpoint."""
        vars(self).update(state)


class RegularizedConditionalGAN(ConditionalWassersteinGAN):
    """The Wasserstein GAN's game, plus L1 less a reward on the samples' deviation."""

    info = MethodInfo(
        name="rcgan",
        version=3,
        title="Regularized conditional GAN",
        citation="bendel2023regularized",
    )
    Params: ClassVar[type[RegularizedParams]] = RegularizedParams
    params: RegularizedParams

    def kept(self, context: FitContext) -> Mapping[str, Stateful]:
        """The weight on spread, adapted in training."""
        self.spread, self.context = SpreadWeight(), context
        return {"spread": self.spread}

    def generator_loss(self, x: Tensor, y: Tensor, z_1: Tensor, z_2: Tensor, u: Tensor) -> Tensor:
        """The game's loss, L_1 and the reward."""
        if self.spread.steps % ADAPTED_EVERY == 0:
            self.spread.adapt(self._gain(x, y))
        self.spread.steps += 1
        fakes = torch.stack([self.generator(torch.cat([z, y], 1)) for z in (z_1, z_2)])
        real, fake = self.judged(x, fakes[0], fakes[1] if self.pairs else None, u)
        game = -self.critic(torch.cat([fake, y], 1)).mean()
        if self.pairs:
            game = game + self.critic(torch.cat([real, y], 1)).mean()
        loss: Tensor = self.params.adversarial * game + supervised(x, fakes, self.spread.value)
        return loss

    @torch.no_grad()
    def _gain(self, x: Tensor, y: Tensor) -> float:
        """PSNR in decibels of the mean of 8 samples above that of one, on a batch."""
        generator = self.context.generator("gain", self.spread.steps)
        z = self.latents(MANY * len(y), generator).flatten(1).to(y.device)
        fakes = self.generator(torch.cat([z, y.repeat(MANY, 1)], 1)).view(MANY, *x.shape)
        one, many = ((x - mean).square().mean() for mean in (fakes[0], fakes.mean(0)))
        return 10 * math.log10(float(one) / float(many)) if many > 0 and one > 0 else math.nan

    def diagnostics(self) -> Diagnostics:
        """Where beta_sd ended, in units of beta_N, and the gain it reached."""
        if not hasattr(self, "spread"):
            return {}
        gain = self.spread.gain if math.isfinite(self.spread.gain) else None
        return {"spread_weight": self.spread.value / GAUSSIAN_WEIGHT, "psnr_gain_db": gain}


def supervised(x: Tensor, fakes: Tensor, beta_sd: float) -> Tensor:
    """L_1 - beta_sd L_sd of samples `(P, n, d)` for data `(n, d)`, averaged over entries."""
    P, mean = len(fakes), fakes.mean(0)
    spread = math.sqrt(math.pi / (2 * P * (P - 1))) * (fakes - mean).abs().sum(0).mean()
    loss: Tensor = (x - mean).abs().mean() - beta_sd * spread
    return loss
