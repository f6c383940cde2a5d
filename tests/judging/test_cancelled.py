"""A value that debiasing has cancelled is none; one of a sampler that is only bad stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from shifted import M, MeanGap, N, Shifted
from torch import Generator, Tensor

from cwbench.judging.cancelled import cancelled
from cwbench.judging.judge import Judge
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.sinkhorn import SinkhornPaper
from cwbench.metrics.sliced import SlicedW2Squared
from cwbench.metrics.wasserstein import W1, W2Squared
from cwbench.preset import Preset
from cwbench.samples import JointSamples, Moments

pytestmark = pytest.mark.usefixtures("one_thread")

DIMENSION = 200


class High(Shifted):
    """The same in many dimensions, where few samples hardly resolve a scale."""

    @property
    def x_shape(self) -> tuple[int, ...]:
        return (DIMENSION,)

    @property
    def y_shape(self) -> tuple[int, ...]:
        return (DIMENSION,)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        y = torch.randn(n, DIMENSION, generator=generator)
        return JointSamples(y + torch.randn(n, DIMENSION, generator=generator), y)

    def sample_posterior(self, y: Tensor, n: int, generator: Generator) -> Tensor:
        return y[:, None] + torch.randn(len(y), n, DIMENSION, generator=generator)

    def posterior_moments(self, y: Tensor) -> Moments:
        eye = torch.eye(DIMENSION, dtype=torch.float64)
        return Moments(y.double(), eye.expand(len(y), DIMENSION, DIMENSION))


def plug_in_by_scipy(judge: Judge, samples: Tensor) -> float:
    """(D(a1, b1) + D(a2, b2)) / 2, by another solver."""
    values = []
    for a, b in zip(samples.double().split(N, 1), judge.reference, strict=True):
        for p, q in zip(a.numpy(), b.numpy(), strict=True):
            cost = ((p[:, None] - q[None]) ** 2).sum(-1)
            values.append(cost[linear_sum_assignment(cost)].mean())
    return float(np.mean(values))


@pytest.mark.parametrize("away", [100.0, 1e6, 1e15])
@pytest.mark.parametrize("which", [0, -1], ids=["first half", "second half"])
def test_one_draw_far_out_of_720_leaves_no_value(judge, samples, away, which) -> None:
    far = samples.clone()
    far[3, which, 1] += away
    entry, scores, _ = judge.measured(W2Squared(judge.task), far)
    assert [entry[name] for name in ("value", "low", "high", "p90")] == [None] * 4
    assert scores is None
    assert entry.plug_in == pytest.approx(plug_in_by_scipy(judge, far), rel=1e-6)
    assert entry.plug_in == pytest.approx(away**2 / (2 * N * M), rel=0.1)
    assert entry.floor is not None
    assert f"{entry.plug_in:.6g}" in str(entry.error)
    assert "look at the samples" in str(entry.error)


def test_draws_far_out_in_both_halves_have_a_value(judge, samples) -> None:
    """Where they are no rarer than that, the distance is that of their share: p R^2."""
    away, share = 1e3, 10
    far = samples.clone()
    far[:, :: 2 * N // (2 * share), 0] += away
    entry = judge.measured(W2Squared(judge.task), far).entry
    assert entry.value == pytest.approx(away**2 * share / N, rel=0.01)
    assert entry.error is None


@pytest.mark.parametrize("metric", [W2Squared, W1, SlicedW2Squared, EnergyDistance])
@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.0, 5.0, 20.0, 1000.0])
@pytest.mark.parametrize("task", [Shifted, High])
def test_samplers_that_are_too_wide_or_too_narrow_keep_their_values(task, scale, metric) -> None:
    judge = Judge(task(), Preset(training_pairs=1, steps=1, observations=M, samples=N))
    y = judge.observations.y
    noise = torch.randn(M, 2 * N, *y.shape[1:], generator=Generator().manual_seed(5))
    entry = judge.measured(metric(judge.task), y[:, None] + scale * noise).entry
    assert entry.error is None
    assert entry.value is not None


def test_what_the_rule_is_for(judge) -> None:
    """Noise of a metric that sees no scale is taken off rightly, as is low resolution."""
    entry = replace(judge.blank(W2Squared(judge.task)), value=1e-3, plug_in=100.0, floor=1.0)
    assert cancelled(W2Squared(judge.task), entry) is not None
    assert cancelled(SlicedW2Squared(judge.task), entry) is not None
    assert cancelled(MeanGap(judge.task), entry) is None
    assert cancelled(SinkhornPaper(judge.task), entry) is None
    for resolution, lost in ((0.02, False), (0.1, True)):
        seen = replace(entry, resolution=resolution)
        assert (cancelled(W2Squared(judge.task), seen) is not None) == lost
    for name in ("value", "plug_in", "floor"):
        assert cancelled(W2Squared(judge.task), replace(entry, **{name: None})) is None


def test_exact_draws_far_from_0_keep_their_value(judge) -> None:
    """Nothing depends on where the data is."""
    draws = torch.cat([half.flip(1) for half in judge.reference], 1).float()
    entry = judge.measured(W2Squared(judge.task), draws + 1e4).entry
    assert entry.value == pytest.approx(2e8, rel=1e-3)
