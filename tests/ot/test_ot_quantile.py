"""Expected order statistics: closed forms, adaptive quadrature, brute force."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import betainc

from cwbench.ot import mixture_order_statistics
from cwbench.ot.quantile import _interpolated, _rises, _step


def one(weights, means, deviations, n):
    """q of a single mixture, with shape `(n,)`."""
    return mixture_order_statistics(
        np.array(weights), np.array([means]), np.array([deviations]), n
    )[0]


def by_quadrature(i, n):
    """E of the i-th order statistic of n standard normals."""

    def integrand(s):
        return s * stats.norm.pdf(s) * stats.beta.pdf(stats.norm.cdf(s), i, n - i + 1)

    centre = stats.norm.ppf(i / (n + 1))
    pieces = [-12, centre - 0.3, centre, centre + 0.3, 12]
    return sum(
        integrate.quad(integrand, a, b, epsabs=1e-12, limit=500)[0] for a, b in pairwise(pieces)
    )


def test_two_and_three_normals():
    two = 1 / math.sqrt(math.pi)
    assert one([1.0], [0.0], [1.0], 2) == pytest.approx([-two, two], abs=5e-6)
    assert one([1.0], [0.0], [1.0], 3) == pytest.approx([-1.5 * two, 0, 1.5 * two], abs=2e-6)


@pytest.mark.parametrize(("n", "ranks"), [(50, (1, 2, 25, 50)), (1000, (1, 2, 500, 999, 1000))])
def test_normal_against_adaptive_quadrature(n, ranks):
    q = one([1.0], [0.0], [1.0], n)
    assert q[[i - 1 for i in ranks]] == pytest.approx(
        [by_quadrature(i, n) for i in ranks], abs=1e-6
    )


@pytest.mark.parametrize("n", [7, 300])
def test_uniform_law_through_the_table(n):
    """E x_(i) = i / (n + 1) = 1 - int B_i(t) dt."""
    t = (np.arange(40 * n) + 0.5) / (40 * n)
    masses = _interpolated(
        np.arcsin(np.sqrt(t))[None] / _step(n), np.full((1, len(t)), 1 / len(t)), len(_rises(n))
    )
    assert 1 - (masses @ _rises(n))[0] == pytest.approx(np.arange(1, n + 1) / (n + 1), abs=1e-5)


@pytest.mark.parametrize("narrow", [0.1, 0.01])
def test_separated_modes_where_the_quantile_function_jumps(narrow):
    n, w, m, s = 200, np.array([0.3, 0.7]), np.array([0.0, 5.0]), np.array([narrow, 0.4])
    reach = 8 * narrow
    t = np.union1d(np.linspace(-reach, reach, 8_001), np.linspace(reach, 9, 8_001))
    F = stats.norm.cdf((t[:, None] - m) / s) @ w
    i = np.arange(1, n + 1)[:, None]
    exact = 9 - np.trapezoid(betainc(i, n - i + 1, F), t, axis=1)
    q = one(w, m, s, n)
    assert q == pytest.approx(exact, abs=3e-6)
    assert 1 < q[60] < 4  # between the modes: the average over on which side it falls


def test_mixture_against_brute_force():
    rng = np.random.default_rng(0)
    w, m, s = np.array([0.5, 0.3, 0.2]), np.array([-1.0, 0.5, 3.0]), np.array([0.2, 1.0, 0.5])
    k = rng.choice(3, size=(100_000, 9), p=w)
    draws = np.sort(rng.normal(m[k], s[k]), axis=1)
    error = draws.std(axis=0) / math.sqrt(len(draws))
    assert np.all(np.abs(one(w, m, s, 9) - draws.mean(axis=0)) < 4 * error)


def test_each_law_on_its_own_and_moved_with_it():
    rng = np.random.default_rng(1)
    w = rng.dirichlet(np.ones(4))
    m, s = rng.normal(size=(5, 4)), rng.uniform(0.1, 1, size=(5, 4))
    q = mixture_order_statistics(w, m, s, 40)
    for row in range(5):
        assert q[row] == pytest.approx(one(w, m[row], s[row], 40), abs=3e-6)
    assert np.all(np.diff(q, axis=1) > 0)
    assert q.mean(axis=1) == pytest.approx(m @ w, abs=1e-6)
    moved = mixture_order_statistics(w, 1e3 + 50 * m, 50 * s, 40)
    assert moved == pytest.approx(1e3 + 50 * q, abs=50e-6)


def test_many_laws_are_worked_on_in_blocks_without_a_trace():
    rng = np.random.default_rng(2)
    w, s = np.array([0.6, 0.4]), np.full((300, 2), 0.05)
    m = rng.normal(size=(300, 2))
    q = mixture_order_statistics(w, m, s, 500)
    assert q[::50] == pytest.approx(mixture_order_statistics(w, m[::50], s[::50], 500), abs=1e-6)


def test_a_point_and_points():
    assert one([1.0], [3.0], [0.0], 5) == pytest.approx([3.0] * 5)
    assert one([0.5, 0.5], [2.0, 2.0], [0.0, 0.0], 3) == pytest.approx([2.0] * 3)
    binomial = stats.binom.cdf(np.arange(10), 10, 0.5)  # of ten coins, more than i - 1 tails
    assert one([0.5, 0.5], [0.0, 1.0], [0.0, 0.0], 10) == pytest.approx(binomial, abs=2e-3)


def test_negligible_components_cost_and_change_nothing():
    q = one([1 - 1e-14, 1e-14], [0.0, 1e6], [1.0, 1e-3], 20)
    assert np.array_equal(q, one([1.0], [0.0], [1.0], 20))


@pytest.mark.parametrize(
    ("weights", "means", "deviations", "n"),
    [
        ([1.0], [[0.0]], [[1.0]], 0),
        ([1.0], [[0.0]], [[-1.0]], 3),
        ([0.5, 0.5], [[0.0]], [[1.0]], 3),
        ([1.0], [[0.0], [1.0]], [[1.0]], 3),
        ([1.0], [[math.nan]], [[1.0]], 3),
    ],
)
def test_bad_input_is_refused(weights, means, deviations, n):
    with pytest.raises(ValueError):
        mixture_order_statistics(np.array(weights), np.array(means), np.array(deviations), n)
