"""One import for many runs: where the runs of a sweep on this machine are born (Linux).

A run in a process of its own spends two to four seconds on imports, more than a small run takes.
Here one process imports what every run needs, and forks for each:

    nursery --fork--> worker --fork--> run

It imports the suite and nothing of a guest, whose modules are imported by the run that names them,
as ever. The worker is the same light program (`cwbench.sweeping.worker`), executed anew by a
process whose child waits to become the run: so the run is still the worker's own child, watched,
ended and cleaned up after like any. Elsewhere than on Linux, where forking a process that has torch
in it is not safe, and on clusters, the worker starts the run as a program.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import BinaryIO, TextIO

from cwbench.machine.guests import ending
from cwbench.sweeping.job import Job
from cwbench.sweeping.job import main as carry_out
from cwbench.sweeping.limits import thread_variables

POSSIBLE = sys.platform == "linux"
"""Whether runs can be born here."""
NEEDED = (
    "cwbench.running.run", "cwbench.running.request", "cwbench.machine.environment",
    "pandas", "pyarrow.parquet", "pydantic",
)  # fmt: skip
"""What every run imports beside its task, method and metrics."""
POLL_SECONDS = 0.05
LOST = 255
"""Status of a worker of which nothing is known but that it ended."""
READ_BYTES = 2**16


class Nursery:
    """The nursery of a sweep, seen from the sweep: begun with the first run, closed at the end."""

    def __init__(self, threads: int) -> None:
        """Nothing begins yet.

        Args:
            threads: of each run; decided when libraries are imported, so the same for all.
        """
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._calls: socket.socket | None = None

    def start(self, job: Job) -> Born:
        """A worker for a job, in a session of its own; it begins once the imports are done."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._open()
        assert self._calls  # noqa: S101 - for the type checker
        line_end, line = os.pipe()
        answer, answer_end = os.pipe()
        with suppress(OSError):  # it died this moment, which its answer will say
            socket.send_fds(self._calls, [b"\n"], [line_end, answer_end])
        os.close(line_end)
        os.close(answer_end)
        born = Born(line, answer)
        born.tell(job)
        return born

    def _open(self) -> None:
        self._calls, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", "-m", "cwbench.sweeping.nursery"],
                stdin=theirs.fileno(), stdout=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | thread_variables(self._threads) | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def close(self) -> None:
        """End it; what it has borne goes on."""
        if self._calls is not None:
            self._calls.close()
        if self._process is not None:
            self._process.kill()  # it holds nothing; it may still be importing
            self._process.wait()
        self._calls = self._process = None


class Born:
    """A worker of a nursery: what is asked of a `Popen`, of a process that is no child of ours.

    Its first line of output is its number, the last its answer; the end of its output is its end.
    """

    def __init__(self, line: int, answer: int) -> None:
        """It may not have begun.

        Args:
            line: descriptor of its standard input.
            answer: of its standard output.
        """
        self.returncode: int | None = None
        self._line: TextIO | None = open(line, "w")  # noqa: SIM115 - closed below
        self._answer, self._said = answer, b""
        self._told_to_stop = False

    def tell(self, job: Job) -> None:
        """Hand it its job."""
        assert self._line  # noqa: S101 - for the type checker
        with suppress(BrokenPipeError):
            self._line.write(job.to_json() + "\n")
            self._line.flush()

    def poll(self) -> int | None:
        """None while it lives."""
        while self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            part = os.read(self._answer, READ_BYTES)
            self._said += part
            if not part:
                os.close(self._answer)
                self._hang_up()
                self.returncode = -signal.SIGTERM if self._told_to_stop else LOST
        return self.returncode

    def wait(self) -> None:
        """Until it has ended."""
        while self.poll() is None:
            time.sleep(POLL_SECONDS)

    def communicate(self) -> tuple[str, None]:
        """What it said, once it has ended."""
        self.wait()
        return self._said.decode(errors="replace"), None

    def terminate(self) -> None:
        """Ask it to stop its run; the second time, at once."""
        if self._line is not None:
            self._hang_up()  # it may not be there to hear a signal
            self._told_to_stop = True
        elif self.poll() is None:
            number = self._said.partition(b"\n")[0]
            if number.isdigit():
                os.kill(int(number), signal.SIGTERM)

    def _hang_up(self) -> None:
        if self._line is not None:
            with suppress(OSError):
                self._line.close()
            self._line = None


