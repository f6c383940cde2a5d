"""The linear-Gaussian task against conditioning of the joint Gaussian, SciPy and an ODE."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Generator, Tensor

from cwbench_tasks.gaussian_linear import GaussianLinear, GaussianLinearParams


@pytest.fixture
def task() -> GaussianLinear:
    return GaussianLinear()


@pytest.fixture
def y(task: GaussianLinear) -> Tensor:
    return task.evaluation_set(4, Generator().manual_seed(0)).y


def test_posterior_is_the_inverse_of_the_joint_precision(task: GaussianLinear, y: Tensor) -> None:
    d = 5
    precision = torch.zeros(2 * d, 2 * d, dtype=torch.float64)  # of (x, y)
    precision[:d, :d] = torch.eye(d) + task.A.T @ task.A / task.params.noise**2
    precision[:d, d:] = -task.A.T / task.params.noise**2
    covariance = torch.linalg.inv(precision[:d, :d])
    mean = -y.double() @ (covariance @ precision[:d, d:]).T
    moments = task.posterior_moments(y)
    assert torch.allclose(moments.mean, mean, atol=1e-12)
    assert torch.allclose(moments.covariance, covariance.expand(4, d, d), atol=1e-12)
    assert torch.allclose(task.C, covariance, atol=1e-12)


@pytest.mark.parametrize("dimension", [1, 2, 5, 20])
def test_operator_and_posterior_have_the_stated_scales(dimension: int) -> None:
    task = GaussianLinear(GaussianLinearParams(dimension=dimension))
    singular_values = torch.linalg.svdvals(task.A)
    assert float(singular_values[0]) == pytest.approx(1)
    assert float(singular_values[-1]) == pytest.approx(0.4 if dimension > 1 else 1)
    assert float(torch.linalg.eigvalsh(task.C).max()) <= 0.5**2


def test_joint_samples_have_the_joint_covariance(task: GaussianLinear) -> None:
    x, y = task.sample_joint(50_000, Generator().manual_seed(1))
    cov = torch.cat([x, y], 1).double().T.cov()
    assert torch.allclose(cov[:5, :5], torch.eye(5, dtype=torch.float64), atol=0.03)
    assert torch.allclose(cov[5:, :5], task.A, atol=0.03)
    assert torch.allclose(cov[5:, 5:], task.S, atol=0.03)


def test_instances_differ() -> None:
    other = GaussianLinear(GaussianLinearParams(instance=1))
    assert not torch.allclose(other.A, GaussianLinear().A, atol=0.1)


def test_conditional_w2_is_the_average_of_w2_between_posteriors(task: GaussianLinear) -> None:
    generator = Generator().manual_seed(2)
    matrix = task.K + 0.2 * torch.randn(5, 5, dtype=torch.float64, generator=generator)
    offset = 0.1 * torch.randn(5, dtype=torch.float64, generator=generator)
    factor = 0.3 * torch.randn(5, 5, dtype=torch.float64, generator=generator)
    covariance = factor @ factor.T
    y = task.sample_joint(200_000, generator).y.double()
    shift = (y @ (task.K - matrix).T - offset).square().sum(-1)
    C, D = task.C.numpy(), covariance.numpy()
    bures = np.trace(C + D - 2 * np.real(sqrtm(sqrtm(C) @ D @ sqrtm(C))))
    error = 5 * float(shift.std()) / 200_000**0.5
    expected = pytest.approx(float(shift.mean()) + bures, abs=error)
    assert task.conditional_w2_squared(matrix, offset, covariance) == expected


def test_conditional_w2_of_the_posterior_is_zero_and_of_the_prior_known(
    task: GaussianLinear,
) -> None:
    zero = torch.zeros(5)
    assert task.conditional_w2_squared(task.K, zero, task.C) == pytest.approx(0, abs=1e-12)
    shifted = task.conditional_w2_squared(task.K, zero + 2, task.C)
    assert shifted == pytest.approx(20)
    prior = task.conditional_w2_squared(torch.zeros(5, 5), zero, torch.eye(5))
    roots = torch.linalg.eigvalsh(task.C).sqrt()
    explained = (task.K @ task.S @ task.K.T).trace()
    assert prior == pytest.approx(float(explained + (1 - roots).square().sum()))


def transport(task: GaussianLinear, y: Tensor, z: Tensor) -> Tensor:
    root = torch.from_numpy(np.real(sqrtm(task.C.numpy())))
    return task.posterior_moments(y).mean + z @ root


def test_velocity_integrates_to_the_transport_map(task: GaussianLinear, y: Tensor) -> None:
    z = torch.randn(4, 5, dtype=torch.float64, generator=Generator().manual_seed(3))
    x, steps = z.clone(), 40
    for i in range(steps):  # classical Runge-Kutta
        t, h = i / steps, 1 / steps
        k_1 = task.velocity(t, y, x)
        k_2 = task.velocity(t + h / 2, y, x + h / 2 * k_1)
        k_3 = task.velocity(t + h / 2, y, x + h / 2 * k_2)
        k_4 = task.velocity(t + h, y, x + h * k_3)
        x = x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    assert torch.allclose(x, transport(task, y, z), atol=1e-6)


def test_velocity_is_the_time_derivative_of_the_path(task: GaussianLinear, y: Tensor) -> None:
    z = torch.randn(4, 5, dtype=torch.float64, generator=Generator().manual_seed(4))
    t = torch.tensor([0.0, 0.3, 0.8, 1.0], dtype=torch.float64)
    x_1, h = transport(task, y, z), 1e-4

    def path(t: Tensor) -> Tensor:
        return (1 - t)[:, None] * z + t[:, None] * x_1

    difference = (path(t + h) - path(t - h)) / (2 * h)
    assert torch.allclose(task.velocity(t, y, path(t)), difference, atol=1e-9)


def test_transport_of_latents_has_the_posterior_moments(task: GaussianLinear, y: Tensor) -> None:
    z = torch.randn(50_000, 5, dtype=torch.float64, generator=Generator().manual_seed(5))
    row = y[:1].expand(50_000, 5)
    x_1 = z + task.velocity(0.0, row, z)
    mean, covariance = task.posterior_moments(y[:1])
    assert torch.allclose(x_1.mean(0), mean[0], atol=0.01)
    assert torch.allclose(x_1.T.cov(), covariance[0], atol=0.01)
