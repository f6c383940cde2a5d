"""energy-score, crps and data-misfit: definitions written out, closed forms, propriety."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from cwbench.errors import UsageError
from cwbench.metrics.misfit import DataMisfit
from cwbench.metrics.scores import (
    ContinuousRankedProbabilityScore,
    EnergyScore,
    mean_difference,
)
from cwbench_tasks.gaussian_linear import GaussianLinear

Y = torch.zeros(1, 1)


def draws(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def written_out(samples, x):
    """The energy score by loops over pairs i != j."""
    n = len(samples)
    accuracy = sum(float((s - x).norm()) for s in samples) / n
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    return accuracy - sum(float((samples[i] - samples[j]).norm()) for i, j in pairs) / (
        2 * n * (n - 1)
    )


def test_energy_score_is_its_definition(gaussian_task):
    samples, x = draws(2, 6, 2, 2), draws(2, 2, 2, seed=1)
    score = EnergyScore(gaussian_task(4)).score(samples, x, Y.expand(2, 1))
    assert score.tolist() == pytest.approx(
        [written_out(s.flatten(1), t.flatten()) for s, t in zip(samples, x, strict=True)]
    )


def test_crps_is_the_energy_score_of_each_coordinate(gaussian_task):
    samples, x = draws(1, 7, 3), draws(1, 3, seed=1)
    score = ContinuousRankedProbabilityScore(gaussian_task(3)).score(samples, x, Y)
    by_coordinate = [written_out(samples[0, :, [k]], x[0, [k]]) for k in range(3)]
    assert float(score) == pytest.approx(sum(by_coordinate) / 3)


def test_mean_difference_of_known_points():
    points = torch.tensor([[[4.0], [1.0], [2.0]]], dtype=torch.float64)
    assert float(mean_difference(points)) == pytest.approx((3 + 2 + 1) / 3)


@pytest.mark.parametrize("n", [2, 30])
def test_crps_of_a_normal_is_unbiased_at_every_size(gaussian_task, n):
    """CRPS(N(0, 1), x) = x (2 Phi(x) - 1) + 2 phi(x) - 1 / sqrt pi (Gneiting, Raftery 2007)."""
    x, m = 0.7, 60_000 // n
    phi = math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    exact = x * math.erf(x / math.sqrt(2)) + 2 * phi - 1 / math.sqrt(math.pi)
    metric = ContinuousRankedProbabilityScore(gaussian_task(1))
    score = metric.score(draws(m, n, 1), torch.full((m, 1), x), torch.zeros(m, 1))
    error = float(score.std()) / m**0.5
    assert abs(float(score.mean()) - exact) < 3 * error
    assert error < 0.01


@pytest.mark.parametrize("metric_class", [EnergyScore, ContinuousRankedProbabilityScore])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda x, mean: x + 0.5, id="shifted"),
        pytest.param(lambda x, mean: mean + 0.5 * (x - mean), id="narrow"),
        pytest.param(lambda x, mean: mean + 1.8 * (x - mean), id="wide"),
    ],
)
def test_the_exact_posterior_has_the_best_expected_score(gaussian_task, metric_class, wrong):
    task = gaussian_task(2)
    x, y = task.sample_joint(2000, Generator().manual_seed(0))
    exact = task.sample_posterior(y, 20, Generator().manual_seed(1))
    metric = metric_class(task)
    other = metric.score(wrong(exact, y[:, None]), x, y)
    excess = other - metric.score(exact, x, y)
    assert float(excess.mean() / (excess.std() / 2000**0.5)) > 5


def test_excess_of_the_energy_score_is_half_the_energy_distance(gaussian_task):
    """In one dimension, N(y + 1, 1) for N(y, 1): 2 E|N(1, 2)| - 2 E|N(0, 2)|, halved."""
    task, m = gaussian_task(1), 20_000
    x, y = task.sample_joint(m, Generator().manual_seed(0))
    exact = task.sample_posterior(y, 4, Generator().manual_seed(1))
    metric = EnergyScore(task)
    excess = metric.score(exact + 1, x, y) - metric.score(exact, x, y)
    far = 2 * math.exp(-1 / 4) / math.sqrt(math.pi) + math.erf(1 / 2)  # E|N(1, 2)|
    near = 2 / math.sqrt(math.pi)
    error = float(excess.std()) / m**0.5
    assert abs(float(excess.mean()) - (far - near)) < 3 * error
    assert error < 0.02


def test_misfit_of_a_linear_gaussian_posterior_in_closed_form():
    task = GaussianLinear()
    x, y = task.sample_joint(4, Generator().manual_seed(0))
    samples = task.sample_posterior(y, 20_000, Generator().manual_seed(1))
    s, A = task.params.noise, task.A
    bias = (y.double() - y.double() @ task.K.T @ A.T).square().sum(1)
    expected = (bias + (A @ task.C @ A.T).trace()) / (5 * s**2)
    assert torch.allclose(DataMisfit(task).score(samples, x, y), expected, rtol=0.03)


def test_misfit_of_the_exact_posterior_is_one_on_average_over_y():
    task = GaussianLinear()
    x, y = task.sample_joint(3000, Generator().manual_seed(0))
    misfit = DataMisfit(task)
    exact = misfit.score(task.sample_posterior(y, 4, Generator().manual_seed(1)), x, y)
    assert float(exact.mean()) == pytest.approx(1, abs=4 * float(exact.std()) / 3000**0.5)
    prior = task.sample_joint(4 * 3000, Generator().manual_seed(2)).x.unflatten(0, (3000, 4))
    assert float(misfit.score(prior, x, y).mean()) > 5


def test_misfit_needs_a_task_that_knows_its_noise(gaussian_task):
    task = gaussian_task(2)
    with pytest.raises(UsageError, match="test-gaussian"):
        DataMisfit(task).score(draws(1, 3, 2), draws(1, 2), torch.zeros(1, 2))
