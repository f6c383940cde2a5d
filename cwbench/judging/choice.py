"""Which metrics a run is judged by: the default ones of its task, and those named.

A name that a user types may be a file, `./file.py:ClassName`, which is imported. Names that a
preset or a record lists are registered ones only: nothing that a record names is imported from a
file.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from cwbench import registry
from cwbench.errors import ContractError, UsageError
from cwbench.judging.failing import attempt
from cwbench.machine.streams import stream
from cwbench.metric import Metric, Need
from cwbench.task import Task


class Chosen(NamedTuple):
    """Metrics by name, and by the same names the hashes of sources that can change in place."""

    metrics: dict[str, Metric]
    hashes: dict[str, str | None]


def chosen_metrics(task: Task, listed: Iterable[str], typed: Iterable[str] = ()) -> Chosen:
    """Our default metrics that the task has what it takes for, and those that are named.

    The task names its main metric. Those of other distributions are imported only by name.

    Args:
        task: what is judged on.
        listed: names in a preset or a record.
        typed: names or `./file.py:ClassName`, by a user.

    Raises:
        UsageError: if a named one is unknown, a file where none may be, takes a name that is
            there, or needs what the task does not offer.
    """
    listed, typed = list(listed), list(typed)
    for name in filter(registry.in_file, listed):
        raise UsageError(f"a preset lists registered metrics; name {name!r} by --metrics {name}")
    named = {name for name in [*listed, *typed] if not registry.in_file(name)}
    for name in sorted(named):
        registry.find("metric", name)
    files = list(_from_files(name for name in dict.fromkeys(typed) if registry.in_file(name)))
    required = named | {origin.cls.info.name for origin in files}
    offered = offers(task)
    chosen = Chosen({}, {})
    for origin in [*_registered(named, task), *files]:
        info = origin.cls.info
        if info.needs <= offered:
            chosen.metrics[info.name] = origin.cls(task)
            chosen.hashes[info.name] = origin.source_sha256
        elif info.name in required:
            needs = ", ".join(sorted(info.needs))
            raise UsageError(f"{info.name} needs {needs}, which {task.info.name} does not offer")
    if task.main_metric not in chosen.metrics:
        registry.refuse_clash(task.main_metric)
    return chosen


def _registered(named: set[str], task: Task) -> Iterator[registry.Loaded]:
    """Ours and the main one, unless not by default, and those that are named; no other loads."""
    for plugin in (p for p in registry.plugins() if p.kind == "metric"):
        if plugin.distribution == "cwbench" or plugin.name in named | {task.main_metric}:
            origin = registry.load("metric", plugin.name)
            if plugin.name in named or origin.cls.info.by_default(task):
                yield origin


def _from_files(names: Iterable[str]) -> Iterator[registry.Loaded]:
    """The metrics of files.

    Raises:
        UsageError: if one has a name that is taken.
    """
    taken = {p.name: f"{p.kind} of {p.distribution}" for p in registry.plugins()}
    for typed in names:
        origin = registry.load("metric", typed)
        name = origin.cls.info.name
        if name in taken:
            raise UsageError(
                f"{typed} calls itself {name!r}, as does the {taken[name]}: two metrics would "
                "share one entry of a record. Give its info another name, or leave one out"
            )
        taken[name] = f"metric of {typed}"
        yield origin


def warn_of_costs(metrics: Iterable[Metric]) -> None:
    """Warn of metrics that take long, before they are computed."""
    told = (attempt(metric.costs) for metric in metrics)  # one that fails will say so itself
    for cost in dict.fromkeys(text for text in told if isinstance(text, str)):
        warnings.warn(cost, stacklevel=2)


def imports(plugin: registry.Plugin) -> bool:
    """Whether an outside metric imports; a broken one breaks nothing but itself."""
    try:
        plugin.load()
    except ContractError:
        return False
    return True


def offers(task: Task) -> set[Need]:
    """What the task has for metrics to use; `cwbench.metric.Need` says what each means."""
    if task.stored_images("test") is not None:
        return {"labelled-images"}
    offered: set[Need] = {"pairs"}
    x, y = task.evaluation_set(1, stream("probe"))
    if task.has_posterior:
        offered.add("reference")
        mixture = task.posterior_mixture(y)
        if mixture is not None and mixture.weights.shape[1] > 1:
            offered.add("mixture")
    if len(task.x_shape) == 3 and min(task.x_shape[1:]) >= 3:
        offered.add("image")
    if task.standardised_residual(x[:, None], y) is not None:
        offered.add("residual")
    if task.has_density and task.has_likelihood and not task.rough_likelihood:
        offered.add("density")
    return offered


def sized(metrics: Mapping[str, Metric], images: int, setting: str = "preset.images") -> None:
    """Tell metrics of labelled images how many are generated, which `setting` sets.

    Raises:
        UsageError: if one of them cannot do with so many.
    """
    for name, metric in metrics.items():
        refused = metric.take_images(images)
        if refused:
            listed = "metrics" if setting == "preset.images" else "follow_metric"
            raise UsageError(
                f"{name} with {setting}={images}: "
                f"{refused.replace('preset.images', setting)}, or leave the metric out by "
                f"--set preset.{listed}=..."
            )
