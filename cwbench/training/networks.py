"""The network of vector tasks, how it is fed a condition, and the meter that counts its passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cwbench.preset import Preset

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "leaky-relu": nn.LeakyReLU}


@dataclass
class Meter:
    """Network passes in examples: a forward counts 1, a backward 2, a gradient penalty 3 more."""

    evaluations: int = 0
    passes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing inside."""
        before = self.evaluations, self.passes
        try:
            yield
        finally:
            self.evaluations, self.passes = before

    def attach(self, network: nn.Module) -> nn.Module:
        """Count what `network` does from now on."""
        network.register_forward_hook(self._count)
        return network

    def _count(self, _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        examples = inputs[0].shape[0]
        with self._lock:  # observations are integrated in parallel threads
            self.evaluations += examples
            self.passes += examples
        if output.requires_grad:
            output.register_hook(lambda _: self._count_backward(examples))

    def _count_backward(self, examples: int) -> None:
        # Gradients are enabled inside a backward only when it is itself differentiated: a penalty.
        with self._lock:
            self.passes += examples * (5 if torch.is_grad_enabled() else 2)


@dataclass(frozen=True)
class MeteredMLP:
    """Makes the multilayer perceptron that a preset fixes; all of them share one meter."""

    preset: Preset
    meter: Meter

    def __call__(self, inputs: int, outputs: int) -> nn.Module:
        """A network from `(n, inputs)` to `(n, outputs)`, initialised from the global stream."""
        sizes = [inputs, *[self.preset.width] * self.preset.depth]
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), ACTIVATIONS[self.preset.activation]()]
        return self.meter.attach(nn.Sequential(*layers, nn.Linear(sizes[-1], outputs)))


class Condition(nn.Module):
    """Feeds y to a network: standardised and flattened, or one-hot for class labels."""

    def __init__(self, y_shape: tuple[int, ...], num_classes: int | None) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.size = num_classes or int(torch.Size(y_shape).numel())
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))

    def fit(self, y: Tensor) -> None:
        """Take mean and deviation from training conditions `(n, *y_shape)`."""
        if self.num_classes is None:
            flat = y.flatten(1).double()
            self.mean = flat.mean(0).float()
            self.deviation = flat.std(0).clamp_min(1e-12).float()

    def forward(self, y: Tensor) -> Tensor:
        """`(n, *y_shape)` to `(n, size)`."""
        if self.num_classes is not None:
            return nn.functional.one_hot(y, self.num_classes).float()
        embedded: Tensor = (y.flatten(1) - self.mean) / self.deviation
        return embedded
