"""Generated images against real ones: one stream of batches feeds every metric.

A metric class by class is handed equally many images of each: image i has class i mod K. For one
over all images labels are drawn, independently and as often as the real images of its part have
them, so that exact images and the real ones have one law however rare a class is; the draws belong
to the data and are the same for every method. A batch is generated, mapped by each feature network
once, and handed to the statistics; then it is forgotten, so memory does not grow with the number of
images. Statistics of real images are computed once for the data and kept by its hash.

The floor of a metric is its value for real images of the other part, as many as are generated or
as there are. A control that hands out real images is handed over in the same way, metric by metric.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cwbench.images import to_x
from cwbench.judging.measured import Measured, Scores, Sizes, made_entry, quantile, source_suffix
from cwbench.machine.cpu import cores
from cwbench.machine.files import write_atomically
from cwbench.machine.streams import stream
from cwbench.metric import FeatureNetwork, ImageMetric, Statistic
from cwbench.samples import ImageSet, Part
from cwbench.task import Task

BATCH = 500
"""Images generated at a time; part of what the adaptive solver's steps depend on."""

OTHER: dict[Part, Part] = {"train": "test", "test": "train"}

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
    """By metric name the statistics of real images, and the scores of those of the other part."""

    statistics: dict[str, Statistic]
    floors: dict[str, Tensor | None]


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

    def measured(self, metric: ImageMetric, score: ImageScore | None) -> Measured:
        """The entry; its interval is over classes, and where there is one value none."""
        values = score.value if score else torch.tensor([torch.nan], dtype=torch.float64)
        floor, k = score.floor if score else None, len(values)
        several = score is not None and k > 1
        entry = made_entry(
            metric,
            Sizes(n_observations=k, n_samples=metric.n, unit="images"),
            float(values.mean()),
            half=float(quantile(k) * values.std() / k**0.5) if several else None,
            floor=None if floor is None else float(floor.mean()),
            source_sha256=self.hashes.get(metric.info.name),
        )
        return Measured(entry, Scores(values, floor=floor) if several else None)

    def scores(self, metrics: Iterable[ImageMetric], sampler: Sampler) -> dict[str, ImageScore]:
        """The scores by metric name of images drawn by `sampler`, all of which must be finite."""
        chosen = list(metrics)
        return self.compared(chosen, self.known(chosen), sampler)

    def known(self, metrics: Iterable[ImageMetric]) -> RealScores:
        """What metrics know of real images, and what those score."""
        chosen = list(metrics)
        real = self._real(chosen)
        return RealScores(real, self._floors(chosen, real))

    def compared(
        self,
        metrics: Iterable[ImageMetric],
        known: RealScores,
        sampler: Sampler,
        *,
        alone: bool = True,
    ) -> dict[str, ImageScore]:
        """The scores of images drawn by `sampler`; unless `alone`, all cores are not taken."""
        chosen, (real, floors) = list(metrics), known
        streams = {m.info.name: m.statistic(real[m.info.name]) for m in chosen}
        for drawn_as, members in _by_labels(chosen).items():
            batches = self._generated(max(m.n for m in members), drawn_as, sampler)
            self._feed(batches, [(m, streams[m.info.name], m.n) for m in members], alone=alone)
        return {
            m.info.name: ImageScore(
                m.value(streams[m.info.name], real[m.info.name]).double(), floors[m.info.name]
            )
            for m in chosen
        }

    def real_scores(
        self, metrics: Iterable[ImageMetric], source: RealImages
    ) -> dict[str, ImageScore]:
        """The scores of real images: each metric is handed those of a part it has not seen.

        `source` starts anew for each part and each way of asking for classes.
        """
        scores: dict[str, ImageScore] = {}
        chosen = list(metrics)
        for part in OTHER:
            members = [m for m in chosen if (m.unseen or OTHER[m.part]) == part]
            for alike in _by_labels(members).values():
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
        fed: list[tuple[ImageMetric, Statistic, int]],
        *,
        alone: bool = True,
    ) -> None:
        """Feed each statistic up to its number of images, features computed once a network."""
        networks = {id(metric): metric.network(self.cache) for metric, *_ in fed}
        seen = 0
        with _all_threads() if alone else nullcontext():
            for x, y in batches:
                features: dict[str, Tensor] = {}
                for metric, statistic, n in fed:
                    room = n - seen
                    if room > 0:
                        of_batch = _features(networks[id(metric)], x, features)
                        statistic.update(of_batch[:room], y[:room])
                seen += len(y)

    def _real(self, metrics: list[ImageMetric]) -> dict[str, Statistic]:
        """The statistics of real images, kept ones where there are, shared where they can be."""
        needed: dict[tuple[str, str, Part, int], list[ImageMetric]] = {}
        for metric in metrics:
            stored = len(self._stored(metric.part).labels)
            count = stored if metric.all_real else min(stored, metric.n)
            name = metric.network(self.cache).name
            needed.setdefault((name, metric.kind(), metric.part, count), []).append(metric)
        found: dict[str, Statistic] = {}
        missing: dict[tuple[Part, int], list[tuple[ImageMetric, Statistic, int]]] = {}
        for (network, kind, part, count), members in needed.items():
            statistic = members[0].statistic()
            found |= dict.fromkeys((m.info.name for m in members), statistic)
            if not _loaded(statistic, self._path(network, kind, part, count)):
                missing.setdefault((part, count), []).append((members[0], statistic, count))
        for (part, count), fed in missing.items():
            self._feed(self._pixels(part, count), fed)
            for metric, statistic, _ in fed:
                path = self._path(metric.network(self.cache).name, metric.kind(), part, count)
                _keep(statistic.state(), path)
        return found

    def _floors(
        self, metrics: list[ImageMetric], real: Mapping[str, Statistic]
    ) -> dict[str, Tensor | None]:
        """What real images of the other part score, kept like statistics."""
        floors: dict[str, Tensor | None] = dict.fromkeys(m.info.name for m in metrics)
        missing: dict[Part, list[ImageMetric]] = {}
        for metric in metrics:
            if not metric.has_floor:
                continue
            path = self._floor_path(metric)
            kept = _read(path)
            if kept is None:
                missing.setdefault(OTHER[metric.part], []).append(metric)
            else:
                floors[metric.info.name] = kept["floor"]
        for part, members in missing.items():
            fed = [(m, m.floor_statistic(real[m.info.name]), m.n) for m in members]
            self._feed(self._pixels(part, max(m.n for m in members)), fed)
            for metric, statistic, _ in fed:
                floor = metric.value(statistic, real[metric.info.name]).double()
                floors[metric.info.name] = floor
                _keep({"floor": floor}, self._floor_path(metric))
        return floors

    def _floor_path(self, metric: ImageMetric) -> Path | None:
        source = source_suffix(self.hashes.get(metric.info.name))
        kind = f"floor-{metric.info.name}-{metric.info.version}{source}"
        return self._path(metric.network(self.cache).name, kind, metric.part, metric.n)

    def _path(self, network: str, kind: str, part: Part, count: int) -> Path | None:
        if self.cache is None:
            return None
        facts = repr((self.task.fingerprint(), network, kind, part, count))
        digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return self.cache / f"{self.task.info.name}-{digest}-{kind}.safetensors"


