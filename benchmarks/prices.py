"""What a cell of the leaderboard costs: core-minutes of one run, by task and method.

    python -m benchmarks.prices RESULTS --preset standard

The mean over seeds of the processor's seconds on record: fit, diagnosis, sampling at every NFE,
metrics. Runs of before these were recorded are left out; one that was resumed after a stop counts
from there on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from cwbench.records.runs import iterate


def prices(results: Path, preset: str) -> pd.DataFrame:
    """Core-minutes with a row for each method and a column for each task, and how many runs."""
    spent = [
        (record.task["name"], record.method["name"], record.cost["processor_seconds"] / 60)
        for record in iterate(results)
        if record.preset == preset
        and record.status == "ok"
        and "processor_seconds" in record.cost
        and not record.task["changed"]
        and not record.method["changed"]
        and record.track == "fixed"
    ]
    return pd.DataFrame(spent, columns=["task", "method", "core_minutes"])


def main() -> None:
    """Print the list and its sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--preset", default="standard")
    arguments = parser.parse_args()
    found = prices(arguments.results, arguments.preset)
    if found.empty:
        sys.exit(
            f"{arguments.results}: no run at preset {arguments.preset!r} with default settings "
            "says what it cost (cost.processor_seconds, on record since 0.2.0); another preset is "
            "--preset quick"
        )
    table = found.pivot_table(index="method", columns="task", values="core_minutes")
    print(table.sort_values(table.columns[0]).to_string(float_format="{:.2f}".format, na_rep=""))
    told = f"all {len(found)} runs with default settings at preset {arguments.preset!r}"
    print(f"\n{told}: {found['core_minutes'].sum() / 60:.2f} core-hours")


if __name__ == "__main__":
    main()
