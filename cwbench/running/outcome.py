"""What has come of a run so far, what it lacks, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cwbench.metric import Metric
from cwbench.preset import NFE
from cwbench.records.entry import Entry
from cwbench.records.record import Record, Status
from cwbench.running.recorded import metric_id, suffixed
from cwbench.running.request import Request


@dataclass
class Outcome:
    """Handed from fitting to measuring and filled by both; however a run ends, it is recorded."""

    metrics: dict[str, Entry] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 by name of what is written and not on record yet (`cwbench.records.beside`)."""
    faults: dict[NFE | None, str] = field(default_factory=dict)
    """What is wrong with the samples at an NFE: how many numbers are not finite, and why."""
    begun: float = field(default_factory=time.process_time)

    def processor_seconds(self, kept: Record | None) -> float:
        """What this process computed since it began, on all cores, and before for what it kept.

        Unlike seconds by the clock it depends little on what else the machine does.
        """
        before = kept.cost.get("processor_seconds") if kept else None
        return (before or 0.0) + time.process_time() - self.begun


def missing(
    request: Request, previous: Record | None
) -> list[tuple[NFE | None, dict[str, Metric]]]:
    """For each NFE the metrics that are not on record in their present version and source."""
    if previous and previous.status == "skipped":
        return []
    entries = previous.metrics if previous and previous.status == "ok" else {}
    lacking = []
    for nfe in request.nfe:
        absent = {
            name: metric
            for name, metric in request.metrics.items()
            if not is_present(entries, request, metric, nfe)
        }
        if absent:
            lacking.append((nfe, absent))
    return lacking


def is_present(
    entries: Mapping[str, Entry], request: Request, metric: Metric, nfe: NFE | None
) -> bool:
    """Whether there is an entry of a metric in its present version and source."""
    entry = entries.get(metric_id(metric, nfe))
    if entry is None:
        return False
    source = request.metric_hashes.get(metric.info.name)
    return (entry["version"], entry["source_sha256"]) == (metric.info.version, source)


def verdict(request: Request, outcome: Outcome) -> tuple[Status, str | None]:
    """Ok, unless the main metric has no value at the NFE that is judged: it failed, or diverged."""
    main, info, metrics = request.task.main_metric, request.task.info, outcome.metrics
    identifiers = [i for i in metrics if i.partition("@")[0] == main]
    judged = [i for i in identifiers if i.endswith(f"@nfe={info.main_nfe}")] or identifiers
    lacking = [i for i in judged if metrics[i].value is None]
    for identifier in lacking:
        entry = metrics[identifier]
        if entry.error:  # a plug-in value without a value: the metric worked, the samples are bad
            status: Status = "failed" if entry.plug_in is None else "diverged"
            return status, f"{identifier}: {entry.error}"
    if lacking:
        faults = (f for nfe, f in outcome.faults.items() if suffixed(main, nfe) in lacking)
        fault = next(faults, "not finite")
        return "diverged", f"samples are {fault}; the main metric has no value"
    return "ok", None
