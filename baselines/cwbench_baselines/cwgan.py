"""Conditional Wasserstein GAN with gradient penalty.

    min_G max_D  E[D(x, y) - E_z D(G(z, y), y)] - lambda E[(|grad D| - 1)^2]

The penalty's gradient is taken in x alone (`partial`): the critic is then 1-Lipschitz in x for each
y, and the game estimates the conditional distance W_{1,Y}. Taken in (x, y) jointly (`full`) it
estimates the weaker W_1 of the joints. Both are of standardised x and y. The pair critic judges two
samples of one y at once,

    1/2 E[D((x, G_1), y) + D((G_1, x), y)] - E[D((G_1, G_2), y)],

so a generator that ignores z is caught.

Improved Training of Wasserstein GANs (Gulrajani et al., 2017), https://arxiv.org/abs/1704.00028;
full penalty: (Ray et al., 2023), https://arxiv.org/abs/2306.04895;
pair critic: Deep Bayesian Inversion (Adler and Oektem, 2018), https://arxiv.org/abs/1811.05910
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, MethodInfo, Stateful
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench_baselines.generator import OnePassGenerator


class WassersteinGANParams(Params):
    """Settings of the conditional Wasserstein GAN."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate for both networks")
    beta_1: float = Field(0.5, ge=0, lt=1, description="Adam's first decay")
    beta_2: float = Field(0.9, ge=0, lt=1, description="Adam's second decay")
    critic_steps: int = Field(4, ge=1, description="critic steps for each generator step")
    penalty: float = Field(0.1, gt=0, description="lambda, the weight of the gradient penalty")
    gradient: Literal["partial", "full"] = Field("partial", description="penalty in x, or (x, y)")
    critic: Literal["single", "pair"] = Field("single", description="samples judged at once")
    drift: float = Field(1e-3, ge=0, description="weight of E[D^2], which fixes the critic's level")
    ema: float = Field(0.99, ge=0, lt=1, description="decay of the generator's averaged weights")


class ConditionalWassersteinGAN(OnePassGenerator):
    """A generator G(z, y) against a critic D(x, y)."""

    info = MethodInfo(
        name="cwgan",
        version=3,
        title="Conditional Wasserstein GAN",
        citation="adler2018deep",
    )
    Params: ClassVar[type[WassersteinGANParams]] = WassersteinGANParams
    params: WassersteinGANParams

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Alternate critic and generator steps until the budget of network passes is spent."""
        spec, params = self.spec, self.params
        self.build(data, context)
        judged = 2 if params.critic == "pair" else 1
        sizes = (*[spec.x_size] * judged, self.condition.size)
        self.critic = context.network(sizes, 1, "critic")
        betas = (params.beta_1, params.beta_2)
        rate = params.learning_rate
        generator_trainer = Trainer(
            self.generator, context, learning_rate=rate, betas=betas, average=params.ema
        )
        critic_trainer = Trainer(self.critic, context, learning_rate=rate, betas=betas)
        trained = {"generator": generator_trainer, "critic": critic_trainer}
        context.save({**trained, **self.kept(context)})

        def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            generator = context.generator("noise", step)
            latents = [self.latents(len(x), generator).flatten(1) for _ in range(2)]
            fed = self.condition(y.to(context.device))
            return (
                self.scaling(x).flatten(1),
                fed,
                *latents,
                torch.rand(len(x), 2, generator=generator),
            )

        for step, batch in enumerate(context.batches(prepare), start=context.step):
            if step % (params.critic_steps + 1) < params.critic_steps:
                critic_trainer.step(self.critic_loss(*batch))
            else:
                generator_trainer.step(self.generator_loss(*batch))
        generator_trainer.finish()

    def kept(self, context: FitContext) -> Mapping[str, Stateful]:
        """What a variant keeps with a checkpoint besides the two networks."""
        return {}

    def critic_loss(self, x: Tensor, y: Tensor, z_1: Tensor, z_2: Tensor, u: Tensor) -> Tensor:
        """The critic's objective with its sign turned, plus penalty and drift.

        u holds two uniform numbers a row: the place on the segment, and the order of a pair.
        """
        with torch.no_grad():
            fake_1 = self.generator(torch.cat([z_1, y], 1))
            fake_2 = self.generator(torch.cat([z_2, y], 1)) if self.pairs else None
        real, fake = self.judged(x, fake_1, fake_2, u)
        d_real, d_fake = self.critic(torch.cat([real, y], 1)), self.critic(torch.cat([fake, y], 1))
        penalty = self.gradient_penalty(real, fake, y, u)
        drift = (d_real**2).mean()
        wasserstein = d_real.mean() - d_fake.mean()
        loss: Tensor = -wasserstein + self.params.penalty * penalty + self.params.drift * drift
        return loss

    @property
    def pairs(self) -> bool:
        """Whether the critic judges two samples at once."""
        return self.params.critic == "pair"

    def judged(
        self, x: Tensor, fake_1: Tensor, fake_2: Tensor | None, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What is compared: x and G_1, or (x, G_1) in either order and (G_1, G_2)."""
        if fake_2 is None:
            return x, fake_1
        first = torch.where(u[:, 1:] < 0.5, torch.cat([x, fake_1], 1), torch.cat([fake_1, x], 1))
        return first, torch.cat([fake_1, fake_2], 1)

    def gradient_penalty(self, real: Tensor, fake: Tensor, y: Tensor, u: Tensor) -> Tensor:
        """E[(|grad D| - 1)^2] on segments between real and fake at the same y."""
        point = torch.lerp(fake, real, u[:, :1]).requires_grad_()
        y = y.detach().requires_grad_(self.params.gradient == "full")
        inputs = [point, y] if self.params.gradient == "full" else [point]
        value = self.critic(torch.cat([point, y], 1)).sum()
        gradients = torch.autograd.grad(value, inputs, create_graph=True)
        norm = torch.cat(gradients, 1).norm(dim=1)
        penalty: Tensor = ((norm - 1.0) ** 2).mean()
        return penalty

    def generator_loss(self, x: Tensor, y: Tensor, z_1: Tensor, z_2: Tensor, u: Tensor) -> Tensor:
        """The generator's objective; for the pair critic both terms depend on it."""
        fake_1 = self.generator(torch.cat([z_1, y], 1))
        fake_2 = self.generator(torch.cat([z_2, y], 1)) if self.pairs else None
        real, fake = self.judged(x, fake_1, fake_2, u)
        loss: Tensor = -self.critic(torch.cat([fake, y], 1)).mean()
        if self.pairs:
            loss = loss + self.critic(torch.cat([real, y], 1)).mean()
        return loss
