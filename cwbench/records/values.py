"""The values of all records by observation, gathered so that a leaderboard starts at once.

Intervals and paired differences need every value of every run: ten thousand small files. They are
gathered below `.cache/values`, one table for the runs and one for each metric, derived and safe to
delete. As in `cwbench.records.index`, what is gathered counts only while `record.json` is the very
file it was read from; what is damaged is read, and named, every time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pydantic_core import from_json

from cwbench.errors import CorruptFileError
from cwbench.records import index
from cwbench.records.beside import OBSERVATIONS, stored
from cwbench.records.measured import Measured, measured
from cwbench.records.record import Record
from cwbench.records.rows import VALUES, table_in
from cwbench.records.runs import read, walked

HOME = Path(".cache") / "values"
LAYOUT = f"{index.LAYOUT}, values 5"
AGREEMENT = 1e-6
"""How far the mean of the values may be from the value on record, relative to their size."""


class Entry(NamedTuple):
    """One metric of one run at one NFE; `values` has shape `(observations,)`, empty without value.

    A set metric has a single value.
    """

    record: str
    metric: str
    nfe: str
    version: int
    direction: str
    ranks: bool
    debiased: bool
    floor: float | None
    low_resolution: bool
    n_observations: int
    n_samples: int
    source: str
    """SHA-256 of the source of a metric that can change in place, else empty."""
    values: NDArray[np.float64]


Choice = Callable[[Iterable[Mapping[str, Any]]], set[str] | None]


class Observed(NamedTuple):
    """What a results directory holds: runs as in `record.json` without their metrics.

    `runs` is by the run's directory below the results; what was measured counts them in that order.
    """

    runs: dict[str, dict[str, Any]]
    measured: list[Measured]
    problems: dict[Path, str]


def observed(
    results: Path,
    metrics: Choice = lambda _: None,
    home: Path | None = None,
) -> Observed:
    """The runs below `results` and the values of some metrics.

    Args:
        results: the results directory.
        metrics: from the contents of the runs, the names that are wanted; None for all.
        home: of what is derived, where the results directory itself is not to be written.
    """
    store = _Store((home or results) / HOME)
    places = walked(results)
    stamps, unnamed = index.stamped(results, places.runs)
    runs, problems = _gathered(results, store, stamps, anew=False)
    chosen = metrics(runs.values())
    found = store.measured(runs, chosen, stamps)
    if found is None:  # a table was lost or damaged
        runs, problems = _gathered(results, store, stamps, anew=True)
        found = store.measured(runs, chosen, stamps)
    return Observed(runs, found or [], places.strays | unnamed | problems)


def _gathered(
    results: Path, store: _Store, stamps: dict[str, str], *, anew: bool
) -> tuple[dict[str, dict[str, Any]], dict[Path, str]]:
    """The runs' contents, what is new added to the store; what cannot be read."""
    runs = store.read(store.runs, stamps)
    runs = runs.iloc[:0] if anew else runs
    known = dict(zip(runs["record"], runs["content"], strict=True))
    fresh, problems = _fresh(results, [name for name in stamps if name not in known])
    if fresh or len(runs) != store.stored:
        known |= store.add(fresh, runs, stamps)
    return {name: from_json(known[name]) for name in stamps if name in known}, problems


class _Store:
    """The tables below one directory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.runs = place / "runs.parquet"
        self.stored = 0
        self.tables: dict[Path, pd.DataFrame] = {}

    def table_of(self, metric: str) -> Path:
        """A metric's table; names in records may be anything."""
        return self.place / f"{hashlib.sha256(metric.encode()).hexdigest()[:16]}.parquet"

    def measured(
        self, runs: dict[str, dict[str, Any]], chosen: set[str] | None, stamps: dict[str, str]
    ) -> list[Measured] | None:
        """What was measured in some metrics, or None where a run's entries are not all there."""
        places = {name: place for place, name in enumerate(runs)}
        holders: dict[str, list[int]] = {}
        for place, run in enumerate(runs.values()):
            for metric in run["measured"]:
                if chosen is None or metric in chosen:
                    holders.setdefault(metric, []).append(place)
        found: list[Measured] = []
        for metric, holding in sorted(holders.items()):
            table = self._columns(self.table_of(metric))
            parts = [] if table is None else list(measured(table, places, stamps))
            there = np.zeros(len(runs), np.bool_)
            for part in parts:
                there[part.runs] = True
            if not there[holding].all():
                return None
            found += parts
        return found

    def _columns(self, path: Path) -> pa.Table | None:
        if path in self.tables:
            return pa.Table.from_pandas(self.tables[path], preserve_index=False)
        return index.read_sealed_columns(path, LAYOUT)

    def read(self, path: Path, stamps: dict[str, str]) -> pd.DataFrame:
        """The rows that are of the runs as they are now."""
        found = self.tables.get(path)
        if found is None:
            found = index.read_sealed(path, LAYOUT)
        if found is None:
            return pd.DataFrame({"record": [], "stamp": [], "content": []})
        if path == self.runs:
            self.stored = len(found)
        current: pd.DataFrame = found[found["record"].map(stamps) == found["stamp"]]
        return current

    def add(
        self, fresh: list[Gathered], runs: pd.DataFrame, stamps: dict[str, str]
    ) -> dict[str, str]:
        """Keep what was read; the contents of the runs it was read from."""
        rows = [(run.name, stamps[run.name], run.content) for run in fresh]
        new = pd.DataFrame(rows, columns=["record", "stamp", "content"])
        by_metric: dict[str, list[dict[str, Any]]] = {}
        for run in fresh:
            for entry in run.entries:
                row = entry._asdict() | {
                    "stamp": stamps[run.name],
                    "values": entry.values.tobytes(),
                }
                by_metric.setdefault(entry.metric, []).append(row)
        for metric, some in by_metric.items():
            path = self.table_of(metric)
            kept = self.read(path, stamps)
            kept = kept[~kept["record"].isin(new["record"])]
            self._keep(path, pd.concat([part for part in (kept, pd.DataFrame(some)) if len(part)]))
        # the runs last: what they name is there
        self._keep(self.runs, pd.concat([runs, new]) if len(runs) else new)
        return dict(zip(new["record"], new["content"], strict=True))

    def _keep(self, path: Path, table: pd.DataFrame) -> None:
        self.tables[path] = table
        index.write_sealed(path, table, LAYOUT, noise=["values"])


