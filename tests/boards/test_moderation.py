"""Moderated variances against laws whose parameters are known, and what must not move them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special

from cwbench.boards import moderation
from cwbench.boards.moderation import LEAST_METHODS, moderated, own_variances, prior


@pytest.mark.parametrize("value", [1e-6, 0.03, 1.0, 40.0, 1e6])
def test_the_inverse_of_the_trigamma_function(value: float) -> None:
    found = moderation.inverse_trigamma(value)
    assert special.polygamma(1, found) == pytest.approx(value, rel=1e-9)


def test_the_prior_is_found_that_variances_were_drawn_from() -> None:
    """Smyth's model: s0^2 d0 / chi^2_d0 times chi^2_d / d; standard errors are about 2 %."""
    rng = np.random.default_rng(0)
    freedom = np.repeat([2.0, 4.0], 20_000)
    true = 3.0 * 6 / rng.chisquare(6, 40_000)
    d0, s0 = prior(true * rng.chisquare(freedom) / freedom, freedom)
    assert d0 == pytest.approx(6, rel=0.08)
    assert s0 == pytest.approx(3, rel=0.04)


def test_the_moment_equations_solved_otherwise() -> None:
    variances = np.array([0.2, 1.0, 4.0, 9.0, 0.7, 30.0])
    logs = np.log(variances)
    excess = logs.var(ddof=1) - special.polygamma(1, 2)
    half = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-3, 1e3)
    centre = logs.mean() - special.psi(2) + np.log(2) + special.psi(half) - np.log(half)
    assert prior(variances, np.full(6, 4.0)) == pytest.approx((2 * half, np.exp(centre)))


def test_variances_as_far_apart_as_chance_has_them_become_one() -> None:
    d0, s0 = prior(np.full(6, 2.0), np.full(6, 2.0))
    assert d0 == np.inf
    assert s0 == pytest.approx(2 * np.exp(np.euler_gamma))  # E log(chi^2_2 / 2) = -gamma


def test_what_a_seed_does_to_all_methods_is_not_theirs() -> None:
    """20,000 seeds, so that variances are known to 1 %; weighed by what they are."""
    rng = np.random.default_rng(1)
    deviations = np.array([1, 1, 2, 3, 10, 10])
    means = deviations[:, None] * rng.normal(size=(6, 20_000)) + 5 * rng.normal(size=20_000)
    groups = list(moderation._groups(means))
    assert own_variances(groups, 1 / deviations**2) == pytest.approx(deviations**2, rel=0.05)


def test_equal_weights_of_equal_methods_are_the_two_way_layout() -> None:
    means = np.random.default_rng(2).normal(size=(8, 5))
    rest = means - means.mean(0) - means.mean(1, keepdims=True) + means.mean()
    found = own_variances(list(moderation._groups(means)), np.ones(8))
    assert found == pytest.approx((rest**2).sum(1) / 4 * 8 / 7)


def with_gaps(rng: np.random.Generator) -> np.ndarray:
    """Nine methods on five seeds, one of them on three, one on three others."""
    means = rng.lognormal(2, size=(9, 1)) * rng.normal(size=(9, 5))
    means[2, 3:] = np.nan
    means[5, :2] = np.nan
    return means


def test_seeds_that_some_lack() -> None:
    rng = np.random.default_rng(3)
    means = with_gaps(rng)
    found, shifted = moderated(means), moderated(means + 100 * rng.normal(size=5))
    assert found is not None
    assert shifted is not None
    assert shifted.variance == pytest.approx(found.variance)
    assert found.freedom - found.freedom.min() == pytest.approx([2, 2, 0, 2, 2, 0, 2, 2, 2])


def test_a_variance_is_never_below_its_own() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        means = rng.chisquare(1, (8, 1)) * rng.normal(size=(8, 3))
        found = moderated(means)
        assert found is not None
        rest = means - means.mean(1, keepdims=True)
        largest = (rest**2).sum(1).argmax()
        others = np.delete(rest, largest, 0).mean(0)
        least = 0.2 * (rest[largest] - others).var(ddof=1)
        assert found.variance[largest] > least


def test_one_method_that_jumps_widens_nothing_for_others() -> None:
    """Its part in an equal mean, (1/5)^2 of 10^4, would make every other variance about 400."""
    rng = np.random.default_rng(7)
    calm = []
    for _ in range(200):
        found = moderated([[1], [1], [1], [1], [100]] * rng.normal(size=(5, 3)))
        assert found is not None
        calm.append(found.variance[:4])
    assert 0.5 < np.median(calm) < 2


def test_too_few_methods_and_methods_that_do_not_vary_moderate_nothing() -> None:
    rng = np.random.default_rng(5)
    assert moderated(rng.normal(size=(LEAST_METHODS - 1, 3))) is None
    assert moderated(np.zeros((9, 3))) is None


def test_one_method_that_never_varies_loosens_nothing() -> None:
    """A sampler with seeds of its own, fixed: its zero is no sign that others vary as little."""
    means = np.random.default_rng(6).normal(size=(12, 3))
    without = moderated(means[1:])
    means[0] = 0
    found = moderated(means)
    assert found is not None
    assert without is not None
    assert (found.variance > 0).all()
    assert found.variance[1:] == pytest.approx(without.variance, rel=1.0)
