"""Distances in leading directions and in whitened coordinates, against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.leading import DIRECTIONS, ComplementError, LeadingW2Squared
from cwbench.metrics.sliced import SlicedW2Squared
from cwbench.metrics.wasserstein import W2Squared
from cwbench.metrics.white import WhiteEnergyDistance, WhiteSlicedW2Squared

D = 30
UNITS = torch.ones(())


@pytest.fixture
def task(mixture_task):
    """One Gaussian whose variances fall from 30 to 1, in turned coordinates."""
    variances = torch.arange(D, 0, -1).double()
    turn = torch.linalg.qr(torch.randn(D, D, generator=Generator().manual_seed(0)).double())[0]
    made = mixture_task([1.0], torch.zeros(1, D), ((turn * variances) @ turn.T)[None])
    made.turn, made.variances = turn, variances
    return made


@pytest.fixture
def y():
    return torch.randn(4, D, generator=Generator().manual_seed(1))


def draws(task, y, n=300, seed=2):
    return task.sample_posterior(y, n, Generator().manual_seed(seed)).double()


def test_leading_coordinates_are_the_first_axes_up_to_sign(task, y):
    x = draws(task, y)
    seen = LeadingW2Squared(task).coordinates(x, y, UNITS)
    expected = (x @ task.turn)[..., :DIRECTIONS].flip(-1)
    assert torch.allclose(seen.abs(), expected.abs())


def test_where_x_is_small_the_leading_distance_is_the_whole(mixture_task):
    plane = mixture_task(
        [0.4, 0.6], torch.tensor([[0.0, 0.0], [2.0, 1.0]]), 0.2 * torch.eye(2).expand(2, 2, 2)
    )
    y = torch.zeros(3, 2)
    a, b = (draws(plane, y, 50, seed) for seed in (1, 2))
    metric = LeadingW2Squared(plane)
    leading = metric.distance(*(metric.coordinates(x, y, UNITS) for x in (a, b)))
    assert torch.allclose(leading, W2Squared(plane).distance(a, b))
    assert torch.equal(ComplementError(plane).estimate(a, b, y), torch.zeros(3).double())


@pytest.mark.parametrize("axis", [0, D - 1])
def test_a_shift_is_seen_where_it_lies(task, y, axis):
    """By |delta|^2 in the leading distance, and |delta|^2 over the trace left in the other."""
    x = draws(task, y, 4000)
    delta = 3.0 * task.turn[:, axis]
    inside = axis < DIRECTIONS
    metric = LeadingW2Squared(task)
    a, b = (metric.coordinates(part, y, UNITS) for part in (x + delta, x))
    assert float((a - b).square().sum(-1).mean()) == pytest.approx(9.0 if inside else 0, abs=1e-9)
    a1, a2 = (x + delta).split(2000, 1)
    error = float(ComplementError(task).estimate(a1, a2, y).mean())
    expected = 0 if inside else 9 / float(task.variances[DIRECTIONS:].sum())
    assert error == pytest.approx(expected, abs=0.01)


def test_a_wrong_scale_outside_is_seen_by_the_trace(task, y):
    x = draws(task, y, 4000)
    mean = y.double()[:, None]
    wide = mean + 1.2 * (x - mean)
    error = ComplementError(task).estimate(*wide.split(2000, 1), y)
    assert float(error.mean()) == pytest.approx((1.2**2 - 1) ** 2, abs=0.02)


def test_an_observation_without_a_complement_leaves_the_others_theirs(task, y, monkeypatch):
    wide = 1.2 * draws(task, y)
    parts = wide.chunk(2, 1)
    before = ComplementError(task).estimate(*parts, y)
    exact = task.posterior_moments

    def flat(given):
        moments = exact(given)
        within = (
            task.turn[:, :DIRECTIONS] * task.variances[:DIRECTIONS] @ task.turn[:, :DIRECTIONS].T
        )
        here = (given == y[0]).all(1)[:, None, None]
        return moments._replace(covariance=torch.where(here, within, moments.covariance))

    monkeypatch.setattr(task, "posterior_moments", flat)
    after = ComplementError(task).estimate(*parts, y)
    assert after[0] == 0
    assert torch.allclose(after[1:], before[1:])
    broken = parts[0].clone()
    broken[0, 0, 0] = torch.nan
    assert ComplementError(task).estimate(broken, parts[1], y).isnan().tolist() == [
        True,
        *[False] * 3,
    ]


@pytest.mark.parametrize(
    ("white", "plain"),
    [(WhiteEnergyDistance, EnergyDistance), (WhiteSlicedW2Squared, SlicedW2Squared)],
)
def test_whitened_samples_are_standard_normal_and_compared_as_ever(task, y, white, plain):
    metric, x = white(task), draws(task, y, 2000)
    a = metric.coordinates(x, y, UNITS)
    covariance = torch.stack([row.T.cov() for row in a]).mean(0)
    assert torch.allclose(covariance, torch.eye(D).double(), atol=0.06)
    b = metric.coordinates(draws(task, y, 2000, 3), y, UNITS)
    assert torch.equal(
        metric.distance(a[:, :100], b[:, :100]), plain(task).distance(a[:, :100], b[:, :100])
    )


def test_a_whitened_energy_distance_sees_what_hides_in_little_variance(task, y, judge):
    """A shift of a deviation in the last axis: a thirtieth of the first one's variance."""

    def shifted(y, n, generator):
        return task.sample_posterior(y, n, generator).double() + 0.7 * task.turn[:, -1]

    white, plain = (
        judge(cls(task), shifted, n=100, m=20).t for cls in (WhiteEnergyDistance, EnergyDistance)
    )
    assert white > 3 * max(plain, 1)
