"""A method outside the suite, complete: Gaussian draws around the nearest training observation."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench import FitContext, Method, MethodInfo
from cwbench.method import State, tensors_of
from cwbench.preset import NFE


class NearestGaussian(Method):
    """x of the nearest training y, plus noise of one deviation for all."""

    info = MethodInfo(
        name="nearest-gaussian",
        version=1,
        title="Gaussian around the nearest neighbour",
        citation="@misc{none, title = {An example}, year = {2026}}",
    )

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Keep the training pairs."""
        self.x, self.y = tensors_of(data)
        self.deviation = torch.tensor(0.1)

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Draw around the nearest neighbour's x."""
        nearest = self.x[torch.cdist(y.flatten(1), self.y.flatten(1)).argmin(1)]
        noise = torch.randn(len(y), n, *self.spec.x_shape, generator=generator)
        return nearest[:, None] + self.deviation * noise

    def state_dict(self) -> State:
        """The training pairs and the deviation."""
        return {"x": self.x, "y": self.y, "deviation": self.deviation}

    def load_state_dict(self, state: State) -> None:
        """Take them back."""
        for name, value in state.items():
            setattr(self, name, value)
