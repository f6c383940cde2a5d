"""How a record names its request and its metrics, and the rows of its values by observation."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cwbench import registry, settings
from cwbench.judging.measured import Scores
from cwbench.metric import Metric
from cwbench.preset import NFE
from cwbench.records.record import SCHEMA
from cwbench.running.request import Request


def identity_of(request: Request) -> dict[str, Any]:
    """The part of a record that says what the run was, whatever came of it."""
    task, method = request.task.info, request.method.info
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
            "distribution": _distribution(request.task_origin),
            "params": settings.json_values(request.task.params),
            "changed": settings.changed(request.task.params),
            "fingerprint": request.task.fingerprint(),
            "source_sha256": request.task_origin.source_sha256,
        },
        "method": {
            "name": method.name,
            "version": method.version,
            "role": method.role,
            "distribution": _distribution(request.method_origin),
            "params": settings.json_values(request.method_params),
            "changed": settings.changed(request.method_params),
            "source_sha256": request.method_origin.source_sha256,
        },
        "preset": request.preset_name,
        "preset_values": request.preset.model_dump(mode="json"),
        "settings": {key: str(value) for key, value in request.settings.items()},
        "track": request.track,
        "seed": request.seed,
    }


def _distribution(origin: registry.Loaded) -> str:
    return f"{origin.distribution} {origin.version}".strip()


def metric_id(metric: Metric, nfe: NFE | None) -> str:
    """`ew2sq@nfe=10`, `w2sq-marginal-10000@nfe=1`, or `ew2sq` for one-shot samplers."""
    return suffixed(metric.identifier, nfe)


def suffixed(name: str, nfe: NFE | None) -> str:
    """A name with its NFE, where there is one."""
    return name if nfe is None else f"{name}@nfe={nfe}"


def score_table(name: str, nfe: NFE | None, scores: Scores) -> pd.DataFrame:
    """The rows of `observations.parquet` for one metric."""
    parts = {"value": scores.value, "plug_in": scores.plug_in, "floor": scores.floor}
    columns = {k: None if v is None else v.numpy() for k, v in parts.items()}
    table = pd.DataFrame({"observation": range(len(scores.value)), "metric": name})
    table["nfe"] = "" if nfe is None else str(nfe)
    for column, values in columns.items():
        table[column] = pd.Series(values, dtype="float64", index=table.index)
    return table
