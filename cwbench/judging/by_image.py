"""Generated images against real ones: one stream of batches feeds every metric.

A metric class by class is handed equally many images of each: image i has class i mod K. For one
over all images labels are drawn, independently and as often as the real images of its part have
them, so that exact images and the real ones have one law however rare a class is; the draws belong
to the data and are the same for every method. A batch is generated, mapped by each feature network
once, and handed to the statistics; then it is forgotten, so memory does not grow with the number of
images. Statistics of real images are computed once for the data and kept by its hash, and by the
version and source of the metric.

The floor of a metric is its value for real images of the other part, as many as are generated or
as there are. A control that hands out real images is handed over in the same way, metric by metric.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cwbench.door import copied, copying
from cwbench.images import digest, to_x
from cwbench.judging.failing import Attempts, Failed
from cwbench.judging.measured import Measured, Scores, Sizes, made_entry, quantile
from cwbench.machine import tensors
from cwbench.machine.cpu import cores
from cwbench.machine.signals import heed
from cwbench.machine.streams import stream
from cwbench.metric import FeatureNetwork, ImageMetric, Statistic
from cwbench.samples import OTHER, ImageSet, Part
from cwbench.task import Task

BATCH = 500
"""Images generated at a time; part of what the adaptive solver's steps depend on."""

Sampler = Callable[[Tensor, int], Tensor]
"""(classes `(k,)`, number of the batch) to images `(k, *x_shape)`."""


RealImages = Callable[[Part], Callable[[Tensor], Tensor] | None]
"""`cwbench.method.Method.real_images`."""


@dataclass(frozen=True)
class ImageScore:
    """A value for each class or for all together, `(K,)` or `(1,)`, with that of real images."""

    value: Tensor
    floor: Tensor | None


class RealScores(NamedTuple):
    """By metric name the statistics of real images, and the scores of those of the other part.

    `failed` are the metrics that could not make one of both.
    """

    statistics: dict[str, Statistic]
    floors: dict[str, Tensor | None]
    failed: dict[str, Failed]


class Kept(NamedTuple):
    """What decides a value of real images, besides the images."""

    network: str
    kind: str
    part: Part
    n: int
    version: int
    source_sha256: str | None


class Fed(NamedTuple):
    """A metric, its statistic, and how many images it takes."""

    metric: ImageMetric
    statistic: Statistic
    n: int


def labels_in_turn(n: int, classes: int) -> Tensor:
    """0, 1, ..., K - 1, 0, ... with shape `(n,)`."""
    return torch.arange(n) % classes


