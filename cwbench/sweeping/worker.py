"""A run in a process of its own, under limits: what every engine starts for every run.

`python -m cwbench.sweeping.worker` reads a job from standard input, holds the run's directory,
starts `cwbench.sweeping.job`, or calls the run that a nursery left to it, and watches it:

* **time**: at the limit the run gets TERM, which lets it write a checkpoint, then `grace` seconds,
  then KILL.
* **memory**: what the run and its children have resident is added up five times a second; above the
  limit they get KILL. A limit on address space (`ulimit -v`) would be exact, and useless: torch and
  CUDA reserve many times what they use.
* **the asker**: when standard input closes, whoever asked is gone or wants the run to stop; it is
  ended as at the time limit. A second TERM ends it at once.

A run that dies without a record gets one here, with the reason. The answer is one line of JSON on
standard output. No torch is imported: a worker takes 0.2 s and 20 MB, and cannot be held up by what
it watches.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from cwbench.errors import CorruptFileError, CwbenchError
from cwbench.machine.files import opened, sha256_of
from cwbench.machine.guests import alone, end_all_of
from cwbench.machine.locks import claim, released, share
from cwbench.machine.signals import hear_interrupts, stop_on_signal
from cwbench.sweeping.job import TOLD, Job, from_json
from cwbench.sweeping.limits import variables
from cwbench.sweeping.nursery import Waiting

if TYPE_CHECKING:
    from cwbench.records.record import Record, Status

POLL_SECONDS = 0.05
MEMORY_SECONDS = 0.2
LOG_TAIL_BYTES = 8192
ERROR_CHARACTERS = 500

Ended = Literal["run", "busy", "changed", "timeout", "memory", "stopped", "lost"]
"""How it ended: the run's own way; another process has the directory; somebody else has done the
run since it was asked for; a limit; the asker's wish; the worker itself died."""


@dataclass(frozen=True)
class Outcome:
    """What a worker answers; the record it speaks of is on disk, unless that is what failed."""

    ended: Ended
    status: Status | None = None
    error: str | None = None


STOPPED = Outcome("stopped", "interrupted", "stopped before it began; the same command goes on")


