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
VARIANTS = (
    "cot-fm (leak=0.05)",
    "cot-fm (compare=linear, leak=0.05)",
    "cot-fm (compare=observation, leak=0.05)",
)
PAPER, MARGINAL = "sinkhorn-paper@nfe=10", "w2sq-marginal-10000"


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
    rows = [row for row in rows if any(cell != "–" for cell in row[1:])]
    return markdown(["method", *(f"`{t}`" for t in tasks)], rows)


def nfe_table(results: Results, task: str, preset: str, grid: Sequence[str]) -> str:
    """`ew2sq` of the flows by NFE, and the paired difference of each to `fm`."""
    rows = []
    flows = [m for m in (*FLOWS, *VARIANTS) if results.chosen(task, m, preset)]
    for method in flows:
        cells = [shown(results.interval(task, method, preset, "ew2sq", n)) for n in grid]
        rows.append([f"`{method}`", *cells])
    for method in flows[1:]:
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


def paper_table(results: Results) -> str:
    """The paper's number by seed, with mean and deviation over seeds."""
    records = [r for r in results.records if r.preset == "paper" and PAPER in r.metrics]
    rows = []
    for label in sorted({r.label for r in records}):
        entries = [r.metrics[PAPER] for r in records if r.label == label]
        values = np.array([entry["value"] for entry in entries])
        spread = f"{values.std(ddof=1):.4f}" if len(values) > 1 else "–"
        by_seed = ", ".join(f"{value:.4f}" for value in values)
        floor = f"{entries[0]['floor']:.4f}"
        rows.append([f"`{label}`", by_seed, f"{values.mean():.4f}", spread, floor])
    return markdown(["method", "seeds", "mean", "deviation", "floor"], rows)


def marginal_table(results: Results, task: str, preset: str) -> str:
    """W_2^2 of the x-marginal of every seed, and the mean."""
    rows = []
    for method in FLOWS:
        cells = []
        for nfe in ("1", "adaptive"):
            entries = [
                r.metrics.get(f"{MARGINAL}@nfe={nfe}", {}).get("value")
                for r in results.chosen(task, method, preset)
            ]
            values = np.array([value for value in entries if value is not None])
            told = ", ".join(f"{value:.3f}" for value in values)
            cells.append(f"{values.mean():.3f} ({told})" if len(values) else "–")
        rows.append([f"`{method}`", *cells])
    return markdown(["method", "NFE 1", "adaptive"], rows)


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
    judged = sorted({r.task["name"] for r in results.records if r.preset == "standard"})
    print("\n## standard, NFE adaptive\n")
    print(main_table(results, judged, "standard"))
    print("\n## paper, sinkhorn-paper at Euler 10\n")
    print(paper_table(results))
    print(f"\n## eight-gaussians-moons, {MARGINAL}\n")
    print(marginal_table(results, "eight-gaussians-moons", "quick"))
    print("\n## diagnostics\n")
    for record in results.records:
        if record.diagnostics and record.seed == 0 and record.preset == "quick":
            print(record.task["name"], record.label, record.diagnostics)


if __name__ == "__main__":
    main()
