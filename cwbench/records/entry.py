"""One entry of a record: a metric at an NFE, its value with interval, floor and protocol.

`record.metrics` maps ids (`ew2sq@nfe=10`) to entries. An entry is a mapping as well, with the names
that stand in `record.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import NoneType
from typing import Annotated, Any, Literal

from pydantic import PlainValidator

LEVEL = 0.95
"""Of every interval on record."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry(Mapping[str, Any]):
    """What came of a metric; a number that does not apply or is not finite is None.

    `value` is debiased where `debiased`, `low` and `high` bound its mean over observations (over
    classes for images) at `level`, `floor` is what exact draws score, `p90` the 90th percentile
    over observations, `resolution` the factor by which a scale error shows. `n_samples` counts
    samples per observation, or images where `unit` says so. `error` says why there is no value; a
    `plug_in` beside it is of distances that debiasing cancels (`cwbench.judging.cancelled`).
    `source_sha256` is of a metric from a file or an editable package: its code can change under an
    unchanged version. Entries are equal where all their numbers are, as mappings are.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float = LEVEL
    plug_in: float | None = None
    floor: float | None = None
    p90: float | None = None
    resolution: float | None = None
    low_resolution: bool = False
    direction: Literal["lower", "higher"] = "lower"
    debiased: bool = True
    ranks: bool = True
    n_observations: int = 0
    n_samples: int = 0
    unit: Literal["samples", "images"] = "samples"
    version: int
    source_sha256: str | None = None
    error: str | None = None

    def __getitem__(self, name: str) -> Any:
        """The number of a name of `record.json`."""
        if name not in NAMES:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of `record.json`."""
        return iter(NAMES)

    def __len__(self) -> int:
        """How many names there are."""
        return len(NAMES)


NAMES = tuple(f.name for f in fields(Entry))
ALL = set(NAMES)

NEEDED = (
    "value", "low", "high", "floor", "direction", "debiased", "ranks", "n_observations",
    "n_samples", "version",
)  # fmt: skip
"""What every reader relies on."""
NUMBERS = ("value", "low", "high", "level", "plug_in", "floor", "p90", "resolution")
COUNTS = ("n_observations", "n_samples", "version")
TEXTS = ("source_sha256", "error")
WORDS: dict[str, tuple[Any, ...]] = {
    "direction": ("lower", "higher"), "unit": ("samples", "images"),
    "low_resolution": (True, False), "debiased": (True, False), "ranks": (True, False),
}  # fmt: skip


def read(content: Any) -> Entry:
    """The entry that stands in a record as a JSON object; names of no entry are left out.

    Raises:
        ValueError: if it is none: no object, without a name that is needed, or with
            something else under it.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{type(content).__name__} is no entry of a metric")
    missing = [name for name in NEEDED if name not in content]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    for name, problem in _problems(content):
        raise ValueError(f"{name} {problem}")
    entry = object.__new__(Entry)  # ten thousand records have a quarter of a million
    known = content if content.keys() == ALL else {n: content[n] for n in NAMES if n in content}
    entry.__dict__.update(known)  # names that are absent are as in the class
    return entry


def _problems(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the numbers and words of an entry, by name."""
    for name in NUMBERS:
        if type(content.get(name)) not in (int, float, NoneType):
            yield name, "is no number"
    for name in COUNTS:
        if type(content[name]) is not int or content[name] < 0:
            yield name, "is no count"
    for name in TEXTS:
        if type(content.get(name)) not in (str, NoneType):
            yield name, "is no text"
    for name, allowed in WORDS.items():
        found = content.get(name, allowed[0])
        if type(found) is not type(allowed[0]) or found not in allowed:
            yield name, f"is none of {', '.join(map(str, allowed))}"


Entries = dict[str, Annotated[Entry, PlainValidator(read)]]
"""Entries by id, checked where a record is read."""
