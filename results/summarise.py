"""Tables and figures of the committed records, as the README shows them.

    python results/summarise.py

It reads `results/runs` and prints Markdown; the figures go to `results/figures`. Intervals are over
seeds and observations, crossed (`cwbench.reporting.statistics`); differences are paired, since all
methods and seeds are judged on the same observations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cwbench.record import Record, iterate
from cwbench.reporting.figures import DPI, metric_against_nfe
from cwbench.reporting.statistics import Interval, crossed_interval

ROOT = Path(__file__).parent
CONTROLS, FLOWS = ("oracle", "oracle-gaussian"), ("fm", "cot-fm", "ot-fm")
METHODS = (*CONTROLS, *FLOWS, "cwgan", "knn", "linear-gaussian", "prior")


def observations(record: Record) -> pd.DataFrame:
    """The per-observation values of a record."""
    assert record.directory is not None
    table = pd.read_parquet(record.directory / "observations.parquet")
    return table.assign(seed=record.seed, nfe=table["nfe"].replace("", "one shot"))


class Results:
    """Committed records, by task, method label and preset."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.records = [r for r in records if r.status == "ok"]

    def chosen(self, task: str, label: str, preset: str) -> list[Record]:
        return [
            r
            for r in self.records
            if (r.task["name"], r.label, r.preset) == (task, label, preset)
            and not r.task["changed"]
        ]

    def values(
        self, task: str, label: str, preset: str, metric: str, nfe: str
    ) -> np.ndarray | None:
        """Values with shape (seeds, observations), or None."""
        tables = [observations(r) for r in self.chosen(task, label, preset)]
        if not tables:
            return None
        table = pd.concat(tables)
        table = table[(table["metric"] == metric) & table["nfe"].isin([nfe, "one shot"])]
        if table.empty:
            return None
        return table.pivot_table("value", "seed", "observation").to_numpy()

    def interval(self, *key: str) -> Interval | None:
        values = self.values(*key)
        return None if values is None else crossed_interval(values)


def shown(interval: Interval | None) -> str:
    """`0.123 ± 0.012`, to the digits that the interval carries."""
    if interval is None:
        return "–"
    digits = max(0, 1 - int(np.floor(np.log10(interval.half)))) if interval.half > 0 else 4
    return f"{interval.mean:.{digits}f} ± {interval.half:.{digits}f}"


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main_table(results: Results, tasks: Sequence[str], preset: str) -> str:
    """`ew2sq` at the NFE that is judged: a row a method, a column a task."""
    rows = [
        [f"`{m}`", *(shown(results.interval(t, m, preset, "ew2sq", "adaptive")) for t in tasks)]
        for m in METHODS
    ]
    return markdown(["method", *(f"`{t}`" for t in tasks)], rows)


def nfe_table(results: Results, task: str, preset: str, grid: Sequence[str]) -> str:
    """`ew2sq` of the flows by NFE, and the paired difference of each to `fm`."""
    rows = []
    for method in FLOWS:
        cells = [shown(results.interval(task, method, preset, "ew2sq", n)) for n in grid]
        rows.append([f"`{method}`", *cells])
    for method in FLOWS[1:]:
        differences = (difference(results, task, method, preset, nfe) for nfe in grid)
        rows += [[f"`{method}` − `fm`", *differences]]
    return markdown([task, *(f"NFE {n}" for n in grid)], rows)


def difference(results: Results, task: str, method: str, preset: str, nfe: str) -> str:
    """The paired difference to `fm`; bold where its interval excludes 0."""
    ours = results.values(task, method, preset, "ew2sq", nfe)
    fm = results.values(task, "fm", preset, "ew2sq", nfe)
    if ours is None or fm is None or ours.shape != fm.shape:
        return "–"
    interval = crossed_interval(ours - fm)
    text = shown(interval)
    return f"**{text}**" if interval.low > 0 or interval.high < 0 else text


def figure(results: Results, task: str, preset: str) -> None:
    """`ew2sq` of every method against NFE."""
    rows = []
    for method in METHODS[2:]:
        records = results.chosen(task, method, preset)
        if not records:
            continue
        floors = {
            i.partition("@nfe=")[2] or None: e["floor"]
            for i, e in records[0].metrics.items()
            if i.startswith("ew2sq")
        }
        for nfe, floor in floors.items():
            interval = results.interval(task, method, preset, "ew2sq", nfe or "one shot")
            if interval:
                rows.append(
                    {
                        "method": method,
                        "nfe": nfe,
                        "floor": floor,
                        "value": interval.mean,
                        "low": interval.low,
                        "high": interval.high,
                    }
                )
    if rows:
        drawn = metric_against_nfe(pd.DataFrame(rows), metric="ew2sq", title=task)
        (ROOT / "figures").mkdir(exist_ok=True)
        drawn.savefig(ROOT / "figures" / f"{task}-{preset}.png", dpi=DPI)


def main() -> None:
    results = Results(iterate(ROOT))
    tasks = sorted({r.task["name"] for r in results.records if r.preset == "quick"})
    print("## quick, NFE adaptive\n")
    print(main_table(results, tasks, "quick"))
    for task in tasks:
        print(f"\n## {task}, quick\n")
        print(nfe_table(results, task, "quick", ["1", "3", "10", "adaptive"]))
        figure(results, task, "quick")
    print("\n## paper, sinkhorn-paper at Euler 10\n")
    for record in results.records:
        if record.preset == "paper":
            entry = record.metrics["sinkhorn-paper@nfe=10"]
            print(record.label, record.task["changed"], record.seed, entry["value"], entry["floor"])
    print("\n## eight-gaussians-moons, standard, w2sq-marginal-10000\n")
    for record in results.records:
        if record.task["name"] == "eight-gaussians-moons" and record.preset == "standard":
            values = {
                i: e["value"] for i, e in record.metrics.items() if i.startswith("w2sq-marginal")
            }
            print(record.label, record.seed, values)
    print("\n## diagnostics\n")
    for record in results.records:
        if record.diagnostics and record.seed == 0 and record.preset == "quick":
            print(record.task["name"], record.label, record.diagnostics)


if __name__ == "__main__":
    main()
