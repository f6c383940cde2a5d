"""What a sweep looks like as text: what it would do, and what came of it."""

from __future__ import annotations

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cwbench.records.record import Record
from cwbench.running.recorded import told_settings
from cwbench.running.request import Request
from cwbench.sweeping.announce import GOOD, counted, last_line
from cwbench.sweeping.job import run_name
from cwbench.sweeping.sweep import Past, Planned, Refused

Spent = Mapping[tuple[str, str, str], Sequence[Past]]
"""Past runs by task, method and preset."""


def plan_table(runs: Sequence[Planned | Refused], spent: Spent) -> str:
    """The matrix, a line a combination with its seeds by state, and how long it may take."""
    rows: dict[str, defaultdict[str, list[int]]] = {}
    for run in runs:
        name = run.name.rpartition(" / seed ")[0]
        row = rows.setdefault(name, defaultdict(list))
        row[_state(run)].append(run.seed)
    width = max(len(name) for name in rows)
    lines = [
        f"{name:<{width}}  " + "; ".join(f"{state}: seeds {_ranges(s)}" for state, s in row.items())
        for name, row in rows.items()
    ]
    to_do = [run for run in runs if isinstance(run, Planned) and run.to_do]
    count = f"{len(runs)} runs, {len(to_do)} to do"
    return "\n".join([*lines, "", count, *_estimate(to_do, spent)])


def _state(run: Planned | Refused) -> str:
    if isinstance(run, Refused):
        return f"cannot be set up ({last_line(run.reason)})"
    status = run.record.status if run.record else None
    if not run.to_do:
        return f"on record, {status}"
    return {None: "to do", "ok": "to complete or do anew"}.get(status, f"again after {status}")


def _ranges(seeds: Iterable[int]) -> str:
    """`0-2,5`."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def plan_json(runs: Sequence[Planned | Refused], spent: Spent) -> str:
    """The same as one JSON document: a list of runs, and seconds for each as far as known."""
    return json.dumps({"runs": [_planned_json(run, spent) for run in runs]}, indent=1)


def _planned_json(run: Planned | Refused, spent: Spent) -> dict[str, Any]:
    known: dict[str, Any] = {"name": run.name, "seed": run.seed, "to_do": run.to_do}
    if isinstance(run, Refused):
        return known | {"status": "failed", "error": run.reason}
    request, status = run.combination.request, run.record.status if run.record else None
    return known | {
        "run_id": request.run_id, "task": request.task.info.name,
        "method": request.method.info.name, "preset": request.preset_name,
        "settings": told_settings(request), "status": status,
        "seconds": _seconds(request, spent),
    }  # fmt: skip


def _names(request: Request) -> tuple[str, str, str]:
    return request.task.info.name, request.method.info.name, request.preset_name


def _seconds(request: Request, spent: Spent) -> float | None:
    """The median of past runs of the same task, method and preset, where there are any.

    Those with as many steps count, if there are some; else the time of a fit goes by its steps.
    """
    past, steps = spent.get(_names(request), ()), request.preset.steps
    alike = [each for each in past if each.steps == steps] or past
    return statistics.median(each.seconds(steps) for each in alike) if alike else None


def _estimate(to_do: Sequence[Planned], spent: Spent) -> list[str]:
    seconds, unknown = 0.0, Counter[str]()
    for run in to_do:
        request = run.combination.request
        took = _seconds(request, spent)
        if took is None:
            unknown[" / ".join(_names(request))] += 1
        seconds += took or 0.0
    known = len(to_do) - unknown.total()
    lines = []
    if known:
        parallel = to_do[0].parallel
        beside = f", {parallel} side by side" if parallel > 1 else ""
        duration = _duration(seconds / parallel)
        lines.append(f"fit and sampling: about {duration} for {known} runs{beside}, by past runs")
    lines += [
        f"time unknown, no past run: {name} ({number} runs)" for name, number in unknown.items()
    ]
    return lines


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def outcome_table(records: Sequence[Record]) -> str:
    """How many runs ended how, and for those without a result the last line of why."""
    lines = [f"{len(records)} runs: {counted(Counter(r.status for r in records))}"]
    for record in records:
        if record.status not in GOOD:
            name = run_name(record.__dict__)
            lines.append(f"  {record.status:<11} {name}: {last_line(record.error)}")
            if record.directory:
                lines.append(f"  {'':<11} {record.directory}/log.txt")
    return "\n".join(lines)
