"""A one-pass generator trained on the energy score, a strictly proper scoring rule.

    min_G E[ 1/m sum_i |x - G_i| - 1/(2 m (m - 1)) sum_{i != j} |G_i - G_j| ],   G_i = G(z_i, y)

Its expectation is, up to a constant of the data, half the expected energy distance between
posterior and model, which is 0 at the posterior only. There is no critic; m samples of each
observation cost m forwards and backwards, so within the budget steps fall as 1 / m.

Probabilistic Forecasting with Generative Networks via Scoring Rule Minimization (Pacchiardi,
Adewoyin, Dueben, Dutta, 2024), https://arxiv.org/abs/2112.08217; Engression (Shen, Meinshausen,
2024), https://arxiv.org/abs/2307.00835
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, MethodInfo, State, take
from cwbench.preset import NFE
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition

CHUNK = 2**14
"""Rows that are sampled at a time."""


class EnergyGeneratorParams(Params):
    """Settings of the energy-score generator."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")
    ema: float = Field(0.99, ge=0, lt=1, description="decay of the averaged weights; 0 is off")
    samples: int = Field(2, ge=2, description="m, samples of each observation in a step")


class EnergyGenerator(Method):
    """G(z, y), trained by scoring its samples against x."""

    info = MethodInfo(
        name="energy-generator",
        version=1,
        title="Generator trained on the energy score",
        citation="""@article{pacchiardi2024probabilistic,
  title = {Probabilistic Forecasting with Generative Networks via Scoring Rule Minimization},
  author = {Pacchiardi, Lorenzo and Adewoyin, Rilwan A. and Dueben, Peter and Dutta, Ritabrata},
  journal = {Journal of Machine Learning Research},
  volume = {25},
  year = {2024},
}""",
    )
    Params: ClassVar[type[EnergyGeneratorParams]] = EnergyGeneratorParams
    params: EnergyGeneratorParams

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Descend on the energy score until the budget of network passes is spent."""
        spec, m = self.spec, self.params.samples
        condition = Condition.of(spec)
        if context.standardise:
            some = torch.arange(min(len(data), 100_000))  # type: ignore[arg-type]  # map-style
            condition.fit(take(data, some).y)
        self.condition = condition.to(context.device)
        self.generator = context.network(
            (self._latent_size(), condition.size), spec.x_size, "generator"
        )
        trainer = Trainer(
            self.generator,
            context,
            learning_rate=self.params.learning_rate,
            average=self.params.ema,
        )
        context.save({"generator": trainer})

        def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            z = spec.sample_latent(m * len(x), context.generator("noise", step))
            return x.flatten(1), y, z.view(len(x), m, -1)

        for x, y, z in context.batches(prepare):
            trainer.step(self.loss(x, y, z))
        trainer.finish()

    def loss(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The energy score of G for latents `(n, m, size)`."""
        n, m, _ = z.shape
        condition = self.condition(y).repeat_interleave(m, 0)
        fakes = self.generator(torch.cat([z.flatten(0, 1), condition], 1)).view(n, m, -1)
        return energy_score(x, fakes)

    def _latent_size(self) -> int:
        return self.spec.sample_latent(1, Generator()).numel()

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """X = G(z, y), one network pass."""
        device = self.spec.device
        z = self.spec.sample_latent(len(y) * n, generator).flatten(1).to(device)
        condition = self.condition(y.to(device)).repeat_interleave(n, 0)
        chunks = torch.cat([z, condition], 1).split(CHUNK)
        x = torch.cat([self.generator(chunk) for chunk in chunks])
        return x.cpu().reshape(len(y), n, *self.spec.x_shape)

    def state_dict(self) -> State:
        """Generator and the condition's standardisation."""
        return self.generator.state_dict(prefix="generator.") | self.condition.state_dict(
            prefix="condition."
        )

    def load_state_dict(self, state: State) -> None:
        """Rebuild the generator."""
        self.condition = Condition.of(self.spec).to(self.spec.device)
        sizes = (self._latent_size(), self.condition.size)
        self.generator = self.spec.network(sizes, self.spec.x_size).to(self.spec.device)
        parts = nn.ModuleDict({"generator": self.generator, "condition": self.condition})
        parts.load_state_dict(dict(state))


def energy_score(x: Tensor, fakes: Tensor) -> Tensor:
    """The energy score of samples `(n, m, d)` for data `(n, d)`, averaged over rows."""
    m = fakes.shape[1]
    error = (fakes - x[:, None]).norm(dim=2).mean()
    first, second = torch.triu_indices(m, m, 1)
    apart = (fakes[:, first] - fakes[:, second]).norm(dim=2).mean()
    score: Tensor = error - apart / 2
    return score
