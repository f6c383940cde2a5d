"""Intervals for means over seeds and observations, which are crossed, not nested.

All seeds and methods are judged on the same observations, so D_si, the value (or the paired
difference) of seed s at observation i, has two main effects. With S seeds and m observations,

    v_s = var_s(mean_i D) / S,   v_o = var_i(mean_s D) / m,
    v_e = sum res^2 / ((S - 1)(m - 1) S m),
    v   = max(v_s + v_o - v_e, v_s, v_o),
    df  = v^2 / (v_s^2 / (S - 1) + v_o^2 / (m - 1)),

and the interval is mean +- t_df sqrt(v) (Satterthwaite). A single seed leaves the interval over
observations alone, a metric with one value a seed (m = 1) the interval over seeds alone.

The degrees of freedom are estimated: where seeds and observations both matter, the mean is missed
in up to 8 % of cases with 3 seeds and 6 % with 5 or 10, at a nominal 5 %. Of very skewed effects of
observations the mean is not normal yet: up to 12 % over 30 of them, 10 % over 50. Whether two
methods differ is asked otherwise, in `pairs`, from the same parts v_s, v_o and v_e.

A ratio of two means is taken as linear near its value: A/B - r has the mean of (A_si - r B_si)/B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEVEL = 0.95
LEAST_SEEDS = 3
"""Seeds a side without which no two methods are told apart."""
PRECISION = 1e-10
"""Shares of a variance below which a difference of products has lost its digits."""

Array = NDArray[np.float64]
Direction = Literal["lower", "higher"]
Verdict = Literal["better", "worse", "tie", "too few seeds", "no verdict"]


class Interval(NamedTuple):
    """A mean with its confidence interval; the bounds are NaN where one value is all there is."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


class Bounds(NamedTuple):
    """Values with their intervals, arrays of one shape."""

    mean: Array
    low: Array
    high: Array


class Estimate(NamedTuple):
    """Means, their variances and degrees of freedom, arrays of one shape."""

    mean: Array
    variance: Array
    freedom: Array

    def half(self, level: float = LEVEL) -> Array:
        """Half the widths of the intervals."""
        quantile: Array = np.asarray(special.stdtrit(self.freedom, (1 + level) / 2), np.float64)
        return quantile * np.sqrt(self.variance)

    def bounds(self, level: float = LEVEL) -> Bounds:
        """The means with their intervals."""
        half = self.half(level)
        return Bounds(self.mean, self.mean - half, self.mean + half)


def crossed_interval(values: ArrayLike, *, level: float = LEVEL) -> Interval:
    """The mean of D with its interval over seeds and observations.

    Args:
        values: D with shape `(seeds, observations)`, at least two observations.
        level: of confidence, between 0 and 1.

    Raises:
        ValueError: if a value is not finite or there are fewer than two observations.
    """
    D = np.asarray(values, dtype=np.float64)
    if D.ndim != 2 or D.shape[1] < 2 or not np.isfinite(D).all():
        raise ValueError(f"finite values (seeds, observations >= 2) are needed, got {D.shape}")
    return Interval(*map(float, crossed(D).bounds(level)))


class Effects(NamedTuple):
    """Means of D and the parts v_s, v_o and v_e of their variances, arrays of one shape."""

    mean: Array
    seeds: Array
    observations: Array
    residual: Array


def crossed(values: Array) -> Estimate:
    """The means of D and their variances by the formulas above.

    Args:
        values: D with shape `(..., seeds, observations)`, finite.

    Returns:
        Estimates with shape `(...)`; of a single value the variance is NaN.
    """
    S, m = values.shape[-2:]
    mean, v_s, v_o, v_e = effects(values)
    if S == 1 or m == 1:  # the other effect is all there is
        alone = v_o if S == 1 else v_s
        freedom = np.full_like(mean, max(S, m) - 1.0)
        known = np.where(freedom > 0, alone, np.nan)
        return Estimate(mean, known, np.maximum(freedom, 1.0))
    variance = np.maximum(np.maximum(v_s + v_o - v_e, v_s), v_o)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = variance**2 / (v_s**2 / (S - 1) + v_o**2 / (m - 1))
    return Estimate(mean, variance, np.where(np.isfinite(freedom), freedom, np.inf))


def effects(values: Array) -> Effects:
    """Of D with shape `(..., seeds, observations)`; a part that one value has not is 0."""
    over_seeds, over_observations = values.mean(-1), values.mean(-2)
    mean = over_seeds.mean(-1)
    residuals = values - over_seeds[..., None]
    residuals -= over_observations[..., None, :]
    residuals += mean[..., None, None]
    squares = [
        ((over_seeds - mean[..., None]) ** 2).sum(-1),
        ((over_observations - mean[..., None]) ** 2).sum(-1),
        np.square(residuals, out=residuals).sum((-2, -1)),
    ]
    return _shared_out(mean, squares, *values.shape[-2:])


