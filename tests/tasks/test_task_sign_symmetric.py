"""The sign-symmetric posterior against importance sampling and a much finer grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator

from cwbench_tasks.sign_symmetric import SignSymmetric, SignSymmetricParams, _second_moments

OBSERVATIONS = torch.tensor([[1.0, 1.0], [0.0, 2.0], [-0.3, 0.1], [6.0, 0.5], [0.3, -0.4]])
A = np.array([[1.0, 0.0], [0.6, 0.8]])


@pytest.fixture(params=[0.2, 0.5])
def task(request: pytest.FixtureRequest) -> SignSymmetric:
    return SignSymmetric(SignSymmetricParams(noise=request.param))


def test_second_moments_agree_with_importance_sampling(task: SignSymmetric) -> None:
    x = np.random.default_rng(0).standard_normal((1_000_000, 2))
    predicted = (x @ A.T) ** 2
    mean, covariance = task.posterior_moments(OBSERVATIONS)
    assert not mean.any()
    for y, actual in zip(OBSERVATIONS.numpy(), covariance.numpy(), strict=True):
        weights = np.exp(-(((y - predicted) / task.params.noise) ** 2).sum(-1) / 2)
        weights /= weights.sum()
        error = 5 * np.sqrt((weights**2).sum()) * np.trace(actual)
        np.testing.assert_allclose(actual, x.T @ (weights[:, None] * x), atol=error)


@pytest.mark.parametrize("noise", [0.01, 0.2, 1.0])
def test_a_finer_grid_does_not_move_the_moments(noise: float) -> None:
    task = SignSymmetric(SignSymmetricParams(noise=noise))
    for y in OBSERVATIONS:
        fine = _second_moments(task.grid(y, nodes=1200))
        assert torch.allclose(_second_moments(task.grid(y)), fine, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("noise", [0.01, 0.2, 1.0])
def test_the_grid_covers_the_posterior(noise: float) -> None:
    task = SignSymmetric(SignSymmetricParams(noise=noise))
    for y in OBSERVATIONS:
        u_1, u_2, density = task.grid(y)
        for u, axis in ((u_1, 1), (u_2, 2)):
            assert float(density.select(axis, -1).max()) < 1e-8
            assert float(u[0]) == 0 or float(density.select(axis, 0).max()) < 1e-8


def test_draws_follow_a_fine_quadrature(task: SignSymmetric) -> None:
    u = np.linspace(-4.5, 4.5, 2001)
    u_1, u_2 = np.meshgrid(u, u, indexing="ij")
    prior = np.einsum("ijk,kl,ijl->ij", g := np.stack([u_1, u_2], -1), np.linalg.inv(A @ A.T), g)
    draws = task.sample_posterior(OBSERVATIONS, 50_000, Generator().manual_seed(1)).numpy()
    for y, x in zip(OBSERVATIONS.numpy(), draws, strict=True):
        misfit = ((y[0] - u_1**2) ** 2 + (y[1] - u_2**2) ** 2) / task.params.noise**2
        density = np.exp(-(misfit + prior) / 2)
        sample = x @ A.T
        for axis in (0, 1):
            marginal = density.sum(1 - axis)
            cumulative = (np.cumsum(marginal) - marginal / 2) / marginal.sum()
            cdf = lambda t, c=cumulative: np.interp(t, u, c)  # noqa: E731
            assert stats.kstest(sample[:, axis], cdf).pvalue > 1e-4
        same = density[(u_1 * u_2) > 0].sum() / density.sum()
        assert (sample.prod(1) > 0).mean() == pytest.approx(same, abs=0.01)


def test_joint_samples_are_squares_of_the_measurements(task: SignSymmetric) -> None:
    x, y = task.sample_joint(100_000, Generator().manual_seed(2))
    residual = y.numpy() - (x.numpy() @ A.T.astype(np.float32)) ** 2
    assert residual.std(0) == pytest.approx([task.params.noise] * 2, rel=0.02)
    assert np.abs(np.corrcoef(residual.T)[0, 1]) < 0.02


def test_posterior_has_both_signs_equally_often(task: SignSymmetric) -> None:
    draws = task.sample_posterior(OBSERVATIONS[:1], 20_000, Generator().manual_seed(3))
    assert float((draws[0, :, 0] > 0).double().mean()) == pytest.approx(0.5, abs=0.02)
