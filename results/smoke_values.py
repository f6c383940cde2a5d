"""A few numbers of every built-in, as JSON; `results.numbers` runs this file over a checkout.

It uses the package through its public functions alone, so that it runs over older ones:

* a method is fitted on `gaussian-mixture` at `smoke`, seed 0, or on `digits` if it needs stored
  images; flows are sampled at NFE 3;
* a task is answered by `knn` and by `oracle`;
* a metric is called by itself: 40 draws of the prior against those of the posterior at 3
  observations of a task that offers it, or 40 stored images against 40 others.

A number of a run is labelled "METHOD TASK METRIC" and, beside the value, "plug_in" or "floor"; one
of a metric "TASK METRIC". What cannot be had offline or at this size (Inception, CIFAR-10, a folder
of images) has a version and no number.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

import cwbench
from cwbench import registry
from cwbench.errors import CwbenchError
from cwbench.images import to_x

VECTORS, IMAGES, CLASSES = "gaussian-mixture", "deblurring", "digits"
PARTS = ("value", "plug_in", "floor")
OBSERVATIONS, DRAWS, IMAGE_COUNT = 3, 40, 40


class Job(NamedTuple):
    """One run, or one metric by itself where there is no method, and whose numbers it gives."""

    task: str
    method: str
    owner: tuple[str, str]


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
        elif kind == "task":
            yield from (Job(name, method, owner) for method in ("knn", "oracle"))
        elif kind == "metric":
            yield Job(_offering(cls.info.needs), "", owner)


def values(wanted: list[Job], results: str) -> dict[str, dict[str, float]]:
    """The numbers of each owner by label, from two runs at a time."""
    groups = defaultdict(list)
    for job in wanted:
        alone = job.owner if job.task == VECTORS else ()
        groups[job.task, alone].append(job)  # what waits for one classifier runs in turn
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
    return [(job.owner, _of_run(job, results) if job.method else _of_metric(job, results))
            for job in wanted]  # fmt: skip


def _of_run(job: Job, results: str) -> dict[str, float]:
    flow = registry.load_method(job.method).info.nfe
    metric = registry.load_task(job.task).info.main_metric
    try:
        record = cwbench.run(
            job.task, job.method, "smoke", 0, nfe=[3] if flow else None, results=results,
            device="cpu", figures=False, quiet=True,
        )  # fmt: skip
    except CwbenchError:  # its data are not here
        return {}
    entry = next((e for name, e in record.metrics.items() if name.split("@")[0] == metric), None)
    if entry is None:
        return {}
    label = f"{job.method} {job.task} {metric}"
    return {
        label if part == "value" else f"{label} {part}": float(entry[part])
        for part in PARTS
        if entry[part] is not None
    }


def _of_metric(job: Job, results: str) -> dict[str, float]:
    """A metric by itself; none where it cannot be had here."""
    name = job.owner[1]
    task = cwbench.load_task(job.task)
    metric = registry.load_metric(name)(task)
    try:
        value = _on_images(metric, results) if job.task == CLASSES else _on_samples(metric)
    except CwbenchError:
        return {}
    return {f"{job.task} {name}": value} if math.isfinite(value) else {}


def _on_samples(metric: Any) -> float:
    """The mean over observations, each kind of metric called as its contract says."""
    task, generator = metric.task, torch.Generator().manual_seed(0)
    x, y = (part.double() for part in task.evaluation_set(OBSERVATIONS, generator))
    drawn = task.sample_joint(OBSERVATIONS * DRAWS, generator).x.double()
    a = drawn.reshape(OBSERVATIONS, DRAWS, *task.x_shape)
    b = task.sample_posterior(y.float(), DRAWS, generator).double()
    if isinstance(metric, cwbench.ReferenceMetric):
        return float(metric.distance(a, b).mean())
    if isinstance(metric, cwbench.SplitMetric):
        return float(metric.estimate(a, b, y).mean())
    if isinstance(metric, cwbench.PairMetric):
        return float(metric.score(a, x, y).mean())
    if isinstance(metric, cwbench.CalibrationMetric):
        return float((metric.ranks(b, x, y).double() @ metric.weights.double()).mean())
    metric.update(a.flatten(0, 1), b.flatten(0, 1))
    return float(metric.compute())


def _on_images(metric: Any, results: str) -> float:
    metric.n = IMAGE_COUNT
    if metric.refusal(metric.n):
        return float("nan")
    network = metric.network(Path(results))
    real = metric.statistic()
    _feed(real, network, metric.task.stored_images(metric.part))
    generated = metric.statistic(real)
    other = "test" if metric.part == "train" else "train"
    _feed(generated, network, metric.task.stored_images(other))
    return float(metric.value(generated, real).mean())


def _feed(statistic: Any, network: Any, stored: Any) -> None:
    images, labels = stored.images[:IMAGE_COUNT], stored.labels[:IMAGE_COUNT]
    statistic.update(network(to_x(images)), labels)


if __name__ == "__main__":
    main()
