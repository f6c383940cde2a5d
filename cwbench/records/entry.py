"""One entry of a record: a metric at an NFE, its value with interval, floor and protocol.

`record.metrics` maps ids (`ew2sq@nfe=10`) to entries. An entry is a mapping as well, with the names
that stand in `record.json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

LEVEL = 0.95
"""Of every interval on record."""


@dataclass(frozen=True, kw_only=True)
class Entry(Mapping[str, Any]):
    """What came of a metric; a number that does not apply or is not finite is None.

    `value` is debiased where `debiased`, `low` and `high` bound its mean over observations (over
    classes for images) at `level`, `floor` is what exact draws score, `p90` the 90th percentile
    over observations, `resolution` the factor by which a scale error shows. `n_samples` counts
    samples per observation, or images where `unit` says so. `error` says why there is no value.
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
    n_observations: int
    n_samples: int
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
