"""One door for all kinds of metrics: what each asks a sampler for, and when there is no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import cwbench
from cwbench.errors import ContractError, DivergedError
from cwbench.judging.judge import Judge
from cwbench.metric import Metric, MetricInfo, PairMetric, ReferenceMetric, SetMetric
from cwbench.preset import Preset

M, N = 6, 10
PRESET = Preset(training_pairs=1, steps=1, observations=M, samples=N)


def info(name: str, **more: Any) -> MetricInfo:
    return MetricInfo(name, 3, name, "lower", frozenset(), **more)


class MeanGap(ReferenceMetric):
    """The squared distance of the means."""

    info: ClassVar = info("gap", debiased=False)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        return (a.mean(1) - b.mean(1)).square().sum(1)


class Largest(PairMetric):
    """The largest entry of any sample."""

    info: ClassVar = info("largest")

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return samples.flatten(1).amax(1)


class Total(SetMetric):
    """The sum of everything."""

    info: ClassVar = info("total")
    n = 7

    def __init__(self, task: cwbench.Task) -> None:
        super().__init__(task)
        self.sum = 0.0

    def update(self, samples: Tensor, x: Tensor) -> None:
        self.sum += float(samples.sum())

    def compute(self) -> float:
        return self.sum


class Sampler:
    """Hands out one number everywhere and counts what it is asked for."""

    real_images = staticmethod(lambda part: None)

    def __init__(self, value: float, *, set_diverges: bool = False) -> None:
        self.samples = torch.full((M, 2 * N, 2), value)
        self.value, self.set_diverges, self.sets = value, set_diverges, 0

    def for_set(self, y: Tensor, n: int) -> Tensor:
        self.sets += 1
        if self.set_diverges:
            raise DivergedError("not finite")
        return torch.full((len(y), n, 2), self.value)

    def images(self, y: Tensor, number: int) -> Tensor:
        raise AssertionError("no metric here is of images")


@pytest.fixture
def task() -> cwbench.Task:
    return cwbench.load_task("gaussian-linear", dimension=2)


def test_every_kind_is_measured_by_one_call(task) -> None:
    judge, sampler = Judge(task, PRESET), Sampler(3.0)
    metrics = [Largest(task), Total(task), MeanGap(task)]
    largest, total, gap = judge.measure_each(metrics, sampler)
    assert largest.entry["value"] == 3.0
    assert torch.equal(largest.scores.value, torch.full((M,), 3.0).double())
    assert (largest.entry["low"], largest.entry["high"], largest.entry["p90"]) == (3.0, 3.0, 3.0)
    assert (total.entry["value"], total.entry["low"]) == (7 * 2 * 3.0, None)
    assert total.scores is None
    means = (judge.reference[0].mean(1), judge.reference[1].mean(1))
    expected = sum((3 - mean).square().sum(1) for mean in means) / 2
    assert gap.entry["value"] == pytest.approx(float(expected.mean()), rel=1e-12)
    alone = judge.measure(MeanGap(task), sampler)
    assert alone.entry == gap.entry
    assert torch.equal(alone.scores.value, gap.scores.value)


def test_samples_that_are_not_finite_have_no_value_and_nothing_more_is_drawn(task) -> None:
    judge, sampler = Judge(task, PRESET), Sampler(float("nan"))
    for metric in (Largest(task), Total(task), MeanGap(task)):
        measured = judge.measure(metric, sampler)
        numbers = ("value", "low", "high", "plug_in", "p90", "floor")
        assert [measured.entry[name] for name in numbers] == [None] * 6
        assert measured.entry["version"] == 3
        assert measured.scores is None
    assert sampler.sets == 0


def test_a_set_that_diverges_has_no_value(task) -> None:
    measured = Judge(task, PRESET).measure(Total(task), Sampler(1.0, set_diverges=True))
    assert (measured.entry["value"], measured.entry["n_observations"]) == (None, 7)


def test_a_metric_of_no_kind_is_refused(task) -> None:
    class Odd(Metric):
        info: ClassVar = info("odd")

    with pytest.raises(ContractError, match="odd is none of the kinds"):
        Judge(task, PRESET).measure(Odd(task), Sampler(1.0))


def test_ids_say_what_decides_the_expectation(task) -> None:
    assert [m(task).identifier for m in (Largest, Total)] == ["largest", "total-7"]


def test_an_entry_and_a_floor_belong_to_the_source_of_their_metric(task, tmp_path: Path) -> None:
    """A floor of another source is not served; without a source the name is as it always was."""
    kept = []
    for source in (None, "a" * 64, "b" * 64, "a" * 64):
        judge = Judge(task, PRESET, tmp_path, {"gap": source})
        assert judge.measure(MeanGap(task), Sampler(0.0)).entry["source_sha256"] == source
        kept.append({p.name.partition("-gap-3")[2] for p in tmp_path.glob("*.safetensors")})
    plain, first, second = ".safetensors", f"-{'a' * 16}.safetensors", f"-{'b' * 16}.safetensors"
    assert kept == [{plain}, {plain, first}, {plain, first, second}, {plain, first, second}]
