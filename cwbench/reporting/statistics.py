"""Intervals for means over seeds and observations, which are crossed, not nested.

All seeds and methods are judged on the same observations, so D_si, the value (or the paired
difference) of seed s at observation i, has two main effects. With S seeds and m observations,

    v_s = var_s(mean_i D) / S,   v_o = var_i(mean_s D) / m,
    v_e = sum res^2 / ((S - 1)(m - 1) S m),
    v   = max(v_s + v_o - v_e, v_s, v_o),
    df  = v^2 / (v_s^2 / (S - 1) + v_o^2 / (m - 1)),

and the interval is mean +- t_df sqrt(v) (Satterthwaite). A single seed leaves the interval over
observations alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2


def crossed_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
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
    seeds, observations = D.shape
    mean = D.mean()
    over_observations = D.mean(axis=0)
    v_o = over_observations.var(ddof=1) / observations
    if seeds == 1:
        variance, freedom = v_o, observations - 1.0
    else:
        over_seeds = D.mean(axis=1)
        v_s = over_seeds.var(ddof=1) / seeds
        residuals = D - over_seeds[:, None] - over_observations + mean
        v_e = (residuals**2).sum() / ((seeds - 1) * (observations - 1) * D.size)
        variance = max(v_s + v_o - v_e, v_s, v_o)
        spread = v_s**2 / (seeds - 1) + v_o**2 / (observations - 1)
        freedom = variance**2 / spread if spread > 0 else np.inf
    half = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return Interval(float(mean), float(mean - half), float(mean + half))
