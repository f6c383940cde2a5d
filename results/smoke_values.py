"""A few numbers of every built-in, as JSON; `results.numbers` runs this file over a checkout.

It uses the package through its public functions alone, so that it runs over older ones:

* a method is fitted on `gaussian-mixture` at `smoke`, seed 0, or on `digits` if it needs stored
  images; flows are sampled at NFE 3;
* a task is answered by `knn` and by `oracle`;
* a metric measures `prior`, whose draws no training decides, on the first task that offers it.

A number is labelled "METHOD TASK METRIC" and, beside the value, "plug_in" or "floor". What cannot be had
offline or at this size (Inception, CIFAR-10, a folder of images) has a version and no number.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import cwbench
from cwbench import registry
from cwbench.errors import CwbenchError

VECTORS, IMAGES, CLASSES = "gaussian-mixture", "deblurring", "digits"
PARTS = ("value", "plug_in", "floor")


class Job(NamedTuple):
    """One run, and whose numbers it gives: those of a metric, or of the task's main one."""

    task: str
    method: str
    owner: tuple[str, str]
    metric: str | None = None


def main() -> None:
    """Print versions and values of the built-ins of the package that is imported."""
    classes = {
        (p.kind, p.name): p.load() for p in registry.plugins() if p.distribution == "cwbench"
    }
    with tempfile.TemporaryDirectory() as results:
        found = values(list(jobs(classes)), results)
    versions = {" ".join(key): cls.info.version for key, cls in classes.items()}
    json.dump({"package": cwbench.__file__, "versions": versions, "values": found}, sys.stdout)


def jobs(classes: dict[tuple[str, str], Any]) -> Iterable[Job]:
    """The runs that give every built-in its numbers; those that wait for a classifier together."""
    for (kind, name), cls in classes.items():
        owner = (kind, name)
        if kind == "method":
            yield Job(CLASSES if "stored-images" in cls.info.needs else VECTORS, name, owner)
        elif kind == "task" and "root" not in cls.Params.model_fields:  # its data lie elsewhere
            yield from (Job(name, method, owner) for method in ("knn", "oracle"))
        elif kind == "metric":
            yield Job(_offering(cls.info.needs), "prior", owner, name)


def values(wanted: list[Job], results: str) -> dict[str, dict[str, float]]:
    """The numbers of each owner by label, from two runs at a time."""
    groups = defaultdict(list)
    for job in wanted:
        alone = job.owner if job.task == VECTORS and job.metric is None else ()
        groups[job.task, alone].append(job)  # what shares a record or a classifier runs in turn
    ordered = sorted(groups.items(), key=lambda each: each[0][0] != CLASSES)
    found: dict[str, dict[str, float]] = {}
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), get_context("spawn")) as pool:
        for done in pool.map(_run_all, [jobs for _, jobs in ordered], [results] * len(ordered)):
            for owner, numbers in done:
                found.setdefault(" ".join(owner), {}).update(numbers)
    return found


def _offering(needs: frozenset[str]) -> str:
    if "labelled-images" in needs:
        return CLASSES
    return IMAGES if "image" in needs else VECTORS


def _run_all(wanted: list[Job], results: str) -> list[tuple[tuple[str, str], dict[str, float]]]:
    return [(job.owner, _numbers(job, results)) for job in wanted]


def _numbers(job: Job, results: str) -> dict[str, float]:
    flow = registry.load_method(job.method).info.nfe
    metric = job.metric or registry.load_task(job.task).info.main_metric
    opt_in = registry.load_metric(metric).info.opt_in
    try:
        record = cwbench.run(
            job.task, job.method, "smoke", 0, nfe=[3] if flow else None, results=results,
            metrics=[metric] if opt_in else (), device="cpu", figures=False, quiet=True,
        )  # fmt: skip
    except CwbenchError:
        return {}
    entries = {name.partition("@")[0]: entry for name, entry in record.metrics.items()}
    entry = next((e for name, e in entries.items() if _is(name, metric)), None)
    if entry is None:
        return {}
    label = f"{job.method} {job.task} {metric}"
    return {
        label if part == "value" else f"{label} {part}": float(entry[part])
        for part in PARTS
        if entry[part] is not None
    }


def _is(identifier: str, metric: str) -> bool:
    """Whether an id is of that metric; the number of images may follow."""
    rest = identifier.removeprefix(metric)
    return identifier.startswith(metric) and (not rest or rest[1:].isdigit())


if __name__ == "__main__":
    main()
