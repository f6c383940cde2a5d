"""What records say together: seeds that are copies, floors that differ on the same observations."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cwbench.records.record import Record
from cwbench.records.values import AGREEMENT
from cwbench.verifying import stored
from cwbench.verifying.found import Finding, Problem
from cwbench.verifying.numbers import Values

SHARED = ("floor", "resolution")
"""What the task and the preset decide, whatever the method."""


class Neighbours:
    """The records seen so far, each held against those before it."""

    def __init__(self) -> None:
        self.runs: dict[str, Record] = {}
        self.drawn: dict[tuple[Any, ...], tuple[Record, str]] = {}
        self.shared: dict[tuple[Any, ...], tuple[float | None, Record]] = {}
        self.values: dict[tuple[Any, ...], list[Seen]] = {}

    def against(self, record: Record, values: Values) -> Iterator[Finding]:
        """Where a record contradicts one before it, or is its copy; it is remembered.

        Args:
            record: read from its directory.
            values: its values by observation.
        """
        before = self.runs.setdefault(record.run_id, record)
        if before is not record:
            yield Problem(f"run {record.run_id} again, as in {before.directory}")
        yield from self._floors(record)
        yield from self._copies(record, values)
        yield from self._nearly(record, values)

    def _floors(self, record: Record) -> Iterator[Finding]:
        """Floors that differ from those of the same observations and draws."""
        common = _judged_on(record)
        for identifier, entry in record.metrics.items():
            name = identifier.partition("@")[0]
            for part in SHARED:
                key = (*common, name, entry.version, entry.source_sha256, entry.n_samples, part)
                said = entry[part]
                known, other = self.shared.setdefault(key, (said, record))
                if not _alike(said, known):
                    yield Problem(
                        f"{identifier}: {part} is {said} on record, {known} on the same "
                        f"observations in {other.directory}"
                    )

    def _copies(self, record: Record, values: Values) -> Iterator[Finding]:
        """Samples or values that another seed has, another NFE, or another method."""
        found: dict[tuple[str, str, str], list[str]] = {}
        prints = {**_of_samples(record), **_of_values(record, values)}
        for (what, name), digest in prints.items():
            key = (*_judged_on(record), what.partition("@")[0], digest)
            other, its_name = self.drawn.setdefault(key, (record, name))
            if other is record and its_name == name:
                continue
            kind = _kind(record, name, other, its_name)
            if kind:
                told = "" if name == its_name else f" as {its_name}"
                found.setdefault((kind, str(other.directory), ""), []).append(name + told)
        for (kind, place, _), names in found.items():
            text = f"{', '.join(names[:3])}{' and more' * (len(names) > 3)} by observation"
            said = Finding if kind == "other" else Problem
            where = "itself" if kind == "nfe" else place
            yield said(f"{text}: the same in {where}, {EXPLAINED[kind]}")

    def _nearly(self, record: Record, values: Values) -> Iterator[Finding]:
        """Values of another seed with a little noise on them."""
        for name, found in _continuous(record, values).items():
            seen = self.values.setdefault((*_judged_on(record), name.partition("@")[0]), [])
            others = [one for one in seen if len(one.values) == len(found)]
            if others:
                gaps = np.abs(np.stack([one.values for one in others]) - found).max(1)
                for one in (others[i] for i in np.flatnonzero(gaps <= NEAR * np.ptp(found))):
                    if gaps.min() > 0 and _kind(record, name, one.record, one.name) == "seed":
                        yield Problem(
                            f"{name} by observation: nearly the same in {one.record.directory}, "
                            f"{EXPLAINED['seed']}"
                        )
                        break
            seen.append(Seen(found, record, name))


class Seen(NamedTuple):
    """Values by observation of a record, under the id of their entry."""

    values: NDArray[np.float64]
    record: Record
    name: str


NEAR = 1e-4
"""Of the range of values: of our 318 records no two seeds come closer than 5e-3 everywhere."""

EXPLAINED = {
    "seed": "which is another seed: a copy is no replication",
    "nfe": "at another NFE, where its samples would be others",
    "other": "which is another method or setting; ask whether they are the same model",
}


def _kind(record: Record, name: str, other: Record, its_name: str) -> str:
    """Why equal values are odd; controls need not depend on the seed (`held-out` does not)."""
    if other is record:
        return "nfe"
    if other.seed != record.seed:
        controls = record.method["role"] != "method" and other.method["role"] != "method"
        return "" if controls and record.method["name"] == other.method["name"] else "seed"
    return "other" if other.fit_key != record.fit_key and name == its_name else ""


def _judged_on(record: Record) -> tuple[Any, ...]:
    """What decides the observations and the draws of the posterior."""
    task, preset = record.task, record.preset_values
    return (
        task["name"], task["version"], task.get("fingerprint"), task.get("source_sha256"),
        json.dumps(task["params"], sort_keys=True),
        *(preset.get(name) for name in ("observations", "samples", "images", "split")),
    )  # fmt: skip


def _of_samples(record: Record) -> dict[tuple[str, str], str]:
    """A hash of each set of stored samples."""
    parts = {n: part.float().contiguous().numpy() for n, part in stored.samples(record).items()}
    return {("samples", name): _digest(part) for name, part in parts.items()}


def _of_values(record: Record, values: Values) -> dict[tuple[str, str], str]:
    """A hash of the values of each metric that is continuous."""
    return {
        (f"values of {name}", name): _digest(found)
        for name, found in _continuous(record, values).items()
    }


def _continuous(record: Record, values: Values) -> Values:
    """The values of metrics of which no two observations have the same, in float32.

    So they are kept in what is adopted.
    """
    single = {name: found.astype(np.float32) for name, found in values.items()}
    return {
        name: found.astype(np.float64)
        for name, found in single.items()
        if len(np.unique(found)) == len(found) > 2 and _of_each(record, name)
    }


def _of_each(record: Record, name: str) -> bool:
    """Whether values belong to their observation (or class): what is made of ranks can agree."""
    entry = record.metrics[name]
    return entry.p90 is not None or entry.unit == "images"


def _digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _alike(said: float | None, known: float | None) -> bool:
    if said is None or known is None:
        return said is known
    return math.isclose(said, known, rel_tol=AGREEMENT, abs_tol=1e-12)