def start(job: Job) -> subprocess.Popen[str]:
    """A worker on this machine, in a session of its own: Ctrl-C at the terminal is ours to tell."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cwbench.sweeping.worker"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    with suppress(BrokenPipeError):  # its answer will say that it died
        assert process.stdin  # noqa: S101 - for the type checker
        process.stdin.write(job.to_json() + "\n")
        process.stdin.flush()
    return process


class Process(Protocol):
    """A worker, however it began."""

    returncode: int | None

    def poll(self) -> int | None:
        """None while it lives."""

    def communicate(self) -> tuple[str, Any]:
        """All that it said, once it has ended."""

    def terminate(self) -> None:
        """Ask it to stop."""


def answer(job: Job, process: Process) -> Outcome:
    """What an ended worker said; one that said nothing was lost."""
    text, _ = process.communicate()
    try:
        return parsed(text.splitlines()[-1])
    except (IndexError, ValueError, TypeError):
        if process.returncode == -signal.SIGTERM:  # before it could answer to it
            return STOPPED
        return lost(job, "its worker ended without an answer")


def parsed(text: str) -> Outcome:
    """An outcome from its line of JSON."""
    return Outcome(**json.loads(text))


def lost(job: Job, error: str) -> Outcome:
    """The outcome of a worker that died, on record unless another process has the directory."""
    started = datetime.now(UTC)
    try:
        lock = claim(job.directory)
        if lock is not None:
            with released(lock):
                _leave_record(job, "failed", error, started)
    except (CwbenchError, OSError) as problem:
        error = f"{error}; no record could be written: {problem}"
    return Outcome("lost", "failed", error)


def run(text: str) -> str:
    """Start a worker for a job and wait for its answer: what the engines of clusters call."""
    job = from_json(text)
    hear_interrupts()
    process = start(job)
    try:
        while process.poll() is None:  # Ray's cancel does not wake a process from a system call
            time.sleep(POLL_SECONDS)
    except BaseException:  # the cluster wants this process to end
        stop(process)
        _await(process)
        raise
    return json.dumps(asdict(answer(job, process)))


def _await(process: subprocess.Popen[str]) -> None:
    """Until it has ended; a cluster may interrupt again and again until this process has, too."""
    while process.returncode is None:
        with suppress(KeyboardInterrupt):
            process.wait()


def stop(process: Process) -> None:
    """Ask a worker to end its run: once with its checkpoint, twice at once."""
    with suppress(ProcessLookupError):
        process.terminate()


def main() -> None:
    """Watch the job on standard input; answer on standard output."""
    stop_asked = threading.Event()
    born = Waiting(*map(int, sys.argv[1:])) if sys.argv[1:] else None
    with stop_on_signal(stop_asked):
        try:
            line = sys.stdin.readline()
            with alone():  # what left its group and its parent goes too
                outcome = _supervised(from_json(line), born, stop_asked) if line else STOPPED
        except KeyboardInterrupt:
            outcome = STOPPED
        finally:
            if born is not None and born.returncode is None:  # it was not called
                end_all_of(born)
        with suppress(BrokenPipeError):  # nobody listens any more
            os.write(sys.stdout.fileno(), f"{json.dumps(asdict(outcome))}\n".encode())


def _supervised(job: Job, born: Waiting | None, stop_asked: threading.Event) -> Outcome:
    """The outcome of a job, carried out here if nobody else does it or has done it."""
    try:
        lock = claim(job.directory)
        if lock is None:
            return Outcome("busy")
        with released(lock):
            if sha256_of(job.directory / "record.json") != job.replaces:
                return Outcome("changed")
            return _carried_out(job, born, lock, stop_asked)
    except (CwbenchError, OSError) as error:
        problem = getattr(error, "strerror", None) or error
        return Outcome("run", "failed", f"{job.directory} cannot be written: {problem}")


def _carried_out(job: Job, born: Waiting | None, lock: int, stop_asked: threading.Event) -> Outcome:
    started, kills = datetime.now(UTC), _kernel_kills()
    with opened(job.directory / "log.txt", append=True) as log:
        child = born or _program(job, log, lock)
        try:
            share(lock, child.pid)  # it goes on for a while if this process is killed
            if isinstance(child, Waiting):
                child.begin(job, log.fileno(), lock)
            else:
                with suppress(BrokenPipeError):
                    assert child.stdin  # noqa: S101 - for the type checker
                    child.stdin.write(f"{job.to_json()}\n".encode())
                    child.stdin.flush()
            ended = _Watch(job, child, stop_asked).wait()
        except KeyboardInterrupt:
            ended = "stopped"
        finally:
            end_all_of(child)
    status, error = _verdict(job, ended, child.returncode, killed_here=_kernel_kills() > kills)
    return _concluded(job, ended, child.returncode, status, error, started)


def _program(job: Job, log: IO[bytes], lock: int) -> subprocess.Popen[bytes]:
    """The run as a program of its own."""
    limits = variables(job.threads, job.gpu)
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "faulthandler", "-m", "cwbench.sweeping.job"],
        stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, pass_fds=[lock],
        env=os.environ | limits | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


class _Watch:
    """Waits for a run's process, and ends it where a limit says so."""

    def __init__(
        self, job: Job, child: subprocess.Popen[bytes] | Waiting, stop_asked: threading.Event
    ) -> None:
        self.job, self.child, self.stop_asked = job, child, stop_asked
        self.started = self.looked = time.monotonic()

    def wait(self) -> Ended:
        """How it ended; on return the process may be left to be killed."""
        while self.child.poll() is None:
            reason = self._reason()
            if reason == "memory":  # no time to lose
                return reason
            if reason:
                with suppress(ProcessLookupError):
                    self.child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self.child.wait(self.job.grace)
                return reason
        return "run"

    def _reason(self) -> Ended | None:
        """Why to end it now; takes `POLL_SECONDS`."""
        closed, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if self.stop_asked.is_set() or closed:
            return "stopped"
        now = time.monotonic()
        if self.job.timeout is not None and now - self.started > self.job.timeout:
            return "timeout"
        if self.job.memory is not None and now - self.looked > MEMORY_SECONDS:
            self.looked = now
            if _resident_bytes(self.child.pid) > self.job.memory:
                return "memory"
        return None


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants."""
    import psutil

    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def _kernel_kills() -> int:
    """How often the kernel has ended a process because memory ran out; 0 where it does not say."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _verdict(
    job: Job, ended: Ended, returncode: int | None, *, killed_here: bool
) -> tuple[Status, str]:
    """Status and reason for a run that left no record of its own."""
    if ended == "timeout":
        return "timeout", f"ran longer than the limit of {job.timeout:g} s"
    if ended == "memory":
        return "oom", f"used more memory than the limit of {job.memory} bytes"
    if ended == "stopped":
        return "interrupted", "stopped before it was done; the same command goes on"
    last = _last_line(job.directory / "log.txt")
    if returncode == TOLD and last.startswith("cwbench: "):
        return "failed", last.removeprefix("cwbench: ")
    said = f"; the last line of its log: {last}" if last else ""
    if returncode == -signal.SIGKILL and killed_here:
        return "oom", f"the system ended it because memory ran out{said}"
    return "failed", f"its process {_end_of(returncode)} without a record{said}"


