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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from scipy import special
from torch import Tensor

from cwbench.errors import ContractError
from cwbench.judging.uniformity import uniformity
from cwbench.machine.cpu import cores, single_threaded
from cwbench.machine.files import write_atomically
from cwbench.machine.streams import stream
from cwbench.metric import (
    CalibrationMetric,
    Metric,
    Need,
    PairMetric,
    ReferenceMetric,
    SetMetric,
    SplitMetric,
)
from cwbench.preset import Preset
from cwbench.samples import JointSamples
from cwbench.task import Task

LEVEL = 0.95
RESOLUTION_WANTED = 0.75
SLICE = 4
"""Observations handed to a metric at a time, in parallel threads."""

Sampler = Callable[[Tensor, int], Tensor]
"""(observations, samples for each) to samples with shape `(m, n, *x_shape)`."""


@dataclass(frozen=True)
class Scores:
    """Per observation, float64 with shape `(m,)`; a part that does not apply is None.

    `least_error` is the smallest standard error of the mean value that is believed.
    """

    value: Tensor
    plug_in: Tensor | None = None
    floor: Tensor | None = None
    resolution: Tensor | None = None
    least_error: float = 0.0


def as_samples(output: Any, shape: tuple[int, ...], origin: str) -> Tensor:
    """A sampler's output as float32 on the CPU.

    Raises:
        ContractError: if it is no real floating tensor or array with that shape.
    """
    if not isinstance(output, Tensor):
        try:
            output = torch.as_tensor(np.array(output) if isinstance(output, np.ndarray) else output)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ContractError(f"{origin} returned {type(output).__name__}: {error}") from None
    if not output.dtype.is_floating_point:
        raise ContractError(f"{origin} returned {output.dtype}; real floating numbers are needed")
    if tuple(output.shape) != shape:
        raise ContractError(
            f"{origin} returned shape {tuple(output.shape)}; (observations, samples, *x_shape) = "
            f"{shape} is needed"
        )
    samples: Tensor = output.detach().to("cpu", torch.float32)
    return samples


