"""A generator that makes a sample of the posterior in one network pass, X = G(z, y).

What those that train one share: the networks' inputs, sampling, and what is stored. How G is
trained is each method's own.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import FitContext, Method, State
from cwbench.preset import NFE
from cwbench.training.networks import Condition

CHUNK = 2**14
"""Rows that are sampled at a time."""


class OnePassGenerator(Method):
    """G(z, y), fed a latent and the embedded condition side by side.

    Attributes:
        generator: the network G.
        condition: how y is embedded.
    """

    generator: nn.Module
    condition: Condition

    def build(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Make the condition and an untrained G."""
        self.condition = Condition.fitted(self.spec, data, context)
        sizes = (self.spec.x_size, self.condition.size)
        self.generator = context.network(sizes, self.spec.x_size, "generator")

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
        """Generator and the condition's standardisation; a critic is not needed to sample."""
        return self.generator.state_dict(prefix="generator.") | self.condition.state_dict(
            prefix="condition."
        )

    def load_state_dict(self, state: State) -> None:
        """Rebuild the generator."""
        self.condition = Condition.of(self.spec).to(self.spec.device)
        sizes = (self.spec.x_size, self.condition.size)
        self.generator = self.spec.network(sizes, self.spec.x_size).to(self.spec.device)
        parts = nn.ModuleDict({"generator": self.generator, "condition": self.condition})
        parts.load_state_dict(dict(state))
