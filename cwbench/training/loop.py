"""One optimiser step, the same for every method: rate, clipping, averaging, a guard against NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cwbench.errors import DivergedError
from cwbench.method import FitContext
from cwbench.ot.adam import Adam

PATIENCE = 10
"""Steps in a row whose loss is not finite before training stops."""


class Trainer:
    """Adam on one network, with an exponential moving average of its weights if asked for.

    The average of decay d after k steps is (1 - d) sum_i d^(k-i) w_i / (1 - d^k), i = 1..k: what
    the weights were before training has no share in it, however few the steps. Adam's moments are
    corrected likewise (Kingma, Ba, 2015), https://arxiv.org/abs/1412.6980

    A step whose loss is not finite is skipped, and so is the average's; with `clip` also one whose
    gradient norm is not. After `PATIENCE` in a row `DivergedError` is raised.
    """

    def __init__(
        self,
        network: nn.Module,
        context: FitContext,
        *,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        clip: float | None = None,
        average: float = 0.0,
    ) -> None:
        fixed = context.optimiser
        self.network, self.context = network, context
        self.default_rate = learning_rate
        self.clip = clip if fixed.clip is None else fixed.clip
        self.average = average = average if fixed.average is None else fixed.average
        betas = betas if fixed.beta_2 is None else (betas[0], fixed.beta_2)
        self.parameters: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = Adam(self.parameters, learning_rate, betas, fused=True)
        self.averaged = [p.detach().clone() for p in self.parameters] if average else []
        self.averaged_steps = 0
        self.failures = 0

    def step(self, loss: Tensor) -> bool:
        """Descend on `loss`; False if the step was skipped.

        Raises:
            DivergedError: if the loss was not finite `PATIENCE` times in a row.
        """
        self.optimizer.zero_grad(set_to_none=True)
        together = self.context.processes
        value = float(together.mean(loss.detach()))  # all skip a step, or none
        if not math.isfinite(value):
            return self._skipped()
        loss.backward()
        together.average_gradients(self.parameters)
        if self.clip is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
            if not torch.isfinite(norm):
                return self._skipped()
        for group in self.optimizer.param_groups:
            group["lr"] = self.context.learning_rate(self.default_rate)
        self.optimizer.step()
        self._take_into_average()
        self.failures = 0
        self.context.log(loss=value)
        return True

    @torch.no_grad()
    def _take_into_average(self) -> None:
        """Move by (1 - d) / (1 - d^k) towards the present weights: all the way in step 1."""
        if self.average:
            self.averaged_steps += 1
            share = (1.0 - self.average) / (1.0 - self.average**self.averaged_steps)
            torch._foreach_lerp_(self.averaged, self.parameters, share)

    def _skipped(self) -> bool:
        self.failures += 1
        if self.failures >= PATIENCE:
            raise DivergedError(f"the loss was not finite {PATIENCE} times in a row")
        return False

    def finish(self) -> None:
        """Put the averaged weights into the network."""
        self._put(self.averaged)

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """The averaged weights are in the network inside; afterwards the very ones of before."""
        present = [p.detach().clone() for p in self.parameters] if self.averaged else []
        self._put(self.averaged)
        try:
            yield
        finally:
            self._put(present)

    @torch.no_grad()
    def _put(self, weights: list[Tensor]) -> None:
        for parameter, weight in zip(self.parameters, weights, strict=False):  # none is no change
            parameter.copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, average and the count of failures, for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": self.averaged,
            "averaged_steps": self.averaged_steps,
            "failures": self.failures,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged = [part.to(self.context.device) for part in state["averaged"]]
        self.averaged_steps = state["averaged_steps"]
        self.failures = state["failures"]
