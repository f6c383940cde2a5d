"""The moons against the simulator, kept where it happens to hit the observation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench_tasks.eight_gaussians_moons import EightGaussiansMoons, EightGaussiansMoonsParams


@pytest.fixture
def task() -> EightGaussiansMoons:
    return EightGaussiansMoons()


@pytest.fixture
def by_class() -> EightGaussiansMoons:
    return EightGaussiansMoons(EightGaussiansMoonsParams(condition="class"))


def published_moons(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Moons as their sources define them: regular angles, one uniform for both coordinates."""
    a = np.linspace(0, np.pi, n // 2)
    outer = np.stack([np.cos(a), np.sin(a)], -1)
    inner = np.stack([1 - np.cos(a), 1 - np.sin(a) - 0.5], -1)
    points = np.concatenate([outer, inner])
    points = points + 0.2 * np.random.default_rng(0).random((n, 1))
    return points * 3 - 1, np.repeat([0, 1], n // 2)


def test_data_follow_the_published_definition(by_class: EightGaussiansMoons) -> None:
    x, label = by_class.sample_joint(20_000, Generator().manual_seed(0))
    expected, expected_label = published_moons(20_000)
    for moon in (0, 1):
        here, there = x[label == moon].numpy(), expected[expected_label == moon]
        for direction in ([1, 0], [0, 1], [1, 1], [1, -1]):
            assert stats.ks_2samp(here @ direction, there @ direction).pvalue > 1e-3


@pytest.fixture(scope="module")
def simulated() -> Tensor:
    return EightGaussiansMoons().sample_joint(3_000_000, Generator().manual_seed(1)).x


@pytest.mark.parametrize("coordinate", [-3.7, -2.0, -0.7, 0.5, 1.7, 2.7, 4.6])
def test_posterior_is_the_simulator_near_the_observation(
    task: EightGaussiansMoons, simulated: Tensor, coordinate: float
) -> None:
    near = simulated[(simulated[:, 0] - coordinate).abs() < 0.005]
    draws = task.sample_posterior(torch.tensor([[coordinate]]), 20_000, Generator().manual_seed(2))
    assert len(near) > 1_000
    assert bool((draws[..., 0] == coordinate).all())
    # x_2 - x_1 depends on the angle alone, so the width of the slab does not smear it
    here, there = (points[:, 1] - points[:, 0] for points in (draws[0], near))
    assert stats.ks_2samp(here.numpy(), there.numpy()).pvalue > 1e-3


def test_moments_agree_with_numerical_integration(task: EightGaussiansMoons) -> None:
    a = math.pi * (np.arange(2_000_000) + 0.5) / 2_000_000
    for coordinate in (-3.9, -1.0, 0.0, 2.0, 5.5):
        s = (coordinate + 1) / 3
        values = []
        for c_1, c_2 in ((np.cos(a), np.sin(a)), (1 - np.cos(a), 0.5 - np.sin(a))):
            u = s - c_1
            values.append((3 * (c_2 + u) - 1)[(u >= 0) & (u < 0.2)])
        second = np.concatenate(values)
        mean, covariance = task.posterior_moments(torch.tensor([[coordinate]]))
        assert float(mean[0, 0]) == pytest.approx(coordinate)
        assert float(mean[0, 1]) == pytest.approx(second.mean(), abs=2e-3)
        assert float(covariance[0, 1, 1]) == pytest.approx(second.var(), rel=5e-3)
        assert float(covariance[0, 0].abs().sum()) == 0


def test_class_moments_agree_with_the_published_definition(by_class: EightGaussiansMoons) -> None:
    points, label = published_moons(400_000)
    mean, covariance = by_class.posterior_moments(torch.tensor([0, 1]))
    for moon in (0, 1):
        here = points[label == moon]
        np.testing.assert_allclose(mean[moon], here.mean(0), atol=3e-3)
        np.testing.assert_allclose(covariance[moon], np.cov(here.T), atol=1e-2)


def test_classes_are_equally_likely_and_respected(by_class: EightGaussiansMoons) -> None:
    label = by_class.sample_joint(10_000, Generator().manual_seed(3)).y
    assert float(label.double().mean()) == pytest.approx(0.5, abs=0.02)
    draws = by_class.sample_posterior(torch.tensor([0, 1]), 5_000, Generator().manual_seed(4))
    # (x + 1) / 3 = circle + u (1, 1) with u in [0, 0.2): some u puts the point on the circle
    u = torch.linspace(0, 0.2, 201)
    for moon, centre, side in ((0, (0.0, 0.0), 1), (1, (1.0, 0.5), -1)):
        offset = (draws[moon, :, None] + 1) / 3 - u[:, None] - torch.tensor(centre)
        error = (offset.norm(dim=-1) - 1).abs() + (-side * offset[..., 1]).clamp(min=0)
        assert float(error.min(1).values.max()) < 2e-3


def test_latents_are_eight_gaussians_on_a_circle(task: EightGaussiansMoons) -> None:
    z = task.sample_latent(80_000, Generator().manual_seed(5)).double()
    h = 1 / math.sqrt(2)
    centres = [(1, 0), (-1, 0), (0, 1), (0, -1), (h, h), (h, -h), (-h, h), (-h, -h)]
    distance = torch.cdist(z, 5 * torch.tensor(centres, dtype=torch.float64))
    nearest, index = distance.min(1)
    assert float(nearest.square().mean()) == pytest.approx(2 * 0.1, rel=0.02)
    assert torch.allclose(torch.bincount(index) / 80_000, torch.full((8,), 0.125), atol=0.005)


def test_latents_take_the_variance_of_the_published_numbers() -> None:
    params = EightGaussiansMoonsParams(latent_variance=0.316)
    z = EightGaussiansMoons(params).sample_latent(80_000, Generator().manual_seed(5)).double()
    centre = z[(z - torch.tensor([-5.0, 0.0])).norm(dim=1) < 2]
    assert torch.allclose(centre.var(0), torch.full((2,), 0.316).double(), rtol=0.03)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.inf, math.nan])
