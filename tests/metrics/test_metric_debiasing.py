"""What debiasing leaves of shifts and scales, against the distances of Gaussians."""

from __future__ import annotations

import pytest
from scipy import integrate, stats

from benchmarks.debiasing import METRICS, Error, debiased, exact
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.wasserstein import W1, W2Squared

SHIFT, SCALE = Error(shift=1.0), Error(scale=0.5)


def share(cls, d: int, error: Error) -> float:
    return float((debiased(cls, d, error, m=6, n=60) / exact(cls.info.name, d, error)).mean())


def test_shifts_show_in_full_but_by_ew1() -> None:
    for d in (5, 64):
        assert share(W2Squared, d, SHIFT) == pytest.approx(1, abs=1e-9)
        assert share(EnergyDistance, d, SHIFT) == pytest.approx(1, abs=0.1)
    assert share(W1, 5, SHIFT) < 0.4
    assert share(W1, 64, SHIFT) < 0.1


def test_scales_show_in_full_by_energy_alone() -> None:
    assert share(EnergyDistance, 64, SCALE) == pytest.approx(1, abs=0.05)
    assert share(W2Squared, 64, SCALE) < 0.5
    assert share(W1, 64, SCALE) < 0.5


def test_what_shows_no_size_is_computed_on_request_alone() -> None:
    assert [cls.info.name for cls in METRICS if cls.info.opt_in] == ["ew1"]


@pytest.mark.parametrize("error", [SHIFT, SCALE])
def test_distances_of_gaussians_are_their_integrals(error: Error) -> None:
    """On the line, int 2 (F - G)^2 is the energy distance and int |F - G| is W_1."""

    def gap(t: float) -> float:
        return float(stats.norm.cdf(t) - stats.norm.cdf(t, error.shift, error.scale))

    energy, _ = integrate.quad(lambda t: 2 * gap(t) ** 2, -9, 9)
    w1, _ = integrate.quad(lambda t: abs(gap(t)), -9, 9, points=[0])
    assert exact("energy", 1, error) == pytest.approx(energy, rel=1e-6)
    assert exact("ew1", 1, error) == pytest.approx(w1, rel=1e-6)
