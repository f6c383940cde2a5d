"""`RESULTS/.index.parquet`: the rows of all records in one file, so that readers start at once.

Derived and safe to delete. The rows of a record are taken from it only while `record.json` is the
very file they were read from (inode, size, time of change); what is new or changed is read again,
what is damaged is read, and named, every time.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cwbench.errors import CorruptFileError
from cwbench.machine.files import contents, write_atomically
from cwbench.machine.seals import BLANK, is_sealed, sealed
from cwbench.version import VERSION

NAME = ".index.parquet"
LAYOUT = f"cwbench {VERSION}, layout 2"
"""Rows that another version wrote, or in another layout, are made again."""

SEAL_START = b'"sha256": "'

FLOATS = ("value", "low", "high", "plug_in", "floor", "resolution", "p90")
INTEGERS = (
    "task_version", "method_version", "seed", "n_observations", "n_samples", "metric_version",
)  # fmt: skip
TEXT = pd.StringDtype(na_value=math.nan)
"""What pandas 3 calls "str": before, that word made text of what is missing."""
KINDS = {pa.string(): TEXT, pa.large_string(): TEXT}

ORIGIN = ("record", "stamp")
"""Where rows come from: the run's directory below the results, and the file as it was then."""

RowsOf = Callable[[Path], Iterable[Mapping[str, Any]]]


def table(
    results: Path,
    directories: Iterable[Path | str],
    rows_of: RowsOf,
    columns: tuple[str, ...],
    home: Path | None = None,
) -> tuple[pd.DataFrame, dict[Path, str]]:
    """The rows of all records, and what is wrong with those that cannot be read.

    Args:
        results: the results directory, which holds the index.
        directories: of the runs below it, in the order wanted.
        rows_of: the rows of the record in a directory; what a damaged one raises becomes a problem.
        columns: of a row.
        home: of the index, where the results directory itself is not to be written.
    """
    stamps, unnamed = stamped(results, directories)
    place = (home or results) / NAME
    kept = _read(place, columns)
    stored = len(kept)
    kept = kept[kept["record"].map(stamps) == kept["stamp"]]
    known = set(kept["record"].unique())
    fresh, problems = _rows((name for name in stamps if name not in known), results, rows_of)
    for row in fresh:
        row["stamp"] = stamps[row["record"]]
    complete = pd.concat([kept, _frame(fresh, columns)]) if fresh else kept
    if fresh or len(kept) != stored:
        write_sealed(place, complete, LAYOUT)
    return _presented(complete, results, list(stamps), columns), unnamed | problems


def stamped(
    results: Path, directories: Iterable[Path | str]
) -> tuple[dict[str, str], dict[Path, str]]:
    """Runs with their stamps (`stamps_of`), and those whose place no table can name."""
    stamps = dict(stamps_of(results, directories))
    odd = [name for name in stamps if not _is_text(name)]
    problems = {results / name: f"{results / name} has a name that is no UTF-8" for name in odd}
    return {name: stamps[name] for name in stamps if name not in odd}, problems


def _is_text(name: str) -> bool:
    """Whether a path is UTF-8; others reach Python with lone surrogates in them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def stamps_of(results: Path, directories: Iterable[Path | str]) -> Iterator[tuple[str, str]]:
    """Runs by their directory below the results, and their `record.json` as it is now."""
    root = str(results / "_").removesuffix("_")
    for directory in map(str, directories):
        with suppress(OSError):  # no record yet, or just removed
            stat = os.stat(f"{directory}/record.json")  # noqa: PTH116 - ten thousand of them
            name = directory.removeprefix(root).replace(os.sep, "/")
            yield name, f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"


def _rows(
    names: Iterable[str], results: Path, rows_of: RowsOf
) -> tuple[list[dict[str, Any]], dict[Path, str]]:
    fresh: list[dict[str, Any]] = []
    problems: dict[Path, str] = {}
    for name in names:
        try:
            fresh += [{**row, "record": name} for row in rows_of(results / name)]
        except (CorruptFileError, OSError) as error:
            problems[results / name] = str(error)
    return fresh, problems


def _frame(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows with types that do not depend on which of them there are."""
    frame = pd.DataFrame(rows, columns=[*(c for c in columns if c != "directory"), *ORIGIN])
    numbers = {*FLOATS, *INTEGERS}
    return frame.astype({c: "float64" if c in numbers else TEXT for c in frame.columns})


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The index, or an empty one where there is none that can be used."""
    empty = _frame([], columns)
    index = read_sealed(path, LAYOUT)
    return index if index is not None and index.dtypes.equals(empty.dtypes) else empty


def read_sealed(path: Path, layout: str) -> pd.DataFrame | None:
    """A derived table, or None where there is none that is whole and of this layout."""
    columns = read_sealed_columns(path, layout)
    return None if columns is None else columns.to_pandas(types_mapper=KINDS.get)


def read_sealed_columns(path: Path, layout: str) -> pa.Table | None:
    """The same without an object for every cell."""
    try:
        content = contents(path)
    except OSError:
        return None
    if not _sealed(content):
        return None
    columns = pq.ParquetFile(pa.BufferReader(content)).read()
    attributes = (columns.schema.metadata or {}).get(b"PANDAS_ATTRS", b"")
    start = json.dumps({"layout": layout})[:-1].encode()  # what follows is the seal
    return columns if attributes.startswith(start) else None


def write_sealed(path: Path, table: pd.DataFrame, layout: str, noise: Iterable[str] = ()) -> None:
    """Keep a derived table, as far as that is possible.

    Args:
        path: of the file.
        table: what to keep.
        layout: what a reader has to ask for.
        noise: columns that no compression makes smaller, and any makes slower to read.
    """
    content = BytesIO()
    table.attrs = {"layout": layout, "sha256": BLANK.decode()}
    compression: Any = {name: "none" if name in noise else "snappy" for name in table.columns}
    table.to_parquet(content, engine="pyarrow", index=False, compression=compression)
    with suppress(OSError):  # results that may only be read are read without an index
        write_atomically(path, sealed(content.getvalue(), SEAL_START))


def _sealed(content: bytes) -> bool:
    """Whether a file is as it was written; parquet would take some changed bytes for numbers."""
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return is_sealed(content, SEAL_START, max(0, footer))


def _presented(
    index: pd.DataFrame, results: Path, names: list[str], columns: tuple[str, ...]
) -> pd.DataFrame:
    """The rows in the order of `names`, whole numbers as such wherever none is missing."""
    position = index["record"].map({name: place for place, name in enumerate(names)})
    index = index.iloc[position.to_numpy().argsort(kind="stable")].reset_index(drop=True)
    places = {name: str(results / name) for name in names}
    kind = TEXT if _is_text(str(results)) else object
    index["directory"] = pd.Series([places[name] for name in index["record"]], dtype=kind)
    whole = {name: "int64" for name in INTEGERS if not index[name].isna().any()}
    index.attrs = {}
    return index[list(columns)].astype(whole)
