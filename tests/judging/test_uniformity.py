"""The distance of ranks from uniform: integrals, the jackknife written out, known laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from cwbench.judging.uniformity import cramer_von_mises_kernel, highest, uniformity

ONE = torch.ones(1, dtype=torch.float64)


def ranks(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("u", "v"), [(0.0, 1.0), (0.2, 0.9), (0.5, 0.5), (1.0, 1.0)])
def test_kernel_is_its_integral(u, v):
    t = np.linspace(0, 1, 200_001)
    integral = np.trapezoid(((u <= t) - t) * ((v <= t) - t), t)
    kernel = cramer_von_mises_kernel(torch.tensor(u).double(), torch.tensor(v).double())
    assert float(kernel) == pytest.approx(integral, abs=1e-5)


def test_pseudo_values_are_those_of_the_jackknife():
    u, m = ranks(7), 7
    kernel = cramer_von_mises_kernel(u[:, None], u[None])

    def u_statistic(kept: list[int]) -> float:
        part = kernel[kept][:, kept]
        k = len(kept)
        return float((part.sum() - part.trace()) / (k * (k - 1)))

    everyone = list(range(m))
    expected = [
        m * u_statistic(everyone) - (m - 1) * u_statistic([j for j in everyone if j != i])
        for i in everyone
    ]
    assert uniformity(u[:, None], ONE).value.tolist() == pytest.approx(expected)
    assert float(uniformity(u[:, None], ONE).value.mean()) == pytest.approx(u_statistic(everyone))


def test_plug_in_is_the_cramer_von_mises_statistic():
    u = ranks(12) ** 1.5
    statistic = stats.cramervonmises(u.numpy(), "uniform").statistic
    assert float(uniformity(u[:, None], ONE).plug_in.mean()) == pytest.approx(statistic / 12)


@pytest.mark.parametrize(("power", "exact"), [(1, 0.0), (2, 1 / 2 - 4 / 5 + 1 / 3)])
def test_unbiased_at_tiny_sizes_and_floor_is_the_plug_in_under_uniformity(power, exact):
    """u^2 of a uniform u has F(t) = sqrt t, and int (sqrt t - t)^2 dt is elementary."""
    found = [uniformity(ranks(4, 1, seed=seed) ** power, ONE) for seed in range(3000)]
    values = torch.stack([f.value.mean() for f in found])
    error = float(values.std() / len(values) ** 0.5)
    assert abs(float(values.mean()) - exact) < 3 * error
    assert error < 2e-3
    if power == 1:
        plug_in = float(torch.stack([f.plug_in.mean() for f in found]).mean())
        assert plug_in == pytest.approx(1 / 24, abs=3 * error)
        assert found[0].floor.tolist() == pytest.approx([1 / 24] * 4)


@pytest.mark.parametrize("m", [8, 50])
def test_uniform_ranks_are_seldom_told_from_uniform(m):
    found = [uniformity(ranks(m, 1, seed=seed), ONE) for seed in range(1000)]
    means = torch.stack([f.value.mean() for f in found])
    assert found[0].least_error == pytest.approx(float(means.std()), rel=0.15)
    errors = torch.stack([f.value.std() / m**0.5 for f in found]).clamp_min(found[0].least_error)
    t = means / errors
    assert float((t.abs() > stats.t.ppf(0.975, m - 1)).double().mean()) < 0.05
    assert float(t.min()) > -2  # ranks more even than by chance are no finding


def test_ranks_that_are_not_uniform_are_told():
    found = [uniformity(ranks(100, 1, seed=seed) ** 2, ONE) for seed in range(200)]
    means = torch.stack([f.value.mean() for f in found])
    assert float((means > 4 * found[0].floor[0]).double().mean()) > 0.95
    errors = torch.stack([f.value.std() / 100**0.5 for f in found])
    covered = (means - (1 / 2 - 4 / 5 + 1 / 3)).abs() < stats.t.ppf(0.975, 99) * errors
    assert 0.88 < float(covered.double().mean()) <= 1


@pytest.mark.parametrize("m", [50, 100])
@pytest.mark.parametrize(("shift", "scale"), [(0.25, 1.0), (1.0, 1.0), (0.0, 0.6)])
def test_intervals_cover_what_samplers_that_are_off_have(m, shift, scale):
    """The truth is N(0, 1), the sampler N(shift, scale^2); U +- t errors covers 84 to 94 %."""
    t = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    law = torch.special.ndtr(shift + scale * torch.special.ndtri(t))
    exact = float(torch.trapezoid((law - t).square(), t))
    quantile, covered = float(stats.t.ppf(0.975, m - 1)), 0
    generator = torch.Generator().manual_seed(0)
    for _ in range(600):
        x = torch.randn(m, 1, dtype=torch.float64, generator=generator)
        value, _, _, least = uniformity(torch.special.ndtr((x - shift) / scale), ONE)
        U, error = float(value.mean()), max(float(value.std() / m**0.5), least)
        above = max(U + quantile * error, highest(U, m, least, quantile))
        covered += U - quantile * error <= exact <= above
    assert covered / 600 >= 0.96


def test_the_upper_end_is_what_the_value_just_does_not_contradict():
    theta = highest(0.01, 50, 0.003, 2.0)
    assert theta > 0.01
    assert (theta - 0.01) / (4 * theta / (np.pi**2 * 50) + 0.003**2) ** 0.5 == pytest.approx(2.0)
    assert highest(-1.0, 50, 0.003, 2.0) < 0.0  # far below what uniform ranks give


def test_quantities_are_weighted():
    u = torch.stack([ranks(9, seed=1), ranks(9, seed=2) ** 3], 1)
    single = [uniformity(u[:, [k]], ONE) for k in (0, 1)]
    both = uniformity(u, torch.tensor([0.25, 0.75], dtype=torch.float64))
    assert torch.allclose(both.value, 0.25 * single[0].value + 0.75 * single[1].value)


def test_two_observations_and_a_rank_that_is_no_number():
    assert torch.isfinite(uniformity(ranks(2, 1), ONE).value).all()
    broken = ranks(5, 1)
    broken[2] = torch.nan
    assert not torch.isfinite(uniformity(broken, ONE).value).any()
