"""Good metrics, and broken ones that differ from them in one fault each."""

from __future__ import annotations

from typing import ClassVar

import torch
from check_plugins import CITATION

from cwbench.metric import MetricInfo, ReferenceMetric, SplitMetric


def metric_info(**changes):
    given = {
        "name": "broken", "version": 1, "title": "Broken metric", "citation": CITATION,
        "direction": "lower", "needs": frozenset({"reference"}),
        "sees": frozenset({"shift", "weights"}),
    }  # fmt: skip
    return MetricInfo(**(given | changes))


def means(samples):
    return samples.flatten(2).mean(1)


class GoodMetric(ReferenceMetric):
    """Squared distance of the means."""

    info = metric_info(name="good-metric")

    def distance(self, a, b):
        return (means(a) - means(b)).square().sum(1)


class GoodHalves(SplitMetric):
    """Product of two errors of the mean."""

    info = metric_info(name="good-halves")

    def estimate(self, a1, a2, y):
        mean = self.task.posterior_moments(y).mean
        return ((means(a1) - mean) * (means(a2) - mean)).sum(1)


class Uncited(GoodMetric):
    """Does not say where it comes from."""

    info = metric_info(citation="")


class Excused(GoodMetric):
    """Excuses itself from nothing."""

    info = metric_info()
    excused: ClassVar = {"no-such-check": "because"}


class Undeclared(GoodHalves):
    """Takes a mixture that it does not ask for."""

    info = metric_info()

    def estimate(self, a1, a2, y):
        assert self.task.posterior_mixture(y).weights.shape[1] > 1
        return super().estimate(a1, a2, y)


class SingleMetric(GoodMetric):
    """Returns float32."""

    info = metric_info()

    def distance(self, a, b):
        return super().distance(a, b).float()


class Sociable(GoodMetric):
    """Adds some of what the other observations score."""

    info = metric_info()

    def distance(self, a, b):
        value = super().distance(a, b)
        return value + 0.01 * value.mean()


class Dithered(GoodMetric):
    """Adds a global random number."""

    info = metric_info()

    def distance(self, a, b):
        return super().distance(a, b) + 1e-6 * torch.rand(())


class Standardising(GoodMetric):
    """Standardises the samples that it is given."""

    info = metric_info()

    def distance(self, a, b):
        value = super().distance(a, b)
        a.mul_(1 + 1e-9)
        return value


class Buffered(GoodMetric):
    """Fills one output for all calls of a size."""

    info = metric_info()
    buffers: ClassVar = {}

    def distance(self, a, b):
        value = super().distance(a, b)
        return self.buffers.setdefault(len(a), torch.empty_like(value)).copy_(value)


class Ordered(GoodMetric):
    """Weighs the first samples more."""

    info = metric_info()

    def distance(self, a, b):
        weights = torch.linspace(2, 0, a.shape[1]).double()[None, :, None]
        return super().distance(a * weights, b * weights)


class OneSided(GoodMetric):
    """Divides by the reference and calls itself symmetric."""

    info = metric_info()

    def distance(self, a, b):
        return super().distance(a, b) / (1 + means(b).square().sum(1))


class Forgiving(GoodMetric):
    """Takes what is no number for 0."""

    info = metric_info()

    def distance(self, a, b):
        return super().distance(a.nan_to_num(0), b.nan_to_num(0))


class Biased(GoodHalves):
    """Takes the same half twice."""

    info = metric_info()

    def estimate(self, a1, a2, y):
        return super().estimate(a1, a1, y)


class Boastful(GoodMetric):
    """Says that it sees a scale, which no mean does."""

    info = metric_info(sees=frozenset({"shift", "scale"}))


class UpsideDown(GoodMetric):
    """Says that more is better."""

    info = metric_info(direction="higher")


METRICS = {
    Uncited: "metadata",
    Excused: "excuses",
    Undeclared: "needs",
    SingleMetric: "shapes",
    Sociable: "alone",
    Dithered: "same-value",
    Standardising: "inputs-untouched",
    Buffered: "outputs-kept",
    Ordered: "permutation",
    OneSided: "symmetry",
    Forgiving: "not-finite",
    Biased: "equal-laws",
    Boastful: "sees",
    UpsideDown: "sees",
}
