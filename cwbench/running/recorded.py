"""How a record names its request and its metrics, and the rows of its values by observation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cwbench import settings
from cwbench.judging.measured import Scores
from cwbench.known.classes import CLASS_OF
from cwbench.metric import Metric
from cwbench.preset import NFE
from cwbench.records.record import SCHEMA, Record
from cwbench.running.request import Request


def identity_of(request: Request) -> dict[str, Any]:
    """The part of a record that says what the run was, whatever came of it."""
    task, method = request.task.info, request.method.info
    changed = changed_settings(request)
    return {
        "schema": SCHEMA,
        "run_id": request.run_id,
        "fit_key": request.fit_key,
        "task": {
            "name": task.name,
            "version": task.version,
            "main_metric": request.task.main_metric,
            "main_nfe": task.main_nfe,
            "second_nfe": task.second_nfe,
            "group": task.group,
            "x_shape": list(request.task.x_shape),
            "distribution": request.task_origin.label,
            "params": settings.json_values(request.task.params),
            "changed": changed["task"],
            "fingerprint": request.task.fingerprint(),
            "source_sha256": request.task_origin.source_sha256,
        },
        "method": {
            "name": method.name,
            "version": method.version,
            "role": method.role,
            "distribution": request.method_origin.label,
            "params": settings.json_values(request.method_params),
            "changed": changed["method"],
            **_seen(request),
            **_excused(request),
            "source_sha256": request.method_origin.source_sha256,
        },
        "preset": request.preset_name,
        "preset_values": request.preset.model_dump(mode="json"),
        "settings": told_settings(request),
        "track": request.track,
        "seed": request.seed,
    }


def _seen(request: Request) -> dict[str, list[str]]:
    """What a method used beyond pairs; nothing of one that saw pairs alone, or of a control."""
    beyond = sorted(request.needs & set(CLASS_OF))
    return {"needs": list(beyond)} if beyond else {}


def _excused(request: Request) -> dict[str, dict[str, str]]:
    """The checks that a method says it cannot pass, with its reasons; nothing where it has none."""
    reasons = {name: str(reason) for name, reason in request.method.excused.items()}
    return {"excused": reasons} if reasons else {}


def changed_settings(request: Request) -> dict[str, dict[str, Any]]:
    """The settings of task and method that differ from their defaults.

    The first digits of a fingerprint stand for a folder or file: a record can be published, and
    the same content is the same wherever it lies.
    """
    data = request.task.fingerprint()[: settings.SHORT]
    return {
        "task": settings.changed(request.task.params, lambda _: data),
        "method": settings.changed(request.method_params),
    }


def told_settings(request: Request) -> dict[str, str]:
    """The settings as typed, with fingerprints for paths; one that chooses no data is left out."""
    changed = changed_settings(request)
    told = {key: str(value) for key, value in request.settings.items()}
    for owner, model in (("task", request.task.params), ("method", request.method_params)):
        for name in settings.path_fields(type(model)):
            for key in told.keys() & {name, f"{owner}.{name}"}:
                told[key] = str(changed[owner].get(name, ""))
    return {key: value for key, value in told.items() if value}


def without_paths(text: str, named: Mapping[str, Iterable[Path]]) -> str:
    """A text with `<root>` for the folder that the setting `root` names, and so for each.

    Args:
        text: such as the reason of a failure.
        named: files and folders by setting; as they were typed, where that says where they lie.
    """
    spelled = {
        str(form): f"<{name}>"
        for name, places in named.items()
        for place in places
        for form in (place, place.absolute(), place.resolve())
        if form.is_absolute() and form.name
    }
    for place in sorted(spelled, key=len, reverse=True):
        text = re.sub(rf"{re.escape(place)}(?![\w-])", spelled[place], text)
    return text


def published(record: Record, request: Request) -> Record:
    """The record as it may leave this machine: no reason in it says where files lie."""
    named = paths_of(request)
    if not named:
        return record
    reasons = {i: without_paths(e.error, named) for i, e in record.metrics.items() if e.error}
    told = {i: replace(record.metrics[i], error=reason) for i, reason in reasons.items()}
    error = without_paths(record.error, named) if record.error else record.error
    return replace(record, error=error, metrics=record.metrics | told)


def paths_of(request: Request) -> dict[str, list[Path]]:
    """The files and folders that the settings of a request name, by setting."""
    return settings.paths(request.method_params) | settings.paths(request.task.params)


def metric_id(metric: Metric, nfe: NFE | None) -> str:
    """`ew2sq@nfe=10`, `w2sq-marginal-10000@nfe=1`, or `ew2sq` for one-shot samplers."""
    return suffixed(metric.identifier, nfe)


def suffixed(name: str, nfe: NFE | str | None) -> str:
    """A name with its NFE, where there is one; tables have an empty text for none."""
    return f"{name}@nfe={nfe}" if nfe else name


def score_table(identifier: str, nfe: NFE | None, scores: Scores) -> pd.DataFrame:
    """The rows of `observations.parquet` for one metric."""
    parts = {"value": scores.value, "plug_in": scores.plug_in, "floor": scores.floor}
    m = len(scores.value)
    return pd.DataFrame(
        {"observation": range(m), "metric": identifier, "nfe": "" if nfe is None else str(nfe)}
        | {
            column: np.full(m, np.nan) if values is None else values.double().numpy()
            for column, values in parts.items()
        }
    )
