"""The table of a record: a row a metric, a column an NFE, and how to read it."""

from __future__ import annotations

import math
from io import StringIO
from typing import Any

from rich.console import Console

from cwbench.records.below import INDEPENDENT, errors_below
from cwbench.records.digits import pair
from cwbench.records.entry import Entry
from cwbench.records.record import Record
from cwbench.records.schema import brief, shown
from cwbench.records.text_table import Heading, TextTable

WIDTH = 160
REASON = 2000
"""Characters of the reason of a failure."""

SCALES_APART = "x_scales_apart"
GAUSSIAN_GAP = "task_gaussian_gap"
LEAST_GAP = 0.10
"""Below it a task is nearly Gaussian (`cwbench.judging.difficulty`)."""
"""The diagnostic that says by which factor the scales of x differ, where that hides some."""


def run_table(record: Record, width: int = WIDTH) -> str:
    """The metrics of a record by NFE with their floors, what its fit said, where its files are.

    Where `width` characters are not enough, columns are left out and named.
    """
    lines = [title_of(record)]
    if record.error:
        lines.append(f"{record.status}: {brief(record.error, REASON)}")
    if record.metrics:
        lines += ["", _rendered(_by_nfe(record), width), reading(record), *_warnings(record)]
        failed = {name: entry.error for name, entry in record.metrics.items() if entry.error}
        lines += [f"{name} has no value: {brief(why, REASON)}" for name, why in failed.items()]
    facts = {k: v for k, v in record.diagnostics.items() if not isinstance(v, dict)}
    if facts:
        values = (brief(f"{name} {_number(value)}") for name, value in facts.items())
        lines += ["", "fit: " + ", ".join(values)]
    seconds = {k: v for k, v in record.cost.items() if k.endswith("_seconds")}
    if seconds:
        spent = (f"{name.removesuffix('_seconds')} {value:.1f}" for name, value in seconds.items())
        lines.append("seconds: " + ", ".join(spent))
    lines += ["", f"record:  {shown(str(record.directory))}/record.json"]
    if record.figures:
        lines.append(f"figures: {shown(str(record.directory))}/figures/")
        lines += [f"         {path.name}" for path in record.figures]
    return "\n".join(lines)


def _warnings(record: Record) -> list[str]:
    """What the values cannot show."""
    apart, gap = (record.diagnostics.get(name) for name in (SCALES_APART, GAUSSIAN_GAP))
    told = below_exact(record)
    if apart:
        told.append(
            f"warning: coordinates of x differ in scale by a factor of {apart:.3g}: distances in "
            "the task's units\nhardly see the smaller ones. Have the task measure x in units of "
            "like size, or see `cwbench.task.UnitParams`."
        )
    if isinstance(gap, float) and gap < LEAST_GAP:
        told.append(
            f"warning: nearly Gaussian: the gap is {gap:.3f}, below {LEAST_GAP:.2f}: two moments "
            "are nearly the answer,\nand leaderboards give these settings of the task no vote."
        )
    return told


def below_exact(record: Record) -> list[str]:
    """The warning that its main metric lies below what exact draws score, if it does."""
    main = record.task["main_metric"]
    found = {i: errors_below(e) for i, e in record.metrics.items() if i.partition("@")[0] == main}
    worst = max(found, key=found.__getitem__, default="")
    if not worst or not found[worst]:
        return []
    return [
        f"warning: {worst} lies {found[worst]:.1f} standard errors below 0, what exact draws "
        f"score: {INDEPENDENT}"
    ]


def _by_nfe(record: Record) -> TextTable:
    """One row a metric, those that never rank below a rule; one column an NFE."""
    heads, rows, ranking = cells_by_nfe(record)
    main = f"NFE {record.task.get('main_nfe')}"
    spared = SPARED | {main if main in heads else heads[1]: 0}
    table = TextTable([
        Heading(head, right=bool(place), spare=spared.get(head, place))
        for place, head in enumerate(heads)
    ])  # fmt: skip
    for place, row in enumerate(rows, start=1):
        table.add(row)
        if place == ranking < len(rows):
            table.end_section()
    return table


SPARED = {"metric": 0, "resolution": 99, "floor": 98}
"""What goes first where room is short; else the NFE from the right, but not the main one."""