def _end_of(returncode: int | None) -> str:
    if returncode is not None and returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit status {returncode}"


def _last_line(log: Path) -> str:
    """The last line that tells something."""
    with suppress(OSError), opened(log) as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        saying = fatal or [line for line in lines if line.strip()]
        return saying[-1].strip()[:ERROR_CHARACTERS] if saying else ""
    return ""


def _concluded(
    job: Job, ended: Ended, returncode: int | None, status: Status, error: str, started: datetime
) -> Outcome:
    """The outcome by the record that the run left, or that is written for it now."""
    changed = sha256_of(job.directory / "record.json") != job.replaces
    left = _record_of(job)
    if left is not None and _stands(left, ended, returncode, changed=changed):
        return Outcome(ended, left.status, left.error)
    try:
        _leave_record(job, status, error, started)
    except (CwbenchError, OSError) as problem:
        why = getattr(problem, "strerror", None) or problem
        error = f"{error}; no record could be written: {why}"
    return Outcome(ended, status, error)


def _stands(left: Record, ended: Ended, returncode: int | None, *, changed: bool) -> bool:
    """Whether a record on disk is what the run had to say."""
    if not changed:  # a run that finds all it was asked for leaves the record as it is
        return returncode == 0 and left.status in ("ok", "skipped")
    return left.status != "interrupted" or ended in ("run", "stopped")


def _record_of(job: Job) -> Record | None:
    """The run's record on disk."""
    from cwbench.records import runs as records

    with suppress(CorruptFileError):
        left = records.read(job.directory)
        if left is not None and left.run_id == job.run_id:
            return left
    return None


def _leave_record(job: Job, status: Status, error: str, started: datetime) -> None:
    """Write the record of a run that left none; one that is ok stays."""
    from dataclasses import replace

    from cwbench.records import runs as records

    left = _record_of(job)
    if left is not None and left.status == "ok":
        return
    if left is not None and left.status == "interrupted":
        record = replace(left, status=status, error=_published(error, job))
    else:
        record = lost_record(job, status, error, started)
    records.write(job.directory, record)


def _published(error: str, job: Job) -> str:
    """A reason without the paths among the settings: the identity tells them otherwise."""
    from cwbench.running.recorded import without_paths

    told = job.identity["settings"]
    named = {k: [Path(str(v))] for k, v in job.settings.items() if told.get(k) != str(v)}
    return without_paths(error, named)


def lost_record(job: Job, status: Status, error: str, started: datetime) -> Record:
    """The record of a run that died: what was asked, and why there is nothing."""
    from cwbench.machine.environment import machine
    from cwbench.records.record import Record

    limits: dict[str, Any] = {
        "threads": job.threads, "parallel": job.parallel if job.parallel > 1 else False,
    }  # fmt: skip
    return Record(
        **job.identity,
        status=status,
        error=_published(error, job),
        metrics={},
        diagnostics={},
        cost={},
        environment=machine() | limits,
        files={},
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


if __name__ == "__main__":
    main()
