"""Records with values by observation, made from numbers whose truth is known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cwbench.boards.board import Board
from cwbench.boards.gathering import boards
from cwbench.records.shipped import YOURS, Source

Write = Callable[..., Path]
NOISE = np.random.default_rng(0).normal(size=(5, 40))


def judged(results: Path, **filters: Any) -> list[Board]:
    """The boards of a results directory."""
    return boards([Source(results, YOURS)], metrics=None, **filters).boards


def write_run(
    results: Path,
    values: Mapping[str, Sequence[float] | None],
    *,
    task: str = "t",
    method: str = "m",
    seed: int = 0,
    preset: str = "quick",
    status: str = "ok",
    error: str | None = None,
    changed: Mapping[str, Any] | None = None,
    task_part: Mapping[str, Any] | None = None,
    method_part: Mapping[str, Any] | None = None,
    version: int = 1,
    direction: str = "lower",
    source: str | None = None,
    ranked: Mapping[str, bool] | None = None,
    **parts: Any,
) -> Path:
    """A run with these values by metric id; its directory. None is a value that is missing."""
    fields = {
        "task": {
            "name": task, "version": 1, "params": {}, "changed": {}, "fingerprint": "f",
            "main_metric": "ew2sq", "main_nfe": "adaptive", "second_nfe": 3, "group": "",
            "x_shape": [2],
        } | dict(task_part or {}),
        "method": {
            "name": method, "version": 1, "params": {}, "changed": dict(changed or {}),
            "distribution": "cwbench 0.1.0", "role": "method",
        } | dict(method_part or {}),
        "preset": preset, "preset_values": {"training_pairs": 1, "steps": 1, "observations": 2,
                                            "samples": 2}, "track": "fixed",
    } | parts  # fmt: skip
    key = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    directory = results / "runs" / task / method / preset / key[:16] / f"seed-{seed}"
    directory.mkdir(parents=True, exist_ok=True)
    metrics, rows, sampling = {}, [], {}
    for identifier, found in values.items():
        name, _, nfe = identifier.partition("@nfe=")
        numbers = np.asarray(found if found is not None else [], dtype=float)
        mean = float(numbers.mean()) if len(numbers) else None
        metrics[identifier] = {
            "value": mean, "low": mean, "high": mean, "level": 0.95, "plug_in": None, "floor": 0.5,
            "direction": direction, "debiased": True, "ranks": (ranked or {}).get(name, True),
            "n_observations": len(numbers) or 40, "n_samples": 100, "version": version,
            "source_sha256": source,
        }  # fmt: skip
        sampling[nfe or "1"] = {"seconds": 1.0, "evaluations": 50}
        rows += [(i, name, nfe, value, np.nan, 0.5) for i, value in enumerate(numbers)]
    columns = ["observation", "metric", "nfe", "value", "plug_in", "floor"]
    pd.DataFrame(rows, columns=columns).to_parquet(directory / "observations.parquet", index=False)
    content = (directory / "observations.parquet").read_bytes()
    record = {
        "schema": 1, "run_id": f"{key[:16]}-{seed}", "fit_key": key, "status": status,
        "error": error, "settings": {}, "seed": seed, "metrics": metrics,
        "diagnostics": {"beta": 1.5},
        "cost": {"fit_seconds": 2.0, "sampling": sampling},
        "environment": {"cwbench": "0.1.0", "cpu": "made up"},
        "files": {"observations.parquet": hashlib.sha256(content).hexdigest()},
        "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:01+00:00",
    } | fields  # fmt: skip
    (directory / "record.json").write_text(json.dumps(record))
    return directory


@pytest.fixture
def write(results: Path) -> Write:
    """Write a run into the results directory."""
    return lambda values, **options: write_run(results, values, **options)


@pytest.fixture
def five(write: Write) -> dict[str, np.ndarray]:
    """Two equal methods, one clearly worse, one that failed on a seed, and the controls.

    The values by method with shape `(seeds, observations)`.
    """
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(1, 40))
    made = {}
    for name, centre in {"a": 1.0, "b": 1.0, "worse": 3.0, "fragile": 0.2}.items():
        noise = 0.1 * rng.normal(size=(5, 1)) + 0.3 * rng.normal(size=(5, 40))
        made[name] = centre + 0.2 * shared + noise
    for name, values in made.items():
        for seed, row in enumerate(values):
            if name == "fragile" and seed == 4:
                write({}, method=name, seed=seed, status="failed", error="boom\nfar away")
            else:
                ids = {"ew2sq@nfe=3": 1.5 * row, "ew2sq@nfe=adaptive": row}
                write(ids, method=name, seed=seed)
    for name, role, centre in (("prior", "lower", 8.0), ("oracle-gaussian", "upper", 0.5)):
        made[name] = centre + 0.2 * shared
        write({"ew2sq": made[name][0]}, method=name, method_part={"role": role})
    return made


def main_cells(board: Board) -> dict[str, Any]:
    """The cells of the column that ranks, by row, the best first."""
    return {row.label: board.cell(row, board.main) for row in board.ordered(board.main)}
