"""The figures of one run, drawn from its record and samples: `figures/*.png` beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from cwbench.door import copied
from cwbench.errors import CwbenchError, UsageError
from cwbench.judging.judge import Judge
from cwbench.judging.taken import as_samples
from cwbench.machine.cpu import single_threaded
from cwbench.machine.files import switched_directory, writable_directory
from cwbench.machine.guests import step_by_step, visiting
from cwbench.machine.streams import seeded_globals, stream
from cwbench.method import Method
from cwbench.preset import NFE, Preset
from cwbench.records.beside import MODEL, model_path
from cwbench.records.frame import rows
from cwbench.records.record import Record
from cwbench.records.storage import load_model, load_samples
from cwbench.reporting.figures import (
    class_grid,
    corner,
    flow_film,
    flow_paths,
    metric_against_nfe,
    metric_during_fit,
    posterior_images,
    posterior_structure,
)
from cwbench.reporting.scene import EXACT_DRAWS, Scene
from cwbench.running.named import NOTHING, Named
from cwbench.running.remade import remade_method, remade_task
from cwbench.settings import validated
from cwbench.style import saved
from cwbench.task import Task

OBSERVATIONS = 3
REDRAWN = 500
GRID_COLUMNS = 16
DISTANCES = ("fd-", "fid-")
PATHS = 60
PATH_NFE = 48  # a multiple of every fixed-step solver's evaluations a step


class Subject(NamedTuple):
    """What a record is about: its task, and its fitted method where there is one."""

    task: Task
    method: Method | None


def _preset(record: Record) -> Preset:
    return validated(Preset, record.preset_values, "preset")


@visiting()
def subject_of(
    record: Record, settings: Mapping[str, Any] | None = None, files: Named = NOTHING
) -> Subject:
    """Task and fitted method of a stored record.

    Args:
        record: read from a results directory.
        settings: where the files or folders of its task and method lie, `{"root": "pictures"}`.
        files: of its task and method, where they came from files.

    Raises:
        UsageError: if its task is not installed, or a path that it needs is not given.
        OtherDataError: if a setting leads to other data than it was made of.
    """
    directory = record.directory and record.directory.absolute()  # a plugin may go elsewhere
    task = remade_task(record, settings or {}, files)[0]
    try:
        configured = remade_method(record, settings or {}, files)
    except (
        UsageError
    ):  # an outside sampler, or a file that is not named: its samples are all there is
        return Subject(task, None)
    method = configured.on(task, _preset(record))
    if directory and model_path(directory, record.files).is_file():
        state, _ = load_model(directory, record.fit_id, record.files.get(MODEL))
        method.load_state_dict(state)
        return Subject(task, method)
    return Subject(task, None)


def draw(record: Record, subject: Subject | None = None, output: Path | None = None) -> list[Path]:
    """Draw and write all figures of a run; the paths of the files.

    Beside the record they come all at once, so that a run that has figures has all of them.

    Args:
        record: read from a results directory, with its samples.
        subject: its task and method, if they are at hand.
        output: another directory to write to.

    Raises:
        UsageError: if there is nothing to draw from, or the directory cannot be written.
    """
    if record.directory is None:
        raise UsageError("the record was not read from a results directory")
    if record.status != "ok":
        raise UsageError(f"{record.run_id} is {record.status}: {record.error}; nothing to draw")
    target = output or record.directory / "figures"
    writable_directory(output or record.directory, what="figures", option="--output DIR")
    task, method = subject or subject_of(record)
    record, names = replace(record, directory=record.directory.absolute()), []
    with switched_directory(target) if output is None else nullcontext(target) as place:
        for name, figure in step_by_step(_figures(record, task, method)):
            names.append(saved(figure, place, name).name)
    return [target / name for name in names]


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
    if task.stored_images("test") is not None:
        yield from _of_classes(record, task, method, table)
        return
    judge = Judge(task, _preset(record))
    x, y = (part[:OBSERVATIONS] for part in judge.observations)
    samples, nfe = _main_samples(record, task, method, y)
    at_nfe = f" (NFE {nfe})" if nfe else ""
    of_one = _of_images if len(task.x_shape) == 3 else _of_points
    for index in range(len(y)):
        drawn = None if samples is None else samples[index]
        scene = Scene(task, index, x[index], y[index], drawn)
        about = f"{title}, observation {index + 1}"
        wants_paths = index == 0 or len(task.x_shape) != 3
        paths = _paths(method, y[index], record) if wants_paths else None
        for kind, figure in of_one(scene, paths, about, at_nfe):
            yield f"{kind}-{index + 1}", figure


def _of_classes(
    record: Record, task: Task, method: Method | None, table: pd.DataFrame
) -> Iterator[tuple[str, Figure]]:
    """The grid of images by class, and other distances that were measured at several NFE."""
    title, info = f"{record.label} on {task.info.name}", task.info
    for metric, measured in table.groupby("metric", sort=True):
        if metric == task.main_metric or measured["nfe"].notna().sum() < 2:
            continue
        if str(metric).startswith(DISTANCES):
            figure = metric_against_nfe(
                measured, metric=str(metric), title=title, main_nfe=info.main_nfe
            )
            yield f"{metric}-against-nfe", figure
    followed = record.diagnostics.get("followed")
    if followed and followed["steps"]:
        yield "during-the-fit", metric_during_fit(followed, title=title)
    judge = Judge(task, _preset(record))
    x, y = (part[: task.num_classes] for part in judge.observations)
    samples, nfe = _main_samples(record, task, method, y)
    if samples is None:
        return
    names = [task.class_names[int(label)] for label in y]
    at_nfe = f" (NFE {nfe})" if nfe else ""
    shown = samples[: len(y), :GRID_COLUMNS].numpy()
    yield "classes", class_grid(shown, x.numpy(), names, title=f"{title}{at_nfe}")


def _of_points(
    scene: Scene, paths: Tensor | None, about: str, at_nfe: str
) -> Iterator[tuple[str, Figure]]:
    """Corner plot and paths, both over the exact posterior; nothing where it is not known."""
    if not scene.task.has_posterior:
        return
    exact = scene.exact_draws(EXACT_DRAWS).numpy()
    if scene.samples is not None:
        points, truth = scene.samples.numpy(), scene.x.numpy()
        yield "posterior", corner(points, exact, truth=truth, title=f"{about}{at_nfe}")
    if paths is not None:
        yield "paths", flow_paths(paths.numpy(), exact, title=about)


def _of_images(
    scene: Scene, paths: Tensor | None, about: str, at_nfe: str
) -> Iterator[tuple[str, Figure]]:
    """Moments and draws as images, directions and modes, and the film of the flow."""
    truth = scene.x.numpy()
    if scene.samples is not None:
        figure = posterior_images(
            scene.samples.numpy(),
            truth=truth,
            observation=scene.y.numpy(),
            exact=scene.exact_images() if scene.task.has_posterior else None,
            title=f"{about}{at_nfe}",
        )
        yield "posterior", figure
        if scene.task.has_posterior:
            both = scene.exact_draws(EXACT_DRAWS), scene.samples
            directions, modes = scene.directions(*both), scene.modes(*both)
            heading = f"{about}{at_nfe}"
            yield "structure", posterior_structure(directions, modes, truth=truth, title=heading)
    if paths is not None:
        yield "paths", flow_film(paths.numpy(), truth=truth, title=about)


def _main_samples(
    record: Record, task: Task, method: Method | None, y: Tensor
) -> tuple[Tensor | None, NFE | None]:
    """Samples at the NFE that is judged, else at the last one, with that NFE.

    Those that were too many to keep are drawn again from the fitted method, fewer.
    """
    assert record.directory is not None  # noqa: S101 - checked by `draw`
    nfe = _judged_nfe(record, task, method)
    stored = load_samples(record.directory, record.files).get(
        f"samples@nfe={nfe}" if nfe else "samples"
    )
    if stored is None and method is not None:
        n = min(REDRAWN, 2 * record.preset_values["samples"])
        key = (task.info.name, task.info.version, record.seed, "figure")
        with single_threaded(), seeded_globals(*key, "global"):
            drawn = method.sample(copied(y), n, stream(*key), nfe)
        stored = as_samples(drawn, (len(y), n, *task.x_shape), f"sample of {method.info.name}")
    return stored, nfe


def _judged_nfe(record: Record, task: Task, method: Method | None) -> NFE | None:
    """The task's main NFE where it was measured, else the last that was, None for one shot."""
    main = task.info.main_nfe
    measured = [name.partition("@nfe=")[2] for name in record.metrics]
    if not measured:  # a task without a metric that applies
        return main if method is not None and method.info.nfe else None
    nfe = str(main) if str(main) in measured else measured[-1]
    return "adaptive" if nfe == "adaptive" else int(nfe) if nfe else None


@torch.no_grad()
def _paths(method: Method | None, y: Tensor, record: Record) -> Tensor | None:
    if method is None:
        return None
    try:
        return method.sample_path(copied(y), PATHS, stream("paths", record.seed), PATH_NFE)
    except CwbenchError:
        return None
