"""The beta from which on a conditional coupling moves labels no further than is accepted.

beta has no natural scale: with a 5-dimensional y the value 100 is already the independent pairing,
with a 64-dimensional y so is 1. What matters is how much the posterior differs between the paired
conditions, the label leak of `cwbench.ot.leak`. `calibrate_beta` returns the smallest beta whose
leak is within a target. Along the optimal assignments of |z-x|^2 + beta |r(y)-r(y')|^2 the leak
falls monotonically in beta, so bisection finds it.

Where R^2 is not above 0 the posterior mean is blind to y (x and -x equally likely, say). Where it
is, the mean may still be blind to one direction of y (two crescents whose middle does not move):
the posterior covariance, regressed likewise, then leaks at the beta that the mean is content with.
In both cases y itself, standardised, takes the place of r(y), with V = tr Cov y.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from cwbench.ot.assignment import assignment, squared_distances
from cwbench.ot.checks import (
    ConvergenceError,
    Float64,
    as_float64,
    check_positive,
    is_label,
    same_count,
)
from cwbench.ot.coupling import ConditionalOT, Coupling, changed_pairs, label_cost
from cwbench.ot.leak import Batch, is_blind, label_leak, products, spread_statistic
from cwbench.ot.regression import (
    LinearRegression,
    Regression,
    Standardised,
    fit_linear,
    fit_regression,
)

CompareBy = Literal["auto", "posterior-mean", "linear", "observation", "moments"]
"""How conditions are compared: by r(y), but by y where r is blind; by r(y); by the best linear
estimate of x, which is what an operator makes of y; by y itself, standardised; by the posterior's
first two moments, which see where the mean is blind."""

_LOWEST, _HIGHEST, _LIMIT = 1e-4, 1e6, 1e18
_PRECISION = 0.005  # of log10 beta
_PARTLY_BLIND = 0.1  # share of tr Cov x: measured .03 where means suffice, .34 on two crescents
_NAMES = {"posterior-mean": "posterior mean", "moments": "pair of posterior moments"}

Embedding = Regression | LinearRegression | Standardised
Kind = Callable[[float, Embedding], Coupling]
"""What pairs at a beta, and with conditions compared by an embedding."""


@dataclass(frozen=True)
class Calibration:
    """A chosen beta and what it does; `ConditionalOT(beta, embedding)` is the coupling.

    Attributes:
        beta: the weight, infinite for class labels (exact pairing inside each class).
        leak: the label leak at `beta`, over the calibration's batches.
        changed_pairs: the share of latents that are not paired as drawn.
        embedding: the statistic in which labels are compared; None for class labels.
        r2: held-out R^2 of the posterior mean; None for class labels, which need no regression.
        blind: whether the posterior mean misses what y says, so that y itself is used.
        statistic: what `embedding` computes.
        covariance_leak: leak of the posterior covariance at the beta that suits the mean, times the
            share of tr Cov x that y leaves open; above 0.1 the mean is blind to a part of y. None
            where the covariance does not depend on y.
    """

    beta: float
    leak: float
    changed_pairs: float
    embedding: Embedding | None
    r2: float | None
    blind: bool
    statistic: Literal["posterior-mean", "linear", "standardised-y", "class-label", "moments"]
    covariance_leak: float | None = None


def calibrate_beta(
    x: Tensor,
    y: Tensor,
    sample_latent: Callable[[int, Generator], Tensor],
    *,
    batch: int,
    generator: Generator,
    target: float = 0.001,
    batches: int = 8,
    compare: CompareBy = "auto",
    kind: Kind = ConditionalOT,
) -> Calibration:
    """The smallest beta whose label leak is at most `target`, found on training pairs.

    beta is sought between 1e-4 and 1e6, beyond only where x is so small that 1e6 still leaks.

    Args:
        x: with shape `(n, *x_shape)`.
        y: with shape `(n, *y_shape)`, or integer class labels `(n,)`.
        sample_latent: draws latents, `(n, generator) -> (n, *x_shape)`.
        batch: size of the minibatches that will be paired in training: the leak depends on it.
        generator: source of randomness.
        target: leak that is accepted, the share of the prior's error that is given up.
        batches: minibatches the leak is measured on; they are the same for every beta.
        compare: what the coupling compares conditions by. The leak is measured in r(y) wherever r
            is not blind, so that the betas of all comparisons give up equally much.
        kind: of the coupling, whose leak falls as beta grows. One that is not `ConditionalOT` pairs
            anew at each beta that is tried; it is not asked where y are class labels.

    Raises:
        ValueError: if an input is not finite, the counts differ, there are fewer than `batch` pairs
            or a setting is not positive.
        ConvergenceError: if the regression diverged, or the leak stays above `target`.
    """
    for name, value in {"batch": batch, "target": target, "batches": batches}.items():
        check_positive(name, value)
    same_count(x=as_float64("x", x), y=as_float64("y", y))
    if len(x) < batch:
        raise ValueError(f"there are {len(x)} pairs for minibatches of {batch}; give more pairs")
    if is_label(y):
        return _within_classes(draw_batches(x, y, sample_latent, batch, generator, batches))
    targets = moments(x, generator) if compare == "moments" else x
    regression = fit_regression(y, targets, generator=generator)
    drawn = draw_batches(x, y, sample_latent, batch, generator, batches)
    facts: dict[str, Any] = {"r2": regression.r2, "covariance_leak": None}
    if compare != "auto":
        return _compared(compare, regression, x, y, drawn, target, kind)
    if not is_blind(regression):
        found = _calibrated(regression, drawn, target, kind)
        spread = spread_statistic(regression, x, y, generator=generator)
        leak = spread and spread.share * label_leak(
            kind(found[0], regression), drawn, spread.statistic
        )
        facts["covariance_leak"] = leak
        if leak is None or leak <= _PARTLY_BLIND:
            return Calibration(*found, regression, blind=False, statistic="posterior-mean", **facts)
    embedding = Standardised(y)
    found = _calibrated(embedding, drawn, target, kind)
    return Calibration(*found, embedding, blind=True, statistic="standardised-y", **facts)


def moments(x: Tensor, generator: Generator) -> Tensor:
    """Flat x beside its second-order products, each part of total variance 1, `(n, k)`.

    The regression of it on y has the posterior's mean and second moments, which tell conditions
    apart whose means agree. Of a long x 16 random directions are multiplied.

    Args:
        x: with shape `(n, *x_shape)`.
        generator: source of the directions.
    """
    flat = x.flatten(1).double()
    flat = (flat - flat.mean(0)) / flat.var(0, correction=0).sum().sqrt()
    seconds = products(flat, generator)
    return torch.cat([flat, seconds / seconds.var(0, correction=0).sum().sqrt()], 1)


def _calibrated(
    embedding: Embedding,
    batches: list[Batch],
    target: float,
    kind: Kind,
    statistic: Regression | Standardised | None = None,
) -> tuple[float, float, float]:
    """The smallest beta within the target, its leak, and the share of pairs it changes.

    The leak is measured in `statistic`, by default in what the coupling compares itself.
    """
    measured = embedding if statistic is None else statistic
    if kind is not ConditionalOT:
        return _paired_anew(embedding, batches, target, kind, measured)
    problems = [
        _Problem(squared_distances(b.z, b.x), label_cost(b.y, embedding), label_cost(b.y, measured))
        for b in batches
    ]
    beta = _smallest_beta(lambda beta: _leak(problems, beta, measured.explained), target)
    changed = float(np.mean([problem.changed(beta) for problem in problems]))
    return beta, _leak(problems, beta, measured.explained), changed


def _paired_anew(
    embedding: Embedding, batches: list[Batch], target: float, kind: Kind, measured: Embedding
) -> tuple[float, float, float]:
    """The same for a coupling of any kind."""

    def leak(beta: float) -> float:
        if not measured.explained:
            return 0.0  # an observation that never changes cannot leak
        return label_leak(kind(beta, embedding), batches, measured)

    beta = _smallest_beta(leak, target)
    changed = [changed_pairs(kind(beta, embedding)(*batch)) for batch in batches]
    return beta, leak(beta), float(np.mean(changed))


def _compared(
    compare: CompareBy,
    regression: Regression,
    x: Tensor,
    y: Tensor,
    batches: list[Batch],
    target: float,
    kind: Kind,
) -> Calibration:
    """The calibration where the comparison was chosen by hand."""
    blind = is_blind(regression)
    facts: dict[str, Any] = {"r2": regression.r2, "blind": blind}
    if compare in ("posterior-mean", "moments"):
        if blind:
            raise ValueError(
                f"the {_NAMES[compare]} is blind to y (held-out R^2 {regression.r2:.3f}): "
                "conditions cannot be compared by it; choose auto or observation"
            )
        found = _calibrated(regression, batches, target, kind)
        if compare == "moments":
            return Calibration(*found, regression, statistic="moments", **facts)
        return Calibration(*found, regression, statistic="posterior-mean", **facts)
    embedding = fit_linear(y, x) if compare == "linear" else Standardised(y)
    found = _calibrated(embedding, batches, target, kind, None if blind else regression)
    name: Any = "linear" if compare == "linear" else "standardised-y"
    return Calibration(*found, embedding, statistic=name, **facts)


class _Problem(NamedTuple):
    """|z_i - x_j|^2, |e_i - e_j|^2 and |r_i - r_j|^2 of one minibatch, with shape `(n, n)`."""

    transport: Float64
    label: Float64
    measured: Float64

    def moved(self, beta: float) -> float:
        sigma = assignment(self.transport + beta * self.label)
        return float(self.measured[np.arange(len(sigma)), sigma].mean())

    def changed(self, beta: float) -> float:
        sigma = assignment(self.transport + beta * self.label)
        return changed_pairs(torch.from_numpy(sigma))


def _leak(problems: list[_Problem], beta: float, explained: float) -> float:
    moved = float(np.mean([problem.moved(beta) for problem in problems]))
    return moved / (2 * explained) if moved > 0 else 0.0


def _smallest_beta(leak: Callable[[float], float], target: float) -> float:
    """Bisection in log10 beta; the returned end of the bracket is within the target."""
    if leak(_LOWEST) <= target:
        return _LOWEST
    low, high = math.log10(_LOWEST), math.log10(_HIGHEST)
    while leak(10**high) > target:
        low, high = high, high + 2
        if 10**high > _LIMIT:
            raise ConvergenceError(f"the label leak stays above {target} at every beta")
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if leak(10**middle) <= target else (middle, high)
    return float(10**high)


def draw_batches(
    x: Tensor,
    y: Tensor,
    sample_latent: Callable[[int, Generator], Tensor],
    batch: int,
    generator: Generator,
    batches: int,
) -> list[Batch]:
    """Minibatches of pairs drawn without replacement, each with fresh latents."""
    drawn = []
    for _ in range(batches):
        rows = torch.randperm(len(x), generator=generator)[:batch]
        drawn.append(Batch(sample_latent(batch, generator), x[rows], y[rows]))
    return drawn


def _within_classes(batches: list[Batch]) -> Calibration:
    coupling = ConditionalOT(math.inf)
    changed = [changed_pairs(coupling(*batch)) for batch in batches]
    return Calibration(
        beta=math.inf,
        embedding=None,
        leak=0.0,
        changed_pairs=float(np.mean(changed)),
        r2=None,
        blind=False,
        statistic="class-label",
    )
