from itertools import permutations

import numpy as np
import ot as pot
import pytest
from scipy.stats import wasserstein_distance

from cwbench.ot import (
    ConvergenceError,
    assignment,
    bures_wasserstein_squared,
    conditional_wasserstein_power,
    joint_transport,
    joint_wasserstein_power,
    squared_distances,
    wasserstein_power,
)

POWERS = [1.0, 1.5, 2.0, 3.0]


def brute_force(cost):
    n = len(cost)
    return min(np.mean([cost[i, s[i]] for i in range(n)]) for s in permutations(range(n)))


def distances(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


@pytest.mark.parametrize("p", POWERS)
def test_plain_is_the_least_over_all_pairings(p, rng):
    a, b = rng.standard_normal((2, 6, 3))
    assert wasserstein_power(a, b, p=p) == pytest.approx(brute_force(distances(a, b) ** p))


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("k", [1, 7, 24])
def test_unequal_sizes_split_mass(p, k, rng):
    a, b = rng.standard_normal((8, 2)), rng.standard_normal((k, 2))
    repeated = np.repeat(a, k, axis=0), np.repeat(b, 8, axis=0)  # equal sizes, the same two laws
    assert wasserstein_power(a, b, p=p) == pytest.approx(wasserstein_power(*repeated, p=p))


def test_weights_are_masses(rng):
    a, b = rng.standard_normal((3, 2)), rng.standard_normal((6, 2))
    weighted = wasserstein_power(a, b, a_weights=np.array([1, 2, 3]) / 6)
    assert weighted == pytest.approx(wasserstein_power(np.repeat(a, [1, 2, 3], axis=0), b))
    zero = wasserstein_power(a, b, a_weights=[0.5, 0.5, 0.0])
    assert zero == pytest.approx(wasserstein_power(a[:2], b))


def test_it_agrees_with_the_closed_form_on_the_line(rng):
    a, b = rng.standard_normal(50), rng.standard_normal(80) + 1
    assert wasserstein_power(a, b, p=1) == pytest.approx(wasserstein_distance(a, b))


def test_it_agrees_with_pot(rng):
    a, b = rng.standard_normal((2, 60, 4))
    uniform = np.full(60, 1 / 60)
    assert wasserstein_power(a, b, p=1) == pytest.approx(
        pot.emd2(uniform, uniform, distances(a, b))
    )


def test_many_gaussian_points_come_near_the_closed_form(rng):
    a = rng.standard_normal((800, 2))
    b = rng.standard_normal((800, 2)) * [2.0, 0.5] + [3.0, 0.0]
    exact = bures_wasserstein_squared([0, 0], np.eye(2), [3, 0], np.diag([4, 0.25]))
    assert exact == pytest.approx(9 + 1 + 0.25)
    assert wasserstein_power(a, b) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("p", POWERS)
def test_scale_shift_and_symmetry(p, rng):
    a, b = rng.standard_normal((2, 20, 3))
    value = wasserstein_power(a, b, p=p)
    assert wasserstein_power(b, a, p=p) == pytest.approx(value)
    assert wasserstein_power(-3 * a, -3 * b, p=p) == pytest.approx(3**p * value)
    assert wasserstein_power(a + 7, b + 7, p=p) == pytest.approx(value)
    assert wasserstein_power(a, a + np.array([3, 0, 4]), p=p) == pytest.approx(5**p)
    assert wasserstein_power(a, a[::-1], p=p) == 0


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_conditional_is_the_average_over_groups(p, rng):
    y = np.repeat([3, 1, 2], [4, 6, 10])
    x1, x2 = rng.standard_normal((2, 20, 3))
    shuffled = rng.permutation(20)
    groups = [wasserstein_power(x1[y == c], x2[y == c], p=p) for c in (3, 1, 2)]
    exact = np.average(groups, weights=[4, 6, 10])
    assert conditional_wasserstein_power(x1, y, x2, y, p=p) == pytest.approx(exact)
    assert conditional_wasserstein_power(x1, y, x2[shuffled], y[shuffled], p=p) == pytest.approx(
        exact
    )
    vectors = np.eye(4)[y]
    assert conditional_wasserstein_power(x1, vectors, x2, vectors, p=p) == pytest.approx(exact)


def test_conditional_accepts_sizes_that_differ_by_the_same_factor(rng):
    y = np.repeat([0, 1], [2, 4])
    x1, x2 = rng.standard_normal((6, 2)), rng.standard_normal((12, 2))
    doubled = conditional_wasserstein_power(
        np.repeat(x1, 2, axis=0), np.repeat(y, 2), x2, y.repeat(2)
    )
    assert conditional_wasserstein_power(x1, y, x2, y.repeat(2)) == pytest.approx(doubled)


def test_conditional_treats_the_two_zeros_as_one_observation():
    x = np.array([1.0, 2.0])
    assert conditional_wasserstein_power(x, np.array([0.0, -0.0]), x[::-1], np.zeros(2)) == 0


@pytest.mark.parametrize(
    ("y1", "y2"), [([0, 0, 1], [0, 1, 1]), ([0, 0, 0], [0, 0, 1]), ([0, 0, 2], [0, 0, 1])]
)
def test_conditional_needs_equal_shares_of_each_y(y1, y2, rng):
    x1, x2 = rng.standard_normal((2, 3, 2))
    with pytest.raises(ValueError, match="equal shares"):
        conditional_wasserstein_power(x1, np.array(y1), x2, np.array(y2))


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("beta", [0.0, 0.3, 5.0])
def test_joint_is_the_least_over_all_pairings(p, beta, rng):
    x1, x2 = rng.standard_normal((2, 6, 3))
    y1, y2 = rng.standard_normal((2, 6, 2))
    cost = distances(x1, x2) ** p + beta * distances(y1, y2) ** p
    plan = joint_transport(x1, y1, x2, y2, beta=beta, p=p)
    assert plan.cost == pytest.approx(brute_force(cost))
    assert plan.x_cost == pytest.approx((distances(x1, x2) ** p)[range(6), plan.sigma].mean())
    assert plan.cost == pytest.approx(plan.x_cost + beta * plan.y_cost)
    assert joint_wasserstein_power(x1, y1, x2, y2, beta=beta, p=p) == plan.cost


def test_for_squares_beta_is_the_square_of_a_factor_on_y(rng):
    x1, x2 = rng.standard_normal((2, 25, 3))
    y1, y2 = rng.standard_normal((2, 25, 2))
    stacked = wasserstein_power(np.hstack([x1, 20 * y1]), np.hstack([x2, 20 * y2]))
    assert joint_wasserstein_power(x1, y1, x2, y2, beta=400) == pytest.approx(stacked)


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_joint_grows_with_beta_up_to_conditional(p, rng):
    y = np.repeat(np.arange(5), 6)[:, None] / 2.0
    x1, x2 = rng.standard_normal((2, 30, 2))
    conditional = conditional_wasserstein_power(x1, y, x2, y, p=p)
    values = [joint_transport(x1, y, x2, y, beta=beta, p=p) for beta in (0, 0.1, 1, 10, 1e4)]
    costs = [value.cost for value in values]
    moved = [value.y_cost for value in values]
    assert costs == sorted(costs)
    assert moved == sorted(moved, reverse=True)
    assert costs[0] < costs[1] < conditional
    assert costs[-1] == pytest.approx(conditional)
    assert moved[-1] == 0


def test_joint_w1_can_be_far_below_the_expected_posterior_w1():
    # at y = 0 the posteriors are points at 0 and 1, at y = 0.1 at 1 and 0
    y = np.array([0.0, 0.1])
    x1, x2 = np.array([0.0, 1.0]), np.array([1.0, 0.0])
    assert conditional_wasserstein_power(x1, y, x2, y, p=1) == pytest.approx(1.0)
    assert joint_wasserstein_power(x1, y, x2, y, p=1) == pytest.approx(0.1)


def test_class_labels_are_one_hot_in_the_joint_cost():
    labels = np.array([0, 7])
    x1, x2 = np.array([0.0, 5.0]), np.array([5.0, 0.0])
    for p in POWERS:
        value = joint_wasserstein_power(x1, labels, x2, labels, p=p)
        one_hot = joint_wasserstein_power(x1, np.eye(2), x2, np.eye(2), p=p)
        assert value == pytest.approx(one_hot) == pytest.approx(2 ** (p / 2))


def test_class_labels_and_numbers_do_not_mix():
    x, labels = np.array([0.0, 5.0]), np.array([0, 1])
    with pytest.raises(ValueError, match="class labels"):
        joint_transport(x, labels, x, labels.astype(float))


@pytest.mark.parametrize("p", [0.5, 0.0, -1.0, np.nan, np.inf])
def test_exponents_that_give_no_distance_are_refused(p, rng):
    a = rng.standard_normal((3, 2))
    for call in (
        lambda: wasserstein_power(a, a, p=p),
        lambda: conditional_wasserstein_power(a, a, a, a, p=p),
        lambda: joint_transport(a, a, a, a, p=p),
    ):
        with pytest.raises(ValueError, match="p is"):
            call()


@pytest.mark.parametrize("beta", [-1.0, np.nan, np.inf])
def test_joint_weights_that_make_no_cost_are_refused(beta, rng):
    a = rng.standard_normal((3, 2))
    with pytest.raises(ValueError, match="beta is"):
        joint_transport(a, a, a, a, beta=beta)


def test_shapes_that_do_not_match_are_refused(rng):
    a, b, wide = rng.random((3, 2)), rng.random((4, 2)), rng.random((3, 5))
    for call in (
        lambda: wasserstein_power(a, wide),
        lambda: joint_transport(a, a, b, b),
        lambda: joint_transport(a, a, wide, a),
        lambda: joint_transport(a, a, a, wide),
        lambda: conditional_wasserstein_power(a, b, a, a),
        lambda: conditional_wasserstein_power(a, a, a, b),
    ):
        with pytest.raises(ValueError, match="same"):
            call()


def test_a_solver_that_stops_early_gives_no_number(rng, monkeypatch):
    monkeypatch.setattr("cwbench.ot.wasserstein._MAX_PIVOTS", 1)
    with pytest.raises(ConvergenceError, match="emd2"):
        wasserstein_power(rng.random((30, 2)), rng.random((40, 2)))


@pytest.mark.parametrize("twice", [False, True])
def test_what_makes_the_assignment_quick_does_not_move_the_last_digit(twice, rng):
    a, b = rng.standard_normal((2, 200, 3))
    if twice:  # several optima: another one has its terms in another order
        a[100:] = a[:100]
    cost = squared_distances(a, b)
    plain = cost[np.arange(200), assignment(cost)].mean()
    assert wasserstein_power(a, b) == plain


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("p", [1.0, 2.0])
def test_unequal_samples_on_a_line_have_their_quantile_distance_at_every_size(size, p, rng):
    # W_p on the line pairs quantiles: an independent sum over the merged steps of both
    a, b = np.sort(rng.standard_normal(12)) * size, np.sort(rng.standard_normal(7)) * size
    steps = np.union1d(np.arange(13) / 12, np.arange(8) / 7)
    middle = (steps[1:] + steps[:-1]) / 2
    gaps = np.abs(a[(middle * 12).astype(int)] - b[(middle * 7).astype(int)]) ** p
    exact = float((np.diff(steps) * gaps).sum())
    assert wasserstein_power(a, b, p=p) == pytest.approx(exact, rel=1e-9)
    weights = np.full(12, 1 / 12)
    assert wasserstein_power(a, b, p=p, a_weights=weights) == pytest.approx(exact, rel=1e-9)


def test_points_that_coincide_are_at_distance_zero():
    assert wasserstein_power(np.ones((3, 2)), np.ones((5, 2))) == 0
