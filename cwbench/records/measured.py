"""The entries of many runs as arrays: of ten thousand records there are 650,000.

An entry is a metric of one run at one NFE. Those that agree in all but the run are kept together,
and nothing is done for each of them alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


class Kind(NamedTuple):
    """What entries have to share to stand beside each other."""

    metric: str
    nfe: str
    version: int
    n_observations: int
    n_samples: int
    source: str
    """SHA-256 of the source of a metric that can change in place, else empty."""
    direction: str
    ranks: bool
    debiased: bool

    @property
    def scalable(self) -> bool:
        """Whether 0 is exact, so that ratios of values mean something."""
        return self.debiased and self.direction == "lower" and self.ranks


class Measured(NamedTuple):
    """The n entries of one kind.

    `runs` are the places of their runs, `floor` is NaN where there is none. Their values stand in
    `numbers`, those of each from `starts` on, `sizes` of them: as many as there are observations,
    one for a set metric, none where an entry has no value.
    """

    kind: Kind
    runs: Codes
    floor: Array
    low_resolution: NDArray[np.bool_]
    starts: Codes
    sizes: Codes
    numbers: Array

    def at(self, chosen: NDArray[np.bool_]) -> Measured:
        """Some of them."""
        return self._replace(
            runs=self.runs[chosen], floor=self.floor[chosen],
            low_resolution=self.low_resolution[chosen], starts=self.starts[chosen],
            sizes=self.sizes[chosen],
        )  # fmt: skip

    def values(self, size: int) -> Array:
        """Of the entries with this many, shape `(n, size)`."""
        starts = self.starts[self.sizes == size]
        if not len(starts):
            return np.empty((0, size))
        found: Array = sliding_window_view(self.numbers, size)[starts]
        return found


def measured(
    table: pa.Table, places: Mapping[str, int], stamps: Mapping[str, str]
) -> Iterator[Measured]:
    """The entries in a table of `cwbench.records.values`, by kind.

    Args:
        table: with a row for each entry.
        places: of the runs by name; entries of others are left out.
        stamps: of the runs by name; entries that were read from another file are left out.
    """
    record, names = _encoded(table, "record")
    stamp, texts = _encoded(table, "stamp")
    number = {text: code for code, text in enumerate(texts)}
    current = np.array([number.get(stamps.get(name, ""), -1) for name in names], np.int64)
    place = np.array([places.get(name, -1) for name in names], np.int64)
    rows = np.flatnonzero((current[record] == stamp) & (place[record] >= 0))
    codes, kinds = _kinds(table)
    starts, sizes, numbers = _numbers(table["values"])
    floor, low = (_plain(table, name) for name in ("floor", "low_resolution"))
    rows = rows[np.argsort(codes[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(codes[rows])) + 1
    for part in np.split(rows, bounds) if len(rows) else ():
        yield Measured(
            kinds[int(codes[part[0]])], place[record[part]], floor[part].astype(np.float64),
            low[part].astype(np.bool_), starts[part], sizes[part], numbers,
        )  # fmt: skip


def _encoded(table: pa.Table, name: str) -> tuple[Codes, list[Any]]:
    """A column as codes into the values that it has."""
    column = table[name].combine_chunks().dictionary_encode()
    return column.indices.to_numpy(zero_copy_only=False).astype(np.int64), (
        column.dictionary.to_pylist()
    )


def _plain(table: pa.Table, name: str) -> NDArray[Any]:
    found: NDArray[Any] = table[name].to_numpy()
    return found


def _kinds(table: pa.Table) -> tuple[Codes, dict[int, Kind]]:
    """Of each row a code of its kind, and the kinds by code."""
    code, each = np.zeros(len(table), np.int64), []
    for name in Kind._fields:
        own, words = _encoded(table, name)
        each.append((own, words))
        code = np.unique(code * max(len(words), 1) + own, return_inverse=True)[1]
    kinds = {
        int(code[row]): Kind(*(words[own[row]] for own, words in each))
        for row in np.unique(code, return_index=True)[1]
    }
    return code, kinds


def _numbers(column: pa.ChunkedArray) -> tuple[Codes, Codes, Array]:
    """Where each row's numbers start among all, how many there are, and all of them."""
    binary = column.combine_chunks().cast(pa.large_binary())
    _, offsets, data = binary.buffers()
    ends = np.frombuffer(offsets, np.int64, len(binary) + 1, 8 * binary.offset) // 8
    count = int(ends[-1]) if len(binary) else 0
    return ends[:-1], np.diff(ends), np.frombuffer(data or b"", np.float64, count)
