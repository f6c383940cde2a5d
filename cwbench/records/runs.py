"""The directory of runs: where each lies, who writes it, and all that are there.

    RESULTS/runs/<task>/<method>/<preset>/<key>/seed-<s>/record.json

One directory a run and one writer; every file is written beside its place and renamed.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cwbench.errors import CorruptFileError, CwbenchError
from cwbench.machine.files import claim, claimed, released, write_atomically
from cwbench.records.record import Record, parse

SEED = re.compile(r"seed-(\d+)")


def results_directory(results: str | os.PathLike[str] | None = None) -> Path:
    """`results`, else `$CWBENCH_RESULTS`, else `./cwbench-results`."""
    return Path(results or os.environ.get("CWBENCH_RESULTS") or "cwbench-results")


def run_directory(results: Path, task: str, method: str, preset: str, key: str, seed: int) -> Path:
    """Where a run lives; names were checked against the registry's pattern."""
    return results / "runs" / task / method / preset / key[:16] / f"seed-{seed}"


def read(directory: Path) -> Record | None:
    """The record in a run's directory, or None.

    Raises:
        CorruptFileError: if the file is not a record.
    """
    path = directory / "record.json"
    if not path.is_file():
        return None
    record = parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
    record.directory = directory
    return record


def write(directory: Path, record: Record) -> None:
    """Write `record.json`, whole or not at all."""
    write_atomically(directory / "record.json", record.to_json().encode())
    record.directory = directory


@contextmanager
def single_writer(directory: Path) -> Iterator[None]:
    """Hold a run's directory; released by the system when the process ends, however it ends.

    Raises:
        CwbenchError: if another process computes this run.
    """
    lock = claim(directory)
    if lock is None:
        raise CwbenchError(f"another process computes the run in {directory}")
    with released(lock):
        yield


def is_running(directory: Path) -> bool:
    """Whether a process, here or on a machine that shares the file system, holds this run."""
    return claimed(directory)


def run_directories(results: Path) -> list[Path]:
    """The directories of all runs below `results`, with a record or not, sorted."""
    return [Path(place) for place in run_places(results)]


def run_places(results: Path) -> list[str]:
    """The same as strings: there are ten thousand of them."""
    places = [str(results / "runs")]
    for _ in range(5):
        places = [inner for place in places for inner in _subdirectories(place)]
    return [place for place in sorted(places) if SEED.fullmatch(os.path.basename(place))]  # noqa: PTH119


def _subdirectories(place: str) -> list[str]:
    """Of one directory; `os` rather than `Path`, since there are ten thousand of them."""
    try:
        with os.scandir(place) as entries:
            return [e.path for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []


def iterate(results: Path) -> Iterator[Record]:
    """All readable records below `results`; the others are warned of by name."""
    for directory in run_directories(results):
        try:
            record = read(directory)
        except (CorruptFileError, OSError) as error:
            warnings.warn(f"skipped: {error}", stacklevel=2)
            continue
        if record is not None:
            yield record
