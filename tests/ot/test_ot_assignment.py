from itertools import permutations

import numpy as np
import ot as pot
import pytest

from cwbench.ot import assignment, squared_distances


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_cost_is_the_least_over_all_permutations(n, rng):
    cost = rng.standard_normal((n, n))
    sigma = assignment(cost)
    best = min(sum(cost[i, s[i]] for i in range(n)) for s in permutations(range(n)))
    assert cost[np.arange(n), sigma].sum() == pytest.approx(best, abs=1e-12)


def test_it_agrees_with_pot(rng):
    cost = rng.random((80, 80))
    sigma = assignment(cost)
    uniform = np.full(80, 1 / 80)
    assert sorted(sigma) == list(range(80))
    assert cost[np.arange(80), sigma].mean() == pytest.approx(pot.emd2(uniform, uniform, cost))


def test_a_known_permutation_is_found(rng):
    sigma = rng.permutation(30)
    cost = np.ones((30, 30))
    cost[np.arange(30), sigma] = 0
    assert np.array_equal(assignment(cost), sigma)
    assert assignment(cost).dtype == np.int64


def test_only_square_costs_have_an_assignment(rng):
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        assignment(rng.random((3, 4)))


def test_squared_distances_keep_their_digits_far_from_the_origin(rng):
    # the matrix product |a|^2 - 2 a.b + |b|^2 would lose all of them here
    steps_a, steps_b = rng.integers(0, 9, (40, 3)), rng.integers(0, 9, (30, 3))
    exact = ((steps_a[:, None] - steps_b[None]) ** 2).sum(-1)
    assert np.array_equal(squared_distances(steps_a + 2.0**40, steps_b + 2.0**40), exact)


def test_points_of_two_dimensions_are_refused(rng):
    with pytest.raises(ValueError, match="same dimension"):
        squared_distances(rng.random((3, 2)), rng.random((3, 4)))


def test_points_that_occur_twice_change_places_alone() -> None:
    """Minima that are taken off leave the optimum: of equal points another may be taken."""
    rng = np.random.default_rng(3)
    b = np.repeat(rng.normal(size=(60, 3)), 2, axis=0)
    cost = ((rng.normal(size=(120, 3))[:, None] - b) ** 2).sum(-1)
    sigma, plain = assignment(cost), assignment(cost, plain=True)
    assert np.array_equal(b[sigma], b[plain])
    assert (sigma != plain).any()
