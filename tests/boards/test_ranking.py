"""Ranks and ties: right together at the level that is promised, whichever method is best."""

from __future__ import annotations

import numpy as np
import pytest

from cwbench.boards.ranking import Pairs, contradicted, pairs, ranking, votes
from cwbench.boards.statistics import crossed, holm


def methods(
    rng: np.random.Generator, means: list[float], S: int = 5
) -> list[dict[int, np.ndarray]]:
    shared = rng.normal(size=40)
    return [
        dict(enumerate(mean + shared + 0.3 * rng.normal(size=(S, 1)) + rng.normal(size=(S, 40))))
        for mean in means
    ]


def means_of(values: list[dict[int, np.ndarray]]) -> np.ndarray:
    return np.array([np.mean(list(each.values())) for each in values])


def test_pairs_are_compared_on_the_seeds_they_share() -> None:
    rng = np.random.default_rng(0)
    values = methods(rng, [0.0, 0.5, 1.0])
    del values[1][0], values[1][1]  # seeds 2 to 4 are left
    del values[2][2], values[2][3]  # which of these shares 4 alone
    found = pairs(values)
    common = np.array([values[0][s] - values[1][s] for s in (2, 3, 4)])
    assert found.gain[0, 1] == pytest.approx(-common.mean())
    assert found.p[0, 1] == found.p[1, 0] == pytest.approx(crossed(common).p_values())
    assert np.isnan(found.p[1, 2])
    own = np.array([values[0][s] - values[2][s] for s in (0, 1, 4)])
    assert found.p[0, 2] == pytest.approx(crossed(own).p_values())


def test_higher_is_better_turns_it_round() -> None:
    values = methods(np.random.default_rng(1), [0.0, 5.0])
    assert pairs(values).gain[0, 1] > 0 > pairs(values, "higher").gain[0, 1]


@pytest.mark.parametrize("k", [2, 8])
def test_equal_methods_are_all_tied_with_the_best(k: int) -> None:
    """The best is chosen by the data; correcting for the k - 1 with it alone errs more often."""
    rng = np.random.default_rng(2)
    wrong = naive = 0
    for _ in range(400):
        values = methods(rng, [0.0] * k)
        means, found = means_of(values), pairs(values)
        wrong += (ranking(means, found).tied == 0).any()
        best = means.argmin()
        naive += (holm(np.delete(found.p[best], best)) < 0.05).any()
    assert wrong / 400 <= 0.05 + 2.6 * (0.05 * 0.95 / 400) ** 0.5
    if k > 2:
        assert naive > wrong


def test_true_ranks_are_in_all_intervals_together() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([1, 2, 3, 4, 5])
    missed, clear = 0, 0
    for _ in range(200):
        values = methods(rng, [0.0, 0.4, 0.8, 1.6, 4.0])
        found = ranking(means_of(values), pairs(values))
        missed += ((found.low > truth) | (found.high < truth)).any()
        clear += found.low[4] == found.high[4] == 5
    assert missed / 200 <= 0.10
    assert clear == 200


def test_too_few_seeds_in_common_are_told() -> None:
    values = methods(np.random.default_rng(4), [0.0, 5.0, 9.0])
    values[1] = {0: values[1][0]}
    found = ranking(means_of(values), pairs(values))
    assert found.tied.tolist() == [1, -1, 0]
    assert (found.low[1], found.high[1]) == (1, 3)


def test_a_contradiction_takes_a_verdict_back() -> None:
    values = methods(np.random.default_rng(5), [0.0, 5.0, 9.0])
    first = pairs(values)
    turned = Pairs(-first.gain, first.p)
    alone = ranking(means_of(values), first)
    assert alone.tied.tolist() == [1, 0, 0]
    assert not contradicted([first, first]).any()
    void = contradicted([first, turned])
    assert ranking(means_of(values), first, void).tied.tolist() == [1, 1, 1]


def test_a_group_has_one_vote() -> None:
    verdicts = [("mixture", "better"), ("mixture", "better"), ("moons", "worse"), ("g", "tie")]
    assert votes(verdicts) == (1, 1, 1)
    assert votes([("g", "better"), ("g", "worse")]) == (0, 1, 0)
    assert votes([("g", "too few seeds"), ("h", "no verdict")]) == (0, 0, 0)


def test_nothing_to_rank() -> None:
    empty = np.empty((0, 0))
    assert ranking(np.empty(0), Pairs(empty, empty)).low.tolist() == []
