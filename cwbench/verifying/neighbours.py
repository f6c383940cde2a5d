"""What records say together: seeds that are copies, floors that differ on the same observations."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cwbench.records.record import Record, canonical
from cwbench.records.values import AGREEMENT
from cwbench.verifying import stored
from cwbench.verifying.age import is_ours
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
        """Where a record contradicts one that is remembered, or is its copy.

        Args:
            record: read from its directory.
            values: its values by observation.
        """
        before = self.runs.get(record.run_id)
        if before is not None:
            yield Problem(f"run {record.run_id} again, as in {before.directory}")
        yield from self._floors(record)
        yield from self._copies(record, values)
        yield from self._nearly(record, values)

    def remember(self, record: Record, values: Values) -> None:
        """Hold those that follow against this one."""
        self.runs.setdefault(record.run_id, record)
        for key, (_, said) in _shared(record):
            self.shared.setdefault(key, (said, record))
        for key, name in _prints(record, values):
            self.drawn.setdefault(key, (record, name))
        for key, seen in _seen(record, values):
            self.values.setdefault(key, []).append(seen)

    def _floors(self, record: Record) -> Iterator[Finding]:
        """Floors that differ from those of the same observations and draws."""
        own: dict[tuple[Any, ...], tuple[float | None, Record]] = {}
        for key, (identifier, said) in _shared(record):
            known, other = self.shared.get(key) or own.setdefault(key, (said, record))
            if not _alike(said, known):
                yield Problem(
                    f"{identifier}: {key[-1]} is {said} on record, {known} on the same "
                    f"observations in {other.directory}"
                )

    def _copies(self, record: Record, values: Values) -> Iterator[Finding]:
        """Samples or values that another seed has, another NFE, or another method."""
        found: dict[tuple[str, str], list[str]] = {}
        own: dict[tuple[Any, ...], tuple[Record, str]] = {}
        for key, name in _prints(record, values):
            other, its_name = self.drawn.get(key) or own.setdefault(key, (record, name))
            kind = (
                "" if (other, its_name) == (record, name) else _kind(record, name, other, its_name)
            )
            if kind:
                told = "" if name == its_name else f" as {its_name}"
                found.setdefault((kind, str(other.directory)), []).append(name + told)
        for (kind, place), names in found.items():
            text = f"{', '.join(names[:3])}{' and more' * (len(names) > 3)}"
            text += " by observation" * (names != ["its model"])
            where = "itself" if kind == "nfe" else place
            yield _said(kind, record)(f"{text}: the same in {where}, {EXPLAINED[kind]}")

    def _nearly(self, record: Record, values: Values) -> Iterator[Finding]:
        """Values of another seed with a little noise on them."""
        for key, (found, _, name) in _seen(record, values):
            for one in self.values.get(key, ()):
                if (
                    len(one.values) != len(found)
                    or _kind(record, name, one.record, one.name) != "seed"
                ):
                    continue
                if 0 < np.abs(one.values - found).max() <= NEAR * np.ptp(found):
                    yield Problem(
                        f"{name} by observation: nearly the same in {one.record.directory}, "
                        f"{EXPLAINED['seed']}"
                    )
                    break


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


def _said(kind: str, record: Record) -> type[Finding]:
    """Whether equal values refuse a record.

    A method of others may ignore its NFE, and a sampler from outside its generator: they are told.
    """
    ours = is_ours("method", record.method)
    told = kind == "other" or (not ours and (kind == "nfe" or record.track == "external"))
    return Finding if told else Problem


def _shared(record: Record) -> Iterator[tuple[tuple[Any, ...], tuple[str, float | None]]]:
    """What the task and the preset decide: where it is kept, of which entry, and what it says."""
    common = _judged_on(record)
    for identifier, entry in record.metrics.items():
        name = identifier.partition("@")[0]
        of = (*common, name, entry.version, entry.source_sha256, entry.n_samples)
        for part in SHARED if entry.value is not None else ():
            yield (*of, part), (identifier, entry[part])


def _prints(record: Record, values: Values) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Hashes of samples and values, each with the name it has in the record."""
    found = _of_model(record) | _of_samples(record) | _of_values(record, values)
    for (what, name), digest in found.items():
        yield (*_judged_on(record), what.partition("@")[0], digest), name


def _seen(record: Record, values: Values) -> Iterator[tuple[tuple[Any, ...], Seen]]:
    """Values by observation of continuous metrics, with what they are compared by."""
    for name, found in _continuous(record, values).items():
        yield (*_judged_on(record), name.partition("@")[0]), Seen(found, record, name)


def _judged_on(record: Record) -> tuple[Any, ...]:
    """What decides the observations and the draws of the posterior."""
    task, preset = record.task, record.preset_values
    return (
        task["name"], task["version"], task.get("fingerprint"), task.get("source_sha256"),
        canonical(task["params"]),
        *(canonical(preset.get(name)) for name in ("observations", "samples", "images", "split")),
    )  # fmt: skip


def trained_in_steps(record: Record) -> bool:
    """Whether its seeds must have other weights.

    What is fitted in closed form, to images that are the same for all seeds, may be the same. A
    method with a learning rate, which stands in the key, is none of that, whatever its cost says.
    """
    return bool(record.cost.get("steps")) or "learning_rate" in record.method["params"]


def _of_model(record: Record) -> dict[tuple[str, str], str]:
    """A hash of a model that was trained step by step, among the seeds of its fit."""
    if not trained_in_steps(record):
        return {}
    state = stored.model(record)
    parts = [
        value if isinstance(value, bytes) else value.flatten().view(torch.uint8).numpy().tobytes()
        for _, value in sorted(state.items())
    ]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    return {(f"model of {record.fit_key}", "its model"): digest} if state else {}


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
