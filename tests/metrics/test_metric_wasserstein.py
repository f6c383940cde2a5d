"""ew2sq, ew1, esw2sq, w2sq-marginal and sinkhorn-paper against closed forms and POT."""

from __future__ import annotations

import math

import numpy as np
import ot as pot
import pytest
import torch
from torch import Generator

from cwbench.errors import UsageError
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.sinkhorn import SinkhornPaper
from cwbench.metrics.sliced import SlicedW2Squared
from cwbench.metrics.wasserstein import W1, MarginalW2Squared, W2Squared

DEBIASED = [W2Squared, W1, SlicedW2Squared, EnergyDistance]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("metric", "p"), [(W2Squared, 2), (W1, 1)])
def test_distance_is_pots_for_each_observation_and_flattens_x(gaussian_task, metric, p):
    a, b = normal(3, 40, 2, 2), 1 + normal(3, 40, 2, 2, seed=1)
    given = metric(gaussian_task(4)).distance(a, b)
    expected = [
        pot.emd2([], [], np.linalg.norm(p_[:, None] - q[None], axis=-1) ** p)
        for p_, q in zip(a.flatten(2).numpy(), b.flatten(2).numpy(), strict=True)
    ]
    assert given.dtype == torch.float64
    assert torch.allclose(given, torch.tensor(expected, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("metric", DEBIASED)
def test_exact_sampler_scores_zero(gaussian_task, judge, metric):
    task = gaussian_task(3)
    values = judge(metric(task), task.sample_posterior, n=60, m=300)
    assert abs(values.t) < 3


@pytest.mark.parametrize("metric", DEBIASED)
def test_narrow_sampler_never_scores_below_the_exact_one(gaussian_task, judge, metric):
    task = gaussian_task(4)

    def narrow(y, n, generator):
        return y[:, None] + 0.8 * (task.sample_posterior(y, n, generator) - y[:, None])

    values = judge(metric(task), narrow, n=80, m=100)
    assert values.t > -2
    assert values.mean > 0


def test_shift_scores_its_squared_length(gaussian_task, judge):
    task, delta = gaussian_task(3), torch.tensor([0.6, -0.3, 0.2])
    square = float(delta.square().sum())

    def shifted(y, n, generator):
        return task.sample_posterior(y, n, generator) + delta

    w2 = judge(W2Squared(task), shifted, n=150, m=100)
    assert abs(w2.mean - square) < 3 * w2.error
    sliced_metric = SlicedW2Squared(task)
    sliced = judge(sliced_metric, shifted, n=150, m=100)
    along = (sliced_metric.directions @ delta.double()).square().mean()
    assert abs(sliced.mean - along) < 3 * sliced.error
    assert along == pytest.approx(square / 3, rel=0.25)


@pytest.mark.parametrize("scale", [0.7, 1.3])
def test_scale_error_scores_by_the_resolution(gaussian_task, judge, scale):
    task = gaussian_task(3)
    trace = 1 + 1 / 2 + 1 / 3

    def scaled(y, n, generator):
        return y[:, None] + scale * (task.sample_posterior(y, n, generator) - y[:, None])

    metric, n = W2Squared(task), 200
    values = judge(metric, scaled, n=n, m=100)
    y = torch.zeros(50, 3)
    b = task.sample_posterior(y, 2 * n, Generator().manual_seed(9))
    floor = metric.distance(b[:, :n], b[:, n:])
    rho = float(metric.resolution(floor, b).mean())
    assert rho == pytest.approx(1 - float(floor.mean()) / (2 * trace), abs=0.01)
    assert 0.9 < rho < 1
    assert values.mean == pytest.approx(rho * (1 - scale) ** 2 * trace, abs=3 * values.error + 0.01)


def test_sliced_directions_do_not_depend_on_the_instance(gaussian_task):
    first, second = (SlicedW2Squared(gaussian_task(3)).directions for _ in range(2))
    assert torch.equal(first, second)
    assert torch.allclose(first.norm(dim=1), torch.ones(128, dtype=torch.float64))


def test_sliced_in_one_dimension_is_w2(gaussian_task):
    task = gaussian_task(1)
    a, b = normal(4, 30, 1), 2 * normal(4, 30, 1, seed=1)
    assert torch.allclose(SlicedW2Squared(task).distance(a, b), W2Squared(task).distance(a, b))


class SmallMarginal(MarginalW2Squared):
    n = 200


def test_marginal_gathers_batches_and_is_pots(gaussian_task):
    samples, x = normal(200, 3), 0.5 + normal(200, 3, seed=1)
    metric = SmallMarginal(gaussian_task(3))
    for part in range(0, 200, 50):
        metric.update(samples[part : part + 50], x[part : part + 50])
    cost = pot.dist(samples.numpy(), x.numpy())
    assert metric.compute() == pytest.approx(pot.emd2([], [], cost), rel=1e-10)


def test_marginal_refuses_another_number_of_points(gaussian_task):
    metric = SmallMarginal(gaussian_task(3))
    metric.update(normal(150, 3), normal(150, 3))
    with pytest.raises(UsageError, match="defined for 200 points, but 150"):
        metric.compute()
    metric.update(normal(51, 3), normal(51, 3))
    with pytest.raises(UsageError, match="201"):
        metric.compute()


def test_sinkhorn_paper_is_half_of_w2_for_far_sets(gaussian_task):
    task = gaussian_task(2)
    a, b = 0.3 * normal(2, 60, 2), 5 + 0.4 * normal(2, 60, 2, seed=1)
    half = W2Squared(task).distance(a, b) / 2
    assert torch.allclose(SinkhornPaper(task).distance(a, b), half, rtol=2e-3)


def test_sinkhorn_paper_is_zero_for_equal_sets(gaussian_task):
    a = normal(1, 60, 2)
    assert math.isclose(float(SinkhornPaper(gaussian_task(2)).distance(a, a)), 0, abs_tol=1e-4)
