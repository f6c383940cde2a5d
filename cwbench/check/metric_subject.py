"""What the checks of a metric look at: how each kind is called, and its values for each sampler.

A kind of metric is tried by a class of its own, `TRIED`. It knows what the metric is called with,
which axis of that holds the samples, and what the harness makes of it.
"""

from __future__ import annotations

import functools
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast, get_args

import torch
from torch import Generator, Tensor

from cwbench.check.faults import MixtureTrial, StoredTrial, sampled
from cwbench.check.outcome import NotApplicableError
from cwbench.errors import CwbenchError
from cwbench.images import to_pixels, to_x
from cwbench.judging.judge import Judge
from cwbench.machine.streams import seeded_globals, stream
from cwbench.metric import (
    CalibrationMetric,
    Fault,
    ImageMetric,
    Metric,
    Need,
    PairMetric,
    ReferenceMetric,
    SetMetric,
    SplitMetric,
)
from cwbench.preset import Preset

NEEDS: frozenset[Need] = frozenset(get_args(Need))
JUDGED = Preset.model_validate(
    {"training_pairs": 1, "steps": 1, "observations": 300, "samples": 40}
)
FEW = 6
"""Observations where a metric is called by hand."""

REPEATS, SET = 10, 300
"""How often a whole set is drawn, and of how many points or images."""

Arguments = tuple[Tensor, ...]


class Trial(ABC):
    """A kind of metric on a small problem, which offers no more than `offered`."""

    base: ClassVar[Need]
    """What every metric of the kind needs."""

    has_rows: ClassVar[bool] = True
    """Whether the first axis of all arguments, and of what comes back, is that of observations."""

    def __init__(self, cls: type[Metric], offered: frozenset[Need] = NEEDS) -> None:
        self.cls, self.offered = cls, offered
        shape = (1, 4, 4) if "image" in cls.info.needs else (2,)
        self.task: Any = MixtureTrial(shape, offered)

    @cached_property
    def metric(self) -> Any:
        """The metric of the task."""
        return self.cls(self.task)

    def samples(self, y: Tensor, n: int, fault: Fault | None, seed: int) -> Tensor:
        """Samples `(m, n, *x_shape)`, float32, the same for the same seed."""
        return sampled(self.task, y, n, fault, stream("check", self.cls.info.name, seed))

    @abstractmethod
    def arguments(self) -> Arguments:
        """What it is called with by hand, exact samples first."""

    @abstractmethod
    def call(self, *arguments: Tensor) -> Tensor:
        """What the metric makes of them."""

    @abstractmethod
    def permuted(self, arguments: Arguments, generator: Generator) -> Arguments:
        """The same samples in another order."""

    @abstractmethod
    def values(self, fault: Fault | None) -> Tensor:
        """Values as the harness forms them, `(r,)`; entry by entry comparable between faults."""


class ByObservation(Trial):
    """A metric with a value for each observation."""

    sets: ClassVar[int] = 1
    """How many of its arguments are samples, with axis 1 that of samples."""

    @cached_property
    def judge(self) -> Judge:
        """Observations and reference draws."""
        return Judge(self.task, JUDGED)

    def permuted(self, arguments: Arguments, generator: Generator) -> Arguments:
        """Each set of samples in an order of its own."""
        samples, rest = arguments[: self.sets], arguments[self.sets :]
        orders = [torch.randperm(part.shape[1], generator=generator) for part in samples]
        pairs = zip(samples, orders, strict=True)
        return *(part[:, order] for part, order in pairs), *rest

    def values(self, fault: Fault | None) -> Tensor:
        """The scores of the observations."""
        draws = self.samples(self.judge.observations.y, 2 * JUDGED.samples, fault, 0)
        value: Tensor = self.judge.score(self.metric, draws).value
        return value

    @cached_property
    def few(self) -> tuple[Tensor, Tensor]:
        """A few observations, x `(m, *x_shape)` in float64 and y."""
        x, y = self.task.sample_joint(FEW, stream("check", "few"))
        return x.double(), y


