"""Whether intervals, verdicts and scores keep their promises where the truth is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from cwbench.boards.statistics import (
    Interval,
    crossed,
    crossed_interval,
    differences,
    effects,
    joint_verdict,
    log_ratios,
    ninetieth_percentiles,
    scaled_scores,
    verdict,
)

SEEDS = (3, 5, 10)
EFFECTS = [(1.0, 0.2), (0.3, 1.0), (0.0, 1.0)]
"""Standard deviations between seeds and between observations, beside one of 1 between both."""


WORST = {3: 0.08, 5: 0.06, 10: 0.06}
"""False verdicts at a nominal 5 %, where both effects are large: the degrees of freedom are
estimated, of two numbers with three seeds. The docstring of the module says so too."""

SKEWED = {1.0: {30: 0.12, 50: 0.105}, 0.5: {30: 0.07, 50: 0.065}}
"""The same where effects of observations are lognormal, by their sigma and how many there are.

Upper bounds for any number of seeds. Where observations alone matter 40,000 repetitions, with a
standard error of at most .16 %, gave 11.7 and 10.2 % at sigma = 1, 6.5 and 6.2 % at 0.5. Samples of
sigma = 0.5 are about as skewed as differences near a tie on record (`benchmarks.skewness`).
"""


def drawn(
    rng: np.random.Generator, k: int, S: int, m: int, seed_sd: float, observation_sd: float
) -> np.ndarray:
    """`(k, seeds, observations)` with mean 0 and both effects of its own for each of k."""
    seeds = seed_sd * rng.normal(size=(k, S, 1))
    return seeds + observation_sd * rng.normal(size=(k, 1, m)) + rng.normal(size=(k, S, m))


def lognormal(rng: np.random.Generator, sigma: float, size: tuple[int, ...]) -> np.ndarray:
    """Of mean 0 and variance 1; skewness 6.2 at sigma = 1, 1.75 at sigma = 0.5."""
    centred = rng.lognormal(sigma=sigma, size=size) - np.exp(sigma**2 / 2)
    return np.asarray(centred / np.sqrt(np.exp(sigma**2) * np.expm1(sigma**2)))


def skewed(
    rng: np.random.Generator,
    k: int,
    S: int,
    m: int,
    seed_sd: float,
    observation_sd: float,
    sigma: float,
) -> np.ndarray:
    """As `drawn`, with lognormal effects of observations."""
    effects = observation_sd * lognormal(rng, sigma, (k, 1, m))
    return drawn(rng, k, S, m, seed_sd, 0.0) + effects


def told_apart(values: np.ndarray) -> float:
    """The share whose interval does not contain 0."""
    bounds = crossed(values).bounds()
    return float(np.mean((bounds.low > 0) | (bounds.high < 0)))


def test_many_at_once_are_each_by_itself() -> None:
    values = drawn(np.random.default_rng(0), 7, 4, 9, 1, 1)
    many = crossed(values).bounds()
    for i, one in enumerate(values):
        assert crossed_interval(one) == pytest.approx((many.mean[i], many.low[i], many.high[i]))


def test_differences_by_products_are_those_by_subtraction() -> None:
    values = drawn(np.random.default_rng(1), 6, 3, 20, 1, 1) + 100.0
    values[5] = values[4]  # the same method twice
    values[3] = values[2] + 1e-9 * drawn(np.random.default_rng(2), 1, 3, 20, 1, 1)[0]
    found = differences(values)
    above = list(itertools.combinations(range(6), 2))
    assert found.mean.shape == (len(above),)
    for place, (a, b) in enumerate(above):
        mean, *alone = effects(values[a] - values[b])
        assert found.mean[place] == pytest.approx(mean, abs=1e-12)
        assert [part[place] for part in found[1:]] == pytest.approx(alone, rel=1e-6, abs=1e-26)
    assert not any(part[above.index((4, 5))] for part in found)


def test_without_effects_between_seeds_or_of_observations_it_is_the_t_test() -> None:
    seeds = np.array([0.1, 0.4, 0.2])[:, None]  # one value a seed
    expected = stats.ttest_1samp(seeds[:, 0], 0).confidence_interval()
    found = crossed(seeds).bounds()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_value_has_no_interval() -> None:
    estimate = crossed(np.array([[2.0]]))
    assert estimate.mean == 2
    assert np.isnan(estimate.half())


@pytest.mark.parametrize("S", SEEDS)
@pytest.mark.parametrize(("seed_sd", "observation_sd"), EFFECTS)
def test_intervals_cover_and_verdicts_err_at_the_nominal_level(
    S: int, seed_sd: float, observation_sd: float
) -> None:
    """Equal methods are told apart as often as `WORST` says; the standard error is .35 %."""
    values = drawn(np.random.default_rng(S), 4000, S, 40, seed_sd, observation_sd)
    assert told_apart(values) <= WORST[S] + 3 * 0.0035


@pytest.mark.parametrize("S", SEEDS)
@pytest.mark.parametrize("m", [30, 50])
@pytest.mark.parametrize("sigma", SKEWED)
@pytest.mark.parametrize(("seed_sd", "observation_sd"), [(0.2, 1.0), (0.3, 3.0), (0.0, 10.0)])
def test_skewed_effects_of_observations_err_at_most_so_often(
    S: int, m: int, sigma: float, seed_sd: float, observation_sd: float
) -> None:
    """No more often than `SKEWED` says; the standard error is .5 % at a rate of 12 %."""
    rng = np.random.default_rng(S + m)
    values = skewed(rng, 4000, S, m, seed_sd, observation_sd, sigma)
    wrong = told_apart(values)
    most = SKEWED[sigma][m]
    assert wrong <= most + 3 * (most * (1 - most) / 4000) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("S", SEEDS)
@pytest.mark.parametrize("m", [10, 30, 100])
@pytest.mark.parametrize("seed_sd", [0.0, 0.1, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("observation_sd", [0.0, 0.3, 1.0, 3.0])
def test_the_level_holds_over_a_wide_grid(
    S: int, m: int, seed_sd: float, observation_sd: float
) -> None:
    rng = np.random.default_rng(int(1000 * seed_sd + 10 * observation_sd + S + m))
    values = drawn(rng, 10_000, S, m, seed_sd, observation_sd)
    wrong = told_apart(values)
    assert wrong <= WORST[S] + 3 * 0.0027


@pytest.mark.parametrize("S", SEEDS)
def test_one_method_under_two_names_is_a_tie(S: int) -> None:
    """200 repetitions, at most about 5 % of them told apart: 19 or more have a chance of 1 %."""
    rng = np.random.default_rng(10 + S)
    shared = rng.normal(size=(200, 1, 40))  # the observations are the same for both names
    both = [shared + drawn(rng, 200, S, 40, 0.3, 0.0) for _ in range(2)]
    bounds = crossed(both[0] - both[1]).bounds()
    intervals = [Interval(*map(float, each)) for each in zip(*bounds, strict=True)]
    told_apart = sum(verdict(each, S) != "tie" for each in intervals)
    assert told_apart < 19


@pytest.mark.parametrize("S", SEEDS)
def test_a_difference_of_two_standard_errors_is_found_as_often_as_the_power_says(S: int) -> None:
    """Only seeds vary, so the exact power is that of a t-test with S - 1 degrees of freedom."""
    rng = np.random.default_rng(20 + S)
    effects = rng.normal(size=(20_000, S, 1)) + 2 / S**0.5  # the mean is two standard errors
    values = np.repeat(effects, 8, axis=2)
    found = told_apart(values)
    quantile = stats.t.ppf(0.975, S - 1)
    power = stats.nct.sf(quantile, S - 1, 2) + stats.nct.cdf(-quantile, S - 1, 2)
    assert found == pytest.approx(power, abs=4 * (power * (1 - power) / 20_000) ** 0.5)


def test_pairing_finds_what_unpaired_intervals_hide() -> None:
    rng = np.random.default_rng(4)
    shared = 5 * rng.normal(size=(1, 1, 40))
    a = shared + 0.1 * rng.normal(size=(1, 5, 40))
    b = shared + 0.1 * rng.normal(size=(1, 5, 40)) + 0.1
    alone = [crossed(each).bounds() for each in (a, b)]
    assert alone[0].high > alone[1].low
    assert told_apart(a - b) == 1


def test_scaled_scores_and_their_intervals() -> None:
    rng = np.random.default_rng(5)
    prior = 10 + rng.normal(size=60)
    zero, prior_again = np.zeros((1, 3, 60)), np.broadcast_to(prior, (1, 3, 60))
    for values, score in ((zero, 1.0), (prior_again, 0.0)):
        found = scaled_scores(values, prior)
        assert found is not None
        assert [each.item() for each in found] == pytest.approx([score] * 3)
    assert scaled_scores(zero, -prior) is None


@pytest.mark.parametrize(("score", "itself"), [(scaled_scores, 0.0), (log_ratios, 0.0)])
def test_a_control_measured_by_itself_has_no_interval(score: Callable, itself: float) -> None:
    """Its seeds differ; the ratio of their mean to their mean does not."""
    seeds = 10 + np.random.default_rng(5).normal(size=(3, 60))
    found = score(np.stack([seeds, seeds + 0.1]), seeds.mean(0))
    assert [each[0] for each in found] == pytest.approx([itself] * 3, abs=1e-12)
    assert found.low[1] < found.mean[1] < found.high[1]


@pytest.mark.parametrize("score", [scaled_scores, log_ratios])
def test_intervals_of_ratios_cover_the_truth(score: object) -> None:
    """The control's mean over observations is what is divided by, and it is estimated too."""
    rng = np.random.default_rng(6)
    hits = []
    for _ in range(1500):
        observations = rng.normal(size=60)
        base = 4 + observations + 0.3 * rng.normal(size=60)
        values = 1 + 0.2 * observations + 0.1 * rng.normal(size=(5, 60))
        found = score(values[None], base)  # type: ignore[operator] # one of two functions
        truth = 0.75 if score is scaled_scores else np.log10(0.25)
        hits.append(found.low[0] <= truth <= found.high[0])
    assert 0.93 <= np.mean(hits) <= 0.99


