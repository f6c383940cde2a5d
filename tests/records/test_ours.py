"""The committed records of 0.1.0 after their move to new keys: not a number of theirs moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

RUNS = Path(__file__).parents[2] / "results" / "runs"
ENTRIES = 93
SHA256 = "27f0db7e307301ff73ad4e86b036c7d0f466ed804b58c5971ad6a5cbea9b40d8"
"""Of the numbers as 0.1.0 wrote them, taken before the move, of the records that are left."""


def numbers(runs: Path) -> Iterator[str]:
    """A line for each entry of the records that 0.1.0 made, whatever their keys and places."""
    for path in runs.glob("*/*/*/*/*/record.json"):
        run = json.loads(path.read_text())
        if run["environment"]["cwbench"] != "0.1.0":
            continue
        observations = hashlib.sha256((path.parent / "observations.parquet").read_bytes())
        task, method = run["task"], run["method"]
        about = [
            task["name"], task["changed"], method["name"], method["changed"], run["preset"],
            run["seed"], run["cost"], run["diagnostics"], observations.hexdigest(),
        ]  # fmt: skip
        for identifier, entry in run["metrics"].items():
            of_entry = [entry.get(name) for name in ("value", "low", "high", "plug_in", "floor")]
            yield json.dumps([*about, identifier, *of_entry], sort_keys=True)


def test_no_number_moved() -> None:
    lines = sorted(numbers(RUNS))
    assert len(lines) == ENTRIES
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == SHA256