class ImageJudge:
    """Real images of a task and what metrics know of them, equal for every method."""

    def __init__(
        self,
        task: Task,
        cache: Path | None = None,
        hashes: Mapping[str, str | None] | None = None,
    ) -> None:
        self.task, self.cache = task, cache
        self.hashes: Mapping[str, str | None] = hashes or {}
        self._networks: dict[str, FeatureNetwork] = {}

    def measured(self, metric: ImageMetric, score: ImageScore | None) -> Measured:
        """The entry; its interval is over classes, and where there is one value none."""
        values = score.value if score else torch.tensor([torch.nan], dtype=torch.float64)
        floor, k = score.floor if score else None, len(values)
        several = score is not None and k > 1
        entry = made_entry(
            metric,
            Sizes(n_observations=k, n_samples=metric.n, unit="images"),
            float(values.mean()) if score else None,
            half=float(quantile(k) * values.std() / k**0.5) if several else None,
            floor=None if floor is None else float(floor.mean()),
            source_sha256=self.hashes.get(metric.info.name),
        )
        return Measured(entry, Scores(values, floor=floor) if several else None)

    def scores(
        self, metrics: Iterable[ImageMetric], sampler: Sampler
    ) -> dict[str, ImageScore | Failed]:
        """The scores by metric name of images drawn by `sampler`, all of which must be finite."""
        chosen = list(metrics)
        return self.compared(chosen, self.known(chosen), sampler)

    def known(self, metrics: Iterable[ImageMetric]) -> RealScores:
        """What metrics know of real images, and what those score."""
        chosen, attempts = list(metrics), Attempts()
        real = self._real(chosen, attempts)
        floors = self._floors([m for m in chosen if m.info.name in real], real, attempts)
        return RealScores(real, floors, attempts.failed)

    def compared(
        self,
        metrics: Iterable[ImageMetric],
        known: RealScores,
        sampler: Sampler,
        *,
        alone: bool = True,
    ) -> dict[str, ImageScore | Failed]:
        """The scores of images drawn by `sampler`; unless `alone`, all cores are not taken."""
        attempts = Attempts(known.failed)
        fed = []
        for metric in metrics:
            real = known.statistics.get(metric.info.name)
            statistic = attempts.of(metric, metric.statistic, real)
            if statistic is not None:
                fed.append(Fed(metric, statistic, metric.n))
        for drawn_as in dict.fromkeys(_drawn_as(one.metric) for one in fed):
            together = [one for one in fed if _drawn_as(one.metric) == drawn_as]
            batches = self._generated(max(one.n for one in together), drawn_as, sampler)
            self._feed(batches, together, attempts, alone=alone)
        scores: dict[str, ImageScore | Failed] = {
            one.metric.info.name: ImageScore(value, known.floors[one.metric.info.name])
            for one, value in _values(fed, known.statistics, attempts)
        }
        return scores | attempts.failed

    def real_scores(
        self, metrics: Iterable[ImageMetric], source: RealImages
    ) -> dict[str, ImageScore | Failed]:
        """The scores of real images: each metric is handed those of a part it has not seen.

        `source` starts anew for each part and each way of asking for classes.
        """
        scores: dict[str, ImageScore | Failed] = {}
        chosen = list(metrics)
        for part in OTHER:
            members = [m for m in chosen if (m.unseen or OTHER[m.part]) == part]
            for drawn_as in dict.fromkeys(map(_drawn_as, members)):
                alike = [m for m in members if _drawn_as(m) == drawn_as]
                if draw := source(part):
                    scores |= self.scores(alike, _numbered(draw))
        return scores

    def labels(self, n: int, drawn_as: Part | None) -> Tensor:
        """Classes asked for, `(n,)`: as often as a part has them, or in turn.

        Those of fewer images are the first of those of more.
        """
        if drawn_as is None:
            return labels_in_turn(n, self.task.num_classes or 1)
        real = self._stored(drawn_as).labels
        key = (self.task.info.name, self.task.info.version, self.task.fingerprint())
        return real[torch.randint(len(real), (n,), generator=stream(*key, "labels", drawn_as))]

    def _generated(
        self, n: int, drawn_as: Part | None, sampler: Sampler
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for number, y in enumerate(self.labels(n, drawn_as).split(BATCH)):
            yield sampler(y, number), y

    def _stored(self, part: Part) -> ImageSet:
        stored = self.task.stored_images(part)
        assert stored is not None  # noqa: S101 - declared by the metrics' needs
        return stored

    def _pixels(self, part: Part, n: int) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self._stored(part).first(n)
        for chunk, y in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            yield to_x(chunk), y

    def _feed(
        self,
        batches: Iterable[tuple[Tensor, Tensor]],
        fed: Sequence[Fed],
        attempts: Attempts,
        *,
        alone: bool = True,
    ) -> None:
        """Feed each statistic up to its number of images, features computed once a network."""
        seen = 0
        with _all_threads() if alone else nullcontext():
            for x, y in batches:
                heed()
                features: dict[str, Tensor] = {}
                for one in fed:
                    if one.n > seen:
                        attempts.of(one.metric, self._feed_one, one, x, y, one.n - seen, features)
                seen += len(y)

    def _feed_one(
        self, fed: Fed, x: Tensor, y: Tensor, room: int, features: dict[str, Tensor]
    ) -> None:
        """At most `room` images of a batch, whose features other metrics are handed too."""
        of_batch = _features(self._network(fed.metric), x, features)
        copying(fed.statistic.update)(of_batch[:room], y[:room])

    def _network(self, metric: ImageMetric) -> FeatureNetwork:
        """Its features, asked for once."""
        if metric.info.name not in self._networks:
            self._networks[metric.info.name] = metric.network(self.cache)
        return self._networks[metric.info.name]

    def _real(self, metrics: list[ImageMetric], attempts: Attempts) -> dict[str, Statistic]:
        """The statistics of real images, kept ones where there are, shared where they can be."""
        needed: dict[Kept, list[ImageMetric]] = {}
        for metric in metrics:
            kept = attempts.of(metric, self._kept, metric)
            if kept is not None:
                needed.setdefault(kept, []).append(metric)
        found = {kept: attempts.of(m[0], m[0].statistic) for kept, m in needed.items()}
        missing: dict[tuple[Part, int], dict[Kept, Fed]] = {}
        for kept, statistic in found.items():
            if statistic is not None and not _loaded(statistic, self._path(kept)):
                fed = Fed(needed[kept][0], statistic, kept.n)
                missing.setdefault((kept.part, kept.n), {})[kept] = fed
        for (part, count), together in missing.items():
            self._feed(self._pixels(part, count), list(together.values()), attempts)
            for kept, fed in together.items():
                attempts.of(fed.metric, _keep_statistic, fed.statistic, self._path(kept))
        return _by_name(needed, found, attempts)

    def _floors(
        self, metrics: list[ImageMetric], real: Mapping[str, Statistic], attempts: Attempts
    ) -> dict[str, Tensor | None]:
        """What real images of the other part score, kept like statistics."""
        floors: dict[str, Tensor | None] = dict.fromkeys(m.info.name for m in metrics)
        missing: dict[Part, list[Fed]] = {}
        for metric in (m for m in metrics if m.has_floor):
            kept = tensors.kept(self._path(self._kept_floor(metric)))
            if kept is not None:
                floors[metric.info.name] = kept["floor"]
                continue
            statistic = attempts.of(metric, metric.floor_statistic, real[metric.info.name])
            if statistic is not None:
                fed = Fed(metric, statistic, metric.n)
                missing.setdefault(OTHER[metric.part], []).append(fed)
        for part, together in missing.items():
            self._feed(self._pixels(part, max(fed.n for fed in together)), together, attempts)
            for fed, floor in _values(together, real, attempts):
                floors[fed.metric.info.name] = floor
                tensors.keep(self._path(self._kept_floor(fed.metric)), {"floor": floor})
        return floors

    def _kept(self, metric: ImageMetric) -> Kept:
        """Under what its statistic of real images is kept."""
        stored = len(self._stored(metric.part).labels)
        count = stored if metric.all_real else min(stored, metric.n)
        return self._kept_of(metric, metric.kind(), count)

    def _kept_floor(self, metric: ImageMetric) -> Kept:
        """Under what is kept what real images of the other part score."""
        return self._kept_of(metric, f"floor-{metric.info.name}", metric.n)

    def _kept_of(self, metric: ImageMetric, kind: str, count: int) -> Kept:
        network, source = self._network(metric), self.hashes.get(metric.info.name)
        return Kept(network.name, kind, metric.part, count, metric.info.version, source)

    @cached_property
    def _images(self) -> str:
        """The hash of all real images."""
        return digest([self._stored(part) for part in OTHER])

    def _path(self, kept: Kept) -> Path | None:
        if self.cache is None:
            return None
        facts = repr((self.task.identity, self._images, tuple(kept)))
        name = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return self.cache / f"{self.task.info.name}-{name}-{kept.kind}.safetensors"


def _by_name(
    needed: Mapping[Kept, list[ImageMetric]],
    found: Mapping[Kept, Statistic | None],
    attempts: Attempts,
) -> dict[str, Statistic]:
    """Statistics by metric; what failed for the first metric of several failed for all."""
    statistics: dict[str, Statistic] = {}
    for kept, members in needed.items():
        statistic, failed = found[kept], attempts.failed.get(members[0].info.name)
        for metric in members:
            if failed is not None:
                attempts.failed[metric.info.name] = failed
            elif statistic is not None:
                statistics[metric.info.name] = statistic
    return statistics


def _values(
    fed: Iterable[Fed], real: Mapping[str, Statistic], attempts: Attempts
) -> Iterator[tuple[Fed, Tensor]]:
    """The values of what was fed, of metrics that did not fail."""
    for one in fed:
        value = attempts.of(one.metric, one.metric.value, one.statistic, real[one.metric.info.name])
        if value is not None:
            yield one, value.double()


def _drawn_as(metric: ImageMetric) -> Part | None:
    """The part whose frequencies its labels have; None where they come in turn."""
    return None if metric.by_class else metric.part


def _numbered(draw: Callable[[Tensor], Tensor]) -> Sampler:
    """A sampler that needs no number of the batch."""
    return lambda y, _: copying(draw)(y)


def _features(network: FeatureNetwork, x: Tensor, known: dict[str, Tensor]) -> Tensor:
    if network.name not in known:
        known[network.name] = network(copied(x))
    return known[network.name]


class _all_threads:  # noqa: N801 - reads as the word it is where it is used
    """Feature networks use all cores; they alone work while they do."""

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(cores())

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)


def _loaded(statistic: Statistic, path: Path | None) -> bool:
    state = tensors.kept(path)
    if state is None:
        return False
    statistic.load(state)
    return True


def _keep_statistic(statistic: Statistic, path: Path | None) -> None:
    tensors.keep(path, statistic.state())
