"""esw2sq-exact: closed forms, the same expectation as esw2sq, less noise."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from cwbench.errors import UsageError
from cwbench.metrics.sliced import ExactSlicedW2Squared, SlicedW2Squared, projected


@pytest.fixture
def task(mixture_task):
    means = torch.tensor([[0.0, 0.0, 0.0], [3.0, 1.0, 0.0], [0.0, -2.0, 1.0]])
    root = torch.randn(3, 3, 3, generator=Generator().manual_seed(0))
    return mixture_task([0.5, 0.3, 0.2], means, 0.1 * root @ root.mT + 0.05 * torch.eye(3))


def test_order_statistics_are_those_of_projected_draws(task, draw_mixture):
    metric, y = ExactSlicedW2Squared(task), torch.tensor([[0.5, -1.0, 2.0]])
    draws = draw_mixture(task.posterior_mixture(y.expand(4000, 3)), 6, Generator().manual_seed(1))
    ordered = (draws @ metric.directions[:10].T).sort(dim=1).values
    error = ordered.std(dim=0) / 4000**0.5
    exact = metric.order_statistics(y, 6)[:10].T
    assert ((ordered.mean(dim=0) - exact).abs() / error).max() < 4


def test_projection_of_a_mixture(task, draw_mixture):
    y = torch.zeros(1, 3)
    mixture = task.posterior_mixture(y)
    theta = torch.tensor([[0.6, 0.0, 0.8]], dtype=torch.float64)
    weights, means, deviations = projected(mixture, theta)
    assert torch.equal(weights, mixture.weights[0])
    for k in range(3):
        assert float(means[0, k]) == pytest.approx(float(mixture.means[0, k] @ theta[0]))
        variance = theta[0] @ mixture.covariances[0, k] @ theta[0]
        assert float(deviations[0, k]) == pytest.approx(float(variance) ** 0.5)


@pytest.mark.parametrize("delta", [0.0, 0.3])
def test_unbiased_for_a_shift_at_tiny_sizes(task, judge, delta):
    shift = torch.tensor([delta, -delta, 2 * delta], dtype=torch.float64)
    metric = ExactSlicedW2Squared(task)
    values = judge(metric, lambda y, n, g: task.sample_posterior(y, n, g) + shift, n=4, m=600)
    expected = float((metric.directions @ shift).square().mean())
    assert abs(values.mean - expected) < 3 * values.error
    assert values.error < 0.06


def test_same_expectation_as_the_debiased_sliced_distance_and_less_noise(task, judge):
    def wide(y, n, generator):
        draws = task.sample_posterior(y, n, generator)
        mean = task.posterior_moments(y).mean[:, None]
        return mean + 1.3 * (draws - mean)

    exact = judge(ExactSlicedW2Squared(task), wide, n=100, m=60)
    sampled = judge(SlicedW2Squared(task), wide, n=100, m=60)
    difference = exact._replace(each=exact.each - sampled.each)
    assert abs(difference.t) < 3
    assert exact.t > 10
    oracle = judge(ExactSlicedW2Squared(task), task.sample_posterior, n=100, m=60)
    noisy = judge(SlicedW2Squared(task), task.sample_posterior, n=100, m=60)
    assert abs(oracle.t) < 3
    assert oracle.error < 0.75 * noisy.error


def test_plug_in_of_exact_draws_is_the_variance_of_order_statistics(task):
    metric, y = ExactSlicedW2Squared(task), torch.zeros(300, 3)
    a = task.sample_posterior(y, 8, Generator().manual_seed(3))
    variance = (a @ metric.directions.T).sort(dim=1).values.var(dim=0).mean()
    plug_in = metric.estimate(a, a, y)
    assert float(plug_in.mean()) == pytest.approx(float(variance), rel=0.1)
    assert (plug_in > 0).all()


def test_order_statistics_are_computed_once_an_observation(task, monkeypatch):
    calls = []
    original = task.posterior_mixture
    monkeypatch.setattr(task, "posterior_mixture", lambda y: calls.append(1) or original(y))
    metric, y = ExactSlicedW2Squared(task), torch.randn(3, 3)
    a = torch.randn(3, 5, 3, dtype=torch.float64)
    first = metric.estimate(a, a, y)
    assert torch.equal(metric.estimate(a, a, y), first)
    assert len(calls) == 3


def test_a_posterior_that_is_no_mixture_is_refused(gaussian_task):
    task = gaussian_task(2)
    task.posterior_mixture = lambda y: None
    x = torch.zeros(1, 3, 2, dtype=torch.float64)
    with pytest.raises(UsageError, match="test-gaussian"):
        ExactSlicedW2Squared(task).estimate(x, x, torch.zeros(1, 2))
