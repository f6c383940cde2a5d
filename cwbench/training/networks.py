"""The network of vector tasks, how it is fed a condition, and the meter that counts its passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from cwbench.errors import UsageError, missing_extra
from cwbench.method import FitContext, ProblemSpec, some_of
from cwbench.ot.scaling import Scaling
from cwbench.preset import Preset
from cwbench.task import Task
from cwbench.training.convolutional import ConvolutionalNetwork
from cwbench.training.unet import RECIPES, UNet

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "leaky-relu": nn.LeakyReLU,
    "gelu": nn.GELU,
}

Projection = Callable[[Tensor], Tensor | None]

SMALLEST_IMAGE = 12
"""Pixels a side from which on images get a convolutional network."""

WIDTH_A_CHANNEL = 32
"""Units of the preset's width for each channel."""

EXPANSION = 4
"""Hidden units of a residual block for each unit of the preset's width."""

CHANNELS = 4
"""Channels come in multiples of it, for group normalisation."""


@dataclass
class Meter:
    """Network passes in examples: a forward counts 1, a backward 2, a gradient penalty 3 more.

    `evaluations` are forwards, of the task's own denoiser too; `jacobians` products with the
    Jacobian of either; `operators` applications of the task's operator, adjoint or likelihood.
    """

    evaluations: int = 0
    passes: int = 0
    jacobians: int = 0
    operators: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Count nothing inside."""
        before = self.counts()
        try:
            yield
        finally:
            self.evaluations, self.passes, self.jacobians, self.operators = before

    def counts(self) -> tuple[int, int, int, int]:
        """All four, in the order of the fields."""
        return self.evaluations, self.passes, self.jacobians, self.operators

    def attach(self, network: nn.Module) -> nn.Module:
        """Count what `network` does from now on."""
        network.register_forward_hook(self._count)
        return network

    def operated(self, rows: int) -> None:
        """The operator was applied to so many rows."""
        with self._lock:
            self.operators += rows

    def denoised(self, rows: int, result: Tensor) -> None:
        """The task's own denoiser gave `result` for so many rows; no budget is spent on it."""
        with self._lock:
            self.evaluations += rows
        if result.requires_grad:
            result.register_hook(lambda _: self._count_jacobian(rows))

    def _count_jacobian(self, rows: int) -> None:
        with self._lock:
            self.jacobians += rows

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
            self.jacobians += examples


@dataclass(frozen=True)
class Networks:
    """Makes the networks that task and preset fix; all of them share one meter.

    Convolutional for images of `image_shape`, `(channels, height, width)`; else perceptrons. A
    U-Net makes images only: a critic beside it is the small convolutional network.
    """

    preset: Preset
    meter: Meter
    image_shape: tuple[int, int, int] | None = None

    def __call__(self, inputs: int | Sequence[int], outputs: int) -> nn.Module:
        """A network as `cwbench.method.NetworkFactory` says, initialised from the global stream."""
        parts = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        if self.image_shape is None:
            make = self._residual if self.preset.network == "residual" else self._perceptron
            return self.meter.attach(make(sum(parts), outputs))
        size = int(torch.Size(self.image_shape).numel())
        if self.preset.network in RECIPES and outputs == size:
            recipe = RECIPES[self.preset.network]
            unet = UNet(parts, self.image_shape, recipe, compiled=self.preset.compiled)
            return self.meter.attach(unet)
        channels = max(CHANNELS, self.preset.width // WIDTH_A_CHANNEL // CHANNELS * CHANNELS)
        return self.meter.attach(
            ConvolutionalNetwork(parts, outputs, image_shape=self.image_shape, channels=channels)
        )

    def _perceptron(self, inputs: int, outputs: int) -> nn.Module:
        sizes = [inputs, *[self.preset.width] * self.preset.depth]
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), ACTIVATIONS[self.preset.activation]()]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def _residual(self, inputs: int, outputs: int) -> nn.Module:
        width, depth = self.preset.width, self.preset.depth
        activation = ACTIVATIONS[self.preset.activation]
        blocks = [PerceptronBlock(width, activation()) for _ in range(depth)]
        return nn.Sequential(nn.Linear(inputs, width), *blocks, nn.Linear(width, outputs))


