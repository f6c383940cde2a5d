"""The contract of a metric: a pure function that returns one score per observation.

Debiasing, floors and intervals are the harness's, not the metric's. It draws 2n model samples
a1, a2 and 2n reference samples b1, b2 from independent streams and asks each kind of metric for
what it needs; `cwbench.judging.by_observation` holds the formulas. What differs between the kinds
they say themselves, so that nobody asks which kind a metric is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self, TypeVar

from torch import Tensor

from cwbench.errors import ContractError
from cwbench.samples import OTHER, Part
from cwbench.task import Task

Need = Literal["reference", "mixture", "pairs", "image", "residual", "density", "labelled-images"]
"""What a task may offer: draws of its posterior (`reference`), that posterior as a mixture of two
or more Gaussians (`mixture`), the x behind each y (`pairs`), x of shape `(C, H, W)` with at least
3 x 3 pixels (`image`), `Task.standardised_residual` (`residual`), `Task.log_prior` and a
`Task.log_likelihood` whose gradient can be followed (`density`: together the posterior's, up to its
constant), stored images with classes (`labelled-images`: whole sets are compared then, and neither
`pairs` nor `image` is offered, since the one image behind a class says nothing)."""


Fault = Literal["shift", "scale", "shape", "weights", "atoms", "condition"]
"""One way of being wrong each, all else right: samples that lie off by half a deviation (`shift`),
with .6 of the deviation (`scale`), of a Gaussian with the right mean and covariance (`shape`), of
the right modes in wrong proportions (`weights`), few points again and again (`atoms`), of the
marginal of x, whatever y says (`condition`). `cwbench.check.faults` has them all."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric declares; `needs` names what a task must offer for it to be computed.

    `debiased` says that 0 in expectation is a perfect sampler; `ranks` is False for what is shown
    but must never order methods, since a wrong sampler can have the better value. `sees` names the
    faults that make it worse, which `cwbench check` tries; to all others it may be blind.
    `symmetric` is False for a distance that may change if model and reference change places.
    `opt_in` takes one of ours out of what is computed by default, `least_dimension` where x has
    fewer numbers; a plugin's is computed only where it is named. `citation` is BibTeX, the path of
    a .bib file beside the class, or keys of our own references: `cwbench.citations`.
    """

    name: str
    version: int
    title: str
    direction: Literal["lower", "higher"]
    needs: frozenset[Need]
    citation: str = ""
    opt_in: bool = False
    least_dimension: int = 0
    debiased: bool = True
    ranks: bool = True
    sees: frozenset[Fault] = frozenset()
    symmetric: bool = True
    contract: int = field(default=1)

    def by_default(self, task: Task) -> bool:
        """Whether a run on a task computes it, if it is ours, without being told."""
        return not self.opt_in and math.prod(task.x_shape) >= self.least_dimension


Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Ways(Protocol[Result_co]):
    """One way for each kind of metric; the harness has them, a metric takes its own."""

    def by_reference(self, metric: ReferenceMetric) -> Result_co:
        """Samples against those of the posterior."""

    def by_halves(self, metric: SplitMetric) -> Result_co:
        """Two halves of the samples against exact knowledge."""

    def by_pairs(self, metric: PairMetric) -> Result_co:
        """Samples against the x behind each observation."""

    def by_ranks(self, metric: CalibrationMetric) -> Result_co:
        """Ranks of the x behind each observation among the samples."""

    def by_set(self, metric: SetMetric) -> Result_co:
        """A set of samples against held-out x."""

    def by_images(self, metric: ImageMetric) -> Result_co:
        """Generated images against real ones."""


class Metric(ABC):
    """Base of all metrics. One is made for each task; it holds no state of a run.

    A value is a function of what is passed: no order of samples, no other observation and no global
    random number changes it. Where a sample is not finite the harness writes no value and asks for
    none; a metric called by hand raises or returns a value that is not finite either. `excused`
    maps names of checks of `cwbench check` that it cannot pass to the reasons.
    """

    info: ClassVar[MetricInfo]
    excused: ClassVar[Mapping[str, str]] = {}

    from_stored: ClassVar[bool] = True
    """Whether the samples of the observations are enough, which are stored with a run."""

    by_observation: ClassVar[bool] = True
    """Whether each value belongs to its observation alone, so that percentiles mean something."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    def identifier(self) -> str:
        """What a record calls it: its name, with what else decides its expectation."""
        return self.info.name

    @property
    def of_images(self) -> ImageMetric | None:
        """Itself if it compares generated images with real ones, else None."""
        return None

    def costs(self) -> str | None:
        """What a run should know before it starts that takes long over it; None of the others."""
        return None

    def take_images(self, n: int) -> str | None:
        """Take the number of images that a run generates; why they do not do, or None."""
        return None

    def measured_by(self, way: Ways[Result]) -> Result:
        """What `way` makes of its kind.

        Raises:
            ContractError: if it is of no kind.
        """
        raise ContractError(f"{self.info.name} is none of the kinds of cwbench.metric")

    def resolution(self, floor: Tensor, b: Tensor) -> Tensor | None:
        """Factor by which the debiased value shows a scale error, `(m,)`; None if not known.

        Args:
            floor: plug-in values between two reference draws, with shape `(m,)`.
            b: reference samples with shape `(m, n, *x_shape)`.
        """
        return None


