"""The one door: a metric and a sampler to the entry of a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Protocol

from torch import Tensor

from cwbench.errors import DivergedError
from cwbench.judging.by_image import ImageJudge, ImageScore, RealImages
from cwbench.judging.by_observation import ObservationJudge
from cwbench.judging.by_set import measured_set, set_value
from cwbench.judging.failing import Failed, attempt
from cwbench.judging.measured import Measured
from cwbench.metric import (
    ImageMetric,
    Metric,
    SetMetric,
)
from cwbench.records.entry import Entry


class Sampler(Protocol):
    """What is judged; each method draws when a metric needs what it returns.

    Raises:
        DivergedError: by `for_set` and `images`, if what is drawn is not finite.
    """

    @property
    def samples(self) -> Tensor:
        """Those of the judge's observations, `(m, 2n, *x_shape)`, finite or not."""

    @property
    def real_images(self) -> RealImages:
        """Where it hands out real images, how; `cwbench.method.Method.real_images`."""

    def for_set(self, y: Tensor, n: int) -> Tensor:
        """Samples `(k, n, *x_shape)` of other observations `(k, *y_shape)`."""

    def images(self, y: Tensor, number: int) -> Tensor:
        """Images `(k, *x_shape)` of classes `(k,)`, the batch of that number."""


class Judge(ObservationJudge):
    """What models are judged on, for a task and preset, equal for every method."""

    @cached_property
    def by_image(self) -> ImageJudge:
        """Real images of the task, and what metrics know of them."""
        return ImageJudge(self.task, self.cache, self.hashes)

    def measure(self, metric: Metric, sampler: Sampler) -> Measured:
        """The entry of a metric, without a value where what was drawn is not finite."""
        (measured,) = self.measure_each([metric], sampler)
        return measured

    def measure_each(self, metrics: Iterable[Metric], sampler: Sampler) -> Iterator[Measured]:
        """One entry a metric, in their order; all that are of images see the same ones.

        One that fails leaves the others standing and has its reason in its entry.
        """
        chosen = list(metrics)
        finite = bool(sampler.samples.isfinite().all())
        of_images = [m.of_images for m in chosen if m.of_images]
        images = self._image_scores(of_images, sampler) if finite and of_images else {}
        way = _Measuring(self, sampler, images) if finite else _WithoutValue(self)
        for metric in chosen:
            measured = attempt(metric.measured_by, way)
            yield self.failed(metric, measured) if isinstance(measured, Failed) else measured

    def failed(self, metric: Metric, failed: Failed) -> Measured:
        """The entry of a metric that failed."""
        return Measured(replace(self.blank(metric), error=failed.reason), trace=failed.trace)

    def blank(self, metric: Metric) -> Entry:
        """The entry without a value: what the metric, the task and the preset decide of it."""
        return metric.measured_by(_WithoutValue(self)).entry

    def _image_scores(
        self, metrics: list[ImageMetric], sampler: Sampler
    ) -> Mapping[str, ImageScore | Failed]:
        """Those of all metrics by name; none if an image is not finite."""
        if sampler.real_images("test"):
            return self.by_image.real_scores(metrics, sampler.real_images)
        try:
            return self.by_image.scores(metrics, sampler.images)
        except DivergedError:
            return {}


class _WithoutValue:
    """The entry of each kind of metric where samples are not finite."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def _of_observations(self, metric: Metric) -> Measured:
        return self.judge.without_value(metric)

    by_reference = by_halves = by_pairs = by_ranks = _of_observations

    def by_set(self, metric: SetMetric) -> Measured:
        """Nothing more is drawn."""
        return measured_set(metric, None, self.judge.hashes.get(metric.info.name))

    def by_images(self, metric: ImageMetric) -> Measured:
        """Nothing more is drawn."""
        return self.judge.by_image.measured(metric, None)


class _Measuring:
    """The entry of each kind of metric, from what the sampler hands out for it."""

    def __init__(
        self, judge: Judge, sampler: Sampler, images: Mapping[str, ImageScore | Failed]
    ) -> None:
        self.judge, self.sampler, self.images = judge, sampler, images

    def _of_observations(self, metric: Metric) -> Measured:
        return self.judge.measured(metric, self.sampler.samples)

    by_reference = by_halves = by_pairs = by_ranks = _of_observations

    def by_set(self, metric: SetMetric) -> Measured:
        """Of samples that are drawn for it alone."""
        try:
            value = set_value(metric, self.sampler.for_set, self.judge.key)
        except DivergedError:
            value = None
        return measured_set(metric, value, self.judge.hashes.get(metric.info.name))

    def by_images(self, metric: ImageMetric) -> Measured:
        """Of images that are drawn for all such metrics at once."""
        score = self.images.get(metric.info.name)
        if isinstance(score, Failed):
            return self.judge.failed(metric, score)
        return self.judge.by_image.measured(metric, score)
