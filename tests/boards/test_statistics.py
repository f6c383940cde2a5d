"""Intervals against a balanced two-way layout whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cwbench.boards.statistics import crossed_interval


def test_one_seed_is_the_t_interval_over_observations() -> None:
    values = np.random.default_rng(0).normal(size=30)
    low, high = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert crossed_interval(values[None]) == pytest.approx((values.mean(), low, high))


def test_only_seeds_vary() -> None:
    seeds = np.array([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, seeds.mean(), stats.sem(seeds))
    assert crossed_interval(np.repeat(seeds[:, None], 8, 1)) == pytest.approx(
        (seeds.mean(), low, high)
    )


@pytest.mark.parametrize(
    ("seed_sd", "observation_sd"), [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.0, 0.0)]
)
def test_the_truth_is_covered_at_the_nominal_level(seed_sd: float, observation_sd: float) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        effects = seed_sd * rng.normal(size=(3, 1)) + observation_sd * rng.normal(size=(1, 40))
        interval = crossed_interval(effects + rng.normal(size=(3, 40)))
        hits += interval.low <= 0 <= interval.high
    assert 0.925 <= hits / 1000 <= 0.999


def test_a_lucky_nested_interval_would_fail_here() -> None:
    """Pooling seeds and observations covers far less when seeds differ."""
    rng = np.random.default_rng(2)
    pooled = crossed = 0
    for _ in range(400):
        values = 0.5 * rng.normal(size=(3, 1)) + rng.normal(size=(3, 40))
        low, high = stats.t.interval(
            0.95, values.size - 1, values.mean(), stats.sem(values.ravel())
        )
        pooled += low <= 0 <= high
        interval = crossed_interval(values)
        crossed += interval.low <= 0 <= interval.high
    assert pooled / 400 < 0.6 < 0.92 < crossed / 400


@pytest.mark.parametrize("values", [[[1.0]], [1.0, 2.0], [[np.nan, 1.0]]])
def test_what_has_no_interval_is_refused(values: list[object]) -> None:
    with pytest.raises(ValueError, match="finite values"):
        crossed_interval(values)