class Gathered(NamedTuple):
    """A run's content without metrics, as JSON, and its entries."""

    name: str
    content: str
    entries: list[Entry]


def _fresh(results: Path, names: Iterable[str]) -> tuple[list[Gathered], dict[Path, str]]:
    fresh: list[Gathered] = []
    problems: dict[Path, str] = {}
    for name in names:
        try:
            found = _one(name, results / name)
            fresh += [found] if found else []
        except (CorruptFileError, OSError) as error:
            problems[results / name] = str(error)
    return fresh, problems


def _one(name: str, directory: Path) -> Gathered | None:
    """A run's record with its values, None where there is none; read again if one was switched."""
    record = read(directory)
    try:
        return gathered(name, record) if record else None
    except CorruptFileError:
        again = read(directory)
        if again is None or again == record:
            raise
        return gathered(name, again)


def gathered(name: str, record: Record) -> Gathered:
    """A record with its values by observation.

    Args:
        name: what its entries call it.
        record: read from its directory.

    Raises:
        CorruptFileError: if the values are not those of the record.
    """
    values = _values(record)
    entries = list(_measured(name, record, values))
    left_out = ("metrics", "directory", "files")
    content = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in left_out}
    content["measured"] = sorted({entry.metric for entry in entries})
    return Gathered(name, json.dumps(content), entries)


Values = dict[tuple[str, str], NDArray[np.float64]]


def _values(record: Record) -> Values:
    """By metric and NFE, in the order of the observations.

    Raises:
        CorruptFileError: if the file is not the one the record names.
    """
    directory = record.directory or Path()
    content = stored(directory, OBSERVATIONS, record.files)
    if content is None:
        return {}
    try:
        table = table_in(content)
        columns = [table[name].combine_chunks() for name in VALUES]
        return _by_metric(*columns)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(f"{directory / OBSERVATIONS} cannot be read: {error}") from None


def _by_metric(observation: Any, metric: Any, nfe: Any, value: Any) -> Values:
    """Arrow columns as arrays, grouped by codes: there are ten thousand such files.

    Raises:
        ValueError: if an observation stands there twice, or not at all.
    """
    names = [column.dictionary_encode() for column in (metric, nfe)]
    metrics, nfes = (each.dictionary.to_pylist() for each in names)
    codes = [each.indices.to_numpy(zero_copy_only=False) for each in names]
    group = codes[0].astype(np.int64) * len(nfes) + codes[1]
    each = observation.to_numpy(zero_copy_only=False)
    order = np.lexsort((each, group))
    numbers = np.asarray(value.to_numpy(zero_copy_only=False), dtype=np.float64)[order]
    kinds, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    if not np.array_equal(each[order], np.arange(len(order)) - np.repeat(starts, sizes)):
        raise ValueError("an observation stands there twice, or not at all")
    parts = np.split(numbers, starts[1:])
    places = (divmod(int(kind), len(nfes)) for kind in kinds)
    return {(metrics[m], nfes[n]): part for (m, n), part in zip(places, parts, strict=False)}


def _is_mean(mean: float, values: NDArray[np.float64]) -> bool:
    """Whether a number is the mean of values, as nearly as floats tell."""
    off = abs(values.mean() - mean)
    return bool(off <= AGREEMENT * abs(mean) or off <= AGREEMENT * np.abs(values).max())


def _measured(name: str, record: Record, values: Values) -> Iterator[Entry]:
    """The entries of a record with their values by observation.

    Raises:
        CorruptFileError: if values are missing, or their mean is not the value on record.
    """
    for identifier, entry in record.metrics.items():
        metric, _, nfe = identifier.partition("@nfe=")
        mean, found = entry.value, values.get((metric, nfe))
        if mean is None:
            found = np.empty(0)
        elif found is None:
            if entry.low is not None:
                raise CorruptFileError(f"{record.directory} lacks the {identifier} by observation")
            found = np.array([mean], dtype=np.float64)  # of a set of samples as a whole
        elif not _is_mean(mean, found):
            raise CorruptFileError(
                f"{record.directory}: the {identifier} on record is not the mean of its values"
            )
        yield Entry(
            record=name, metric=metric, nfe=nfe, version=entry.version,
            direction=entry.direction, ranks=entry.ranks,
            debiased=entry.debiased, floor=entry.floor,
            low_resolution=entry.low_resolution,
            n_observations=entry.n_observations, n_samples=entry.n_samples,
            source=entry.source_sha256 or "", values=found,
        )  # fmt: skip