class ReferenceTrial(ByObservation):
    """A distance of two sets."""

    base, sets = "reference", 2

    def arguments(self) -> Arguments:
        """Two exact sets, where the metric looks."""
        _, y = self.few
        sets = self.samples(y, 2 * JUDGED.samples, None, 1).double().chunk(2, 1)
        a, b = (self.metric.coordinates(part, y, self.judge.units) for part in sets)
        return a, b

    def call(self, *arguments: Tensor) -> Tensor:
        """Their distance."""
        return cast("Tensor", self.metric.distance(*arguments))


class SplitTrial(ByObservation):
    """A product of two halves."""

    base, sets = "reference", 2

    def arguments(self) -> Arguments:
        """Two exact halves and y."""
        _, y = self.few
        a1, a2 = self.samples(y, 2 * JUDGED.samples, None, 1).double().chunk(2, 1)
        return a1, a2, y

    def call(self, *arguments: Tensor) -> Tensor:
        """Their value."""
        return cast("Tensor", self.metric.estimate(*arguments))


class PairTrial(ByObservation):
    """A score for the x behind y."""

    base = "pairs"

    def arguments(self) -> Arguments:
        """Exact samples, x and y."""
        x, y = self.few
        return self.samples(y, JUDGED.samples, None, 1).double(), x, y

    def call(self, *arguments: Tensor) -> Tensor:
        """Their score."""
        return cast("Tensor", self.metric.score(*arguments))


class CalibrationTrial(PairTrial):
    """Ranks of the x behind y."""

    def call(self, *arguments: Tensor) -> Tensor:
        """The ranks, weighted."""
        return cast("Tensor", self.metric.ranks(*arguments) @ self.metric.weights)


