"""Ranks and ties: right together at the level that is promised, whichever method is best."""

from __future__ import annotations

import numpy as np
import pytest

from cwbench.boards.moderation import moderated
from cwbench.boards.pairs import Pairs, contradicted, pairs
from cwbench.boards.ranking import ranking, votes


def methods(rng: np.random.Generator, means: list[float], S: int = 5) -> np.ndarray:
    shared = rng.normal(size=40)
    return np.array(
        [mean + shared + 0.3 * rng.normal(size=(S, 1)) + rng.normal(size=(S, 40)) for mean in means]
    )


def compared(values: np.ndarray) -> Pairs:
    return pairs(values, spread=moderated(values.mean(-1)))


def means_of(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.nanmean(values, axis=(1, 2)))


@pytest.mark.parametrize("k", [2, 8])
def test_equal_methods_are_all_tied_with_the_best(k: int) -> None:
    """The best is chosen by the data; each pair by itself calls others worse more often."""
    rng = np.random.default_rng(2)
    wrong = naive = 0
    for _ in range(400):
        values = methods(rng, [0.0] * k)
        means, found = means_of(values), compared(values)
        wrong += (ranking(means, found).tied == 0).any()
        naive += (found.alone[means.argmin()] > 0).any()
    assert wrong / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    if k > 2:
        assert naive > 2 * wrong


def test_true_ranks_are_in_all_intervals_together() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([1, 2, 3, 4, 5])
    missed, clear = 0, 0
    for _ in range(200):
        values = methods(rng, [0.0, 0.4, 0.8, 1.6, 4.0])
        found = ranking(means_of(values), compared(values))
        missed += ((found.low > truth) | (found.high < truth)).any()
        clear += found.low[4] == found.high[4] == 5
    assert missed / 200 <= 0.10
    assert clear == 200


def test_too_few_seeds_in_common_are_told() -> None:
    values = methods(np.random.default_rng(4), [0.0, 5.0, 9.0])
    values[1, 1:] = np.nan
    found = ranking(means_of(values), pairs(values))
    assert found.tied.tolist() == [1, -1, 0]
    assert (found.low[1], found.high[1]) == (1, 3)


def test_a_contradiction_takes_a_verdict_back() -> None:
    values = methods(np.random.default_rng(5), [0.0, 5.0, 9.0])
    first = pairs(values)
    turned = -first.alone
    alone = ranking(means_of(values), first)
    assert alone.tied.tolist() == [1, 0, 0]
    assert not contradicted([first.alone, first.alone]).any()
    void = contradicted([first.alone, turned])
    assert ranking(means_of(values), first, void).tied.tolist() == [1, 1, 1]


def test_a_group_has_one_vote() -> None:
    verdicts = [("mixture", "better"), ("mixture", "better"), ("moons", "worse"), ("g", "tie")]
    assert votes(verdicts) == (1, 1, 1)
    assert votes([("g", "better"), ("g", "worse")]) == (0, 1, 0)
    assert votes([("g", "too few seeds"), ("h", "no verdict")]) == (0, 0, 0)


def test_nothing_to_rank() -> None:
    assert ranking(np.empty(0), pairs(np.empty((0, 3, 9)))).low.tolist() == []


def test_ranks_contain_the_places_by_mean_whatever_seeds_there_are() -> None:
    """Common seeds may say otherwise than all seeds do; then nothing is said."""
    rng, statements = np.random.default_rng(6), 0
    for _ in range(40):
        # all have seeds 0 to 2, on which any two are told apart
        values = np.arange(6.0)[:, None, None] + 1e-3 * rng.normal(size=(6, 6, 9))
        values[:, 3:] += 5 * rng.normal(size=(6, 3, 1))
        for method, count in zip(values, rng.integers(3, 7, 6), strict=True):
            method[count:] = np.nan
        means, said = means_of(values), pairs(values)
        found, place = ranking(means, said), means.argsort().argsort() + 1
        assert (found.low <= place).all()
        assert (place <= found.high).all()
        statements += said.together.any()
    assert statements > 5
