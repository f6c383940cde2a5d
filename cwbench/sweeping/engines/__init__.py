"""Where the runs of a sweep go: processes here, a Ray cluster, a Slurm queue.

All engines start the same worker, `cwbench.sweeping.worker`, so a run's numbers, limits and record
do not depend on where it ran. An engine holds only what differs: how many runs may go on, how one
is started, and how its outcome is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cwbench.errors import UsageError, unknown
from cwbench.sweeping.job import Job
from cwbench.sweeping.worker import Outcome

ENGINES = ("local", "ray", "slurm")


class Engine(Protocol):
    """Carries out jobs; asked again and again by one thread, so nothing here waits for a run."""

    def room(self) -> int:
        """How many more jobs can be started now."""

    def start(self, jobs: Sequence[Job]) -> None:
        """Start jobs, no more than there is room for."""

    def finished(self) -> list[tuple[Job, Outcome]]:
        """The jobs that have ended since the last call."""

    def stop(self) -> None:
        """Ask all that goes on to stop and leave checkpoints; the second time: at once."""

    def close(self) -> None:
        """Give back what the engine holds; nothing goes on any more."""


@dataclass(frozen=True)
class EngineOptions:
    """What the command line says of an engine."""

    name: str = "local"
    jobs: int | None = None
    gpus: tuple[str, ...] = ()
    """`local`: devices to hand out, one a run. Clusters: one number, how many a run asks for."""
    threads: int = 1
    memory: int | None = None
    timeout: float | None = None
    grace: float = 10.0
    address: str | None = None
    slurm: dict[str, str] = field(default_factory=dict)

    @property
    def gpus_each(self) -> float:
        """GPUs that a run asks a cluster for.

        Raises:
            UsageError: if `gpus` is no single number.
        """
        try:
            (number,) = self.gpus or ("0",)
            return float(number)
        except ValueError:
            raise UsageError(
                f"--gpus {','.join(self.gpus)}: with --engine {self.name} it is how many GPUs a "
                "run asks for, e.g. --gpus 1"
            ) from None


def make(options: EngineOptions, results: Path, runs: int) -> Engine:
    """The engine of that name, for so many runs; libraries of clusters are imported here.

    Raises:
        UsageError: for an unknown engine, an option it does not have, or a library that is missing.
    """
    if options.name not in ENGINES:
        raise unknown("engine", options.name, ENGINES)
    if options.name != "slurm" and options.slurm:
        raise UsageError("--slurm is for --engine slurm")
    if options.name == "ray":
        from cwbench.sweeping.engines.ray import RayEngine

        return RayEngine(options, results)
    if options.name == "slurm":
        from cwbench.sweeping.engines.slurm import SlurmEngine

        return SlurmEngine(options, results)
    from cwbench.sweeping.engines.local import LocalEngine

    if options.address:
        raise UsageError("--address is for --engine ray; local needs none")
    jobs = min(options.jobs or len(options.gpus) or 1, max(runs, 1))
    return LocalEngine(jobs, options.gpus, options.threads)


def parallel(options: EngineOptions, runs: int) -> int:
    """Runs that may go on side by side, as their records tell; clusters decide on their own."""
    if options.name == "local":
        return min(options.jobs or len(options.gpus) or 1, max(runs, 1))
    return min(options.jobs or runs, runs)
