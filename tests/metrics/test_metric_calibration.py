"""sbc and tarp: exact ranks, ties, and what each catches and lets pass."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Generator

from cwbench.api import load_task
from cwbench.judging.uniformity import uniformity
from cwbench.metrics.calibration import (
    POOL,
    RandomPointCoverage,
    SimulationBasedCalibration,
    truth_ranks,
)

M, N = 200, 60


def score(metric, samples, x, y) -> float:
    """The distance from uniformity over what chance makes of it."""
    found = uniformity(metric.ranks(samples.double(), x.double(), y), metric.weights)
    return float(found.value.mean()) / found.least_error


@pytest.fixture(
    params=["gaussian-linear", "gaussian-mixture-informative", "sign-symmetric", "two-moons"]
)
def problem(request):
    task = load_task(request.param)
    x, y = task.sample_joint(M, Generator().manual_seed(1))
    return task, x, y


@pytest.fixture
def samplers(problem):
    task, _, y = problem
    exact = task.sample_posterior(y, N, Generator().manual_seed(2))
    prior = task.sample_joint(M * N, Generator().manual_seed(3)).x.unflatten(0, (M, N))
    mean = exact.mean(dim=1, keepdim=True)
    return {
        "exact": exact,
        "prior": prior,
        "narrow": mean + 0.5 * (exact - mean),
        "shifted": exact + exact.std(dim=1, keepdim=True),
    }


@pytest.mark.parametrize("metric_class", [SimulationBasedCalibration, RandomPointCoverage])
def test_exact_sampler_is_calibrated_and_wrong_ones_are_not(problem, samplers, metric_class):
    task, x, y = problem
    metric = metric_class(task)
    assert abs(score(metric, samplers["exact"], x, y)) < 4
    assert score(metric, samplers["narrow"], x, y) > 8
    assert score(metric, samplers["prior"], x, y) > 8 or not told_from_prior(metric)
    if metric_class is SimulationBasedCalibration:
        assert score(metric, samplers["shifted"], x, y) > 8


def told_from_prior(metric) -> bool:
    """sbc without a likelihood cannot see it: calibration never alone."""
    return isinstance(metric, RandomPointCoverage) or metric.with_likelihood


def test_coordinates_let_the_prior_pass_and_the_likelihood_catches_it():
    task = load_task("gaussian-linear")
    x, y = task.sample_joint(M, Generator().manual_seed(1))
    prior = task.sample_joint(M * N, Generator().manual_seed(3)).x.unflatten(0, (M, N))
    metric = SimulationBasedCalibration(task)
    ranks = metric.ranks(prior.double(), x.double(), y)
    assert metric.weights.tolist() == pytest.approx([0.1] * 5 + [0.5])
    assert min(stats.kstest(column.numpy(), "uniform").pvalue for column in ranks.T[:5]) > 1e-3
    assert stats.kstest(ranks[:, 5].numpy(), "uniform").pvalue < 1e-20


def test_without_a_likelihood_the_coordinates_stand_alone_and_the_prior_passes():
    task = load_task("two-moons")
    x, y = task.sample_joint(M, Generator().manual_seed(1))
    prior = task.sample_joint(M * N, Generator().manual_seed(3)).x.unflatten(0, (M, N))
    metric = SimulationBasedCalibration(task)
    assert metric.weights.tolist() == [0.5, 0.5]
    assert abs(score(metric, prior, x, y)) < 4


def test_a_reference_point_that_ignores_y_would_let_the_prior_pass(monkeypatch):
    task = load_task("gaussian-linear")
    x, y = task.sample_joint(M, Generator().manual_seed(1))
    prior = task.sample_joint(M * N, Generator().manual_seed(3)).x.unflatten(0, (M, N))
    metric = RandomPointCoverage(task)
    assert score(metric, prior, x, y) > 8
    monkeypatch.setattr(metric, "reference_points", lambda y: torch.zeros(len(y), 5).double())
    assert abs(score(metric, prior, x, y)) < 4


def test_reference_points_belong_to_near_observations():
    task = load_task("gaussian-linear")
    y = task.sample_joint(50, Generator().manual_seed(1)).y
    metric = RandomPointCoverage(task)
    points = metric.reference_points(y)
    pool_x, pool_y = metric.pool
    assert len(pool_x) == POOL
    spread = pool_y.std(0)
    for row, point in zip(y, points, strict=True):
        nearest = ((pool_y - row) / spread).square().sum(1).argmin()
        assert torch.equal(point, pool_x[nearest].double())
    assert not torch.isin(y, pool_y).any()  # no observation is its own neighbour
    assert torch.equal(RandomPointCoverage(task).reference_points(y), points)


def test_reference_points_of_classes_are_of_the_same_class():
    task = load_task("eight-gaussians-moons", condition="class")
    metric, y = RandomPointCoverage(task), torch.tensor([1, 0, 1])
    pool_x, pool_y = metric.pool
    for label, point in zip(y, metric.reference_points(y), strict=True):
        row = (pool_x.double() == point).all(1).nonzero()[0, 0]
        assert pool_y[row] == label


def test_ranks_count_the_samples_below():
    points = torch.tensor([[2.0, 0.0], [1.0, 1.0], [3.0, 2.0], [0.0, 3.0]]).double()
    ranks = truth_ranks([points] * 500, "test")
    assert ((ranks[:, 0] >= 2 / 4) & (ranks[:, 0] < 3 / 4)).all()
    assert ((ranks[:, 1] >= 0) & (ranks[:, 1] < 1 / 4)).all()
    assert torch.equal(ranks, truth_ranks([points] * 500, "test"))
    assert stats.kstest(4 * ranks[:, 1].numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("levels", [1, 3])
def test_ranks_are_uniform_among_ties(levels):
    """All equal, and discrete quantities: exactly uniform, not only nearly."""
    generator = Generator().manual_seed(0)
    points = torch.randint(levels, (4000, 6, 1), generator=generator).double()
    ranks = truth_ranks(list(points), "test")[:, 0]
    assert stats.kstest(ranks.numpy(), "uniform").pvalue > 1e-3


def test_what_is_not_finite_has_no_rank():
    points = torch.zeros(5, 2, dtype=torch.float64)
    points[3, 1] = torch.nan
    ranks = truth_ranks([points], "test")
    assert ranks[0].isfinite().tolist() == [True, False]
