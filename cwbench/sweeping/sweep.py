"""A sweep: many runs, each in a process of its own, on an engine of choice.

What is on record is not computed again: runs that are ok or skipped stay, those that failed stay as
well unless `retry` names their status, and interrupted ones go on. A run is done by whoever holds
its directory; so two sweeps on one results directory share the work, and each comes back in the end
for what the other one had.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cwbench.errors import NewerSchemaError, UsageError, unknown
from cwbench.judging.choice import warn_of_costs
from cwbench.machine.environment import device_of
from cwbench.machine.files import sha256_of
from cwbench.machine.signals import stop_on_signal
from cwbench.records import runs as records
from cwbench.records.interruption import SweepInterruptedError
from cwbench.records.record import SCHEMA, Record, Status, key_of
from cwbench.running.recorded import identity_of
from cwbench.running.run import Runner
from cwbench.sweeping import engines, worker
from cwbench.sweeping.engines import Engine, EngineOptions
from cwbench.sweeping.job import Job, run_name
from cwbench.sweeping.matrix import Combination, Matrix, absolute
from cwbench.sweeping.worker import Outcome

RETRIED: tuple[Status, ...] = ("failed", "timeout", "oom", "diverged")
POLL_SECONDS = 0.05
BUSY_SECONDS = 1.0
"""Pause before a run that another process has is looked at again."""


@dataclass(frozen=True)
class Options:
    """How runs are carried out, whatever they are."""

    device: str = "auto"
    keep_samples: bool = False
    force: bool = False
    retry: tuple[str, ...] = ()
    checkpoint_seconds: float = 30.0
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        """Refuse what no run could be carried out with."""
        for status in self.retry:
            if status not in RETRIED:
                raise unknown("status to retry", status, RETRIED)
        positive = {
            "jobs": self.engine.jobs, "threads": self.engine.threads,
            "timeout": self.engine.timeout, "memory": self.engine.memory,
            "grace": self.engine.grace,
        }  # fmt: skip
        for name, value in positive.items():
            if value is not None and not value > 0:
                raise UsageError(f"--{name} must be above 0, got {value:g}")
        if self.engine.name == "local":
            device_of(self.device)


@dataclass
class Planned:
    """A run of the matrix and how it stands."""

    combination: Combination
    runner: Runner
    options: Options
    parallel: int = 1
    replaces: str = ""
    record: Record | None = None
    to_do: bool = True

    def __post_init__(self) -> None:
        """Look at what is on record."""
        self.to_do = self._look() or self.options.force or self._retried()

    def _retried(self) -> bool:
        return self.record is not None and self.record.status in self.options.retry

    def _look(self) -> bool:
        """Read the record; whether the run lacks something."""
        self.replaces = sha256_of(self.runner.directory / "record.json")
        try:
            self.record, _ = self.runner.previous()
        except (NewerSchemaError, OSError):
            self.record = None
        if self.record is None or self.record.status == "interrupted":
            return True
        return self.record.status == "ok" and not self.runner.complete(self.record)

    def still_to_do(self) -> bool:
        """Whether it is to be done now; not if somebody else has done it since it was planned."""
        before = self.replaces
        lacking = self._look()
        if before != self.replaces:
            self.to_do = lacking
        return self.to_do

    def job(self) -> Job:
        """The run as text."""
        runner, combination, engine = self.runner, self.combination, self.options.engine
        request = combination.request
        results = runner.results.resolve()
        return Job(
            task=combination.task, method=combination.method, preset=request.preset_name,
            seed=request.seed,
            settings=combination.settings, nfe=combination.nfe, metrics=combination.metrics,
            device=self.options.device, keep_samples=self.options.keep_samples,
            force=self.options.force, checkpoint_seconds=self.options.checkpoint_seconds,
            results=str(results), place=str(runner.directory.relative_to(runner.results)),
            replaces=self.replaces, identity=self.identity, threads=engine.threads,
            parallel=self.parallel, timeout=engine.timeout, memory=engine.memory,
            grace=engine.grace, search_path=tuple(filter(None, sys.path)),
        )  # fmt: skip

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What its record says before anything is computed."""
        return identity_of(self.runner.request)

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return run_name(self.identity)

    @property
    def task(self) -> str:
        """As typed."""
        return self.combination.task

    @property
    def method(self) -> str:
        """As typed."""
        return self.combination.method

    @property
    def seed(self) -> int:
        """Its own."""
        return self.combination.request.seed


@dataclass
class Refused:
    """A run whose plugins could not even be set up: it fails, and has no key to be recorded by."""

    task: str
    method: str
    preset: str
    seed: int
    reason: str
    to_do: bool = False

    @property
    def name(self) -> str:
        """As of a run that is planned."""
        return run_name(self.record.__dict__)

    @cached_property
    def record(self) -> Record:
        """What is told of it; it is not on disk."""
        key = key_of({"task": self.task, "method": self.method, "refused": self.reason})
        unknown_plugin: dict[str, Any] = {"version": 0, "params": {}, "changed": {}}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Record(
            schema=SCHEMA, run_id=f"{key[:16]}-{self.seed}", fit_key=key, status="failed",
            error=self.reason, task=unknown_plugin | {"name": self.task},
            method=unknown_plugin | {"name": self.method}, preset=self.preset, preset_values={},
            settings={}, track="open", seed=self.seed, metrics={}, diagnostics={}, cost={},
            environment={}, files={}, started=now, finished=now,
        )  # fmt: skip


