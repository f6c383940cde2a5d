"""Files that are either whole or absent: written beside their place, fsynced, renamed."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cwbench.errors import CwbenchError, UsageError

try:
    import fcntl
except ImportError as error:
    raise CwbenchError(
        f"cwbench runs on Linux and macOS, and this is {platform.system()}: there is no fcntl "
        "here, whose file locks keep two processes from computing one run. On Windows use WSL."
    ) from error

LOOK_SECONDS = 0.2
"""How long a claim is tried: who looks whether a run is running holds it for a moment."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees the old file or the new one, never a part.

    Raises:
        OSError: if the directory cannot be written or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:  # mkstemp would hide it from the user's group
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def claim(directory: Path) -> int | None:
    """Hold a run's directory: an open file that keeps the lock, or None if another has it.

    The system releases it when the last process that has the file open ends, however it ends.

    Raises:
        OSError: if the directory cannot be made.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        deadline = time.monotonic() + LOOK_SECONDS
        while not _locked(lock):
            if time.monotonic() > deadline:
                os.close(lock)
                return None
            time.sleep(LOOK_SECONDS / 10)
    except BaseException:
        os.close(lock)
        raise
    _held.add(lock)
    return lock


_held: set[int] = set()
"""Locks of this process: what it forks does not keep them."""


@contextmanager
def released(lock: int) -> Iterator[None]:
    """Give a directory back at the end."""
    try:
        yield
    finally:
        release(lock)


def release(lock: int) -> None:
    """Give a directory back, whoever else has inherited the open file."""
    _held.discard(lock)
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _leave_to_parent() -> None:
    for lock in _held:
        with suppress(OSError):
            os.close(lock)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def claimed(directory: Path) -> bool:
    """Whether a process, here or on a machine that shares the file system, holds it."""
    try:
        with (directory / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for a moment; `claim` waits for it
    except BlockingIOError:
        return True
    except OSError:  # no lock: never started, or just removed
        return False
    return False


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, empty where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents in a folder; empty where there is none.

    Names that begin with a dot do not count.
    """
    if not path.is_dir():
        return sha256_of(path)
    inside = (file.relative_to(path).parts for file in sorted(path.rglob("*")) if file.is_file())
    shown = (parts for parts in inside if not any(part.startswith(".") for part in parts))
    lines = (f"{'/'.join(parts)}\0{sha256_of(path.joinpath(*parts))}\n" for parts in shown)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def writable_directory(path: Path) -> Path:
    """Create `path` and prove that it can be written.

    Raises:
        UsageError: if it cannot; the reason is given.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(
            f"the results directory {str(path)!r} cannot be written: {error.strerror or error}. "
            "Name another with --results DIR or $CWBENCH_RESULTS."
        ) from error
    return path
