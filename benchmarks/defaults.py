"""The search behind the default settings: the same number of trials for each family, on `dev`.

    python -m benchmarks.defaults RESULTS --output results/defaults.csv

Each trial is a run of preset `quick` on the held-out observations of split `dev`, which no other
record is judged on: defaults are not chosen on the observations they are later judged on. A family
takes the setting with the lowest mean over tasks of `scaled`, its `ew2sq` over that of `prior`.
The flows share the learning rate found for `fm`; a coupling is given trials for its own setting.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

import cwbench
from cwbench import Record

TASKS = ("gaussian-mixture-informative", "deblurring", "two-moons")
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
WEIGHTS = (0.01, 0.1, 1.0, 10.0)
GRIDS: dict[str, tuple[str, tuple[float, ...]]] = {
    "fm": ("learning_rate", RATES),
    "cwgan": ("penalty", WEIGHTS),
    "c2ot": ("r_tar", (0.005, 0.01, 0.02, 0.05)),
    "sinkhorn-fm": ("epsilon", (0.01, 0.03, 0.1, 0.3)),
    "w-cfm": ("epsilon", (0.5, 1.0, 2.0, 4.0)),
    "diffusion": ("learning_rate", RATES),
    "npe": ("learning_rate", RATES),
    "energy-generator": ("learning_rate", RATES),
    "cwgan-full": ("penalty", WEIGHTS),
    "cwgan-pair": ("penalty", WEIGHTS),
    "rcgan": ("adversarial", WEIGHTS),
}


def trials(method: str, results: Path, tasks: Iterable[str], jobs: int | None) -> list[Record]:
    """The runs of one method on `dev`, measured at the NFE that is judged."""
    setting, values = GRIDS.get(method, ("", ()))
    settings = {f"method.{setting}": list(values)} if values else {}
    return cwbench.sweep(
        list(tasks),
        method,
        settings=settings | {"preset.split": "dev"},
        nfe=["adaptive"],
        results=results,
        jobs=jobs,
        quiet=True,
    )


def row(record: Record) -> dict[str, object]:
    """What a trial came to."""
    method = record.method["name"]
    setting = GRIDS[method][0] if method in GRIDS else ""
    value = next((e["value"] for i, e in record.metrics.items() if i.startswith("ew2sq")), None)
    return {
        "method": method,
        "setting": setting,
        "value": record.method["params"].get(setting),
        "task": record.task["name"],
        "status": record.status,
        "ew2sq": value,
    }


def main() -> None:
    """Run all trials and write their table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, default=Path("results/defaults.csv"))
    parser.add_argument("--task", nargs="*", default=TASKS)
    parser.add_argument("--method", nargs="*", default=list(GRIDS))
    parser.add_argument("--jobs", type=int)
    arguments = parser.parse_args()
    table = pd.DataFrame(
        [
            row(record)
            for method in ["prior", *arguments.method]
            for record in trials(method, arguments.results, arguments.task, arguments.jobs)
        ]
    )
    prior = table[table["method"] == "prior"].set_index("task")["ew2sq"]
    table = table[table["method"] != "prior"]
    table["scaled"] = table["ew2sq"] / table["task"].map(prior)
    table.to_csv(arguments.output, index=False, float_format="%.4g")
    means = table.groupby(["method", "setting", "value"], sort=False)["scaled"].mean()
    print(table.to_string(index=False), means.to_string(), sep="\n\n")


if __name__ == "__main__":
    main()
