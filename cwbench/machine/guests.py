"""Plugins are guests of a process: it stays where it was, answers alone, and ends when it is done.

A method may change the working directory, fork, print to descriptor 1, and leave threads and
processes behind. None of it reaches the answer of a command, nor keeps the command from ending.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn, Protocol, TypeVar

from cwbench.errors import ContractError, message_of

if TYPE_CHECKING:
    import psutil

LEAVE_SECONDS = 5.0
"""What threads and exit handlers that are left have to end."""
PR_SET_CHILD_SUBREAPER = 36

_exit = os._exit
"""While guests are there, `os._exit` raises (`alone`)."""

_is_program = False
"""Whether this process ends with its command: then what is left never gets standard output back."""


@contextlib.contextmanager
def visiting() -> Iterator[None]:
    """Code of a plugin runs inside: afterwards working directory and umask are what they were.

    Where it forked, the copy ends here: two would write one record and answer twice.
    """
    process, place, mask = os.getpid(), _place(), _mask()
    try:
        yield
    finally:
        if os.getpid() != process:
            os._exit(0)
        if mask is not None and _mask() != mask:
            os.umask(mask)
        if place is not None and _place() != place:
            with contextlib.suppress(OSError):
                os.chdir(place)


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Inside, a plugin that exits, or raises what is no exception, costs its own part alone.

    Raises:
        ContractError: in the place of both.
    """
    try:
        with visiting():
            yield
    except (Exception, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as failure:
        raise ContractError(f"a plugin ended it: {message_of(failure)}") from failure


def _mask() -> int | None:
    """The umask where the system tells it: to read it otherwise changes it for other threads."""
    try:
        status = Path("/proc/self/status").read_bytes()
        return int(status.partition(b"Umask:")[2].split(maxsplit=1)[0], 8)
    except (OSError, ValueError, IndexError):
        return None


def _place() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - called for every draw
    except OSError:  # removed
        return None


T = TypeVar("T")


def step_by_step(steps: Iterator[T]) -> Iterator[T]:
    """The same, where code of a plugin runs in every step."""
    while True:
        with visiting():
            try:
                found = next(steps)
            except StopIteration:
                return
        yield found


@contextlib.contextmanager
def apart() -> Iterator[IO[str]]:
    """Inside, what anybody writes to standard output goes to standard error; yields the real one.

    Descriptor 1 itself is redirected, so that neither `os.write`, a C library, a child process nor
    `sys.__stdout__` gets past. It comes back at the end, unless the program ends then.
    """
    answers = sys.stdout
    if answers is None or not _is_open(1) or not _is_open(2):
        with contextlib.redirect_stdout(sys.stderr):
            yield answers
        return
    answers.flush()
    real = os.dup(1)
    own = answers is sys.__stdout__
    if own:
        answers = open(  # noqa: SIM115 - as long as the program lives
            real, "w", encoding=answers.encoding, errors=answers.errors, closefd=False
        )
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield answers
    finally:
        answers.flush()
        _flush_guests()
        if not (_is_program and own):
            os.dup2(real, 1)
            os.close(real)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _flush_guests() -> None:
    """Write out what guests left in the buffers of Python and of C."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.__stdout__.flush()  # type: ignore[union-attr]  # None without one
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def ending(command: Callable[[], object]) -> NoReturn:
    """Carry out a command and end the process, whatever threads and exit handlers are left."""
    global _is_program
    _is_program, status = True, 0
    try:
        command()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
    except BaseException:  # noqa: BLE001 - told as Python tells it
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    threading.Thread(target=_leave, args=(status,), daemon=True).start()
    sys.exit(status)


def is_program() -> bool:
    """Whether this process is a program of ours, which ends with its command."""
    return _is_program


def end_at_once(status: int) -> NoReturn:
    """End this process and what it has started, whatever its other threads do."""
    import psutil

    for child in psutil.Process().children():
        _end(child)
    _exit(status)


def _leave(status: int) -> NoReturn:
    time.sleep(LEAVE_SECONDS)
    _exit(status)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """At the end, every process that began inside is ended, and what it has started.

    Where the system can (Linux), those whose parents ended are adopted, so that none escapes.
    """
    import psutil

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    this = psutil.Process()
    before = {process.pid for process in this.children()}
    try:
        with _ending_by_exception():
            yield
    finally:
        for child in this.children():
            if child.pid not in before:
                _end(child)


@contextlib.contextmanager
def _ending_by_exception() -> Iterator[None]:
    """Inside, `os._exit` raises: a plugin that ends this process would take its record along.

    What is forked ends as it does.
    """
    process, at_once = os.getpid(), os._exit

    def leave(status: int = 0) -> NoReturn:
        if os.getpid() != process:
            at_once(status)
        raise SystemExit(f"os._exit({status}) was called, which would end the whole process")

    os._exit = leave
    try:
        yield
    finally:
        os._exit = at_once


def _end(child: psutil.Process) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [*child.children(recursive=True), child]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


class Child(Protocol):
    """A process that this one started."""

    pid: int

    def wait(self) -> int:
        """Until it has ended."""


def end_all_of(child: Child) -> None:
    """End what is left of a child: the process, its group, and descendants that left the group."""
    import psutil

    left = []
    with contextlib.suppress(psutil.NoSuchProcess):
        left = psutil.Process(child.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()