def test_a_variance_that_is_none_is_refused(variance: float) -> None:
    with pytest.raises(ValidationError):
        EightGaussiansMoonsParams(latent_variance=variance)


def test_observations_stay_those_of_the_committed_records(task: EightGaussiansMoons) -> None:
    assert task.fingerprint() == "94aa7f7a5b689525"
    changed = EightGaussiansMoonsParams(latent_variance=0.316)
    assert EightGaussiansMoons(changed).fingerprint() == "6bd412ce13417cbd"


def ends(coordinate: float) -> Tensor:
    return torch.tensor([[coordinate]])


@pytest.mark.parametrize("coordinate", [-4.0, -4.0000005, 5.6, 5.6000004])
def test_ends_of_the_support_are_served(task: EightGaussiansMoons, coordinate: float) -> None:
    draws = task.sample_posterior(ends(coordinate), 10, Generator().manual_seed(6))
    mean, covariance = task.posterior_moments(ends(coordinate))
    assert bool(torch.isfinite(draws).all())
    assert bool(torch.isfinite(mean).all())
    assert bool((covariance >= -1e-9).all())


@pytest.mark.parametrize("coordinate", [-4.1, 6.0, float("nan")])
def test_a_coordinate_that_no_point_has_is_an_error(
    task: EightGaussiansMoons, coordinate: float
) -> None:
    with pytest.raises(UsageError, match=r"-4 to 5\.6"):
        task.sample_posterior(ends(coordinate), 10, Generator().manual_seed(7))


def test_no_preset_asks_for_the_costly_metric() -> None:
    """The assignment of 10,000 points takes minutes where a model is bad, at each NFE."""
    assert not any("w2sq-marginal" in p.metrics for p in EightGaussiansMoons.info.presets.values())
