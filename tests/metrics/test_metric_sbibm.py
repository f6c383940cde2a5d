"""c2st and mmd-sbibm: known extremes and a brute-force double loop."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from torch import Generator

from cwbench.errors import NoValueError
from cwbench.metrics.sbibm import ClassifierTwoSampleTest, MaximumMeanDiscrepancy


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def test_c2st_is_near_half_for_equal_laws(gaussian_task):
    accuracy = ClassifierTwoSampleTest(gaussian_task(2)).distance(
        normal(2, 200, 2), normal(2, 200, 2, seed=1)
    )
    assert (accuracy - 0.5).abs().max() < 0.1


def test_c2st_is_one_for_disjoint_sets_and_independent_of_units(gaussian_task):
    metric = ClassifierTwoSampleTest(gaussian_task(2))
    a, b = normal(1, 100, 2) + 10, normal(1, 100, 2, seed=1)
    unit = torch.tensor([1e-3, 1e4])
    assert metric.distance(a, b).item() == pytest.approx(1)
    assert metric.distance(a * unit, b * unit).item() == pytest.approx(1)


def test_c2st_is_the_same_twice_and_leaves_the_global_seed(gaussian_task):
    metric = ClassifierTwoSampleTest(gaussian_task(1))
    a, b = normal(1, 60, 1) + 1, normal(1, 60, 1, seed=1)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert torch.equal(metric.distance(a, b), metric.distance(a, b))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_c2st_with_a_coordinate_that_does_not_vary(gaussian_task):
    metric = ClassifierTwoSampleTest(gaussian_task(2))
    a, b = normal(1, 60, 2), normal(1, 60, 2, seed=1)
    a[..., 0] = b[..., 0] = 0.1
    assert abs(metric.distance(a, b).item() - 0.5) < 0.2


def brute_force_mmd(a, b):
    median = statistics.median_low([math.dist(p, q) for p, q in itertools.combinations(b, 2)])

    def kernel(p, q):
        return math.exp(-(math.dist(p, q) ** 2) / (2 * median**2))

    def within(points):
        return statistics.fmean(kernel(p, q) for p, q in itertools.permutations(points, 2))

    across = statistics.fmean(kernel(p, q) for p, q in itertools.product(a, b))
    return within(a) + within(b) - 2 * across


def test_mmd_is_the_double_loop(gaussian_task):
    a, b = 1.5 * normal(2, 31, 3), 0.3 + normal(2, 31, 3, seed=1)
    given = MaximumMeanDiscrepancy(gaussian_task(3)).distance(a, b)
    expected = [brute_force_mmd(p, q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    assert given.tolist() == pytest.approx(expected, abs=1e-12)


def test_mmd_is_zero_in_expectation_for_equal_laws(gaussian_task):
    values = MaximumMeanDiscrepancy(gaussian_task(2)).distance(
        normal(1500, 10, 2), normal(1500, 10, 2, seed=1)
    )
    # the bandwidth comes from b, so only nearly unbiased
    assert abs(values.mean()) < 3 * values.std() / 1500**0.5 + 2e-3


def test_mmd_of_a_reference_whose_points_are_mostly_equal_says_that_it_is_not_defined(
    gaussian_task,
):
    a, b = normal(1, 20, 2), torch.zeros(1, 20, 2, dtype=torch.float64)
    b[:, :4] = normal(1, 4, 2, seed=1)
    with pytest.raises(NoValueError, match="median distance between reference samples is 0"):
        MaximumMeanDiscrepancy(gaussian_task(2)).distance(a, b)
