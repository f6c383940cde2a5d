"""X = G(z, y) with Gaussian z, a generator trained by the energy score

    E |x - G(z, y)| - 1/2 E |G(z, y) - G(z', y)|,

which is least where G(z, y) has the law of x given y.

Engression: Extrapolation through the Lens of Distributional Regression (Shen, Meinshausen, 2025),
https://arxiv.org/abs/2307.00835
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench import FitContext, Method, MethodInfo, Params
from cwbench.method import State
from cwbench.preset import NFE
from cwbench.training.loop import Trainer
from cwbench.training.networks import Condition


class PluginClassParams(Params):
    """Settings: `cwbench run --set method.learning_rate=0.003`."""

    learning_rate: float = Field(3e-3, gt=0, description="Adam's rate before its decay")


class PluginClass(Method):
    """One network pass a sample, trained by the energy score."""

    info = MethodInfo(
        name="plugin-name",
        version=1,
        title="Generator trained by the energy score",
        citation="""@article{shen2025engression,
  title = {Engression: Extrapolation through the Lens of Distributional Regression},
  author = {Shen, Xinwei and Meinshausen, Nicolai},
  journal = {Journal of the Royal Statistical Society Series B},
  year = {2025},
}""",
    )
    Params: ClassVar[type[PluginClassParams]] = PluginClassParams
    params: PluginClassParams

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Spend the harness's batches; it counts them, and it saves and resumes the trainer."""
        d = self.spec.x_size
        self.condition = Condition.fitted(self.spec, data, context)
        self.network = context.network((d, self.condition.size), d)
        trainer = Trainer(self.network, context, learning_rate=self.params.learning_rate)
        context.save({"trainer": trainer})

        def with_noise(step: int, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
            z = torch.randn(len(x), 2 * d, generator=context.generator("noise", step))
            return x.flatten(1), y, *z.chunk(2, 1)

        for x, y, z_1, z_2 in context.batches(with_noise):
            a, b = self.generate(z_1, y), self.generate(z_2, y)
            error = ((x - a).norm(dim=1) + (x - b).norm(dim=1)) / 2
            trainer.step((error - (a - b).norm(dim=1) / 2).mean())

    def generate(self, z: Tensor, y: Tensor) -> Tensor:
        """G(z, y) with shape `(n, x_size)`."""
        x: Tensor = self.network(torch.cat([z, self.condition(y)], 1))
        return x

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Samples with shape `(m, n, *x_shape)`: n latents for each row of `y`."""
        z = torch.randn(len(y) * n, self.spec.x_size, generator=generator)
        y = y.repeat_interleave(n, 0).to(self.spec.device)
        x = self.generate(z.to(self.spec.device), y).cpu()
        return x.reshape(len(y) // n, n, *self.spec.x_shape)

    @property
    def modules(self) -> nn.ModuleDict:
        """What is kept."""
        return nn.ModuleDict({"network": self.network, "condition": self.condition})

    def state_dict(self) -> State:
        """Network and standardisation of y."""
        return self.modules.state_dict()

    def load_state_dict(self, state: State) -> None:
        """Rebuild them in a fresh object."""
        d = self.spec.x_size
        self.condition = Condition.of(self.spec)
        self.network = self.spec.network((d, self.condition.size), d)
        self.modules.to(self.spec.device).load_state_dict(dict(state))
