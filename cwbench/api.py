"""What Python users call: run, sweep, evaluate, and loading by name."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from cwbench import registry
from cwbench.declared import NAME
from cwbench.errors import UsageError
from cwbench.machine.environment import device_of
from cwbench.machine.files import writable_directory
from cwbench.machine.processes import joined
from cwbench.machine.torch_state import plain_torch
from cwbench.machine.weights import use_inception_weights
from cwbench.method import Method
from cwbench.preset import NFE
from cwbench.records import runs as records
from cwbench.records.interruption import RunInterruptedError
from cwbench.records.record import Record
from cwbench.running.exchange import stored_sampler
from cwbench.running.longer import longer as longer_of
from cwbench.running.named import Named
from cwbench.running.outside import external, identified
from cwbench.running.remade import other_distributions
from cwbench.running.request import (
    ConfiguredMethod,
    Request,
    configured_method,
    configured_task,
    resolve,
)
from cwbench.running.run import Runner
from cwbench.running.tracking import Callback, checked
from cwbench.sweeping.request import checkpoint_seconds as seconds_between_checkpoints
from cwbench.sweeping.request import sweep_request
from cwbench.task import Task

__all__ = ["evaluate", "load_method", "load_task", "run", "sweep"]


@plain_torch()
def run(
    task: str,
    method: str,
    preset: str = "quick",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    nfe: Iterable[NFE | str] | None = None,
    results: str | os.PathLike[str] | None = None,
    *,
    metrics: Iterable[str] = (),
    device: str = "auto",
    inception_weights: str | os.PathLike[str] | None = None,
    figures: bool = True,
    keep_samples: bool = False,
    force: bool = False,
    quiet: bool = False,
    checkpoint_seconds: float | None = None,
    callbacks: Iterable[Callback] = (),
    longer: bool = False,
) -> Record:
    """Fit a method on a task and measure it; what is on record already is not computed again.

    Args:
        task: a registered name, or `./file.py:ClassName`.
        method: likewise.
        preset: a named size of the task.
        seed: of training data, initialisation, training noise and samples.
        settings: `{"task.noise": .03, "method.beta": 10, "preset.steps": 100}`; bare names where
            exactly one has it.
        nfe: network evaluations per sample to measure at; default the preset's.
        results: the results directory; default `$CWBENCH_RESULTS`, else `./cwbench-results`.
        metrics: opt-in metrics to compute besides the default ones.
        device: `auto`, `cpu`, `cuda` or `mps`.
        inception_weights: file of the weights of FID, verified at once; default
            `$CWBENCH_INCEPTION_WEIGHTS`, else downloaded when needed.
        figures: draw the figures of the run beside its record.
        keep_samples: keep samples beyond 64 MiB.
        force: start anew; the earlier run stays until the new one is ok.
        quiet: show no progress.
        checkpoint_seconds: seconds between checkpoints; default `$CWBENCH_CHECKPOINT_SECONDS`, 30.
        callbacks: called during the fit and at its end; they change no number.
        longer: at four times the steps and the judged NFE alone, to see whether it has converged.

    Returns:
        The record, whatever its status.

    Raises:
        UsageError: if the request cannot be carried out as given; nothing is written then.
        RunInterruptedError: after Ctrl-C or a TERM signal; a KeyboardInterrupt with the record.
    """
    use_inception_weights(inception_weights)
    request = resolve(
        task, method, preset=preset, seed=seed, given=settings, nfe=nfe, metrics=metrics
    )
    if nfe is not None and request.nfe == (None,):
        name = request.method.info.name
        warnings.warn(
            f"{name} is drawn once, whatever nfe asks for; see `cwbench describe {name}`",
            stacklevel=3,
        )
    request = longer_of(request) if longer else request
    group = joined(device)
    chosen_device, listeners = group.device or device_of(device), checked(callbacks)
    root = records.results_directory(results)
    every = seconds_between_checkpoints(checkpoint_seconds)
    runner = Runner(
        request, root, chosen_device, keep_samples, every, callbacks=listeners, processes=group
    )
    return _carried_out(runner, force=force, quiet=quiet, figures=figures and group.leads)


@plain_torch()
def sweep(
    task: str | Sequence[str],
    method: str | Sequence[str],
    preset: str = "quick",
    seeds: int | str | Sequence[int] = 0,
    settings: Mapping[str, Any] | None = None,
    nfe: Sequence[NFE | str] | None = None,
    results: str | os.PathLike[str] | None = None,
    *,
    metrics: Sequence[str] = (),
    device: str = "auto",
    inception_weights: str | os.PathLike[str] | None = None,
    keep_samples: bool = False,
    force: bool = False,
    retry: Sequence[str] = (),
    engine: str = "local",
    address: str | None = None,
    jobs: int | None = None,
    gpus: Sequence[int | str] | int | float = (),
    threads: int = 1,
    timeout: float | None = None,
    memory: int | str | None = None,
    grace: float = 10.0,
    slurm: Mapping[str, str] | None = None,
    quiet: bool = False,
    checkpoint_seconds: float | None = None,
    longer: bool = False,
) -> list[Record]:
    """Many runs, tasks x methods x settings x seeds, each in a process of its own.

    The same call again does only what is missing; what failed is done again if `retry` says so. No
    figures are drawn; `cwbench plot RUN` draws those of a run.

    Args:
        task: names, or `./file.py:ClassName`; a list, or with commas.
        method: likewise.
        preset: a named size of the tasks.
        seeds: `[0, 1, 2]`, or as text `"0-4"` or `"0,2,5"`.
        settings: as for `run`; a list means alternatives (`{"method.beta": [1, 10]}`), and for a
            setting that is a list itself, a list of lists does.
        nfe: network evaluations per sample to measure at; default the preset's.
        results: the results directory; default `$CWBENCH_RESULTS`, else `./cwbench-results`.
        metrics: opt-in metrics to compute besides the default ones.
        device: `auto`, `cpu`, `cuda` or `mps`.
        inception_weights: as for `run`; processes on this machine use it too.
        keep_samples: keep samples beyond 64 MiB.
        force: start anew; an earlier run stays until the new one is ok.
        retry: statuses to try again: `failed`, `timeout`, `oom`, `diverged`.
        engine: `local`, `ray` or `slurm`.
        address: of the Ray cluster; `local` with `slurm` runs its jobs here.
        jobs: runs at a time; default one here, on a cluster as many as it takes.
        gpus: here the devices to hand out, one a run; on a cluster how many a run asks for.
        threads: of each run.
        timeout: seconds after which a run is ended.
        memory: resident bytes, or such as `"4GiB"`, above which a run is ended.
        grace: seconds that a run has to write its checkpoint before it is killed.
        slurm: parameters of the Slurm jobs, `{"partition": "gpu"}`.
        quiet: show no progress.
        checkpoint_seconds: seconds between checkpoints; default `$CWBENCH_CHECKPOINT_SECONDS`, 30.
        longer: as for `run`, of every run.

    Returns:
        A record for every run, whatever its status, in the order of the matrix.

    Raises:
        UsageError: if a run would be refused; nothing is written then.
        SweepInterruptedError: after Ctrl-C or a TERM signal; a KeyboardInterrupt with the records.
    """
    words = {
        "task": task, "method": method, "preset": preset, "seeds": seeds, "set": settings,
        "nfe": nfe, "results": results, "metrics": metrics, "device": device,
        "inception_weights": inception_weights,
        "keep_samples": keep_samples, "force": force, "retry": retry, "engine": engine,
        "address": address, "jobs": jobs, "gpus": gpus, "threads": threads, "timeout": timeout,
        "memory": memory, "grace": grace, "slurm": slurm, "checkpoint_seconds": checkpoint_seconds,
        "longer": longer,
    }  # fmt: skip
    return sweep_request(words).carry_out(quiet=quiet)


@plain_torch()
def load_task(name: str, **params: Any) -> Task:
    """A task with its settings: `load_task("gaussian-mixture", noise=0.03)`.

    Raises:
        UsageError: for an unknown name, key or value; it says what is allowed.
    """
    return configured_task(name, params)[0]


@plain_torch()
def load_method(name: str, **params: Any) -> ConfiguredMethod:
    """A method with its settings; `.on(task)` binds it to a task.

    Raises:
        UsageError: for an unknown name, key or value; it says what is allowed.
    """
    return configured_method(name, params)


@plain_torch()
def evaluate(
    sampler: Callable[..., Any] | str | os.PathLike[str],
    task: str,
    preset: str = "quick",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    nfe: Iterable[NFE | str] | None = None,
    results: str | os.PathLike[str] | None = None,
    *,
    metrics: Iterable[str] = (),
    figures: bool = True,
    quiet: bool = False,
) -> Record:
    """Judge any sampler on the observations that methods are judged on; nothing is fitted.

    Its record is known by what it draws: another sampler of that name gets a record of its own, and
    the same one evaluated again, at the same `nfe`, replaces its own. So a sampler has to draw with
    the generator it is handed; with another seed than 0 it draws twice, since it is known by what
    it draws with seed 0.

    Args:
        sampler: `sampler(y, n, generator)` returns posterior samples with shape `(m, n, *x_shape)`
            for observations `(m, *y_shape)`; with `nfe` it is called with `nfe=` as well. Or a file
            of samples made elsewhere for the observations that `cwbench export` wrote: `.npy`, or
            `.safetensors` with a tensor `samples`, of shape `(m, 2n, *x_shape)`.
        task: a registered name, or `./file.py:ClassName`.
        preset: a named size of the task.
        seed: of the generator that the sampler is handed.
        settings: of the task and the preset.
        name: what the record calls it; default the name of the function or file. A lambda needs
            one.
        nfe: network evaluations per sample to measure at; default none.
        results: the results directory; default `$CWBENCH_RESULTS`, else `./cwbench-results`.
        metrics: opt-in metrics to compute besides the default ones.
        figures: draw the figures of the run beside its record.
        quiet: show no progress.

    Returns:
        A record on the track `external`.

    Raises:
        UsageError: for an unknown name, key or value; it says what is allowed.
    """
    file = Path(sampler) if isinstance(sampler, (str, os.PathLike)) else None
    cls = external(_label(sampler, file, name), with_nfe=nfe is not None)
    request = resolve(
        task, registry.Loaded(cls, "external", "", None),
        preset=preset, seed=seed, given=settings, nfe=nfe, metrics=metrics, track="external",
    )  # fmt: skip
    draw = stored_sampler(file, request.task, request.preset) if file else sampler
    cls.draw = staticmethod(cast("Callable[..., Any]", draw))
    request = identified(request)
    root = writable_directory(records.results_directory(results))
    runner = Runner(request, root, torch.device("cpu"))
    return _carried_out(runner, force=True, quiet=quiet, figures=figures)


def _label(sampler: object, file: Path | None, name: str | None) -> str:
    """What the record calls a sampler: as given, else after its file or its function.

    Raises:
        UsageError: if that is no name, or one that is registered.
    """
    found = file.stem if file else str(getattr(sampler, "__name__", ""))
    if name is None and found == "<lambda>":
        raise UsageError("a lambda has no name of its own; give name='mine'")
    label = name or re.sub(r"[^a-z0-9]+", "-", found.lower()).strip("-")
    if not NAME.fullmatch(label):
        raise UsageError(f"the name {label!r} does not match {NAME.pattern}; give name='mine'")
    if label in registry.refused() or any(p.name == label for p in registry.plugins()):
        raise UsageError(f"{label!r} is a registered name; give the sampler another: name='mine'")
    return label


def _carried_out(runner: Runner, *, force: bool, quiet: bool, figures: bool) -> Record:
    previous = None if force else runner.previous()[0]
    if previous is not None and previous.status == "ok":
        request = runner.request
        for told in other_distributions(previous, request.task_origin, request.method_origin):
            warnings.warn(f"{previous.run_id} is on record: {told}", stacklevel=3)
    record, method = runner.carry_out(force=force, quiet=quiet)
    if record.status == "interrupted":
        raise RunInterruptedError(record)
    if figures and record.status == "ok" and (method or not _has_figures(record)):
        _draw_figures(record, runner.request, method)
    return record


def _has_figures(record: Record) -> bool:
    """Whether its figures are there, and were drawn after it was written."""
    if not record.figures or record.directory is None:
        return False
    drawn, written = (record.directory / name for name in ("figures", "record.json"))
    return drawn.stat().st_mtime_ns >= written.stat().st_mtime_ns


def _draw_figures(record: Record, request: Request, method: Method | None) -> None:
    from cwbench.reporting.run_figures import Subject, draw, subject_of

    files = Named({"": request.task_origin}, {"": request.method_origin})
    try:
        fitted = Subject(request.task, method) if method else None
        draw(record, fitted or subject_of(record, request.settings, files))
    except Exception as error:  # noqa: BLE001 - a plugin's figure must not cost a finished record
        warnings.warn(f"no figures: {type(error).__name__}: {error}", stacklevel=3)
