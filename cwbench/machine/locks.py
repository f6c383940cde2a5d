"""One writer for a directory: locks that the system releases, however their holder ends.

Some file systems have no such locks (Lustre as it is often mounted, some NFS). There
`$CWBENCH_LOCKS=files` has every process of a machine or cluster use files instead, which name the
host and the process that holds them; a killed holder's file is taken over on its own host, and
elsewhere it is removed by hand.
"""

from __future__ import annotations

import errno
import os
import platform
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cwbench.errors import CwbenchError, UsageError
from cwbench.machine.files import NotAFileError, kind_of

try:
    import fcntl
except ImportError as error:
    raise CwbenchError(
        f"cwbench runs on Linux and macOS, and this is {platform.system()}: there is no fcntl "
        "here, whose file locks keep two processes from computing one run. On Windows use WSL."
    ) from error

VARIABLE = "CWBENCH_LOCKS"
LOCK, HOLDER = ".lock", ".lock.holder"

LOOK_SECONDS = 0.2
"""How long a claim is tried: who looks whether a run is running holds it for a moment."""
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)

_HELD: dict[int, Path | None] = {}
"""Locks of this process by the open file, with the file that names it where locks are files."""


class NoLocksError(CwbenchError, OSError):
    """The file system of a directory has no locks."""

    def __init__(self, directory: Path) -> None:
        """Say what to do.

        Args:
            directory: that cannot be locked.
        """
        super().__init__(
            f"the file system of {directory} has no file locks (flock). Name another results "
            f"directory with --results DIR, or set {VARIABLE}=files for every process that uses it"
        )


def is_lock(name: str) -> bool:
    """Whether a file of this name in a run's directory is a lock, which stays where it is."""
    return name in (LOCK, HOLDER) or name.startswith(f"{HOLDER}.")


def as_files() -> bool:
    """Whether locks are files.

    Raises:
        UsageError: if the variable has another value than `files` or `flock`.
    """
    chosen = os.environ.get(VARIABLE) or "flock"
    if chosen not in ("files", "flock"):
        raise UsageError(f"${VARIABLE} is {chosen!r}; files or flock is needed")
    return chosen == "files"


def claim(directory: Path) -> int | None:
    """Hold a run's directory: an open file that keeps the lock, or None if another has it.

    `released` gives it back; a lock of the system goes with the last process that has it open.

    Raises:
        OSError: if the directory cannot be made or written.
        NoLocksError: if its file system has no locks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = _holder(directory) if as_files() else _claimed_by_system(directory)
    if lock is not None:
        _HELD.setdefault(lock, None)
    return lock


def _claimed_by_system(directory: Path) -> int | None:
    lock = _opened(directory / LOCK)
    try:
        deadline = time.monotonic() + LOOK_SECONDS
        while not try_lock(lock, directory):
            if time.monotonic() > deadline:
                os.close(lock)
                return None
            time.sleep(LOOK_SECONDS / 10)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _opened(path: Path) -> int:
    """A lock open for writing, or for reading where another user made it."""
    flags = os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        lock = os.open(path, os.O_RDWR | flags, 0o666)
    except IsADirectoryError:
        raise NotAFileError(path, "a directory") from None
    except PermissionError:
        lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = kind_of(lock)
    if kind:
        os.close(lock)
        raise NotAFileError(path, kind)
    return lock


def try_lock(lock: int, directory: Path) -> bool:
    """Lock an open file for this process alone; False if another has it.

    Raises:
        NoLocksError: if the file system of the directory has no locks.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as failure:
        if failure.errno in UNSUPPORTED:
            raise NoLocksError(directory) from None
        raise
    return True


@contextmanager
def released(lock: int) -> Iterator[None]:
    """Give a claim back at the end."""
    try:
        yield
    finally:
        release(lock)


def release(lock: int) -> None:
    """Give a claim back, whoever else has inherited the open file."""
    holder = _HELD.pop(lock, None)
    with suppress(OSError):
        if holder is None:
            fcntl.flock(lock, fcntl.LOCK_UN)
        else:
            holder.unlink()
    os.close(lock)


def _leave_to_parent() -> None:
    """What this process forks does not keep its locks."""
    for lock in _HELD:
        with suppress(OSError):
            os.close(lock)
    _HELD.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def claimed(directory: Path) -> bool:
    """Whether a process, here or on a machine that shares the file system, holds it."""
    if as_files():
        return _is_held(directory / HOLDER)
    try:
        lock = os.open(directory / LOCK, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no lock: never started, or just removed
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment; `claim` waits for it
    except BlockingIOError:
        return True
    except OSError:  # nothing can be locked there
        return False
    finally:
        os.close(lock)
    return False


def _holder(directory: Path) -> int | None:
    """Make the file that says who holds a directory, in the place of a dead one's."""
    path = directory / HOLDER
    for _ in range(2):
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            if _is_held(path):
                return None
            _take_away(path)
            continue
        os.write(lock, f"{socket.gethostname()} {os.getpid()}\n".encode())
        _HELD[lock] = path
        return lock
    return None


def _take_away(path: Path) -> None:
    """Remove a dead holder's file; under another name first, so that one process alone does."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with suppress(OSError):
        path.rename(aside)
        if _is_held(aside):  # somebody else's, who was faster
            os.link(aside, path)
        aside.unlink()


def _is_held(path: Path) -> bool:
    """Whether the process that made a lock file may be alive; one on another host may."""
    try:
        host, number = path.read_text().split()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):  # being written
        return True
    if host != socket.gethostname():
        return True
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True
