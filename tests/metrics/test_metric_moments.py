"""energy, mean-error, cov-error and mode-weights: closed forms and unbiasedness."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Generator

from cwbench.errors import UsageError
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.mixture import ModeWeights, mean_responsibilities, responsibilities
from cwbench.metrics.moments import CovarianceError, MeanError
from cwbench.samples import MixturePosterior


def far_modes(mixture_task, weights):
    means = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    return mixture_task(weights, means, torch.eye(2).expand(3, 2, 2))


def mean_absolute_normal(mean, variance):
    """E|N(mean, variance)|, the folded normal."""
    s = math.sqrt(variance)
    inside = math.erf(mean / (s * math.sqrt(2)))
    return s * math.sqrt(2 / math.pi) * math.exp(-(mean**2) / (2 * variance)) + mean * inside


def test_energy_is_unbiased_at_tiny_sizes(gaussian_task, judge):
    task = gaussian_task(1)
    values = judge(
        EnergyDistance(task), lambda y, n, g: task.sample_posterior(y, n, g) + 0.7, n=5, m=3000
    )
    expected = 2 * mean_absolute_normal(0.7, 2) - 2 * mean_absolute_normal(0, 2)
    assert abs(values.mean - expected) < 3 * values.error
    assert values.error < 0.1 * expected


@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_mean_error_is_unbiased_at_tiny_sizes(gaussian_task, judge, delta):
    task = gaussian_task(3)
    values = judge(
        MeanError(task), lambda y, n, g: task.sample_posterior(y, n, g) + delta, n=4, m=20_000
    )
    expected = 3 * delta**2 / (1 + 1 / 2 + 1 / 3)
    assert abs(values.mean - expected) < 3 * values.error
    assert values.error < 0.01


def test_mean_error_uses_the_exact_moments_of_a_mixture(mixture_task):
    task = far_modes(mixture_task, [0.5, 0.3, 0.2])
    y = torch.tensor([[1.0, 2.0]])
    mean = torch.tensor([6.0, 4.0]) + y
    trace = 2 + 400 * (0.3 * 0.7 + 0.2 * 0.8)  # variances of the modes and of their centres
    a = (mean + torch.tensor([3.0, 0.0])).expand(1, 5, 2)
    b = (mean + torch.tensor([1.0, 7.0])).expand(1, 5, 2)
    error = MeanError(task).estimate(a, b, y)
    assert error.item() == pytest.approx(3 * 1 / trace)


@pytest.mark.parametrize("scale", [0.8, 1.5])
def test_covariance_error_of_a_known_scale(gaussian_task, scale):
    b = torch.randn(5, 300, 3, generator=Generator().manual_seed(0), dtype=torch.float64)
    error = CovarianceError(gaussian_task(3)).distance(4 + scale * b, b)
    assert torch.allclose(error, torch.full((5,), abs(scale**2 - 1), dtype=torch.float64))


def test_covariance_error_against_numpy(gaussian_task):
    a, b = (torch.randn(2, 20, 2, 2, generator=Generator().manual_seed(k)) for k in (0, 1))
    error = CovarianceError(gaussian_task(4)).distance(a.double(), b.double())
    C_a, C_b = (torch.cov(part[1].reshape(20, 4).T.double()) for part in (a, b))
    assert error[1] == pytest.approx(float((C_a - C_b).norm() / C_b.norm()))


def test_responsibilities_are_bayes_rule():
    generator = Generator().manual_seed(0)
    weights = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    means = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    root = torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)
    covariances = root @ root.mT + 0.1 * torch.eye(2)
    x = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    joint = torch.stack(
        [
            w * torch.from_numpy(multivariate_normal(m.numpy(), C.numpy()).pdf(x.numpy()))
            for w, m, C in zip(weights, means, covariances, strict=True)
        ],
        dim=1,
    )
    expected = joint / joint.sum(dim=1, keepdim=True)
    assert torch.allclose(responsibilities(x, weights, means, covariances), expected, atol=1e-12)


@pytest.mark.parametrize("far", [1e3, 1e12, 3e38])
def test_responsibilities_stay_finite_far_away(far):
    mixture = MixturePosterior(
        torch.tensor([[0.6, 0.4, 0.0]]).double(),
        torch.tensor([[[-1.0], [1.0], [3.0]]]).double(),
        torch.full((1, 3, 1, 1), 1e-6).double(),
    )
    shares = mean_responsibilities(torch.tensor([[[far], [-far]]]), mixture)
    assert torch.isfinite(shares).all()
    assert shares.sum() == pytest.approx(1)
    assert shares[0, 2] == 0


def test_mode_weights_is_unbiased_and_zero_for_the_exact_sampler(mixture_task, judge):
    task = far_modes(mixture_task, [0.5, 0.3, 0.2])
    values = judge(ModeWeights(task), task.sample_posterior, n=4, m=10_000)
    assert abs(values.mean) < 3 * values.error
    assert values.error < 2e-3


def test_mode_weights_of_known_wrong_weights(mixture_task, judge, draw_mixture):
    task = far_modes(mixture_task, [0.5, 0.3, 0.2])

    def wrong(y, n, generator):
        weights = torch.tensor([0.6, 0.3, 0.1]).expand(len(y), -1)
        return draw_mixture(task.posterior_mixture(y)._replace(weights=weights), n, generator)

    values = judge(ModeWeights(task), wrong, n=20, m=4_000)
    assert abs(values.mean - 0.02) < 3 * values.error
    assert values.error < 1e-3


def test_mode_weights_of_one_mode_is_zero(gaussian_task, judge):
    task = gaussian_task(2)
    values = judge(ModeWeights(task), lambda y, n, g: torch.randn(len(y), n, 2), n=10, m=3)
    assert torch.equal(values.each, torch.zeros(3, dtype=torch.float64))


def test_mode_weights_needs_a_mixture(gaussian_task):
    task = gaussian_task(2)
    task.posterior_mixture = lambda y: None
    x, y = torch.zeros(1, 3, 2), torch.zeros(1, 2)
    with pytest.raises(UsageError, match="test-gaussian"):
        ModeWeights(task).estimate(x, x, y)
