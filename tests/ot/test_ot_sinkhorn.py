import numpy as np
import ot as pot
import pytest

from cwbench.ot import (
    ConvergenceError,
    annealed_sinkhorn_divergence,
    sinkhorn_divergence,
    squared_distances,
    wasserstein_power,
)


def clusters(rng, n, d=5):
    """A posterior of the Gaussian-mixture task in kind: narrow modes, few of them."""
    means = rng.uniform(-1, 1, (6, d))
    return lambda: means[rng.integers(6, size=n)] + 0.1 * rng.standard_normal((n, d))


@pytest.mark.parametrize("blur", [0.3, 2.0])
@pytest.mark.parametrize("k", [30, 45])
def test_it_agrees_with_pot(blur, k, rng):
    a, b = rng.standard_normal((30, 3)), rng.standard_normal((k, 3)) * 1.5

    def entropic(a, b):
        cost = squared_distances(a, b) / 2
        solved = pot.solve(cost, reg=blur**2, reg_type="KL", max_iter=100_000, tol=1e-6)
        return solved.value

    exact = entropic(a, b) - (entropic(a, a) + entropic(b, b)) / 2
    value = sinkhorn_divergence(a, b, blur=blur, tolerance=1e-7)
    assert value == pytest.approx(exact, rel=1e-5)


def test_it_tends_to_half_the_squared_wasserstein_distance(rng):
    a, b = rng.standard_normal((2, 60, 3))
    half = wasserstein_power(a, b) / 2
    errors = [abs(sinkhorn_divergence(a, b, blur=blur) - half) for blur in (1.0, 0.3, 0.1, 0.03)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * half


def test_single_points_are_exact():
    assert sinkhorn_divergence([[0.0, 0.0]], [[3.0, 4.0]]) == pytest.approx(25 / 2)


def test_it_is_a_divergence(rng):
    draw = clusters(rng, 80)
    a, b = draw(), draw()
    value = sinkhorn_divergence(a, b, tolerance=1e-7)
    assert value > 0
    assert sinkhorn_divergence(b, a, tolerance=1e-7) == pytest.approx(value, rel=1e-5)
    assert sinkhorn_divergence(a, a, tolerance=1e-7) == pytest.approx(0, abs=1e-8)
    assert sinkhorn_divergence(a + 5, b + 5, tolerance=1e-7) == pytest.approx(value, rel=1e-5)
    scaled = sinkhorn_divergence(3 * a, 3 * b, blur=0.15, tolerance=1e-7)
    assert scaled == pytest.approx(9 * value, rel=1e-5)


def test_a_shift_costs_half_its_square(rng):
    # S(a, a + h) = |h|^2 / 2 exactly: the cross term of the shifted cost depends on marginals alone
    a = clusters(rng, 60)()
    shift = np.array([3.0, 0, 0, 4.0, 0])
    assert sinkhorn_divergence(a, a + shift, tolerance=1e-6) == pytest.approx(12.5, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))  # scaling alone is stuck at 0
def test_the_default_tolerance_holds_the_value(seed):
    draw = clusters(np.random.default_rng(seed), 300)
    a, b = draw(), draw()
    assert sinkhorn_divergence(a, b) == pytest.approx(
        sinkhorn_divergence(a, b, tolerance=1e-6), rel=1e-5
    )


def test_clusters_of_different_mass_converge(rng):
    # mass must cross between far clusters, where plain iterations barely move
    a = np.concatenate([np.zeros((30, 2)), np.ones((20, 2))]) + 0.05 * rng.standard_normal((50, 2))
    b = np.concatenate([np.zeros((20, 2)), np.ones((30, 2))]) + 0.05 * rng.standard_normal((50, 2))
    half = wasserstein_power(a, b) / 2
    assert sinkhorn_divergence(a, b, max_iterations=2_000) == pytest.approx(half, rel=0.05)


def test_far_points_do_not_overflow(rng):
    a = rng.standard_normal((20, 2))
    assert sinkhorn_divergence(a, a + np.array([1e4, 0])) == pytest.approx(1e8 / 2, rel=1e-9)


@pytest.mark.parametrize("iterations", [1, 5])
def test_without_convergence_there_is_no_number(iterations, rng):
    a, b = rng.standard_normal((2, 50, 3))
    with pytest.raises(ConvergenceError, match="marginal error"):
        sinkhorn_divergence(a, b, tolerance=1e-9, max_iterations=iterations)


def test_rounding_that_forbids_the_tolerance_gives_no_number(rng):
    # cost / epsilon is about 1e15, and its rounding errors are of order 1
    a, b = 1e6 * rng.standard_normal((2, 20, 2))
    with pytest.raises(ConvergenceError):
        sinkhorn_divergence(a, b, max_iterations=2_000)


def test_a_blur_far_below_the_spread_gives_an_assignment(rng):
    a, b = 1e3 * rng.standard_normal((2, 20, 2))
    assert sinkhorn_divergence(a, b) == pytest.approx(wasserstein_power(a, b) / 2, rel=1e-9)


@pytest.mark.parametrize(
    "setting", [{"blur": 0.0}, {"blur": np.nan}, {"tolerance": 0.0}, {"max_iterations": 0}]
)
def test_settings_must_be_positive(setting, rng):
    with pytest.raises(ValueError, match=next(iter(setting))):
        sinkhorn_divergence(rng.random((3, 2)), rng.random((3, 2)), **setting)


@pytest.mark.parametrize(
    ("blur", "scaling", "geomloss"),
    [
        (0.05, 0.5, 1.6539156438288782),
        (0.05, 0.9, 1.6741539563363397),
        (0.3, 0.7, 1.6391660960177035),
    ],
)
def test_annealed_number_is_that_of_geomloss(blur: float, scaling: float, geomloss: float) -> None:
    """SamplesLoss("sinkhorn", p=2, blur=blur, scaling=scaling) of geomloss 0.3.1 in float64."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 3)), 1 + 0.5 * rng.normal(size=(60, 3))
    assert annealed_sinkhorn_divergence(a, b, blur=blur, scaling=scaling) == pytest.approx(
        geomloss, rel=1e-12
    )


def test_annealed_number_tends_to_the_divergence_from_below() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    exact = sinkhorn_divergence(a, b, blur=0.2)
    errors = [
        exact - annealed_sinkhorn_divergence(a, b, blur=0.2, scaling=s) for s in (0.5, 0.9, 0.995)
    ]
    assert errors[0] > errors[1] > errors[2] > -1e-3 * exact
    assert errors[2] < 0.02 * exact < errors[0]


@pytest.mark.parametrize("scaling", [0.0, 1.0, -1.0, float("nan")])
def test_annealing_needs_a_scaling_between_0_and_1(scaling: float) -> None:
    with pytest.raises(ValueError, match="scaling"):
        annealed_sinkhorn_divergence(np.zeros((2, 1)), np.ones((2, 1)), scaling=scaling)


def test_costs_whose_rounding_exceeds_epsilon_give_no_number(rng):
    a, b = rng.standard_normal((2, 20, 2))
    exact = sinkhorn_divergence(a, b, blur=0.5)
    # the same problem in other units: the divergence scales with the square of the unit
    assert sinkhorn_divergence(1e8 * a, 1e8 * b, blur=0.5e8) == pytest.approx(1e16 * exact)
    with pytest.raises(ConvergenceError, match="raise blur"):
        sinkhorn_divergence(1e8 * a, 1e8 * b, blur=0.05)
