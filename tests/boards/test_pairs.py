"""The test of a pair in closed form, and Holm's procedure against its textbook."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from cwbench.boards.moderation import Moderated, moderated
from cwbench.boards.pairs import Differences, contradicted, on_common_seeds, paired, pairs


def methods(rng: np.random.Generator, means: list[float], S: int = 5) -> np.ndarray:
    shared = rng.normal(size=40)
    return np.array(
        [mean + shared + 0.3 * rng.normal(size=(S, 1)) + rng.normal(size=(S, 40)) for mean in means]
    )


def parts(D: np.ndarray) -> tuple[float, float, float]:
    """v_s, v_o and v_e of one difference, by the textbook's two-way layout."""
    S, m = D.shape
    rest = D - D.mean(1, keepdims=True) - D.mean(0) + D.mean()
    v_e = (rest**2).sum() / ((S - 1) * (m - 1) * S * m)
    return float(stats.sem(D.mean(1)) ** 2), float(stats.sem(D.mean(0)) ** 2), float(v_e)


def test_two_methods_by_themselves_are_cochran_and_coxs_test() -> None:
    a, b = methods(np.random.default_rng(0), [0.0, 0.3], S=3)
    found = paired(a, b)
    assert found is not None
    D = a - b
    v_s, v_o, v_e = parts(D)
    w = max(v_o - v_e, 0.0, v_o - v_s)
    half = np.sqrt(stats.t.ppf(0.975, 2) ** 2 * v_s + stats.t.ppf(0.975, 39) ** 2 * w)
    assert found.difference == pytest.approx((D.mean(), D.mean() - half, D.mean() + half))
    assert (found.seeds, found.opposed, found.moderated) == (3, False, False)


@pytest.mark.parametrize(("freedom", "law"), [(np.inf, stats.norm), (7.0, stats.t(7))])
def test_a_known_variance_is_the_z_test_and_a_pooled_one_the_t_test(
    freedom: float, law: object
) -> None:
    """One value a seed: seeds are all there is. Pairs further apart than that keep their own."""
    values = np.random.default_rng(1).normal(size=(6, 4, 1))
    spread = Moderated(np.full(6, 2.0), np.full(6, freedom))
    found = on_common_seeds(values, spread)
    a, b = np.triu_indices(6, 1)
    own = (values[a] - values[b])[..., 0].var(1, ddof=1)
    half = law.ppf(0.975) * np.sqrt(np.maximum(4.0, own) / 4)  # type: ignore[attr-defined] # a law
    assert found.half(0.05) == pytest.approx(half)


def holm_by_its_textbook(found: Differences, alpha: float) -> np.ndarray:
    """From p-values, each found as the level at which its pair is just told apart."""
    p = []
    for place in range(len(found.mean)):
        one = found.at(np.arange(len(found.mean)) == place)

        def gap(log: float, one: Differences = one) -> float:
            return float(one.half(np.exp(log))[0] - abs(one.mean[0]))

        p.append(np.exp(optimize.brentq(gap, -200, 0)) if gap(-200) > 0 else 0.0)
    told = np.zeros(len(p), bool)
    for count, place in enumerate(np.argsort(p)):
        if p[place] > alpha / (len(p) - count):
            break
        told[place] = True
    return told


@pytest.mark.parametrize("gap", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("varied", [False, True])
def test_all_pairs_together_against_the_textbook(gap: float, varied: bool) -> None:
    rng = np.random.default_rng(int(10 * gap) + varied)
    values = methods(rng, (gap * np.arange(9) % 4).tolist(), S=4)
    spread = moderated(values.mean(2))
    assert spread is not None
    if varied:
        spread = Moderated(spread.variance, rng.choice([3.0, 4.0, 9.0], 9))
    found = on_common_seeds(values, spread)
    told = found.apart_together()
    assert told.tolist() == holm_by_its_textbook(found, 0.05).tolist()
    assert told.any() == (gap > 0)
    assert not (told & ~found.apart()).any()


def test_nothing_at_all_is_no_difference() -> None:
    values = np.broadcast_to(np.random.default_rng(2).normal(size=(1, 3, 9)), (2, 3, 9))
    found = on_common_seeds(values, None)
    assert not found.apart().any()
    assert not found.apart_together().any()


def test_pairs_are_compared_on_the_seeds_they_share() -> None:
    values = methods(np.random.default_rng(3), [0.0, 0.5, 1.0])
    values[1, :2] = np.nan  # seeds 2 to 4 are left
    values[2, 2:4] = np.nan  # which of these shares 4 alone
    found = pairs(values)
    assert found.known.tolist() == [[True, True, True], [True, True, False], [True, False, True]]
    assert found.alone[1, 2] == found.together[1, 2] == 0
    for other in (1, 2):
        alone = paired(values[0], values[other])
        assert alone is not None
        assert alone.seeds == 3
        said = 0 if alone.difference.low <= 0 <= alone.difference.high else 1
        assert found.alone[0, other] == -found.alone[other, 0] == said


def test_a_method_with_fewer_seeds_takes_none_from_the_others() -> None:
    """Two on five seeds say what they say by themselves, whoever else stands there with three."""
    rng, said = np.random.default_rng(4), set()
    for _ in range(40):
        two = methods(rng, [0.0, 0.7])
        third = np.full((1, 5, 40), np.nan)
        third[:, :3] = methods(rng, [3.0], S=3)
        alone = int(pairs(two).alone[0, 1])
        assert pairs(np.concatenate([two, third])).alone[0, 1] == alone
        said.add(alone)
    assert said == {0, 1}


def test_higher_is_better_turns_it_round() -> None:
    values = methods(np.random.default_rng(5), [0.0, 5.0])
    assert pairs(values).alone.tolist() == [[0, 1], [-1, 0]]
    assert pairs(values, "higher").alone.tolist() == [[0, -1], [1, 0]]


def unequal() -> np.ndarray:
    """On seeds 0 to 2 the second is better by 1, by the means over all seeds the first by .2."""
    rng = np.random.default_rng(6)
    level = np.array([[1.0, 1, 1, np.nan, np.nan], [0.0, 0, 0, 3, 3]])
    return np.asarray(level[..., None] + 0.01 * rng.normal(size=(2, 5, 20)))


@pytest.mark.parametrize("direction", ["lower", "higher"])
def test_what_the_means_do_not_say_is_not_said(direction: str) -> None:
    first, second = unequal()
    found = paired(first, second)
    assert found is not None
    assert found.difference.low > 0.9  # the first is worse on the seeds in common
    assert found.opposed
    said = pairs(unequal(), direction)  # type: ignore[arg-type] # one of two words
    assert not said.alone.any()
    assert not said.together.any()
    assert said.known.all()


def test_a_contradiction_is_where_two_metrics_say_opposite_things() -> None:
    first = pairs(methods(np.random.default_rng(7), [0.0, 5.0, 9.0])).alone
    assert not contradicted([first, first]).any()
    assert contradicted([first, -first]).sum() == 6