class PerceptronBlock(nn.Module):
    """h + W_2 a(W_1 h), with `EXPANSION` hidden units for each of h.

    The network of C^2OT's toy (Cheng, Schwing, 2025), https://arxiv.org/abs/2503.10636
    """

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        hidden = EXPANSION * width
        self.change = nn.Sequential(nn.Linear(width, hidden), activation, nn.Linear(hidden, width))

    def forward(self, h: Tensor) -> Tensor:
        """`(n, width)` to `(n, width)`."""
        changed: Tensor = h + self.change(h)
        return changed


def networks_of(task: Task, preset: Preset, meter: Meter) -> Networks:
    """The networks for a task: convolutional ones need images of even sides, and A^T y or classes.

    Raises:
        UsageError: if the preset insists on convolutions where they cannot be had, or on a U-Net
            without the extra `images`.
    """
    if preset.network in ("mlp", "residual"):
        return Networks(preset, meter)
    shape = task.x_shape
    fits = len(shape) == 3 and not any(side % 2 for side in shape[1:])
    able = fits and (
        task.num_classes is not None
        or task.back_projection(torch.zeros(1, *task.y_shape)) is not None
    )
    if preset.network != "auto" and not able:
        raise UsageError(
            f"{task.info.name} has x of shape {shape}: a convolutional network needs images with "
            "even sides and an observation that can be projected back or is a class; type "
            "--set preset.network=mlp"
        )
    _check_levels(preset, shape)
    if preset.network in RECIPES and find_spec("diffusers") is None:
        raise missing_extra(f"the network {preset.network}", "diffusers", "images")
    if not able or (preset.network == "auto" and min(shape[1:]) < SMALLEST_IMAGE):
        return Networks(preset, meter)
    return Networks(preset, meter, (shape[0], shape[1], shape[2]))


def _check_levels(preset: Preset, shape: tuple[int, ...]) -> None:
    """A U-Net halves the sides once a level, and needs a class to be one."""
    if preset.network in RECIPES:
        step = 2 ** (len(RECIPES[preset.network].multiples) - 1)
        if any(side % step for side in shape[1:]):
            raise UsageError(
                f"{preset.network} halves an image to {step}ths, which sides of {shape[1:]} pixels "
                "cannot be; type --set preset.network=convolutional"
            )


class Condition(nn.Module):
    """Feeds y to a network: standardised and flattened, or one-hot for class labels.

    An entry that is constant in training is only centred. Where networks take images it is A^T y,
    the observation projected back.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        y_shape: tuple[int, ...],
        num_classes: int | None,
        back_projection: Projection | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.back_projection = num_classes, back_projection
        self.size = num_classes or self._flat(torch.zeros(1, *y_shape)).shape[1]
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("deviation", torch.ones(self.size))

    @classmethod
    def of(cls, spec: ProblemSpec) -> Self:
        """What the networks of a task are fed."""
        return cls(spec.y_shape, spec.num_classes, spec.back_projection)

    @classmethod
    def fitted(
        cls, spec: ProblemSpec, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Self:
        """The same, standardised by the first training pairs unless the preset feeds raw y."""
        condition = cls.of(spec)
        if context.standardise:
            condition.fit(some_of(data).y)
        return condition.to(context.device)

    def fit(self, y: Tensor) -> None:
        """Take mean and deviation from training conditions `(n, *y_shape)`."""
        if self.num_classes is None:
            self.mean, self.deviation = Scaling.of(self._flat(y))

    def forward(self, y: Tensor) -> Tensor:
        """`(n, *y_shape)` to `(n, size)`."""
        if self.num_classes is not None:
            return nn.functional.one_hot(y, self.num_classes).float()
        return Scaling(self.mean, self.deviation)(self._flat(y))

    def _flat(self, y: Tensor) -> Tensor:
        projected = self.back_projection(y) if self.back_projection else None
        return (y if projected is None else projected).flatten(1)