class SetTrial(Trial):
    """A distance of whole sets, of fewer points than it is defined for."""

    base = "pairs"
    has_rows = False

    def __init__(self, cls: type[Metric], offered: frozenset[Need] = NEEDS) -> None:
        super().__init__(cls, offered)
        self.small = type(cls.__name__, (cls,), {"n": SET})

    def arguments(self) -> Arguments:
        """Exact samples and held-out x."""
        return self._sets(None, 0)

    def _sets(self, fault: Fault | None, seed: int) -> Arguments:
        x, y = self.task.sample_joint(SET, stream("check", "set", seed))
        if fault == "atoms":  # one sample for each y: the few points are those of all
            y = y[: SET // 30].repeat(30, *[1] * (y.ndim - 1))
            samples = self.samples(y[: SET // 30], 1, None, seed).repeat_interleave(30, 0)
        else:
            samples = self.samples(y, 1, fault, seed)
        return samples[:, 0].double(), x.double()

    def call(self, *arguments: Tensor) -> Tensor:
        """Their distance, `(1,)`."""
        metric: Any = self.small(self.task)
        metric.update(*arguments)
        return torch.tensor([metric.compute()], dtype=torch.float64)

    def permuted(self, arguments: Arguments, generator: Generator) -> Arguments:
        """Both sets, each in an order of its own."""
        return tuple(part[torch.randperm(len(part), generator=generator)] for part in arguments)

    def values(self, fault: Fault | None) -> Tensor:
        """The distance of several sets."""
        return torch.cat([self.call(*self._sets(fault, seed)) for seed in range(REPEATS)])


class ImageTrial(Trial):
    """A statistic of labelled images against stored ones."""

    base = "labelled-images"
    has_rows = False

    def __init__(self, cls: type[Metric], offered: frozenset[Need] = NEEDS) -> None:
        super().__init__(cls, offered)
        self.task = StoredTrial()
        self._real: dict[int, Any] = {}

    @cached_property
    def metric(self) -> Any:
        """The metric, told how many images there are.

        Raises:
            NotApplicableError: if it cannot do with so few, or its features cannot be had here.
        """
        metric = cast("ImageMetric", self.cls(self.task))
        metric.n = SET
        try:
            refused = metric.refusal(SET)
        except CwbenchError as error:
            raise NotApplicableError(f"its features cannot be had here: {error}") from None
        if refused:
            raise NotApplicableError(f"not tried: on {SET} images of 8 x 8, {refused}")
        return metric

    @cached_property
    def network(self) -> Any:
        """Its features; what is trained for them is trained once in a process."""
        return self.metric.network(_kept())

    def real(self, seed: int) -> Any:
        """The statistic of real images, other ones for each seed: they vary as well."""
        if seed not in self._real:
            images, labels = self._images(None, seed + REPEATS)
            self._real[seed] = self.metric.statistic()
            self._real[seed].update(self.network(to_x(to_pixels(images))), labels)
        return self._real[seed]

    def arguments(self) -> Arguments:
        """Exact images and their classes."""
        return self._images(None, 0)

    def _images(self, fault: Fault | None, seed: int) -> Arguments:
        """Classes as the harness asks for them: in turn, or drawn, all equally often."""
        labels = torch.arange(SET) % self.task.num_classes
        if not self.metric.by_class:
            generator = stream("check", "labels", seed)
            labels = torch.randint(self.task.num_classes, (SET,), generator=generator)
        return self.samples(labels, 1, fault, seed)[:, 0], labels

    def call(self, *arguments: Tensor) -> Tensor:
        """The mean value over classes, `(1,)`."""
        images, labels = arguments
        return self._value(images, labels, self.real(0))

    def _value(self, images: Tensor, labels: Tensor, real: Any) -> Tensor:
        statistic = self.metric.statistic(real)
        statistic.update(self.network(images), labels)
        return cast("Tensor", self.metric.value(statistic, real)).mean().reshape(1)

    def permuted(self, arguments: Arguments, generator: Generator) -> Arguments:
        """Images with their classes."""
        order = torch.randperm(SET, generator=generator)
        return tuple(part[order] for part in arguments)

    def values(self, fault: Fault | None) -> Tensor:
        """The value of several sets of images."""
        values = []
        for repeat in range(REPEATS):
            images, labels = self._images(fault, repeat)
            values.append(self._value(images, labels, self.real(repeat)))
        return torch.cat(values)


TRIED: Mapping[type[Metric], type[Trial]] = {
    ReferenceMetric: ReferenceTrial, SplitMetric: SplitTrial, PairMetric: PairTrial,
    CalibrationMetric: CalibrationTrial, SetMetric: SetTrial, ImageMetric: ImageTrial,
}  # fmt: skip


class MetricSubject:
    """A metric class, tried as its kind is used."""

    def __init__(self, cls: type[Metric], offered: frozenset[Need] = NEEDS) -> None:
        self.cls, self.offered = cls, offered
        self._values: dict[Fault | None, Tensor] = {}

    @cached_property
    def trial(self) -> Trial:
        """It on the small problem for its kind.

        Raises:
            NotApplicableError: if it is of no kind, which `metadata` reports.
        """
        for kind, trial in TRIED.items():
            if issubclass(self.cls, kind):
                return trial(self.cls, self.offered)
        raise NotApplicableError("it is none of the kinds of cwbench.metric: see metadata")

    def call(self, *arguments: Tensor, seed: int = 0) -> Tensor:
        """The metric of copies, with the same global random numbers each time."""
        with seeded_globals("check", seed):
            return self.trial.call(*(part.clone() for part in arguments))

    def values(self, fault: Fault | None = None) -> Tensor:
        """The values of a sampler with one fault, or of exact draws; formed once."""
        if fault not in self._values:
            with seeded_globals("check", "values"):
                self._values[fault] = self.trial.values(fault).double()
        return self._values[fault]


@functools.cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="cwbench-check-")


def _kept() -> Path:
    """A directory that goes with the process."""
    return Path(_directory().name)
