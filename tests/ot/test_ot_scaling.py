"""The one map that standardises, against NumPy in float64, and what it takes for constant."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cwbench.ot import Standardised
from cwbench.ot.scaling import Scaling, spread_of
from cwbench.training.networks import Condition


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("centre", "size"), [(2020.0, 1e-3), (-3e6, 1.0), (0.0, 1e-30)])
def test_what_float32_resolves_is_no_constant(centre, size) -> None:
    y = (centre + size * normal(4_000, 1).double()).float()
    mean, deviation = Scaling.of(y)
    exact = y.numpy().astype(np.float64)
    assert float(deviation) == pytest.approx(exact.std(ddof=1), rel=1e-6)
    assert float(mean) == pytest.approx(exact.mean(), rel=1e-6, abs=1e-32)
    for fed in (Scaling(mean, deviation)(y), Standardised(y)(y)):
        assert float(fed.std()) == pytest.approx(1, rel=1e-3)
        assert abs(float(fed.mean())) < 0.15  # the mean is rounded to float32, the spread is not


@pytest.mark.parametrize("value", [0.0, 4.0, 0.1, -1e20])
def test_a_constant_has_scale_one_once_centred(value) -> None:
    y = torch.full((1_000, 1), value)
    mean, deviation = Scaling.of(y)
    assert (float(mean), float(deviation)) == (y[0, 0].item(), 1.0)
    condition = Condition((1,), None)
    condition.fit(y)
    assert float(condition(y[:1])) == 0.0
    if abs(value) < 1e3:
        assert float(condition(y[:1] + 0.5)) == pytest.approx(0.5, rel=1e-6)
    statistic = Standardised(y)
    assert float(statistic(y[:1])) == float(statistic.explained) == 0.0


def test_a_constant_up_to_the_last_digit_is_one() -> None:
    y = torch.full((1_000, 1), 4.0)
    y[::2] = torch.nextafter(y[0], y[0] + 1)
    assert not spread_of(y).varies
    assert spread_of(y + torch.linspace(0, 1e-5, 1_000)[:, None]).varies


def test_images_are_scaled_by_channel_and_vectors_by_coordinate() -> None:
    x = normal(50, 2, 4, 6) * torch.tensor([1.0, 1e-3])[:, None, None] + 5
    scaled = Scaling.of(x, by_channel=True)
    assert scaled.mean.shape == scaled.deviation.shape == (2, 1, 1)
    for channel in range(2):
        assert float(scaled.deviation[channel]) == pytest.approx(float(x[:, channel].std()), 1e-4)
    assert torch.allclose(scaled.inverse(scaled(x)), x, rtol=1e-6)
    assert Scaling.of(x[:, 0, 0], by_channel=True).mean.shape == (6,)


def test_one_deviation_for_all_entries_is_the_root_of_the_mean_variance() -> None:
    x = torch.cat([normal(500, 2), torch.full((500, 1), 3.0)], 1)
    pooled = Scaling.pooled(x)
    assert float(pooled.deviation) == pytest.approx(float(x.var(0).mean().sqrt()), rel=1e-6)
    assert pooled.mean.shape == (3,)
    assert float(Scaling.pooled(x[:, 2:]).deviation) == 1.0


def test_the_identity_changes_no_bit() -> None:
    x = normal(100, 3)
    identity = Scaling.identity()
    assert torch.equal(identity(x), x)
    assert torch.equal(identity.inverse(x), x)
