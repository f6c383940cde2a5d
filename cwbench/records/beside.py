"""The files beside a record, and how a record and its files are switched at once.

A new file is written beside the old one, under its name and the first digits of its hash. The
record that names it is the switch: until then the old record has its old files, and from then on
the new one is found, under either name. So whatever ends a writer, what is on record is whole.

A run that is started anew is made in a directory of its own inside that of the old one, and its
files are moved beside the old ones before the switch.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cwbench.errors import CorruptFileError
from cwbench.machine.files import LARGEST, contents, sha256_of, write_atomically
from cwbench.machine.locks import is_lock

MODEL, SAMPLES, OBSERVATIONS = "model.safetensors", "samples.safetensors", "observations.parquet"
MOST = {OBSERVATIONS: 256 * 2**20}
"""Bytes by name, where that is less than of any file: a thousand metrics at a thousand observations
make a tenth of it, and the largest that comes with cwbench is of 11 kB."""
SWITCHED = (SAMPLES, OBSERVATIONS)
"""What may change under a record; a model goes with its record alone."""
ANEW = "anew"
"""Where a run is made that takes the place of one on record."""
NEW = re.compile(rf"({'|'.join(map(re.escape, (MODEL, *SWITCHED)))})\.[0-9a-f]{{16}}")

Named = Mapping[str, str]
"""SHA-256 by name, as a record has it."""


def new_name(name: str, sha256: str) -> str:
    """Under which a file is written."""
    return f"{name}.{sha256[:16]}"


def _places(name: str, sha256: str | None) -> list[str]:
    """Where to look for a file, the new place first."""
    return [new_name(name, sha256), name] if sha256 else [name]


def stored(directory: Path, name: str, named: Named) -> bytes | None:
    """The content of a file that a record names, None where there is none.

    A file that the record does not name is taken as it is: older records name none.

    Raises:
        CorruptFileError: if it is not the one that the record names.
        OSError: if it cannot be read.
    """
    wanted = named.get(name)
    for place in _places(name, wanted):
        try:
            content = contents(directory / place, MOST.get(name, LARGEST))
        except (FileNotFoundError, NotADirectoryError):
            continue
        if wanted and hashlib.sha256(content).hexdigest() != wanted:
            raise CorruptFileError(f"{directory / place} is not the file its record names")
        return content
    return None


def model_path(directory: Path, named: Named) -> Path:
    """Where the model that a record names is, or would be."""
    places = [directory / place for place in _places(MODEL, named.get(MODEL))]
    return next((place for place in places if place.is_file()), directory / MODEL)


def hashes(directory: Path, named: Named | None = None) -> dict[str, str]:
    """SHA-256 by name of the files that are there, in either place if a record names them."""
    found = {}
    for name in (MODEL, SAMPLES, OBSERVATIONS):
        places = _places(name, (named or {}).get(name))
        each = (sha256_of(directory / place, MOST.get(name, LARGEST)) for place in places)
        sha256 = next(filter(None, each), "")
        if sha256:
            found[name] = sha256
    return found


def left(directory: Path) -> bool:
    """Whether a writer left files beside those of the record."""
    with suppress(OSError):
        return any(NEW.fullmatch(path.name) for path in directory.iterdir())
    return False


def settle(directory: Path, named: Named) -> None:
    """End a switch, as far as possible: what a record names goes to its place, the rest goes."""
    for name in SWITCHED:
        if named and name not in named:
            with suppress(OSError):
                (directory / name).unlink()
    with suppress(OSError):
        for path in [each for each in directory.iterdir() if NEW.fullmatch(each.name)]:
            name = path.name.rpartition(".")[0]
            with suppress(OSError):
                if path.name == new_name(name, named.get(name, "")):
                    path.replace(directory / name)
                else:
                    path.unlink()


@contextmanager
def anew(directory: Path) -> Iterator[Path]:
    """An empty directory inside that of a run, gone at the end; a killed one's is emptied.

    Raises:
        OSError: if it cannot be made.
    """
    place = directory / ANEW
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def bring(source: Path, directory: Path, named: Named) -> None:
    """Move the files that a record is about to name beside those of the old record.

    Raises:
        OSError: if one is not there or cannot be moved.
    """
    for name, sha256 in named.items():
        places = [source / place for place in _places(name, sha256)]
        there = next((place for place in places if place.exists()), places[0])
        there.replace(directory / new_name(name, sha256))


def empty(directory: Path, named: Named) -> None:
    """Empty a run's directory of all that its record does not name, but for the lock and the log.

    Both may be in use.
    """
    kept = {"record.json", "log.txt", *named, *(new_name(*one) for one in named.items())}
    for path in directory.iterdir():
        if path.name not in kept and not is_lock(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass
class Staged:
    """Files that are written and not on record yet: SHA-256 by name."""

    directory: Path
    files: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, content: bytes) -> None:
        """Write a file beside the one that is on record.

        Raises:
            OSError: if the disk is full or the directory cannot be written.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        write_atomically(self.directory / new_name(name, sha256), content)
        self.files[name] = sha256