class ReferenceMetric(Metric):
    """A distance D between two sets of samples, computed observation by observation."""

    def measured_by(self, way: Ways[Result]) -> Result:
        """Halves of its samples against halves of the posterior."""
        return way.by_reference(self)

    def coordinates(self, x: Tensor, y: Tensor, units: Tensor) -> Tensor:
        """What of samples of each observation is compared, with shape `(m, n, *shape)`.

        x over the units of the task, unless a metric looks elsewhere for each y.

        Args:
            x: samples with shape `(m, n, *x_shape)`, float64, finite.
            y: the observations with shape `(m, *y_shape)`.
            units: what distances measure x in, broadcast over x.
        """
        return x / units

    @abstractmethod
    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """D(a, b) in float64 with shape `(m,)`.

        Args:
            a: samples with shape `(m, n, *x_shape)`, float64, finite.
            b: samples with shape `(m, n, *x_shape)`, float64, finite.
        """


class SplitMetric(Metric):
    """A product of two independent halves against exact knowledge, unbiased by itself."""

    def measured_by(self, way: Ways[Result]) -> Result:
        """The two halves of its samples together."""
        return way.by_halves(self)

    @abstractmethod
    def estimate(self, a1: Tensor, a2: Tensor, y: Tensor) -> Tensor:
        """The value in float64 with shape `(m,)`; with a1 = a2 it is the plug-in.

        Args:
            a1: model samples with shape `(m, n, *x_shape)`, float64; `a2` is the other half.
            a2: see `a1`.
            y: the observations with shape `(m, *y_shape)`.
        """


class PairMetric(Metric):
    """A score of samples against the one x that was behind each observation.

    Where the task has a posterior, the floor is the same score of as many exact draws.
    """

    def measured_by(self, way: Ways[Result]) -> Result:
        """All its samples against one x."""
        return way.by_pairs(self)

    @abstractmethod
    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The score with shape `(m,)`; samples `(m, n, *x_shape)`, x `(m, *x_shape)`."""


class CalibrationMetric(Metric):
    """Ranks of the truth among samples, uniform on [0, 1] for a perfect sampler.

    The harness makes of them an unbiased distance from uniformity, `cwbench.judging.uniformity`.
    """

    by_observation = False

    def measured_by(self, way: Ways[Result]) -> Result:
        """All observations at once."""
        return way.by_ranks(self)

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """How much each of q test quantities counts, with shape `(q,)`; they sum to 1."""

    @abstractmethod
    def ranks(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Ranks in [0, 1] with shape `(m, q)`, ties broken at random from a stream of its own.

        Args:
            samples: all samples with shape `(m, n, *x_shape)`, float64.
            x: the truth behind each observation, with shape `(m, *x_shape)`, float64.
            y: the observations with shape `(m, *y_shape)`.
        """


class SetMetric(Metric):
    """A distance of whole sets: one sample for each of `n` observations against held-out x."""

    from_stored = False
    by_observation = False

    n: ClassVar[int]
    """Observations it draws a sample for; its expectation depends on it, so its id names it."""

    @property
    def identifier(self) -> str:
        """Its name with the number of observations."""
        return f"{self.info.name}-{self.n}"

    def measured_by(self, way: Ways[Result]) -> Result:
        """More samples than are stored: one for each of `n` observations."""
        return way.by_set(self)

    @abstractmethod
    def update(self, samples: Tensor, x: Tensor) -> None:
        """Take in samples and held-out data, both with shape `(k, *x_shape)`."""

    @abstractmethod
    def compute(self) -> float:
        """The value over everything taken in."""