class Waiting:
    """A run that was born before its worker, and waits: what a worker asks of a `Popen`."""

    def __init__(self, pid: int, calls: int) -> None:
        """As the nursery leaves it to the worker.

        Args:
            pid: its number; a child of this process.
            calls: descriptor by which it is called.
        """
        self.pid = pid
        self.returncode: int | None = None
        self._calls = socket.socket(fileno=calls)
        self._lifeline: BinaryIO | None = None

    def begin(self, job: Job, log: int, lock: int) -> None:
        """Let it carry out a job.

        Args:
            job: what to do.
            log: descriptor of its output.
            lock: of the claim on its directory, which it shares.
        """
        line, kept = os.pipe()
        self._lifeline = open(kept, "wb")  # noqa: SIM115, PTH123 - as long as this process lives
        with suppress(OSError):  # it was killed: that is seen as for any run
            socket.send_fds(self._calls, [b"\n"], [line, log, lock])
        os.close(line)
        with suppress(BrokenPipeError):
            self._lifeline.write(f"{job.to_json()}\n".encode())
            self._lifeline.flush()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        if self.returncode is None:
            number, status = os.waitpid(self.pid, os.WNOHANG)
            if number:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it has ended.

        Raises:
            subprocess.TimeoutExpired: if that takes longer.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("run", timeout or 0.0)
            time.sleep(POLL_SECONDS)
        return status

    def terminate(self) -> None:
        """Ask it to stop."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def main() -> None:
    """Import, then bear a worker and a run for every call on descriptor 0, until it is closed."""
    calls = socket.socket(fileno=os.dup(0))
    _nothing_on(0)
    _import_all()
    gc.collect()
    gc.freeze()  # pages without a change stay shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here asks how a worker ended
    while True:
        called, descriptors, _, _ = socket.recv_fds(calls, 1, 2)
        if not called:
            return
        if os.fork() == 0:
            calls.close()
            _become_worker_and_run(*descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _import_all() -> None:
    """Everything of the suite; a library that is missing is told by the run that needs it."""
    names = list(NEEDED)
    with suppress(PackageNotFoundError):
        names += sorted({point.module for point in distribution("cwbench").entry_points})
    for name in names:
        with suppress(ImportError):
            import_module(name)


def _become_worker_and_run(line: int, answer: int) -> None:
    """This process executes a worker; its child comes back once it has been the run."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(line, 0)
    os.dup2(answer, 1)
    os.close(line)
    os.close(answer)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    run = os.fork()
    if run:
        with suppress(BrokenPipeError):  # the sweep was killed: the worker sees it and ends
            os.write(1, f"{os.getpid()}\n".encode())
        calls = ours.detach()
        os.set_inheritable(calls, True)
        worker = [sys.executable, "-P", "-m", "cwbench.sweeping.worker", str(run), str(calls)]
        os.execv(sys.executable, worker)  # noqa: S606 - our own program
    os.setsid()
    ours.close()
    _nothing_on(0)
    _nothing_on(1)
    _be_the_run(theirs)


def _be_the_run(calls: socket.socket) -> None:
    """Wait for the job, and carry it out as the program `cwbench.sweeping.job` does."""
    with calls:
        called, descriptors, _, _ = socket.recv_fds(calls, 1, 3)
    if not called:  # its worker has no use for it
        return
    lifeline, log, _ = descriptors  # the lock is held by being open
    for source, target in ((lifeline, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(lifeline)
    os.close(log)
    carry_out()


def _nothing_on(descriptor: int) -> None:
    nothing = os.open(Path(os.devnull), os.O_RDWR)
    os.dup2(nothing, descriptor)
    os.close(nothing)


if __name__ == "__main__":
    ending(main)
