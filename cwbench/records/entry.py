"""One entry of a record: a metric at an NFE, its value with interval, floor and protocol.

`record.metrics` maps ids (`ew2sq@nfe=10`) to entries. An entry is a mapping as well, with the names
that stand in `record.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
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
    samples per observation, or images where `unit` says so. `error` says why there is no value.
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

NEEDED = (
    "value", "low", "high", "floor", "direction", "debiased", "ranks", "n_observations",
    "n_samples", "version",
)  # fmt: skip
"""What every reader relies on."""
NUMBERS = (
    "value", "low", "high", "plug_in", "floor", "resolution", "p90", "n_observations", "n_samples",
    "version",
)  # fmt: skip


def read(content: Any) -> Entry:
    """The entry that stands in a record as a JSON object; names of no entry are left out.

    Raises:
        ValueError: if it is none: no object, without a number that is needed, or with text for one.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{type(content).__name__} is no entry of a metric")
    missing = [name for name in NEEDED if name not in content]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    for name in NUMBERS:
        if content.get(name) is not None and type(content[name]) not in (int, float):
            raise ValueError(f"{name} is no number")
    return Entry(**{name: content[name] for name in NAMES if name in content})


Entries = dict[str, Annotated[Entry, PlainValidator(read)]]
"""Entries by id, checked where a record is read."""
