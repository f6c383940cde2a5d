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
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, MethodInfo
from cwbench.task import Params
from cwbench.training.loop import Trainer
from cwbench_baselines.generator import OnePassGenerator


class EnergyGeneratorParams(Params):
    """Settings of the energy-score generator."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")
    ema: float = Field(0.99, ge=0, lt=1, description="decay of the averaged weights; 0 is off")
    samples: int = Field(2, ge=2, description="m, samples of each observation in a step")


class EnergyGenerator(OnePassGenerator):
    """G(z, y), trained by scoring its samples against x."""

    info = MethodInfo(
        name="energy-generator",
        version=2,
        title="Generator trained on the energy score",
        citation="pacchiardi2024probabilistic",
    )
    Params: ClassVar[type[EnergyGeneratorParams]] = EnergyGeneratorParams
    params: EnergyGeneratorParams

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Descend on the energy score until the budget of network passes is spent."""
        m = self.params.samples
        self.build(data, context)
        trainer = Trainer(
            self.generator,
            context,
            learning_rate=self.params.learning_rate,
            average=self.params.ema,
        )
        context.save({"generator": trainer})

        def prepare(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            z = self.latents(m * len(x), context.generator("noise", step))
            return self.scaling(x).flatten(1), y, z.view(len(x), m, -1)

        for x, y, z in context.batches(prepare):
            trainer.step(self.loss(x, y, z))
        trainer.finish()

    def loss(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        """The energy score of G for latents `(n, m, size)`."""
        n, m, _ = z.shape
        condition = self.condition(y).repeat_interleave(m, 0)
        fakes = self.generator(torch.cat([z.flatten(0, 1), condition], 1)).view(n, m, -1)
        return energy_score(x, fakes)


def energy_score(x: Tensor, fakes: Tensor) -> Tensor:
    """The energy score of samples `(n, m, d)` for data `(n, d)`, averaged over rows."""
    m = fakes.shape[1]
    error = (fakes - x[:, None]).norm(dim=2).mean()
    first, second = torch.triu_indices(m, m, 1)
    apart = (fakes[:, first] - fakes[:, second]).norm(dim=2).mean()
    score: Tensor = error - apart / 2
    return score
