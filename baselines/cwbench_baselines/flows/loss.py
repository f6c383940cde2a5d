"""Loss: the network regresses the velocity of straight paths between paired latents and data.

    E_{(z, x, y), t} [ w || v(t, y, x_t) - (x - z) ||^2 ],   x_t = (1 - t) z + t x,  t ~ U[0, 1]

with w = 1 unless the coupling weighs its pairs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from cwbench.ot.geodesic import geodesic
from cwbench.training.networks import Condition

NO_CLASS = -1
"""The label that stands for no class: the network is fed zeros."""


class VelocityNetwork(nn.Module):
    """v(t, y, x_t): the preset's network on the concatenation of x_t, t and the condition."""

    def __init__(self, network: nn.Module, condition: Condition) -> None:
        super().__init__()
        self.network, self.condition = network, condition

    def forward(self, t: Tensor, x_t: Tensor, condition: Tensor) -> Tensor:
        """Velocity with the shape of `x_t`; t with shape `(n,)`, condition `(n, size)`."""
        features = torch.cat([x_t.flatten(1), t[:, None], condition], dim=1)
        velocity: Tensor = self.network(features)
        return velocity.view_as(x_t)

    def embedded(self, y: Tensor) -> Tensor:
        """The condition `(n, size)` of y, where class labels may be `NO_CLASS`."""
        if self.condition.num_classes is None:
            embedded: Tensor = self.condition(y)
            return embedded
        known: Tensor = self.condition(y.clamp(min=0))
        return known * (y != NO_CLASS)[:, None]


def velocity_loss(
    network: VelocityNetwork,
    z: Tensor,
    x: Tensor,
    y: Tensor,
    t: Tensor,
    weight: Tensor | None = None,
    *,
    bfloat16: bool = False,
) -> Tensor:
    """The (weighted) mean squared error of the velocity on pairs at times t.

    Args:
        network: v.
        z: latents with shape `(n, *x_shape)`.
        x: their data with shape `(n, *x_shape)`.
        y: what the network is fed, `(n, *y_shape)`, or class labels `(n,)` with `NO_CLASS`.
        t: times in [0, 1) with shape `(n,)`.
        weight: of each pair, `(n,)`; None weighs all alike.
        bfloat16: whether the network computes in bfloat16.
    """
    x_t, u_t = geodesic(z, x, t)
    condition = network.embedded(y)
    with torch.autocast(x.device.type, torch.bfloat16, bfloat16):
        v_t = network(t, x_t, condition)
    if weight is None:
        return nn.functional.mse_loss(v_t.float(), u_t)
    errors = nn.functional.mse_loss(v_t.float(), u_t, reduction="none").flatten(1).mean(1)
    return (weight * errors).mean()


class LowestLoss:
    """Remembers the network with the lowest validation loss, across checkpoints too."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}

    def consider(self, loss: float) -> None:
        """Keep a copy of the network if its loss is the lowest so far."""
        if loss < self.loss:
            self.loss = loss
            self.weights = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def restore(self) -> None:
        """Put the kept network back, if there is one."""
        if self.weights:
            self.network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Loss and weights, for a checkpoint."""
        return {"loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back a checkpoint."""
        self.loss, self.weights = state["loss"], state["weights"]
