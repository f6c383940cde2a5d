"""The contract of a metric: a pure function that returns one score per observation.

Debiasing, floors and intervals are the harness's, not the metric's. It draws 2n model samples
a1, a2 and 2n reference samples b1, b2 from independent streams and asks each kind of metric for
what it needs; `cwbench.judging.by_observation` holds the formulas.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol, Self

from torch import Tensor

from cwbench.samples import Part
from cwbench.task import Task

Need = Literal["reference", "mixture", "pairs", "image", "residual", "labelled-images"]
"""What a task may offer: draws of its posterior (`reference`), that posterior as a mixture of two
or more Gaussians (`mixture`), the x behind each y (`pairs`), x of shape `(C, H, W)` with at least
3 x 3 pixels (`image`), `Task.standardised_residual` (`residual`), stored images with classes
(`labelled-images`: whole sets are compared then, and neither `pairs` nor `image` is offered, since
the one image behind a class says nothing)."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric declares; `needs` names what a task must offer for it to be computed.

    `debiased` says that 0 in expectation is a perfect sampler; `ranks` is False for what is shown
    but must never order methods, since a wrong sampler can have the better value. `citation` is
    BibTeX, the path of a .bib file beside the class, or keys of cwbench's own references:
    `cwbench.citations`.
    """

    name: str
    version: int
    title: str
    direction: Literal["lower", "higher"]
    needs: frozenset[Need]
    citation: str = ""
    opt_in: bool = False
    debiased: bool = True
    ranks: bool = True
    contract: int = field(default=1)


class Metric(ABC):
    """Base of all metrics. One is made for each task; it holds no state of a run."""

    info: ClassVar[MetricInfo]

    def __init__(self, task: Task) -> None:
        self.task = task

    def resolution(self, floor: Tensor, b: Tensor) -> Tensor | None:
        """Factor by which the debiased value shows a scale error, `(m,)`; None if not known.

        Args:
            floor: plug-in values between two reference draws, with shape `(m,)`.
            b: reference samples with shape `(m, n, *x_shape)`.
        """
        return None


class ReferenceMetric(Metric):
    """A distance D between two sets of samples, computed observation by observation."""

    @abstractmethod
    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """D(a, b) in float64 with shape `(m,)`.

        Args:
            a: samples with shape `(m, n, *x_shape)`, float64, finite.
            b: samples with shape `(m, n, *x_shape)`, float64, finite.
        """


class SplitMetric(Metric):
    """A product of two independent halves against exact knowledge, unbiased by itself."""

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

    @abstractmethod
    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The score with shape `(m,)`; samples `(m, n, *x_shape)`, x `(m, *x_shape)`."""


class CalibrationMetric(Metric):
    """Ranks of the truth among samples, uniform on [0, 1] for a perfect sampler.

    The harness makes of them an unbiased distance from uniformity, `cwbench.judging.uniformity`.
    """

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

    n: ClassVar[int]

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
    """Images generated; set when it is chosen for a preset."""

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
        """Why `n` images do not do, or None; told before anything is fitted."""
        return None

    @property
    def identifier(self) -> str:
        """Its name, with the number of images where the value depends on it."""
        sized = self.biased and self.protocol_images is None
        return f"{self.info.name}-{self.n}" if sized else self.info.name
