"""How soon 10,000 records are read: one by one, and through the index beside them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.timing import Measurement, Ratio, medians
from cwbench.records.frame import COLUMNS, load_records, rows
from cwbench.records.index import NAME
from cwbench.records.record import key_of
from cwbench.records.runs import iterate

RECORDS, SEEDS, METHODS = 10_000, 5, 10
REPEATS = 2
NFE = (1, 3, 10, "adaptive")
TEMPLATE = Path(__file__).parents[1] / "results" / "runs"


def template(nfe: Collection[object] = NFE) -> dict[str, Any]:
    """A record of a real run with every metric that it has at these NFEs, not sealed."""
    path = min(TEMPLATE.glob("gaussian-mixture/fm/quick/*/seed-0/record.json"))
    content: dict[str, Any] = json.loads(path.read_text())
    numbers = {str(each) for each in nfe}
    kept = {n: e for n, e in content["metrics"].items() if n.partition("@nfe=")[2] in numbers}
    del content["seal"]
    costs = {n: c for n, c in content["cost"]["sampling"].items() if n in numbers}
    return content | {"metrics": kept, "cost": content["cost"] | {"sampling": costs}}


def fill(results: Path, count: int = RECORDS) -> None:
    """Write `count` records that differ in method, settings, seed and values."""
    content = template()
    for index in range(count):
        setting, seed = divmod(index, SEEDS)
        method, key = f"method-{setting % METHODS}", key_of({"setting": setting})
        content["method"] |= {"name": method, "changed": {"beta": setting}}
        content |= {"seed": seed, "fit_key": key, "run_id": f"{key[:16]}-{seed}"}
        for entry in content["metrics"].values():
            entry["value"] = entry["value"] * 1.0001
        place = results / "runs" / "gaussian-mixture" / method / "quick" / key[:16]
        directory = place / f"seed-{seed}"
        directory.mkdir(parents=True)
        (directory / "record.json").write_text(json.dumps(content, indent=1))


def one_by_one(results: Path) -> Measurement:
    """Seconds to read and check every file."""

    def seconds() -> float:
        started = time.perf_counter()
        table = pd.DataFrame([r for record in iterate(results) for r in rows(record)])
        assert len(table) == RECORDS * len(template()["metrics"])
        return time.perf_counter() - started

    return seconds


def indexed(results: Path, *, warm: bool) -> Measurement:
    """Seconds of `load_records` with the index there or not."""

    def seconds() -> float:
        if not warm:
            (results / NAME).unlink(missing_ok=True)
        started = time.perf_counter()
        table = load_records(results)
        assert list(table.columns) == [*COLUMNS, "origin"]
        assert len(table) == RECORDS * len(template()["metrics"])
        return time.perf_counter() - started

    return seconds


def ratios() -> Iterator[Ratio]:
    """Seconds of `load_records`, against reading file by file."""
    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory)
        fill(results)
        seconds = medians(
            {
                "file by file": one_by_one(results),
                "without index": indexed(results, warm=False),
                "index warm": indexed(results, warm=True),
            },
            REPEATS,
        )
    warm, plain = seconds["index warm"], seconds["file by file"]
    about = f"{RECORDS} records; file by file {plain:.1f} s"
    yield Ratio("load_records, index warm", warm, 3.0, about, unit=" s")
    cold = seconds["without index"] / plain
    yield Ratio("load_records that writes the index / file by file", cold, 2.0, about)
