"""The law of log p(x | y) of samples, against closed forms and SciPy."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Generator
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from cwbench.api import load_task
from cwbench.metrics.density import LogDensityW1, PosteriorDensity

UNITS = torch.ones(())


@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_a_scale_error_of_a_gaussian_moves_it_by_half_the_dimension(scale: float) -> None:
    """log p is a constant less chi^2_d / 2, of which s^2 times as much is farther everywhere."""
    task = load_task("gaussian-linear", dimension=5)
    y = task.sample_joint(3, Generator().manual_seed(0)).y
    mean = task.posterior_moments(y).mean[:, None]
    b = task.sample_posterior(y, 4000, Generator().manual_seed(1)).double()
    a = mean + scale * (task.sample_posterior(y, 4000, Generator().manual_seed(2)) - mean)
    metric = LogDensityW1(task)
    seen = [metric.coordinates(part, y, UNITS) for part in (a, b)]
    expected = abs(scale**2 - 1) * 5 / 2
    assert metric.distance(*seen).tolist() == pytest.approx([expected] * 3, rel=0.08)


def test_it_is_what_scipy_finds_of_the_posterior_density() -> None:
    task = load_task("gaussian-mixture", dimension=4)
    y = task.sample_joint(3, Generator().manual_seed(0)).y
    b = task.sample_posterior(y, 50, Generator().manual_seed(1)).double()
    a = task.sample_posterior(y, 50, Generator().manual_seed(2)).double() + 0.2
    metric = LogDensityW1(task)
    value = metric.distance(*(metric.coordinates(part, y, UNITS) for part in (a, b)))
    for row, (weights, means, covariances) in enumerate(
        zip(*task.posterior_mixture(y), strict=True)
    ):
        law = MixtureSameFamily(Categorical(weights), MultivariateNormal(means, covariances))
        expected = wasserstein_distance(law.log_prob(a[row]), law.log_prob(b[row]))
        assert float(value[row]) == pytest.approx(expected, rel=1e-9)


def test_a_density_that_is_no_mixture_is_the_tasks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("sign-symmetric")
    x, y = task.sample_joint(4, Generator().manual_seed(0))
    by_mixture = PosteriorDensity(task)(x[:, None].double(), y)
    prior = task.log_prior(x.double())
    monkeypatch.setattr(task, "prior_mixture", lambda: None)
    monkeypatch.setattr(task, "log_prior", lambda x: 2 * prior)
    twice = PosteriorDensity(task)(x[:, None].double(), y)
    assert torch.allclose(twice - by_mixture, prior[:, None])
