"""The figures of one run, drawn from its record and samples: `figures/*.png` beside them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from cwbench.errors import CwbenchError, UsageError
from cwbench.files import write_atomically
from cwbench.method import Method
from cwbench.preset import Preset
from cwbench.record import Record, rows
from cwbench.reporting.figures import DPI, corner, flow_paths, metric_against_nfe
from cwbench.running.evaluation import Judge
from cwbench.running.request import configured_method, configured_task
from cwbench.running.storage import MODEL, load_model, load_samples
from cwbench.task import Task
from cwbench.training.streams import stream

OBSERVATIONS = 3
EXACT_DRAWS = 4_000
PATHS = 60
PATH_NFE = 48  # a multiple of every fixed-step solver's evaluations a step


class Subject(NamedTuple):
    """What a record is about: its task, and its fitted method where there is one."""

    task: Task
    method: Method | None


def subject_of(record: Record) -> Subject:
    """Task and fitted method of a stored record.

    Raises:
        UsageError: if its task is not installed.
    """
    task = configured_task(record.task["name"], record.task["params"])[0]
    try:
        configured = configured_method(record.method["name"], record.method["params"])
    except UsageError:  # an outside sampler or a file: its samples are all there is
        return Subject(task, None)
    method = configured.on(task, Preset(**record.preset_values))
    if record.directory and (record.directory / MODEL).is_file():
        state, _ = load_model(record.directory, record.fit_key)
        method.load_state_dict(state)
        return Subject(task, method)
    return Subject(task, None)


def draw(record: Record, subject: Subject | None = None) -> list[Path]:
    """Draw and write all figures of a run; the paths of the files.

    Args:
        record: read from a results directory, with its samples.
        subject: its task and method, if they are at hand.

    Raises:
        UsageError: if there is nothing to draw from.
    """
    if record.directory is None:
        raise UsageError("the record was not read from a results directory")
    if record.status != "ok":
        raise UsageError(f"{record.run_id} is {record.status}: {record.error}; nothing to draw")
    task, method = subject or subject_of(record)
    paths = []
    for name, figure in _figures(record, task, method):
        content = BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
        path = record.directory / "figures" / f"{name}.png"
        write_atomically(path, content.getvalue())
        paths.append(path)
    return paths


def _figures(record: Record, task: Task, method: Method | None) -> Iterator[tuple[str, Figure]]:
    title = f"{record.label} on {task.info.name}"
    info = task.info
    table = pd.DataFrame([row | {"method": record.label} for row in rows(record)])
    main = table[table["metric"] == task.main_metric]
    if main["nfe"].notna().sum() > 1:
        yield (
            f"{task.main_metric}-against-nfe",
            metric_against_nfe(main, metric=task.main_metric, title=title, main_nfe=info.main_nfe),
        )
    judge = Judge(task, Preset(**record.preset_values))
    samples, nfe = _main_samples(record, task)
    for index in range(min(OBSERVATIONS, len(judge.observations.y))):
        about = f"{title}, observation {index + 1}"
        exact = _exact(task, judge.observations.y[index])
        if samples is not None and exact is not None:
            told = f"{about}{f' (NFE {nfe})' if nfe else ''}"
            truth = judge.observations.x[index].numpy()
            figure = corner(samples[index].numpy(), exact.numpy(), truth=truth, title=told)
            yield f"posterior-{index + 1}", figure
        paths = _paths(method, judge.observations.y[index], record)
        if paths is not None and exact is not None:
            figure = flow_paths(paths.numpy(), exact.numpy(), title=about)
            yield f"paths-{index + 1}", figure


def _main_samples(record: Record, task: Task) -> tuple[Tensor | None, str]:
    """Samples at the NFE that is judged, else at the last one, with that NFE."""
    assert record.directory is not None  # noqa: S101 - checked by `draw`
    stored = load_samples(record.directory)
    wanted = f"samples@nfe={task.info.main_nfe}"
    name = wanted if wanted in stored else next(reversed(stored), "")
    return stored.get(name), name.partition("@nfe=")[2]


def _exact(task: Task, y: Tensor) -> Tensor | None:
    if not task.has_posterior:
        return None
    return task.sample_posterior(y[None], EXACT_DRAWS, stream("figure", task.info.name))[0]


@torch.no_grad()
def _paths(method: Method | None, y: Tensor, record: Record) -> Tensor | None:
    if method is None:
        return None
    try:
        return method.sample_path(y, PATHS, stream("paths", record.seed), PATH_NFE)
    except CwbenchError:
        return None