def cells_by_nfe(record: Record) -> tuple[list[str], list[list[str]], int]:
    """Heads, rows of texts, and how many of the rows may rank; those come first, the main on top.

    A row is a metric, a column an NFE.
    """
    cells: dict[str, dict[str, Entry]] = {}
    for identifier, entry in record.metrics.items():
        metric, _, nfe = identifier.partition("@nfe=")
        cells.setdefault(metric, {})[nfe] = entry
    columns = sorted({nfe for row in cells.values() for nfe in row}, key=_nfe_order)
    last = {metric: row[next(reversed(row))] for metric, row in cells.items()}
    ordered = sorted(cells, key=lambda m: _place(m, last[m], record.task["main_metric"]))
    rows = []
    for metric in ordered:
        values = [_value(cells[metric].get(nfe)) for nfe in columns]
        entry = last[metric]
        name = metric if entry["debiased"] else f"{metric} *"
        rows.append([name, *values, _number(entry["floor"]), _resolution(entry)])
    heads = [f"NFE {nfe}" if nfe else "value" for nfe in columns]
    ranking = sum(entry["ranks"] for entry in last.values())
    return ["metric", *heads, "floor", "resolution"], rows, ranking


def _place(metric: str, entry: Entry, main: str | None) -> tuple[bool, bool, bool, str]:
    """Main metric, other ranking ones, never-ranking ones; debiased ones first in each."""
    return metric != main, not entry["ranks"], not entry["debiased"], metric


def _nfe_order(nfe: str) -> float:
    return float(nfe) if nfe.isdigit() else float("inf")


def _value(entry: Entry | None) -> str:
    if entry is None or entry["value"] is None:
        return "-"
    if entry["low"] is None:
        return f"{entry['value']:.3g}"
    half = (entry["high"] - entry["low"]) / 2
    value, plus_minus = pair(entry["value"], half)
    above, below = entry["high"] - entry["value"], entry["value"] - entry["low"]
    if math.isclose(below, above, rel_tol=1e-3):
        return f"{value} ±{plus_minus}"
    digits = len(value.partition(".")[2])
    return f"{value} +{above:.{digits}f} -{below:.{digits}f}"


def reading(record: Record) -> str:
    """How to read the table, in up to three lines."""
    entries = record.metrics.values()
    entry = next(iter(entries))
    m, n = entry["n_observations"], entry["n_samples"]
    if entry.get("unit") == "images":
        return _reading_of_images(record)
    raw = any(not e["debiased"] for e in entries)
    below = any(not e["ranks"] for e in entries)
    return "".join(
        [
            f"mean over {m} observations, {n} samples a side, ± 95 % interval; ",
            "debiased: 0 is a perfect sampler.\n",
            "floor: what exact draws score before debiasing",
            "; * not debiased: a perfect sampler scores its floor." if raw else ".",
            "\nbelow the rule: shown, never ranked by." if below else "",
        ]
    )


def _reading_of_images(record: Record) -> str:
    """How to read the table of a task of labelled images."""
    entries = record.metrics.values()
    k = max(entry["n_observations"] for entry in entries)
    sizes = sorted({entry["n_samples"] for entry in entries})
    return (
        f"{' or '.join(map(str, sizes))} images; ± is a 95 % interval over {k} "
        "classes, where a value is a mean over them.\nfloor: what real images of the other part "
        "score; * biased in the number of images, or a share: a perfect sampler scores its "
        "floor.\nbelow the rule: shown, never ranked by."
    )


def title_of(record: Record) -> str:
    """Task, method, preset, seed and status in a line."""
    settings = record.task["changed"]
    task = record.task["name"] + "".join(f" {k}={v}" for k, v in settings.items())
    where = f"{brief(task)} / {brief(record.label)} / {record.preset} / seed {record.seed}"
    return f"{where}: {record.status}"


def _rendered(table: TextTable, width: int) -> str:
    text = StringIO()
    Console(file=text, width=width, force_terminal=False).print(table)
    return text.getvalue().rstrip()


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _resolution(entry: Entry) -> str:
    resolution = entry.get("resolution")
    if resolution is None:
        return ""
    return f"{resolution:.2f}{' low' if entry.get('low_resolution') else ''}"
