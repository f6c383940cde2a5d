"""The search behind the default settings: the same number of trials for each family, on `dev`.

    python -m benchmarks.defaults RESULTS --output results/defaults.csv

Each trial is a run of preset `quick` on the held-out observations of split `dev`, which no other
record is judged on: defaults are not chosen on the observations they are later judged on. Every
family has four trials of each of two settings, the others at their defaults, on vectors and on
images; it takes the value with the lowest mean over tasks of `scaled`, its `ew2sq` over that of
`prior`. The couplings share what is found for `fm`, and have trials for settings of their own. What
is on record in RESULTS is not run again, so that a search may be stopped and goes on.
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
AVERAGES = (0.0, 0.9, 0.99, 0.999)
CRITIC_STEPS = (1, 2, 4, 8)
OT_BATCHES = (1, 2, 4, 8)
LEAKS = (0.0005, 0.001, 0.0025, 0.01)
Grid = tuple[str, tuple[float, ...]]
GRIDS: dict[str, tuple[Grid, Grid]] = {
    "fm": (("learning_rate", RATES), ("ema", AVERAGES)),
    "cot-fm": (("leak", LEAKS), ("ot_batch", OT_BATCHES)),
    "c2ot": (("r_tar", (0.005, 0.01, 0.02, 0.05)), ("ot_batch", OT_BATCHES)),
    "sinkhorn-fm": (("epsilon", (0.01, 0.03, 0.1, 0.3)), ("leak", LEAKS)),
    "sd-fm": (("leak", LEAKS), ("potential_steps", (500, 1500, 5000, 15000))),
    "w-cfm": (("epsilon", (0.5, 1.0, 2.0, 4.0)), ("ema", AVERAGES)),
    "diffusion": (("learning_rate", RATES), ("noise_mean", (-1.2, -0.5, 0.3, 1.0))),
    "npe": (("learning_rate", RATES), ("transforms", (1, 2, 3, 5))),
    "energy-generator": (("learning_rate", RATES), ("samples", (2, 4, 8, 16))),
    "cwgan": (("penalty", WEIGHTS), ("critic_steps", CRITIC_STEPS)),
    "cwgan-full": (("penalty", WEIGHTS), ("learning_rate", RATES)),
    "cwgan-pair": (("penalty", WEIGHTS), ("learning_rate", RATES)),
    "rcgan": (("adversarial", WEIGHTS), ("learning_rate", RATES)),
}


def trials(
    method: str, grid: Grid | None, results: Path, tasks: Iterable[str], jobs: int | None
) -> list[Record]:
    """The runs of one method on `dev`, measured at the NFE that is judged."""
    settings = {f"method.{grid[0]}": list(grid[1])} if grid else {}
    return cwbench.sweep(
        list(tasks),
        method,
        settings=settings | {"preset.split": "dev"},
        nfe=["adaptive"],
        results=results,
        jobs=jobs,
    )


def row(record: Record, setting: str) -> dict[str, object]:
    """What a trial came to."""
    value = next((e["value"] for i, e in record.metrics.items() if i.startswith("ew2sq")), None)
    return {
        "method": record.method["name"],
        "version": record.method["version"],
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
            row(record, setting)
            for method in ["prior", *arguments.method]
            for setting, values in GRIDS.get(method, (("", ()),))
            for record in trials(
                method,
                (setting, values) if values else None,
                arguments.results,
                arguments.task,
                arguments.jobs,
            )
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
