"""Files that are either whole or absent: written beside their place, fsynced, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cwbench.errors import CwbenchError, UsageError

KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
"""What may stand in the place of a file."""

PART_BYTES = 2**20
LARGEST = 16 * 2**30
"""Bytes of a file that is read: the pairs that `knn` keeps of CIFAR-10 are 0.6 GB, and what is
larger than 16 GiB fits into few memories."""


class TooLargeError(CwbenchError, OSError):
    """A file is larger than any of its kind; it was not read."""

    def __init__(self, path: Path, size: int, most: int) -> None:
        """Say how large.

        Args:
            path: of the file.
            size: of it, in bytes.
            most: that are read.
        """
        super().__init__(f"{path} has {size:,} bytes, and {most:,} are the most that is read")


class NotAFileError(CwbenchError, OSError):
    """Something else stands where a file should be; it was not read."""

    def __init__(self, path: Path, kind: str) -> None:
        """Say what.

        Args:
            path: where it stands.
            kind: of it.
        """
        super().__init__(f"{path} is {kind}, not a file; move it away")


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


def contents(path: Path, most: int = LARGEST) -> bytes:
    """The content of a file; what is no file is refused, where reading it might wait for ever.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        NotAFileError: if it is a directory, a FIFO, a socket or a device.
        TooLargeError: if it has more.
        OSError: if there is none, or it cannot be read.
    """
    with limited(path, most) as file:
        return file.read()


def limited(path: Path, most: int = LARGEST) -> BinaryIO:
    """A file open for reading; as `contents`, without reading it."""
    file = opened(path)
    size = os.fstat(file.fileno()).st_size
    if size > most:
        file.close()
        raise TooLargeError(path, size, most)
    return file


def kind_of(number: int) -> str | None:
    """What an open file is, where it is none."""
    return KINDS.get(stat.S_IFMT(os.fstat(number).st_mode))


def opened(path: Path, *, append: bool = False) -> BinaryIO:
    """A file open for reading, or made if need be and open at its end; as `contents`."""
    way = os.O_WRONLY | os.O_APPEND | os.O_CREAT if append else os.O_RDONLY
    try:
        number = os.open(path, way | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise NotAFileError(path, "a socket, or a FIFO that nobody reads") from None
        if append and error.errno == errno.EISDIR:
            raise NotAFileError(path, "a directory") from None
        raise
    kind = kind_of(number)
    if kind:
        os.close(number)
        raise NotAFileError(path, kind)
    return os.fdopen(number, "ab" if append else "rb")


def sha256_of(path: Path, most: int = LARGEST) -> str:
    """SHA-256 of a file, empty where there is none; as `contents`, without holding it."""
    sha256 = hashlib.sha256()
    try:
        with limited(path, most) as file:
            while part := file.read(PART_BYTES):
                sha256.update(part)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return sha256.hexdigest()


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents in a folder; empty where there is none.

    Names that begin with a dot do not count.
    """
    if not path.is_dir():
        return sha256_of(path, sys.maxsize)
    inside = (file.relative_to(path).parts for file in sorted(path.rglob("*")) if file.is_file())
    shown = (parts for parts in inside if not any(part.startswith(".") for part in parts))
    lines = (
        f"{'/'.join(parts)}\0{sha256_of(path.joinpath(*parts), sys.maxsize)}\n" for parts in shown
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@contextmanager
def switched_directory(path: Path) -> Iterator[Path]:
    """A new directory to fill, which takes the place of `path` once all of it is there.

    Raises:
        OSError: if it cannot be made.
    """
    new, old = (path.with_name(f".{path.name}.{secrets.token_hex(8)}") for _ in range(2))
    try:
        new.mkdir(parents=True)
        yield new
        with suppress(FileNotFoundError):
            path.rename(old)
        new.rename(path)
    finally:
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def writable_directory(
    path: Path, *, what: str = "results", option: str = "--results DIR or $CWBENCH_RESULTS"
) -> Path:
    """Create `path` and prove that it can be written.

    Args:
        path: the directory.
        what: an error calls it.
        option: to name another by.

    Raises:
        UsageError: if it cannot; the reason is given.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UsageError(
            f"the {what} directory {str(path)!r} cannot be written: {error.strerror or error}. "
            f"Name another with {option}."
        ) from error
    return path
