"""What every metric declares, and that none changes the samples it is given."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
import torch
from torch import Generator

from cwbench.metric import Metric, ReferenceMetric, SetMetric, SplitMetric

METRICS = {
    point.name: point
    for point in entry_points(group="cwbench.metrics")
    if point.value.startswith("cwbench.metrics.")
}
OPT_IN = {"c2st", "mmd-sbibm", "w2sq-marginal", "sinkhorn-paper"}


@pytest.mark.parametrize("name", METRICS)
def test_declaration_is_complete(name):
    metric = METRICS[name].load()
    assert issubclass(metric, Metric)
    assert metric.info.name == name
    assert metric.info.version >= 1
    assert metric.info.title
    assert metric.info.citation
    assert metric.info.direction == "lower"
    assert metric.info.opt_in == (name in OPT_IN)
    needed = "pairs" if issubclass(metric, SetMetric) else "reference"
    assert needed in metric.info.needs


@pytest.mark.parametrize("name", METRICS)
def test_one_float64_score_per_observation_and_inputs_untouched(name, mixture_task):
    means = torch.tensor([[0.0, 0.0], [2.0, 1.0]])
    task = mixture_task([0.5, 0.5], means, torch.eye(2).expand(2, 2, 2))
    metric = METRICS[name].load()(task)
    generator = Generator().manual_seed(0)
    a, b = (torch.randn(3, 20, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    y = torch.zeros(3, 2)
    before = a.clone(), b.clone()
    if isinstance(metric, ReferenceMetric):
        score, alone = metric.distance(a, b), metric.distance(a[1:2], b[1:2])
    elif isinstance(metric, SplitMetric):
        score, alone = metric.estimate(a, a, y), metric.estimate(a[1:2], a[1:2], y[1:2])
    else:
        return
    assert score.shape == (3,)
    assert score.dtype == torch.float64
    assert torch.isfinite(score).all()
    assert torch.allclose(alone, score[1:2], atol=1e-12)  # no observation sees another
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])
