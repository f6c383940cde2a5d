"""A generator that makes a sample of the posterior in one network pass, X = G(z, y).

What those that train one share: the networks' inputs, sampling, and what is stored. G, its losses
and its critics know x in standardised coordinates alone. How G is trained is each method's own.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import FitContext, State
from cwbench.preset import NFE
from cwbench.training.networks import Condition
from cwbench_baselines.scaled import ScaledMethod

CHUNK = 2**14
"""Rows that are sampled at a time."""


class OnePassGenerator(ScaledMethod):
    """G(z, y), fed a latent and the embedded condition side by side.

    Attributes:
        generator: the network G.
        condition: how y is embedded.
    """

    generator: nn.Module
    condition: Condition

    def build(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Make the condition, the map of x, and an untrained G."""
        self.fit_scaling(data, context)
        self.condition = Condition.fitted(self.spec, data, context)
        sizes = (self.spec.x_size, self.condition.size)
        self.generator = context.network(sizes, self.spec.x_size, "generator")

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """X = G(z, y), one network pass."""
        device = self.spec.device
        z = self.latents(len(y) * n, generator).flatten(1).to(device)
        condition = self.condition(y.to(device)).repeat_interleave(n, 0)
        chunks = torch.cat([z, condition], 1).split(CHUNK)
        x = torch.cat([self.generator(chunk) for chunk in chunks])
        return self.scaling.inverse(x.cpu().reshape(len(y), n, *self.spec.x_shape))

    def state_dict(self) -> State:
        """Generator, the maps of x and condition; a critic is not needed to sample."""
        condition = self.condition.state_dict(prefix="condition.")
        return self.generator.state_dict(prefix="generator.") | condition | self.scaling_state()

    def load_state_dict(self, state: State) -> None:
        """Rebuild the generator."""
        self.condition = Condition.of(self.spec).to(self.spec.device)
        sizes = (self.spec.x_size, self.condition.size)
        self.generator = self.spec.network(sizes, self.spec.x_size).to(self.spec.device)
        parts = nn.ModuleDict({"generator": self.generator, "condition": self.condition})
        parts.load_state_dict(dict(self.load_scaling(state)))
