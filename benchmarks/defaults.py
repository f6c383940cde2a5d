"""The search behind the default settings: the same number of trials for each family, on `dev`.

    python -m benchmarks.defaults RESULTS --output results/defaults.csv

Each trial is a run of preset `quick` on the held-out observations of split `dev`, which no other
record is judged on: defaults are not chosen on the observations they are later judged on. A family
takes the setting with the lowest mean over tasks of `scaled`, its `ew2sq` over that of `prior`.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

import cwbench

TASKS = ("gaussian-mixture-informative", "two-moons", "deblurring")
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "fm": {"learning_rate": (3e-4, 1e-3, 3e-3)},
    "cwgan": {"penalty": (0.1, 1.0, 10.0)},
}


def trial(task: str, method: str, settings: dict[str, Any], results: Path) -> dict[str, Any]:
    """One run on `dev` and its main metric at the NFE that is judged."""
    nfe = ["adaptive"] if method == "fm" else None
    given = {f"method.{name}": value for name, value in settings.items()} | {"preset.split": "dev"}
    record = cwbench.run(
        task, method, settings=given, nfe=nfe, results=results, figures=False, quiet=True
    )
    values = [e["value"] for i, e in record.metrics.items() if i.startswith("ew2sq")]
    return {"method": method, "task": task, **settings, "status": record.status, "ew2sq": values[0]}


def main() -> None:
    """Run all trials and write their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, default=Path("results/defaults.csv"))
    arguments = parser.parse_args()
    rows = [
        trial(task, method, dict(zip(grid, values, strict=True)), arguments.results)
        for method, grid in GRIDS.items()
        for values in product(*grid.values())
        for task in TASKS
    ]
    prior = {task: trial(task, "prior", {}, arguments.results)["ew2sq"] for task in TASKS}
    table = pd.DataFrame(rows)
    table["scaled"] = table["ew2sq"] / table["task"].map(prior)
    table.to_csv(arguments.output, index=False, float_format="%.4g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