def _shared_out(mean: Array, squares: Sequence[Array], S: int, m: int) -> Effects:
    """Sums of squares of seeds, observations and residuals over their degrees of freedom."""
    degrees = (S - 1) * S, (m - 1) * m, (S - 1) * (m - 1) * S * m
    v_s, v_o, v_e = (part / max(each, 1) for part, each in zip(squares, degrees, strict=True))
    return Effects(mean, v_s, v_o, v_e if degrees[2] else np.zeros_like(mean))


def differences(values: Array) -> Effects:
    """Of the paired differences a - b of all pairs a < b of k methods, as `numpy.triu_indices`.

    The variances come from products of the methods' effects, which costs k^2 numbers and not
    k^2 S m of them; pairs too alike for that are subtracted value by value.

    Args:
        values: with shape `(k, seeds, observations)`, finite, on the same seeds and observations.

    Returns:
        Effects with shape `(k (k - 1) / 2,)`.
    """
    k, S, m = values.shape
    shared = values - values.mean(0)
    P, Q = shared.mean(2), shared.mean(1)
    g = P.mean(1)
    shared -= P[:, :, None]
    shared -= Q[:, None, :]
    shared += g[:, None, None]
    effects_of_each = P - g[:, None], Q - g[:, None], shared.reshape(k, -1)
    sums, scales = zip(*map(_distances, effects_of_each), strict=True)
    pairs = upper(k)
    found = _shared_out(np.subtract.outer(g, g)[pairs], sums, S, m)
    alike = np.zeros((k, k), np.bool_)
    alike[pairs] = sum(sums) <= PRECISION * sum(scales)
    for place, (a, b) in zip(np.flatnonzero(alike[pairs]), np.argwhere(alike), strict=True):
        for whole, part in zip(found, effects(values[a] - values[b]), strict=True):
            whole[place] = part
    return found


def _distances(part: Array) -> tuple[Array, Array]:
    """|a - b|^2 of all pairs of rows, from their products, and |a|^2 + |b|^2."""
    products, pairs = part @ part.T, upper(len(part))
    squares = np.diag(products)
    scales = np.add.outer(squares, squares)[pairs]
    return np.maximum(scales - 2 * products[pairs], 0.0), scales


def upper(k: int) -> NDArray[np.bool_]:
    """Where a < b, `(k, k)`: it picks all pairs from a square, as `numpy.triu_indices` has them."""
    upper: NDArray[np.bool_] = np.less.outer(np.arange(k), np.arange(k))
    return upper


def scaled_scores(values: Array, prior: Array) -> Bounds | None:
    """1 - mean / mean of `prior`: 0 is a sampler that ignores y, 1 exactly the posterior.

    Args:
        values: of a debiased metric where lower is better, `(..., seeds, observations)`.
        prior: on the same observations, `(observations,)`, its seeds averaged. None is returned
            unless its mean is above 0.
    """
    base = prior.mean()
    if not base > 0:
        return None
    share = values.mean((-2, -1)) / base
    half = crossed((values - share[..., None, None] * prior) / base).half()
    half = np.where(_is_base(values, prior), 0.0, half)
    return Bounds(1 - share, 1 - share - half, 1 - share + half)


def log_ratios(values: Array, gaussian: Array) -> Bounds | None:
    """log10 of the ratio to `oracle-gaussian`, NaN where a mean is not above 0.

    log A - log B has the derivative of A / mean A - B / mean B. Arguments as of `scaled_scores`.
    """
    base = gaussian.mean()
    if not base > 0:
        return None
    means = values.mean((-2, -1))
    means = np.where(means > 0, means, np.nan)
    centre = np.log10(means / base)
    linear = (values / means[..., None, None] - gaussian / base) / np.log(10)
    half = np.where(_is_base(values, gaussian), 0.0, crossed(linear).half())
    return Bounds(centre, centre - half, centre + half)


def _is_base(values: Array, base: Array) -> Array:
    """Where a method is the control it is measured by: its ratio is 1 and has no interval."""
    alike = np.isclose(values.mean(-2), base, rtol=1e-12, atol=0)
    return np.asarray(alike.all(-1))


def ninetieth_percentiles(values: Array) -> Array:
    """Over observations, of the means over seeds; `(..., seeds, observations)`."""
    return np.asarray(np.quantile(values.mean(-2), 0.9, axis=-1))


def verdict(difference: Interval, seeds: int, direction: Direction = "lower") -> Verdict:
    """What an interval of A - B says of A; `seeds` is how many there are on each side."""
    if seeds < LEAST_SEEDS:
        return "too few seeds"
    if difference.low <= 0 <= difference.high or np.isnan(difference.low):
        return "tie"
    return "better" if (difference.mean < 0) == (direction == "lower") else "worse"


def joint_verdict(main: Verdict, others: Sequence[Verdict]) -> Verdict:
    """The main distance's verdict, called only where no two of the distances contradict."""
    called = {main, *others}
    return "no verdict" if {"better", "worse"} <= called else main