class FeatureNetwork(Protocol):
    """Maps images to the features that distances between sets of images are taken in."""

    name: str
    """With its version: features of another name never compare."""

    def __call__(self, x: Tensor) -> Tensor:
        """Images x in [-1, 1] with shape `(k, C, H, W)` to features `(k, d)`."""


class Statistic(Protocol):
    """What is kept of a stream of features, so that no set has to be in memory at once."""

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in features `(k, d)` with labels `(k,)`; how they are batched makes no difference.

        A value may differ by rounding only.
        """

    def state(self) -> dict[str, Tensor]:
        """All of it, to be kept on disk."""

    def load(self, state: dict[str, Tensor]) -> Self:
        """Take back a state; itself."""


class ImageMetric(Metric):
    """A statistic of generated images and their classes, against real ones.

    The harness generates the images in batches, maps them by `network`, feeds a `statistic` of
    them, and does the same once with the real ones of `part`.
    """

    from_stored = False
    by_observation = False

    by_class: ClassVar[bool] = False
    """Whether it judges each class by itself: it is handed equally many images of each. Labels are
    drawn otherwise, as often as the real images of `part` have them: exact images have their law.
    """

    part: ClassVar[Part] = "test"
    """Which real images it compares with; those of the other part give the floor."""

    unseen: ClassVar[Part | None] = None
    """Of which part a control hands it real images; None is the part it does not compare with."""

    protocol_images: ClassVar[int | None] = None
    """How many images its protocol fixes; None takes the preset's."""

    all_real: ClassVar[bool] = False
    """Whether all real images are compared with, however few are generated."""

    biased: ClassVar[bool] = False
    """Whether the value depends on the number of images, which is then part of its id."""

    has_floor: ClassVar[bool] = True
    """Whether its value for real images means anything."""

    n: int = 0
    """Images generated; set by `take_images`."""

    @abstractmethod
    def network(self, cache: Path | None) -> FeatureNetwork:
        """The features it is computed from; what is trained for it is kept in `cache`."""

    @abstractmethod
    def kind(self) -> str:
        """What its statistic is of: metrics with the same network and kind share a kept one."""

    @abstractmethod
    def statistic(self, real: Statistic | None = None) -> Statistic:
        """An empty statistic; for generated images that of the real ones is handed in."""

    def floor_statistic(self, real: Statistic) -> Statistic:
        """An empty statistic for the real images of the other part, which come in their order."""
        return self.statistic(real)

    @abstractmethod
    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """The value for each class `(K,)`, or of all together `(1,)`, float64."""

    def refusal(self, n: int) -> str | None:
        """Why `n` images do not do, or None; it is called before anything is fitted."""
        return None

    def real_refusal(self, counts: Tensor, *, floor: bool) -> str | None:
        """Why so many real images do not do, or None; it is called before anything is fitted.

        Args:
            counts: those it is handed of each class, `(K,)`.
            floor: they stand for generated ones, else those are compared with them.
        """
        return None

    def _refused_real(self) -> str | None:
        """Why the real images that are stored do not do, or None."""
        for part, floor in ((self.part, False), (OTHER[self.part], True)):
            stored = self.task.stored_images(part)
            if stored is None or (floor and not self.has_floor):
                continue
            used = stored.labels if self.all_real and not floor else stored.first(self.n).labels
            counts = used.bincount(minlength=self.task.num_classes or 1)
            refused = self.real_refusal(counts, floor=floor)
            if refused:
                return f"{refused} in the {part} part"
        return None

    @property
    def identifier(self) -> str:
        """Its name, with the number of images where the value depends on it."""
        sized = self.biased and self.protocol_images is None
        return f"{self.info.name}-{self.n}" if sized else self.info.name

    @property
    def of_images(self) -> ImageMetric:
        """Itself."""
        return self

    def take_images(self, n: int) -> str | None:
        """Take as many as its protocol fixes, else all; why they do not do, or None."""
        self.n = min(n, self.protocol_images or n)
        return (self.refusal(self.n) or self._refused_real()) if n else "no image is generated"

    def measured_by(self, way: Ways[Result]) -> Result:
        """More samples than are stored: `n` images."""
        return way.by_images(self)