def test_the_logarithm_of_what_is_not_positive_is_absent() -> None:
    values = np.stack([np.full((2, 5), -1.0), np.full((2, 5), 2.0)])
    found = log_ratios(values, np.full(5, 0.2))
    assert found is not None
    assert np.isnan(found.mean[0])
    assert found.mean[1] == pytest.approx(1)


def test_the_ninetieth_percentile_is_over_observations() -> None:
    values = np.stack([np.arange(11.0) - 1, np.arange(11.0) + 1])
    assert ninetieth_percentiles(values) == pytest.approx(9.0)


def test_verdicts() -> None:
    below, above, around = Interval(-1, -2, -0.1), Interval(1, 0.1, 2), Interval(0, -1, 1)
    assert [verdict(each, 3) for each in (below, above, around)] == ["better", "worse", "tie"]
    assert verdict(below, 3, "higher") == "worse"
    assert verdict(below, 2) == "too few seeds"


def test_distances_that_contradict_each_other_give_no_verdict() -> None:
    assert joint_verdict("better", ["tie", "better"]) == "better"
    assert joint_verdict("tie", ["better", "tie"]) == "tie"
    assert joint_verdict("better", ["tie", "worse"]) == "no verdict"
    assert joint_verdict("tie", ["better", "worse"]) == "no verdict"
