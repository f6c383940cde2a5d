"""A job: one run of a sweep as text, and the process that carries it out.

`python -m cwbench.sweeping.job`, or the child of a nursery, reads a job from its standard input and
runs it; nothing else ever goes that way. The other end stays open as long as
`cwbench.sweeping.worker`, which started or called the process, lives; when it closes, the run stops
itself: no run outlives its sweep.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cwbench.errors import CwbenchError
from cwbench.machine.guests import ending
from cwbench.running.warned import warn_in_a_line
from cwbench.sweeping.limits import variables

TOLD = 78
"""Exit status of a run that an error of ours ended before there was a record."""

READ_BYTES = 2**16


@dataclass(frozen=True)
class Job:
    """What a run was asked, where it belongs, and the limits it runs under; all of it JSON."""

    task: str
    method: str
    preset: str
    seed: int
    settings: dict[str, Any]
    nfe: list[int | str] | None
    metrics: list[str]
    device: str
    keep_samples: bool
    force: bool
    checkpoint_seconds: float
    results: str
    place: str
    """The run's directory below `results`."""
    replaces: str
    """SHA-256 of the `record.json` to be made anew, empty where there was none: another one means
    that somebody else has done the run meanwhile."""
    identity: dict[str, Any]
    """What a record says before anything is computed, for a run that dies without leaving one."""
    threads: int = 1
    parallel: int = 1
    timeout: float | None = None
    memory: int | None = None
    grace: float = 10.0
    gpu: str | None = None
    search_path: tuple[str, ...] = ()
    """Where Python found modules in the process that asked."""

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return Path(self.results) / self.place

    @property
    def run_id(self) -> str:
        """Of the record that is expected."""
        return str(self.identity["run_id"])

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


def run_name(identity: Mapping[str, Any]) -> str:
    """What a reader calls the run."""
    from cwbench.records.record import method_label, preset_label

    changed = ", ".join(f"{k}={v}" for k, v in identity["task"]["changed"].items())
    method = method_label(identity["method"]["name"], identity["method"]["changed"])
    task = f"{identity['task']['name']} {changed}".strip()
    return f"{task} / {method} / {preset_label(identity)} / seed {identity['seed']}"


def from_json(text: str) -> Job:
    """The job in a line of JSON that `to_json` wrote."""
    content = json.loads(text)
    return Job(**content | {"search_path": tuple(content["search_path"])})


def main() -> None:
    """Carry out the job on standard input, in this process."""
    warn_in_a_line()
    lifeline = os.dup(0)
    with Path(os.devnull).open() as nothing:  # a plugin that reads its input gets none
        os.dup2(nothing.fileno(), 0)
    line, _, _ = _line(lifeline).partition(b"\n")
    if not line:
        return
    job = from_json(line.decode())
    threading.Thread(target=_stop_when_closed, args=(lifeline, job.grace), daemon=True).start()
    os.environ.update(variables(job.threads, job.gpu))
    sys.path += [place for place in job.search_path if place not in sys.path]
    try:
        _carry_out(job)
    except CwbenchError as error:
        sys.stderr.write(f"cwbench: {error}\n")
        sys.exit(TOLD)


def _line(source: int) -> bytes:
    """Bytes up to a line's end; read from the descriptor, so that no buffer holds a lock."""
    parts = b""
    while b"\n" not in parts and (part := os.read(source, READ_BYTES)):
        parts += part
    return parts


def _stop_when_closed(lifeline: int, grace: float) -> None:
    """Ask this process to stop once the other end is closed; end it if that takes too long."""
    while os.read(lifeline, READ_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _carry_out(job: Job) -> None:
    from cwbench.machine.environment import device_of
    from cwbench.records import runs
    from cwbench.running.request import resolve
    from cwbench.running.run import Runner

    request = resolve(
        job.task, job.method, preset=job.preset, seed=job.seed, given=job.settings, nfe=job.nfe,
        metrics=job.metrics,
    )  # fmt: skip
    if request.run_id != job.run_id:
        raise CwbenchError(
            "the code or data of this run changed while the sweep ran; type the same command again"
        )
    runner = Runner(
        request, Path(job.results), device_of(job.device), job.keep_samples,
        job.checkpoint_seconds, job.parallel, claimed=True,
    )  # fmt: skip
    record = runner.carry_out(force=job.force, quiet=True).record
    left = runs.read(runner.directory)
    if left is not None and left.status != record.status:  # what was added failed; the run stands
        raise CwbenchError(f"{record.status}: {record.error}")


if __name__ == "__main__":
    ending(main)
