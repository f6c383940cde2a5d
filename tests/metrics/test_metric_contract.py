"""What every metric declares, and that none changes the samples it is given."""

from __future__ import annotations

from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest
import torch
from torch import Generator

from cwbench.metric import (
    CalibrationMetric,
    ImageMetric,
    Metric,
    PairMetric,
    ReferenceMetric,
    SplitMetric,
)

METRICS = {
    point.name: point
    for point in entry_points(group="cwbench.metrics")
    if point.value.startswith("cwbench.metrics.")
}
OF_IMAGES = {name for name in METRICS if issubclass(METRICS[name].load(), ImageMetric)}


@pytest.mark.parametrize("name", METRICS)
def test_declaration_is_complete(name):
    metric = METRICS[name].load()
    assert issubclass(metric, Metric)
    assert metric.info.name == name
    assert metric.info.version >= 1
    assert metric.info.title
    assert metric.info.citation
    assert metric.info.direction in ("lower", "higher")
    if metric.info.direction == "higher":  # 0 would be the worst value
        assert not metric.info.debiased
    if issubclass(metric, CalibrationMetric):  # a sampler of the prior passes it
        assert not metric.info.ranks
    if name in OF_IMAGES:
        assert metric.info.opt_in
    needed = "reference" if issubclass(metric, ReferenceMetric | SplitMetric) else "pairs"
    if name in OF_IMAGES:
        needed = "labelled-images"
    assert needed in metric.info.needs


@pytest.fixture
def small_task(mixture_task):
    """A task that offers what a metric needs: two modes in the plane, or images of noise."""
    means = torch.tensor([[0.0, 0.0], [2.0, 1.0]])
    plane = mixture_task([0.5, 0.5], means, torch.eye(2).expand(2, 2, 2))
    plane.standardised_residual = lambda x, y: y.double()[:, None] - x
    plane.log_prior = lambda x: -x.double().square().sum(1) / 2
    plane.log_likelihood = lambda x, y: -(y.double()[:, None] - x).square().sum(2) / 2
    images = SimpleNamespace(x_shape=(1, 8, 8))
    return lambda name: images if "image" in METRICS[name].load().info.needs else plane


@pytest.mark.parametrize(
    "name", [n for n in METRICS if issubclass(METRICS[n].load(), CalibrationMetric)]
)
def test_ranks_and_weights_of_test_quantities(name, small_task):
    metric = METRICS[name].load()(small_task(name))
    generator = Generator().manual_seed(0)
    samples = torch.randn(3, 20, 2, generator=generator, dtype=torch.float64)
    x, y, before = samples[:, 0] + 0.1, torch.zeros(3, 2), samples.clone()
    ranks = metric.ranks(samples, x, y)
    assert ranks.shape == (3, len(metric.weights))
    assert ((ranks >= 0) & (ranks <= 1)).all()
    assert float(metric.weights.sum()) == pytest.approx(1)
    assert torch.equal(ranks, metric.ranks(samples, x, y))
    assert torch.equal(samples, before)


QUICKER = {"c2st": (10, 1.5)}
"""Samples, and how far apart the sides lie: its networks take long to tell equal laws apart."""


@pytest.mark.parametrize("name", METRICS)
def test_one_float64_score_per_observation_and_inputs_untouched(name, small_task):
    metric = METRICS[name].load()(small_task(name))
    generator = Generator().manual_seed(0)
    shape = metric.task.x_shape
    n, apart = QUICKER.get(name, (20, 0))
    a, b = (torch.randn(3, n, *shape, generator=generator, dtype=torch.float64) for _ in range(2))
    b += apart
    y, x = torch.zeros(3, 2), b[:, 0]
    before = a.clone(), b.clone()
    if isinstance(metric, ReferenceMetric):
        score, alone = metric.distance(a, b), metric.distance(a[1:2], b[1:2])
    elif isinstance(metric, SplitMetric):
        score, alone = metric.estimate(a, a, y), metric.estimate(a[1:2], a[1:2], y[1:2])
    elif isinstance(metric, PairMetric):
        score, alone = metric.score(a, x, y), metric.score(a[1:2], x[1:2], y[1:2])
    else:
        return
    assert score.shape == (3,)
    assert score.dtype == torch.float64
    assert torch.isfinite(score).all()
    assert torch.allclose(alone, score[1:2], atol=1e-12)  # no observation sees another
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])
