"""Metrics again without fitting: of a record, what it lacks or has of another version.

What is scored is what was drawn: the samples stored beside the record, else the same samples drawn
again from the stored model and the stream of the seed. A record whose task has changed since is
refused, because its observations and posterior are no longer those of the task that is installed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench import registry
from cwbench.errors import CwbenchError, UsageError
from cwbench.judging.choice import chosen_metrics, imports, sized
from cwbench.machine.environment import device_of
from cwbench.machine.guests import contained
from cwbench.method import FitContext, Method, MethodInfo, State
from cwbench.preset import NFE, Preset
from cwbench.records.lookup import results_of
from cwbench.records.record import Record
from cwbench.running.named import (
    NOTHING,
    Named,
    OtherDataError,
    OtherSourceError,
    own_metrics,
    refuse_other_metrics,
)
from cwbench.running.needs import needs_of
from cwbench.running.remade import other_distributions, remade_method, remade_task
from cwbench.running.request import Request, parse_nfe
from cwbench.running.run import Runner
from cwbench.task import Params, Task


def score(
    record: Record,
    results: Path,
    *,
    metrics: Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
    files: Named = NOTHING,
    quiet: bool = False,
) -> Record:
    """Measure what a record lacks, or has of another version of a metric, and write it.

    Args:
        record: read from its directory.
        results: whose floors are used, if the record lies in no results directory.
        metrics: opt-in metrics to compute besides the default ones and those on record.
        settings: where the files or folders of its task and method lie, `{"root": "pictures"}`.
        files: of its task and method, where they came from files.
        quiet: show no progress.

    Raises:
        CwbenchError: if it cannot be scored without a fit; the record stays as it is.
    """
    if record.directory is None:
        raise UsageError("the record was not read from a results directory")
    if record.status != "ok":
        raise CwbenchError(f"it is {record.status}: {record.error}; there is nothing to score")
    try:
        with contained():
            request = request_of(record, metrics, settings, files)
        for told in other_distributions(record, request.task_origin, request.method_origin):
            warnings.warn(f"{record.run_id}: {told}", stacklevel=2)
        runner = Runner(
            request, results_of(record.directory) or results, _device(record),
            recorded_in=record.directory,
        )  # fmt: skip
        with contained():
            return runner.score_again(quiet=quiet)
    except CwbenchError:
        raise
    except Exception as failure:  # of a plugin, or odd content; the record is left alone
        raise CwbenchError(f"{type(failure).__name__}: {failure}") from failure


def request_of(
    record: Record,
    metrics: Iterable[str] = (),
    settings: Mapping[str, Any] | None = None,
    files: Named = NOTHING,
    *,
    apart: list[str] | None = None,
) -> Request:
    """The request that measures a record again; as `score`, with the metrics of `files`, too.

    Args:
        record: read from its directory.
        metrics: as of `score`.
        settings: as of `score`.
        files: as of `score`.
        apart: where given, a method or metric of another source is left out instead of refused;
            it takes what is to be said of such metrics.

    Raises:
        CwbenchError: if its task is not installed as it was.
        OtherDataError: if a setting or file leads to other data or another source than it was
            made of.
    """
    if apart is None:
        refuse_other_metrics(record, files)
    else:
        files = own_metrics(record, files, apart)
    task, origin = _task_of(record, settings or {}, files)
    method, params, method_origin = _method_of(record, settings or {}, files, refuse=apart is None)
    preset = Preset(**record.preset_values)
    listed, typed = [*preset.metrics, *_on_record(record)], [*metrics, *_measured_by(record, files)]
    chosen = chosen_metrics(task, listed, typed)
    sized(chosen.metrics, preset.images)
    suffixes = dict.fromkeys(identifier.partition("@nfe=")[2] for identifier in record.metrics)
    return Request(
        task=task,
        task_origin=origin,
        method=method,
        method_params=params,
        method_origin=method_origin,
        preset_name=record.preset,
        preset=preset,
        settings=record.settings,
        track=record.track,
        seed=record.seed,
        nfe=tuple(parse_nfe(nfe) if nfe else None for nfe in suffixes),
        metrics=chosen.metrics,
        recorded_key=record.fit_key,
        metric_hashes=chosen.hashes,
        needs=needs_of(method, params),
    )


def _task_of(
    record: Record, given: Mapping[str, Any], files: Named
) -> tuple[Task, registry.Loaded]:
    name, version = record.task["name"], record.task["version"]
    try:
        task, origin = remade_task(record, given, files)
        fingerprint = task.fingerprint()
    except OtherDataError:
        raise
    except CwbenchError as error:
        raise CwbenchError(f"its task cannot be made here: {error}") from None
    if task.info.version != version:
        raise CwbenchError(
            f"its task {name!r} was version {version}, {task.info.version} is installed: the "
            "observations are others; only a new run can be measured on them"
        )
    changed = origin.source_sha256 != record.task.get("source_sha256")
    if changed or fingerprint != record.task.get("fingerprint"):
        raise CwbenchError(f"the data of its task {name!r} changed since; only a new run can tell")
    return task, origin


def _method_of(
    record: Record, given: Mapping[str, Any], files: Named, *, refuse: bool
) -> tuple[type[Method], BaseModel, registry.Loaded]:
    """The method as it was, or one that says why it cannot draw again."""
    name, version = record.method["name"], record.method["version"]
    if record.track == "external":
        return _gone(record, "its sampler came from outside")
    try:
        found = remade_method(record, given, files)
    except OtherSourceError as error:
        if refuse:
            raise
        return _gone(record, str(error))
    except OtherDataError:
        raise
    except CwbenchError as error:
        return _gone(record, f"its method cannot be made here: {error}")
    if found.cls.info.version != version:
        reason = f"its method {name!r} was version {version}, {found.cls.info.version} is installed"
        return _gone(record, reason)
    if found.origin.source_sha256 != record.method.get("source_sha256"):
        return _gone(record, f"the source of its method {name!r} changed")
    return found.cls, found.params, found.origin


class _Gone(Method):
    """Stands for a method that is not here as it was: stored samples can be scored without it."""

    reason: ClassVar[str]

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """Never called: the model is stored, or nothing can be drawn."""
        raise CwbenchError(self.reason)

    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """Refused with the reason."""
        raise CwbenchError(f"{self.reason}, and the samples needed are not stored")

    def state_dict(self) -> State:
        """Nothing is kept."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """What was stored is for the method as it was."""


def _gone(record: Record, reason: str) -> tuple[type[Method], BaseModel, registry.Loaded]:
    name, version = record.method["name"], record.method["version"]
    info = MethodInfo(name=name, version=version, title=name, citation="")
    cls = type("Gone", (_Gone,), {"info": info, "reason": reason})
    return cls, Params(), registry.Loaded(cls, "", "", record.method.get("source_sha256"))


def _on_record(record: Record) -> list[str]:
    """Names of the metrics on record that are installed and import; the others stay as they are."""
    recorded = {identifier.partition("@")[0] for identifier in record.metrics}
    named = (p for p in registry.plugins() if p.kind == "metric")
    return [p.name for p in named if _measured(p.name, recorded) and imports(p)]


def _measured_by(record: Record, files: Named) -> list[str]:
    """The metrics of files that the record has values of."""
    recorded = {identifier.partition("@")[0] for identifier in record.metrics}
    named = files.metrics.items()
    return [typed for typed, origin in named if _measured(origin.cls.info.name, recorded)]


def _measured(name: str, recorded: Iterable[str]) -> bool:
    """Whether a metric is on record; a set metric adds its size to its name."""
    return any(re.fullmatch(rf"{name}(-\d+)?", each) for each in recorded)


def _device(record: Record) -> torch.device:
    """The device it was sampled on, or the CPU where there is no such device here."""
    try:
        return device_of(str(record.environment.get("device", "cpu")))
    except UsageError:
        return torch.device("cpu")
