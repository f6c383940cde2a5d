"""Regressions of one conditional mean on another variable, by a small network or by ridge.

They tell how far apart the posteriors of two conditions are, `cwbench.ot.calibration`, and find
neighbours among conditions. All are judged on pairs they were not trained on, and depend on their
arguments alone: the global random state is neither read nor changed.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from cwbench.ot.adam import AdamW
from cwbench.ot.checks import ConvergenceError, as_float64, is_label, same_count
from cwbench.ot.scaling import spread_of

_LEARNING_RATE = 2e-3
_TRAINED_SHARE = 0.8
_LEAST_PAIRS = 20
_MOST_EPOCHS, _LEAST_STEPS = 30, 50  # small samples are overfitted by more epochs


class Regression(nn.Module):
    """The conditional mean of targets given inputs, learned by `fit_regression`.

    Called with inputs `(n, *shape)`, or class labels `(n,)`, it returns `(n, k)` in float32. All
    that it knows, held-out quality included, is in its `state_dict`.
    """

    mean_in: Tensor
    scale_in: Tensor
    mean_out: Tensor
    scale_out: Tensor
    quality: Tensor

    def __init__(
        self, features: int, outputs: int, *, width: int, depth: int, classes: int | None
    ) -> None:
        super().__init__()
        self.classes = classes
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise([features, *[width] * depth, outputs]):
            # weights are drawn later, so that the global random state stays as it is
            layers += [
                nn.Linear(size_in, size_out, device="meta").to_empty(device="cpu"),
                nn.SiLU(),
            ]
        self.network = nn.Sequential(*layers[:-1])
        self.register_buffer("mean_in", torch.zeros(features))
        self.register_buffer("scale_in", torch.ones(features))
        self.register_buffer("mean_out", torch.zeros(outputs))
        self.register_buffer("scale_out", torch.ones(()))
        self.register_buffer("quality", torch.zeros(3, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        """The conditional mean with shape `(n, k)`."""
        features = _features(inputs, self.classes)
        standardised = (features - self.mean_in) / self.scale_in
        fitted: Tensor = self.network(standardised)
        return self.mean_out + self.scale_out * fitted

    @property
    def r2(self) -> float:
        """Held-out R^2 pooled over outputs: 1 - sum of squared errors / sum of variances."""
        return float(self.quality[0])

    @property
    def r2_error(self) -> float:
        """Standard error of `r2`, by the delta method."""
        return float(self.quality[1])

    @property
    def explained(self) -> float:
        """V = R^2 tr Cov(targets), the variance that the inputs explain; 0 if R^2 is negative."""
        return max(0.0, self.r2) * float(self.quality[2])


class Standardised(nn.Module):
    """y flattened, each entry with mean 0 and variance 1 over a sample; constants become 0."""

    mean: Tensor
    scale: Tensor
    variance: Tensor

    def __init__(self, y: Tensor) -> None:
        super().__init__()
        flat = y.flatten(1).double() if y.ndim > 1 else y.double()[:, None]
        mean, deviation, varies = spread_of(flat, correction=0)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", torch.where(varies, deviation, torch.inf))
        self.register_buffer("variance", varies.sum().double())

    def forward(self, y: Tensor) -> Tensor:
        """Standardised y with shape `(n, d)`, float64."""
        return (y.double().reshape(len(y), -1) - self.mean) / self.scale

    @property
    def explained(self) -> float:
        """V = tr Cov: the number of entries that vary."""
        return float(self.variance)


class LinearRegression(nn.Module):
    """The best linear estimate of targets from inputs, learned by `fit_linear`."""

    weight: Tensor
    bias: Tensor
    variance: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, variance: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("variance", variance)

    def forward(self, inputs: Tensor) -> Tensor:
        """The estimate with shape `(n, k)`, float64."""
        return inputs.flatten(1).double() @ self.weight.T + self.bias

    @property
    def explained(self) -> float:
        """V = tr Cov of the estimate."""
        return float(self.variance)


def fit_linear(inputs: Tensor, targets: Tensor) -> LinearRegression:
    """Ridge regression on standardised inputs, its penalty by leave-one-out.

    Under a linear observation y = A x + noise it is E[x | y] for a Gaussian x of the same moments,
    so squared distances of estimates are what the operator makes of those of y.

    Args:
        inputs: with shape `(n, *shape)`.
        targets: with shape `(n, *shape)`.

    Raises:
        ValueError: if an input is not finite, the counts differ or there are fewer than 20 pairs.
    """
    from sklearn.linear_model import RidgeCV  # imports slowly

    _check_pairs(inputs, targets)
    scale = Standardised(inputs)
    outputs = targets.flatten(1).double().numpy()
    ridge = RidgeCV([1e-3, 1e-2, 0.1, 1, 10, 100, 1e3]).fit(scale(inputs).numpy(), outputs)
    weight = torch.from_numpy(ridge.coef_).reshape(outputs.shape[1], -1) / scale.scale
    bias = torch.as_tensor(ridge.intercept_).reshape(-1) - weight @ scale.mean
    estimate = inputs.flatten(1).double() @ weight.T
    return LinearRegression(weight, bias, estimate.var(0, correction=0).sum())


def fit_regression(
    inputs: Tensor,
    targets: Tensor,
    *,
    generator: Generator,
    width: int = 128,
    depth: int = 2,
    steps: int = 1500,
    batch: int = 256,
) -> Regression:
    """Learn E[targets | inputs] on 80 % of the pairs, and judge it on the others.

    A network with SiLU layers, AdamW with a linearly decaying rate, standardised inputs. The result
    depends on the arguments alone; the global random state is neither read nor changed.

    Args:
        inputs: with shape `(n, *shape)`, or integer class labels `(n,)`, which become one-hot.
        targets: with shape `(n, *shape)`.
        generator: source of the split, the weights and the batches.
        width: units in a hidden layer.
        depth: hidden layers.
        steps: optimiser steps; fewer, of 30 epochs in all, where there are not enough pairs.
        batch: pairs in a step.

    Raises:
        ValueError: if an input is not finite, the counts differ or there are fewer than 20 pairs.
        ConvergenceError: if training diverged.
    """
    regression, _ = fit_and_split(
        inputs, targets, generator=generator, width=width, depth=depth, steps=steps, batch=batch
    )
    return regression


def _features(inputs: Tensor, classes: int | None) -> Tensor:
    if classes is None:
        return inputs.reshape(len(inputs), -1).float()
    return nn.functional.one_hot(inputs.long(), classes).float()


def _check_pairs(inputs: Tensor, targets: Tensor) -> None:
    same_count(inputs=as_float64("inputs", inputs), targets=as_float64("targets", targets))
    if len(inputs) < _LEAST_PAIRS:
        raise ValueError(f"there are {len(inputs)} pairs; a regression needs {_LEAST_PAIRS}")


def fit_and_split(
    inputs: Tensor,
    targets: Tensor,
    *,
    generator: Generator,
    width: int = 128,
    depth: int = 2,
    steps: int = 1500,
    batch: int = 256,
) -> tuple[Regression, Tensor]:
    """The regression and the indices of the pairs that it was not trained on."""
    _check_pairs(inputs, targets)
    if is_label(inputs) and inputs.min() < 0:
        raise ValueError("a class label in inputs is negative; labels count from 0")
    classes = int(inputs.max()) + 1 if is_label(inputs) else None
    features = _features(inputs, classes)
    outputs = targets.detach().reshape(len(targets), -1).double()
    rows = torch.randperm(len(features), generator=generator)
    trained, held_out = rows.tensor_split([int(_TRAINED_SHARE * len(rows))])

    regression = Regression(
        features.shape[1], outputs.shape[1], width=width, depth=depth, classes=classes
    )
    _initialise(regression, features[trained], outputs[trained], generator)
    _train(regression, inputs[trained], outputs[trained], generator, steps, batch)
    _judge(regression, inputs[held_out], outputs[held_out])
    return regression, held_out


def _initialise(
    regression: Regression, features: Tensor, outputs: Tensor, generator: Generator
) -> None:
    """Random weights as PyTorch draws them, but from `generator`; scales from the data."""
    for layer in regression.network:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    standardised = Standardised(features)
    regression.mean_in.copy_(standardised.mean)
    regression.scale_in.copy_(standardised.scale)
    regression.mean_out.copy_(outputs.mean(0))
    # one scale for all outputs, so that the loss weighs them as R^2 does
    scale = outputs.var(0, correction=0).mean().sqrt()
    regression.scale_out.copy_(scale if scale > 0 else torch.ones(()))


def _train(
    regression: Regression,
    inputs: Tensor,
    outputs: Tensor,
    generator: Generator,
    steps: int,
    batch: int,
) -> None:
    optimiser = AdamW(regression.parameters(), lr=_LEARNING_RATE, fused=True)
    goal = outputs.float()
    steps = min(steps, max(_LEAST_STEPS, _MOST_EPOCHS * len(inputs) // batch))
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _LEARNING_RATE * (1 - step / steps)
        rows = torch.randint(len(inputs), (batch,), generator=generator)
        error = (regression(inputs[rows]) - goal[rows]) / regression.scale_out
        optimiser.zero_grad()
        error.square().mean().backward()
        optimiser.step()
    regression.requires_grad_(False)


def _judge(regression: Regression, inputs: Tensor, outputs: Tensor) -> None:
    """Held-out R^2, its standard error and the total variance, into the regression's `quality`."""
    errors = (regression(inputs).double() - outputs).square().sum(1)
    spreads = (outputs - outputs.mean(0)).square().sum(1)
    if not errors.isfinite().all():
        raise ConvergenceError("the regression diverged; are the inputs of a sensible scale?")
    variance = spreads.mean()
    if variance == 0:
        return
    r2 = 1 - errors.mean() / variance
    deviation = (errors - (1 - r2) * spreads).std() / variance
    regression.quality.copy_(torch.stack([r2, deviation / math.sqrt(len(outputs)), variance]))
