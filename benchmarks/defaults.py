"""The search behind the default settings: the same number of trials for each family, on `dev`.

    python -m benchmarks.defaults RESULTS --output results/defaults.csv

Each trial is a run of preset `quick` on the held-out observations of split `dev`, which no other
record is judged on: defaults are not chosen on the observations they are later judged on. Every
family has four trials of each of two settings, the others at their defaults, on vectors and on
images; it takes the value with the lowest mean over tasks of `scaled`, its `ew2sq` over that of
`prior`. The couplings share what is found for `fm`, and have trials for settings of their own. What
is on record in RESULTS or stands in the output for the same version of a method is not run again,
so that a search may be stopped, and goes on anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

import cwbench
from cwbench import registry

COMMITTED = Path(__file__).parents[1] / "results" / "defaults.csv"
TASKS = ("gaussian-mixture-informative", "deblurring")
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
    "cwgan": (("critic_steps", CRITIC_STEPS), ("learning_rate", RATES)),
    "cwgan-full": (("penalty", WEIGHTS), ("learning_rate", RATES)),
    "cwgan-pair": (("penalty", WEIGHTS), ("learning_rate", RATES)),
    "rcgan": (("adversarial", WEIGHTS), ("learning_rate", RATES)),
}


COLUMNS = ["method", "version", "setting", "value", "task", "status", "ew2sq"]
Trial = tuple[str, int, str, float, str]
"""Method, its version, setting, value, task."""


def trials(methods: Iterable[str], tasks: Iterable[str]) -> Iterator[Trial]:
    """Those of a search, the baseline of each task first."""
    tasks = list(tasks)
    for method in ["prior", *methods]:
        version = registry.load("method", method).cls.info.version
        for setting, values in GRIDS.get(method, (("", (0.0,)),)):
            yield from ((method, version, setting, v, task) for v in values for task in tasks)


def carried_out(some: Sequence[Trial], results: Path, jobs: int | None) -> list[dict[str, object]]:
    """Rows of trials of one method and one setting, measured at the NFE that is judged."""
    method, version, setting, _, _ = some[0]
    values: dict[str, list[float]] = {}
    for *_, value, task in some:
        values.setdefault(task, []).append(value)
    rows: list[dict[str, object]] = []
    for lacking in {tuple(each) for each in values.values()}:
        chosen = {f"method.{setting}": list(lacking)} if setting else {}
        tasks = [task for task, each in values.items() if tuple(each) == lacking]
        for record in cwbench.sweep(
            tasks, method, settings=chosen | {"preset.split": "dev"}, nfe=["adaptive"],
            results=results, jobs=jobs,
        ):  # fmt: skip
            value = record.method["params"].get(setting, 0.0)
            ids = [i for i in record.metrics if i.startswith("ew2sq")]
            found = record.metrics[ids[0]].value if ids else None
            cells = (method, version, setting, value, record.task["name"], record.status, found)
            rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def scaled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column by which a value is chosen."""
    prior = table[table["method"] == "prior"].set_index("task")["ew2sq"]
    return table.assign(scaled=table["ew2sq"] / table["task"].map(prior))


def main() -> None:
    """Run what is lacking and write the table, after each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, default=COMMITTED)
    parser.add_argument("--task", nargs="*", default=TASKS)
    parser.add_argument("--method", nargs="*", default=list(GRIDS))
    parser.add_argument("--jobs", type=int)
    arguments = parser.parse_args()
    wanted = list(trials(arguments.method, arguments.task))
    table = pd.DataFrame(columns=COLUMNS)
    if arguments.output.exists():
        table = pd.read_csv(
            arguments.output, keep_default_na=False, na_values={"ew2sq": [""], "scaled": [""]}
        )
    known = set(table[COLUMNS[:5]].itertuples(index=False, name=None))
    for _, group in groupby(wanted, key=lambda trial: (trial[0], trial[2])):
        if lacking := [trial for trial in group if trial not in known]:
            rows = pd.DataFrame(carried_out(lacking, arguments.results, arguments.jobs))
            table = scaled(pd.concat([table, rows]) if len(table) else rows)
            table.to_csv(arguments.output, index=False, float_format="%.6g")
    means = (  # what diverged is no choice
        table.fillna({"scaled": float("inf")})
        .groupby(["method", "version", "setting", "value"], sort=False)["scaled"]
        .mean()
    )
    print(table.to_string(index=False), means.to_string(), sep="\n\n")


if __name__ == "__main__":
    main()
