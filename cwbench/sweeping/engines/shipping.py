"""A run's directory as bytes, for machines that share no file system.

The bytes are a plain zip archive: nothing is unpickled, and a name that leads out of the directory
is refused.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

from cwbench.errors import CorruptFileError
from cwbench.machine.files import write_atomically
from cwbench.machine.locks import is_lock

RECORD = "record.json"


def packed(directory: Path) -> bytes:
    """All files of a directory but its locks, the record last."""
    buffer = io.BytesIO()
    files = [path for path in directory.rglob("*") if path.is_file() and not is_lock(path.name)]
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(files, key=lambda path: (path.name == RECORD, path)):
            archive.write(path, path.relative_to(directory).as_posix())
    return buffer.getvalue()


def unpack(content: bytes, directory: Path) -> None:
    """Make a directory what `packed` saw: whole files, the record last; what is gone goes here too.

    Raises:
        CorruptFileError: if it is no such archive; nothing is written.
        OSError: if the directory cannot be written.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {_sound(name): archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise CorruptFileError(f"what came back for {directory} is damaged: {error}") from None
    directory.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomically(directory / name, data)
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and not is_lock(path.name) and name not in files:
            path.unlink()


def _sound(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise CorruptFileError(f"the archive of a run holds {name!r}, outside of its directory")
    return name
