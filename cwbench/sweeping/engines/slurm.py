"""Runs as job arrays of a Slurm queue, through submitit.

The nodes have to see the results directory, as is usual with Slurm. Jobs in the queue outlive the
sweep that asked for them; the same command again leaves those that are running to themselves.
submitit's own files are below `RESULTS/.slurm`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cwbench.errors import UsageError, missing_extra
from cwbench.sweeping import worker
from cwbench.sweeping.engines import EngineOptions
from cwbench.sweeping.job import Job
from cwbench.sweeping.worker import STOPPED, Outcome

try:
    import submitit
except ImportError as missing:
    raise missing_extra("--engine slurm", "submitit", "slurm") from missing

CLUSTERS = ("slurm", "local")
LOST = submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError
GENERAL = {"timeout_min", "mem_gb", "nodes", "tasks_per_node", "gpus_per_node", "cpus_per_task"}
"""Parameters that submitit has for every kind of cluster."""

SLACK_SECONDS = 120
"""What Slurm's own limit leaves beyond ours, so that ours comes first."""

QUEUED = 1000
"""Runs in the queue at a time: Slurm's default limit on the size of an array."""


@dataclass
class SlurmEngine:
    """An element of an array for each run."""

    options: EngineOptions
    results: Path
    running: list[tuple[Any, Job]] = field(default_factory=list)
    _stopping: bool = False

    def __post_init__(self) -> None:
        """Describe the jobs to submitit."""
        cluster = self.options.address or "slurm"
        if cluster not in CLUSTERS:
            raise UsageError(f"--address {cluster!r} with --engine slurm: choose slurm or local")
        self.local = cluster == "local"
        parameters = self._parameters()
        try:
            self.executor = submitit.AutoExecutor(self.results / ".slurm", cluster=cluster)
            self.executor.update_parameters(**parameters)
        except (RuntimeError, TypeError, ValueError, NameError) as error:
            raise UsageError(f"--engine slurm: {error}") from error

    def _parameters(self) -> dict[str, Any]:
        options = self.options
        parameters: dict[str, Any] = {"name": "cwbench", "cpus_per_task": options.threads}
        if options.gpus:
            parameters["gpus_per_node"] = math.ceil(options.gpus_each)
        if options.memory:
            parameters["mem_gb"] = math.ceil(options.memory / 2**30) + 1
        if options.timeout:
            seconds = options.timeout + options.grace + SLACK_SECONDS
            parameters["timeout_min"] = math.ceil(seconds / 60)
        if not self.local:
            parameters["slurm_array_parallelism"] = options.jobs or QUEUED
        for key, value in options.slurm.items():
            name = key if key.startswith("slurm_") or key in GENERAL else f"slurm_{key}"
            parameters[name] = int(value) if value.isdecimal() else value
        if "timeout_min" not in parameters:
            raise UsageError("--engine slurm needs a limit for its jobs: --timeout S")
        return parameters

    def room(self) -> int:
        """How many more the queue is given; without Slurm one at a time or `--jobs`."""
        limit = (self.options.jobs or 1) if self.local else QUEUED
        return limit - len(self.running)

    def start(self, jobs: Sequence[Job]) -> None:
        """One array of all."""
        with self.executor.batch():
            submitted = [self.executor.submit(worker.run, job.to_json()) for job in jobs]
        self.running += zip(submitted, jobs, strict=True)

    def finished(self) -> list[tuple[Job, Outcome]]:
        """Those that Slurm says have ended."""
        ended = [pair for pair in self.running if pair[0].done()]
        self.running = [pair for pair in self.running if pair not in ended]
        return [(job, self._outcome(place, job)) for place, job in ended]

    def _outcome(self, place: Any, job: Job) -> Outcome:
        try:
            return worker.parsed(place.result())
        except LOST as error:
            if self._stopping:
                return STOPPED
            reason = ([line for line in str(error).splitlines() if line.strip()] or [""])[-1]
            return worker.lost(job, f"its job {place.job_id} was lost: {reason}")

    def stop(self) -> None:
        """Cancel what is queued or running; Slurm gives it TERM first."""
        self._stopping = True
        for place, _ in self.running:
            place.cancel(check=False)

    def close(self) -> None:
        """Nothing is held."""
