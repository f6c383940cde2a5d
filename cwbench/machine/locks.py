"""One writer for a directory: locks that the system releases, however their holder ends.

Some file systems have no such locks (Lustre as it is often mounted, some NFS). There
`$CWBENCH_LOCKS=files` has every process of a machine or cluster use files instead, which name the
host, the processes that hold them and when each began; once all of them ended, their file is taken
over on their own host, and elsewhere it is removed by hand.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

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
UNWRITTEN_SECONDS = 60.0
"""How long a lock file that cannot be read may be one that is just written."""
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
ENDED, UNKNOWN = "ended", "unknown"


class _Holder(NamedTuple):
    """A lock file that names this process, and what it holds."""

    path: Path
    content: str


_HELD: dict[int, _Holder | None] = {}
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


def remedy(directory: Path) -> str:
    """What to add to "another process has it": a killed one on another host is told by nobody."""
    return f"; if none does, remove {directory / HOLDER}" if as_files() else ""


def claim(directory: Path) -> int | None:
    """Hold a run's directory: an open file that keeps the lock, or None if another has it.

    `released` gives it back; a lock of the system goes with the last process that has it open.

    Raises:
        OSError: if the directory cannot be made or written.
        NoLocksError: if its file system has no locks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = _hold(directory / HOLDER) if as_files() else _claimed_by_system(directory)
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
    except PermissionError as refused:
        try:
            lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:  # it could not be made
            raise refused from None
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
    holder = _HELD.get(lock)
    with suppress(OSError):
        if holder is None:
            fcntl.flock(lock, fcntl.LOCK_UN)
        else:  # before it is forgotten: a file of ours that we do not know is a dead one's
            _unlink(*holder)
    _HELD.pop(lock, None)
    os.close(lock)


def share(lock: int, child: int) -> None:
    """Let a child hold a claim as well; one of the system it holds by the file it inherits."""
    holder = _HELD.get(lock)
    if holder is not None:
        line = _line_of(child)
        file = os.open(holder.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            _write(file, line)
        finally:
            os.close(file)
        _HELD[lock] = _Holder(holder.path, holder.content + line)


def _line_of(number: int) -> str:
    """How a lock file names a process; no two are equal."""
    return f"{socket.gethostname()} {number} {_began(number)} {secrets.token_hex(8)}\n"


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


def _hold(path: Path, deep: int = 4) -> int | None:
    """Make the file that says who holds a directory, in the place of a dead one's.

    Args:
        path: of the file.
        deep: how many may have been killed while they took over from one that was killed so.
    """
    for _ in range(2):
        if _is_held(path):
            return None
        if deep:
            _take_away(path, deep - 1)
        lock = _made(path)
        if lock is not None:
            return lock
    return None


def _take_away(path: Path, deep: int) -> None:
    """Remove a dead holder's file.

    Whoever does holds a second file, which is named after what the dead one wrote. No two claims
    write the same, so that what is read again under it is that dead one's, or is left alone.
    """
    dead = _content(path)
    if dead is None or _lives(path, dead):
        return
    name = hashlib.sha256(f"{path.name} {dead}".encode()).hexdigest()[:16]
    guard = _hold(path.with_name(f"{HOLDER}.{name}"), deep)
    if guard is not None:
        with released(guard):
            _unlink(path, dead)


def _unlink(path: Path, content: str) -> None:
    """Remove a lock file that holds this, and no other."""
    with suppress(OSError):
        if _content(path) == content:
            path.unlink()


def _made(path: Path) -> int | None:
    """Put a lock file with all its content in its place; None if there is one."""
    content = _line_of(os.getpid())
    token = content.split()[-1]
    aside, linked = path.with_name(f"{HOLDER}.{token}"), False
    lock = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    _HELD[lock] = _Holder(path, content)
    try:
        _write(lock, content)
        linked = _linked(aside, path, content)
    finally:
        with suppress(OSError):
            aside.unlink()
        if not linked:
            release(lock)
    return lock if linked else None


def _write(file: int, content: str) -> None:
    """Write it whole, onto the disk, where other hosts see it."""
    data = content.encode()
    if os.write(file, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def _linked(aside: Path, path: Path, content: str) -> bool:
    """Give a file its second name unless another has it."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return _content(path) == content  # NFS may lose the answer and ask again
    except OSError as failure:
        if failure.errno not in NO_LINKS:
            raise
        return _written(path, content)
    return True


def _written(path: Path, content: str) -> bool:
    """The same where there are no hard links; killed in between it leaves an unreadable file."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    try:
        _write(file, content)
    except BaseException:
        path.unlink()
        raise
    finally:
        os.close(file)
    return True


def _content(path: Path) -> str | None:
    """What a lock file holds; None if there is none."""
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None


def _is_held(path: Path) -> bool:
    """Whether there is a lock file of a process that may be alive."""
    try:
        content = _content(path)
        return content is not None and _lives(path, content)
    except OSError:  # somebody else's
        return True


def _lives(path: Path, content: str) -> bool:
    """Whether a process that a lock file names may be alive; one on another host may.

    A line has its host, its number and (but for earlier versions) when it began: numbers are given
    again. Nobody's is a file that cannot be read and is not being written.
    """
    lines = content.splitlines() or [""]
    return any(_line_lives(path, line, content) for line in lines)


def _line_lives(path: Path, line: str, content: str) -> bool:
    host, number, began, *_ = [*line.split(), "", "", ""]
    if not (number.isascii() and number.isdecimal()):
        try:
            return time.time() - path.stat().st_mtime < UNWRITTEN_SECONDS
        except FileNotFoundError:  # removed in between
            return False
    if host != socket.gethostname():
        return True
    if number == str(os.getpid()):
        return content in {held.content for held in _HELD.copy().values() if held}
    return _is_running(number, began)


def _is_running(number: str, began: str) -> bool:
    """Whether a process of this host is there, and began when it says (if it does)."""
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    now = _began(int(number))
    return now != ENDED and (now == began or UNKNOWN in (now, began or UNKNOWN))


def _began(number: int) -> str:
    """When a process of this host began, in one word that stays the same as long as it lives."""
    try:  # in ticks since the start of the system: no correction of the clock moves it
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return ENDED if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return UNKNOWN if Path("/proc/self/stat").exists() else _began_by_clock(number)


def _began_by_clock(number: int) -> str:
    import psutil

    try:
        process = psutil.Process(number)
        if process.status() == psutil.STATUS_ZOMBIE:
            return ENDED
        return f"{process.create_time():.0f}"
    except psutil.Error:
        return UNKNOWN
