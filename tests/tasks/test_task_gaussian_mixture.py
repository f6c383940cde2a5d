"""The paper's mixture against importance sampling, a one-dimensional grid and known numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator

from cwbench_tasks.gaussian_mixture import (
    GaussianMixture,
    GaussianMixtureInformative,
    GaussianMixtureParams,
)


@pytest.mark.parametrize("task_class", [GaussianMixture, GaussianMixtureInformative])
def test_moments_agree_with_importance_sampling(task_class: type[GaussianMixture]) -> None:
    task = task_class()
    y = task.evaluation_set(5, Generator().manual_seed(0)).y.double()
    x = task.sample_joint(400_000, Generator().manual_seed(1)).x.double()
    slope = 0.1 / np.arange(1, 6)
    predicted = x * torch.from_numpy(slope)
    mean, covariance = task.posterior_moments(y.float())
    for i, row in enumerate(y):
        misfit = ((row - predicted) / task.params.noise).square().sum(-1)
        weights = (-misfit / 2).softmax(0)
        estimate = weights @ x
        error = 6 * float(weights.square().sum()) ** 0.5
        assert torch.allclose(mean[i], estimate, atol=error)
        centred = x - estimate
        second = centred.T @ (weights[:, None] * centred)
        assert torch.allclose(covariance[i], second, atol=2 * error)


def test_posterior_in_one_dimension_is_bayes_rule() -> None:
    task = GaussianMixture(GaussianMixtureParams(dimension=1, components=3, scale=1.0, noise=0.3))
    grid = np.linspace(-3, 3, 6001)
    prior = sum(stats.norm(m, 0.1).pdf(grid) for m in task.prior.means[:, 0].tolist())
    y = torch.tensor([[0.2]])
    density = prior * stats.norm(grid, 0.3).pdf(0.2)
    cumulative = np.cumsum(density) / density.sum()
    draws = task.sample_posterior(y, 20_000, Generator().manual_seed(2))[0, :, 0].numpy()
    assert stats.kstest(draws, lambda t: np.interp(t, grid, cumulative)).pvalue > 1e-3


def test_means_are_those_of_the_published_script() -> None:
    state = np.random.RandomState(3)
    means = np.stack([state.uniform(size=5) * 2 - 1 for _ in range(10)])  # one call a component
    task = GaussianMixture(GaussianMixtureParams(instance=3))
    np.testing.assert_array_equal(task.prior.means, means)


def test_prior_and_operator_are_the_papers() -> None:
    task = GaussianMixture()
    assert task.prior.means.shape == (10, 5)
    assert bool((task.prior.means.abs() <= 1).all())
    expected = torch.tensor([0.1, 0.05, 0.1 / 3, 0.025, 0.02], dtype=torch.float64)
    assert torch.allclose(task.A, expected.diag())
    x, y = task.sample_joint(100_000, Generator().manual_seed(3))
    residual = y.double() - x.double() @ task.A.T
    assert torch.allclose(residual.std(0), torch.full((5,), 0.1, dtype=torch.float64), rtol=0.02)
    distance = torch.cdist(x.double(), task.prior.means)
    nearest, component = distance.min(1)
    assert nearest.square().mean() == pytest.approx(5 * 0.01, rel=0.03)
    share = torch.bincount(component, minlength=10) / 100_000
    assert torch.allclose(share, torch.full((10,), 0.1), atol=0.02)


@pytest.mark.parametrize(
    ("task_class", "explained", "modes"),
    [(GaussianMixture, 0.13, 8.1), (GaussianMixtureInformative, 0.59, 3.2)],
)
def test_informativeness_is_as_known(
    task_class: type[GaussianMixture], explained: float, modes: float
) -> None:
    task = task_class()
    x, y = task.sample_joint(20_000, Generator().manual_seed(4))
    left = task.posterior_moments(y).covariance.diagonal(dim1=1, dim2=2).sum(-1).mean()
    assert float(1 - left / x.double().T.cov().trace()) == pytest.approx(explained, abs=0.02)
    weights = task.posterior_mixture(y).weights
    entropy = -torch.xlogy(weights, weights).sum(-1).mean()
    assert float(entropy.exp()) == pytest.approx(modes, rel=0.05)


def test_both_variants_share_the_mixture_and_differ_in_noise() -> None:
    paper, informative = GaussianMixture(), GaussianMixtureInformative()
    assert torch.equal(paper.prior.means, informative.prior.means)
    assert (paper.params.noise, informative.params.noise) == (0.1, 0.03)


def test_paper_preset_has_the_papers_budget() -> None:
    preset = GaussianMixture.info.presets["paper"]
    assert (preset.training_pairs, preset.steps, preset.batch_size) == (10_000, 50_000, 200)
    assert (preset.activation, preset.learning_rate, preset.decay) == ("leaky-relu", 1e-4, False)
    assert preset.metrics == ("sinkhorn-paper",)
    assert "paper" not in GaussianMixtureInformative.info.presets