def _by_labels(metrics: Iterable[ImageMetric]) -> dict[Part | None, list[ImageMetric]]:
    """The metrics that see the same images: by the part whose frequencies labels have, or None."""
    groups: dict[Part | None, list[ImageMetric]] = {}
    for metric in metrics:
        groups.setdefault(None if metric.by_class else metric.part, []).append(metric)
    return groups


def _numbered(draw: Callable[[Tensor], Tensor]) -> Sampler:
    """A sampler that needs no number of the batch."""
    return lambda y, _: draw(y)


def _features(network: FeatureNetwork, x: Tensor, known: dict[str, Tensor]) -> Tensor:
    if network.name not in known:
        known[network.name] = network(x)
    return known[network.name]


class _all_threads:  # noqa: N801 - reads as the word it is where it is used
    """Feature networks use all cores; they alone work while they do."""

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(cores())

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)


def _loaded(statistic: Statistic, path: Path | None) -> bool:
    state = _read(path)
    if state is None:
        return False
    statistic.load(state)
    return True


def _read(path: Path | None) -> dict[str, Tensor] | None:
    """What was kept, or None where there is nothing that can be read."""
    try:
        return load(path.read_bytes()) if path else None
    except (OSError, SafetensorError):
        return None


def _keep(state: Mapping[str, Tensor], path: Path | None) -> None:
    if path:
        write_atomically(path, save({k: v.contiguous() for k, v in state.items()}))
