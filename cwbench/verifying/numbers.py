"""Whether the entries of a record follow from its values by observation, and from its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from cwbench.errors import CorruptFileError
from cwbench.judging.by_image import ImageScore
from cwbench.judging.cancelled import cancelled
from cwbench.judging.judge import Judge
from cwbench.judging.measured import RESOLUTION_WANTED, Scores
from cwbench.judging.uniformity import least_error
from cwbench.metric import CalibrationMetric, ImageMetric, Metric, SetMetric
from cwbench.records.entry import LEVEL, Entry
from cwbench.records.record import Record
from cwbench.records.values import AGREEMENT, gathered
from cwbench.running.outcome import is_present
from cwbench.running.recorded import metric_id, suffixed
from cwbench.running.request import Request
from cwbench.verifying import stored
from cwbench.verifying.found import Finding, Problem, Unchecked

Values = dict[str, NDArray[np.float64]]
"""By the id of an entry, with shape `(observations,)`."""

SEEN = ("direction", "debiased", "ranks", "n_samples", "unit", "source_sha256")
"""What a metric decides without a value."""


def values_of(record: Record) -> Values:
    """The values of the entries that have several.

    Raises:
        CorruptFileError: if they are not those of the record.
    """
    return {
        suffixed(e.metric, e.nfe): e.values
        for e in gathered("", record).entries
        if len(e.values) > 1
    }


def consistent(record: Record) -> Iterator[Finding]:
    """What no plugin is needed for."""
    try:
        values = values_of(record)
        yield from _table(record)
    except (CorruptFileError, OSError, KeyError) as error:
        yield Problem(str(error))
        return
    for identifier, entry in record.metrics.items():
        yield from (Problem(f"{identifier}: {text}") for text in _alone(entry))
        found = values.get(identifier)
        if found is not None and entry.n_observations != len(found):
            yield Problem(
                f"{identifier} is of {entry.n_observations} observations, {len(found)} have values"
            )


def sampled(record: Record) -> Iterator[Finding]:
    """What a draw costs is told at every NFE with a value: one at 1 alone is shown for all."""
    told = record.cost.get("sampling", {})
    measured = {
        identifier.partition("@nfe=")[2] or "1"
        for identifier, entry in record.metrics.items()
        if entry.value is not None
    }
    lacking = measured - told.keys()
    if record.status == "ok" and lacking:
        yield Problem(f"cost.sampling lacks NFE {_listed(lacking)}, at which it has values")


def _alone(entry: Entry) -> Iterator[str]:
    """What contradicts itself in one entry."""
    if entry.level != LEVEL:
        yield f"its interval is at {entry.level}, not {LEVEL}"
    low = entry.resolution is not None and entry.resolution < RESOLUTION_WANTED
    if low != entry.low_resolution:
        yield f"low_resolution is {entry.low_resolution}, its resolution {entry.resolution}"
    numbers = entry.low, entry.value, entry.high
    if entry.value is None:
        if any(number is not None for number in (*numbers, entry.p90)):
            yield "it has an interval and no value"
        if entry.plug_in is not None and not entry.error:
            yield "it has a plug-in value, and neither a value nor an error that says why not"
    elif (entry.low is None) != (entry.high is None):
        yield "its interval has one end"
    elif entry.low is not None and not numbers[0] <= numbers[1] <= numbers[2]:  # type: ignore[operator]  # none is None
        yield "its value lies outside its interval"
    if entry.value is not None and entry.error:
        yield "it has a value, and an error that says why not"


def _table(record: Record) -> Iterator[Finding]:
    """Whether the rows by observation are those of the entries, each observation once."""
    for table in stored.observations(record):
        for (metric, nfe), rows in table.groupby(["metric", "nfe"], sort=False):
            identifier = suffixed(str(metric), str(nfe))
            entry = record.metrics.get(identifier)
            if entry is None:
                yield Problem(f"{identifier} has values by observation and no entry")
            elif sorted(rows["observation"]) != list(range(len(rows))):
                yield Problem(f"{identifier} by observation has rows twice, or lacks some")
            else:
                yield from _means(identifier, entry, rows)


def _means(identifier: str, entry: Entry, rows: pd.DataFrame) -> Iterator[Finding]:
    """Floor and plug-in, where they are kept by observation."""
    for name in {"floor", "plug_in"} & set(rows):
        column, said = rows[name].to_numpy(float), entry[name]
        kept = column[np.isfinite(column)]
        mean = float(kept.mean()) if len(kept) == len(column) and len(column) else None
        if entry.value is not None and not _close(said, mean, 0.0):
            yield Problem(f"{identifier}: {name} is {said} on record, {mean} by its values")


def by_metric(record: Record, request: Request) -> Iterator[Finding]:
    """What the installed metrics make of the same values, which are those of the record."""
    judge = Judge(request.task, request.preset, None, request.metric_hashes)
    values = values_of(record)
    for nfe in request.nfe:
        for metric in request.metrics.values():
            identifier = metric_id(metric, nfe)
            entry = record.metrics.get(identifier)
            if entry is None or entry.version != metric.info.version:
                continue
            if is_present(record.metrics, request, metric, nfe):
                yield from _compared(identifier, entry, judge.blank(metric), SEEN)
                reason = cancelled(metric, entry)
                if reason:
                    yield Problem(f"{identifier} has a value that says nothing: {reason}")
                yield from _interval(identifier, entry, metric, judge, values.get(identifier))
            else:
                yield Unchecked(f"not checked: {identifier}, whose source is another here")


def _interval(
    identifier: str, entry: Entry, metric: Metric, judge: Judge, values: Any
) -> Iterator[Finding]:
    blank = judge.blank(metric)
    if values is None:
        if entry.low is not None:
            yield Problem(f"{identifier} has an interval and no values by observation")
        if entry.value is not None and not metric.of_images and metric.from_stored:
            yield Problem(f"{identifier} has no values by observation")
        names: tuple[str, ...] = () if metric.of_images else ("n_observations",)
        yield from _compared(identifier, entry, blank, names)
        return
    again = metric.measured_by(_FromValues(judge, torch.from_numpy(values.copy())))
    scale = float(np.abs(values).max())
    names = ("value", "low", "high", "p90", "n_observations")
    yield from _compared(identifier, entry, again, names, scale)
    if not metric.of_images and entry.n_observations != blank.n_observations:
        yield Problem(
            f"{identifier} is of {entry.n_observations} observations, its preset has "
            f"{blank.n_observations}"
        )


def _compared(
    identifier: str, entry: Entry, other: Entry, names: tuple[str, ...], scale: float = 0.0
) -> Iterator[Finding]:
    for name in names:
        if not _close(entry[name], other[name], scale):
            yield Problem(
                f"{identifier}: {name} is {entry[name]!r} on record, {other[name]!r} by its values "
                "and its metric"
            )


AGAIN = ("value", "low", "high", "plug_in", "floor", "p90", "resolution", "low_resolution")
"""What samples decide of an entry."""


def differing(entry: Entry, again: Entry, scale: float) -> tuple[str, Any, Any] | None:
    """The first number of an entry that is another in the one computed again."""
    for name in AGAIN:
        if not _close(entry[name], again[name], scale):
            return name, entry[name], again[name]
    return None


def _close(said: Any, found: Any, scale: float) -> bool:
    """Equal, or numbers that differ by rounding of values of that size."""
    if isinstance(said, float | int) and isinstance(found, float | int):
        return math.isclose(said, found, rel_tol=AGREEMENT, abs_tol=max(AGREEMENT * scale, 1e-12))
    return bool(said == found)


class _FromValues:
    """The entry that each kind of metric has for values by observation (or by class)."""

    def __init__(self, judge: Judge, values: torch.Tensor) -> None:
        self.judge, self.values = judge, values

    def _of_observations(self, metric: Metric) -> Entry:
        return self.judge.entry(metric, Scores(self.values))

    by_reference = by_halves = by_pairs = _of_observations

    def by_ranks(self, metric: CalibrationMetric) -> Entry:
        """No standard error below that of uniform ranks is believed."""
        least = least_error(len(self.values))
        return self.judge.entry(metric, Scores(self.values, least_error=least))

    def by_set(self, metric: SetMetric) -> Entry:
        """It has one value: no row by observation is of it."""
        return self.judge.blank(metric)

    def by_images(self, metric: ImageMetric) -> Entry:
        """Class by class."""
        return self.judge.by_image.measured(metric, ImageScore(self.values, None)).entry


def complete(record: Record, request: Request, builtin: Mapping[str, bool]) -> Iterator[Finding]:
    """Metrics that were dropped: those of the preset, and those that every run takes.

    Args:
        record: with its entries.
        request: made from it.
        builtin: by metric name, whether a run of this version of cwbench takes it by itself.
    """
    main, judged = request.task.main_metric, f"@nfe={request.task.info.main_nfe}"
    entries = {i: e for i, e in record.metrics.items() if i.partition("@")[0] == main}
    judging = [entry for i, entry in entries.items() if i.endswith(judged)] or entries.values()
    if all(entry.value is None for entry in judging):  # further NFE may fail: it stays ok
        yield Problem("it is ok on record, but its main metric has no value")
    lacking: dict[bool, set[str]] = {True: set(), False: set()}
    for nfe in request.nfe:
        for name, metric in request.metrics.items():
            due = name in request.preset.metrics or name == request.task.main_metric
            if metric_id(metric, nfe) not in record.metrics and (due or name in builtin):
                lacking[due or builtin[name]].add(metric_id(metric, nfe))
    if lacking[True]:
        yield Problem(f"its preset takes {_listed(lacking[True])}, which it lacks")
    if lacking[False]:
        made = record.environment.get("cwbench")
        yield Unchecked(
            f"not checked: whether cwbench {made} took {_listed(lacking[False])}, which it lacks"
        )


def _listed(names: set[str], most: int = 4) -> str:
    shown = sorted(names)[:most]
    more = f" and {len(names) - most} more" * (len(names) > most)
    return ", ".join(shown) + more
