"""Runs on a Ray cluster, or on one that is started on this machine.

Ray starts a task on another node when its worker or node dies. Where the nodes see the results
directory, a run writes there and resumes from its checkpoint. Where one of them does not, the run's
directory travels there and back as bytes, and so does the file of a `./file.py:Class`; a run whose
node dies then starts again. cwbench has to be installed on every node.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cwbench.errors import CorruptFileError, UsageError, missing_extra
from cwbench.machine.files import claim, release, sha256_of
from cwbench.sweeping import worker
from cwbench.sweeping.engines import EngineOptions
from cwbench.sweeping.engines.shipping import packed, unpack
from cwbench.sweeping.job import Job, from_json
from cwbench.sweeping.worker import STOPPED, Outcome

try:
    import ray
    from ray.exceptions import RayError, TaskCancelledError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise missing_extra("--engine ray", "Ray", "ray") from missing

RETRIES = 3
"""How often a run is started again after the death of its worker or node."""

QUEUED = 256
"""Runs handed to Ray at a time where `--jobs` does not say."""

PROBE_SECONDS = 60.0


@dataclass
class RayEngine:
    """A task for each run; Ray places them by the CPUs, GPUs and memory they ask for."""

    options: EngineOptions
    results: Path
    shared: bool | None = None
    """Whether all nodes see the results directory; found out if None."""
    running: dict[Any, Job] = field(default_factory=dict)
    _busy: list[tuple[Job, Outcome]] = field(default_factory=list)
    _locks: dict[str, int] = field(default_factory=dict)
    _stopping: bool = False

    def __post_init__(self) -> None:
        """Connect, and look whether the nodes see the results."""
        self._own = not ray.is_initialized()
        if self._own:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            _connect(self.options.address)
        if self.shared is None:
            self.shared = _all_see(self.results)
        resources: dict[str, Any] = {"num_gpus": self.options.gpus_each}
        if self.options.memory:
            resources["memory"] = self.options.memory
        self._task = ray.remote(_carried_out).options(
            num_cpus=self.options.threads, max_retries=RETRIES, **resources
        )

    def room(self) -> int:
        """How many more Ray is handed."""
        return (self.options.jobs or QUEUED) - len(self.running)

    def start(self, jobs: Sequence[Job]) -> None:
        """A task for each; where its directory has to travel, it is held here meanwhile."""
        for job in jobs:
            held = None if self.shared else self._hold(job)
            if held:
                self._busy.append((job, held))
                continue
            files = None if self.shared else packed(job.directory)
            self.running[self._task.remote(job.to_json(), files, self._sources(job))] = job

    def _hold(self, job: Job) -> Outcome | None:
        """Take the run's directory for a run that is away; why not, if it is not to be had."""
        try:
            lock = claim(job.directory)
        except OSError as error:
            reason = f"{job.directory} cannot be written: {error.strerror or error}"
            return Outcome("run", "failed", reason)
        if lock is None:
            return Outcome("busy")
        if sha256_of(job.directory / "record.json") != job.replaces:
            release(lock)
            return Outcome("changed")
        self._locks[job.place] = lock
        return None

    def _sources(self, job: Job) -> dict[str, bytes]:
        """The files of `./file.py:Class` for nodes that lack them."""
        if self.shared:
            return {}
        names = (job.task, job.method, *job.metrics)
        paths = [Path(name.rpartition(":")[0]) for name in names if ".py:" in name]
        return {str(path): path.read_bytes() for path in paths}

    def finished(self) -> list[tuple[Job, Outcome]]:
        """The tasks that Ray has an answer for."""
        ended, self._busy = self._busy, []
        if self.running:
            refs = list(self.running)
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
            ended += [(job := self.running.pop(ref), self._outcome(job, ref)) for ref in ready]
        return ended

    def _outcome(self, job: Job, ref: Any) -> Outcome:
        """What a task answered; its directory is brought home."""
        try:
            text, files = ray.get(ref)
            if files:
                unpack(files, job.directory)
            return worker.parsed(text)
        except TaskCancelledError:
            return STOPPED
        except (RayError, CorruptFileError, OSError) as error:
            if self._stopping:
                return STOPPED
            self._release(job)
            reason = (str(error).strip().splitlines() or [""])[0]
            return worker.lost(job, f"Ray lost it: {type(error).__name__}: {reason}")
        finally:
            self._release(job)

    def _release(self, job: Job) -> None:
        lock = self._locks.pop(job.place, None)
        if lock is not None:
            release(lock)

    def stop(self) -> None:
        """Cancel every task; the second time without waiting for its checkpoint."""
        for ref in self.running:
            ray.cancel(ref, force=self._stopping)
        self._stopping = True

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        for job in self.running.values():
            self._release(job)
        if self._own:
            ray.shutdown()


def _connect(address: str | None) -> None:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"no Ray cluster at {address!r}: {reason}. Leave --address out to start one here."
        ) from error


def _all_see(results: Path) -> bool:
    """Whether every node finds a file that is written into the results now."""
    with tempfile.NamedTemporaryFile(dir=results, prefix=".ray-") as token:
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        look = ray.remote(_exists)
        answers = [
            look.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(token.name)
            for node in nodes
        ]
        try:
            return all(ray.get(answers, timeout=PROBE_SECONDS))
        except (RayError, TimeoutError):
            return False


def _exists(path: str) -> bool:
    return Path(path).exists()


def _carried_out(
    text: str, files: bytes | None, sources: dict[str, bytes]
) -> tuple[str, bytes | None]:
    """On the node: the worker's answer, and the run's directory if it has to travel."""
    if files is None:
        return worker.run(text), None
    with tempfile.TemporaryDirectory(prefix="cwbench-") as place:
        job = replace(from_json(text), results=str(Path(place) / "results"))
        unpack(files, job.directory)
        job = replace(
            job,
            task=_placed(job.task, sources, Path(place)),
            method=_placed(job.method, sources, Path(place)),
            metrics=[_placed(metric, sources, Path(place)) for metric in job.metrics],
        )
        return worker.run(job.to_json()), packed(job.directory)


def _placed(name: str, sources: dict[str, bytes], place: Path) -> str:
    """A `file.py:Class` that this node has: written to `place` where it is missing."""
    path, _, cls = name.rpartition(":")
    if path not in sources or Path(path).is_file():
        return name
    copy = place / f"source-{list(sources).index(path)}" / Path(path).name
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(sources[path])
    return f"{copy}:{cls}"
