"""What a model is judged on, and the debiased scores with their floors and intervals.

With 2n model samples a1, a2 and 2n reference samples b1, b2 from independent streams,

    cross = (D(a1, b1) + D(a2, b2)) / 2
    value = cross - (D(a1, a2) + D(b1, b2)) / 2
    floor = D(b1, b2)

all n against n. The value is 0 in expectation for a perfect sampler. Subtracting the floor alone
would reward samplers that are too narrow: D(a1, a2) is there for its sign. Intervals are over
observations; the samples inside one Wasserstein distance are never bootstrapped, which is invalid
near the null.

A score against the x behind y has as its floor the same score of all 2n reference draws. Ranks of
that x become a distance from uniformity (`cwbench.judging.uniformity`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from cwbench.door import copied, copying
from cwbench.errors import ContractError
from cwbench.judging.cancelled import cancelled
from cwbench.judging.measured import Measured, Scores, Sizes, made_entry, quantile
from cwbench.judging.taken import taken
from cwbench.judging.uniformity import highest, uniformity
from cwbench.judging.units import distance_units
from cwbench.machine import tensors
from cwbench.machine.cpu import cores, single_threaded
from cwbench.machine.signals import heed, threads
from cwbench.machine.streams import stream
from cwbench.metric import (
    CalibrationMetric,
    ImageMetric,
    Metric,
    PairMetric,
    ReferenceMetric,
    SetMetric,
    SplitMetric,
)
from cwbench.preset import Preset
from cwbench.records.entry import Entry
from cwbench.samples import JointSamples
from cwbench.task import Task, checked_finite

SLICE = 4
"""Observations handed to a metric at a time, in parallel threads."""


class ObservationJudge:
    """Observations, reference draws and floors of a task and preset, equal for every method.

    `hashes` are those of the sources of metrics whose code can change in place, by name.
    """

    def __init__(
        self,
        task: Task,
        preset: Preset,
        cache: Path | None = None,
        hashes: Mapping[str, str | None] | None = None,
    ) -> None:
        self.task, self.preset, self.cache = task, preset, cache
        self.hashes: Mapping[str, str | None] = hashes or {}
        self.key: tuple[str | int, ...] = (
            task.info.name,
            task.info.version,
            task.fingerprint(),
            preset.split,
        )

    @property
    def observations(self) -> JointSamples:
        """The held-out observations and the x behind each; they belong to the task's version.

        Copies each time: who is handed them may spoil them.
        """
        return copied(self._observed)

    @cached_property
    def _observed(self) -> JointSamples:
        generator = stream(*self.key, "observations")
        x, y = copied(self.task.evaluation_set(self.preset.observations, generator))
        for name, part in (("x", x), ("y", y)):
            checked_finite(part, f"{name} from evaluation_set of task {self.task.info.name!r}")
        return JointSamples(x, y)

    def settle(self) -> None:
        """Draw what a sampler is judged by now, before it runs: nothing it does can change that."""
        _ = self.reference if self.task.has_posterior else self._observed

    @cached_property
    def reference(self) -> tuple[Tensor, Tensor]:
        """The reference halves b1, b2 with shape `(m, n, *x_shape)`, float64; not handed out."""
        y, n = self.observations.y, self.preset.samples
        draws = self.task.sample_posterior(y, 2 * n, stream(*self.key, "reference"))
        shape = (len(y), 2 * n, *self.task.x_shape)
        origin = f"sample_posterior of {self.task.info.name}"
        found = taken(draws, shape, origin)
        if found.fault:
            raise ContractError(f"{origin} is {found.fault}")
        halves = found.samples.double()
        return halves[:, :n], halves[:, n:]

    @cached_property
    def units(self) -> Tensor:
        """What distances to the posterior measure x in."""
        return distance_units(self.task)

    def score(self, metric: Metric, samples: Tensor) -> Scores:
        """Scores of 2n samples for each observation, `(m, 2n, *x_shape)`, all finite."""
        return metric.measured_by(_ScoresOf(self, samples.double()))

    def measured(self, metric: Metric, samples: Tensor) -> Measured:
        """The entry of the same samples, with their scores; without where they say nothing."""
        scores = self.score(metric, samples)
        entry = self.entry(metric, scores)
        reason = cancelled(metric, entry)
        if reason is None:
            return Measured(entry, scores)
        return Measured(replace(entry, value=None, low=None, high=None, p90=None, error=reason))

    def entry(self, metric: Metric, scores: Scores) -> Entry:
        """The mean over observations with its t-interval, floor and resolution."""
        value, m = scores.value, len(scores.value)
        error = max(float(value.std() / m**0.5), scores.least_error)
        finite = bool(value.isfinite().all())
        return made_entry(
            metric,
            Sizes(n_observations=m, n_samples=self.preset.samples),
            float(value.mean()),
            half=quantile(m) * error,
            high=highest(float(value.mean()), m, scores.least_error, quantile(m))
            if scores.least_error
            else None,
            plug_in=_mean(scores.plug_in),
            floor=_mean(scores.floor),
            p90=float(value.quantile(0.9)) if finite and metric.by_observation else None,
            resolution=_mean(scores.resolution),
            source_sha256=self.hashes.get(metric.info.name),
        )

    def without_value(self, metric: Metric) -> Measured:
        """The entry where a sample was not finite."""
        sizes = Sizes(n_observations=self.preset.observations, n_samples=self.preset.samples)
        source = self.hashes.get(metric.info.name)
        return Measured(made_entry(metric, sizes, None, source_sha256=source))

    def floor(self, metric: Metric, compute: Callable[[], Tensor]) -> Tensor:
        """What exact draws score, computed once for a task and preset, kept beside the results."""
        path = self._floor_path(metric)
        kept = _sound_floor(tensors.kept(path), self.preset.observations)
        if kept is not None:
            return kept
        floor = compute()
        tensors.keep(path, {"floor": floor})
        return floor

    def _floor_path(self, metric: Metric) -> Path | None:
        """Where a floor is kept."""
        source = self.hashes.get(metric.info.name)
        suffix = f"-{source[:16]}" if source else ""
        return self.kept_at(f"{metric.info.name}-{metric.info.version}{suffix}")

    def kept_at(self, name: str) -> Path | None:
        """Where something of that name is kept: all that decides it is in the path.

        Code that a task's source does not hold shows in what it draws.
        """
        if self.cache is None:
            return None
        facts = repr((self.task.identity, self.preset.split, self._drawn))
        digest = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return self.cache / f"{self.task.info.name}-{digest}-{name}.safetensors"

    @cached_property
    def _drawn(self) -> str:
        """The hash of the observations and the reference draws."""
        sha256 = hashlib.sha256()
        for part in (*self._observed, *self.reference):
            sha256.update(repr((part.dtype, tuple(part.shape))).encode())
            for row in part:
                sha256.update(row.numpy().tobytes())
        return sha256.hexdigest()

    def sliced(self, score: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """Apply a metric to copies of slices of observations, in parallel threads."""
        slices = list(zip(*(argument.split(SLICE) for argument in arguments), strict=True))
        with single_threaded(), threads(cores()) as pool:
            each = pool.map if len(slices) > 1 else map  # a thread costs as much as a small slice
            parts = list(each(lambda part: _of_slice(score, part), slices))
        scores = torch.cat([torch.as_tensor(part, dtype=torch.float64) for part in parts])
        if scores.shape != (len(arguments[0]),):
            raise ContractError(
                f"a metric returned {tuple(scores.shape)} for {len(arguments[0])} observations"
            )
        return scores


class _ScoresOf:
    """The formula of each kind of metric, for samples `(m, 2n, *x_shape)` in float64."""

    def __init__(self, judge: ObservationJudge, samples: Tensor) -> None:
        self.judge, self.samples = judge, samples
        self.a1, self.a2 = samples.split(judge.preset.samples, dim=1)

    def by_reference(self, metric: ReferenceMetric) -> Scores:
        """The debiased distance; where it is not debiased, the cross term alone."""
        b1, b2 = self.judge.reference
        y, units = self.judge.observations.y, self.judge.units

        def seen(x: Tensor, y: Tensor) -> Tensor:
            return metric.coordinates(x, y, units)

        def compared(a: Tensor, b: Tensor, y: Tensor) -> Tensor:
            both = seen(torch.cat([a, b], dim=1), y)  # at once: to look for a y may cost seconds
            return metric.distance(*both.split(a.shape[1], dim=1))

        def distance(a: Tensor, b: Tensor) -> Tensor:
            return self.judge.sliced(compared, a, b, y)

        cross = (distance(self.a1, b1) + distance(self.a2, b2)) / 2
        floor = self.judge.floor(metric, lambda: distance(b1, b2))
        value = cross
        if metric.info.debiased:
            value = cross - (distance(self.a1, self.a2) + floor) / 2
        if type(metric).resolution is Metric.resolution:
            return Scores(value, cross, floor)
        return Scores(value, cross, floor, copying(metric.resolution)(floor, copying(seen)(b1, y)))

    def by_halves(self, metric: SplitMetric) -> Scores:
        """The product of both halves, unbiased by itself."""
        b1, _ = self.judge.reference
        y, sliced = self.judge.observations.y, self.judge.sliced
        value = sliced(metric.estimate, self.a1, self.a2, y)
        plug_in = sliced(metric.estimate, self.a1, self.a1, y)
        floor = self.judge.floor(metric, lambda: sliced(metric.estimate, b1, b1, y))
        return Scores(value, plug_in, floor)

    def by_pairs(self, metric: PairMetric) -> Scores:
        """All 2n samples against x; so are the exact draws of the floor."""
        x, y = self.judge.observations

        def score(draws: Tensor) -> Tensor:
            return self.judge.sliced(metric.score, draws, x.double(), y)

        if not self.judge.task.has_posterior:
            return Scores(score(self.samples))
        floor = self.judge.floor(metric, lambda: score(torch.cat(self.judge.reference, dim=1)))
        return Scores(score(self.samples), floor=floor)

    def by_ranks(self, metric: CalibrationMetric) -> Scores:
        """All observations at once: a rank is judged by where the others fall."""
        x, y = self.judge.observations
        ranks = copying(metric.ranks)(self.samples, x.double(), y).double()
        weights = metric.weights.double()
        if ranks.shape != (len(y), len(weights)):
            raise ContractError(
                f"{metric.info.name} returned ranks of shape {tuple(ranks.shape)}; (observations, "
                f"test quantities) = {(len(y), len(weights))} is needed"
            )
        value, plug_in, floor, least_error = uniformity(ranks, weights)
        return Scores(value, plug_in, floor, least_error=least_error)

    def by_set(self, metric: SetMetric) -> Scores:
        """Never: it has no score of an observation."""
        raise ContractError(f"{metric.info.name} is of a set, not of observations")

    def by_images(self, metric: ImageMetric) -> Scores:
        """Never: it has no score of an observation."""
        raise ContractError(f"{metric.info.name} is of images, not of observations")


def _of_slice(score: Callable[..., Tensor], part: tuple[Tensor, ...]) -> Tensor:
    """Scores of copies, unless a signal asked to stop."""
    heed()
    return copying(score)(*part)


def _sound_floor(kept: Mapping[str, Tensor] | None, observations: int) -> Tensor | None:
    """A kept floor, or None where there is none that is one."""
    floor = (kept or {}).get("floor")
    sound = floor is not None and floor.shape == (observations,) and bool(floor.isfinite().all())
    return floor if sound else None


def _mean(scores: Tensor | None) -> float | None:
    return None if scores is None else float(scores.mean())
