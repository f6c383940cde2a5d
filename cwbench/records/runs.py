"""The directory of runs: where each lies, who writes it, and all that are there.

    RESULTS/runs/<task>/<method>/<preset>/<key>/seed-<s>/record.json

One directory a run and one writer; every file is written beside its place and renamed.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cwbench.errors import CorruptFileError, CwbenchError, NewerSchemaError
from cwbench.machine.files import contents, write_atomically
from cwbench.machine.locks import claim, claimed, released, remedy
from cwbench.records import beside
from cwbench.records.record import MOST, Record, parse
from cwbench.records.schema import LONGEST, brief

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
        OSError: if it cannot be read, or something else than a file is there.
    """
    path = directory / "record.json"
    try:
        content = contents(path, MOST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    record = parse(content, str(path))
    record.directory = directory
    return record


def write(directory: Path, record: Record, *, made_in: Path | None = None) -> None:
    """Write `record.json` with a seal, whole or not at all.

    From then on its files are those that were written beside the old ones (`tidied`). If the run
    was made anew, in a directory of its own (`beside.anew`), nothing is left of the old one; but if
    the old one is ok and the new one is not, or was interrupted, the old one stays.

    Raises:
        NewerSchemaError: if the old one was written by a later cwbench; it stays, too.
        OSError: if it cannot be written; the old one stays, with its files.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        refuse_newer(directory / "record.json")
    anew = made_in is not None and made_in.name == beside.ANEW
    record.directory = directory
    if anew and (record.status == "interrupted" or _is_worse(record, directory)):
        return
    if made_in and anew:
        beside.bring(made_in, directory, record.files)
    write_atomically(directory / "record.json", record.to_bytes())
    record.sealed = True
    if anew:
        beside.empty(directory, record.files)


def _is_worse(record: Record, directory: Path) -> bool:
    """Whether a record has no result and the one on record has."""
    try:
        old = read(directory)
    except CorruptFileError:
        return False
    return record.status != "ok" and old is not None and old.status == "ok"


@contextmanager
def tidied(directory: Path) -> Iterator[None]:
    """Inside, a record and its files are written; afterwards those it names are in their places.

    So it ends what an earlier writer began, too.
    """
    _settle(directory)
    try:
        yield
    finally:
        _settle(directory)


def _settle(directory: Path) -> None:
    with suppress(CorruptFileError, OSError):
        record = read(directory)
        beside.settle(directory, record.files if record else {})


def forget(directory: Path) -> None:
    """Empty a run's directory of what is no finished run.

    Raises:
        OSError: if it cannot be.
    """
    (directory / "record.json").unlink(missing_ok=True)  # half of a run is none
    beside.empty(directory, {})
    with suppress(FileNotFoundError):
        os.truncate(directory / "log.txt", 0)  # a worker may be writing to it


def has_its_values(record: Record) -> bool:
    """Whether the values by observation are those that a record names, if it names any."""
    try:
        content = beside.stored(record.directory or Path(), beside.OBSERVATIONS, record.files)
    except (CorruptFileError, OSError):
        return False
    return content is not None or beside.OBSERVATIONS not in record.files


def refuse_newer(path: Path) -> None:
    """Leave alone what a later cwbench wrote.

    Raises:
        NewerSchemaError: if it did.
        OSError: if there is no record, or it cannot be read.
    """
    try:
        parse(contents(path, MOST), str(path))
    except NewerSchemaError:
        raise
    except CorruptFileError:
        return


def seal_anew(directory: Path) -> bool:
    """Seal a record that was edited by hand, and mark it; whether it was not sealed as it is.

    Raises:
        CorruptFileError: if it is no record.
        OSError: if it cannot be read or written.
    """
    path = directory / "record.json"
    record = parse(contents(path, MOST), str(path), anew=True)
    if not record.sealed:
        write(directory, replace(record, edited=True))
    return not record.sealed


@contextmanager
def single_writer(directory: Path) -> Iterator[None]:
    """Hold a run's directory; released by the system when the process ends, however it ends.

    Raises:
        CwbenchError: if another process computes this run.
    """
    lock = claim(directory)
    if lock is None:
        raise CwbenchError(f"another process computes the run in {directory}{remedy(directory)}")
    with released(lock):
        yield


def is_running(directory: Path) -> bool:
    """Whether a process, here or on a machine that shares the file system, holds this run."""
    return claimed(directory)


class Walk(NamedTuple):
    """What lies below `RESULTS/runs`, as strings: there are ten thousand of them."""

    runs: list[str]
    """The directories of all runs, with a record or not, sorted."""
    strays: dict[Path, str]
    """Records where no run lies, which nothing reads, by their directories; what is wrong."""


def walked(results: Path) -> Walk:
    """The runs below `results`, and the records that lie beside them.

    What lies inside the directory of a run is not looked at (`inside`).
    """
    level, strays = [str(results / "runs")], list[str]()
    for _ in range(5):
        inner = [_within(place) for place in level]
        strays += [place for place, found in zip(level, inner, strict=True) if found.record]
        level = [place for found in inner for place in found.directories]
    runs, odd = list[str](), list[str]()
    for place in level:
        (runs if SEED.fullmatch(place[place.rfind(os.sep) + 1 :]) else odd).append(place)
    real = (place for place in odd if not os.path.islink(place))  # noqa: PTH114 - strings
    strays += [found for place in real for found in _records_below(place)]
    return Walk(sorted(runs), {Path(place): _stray(place) for place in sorted(strays)})


def run_directories(results: Path) -> list[Path]:
    """The directories of all runs below `results`, with a record or not, sorted."""
    return [Path(place) for place in walked(results).runs]


def inside(directory: Path) -> dict[Path, str]:
    """Records inside the directory of a run that are not its own; what is wrong, as in `Walk`.

    Those of an attempt under way (`cwbench.records.beside.ANEW`) are none.
    """
    inner = [d for d in _within(str(directory)).directories if Path(d).name != beside.ANEW]
    strays = [found for place in inner for found in _records_below(place)]
    return {Path(place): _stray(place) for place in sorted(strays)}


class _Within(NamedTuple):
    directories: list[str]
    record: bool


def _within(place: str) -> _Within:
    """The directories in one, and whether it has a record; `os` rather than `Path` for speed.

    Names that begin with a dot are those of files and directories that are being written.
    """
    try:
        with os.scandir(place) as entries:
            found = [e for e in entries if e.name[0] != "."]
            directories = [e.path for e in found if e.is_dir() and not _leads_back(e)]
    except (FileNotFoundError, NotADirectoryError):
        return _Within([], record=False)
    except OSError as error:
        warnings.warn(f"skipped: {place} cannot be read ({error.strerror})", stacklevel=2)
        return _Within([], record=False)
    return _Within(directories, any(e.name == "record.json" for e in found))


def _leads_back(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to a directory that it lies in: following it would find all again."""
    if not entry.is_symlink():
        return False
    target, here = os.path.realpath(entry.path), os.path.realpath(entry.path.rpartition(os.sep)[0])
    return os.path.commonpath([target, here]) == target


def misplaced(place: str, content: Mapping[str, Any]) -> str:
    """What is wrong with the directory of a run, if it is not the one its record names; else empty.

    Args:
        place: `.../runs/<task>/<method>/<preset>/<key>/seed-<s>`.
        content: the record's, with `task`, `method`, `preset`, `run_id` and `seed`.
    """
    key = str(content["run_id"]).partition("-")[0]
    own = (content["task"]["name"], content["method"]["name"], content["preset"], key)
    wanted = "/".join(map(str, (*own, f"seed-{content['seed']}")))
    if place.replace(os.sep, "/").endswith(f"/{wanted}"):
        return ""
    return f"its record is of {brief(wanted, LONGEST)}; move it there, or away"


def read_placed(directory: Path) -> Record | None:
    """As `read`; a record that is of another run's directory is refused.

    Raises:
        CorruptFileError: for that too.
    """
    record = read(directory)
    wrong = misplaced(str(directory), vars(record)) if record else ""
    if wrong:
        raise CorruptFileError(f"{brief(str(directory), LONGEST)}: {wrong}")
    return record


DEEPEST = 5
"""Levels of directories that are searched for records below one with another name than a run's."""


def _records_below(place: str, levels: int = DEEPEST) -> Iterator[str]:
    """Directories with a record, from this one on; links are not followed below it."""
    found = _within(place)
    if found.record:
        yield place
    for inner in found.directories if levels else ():
        if not os.path.islink(inner):  # noqa: PTH114 - strings
            yield from _records_below(inner, levels - 1)


def _stray(place: str) -> str:
    """What is wrong, in one line."""
    return (
        f"{brief(place, LONGEST)} holds a record and is no place of a run, which is "
        "runs/<task>/<method>/<preset>/<key>/seed-<s>; move it there, or away"
    )


def iterate(results: Path) -> Iterator[Record]:
    """All readable records below `results`; the others are warned of by name."""
    found = walked(results)
    for problem in found.strays.values():
        warnings.warn(f"skipped: {problem}", stacklevel=2)
    for directory in map(Path, found.runs):
        try:
            record = read_placed(directory)
        except (CorruptFileError, OSError) as error:
            warnings.warn(f"skipped: {error}", stacklevel=2)
            continue
        if record is not None:
            yield record
