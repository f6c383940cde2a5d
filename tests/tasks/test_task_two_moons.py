"""The two moons against Bayes' rule with the simulator's density on a dense grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator

from cwbench.errors import UsageError
from cwbench_tasks.two_moons import TwoMoons

# inside; fold in the crescent (y_1 > 1/4); cut by the box; both; cut from above
OBSERVATIONS = torch.tensor([[-0.3, 0.1], [0.29, 0.0], [-0.6, 0.5], [0.3, 1.35], [-1.05, 0.02]])
AXIS = np.linspace(-1, 1, 2001)
AXIS = (AXIS[1:] + AXIS[:-1]) / 2
X_1, X_2 = np.meshgrid(AXIS, AXIS, indexing="ij")


def density(y: np.ndarray) -> np.ndarray:
    """p(x on the grid | y): noise density at y minus the shift, uniform prior on the box."""
    p_1 = y[0] + np.abs(X_1 + X_2) / math.sqrt(2) - 0.25
    p_2 = y[1] - (-X_1 + X_2) / math.sqrt(2)
    r = np.hypot(p_1, p_2)
    value = np.where(p_1 > 0, stats.norm(0.1, 0.01).pdf(r) / (math.pi * r), 0.0)
    return value / value.sum()


@pytest.fixture(scope="module")
def densities() -> list[np.ndarray]:
    return [density(y) for y in OBSERVATIONS.double().numpy()]


def test_moments_agree_with_a_dense_grid(densities: list[np.ndarray]) -> None:
    mean, covariance = TwoMoons().posterior_moments(OBSERVATIONS)
    for i, weights in enumerate(densities):
        points = np.stack([X_1, X_2], -1).reshape(-1, 2)
        expected = weights.flatten() @ points
        second = np.cov(points.T, aweights=weights.flatten(), ddof=0)
        scale = math.sqrt(np.trace(second))
        np.testing.assert_allclose(mean[i], expected, atol=5e-3 * scale)
        np.testing.assert_allclose(covariance[i], second, atol=5e-3 * scale**2)


def test_draws_follow_a_dense_grid(densities: list[np.ndarray]) -> None:
    draws = TwoMoons().sample_posterior(OBSERVATIONS, 20_000, Generator().manual_seed(0)).numpy()
    edges = np.arange(-2, 2.0005, 0.001)
    for sample, weights in zip(draws, densities, strict=True):
        for direction in ([1, 0], [0, 1], [0.6, -0.8], [0.7, 0.7]):
            on_grid = (direction[0] * X_1 + direction[1] * X_2).flatten()
            histogram = np.histogram(on_grid, edges, weights=weights.flatten())[0]
            cumulative = np.concatenate([[0], np.cumsum(histogram)])
            cdf = lambda t, c=cumulative: np.interp(t, edges, c)  # noqa: E731
            assert stats.kstest(sample @ np.array(direction), cdf).statistic < 0.02


def test_joint_density_is_that_of_the_simulator() -> None:
    x, y = TwoMoons().sample_joint(50_000, Generator().manual_seed(1))
    x, y = x.double().numpy(), y.double().numpy()
    assert np.abs(x).max() <= 1
    assert stats.kstest(x.flatten(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    p_1 = y[:, 0] + np.abs(x.sum(1)) / math.sqrt(2) - 0.25
    p_2 = y[:, 1] - (x[:, 1] - x[:, 0]) / math.sqrt(2)
    r, a = np.hypot(p_1, p_2), np.arctan2(p_2, p_1)
    assert stats.kstest(r, stats.norm(0.1, 0.01).cdf).pvalue > 1e-3
    assert stats.kstest(a, stats.uniform(-math.pi / 2, math.pi).cdf).pvalue > 1e-3


def test_every_draw_can_produce_the_observation() -> None:
    task = TwoMoons()
    y = task.evaluation_set(200, Generator().manual_seed(2)).y
    x = task.sample_posterior(y, 200, Generator().manual_seed(3)).double()
    p_1 = y[:, None, 0] + x.sum(-1).abs() / math.sqrt(2) - 0.25
    p_2 = y[:, None, 1] - (x[..., 1] - x[..., 0]) / math.sqrt(2)
    assert bool((p_1 > -1e-6).all())
    assert float((torch.hypot(p_1, p_2) - 0.1).abs().max()) < 0.06
    assert float(x.abs().max()) <= 1


def test_an_impossible_observation_is_an_error() -> None:
    with pytest.raises(UsageError, match="almost no probability"):
        TwoMoons().sample_posterior(torch.tensor([[3.0, 0.0]]), 10, Generator().manual_seed(4))
