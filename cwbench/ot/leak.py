"""What a coupling does to labels: how far it moves them, and what the latent then tells of them.

The *label leak* of source labels is how much the posterior differs between the conditions that are
paired. Its mean r(y) = E[X | Y = y] is learned by regression; V = tr Cov r(Y) is the held-out R^2
times tr Cov X. For the pairing sigma,

    leak = E|r(y_i) - r(y_sigma(i))|^2 / (2 V),

which is 0 for the pairing as drawn and 1 for unrelated labels; the excess of E_y[W_2^2] that a flow
inherits is about leak times the prior's. Where R^2 is not above 0 the posterior mean is blind to y
(x and -x equally likely, say), and y itself, standardised, takes its place, with V = tr Cov y.

The *prior skew* is the other defect, of couplings that let the fed condition follow x: the latent
then tells the condition, though at sampling time the two are independent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn

from cwbench.ot.checks import as_float64, check_positive, is_label, same_count
from cwbench.ot.coupling import Coupling
from cwbench.ot.regression import Regression, Standardised, fit_and_split, fit_regression

_LEAST_R2 = 0.01  # below it, or below twice its standard error, a regression says nothing
_DIRECTIONS = 16  # of x in which the covariance is regressed, at most


class Batch(NamedTuple):
    """A minibatch before pairing: `z` and `x` `(n, *x_shape)`, `y` `(n, *y_shape)`."""

    z: Tensor
    x: Tensor
    y: Tensor


class Statistic(Protocol):
    """A map of y in whose squared distances a label leak is measured."""

    @property
    def explained(self) -> float:
        """V, the total variance of the statistic: half the mean squared distance of unrelated y."""

    def __call__(self, y: Tensor) -> Tensor:
        """The statistic with shape `(n, k)` of y with shape `(n, *y_shape)`."""


def label_leak(coupling: Coupling, batches: Iterable[Batch], statistic: Statistic) -> float:
    """E|r(y_i) - r(y_sigma(i))|^2 / (2 V) over minibatches: 0 as drawn, 1 for unrelated labels.

    Raises:
        ValueError: if the statistic does not vary, or an input is not finite.
    """

    def ends(z: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        sigma = coupling(z, x, y)
        with torch.no_grad():
            r = statistic(y)
        return r, r[sigma]

    return moved_share((ends(*batch) for batch in batches), statistic.explained)


def moved_share(ends: Iterable[tuple[Tensor, Tensor]], explained: float) -> float:
    """E|r - r'|^2 / (2 V): `label_leak` from the statistics of both ends of pairs.

    Args:
        ends: statistics of the conditions (of the latents, of their data), each `(n, k)`.
        explained: V, the total variance of the statistic.

    Raises:
        ValueError: if the statistic does not vary.
    """
    check_positive("the explained variance", explained)
    moved = [(r.double() - other.double()).square().sum(1).mean() for r, other in ends]
    return float(torch.stack(moved).mean()) / (2 * explained)


def label_statistic(x: Tensor, y: Tensor, *, generator: Generator) -> Regression | Standardised:
    """What conditions are compared by: r(y) = E[x | y], or standardised y where r is blind.

    r is blind where `is_blind` says so. Class labels are then compared as numbers, which is meant
    for a diagnosis only.

    Args:
        x: with shape `(n, *x_shape)`.
        y: with shape `(n, *y_shape)`, or integer class labels `(n,)`.
        generator: source of randomness of the regression.

    Raises:
        ValueError: if an input is not finite or the counts differ.
        ConvergenceError: if the regression diverged.
    """
    regression = fit_regression(y, x, generator=generator)
    return Standardised(y) if is_blind(regression) else regression


def is_blind(regression: Regression) -> bool:
    """Whether the held-out R^2 is below 0.01 or below twice its standard error."""
    return not regression.r2 > max(_LEAST_R2, 2 * regression.r2_error)


class Spread(NamedTuple):
    """What the posterior's mean does not tell of y: its covariance, as a function of y.

    `share` is what y leaves open of tr Cov x, by which a leak in the covariance counts.
    """

    statistic: Regression
    share: float


def spread_statistic(
    mean: Regression, x: Tensor, y: Tensor, *, generator: Generator
) -> Spread | None:
    """A regression of Cov(x | y); None where it does not depend on y.

    The mean may say much and be blind to one direction of y (two crescents whose middle does not
    move), along which a coupling that compares means then mixes conditions up.

    Args:
        mean: the regression of x on y.
        x: with shape `(n, *x_shape)`.
        y: with shape `(n, *y_shape)`.
        generator: source of randomness of the regression.
    """
    with torch.no_grad():
        residual = x.flatten(1).float() - mean(y)
    share = float(residual.square().sum() / (x - x.mean(0)).square().sum())
    covariance = fit_regression(y, products(residual, generator), generator=generator)
    return None if is_blind(covariance) else Spread(covariance, share)


def products(x: Tensor, generator: Generator) -> Tensor:
    """x_a x_b for all a <= b, of 16 random directions where x `(n, d)` is longer, `(n, k)`."""
    if x.shape[1] > _DIRECTIONS:
        x = x @ torch.randn(x.shape[1], _DIRECTIONS, generator=generator, dtype=x.dtype)
    rows, columns = torch.triu_indices(x.shape[1], x.shape[1])
    return x[:, rows] * x[:, columns]


class PriorSkew(NamedTuple):
    """How well the fed condition can be predicted from the latent; 0 is what sampling assumes.

    `r2` is held out and pooled over standardised entries of the condition (of the one-hot vector,
    for class labels). For class labels `accuracy` is the held-out share of right classes and
    `chance` that of always saying the most frequent one; else both are None.
    """

    r2: float
    accuracy: float | None
    chance: float | None


def prior_skew(z: Tensor, fed_y: Tensor, *, generator: Generator) -> PriorSkew:
    """Predict the condition that was fed to the network from the latent it was fed with.

    Args:
        z: latents with shape `(n, *x_shape)`.
        fed_y: conditions with shape `(n, *y_shape)`, or integer class labels `(n,)`.
        generator: source of randomness of the regression.

    Raises:
        ValueError: if an input is not finite or the counts differ.
        ConvergenceError: if the regression diverged.
    """
    same_count(z=as_float64("z", z), fed_y=as_float64("fed_y", fed_y))
    if not is_label(fed_y):
        regression = fit_regression(z, Standardised(fed_y)(fed_y), generator=generator)
        return PriorSkew(regression.r2, None, None)
    classes, index = torch.unique(fed_y, return_inverse=True)
    one_hot = nn.functional.one_hot(index, len(classes)).float()
    regression, held_out = fit_and_split(z, one_hot, generator=generator)
    with torch.no_grad():
        right = regression(z[held_out]).argmax(1) == index[held_out]
    chance = one_hot[held_out].mean(0).max()
    return PriorSkew(regression.r2, float(right.double().mean()), float(chance))