class Judge:
    """Observations, reference draws and floors of a task and preset, equal for every method."""

    def __init__(self, task: Task, preset: Preset, cache: Path | None = None) -> None:
        self.task, self.preset, self.cache = task, preset, cache
        self.key: tuple[str | int, ...] = (
            task.info.name,
            task.info.version,
            task.fingerprint(),
            preset.split,
        )

    @cached_property
    def observations(self) -> JointSamples:
        """The held-out observations and the x behind each; they belong to the task's version."""
        return self.task.evaluation_set(self.preset.observations, stream(*self.key, "observations"))

    @cached_property
    def reference(self) -> tuple[Tensor, Tensor]:
        """The reference halves b1, b2 with shape `(m, n, *x_shape)`, float64."""
        y, n = self.observations.y, self.preset.samples
        draws = self.task.sample_posterior(y, 2 * n, stream(*self.key, "reference"))
        shape = (len(y), 2 * n, *self.task.x_shape)
        halves = as_samples(draws, shape, f"sample_posterior of {self.task.info.name}").double()
        if not halves.isfinite().all():
            raise ContractError(f"sample_posterior of {self.task.info.name} is not finite")
        return halves[:, :n], halves[:, n:]

    def score(self, metric: Metric, samples: Tensor) -> Scores:
        """Scores of 2n samples for each observation, `(m, 2n, *x_shape)`, all finite."""
        a1, a2 = samples.double().split(self.preset.samples, dim=1)
        if isinstance(metric, ReferenceMetric):
            return self._reference_scores(metric, a1, a2)
        if isinstance(metric, SplitMetric):
            return self._split_scores(metric, a1, a2)
        if isinstance(metric, PairMetric):
            return self._pair_scores(metric, samples.double())
        if isinstance(metric, CalibrationMetric):
            return self._calibration_scores(metric, samples.double())
        raise ContractError(f"{metric.info.name} is none of the kinds of cwbench.metric")

    def _reference_scores(self, metric: ReferenceMetric, a1: Tensor, a2: Tensor) -> Scores:
        b1, b2 = self.reference
        distance = metric.distance
        cross = (self._sliced(distance, a1, b1) + self._sliced(distance, a2, b2)) / 2
        floor = self._floor(metric, lambda: self._sliced(distance, b1, b2))
        value = cross
        if metric.info.debiased:
            value = cross - (self._sliced(distance, a1, a2) + floor) / 2
        return Scores(value, cross, floor, metric.resolution(floor, b1))

    def _split_scores(self, metric: SplitMetric, a1: Tensor, a2: Tensor) -> Scores:
        b1, _ = self.reference
        y = self.observations.y
        value = self._sliced(metric.estimate, a1, a2, y)
        plug_in = self._sliced(metric.estimate, a1, a1, y)
        floor = self._floor(metric, lambda: self._sliced(metric.estimate, b1, b1, y))
        return Scores(value, plug_in, floor)

    def _pair_scores(self, metric: PairMetric, samples: Tensor) -> Scores:
        x, y = self.observations

        def score(draws: Tensor) -> Tensor:
            return self._sliced(metric.score, draws, x.double(), y)

        if not self.task.has_posterior:
            return Scores(score(samples))
        floor = self._floor(metric, lambda: score(torch.cat(self.reference, dim=1)))
        return Scores(score(samples), floor=floor)

    def _calibration_scores(self, metric: CalibrationMetric, samples: Tensor) -> Scores:
        """All observations at once: a rank is judged by where the others fall."""
        x, y = self.observations
        ranks, weights = metric.ranks(samples, x.double(), y).double(), metric.weights.double()
        if ranks.shape != (len(y), len(weights)):
            raise ContractError(
                f"{metric.info.name} returned ranks of shape {tuple(ranks.shape)}; (observations, "
                f"test quantities) = {(len(y), len(weights))} is needed"
            )
        value, plug_in, floor, least_error = uniformity(ranks, weights)
        return Scores(value, plug_in, floor, least_error=least_error)

    def score_set(self, metric: SetMetric, sampler: Sampler) -> float:
        """A set metric: one sample for each of its own held-out observations."""
        x, y = self.task.evaluation_set(metric.n, stream(*self.key, "set"))
        empty = type(metric)(self.task)  # the one handed in is shared by all NFE
        empty.update(sampler(y, 1)[:, 0].double(), x.double())
        return empty.compute()

    def _floor(self, metric: Metric, compute: Callable[[], Tensor]) -> Tensor:
        """What exact draws score, computed once for a task and preset, kept beside the results."""
        content = repr((self.key, self.preset.observations, self.preset.samples))
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        name = f"{metric.info.name}-{metric.info.version}"
        path = (
            self.cache / f"{self.task.info.name}-{digest}-{name}.safetensors"
            if self.cache
            else None
        )
        kept = _read_floor(path, self.preset.observations) if path else None
        if kept is not None:
            return kept
        floor = compute()
        if path:
            write_atomically(path, save_tensors({"floor": floor}))
        return floor

    def _sliced(self, score: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """Apply a metric to slices of observations, in parallel threads."""
        slices = zip(*(argument.split(SLICE) for argument in arguments), strict=True)
        with single_threaded(), ThreadPoolExecutor(cores()) as pool:
            parts = list(pool.map(lambda part: score(*part), slices))
        scores = torch.cat([torch.as_tensor(part, dtype=torch.float64) for part in parts])
        if scores.shape != (len(arguments[0]),):
            raise ContractError(
                f"a metric returned {tuple(scores.shape)} for {len(arguments[0])} observations"
            )
        return scores


def _read_floor(path: Path, observations: int) -> Tensor | None:
    """A kept floor, or None where there is none that can be read."""
    try:
        floor = load_tensors(path.read_bytes())["floor"]
    except (OSError, SafetensorError, KeyError):
        return None
    sound = floor.shape == (observations,) and bool(floor.isfinite().all())
    return floor if sound else None


def applicable(metric: Metric, task: Task) -> bool:
    """Whether the task offers what the metric needs."""
    return metric.info.needs <= offers(task)


def offers(task: Task) -> set[Need]:
    """What the task has for metrics to use; `cwbench.metric.Need` says what the words mean."""
    if task.stored_images("test") is not None:
        return {"labelled-images"}
    offered: set[Need] = {"pairs"}
    x, y = task.evaluation_set(1, stream("probe"))
    if task.has_posterior:
        offered.add("reference")
        mixture = task.posterior_mixture(y)
        if mixture is not None and mixture.weights.shape[1] > 1:
            offered.add("mixture")
    if len(task.x_shape) == 3 and min(task.x_shape[1:]) >= 3:
        offered.add("image")
    if task.standardised_residual(x[:, None], y) is not None:
        offered.add("residual")
    return offered


def summary(metric: Metric, scores: Scores, preset: Preset) -> dict[str, Any]:
    """The entry of a record: mean over observations with its t-interval, floor and resolution."""
    value = scores.value
    m = len(value)
    mean = float(value.mean())
    error = max(float(value.std() / m**0.5), scores.least_error)
    half = float(special.stdtrit(m - 1, (1 + LEVEL) / 2) * error)
    finite = bool(value.isfinite().all())
    resolution = _mean(scores.resolution)
    return {
        "value": mean if finite else None,
        "low": mean - half if finite else None,
        "high": mean + half if finite else None,
        "level": LEVEL,
        "plug_in": _mean(scores.plug_in) if finite else None,
        "floor": _mean(scores.floor),
        "p90": float(value.quantile(0.9)) if finite and _by_observation(metric) else None,
        "resolution": resolution,
        "low_resolution": resolution is not None and resolution < RESOLUTION_WANTED,
        "direction": metric.info.direction,
        "debiased": metric.info.debiased,
        "ranks": metric.info.ranks,
        "n_observations": m,
        "n_samples": preset.samples,
        "version": metric.info.version,
    }


def null_summary(metric: Metric, preset: Preset) -> dict[str, Any]:
    """The entry where a sample was not finite: no value."""
    nothing = torch.full((preset.observations,), torch.nan, dtype=torch.float64)
    return summary(metric, Scores(nothing), preset)


def set_summary(metric: SetMetric, value: float | None) -> dict[str, Any]:
    """The entry of a set metric: its interval is over seeds only."""
    return {
        "value": value,
        "low": None,
        "high": None,
        "level": LEVEL,
        "plug_in": None,
        "floor": None,
        "direction": metric.info.direction,
        "debiased": metric.info.debiased,
        "ranks": metric.info.ranks,
        "n_observations": metric.n,
        "n_samples": 1,
        "version": metric.info.version,
    }


def _by_observation(metric: Metric) -> bool:
    """Whether a value belongs to its observation alone; a pseudo-value does not."""
    return not isinstance(metric, CalibrationMetric)


def _mean(scores: Tensor | None) -> float | None:
    return None if scores is None else float(scores.mean())


def make_metrics(classes: Iterable[type[Metric]], task: Task) -> dict[str, Metric]:
    """Metric objects by name, for those the task has what it takes."""
    offered = offers(task)
    made = (cls(task) for cls in classes if cls.info.needs <= offered)
    return {metric.info.name: metric for metric in made}
