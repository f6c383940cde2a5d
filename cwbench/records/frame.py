"""Records as a tidy table: a row per run, metric and NFE."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cwbench.records import index
from cwbench.records.record import Record
from cwbench.records.runs import read_placed, walked
from cwbench.records.shipped import sources

COLUMNS = (
    "run_id", "task", "task_version", "task_params", "method", "method_version", "method_params",
    "label", "preset", "track", "seed", "status", "metric", "nfe", "value", "low", "high",
    "plug_in", "floor", "resolution", "p90", "direction", "n_observations", "n_samples",
    "metric_version", "directory",
)  # fmt: skip


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """One row for each metric of a record, or a single one where there is none."""
    common = {
        "run_id": record.run_id,
        "task": record.task["name"],
        "task_version": record.task["version"],
        "task_params": json.dumps(record.task["params"], sort_keys=True),
        "method": record.method["name"],
        "method_version": record.method["version"],
        "method_params": json.dumps(record.method["params"], sort_keys=True),
        "label": record.label,
        "preset": record.preset,
        "track": record.track,
        "seed": record.seed,
        "status": record.status,
        "directory": str(record.directory),
    }
    measured: Mapping[str, Mapping[str, Any]] = record.metrics or {"": {}}
    for identifier, entry in measured.items():
        metric, _, nfe = identifier.partition("@nfe=")
        values = {k: v for k, v in entry.items() if k in COLUMNS}
        yield (
            common
            | {"metric": metric or None, "nfe": nfe or None}
            | values
            | {"metric_version": entry.get("version")}
        )


def load_records(results: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Tidy records, a row per run and metric; `nfe` is a string such as "10" or "adaptive".

    The column `origin` says `yours`, or `cwbench` for the records that come with the package. A run
    that both have is given once, yours.

    Args:
        results: the results directory. Default: `$CWBENCH_RESULTS`, else `./cwbench-results`, and
            the records that come with the package.
    """
    frames: list[pd.DataFrame] = []
    for place, origin, home in sources(results):
        frame, problems = table(place, home)
        for problem in problems.values():
            warnings.warn(f"skipped: {problem}", stacklevel=2)
        known = {run_id for earlier in frames for run_id in earlier["run_id"]}
        frames.append(frame[~frame["run_id"].isin(known)].assign(origin=origin))
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def table(results: Path, home: Path | None = None) -> tuple[pd.DataFrame, dict[Path, str]]:
    """The tidy records, and by directory what is wrong with those that cannot be read.

    `home` is where the index is, if not in the results directory.
    """
    places = walked(results)
    found, problems = index.table(results, places.runs, _rows_in, COLUMNS, home)
    return found, places.strays | problems


def _rows_in(directory: Path) -> list[dict[str, Any]]:
    record = read_placed(directory)
    return list(rows(record)) if record else []
