"""A set of samples, one for each of many observations, against held-out x."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cwbench.door import copying
from cwbench.judging.measured import Measured, Sizes, made_entry
from cwbench.machine.streams import stream
from cwbench.metric import SetMetric

Sampler = Callable[[Tensor, int], Tensor]
"""(observations, samples for each) to samples with shape `(m, n, *x_shape)`, all finite."""


def set_value(metric: SetMetric, sampler: Sampler, key: tuple[str | int, ...]) -> float:
    """The value over as many held-out observations as the metric says, in the stream of `key`."""
    x, y = metric.task.evaluation_set(metric.n, stream(*key, "set"))
    empty = type(metric)(metric.task)  # the one handed in is shared by all NFE
    copying(empty.update)(sampler(y, 1)[:, 0].double(), x.double())
    return empty.compute()


def measured_set(metric: SetMetric, value: float | None, source_sha256: str | None) -> Measured:
    """The entry; there is no interval within a run, only over seeds."""
    sizes = Sizes(n_observations=metric.n, n_samples=1)
    return Measured(made_entry(metric, sizes, value, source_sha256=source_sha256))
