"""Runs as processes of this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from subprocess import Popen

from cwbench.sweeping import worker
from cwbench.sweeping.job import Job
from cwbench.sweeping.nursery import POSSIBLE, Born, Nursery
from cwbench.sweeping.worker import Outcome


@dataclass
class LocalEngine:
    """`jobs` workers at a time; each takes the GPU that the fewest others have."""

    jobs: int = 1
    gpus: tuple[str, ...] = ()
    threads: int = 1
    running: dict[Popen[str] | Born, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing begins yet."""
        self._nursery = Nursery(self.threads) if POSSIBLE else None

    def room(self) -> int:
        """Free places."""
        return self.jobs - len(self.running)

    def start(self, jobs: Sequence[Job]) -> None:
        """A worker for each."""
        for job in jobs:
            placed = replace(job, gpu=self._free_gpu())
            process = self._nursery.start(placed) if self._nursery else worker.start(placed)
            self.running[process] = placed

    def _free_gpu(self) -> str | None:
        if not self.gpus:
            return None
        used = Counter(job.gpu for job in self.running.values())
        return min(self.gpus, key=lambda gpu: used[gpu])

    def finished(self) -> list[tuple[Job, Outcome]]:
        """Those whose worker has ended."""
        ended = [process for process in self.running if process.poll() is not None]
        return [(job := self.running.pop(p), worker.answer(job, p)) for p in ended]

    def stop(self) -> None:
        """TERM to every worker."""
        for process in self.running:
            worker.stop(process)

    def close(self) -> None:
        """Wait for workers that were told to stop at once."""
        for process in self.running:
            process.wait()
        if self._nursery:
            self._nursery.close()