def planned(matrix: Matrix, results: Path, options: Options) -> list[Planned | Refused]:
    """All runs of a sweep, checked, with what is on record; nothing is written.

    Raises:
        UsageError: if one of them would be refused.
    """
    there = replace(
        matrix,
        tasks=tuple(map(absolute, matrix.tasks)),
        methods=tuple(map(absolute, matrix.methods)),
        metrics=tuple(map(absolute, matrix.metrics)),
    )
    device = torch.device("cpu")
    runs = [
        Planned(
            combination,
            Runner(
                combination.request,
                results,
                device,
                options.keep_samples,
                options.checkpoint_seconds,
            ),
            options,
        )
        for combination in there.combinations()
    ]
    warn_of_costs(m for run in runs if run.to_do for m in run.runner.request.metrics.values())
    beside = engines.parallel(options.engine, sum(run.to_do for run in runs))
    for run in runs:
        run.parallel = beside
    refused = [
        Refused(task, method, matrix.preset, seed, reason)
        for (task, method), reason in there.refused.items()
        for seed in matrix.seeds
    ]
    pairs = dict.fromkeys(itertools.product(there.tasks, there.methods))
    rank = {pair: number for number, pair in enumerate(pairs)}
    return sorted([*runs, *refused], key=lambda run: rank[run.task, run.method])


@dataclass
class Reports:
    """Whom a sweep tells what happens; the default is nobody."""

    busy: Callable[[Planned], None] = lambda _: None
    ended: Callable[[Planned | Refused, Record], None] = lambda *_: None
    stopping: Callable[[int], None] = lambda _: None


@dataclass
class Sweep:
    """Carries out what is to be done of planned runs."""

    runs: list[Planned | Refused]
    engine: Engine
    reports: Reports = field(default_factory=Reports)
    stop: threading.Event = field(default_factory=threading.Event)

    def carry_out(self) -> list[Record]:
        """The records of all runs, in the order of the matrix.

        Raises:
            SweepInterruptedError: if it was asked to stop; what was running left checkpoints.
        """
        for run in self.runs:
            if isinstance(run, Refused):
                self.reports.ended(run, run.record)
        planned_runs = (run for run in self.runs if isinstance(run, Planned))
        self.waiting = deque((0.0, run) for run in planned_runs if run.to_do)
        self.running: dict[str, Planned] = {}
        told_to_stop = False
        try:
            with stop_on_signal(self.stop):
                while self.running or (self.waiting and not self.stop.is_set()):
                    if self.stop.is_set() and not told_to_stop:
                        told_to_stop = True
                        self.reports.stopping(len(self.running))
                        self.engine.stop()
                    if not told_to_stop:
                        self._start()
                    for job, outcome in self.engine.finished():
                        self._ended(self.running.pop(job.place), job, outcome)
                    time.sleep(POLL_SECONDS)
        except BaseException:
            self.engine.stop()
            if not told_to_stop:
                self.engine.stop()  # twice: at once
            raise
        finally:
            self.engine.close()
        left = [run.record for run in self.runs if run.record is not None]
        if self.stop.is_set():
            raise SweepInterruptedError(left, len(self.runs) - len(left))
        return left

    def _start(self) -> None:
        """Start as many as there is room for; those that others have are passed over."""
        jobs = []
        for _ in range(min(len(self.waiting), self.engine.room())):
            not_before, run = self.waiting.popleft()
            if time.monotonic() < not_before:
                self.waiting.append((not_before, run))
            elif run.still_to_do():
                job = run.job()
                self.running[job.place] = run
                jobs.append(job)
            elif run.record is not None:
                self.reports.ended(run, run.record)
        if jobs:
            self.engine.start(jobs)

    def _ended(self, run: Planned, job: Job, outcome: Outcome) -> None:
        if outcome.ended in ("busy", "changed"):
            pause = BUSY_SECONDS if outcome.ended == "busy" else 0.0
            self.waiting.append((time.monotonic() + pause, run))
            if outcome.ended == "busy":
                self.reports.busy(run)
            return
        run.record = _record_of(run, job, outcome)
        run.to_do = False
        self.reports.ended(run, run.record)


def _record_of(run: Planned, job: Job, outcome: Outcome) -> Record:
    """The record on disk, or in its place one that says what the worker said."""
    try:
        left, _ = run.runner.previous()
    except (NewerSchemaError, OSError):
        left = None
    if left is not None and left.status == outcome.status:
        return left
    status, error = outcome.status or "failed", outcome.error or "it left no record"
    return worker.lost_record(job, status, error, datetime.now(UTC))


class Past(NamedTuple):
    """What a run took: seconds of its fit in so many steps, and of sampling."""

    steps: int
    fit: float
    sampling: float

    def seconds(self, steps: int) -> float:
        """What it would take with so many steps."""
        return self.fit * steps / self.steps + self.sampling


def past_runs(results: Path) -> dict[tuple[str, str, str], list[Past]]:
    """All runs that are ok, by task, method and preset."""
    found: dict[tuple[str, str, str], list[Past]] = {}
    for record in records.iterate(results):
        if record.status == "ok" and record.cost:
            key = (record.task["name"], record.method["name"], record.preset)
            sampling = sum(s["seconds"] for s in record.cost.get("sampling", {}).values())
            steps = record.preset_values.get("steps") or 1
            past = Past(steps, record.cost.get("fit_seconds") or 0.0, sampling)
            found.setdefault(key, []).append(past)
    return found
