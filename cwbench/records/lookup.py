"""RUN as it is typed: a directory, a `record.json`, a run's id, or the first digits of one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from cwbench.errors import UsageError
from cwbench.records.record import Record
from cwbench.records.runs import SEED, is_running, read, run_directories

ID = re.compile(r"[0-9a-f]{1,16}(-\d*)?")
SHOWN = 8
"""Runs named in an error at most."""


def run_id_of(directory: Path) -> str:
    """`0123456789abcdef-3` for `.../0123456789abcdef/seed-3`."""
    return f"{directory.parent.name}-{directory.name.removeprefix('seed-')}"


def results_of(directory: Path) -> Path | None:
    """The results directory that a run's directory is in, or None if it lies elsewhere."""
    place = directory.resolve()
    inside = len(place.parents) > 5 and place.parents[4].name == "runs"
    return place.parents[5] if inside else None


def find_run(typed: str, results: Path) -> Path:
    """The directory of a run, whether it has a record or not.

    Raises:
        UsageError: if there is none, or more than one; near or fitting ones are listed.
    """
    path = Path(typed)
    place = path.parent if path.name == "record.json" else path
    if _is_run(place):
        return place
    if not ID.fullmatch(typed):
        raise _no_run(typed, place, results)
    known = run_directories(results)
    exact = [directory for directory in known if run_id_of(directory) == typed]
    fitting = exact or [d for d in known if run_id_of(d).startswith(typed)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UsageError(
            f"{typed!r} fits {len(fitting)} runs; give more of the id, or the directory:"
            f"\n{_listed(fitting, results)}"
        )
    by_id = {run_id_of(d): d for d in known}
    near = [by_id[name] for name in difflib.get_close_matches(typed, by_id, SHOWN, 0.5)]
    hint = f" Near ones:\n{_listed(near, results)}" if near else ""
    raise UsageError(f"no run {typed!r} among the {len(known)} in {str(results)!r}.{hint}")


def find_record(typed: str, results: Path) -> Record:
    """The record of a run.

    Raises:
        UsageError: if there is no such run, or it has no record yet.
        CorruptFileError: if its record cannot be read.
    """
    directory = find_run(typed, results)
    record = read(directory)
    if record is None:
        state = "it is running" if is_running(directory) else "it did not end"
        raise UsageError(
            f"the run in {str(directory)!r} has no record yet: {state}; "
            f"`cwbench logs {run_id_of(directory)}` shows how far it is"
        )
    return record


def _is_run(directory: Path) -> bool:
    """A record can lie anywhere; a run without one is known by where it is."""
    if (directory / "record.json").is_file():
        return True
    return bool(SEED.fullmatch(directory.name)) and directory.is_dir()


def _no_run(typed: str, place: Path, results: Path) -> UsageError:
    if place.is_dir():
        return UsageError(f"no record.json in {str(place)!r}; give the directory of a run")
    return UsageError(
        f"no such run: {typed!r}; give a run's directory, its record.json, or the first digits of "
        f"its id (`cwbench status` lists those in {str(results)!r})"
    )


def _listed(directories: Iterable[Path], results: Path) -> str:
    lines = [
        f"  {run_id_of(d)}  {'/'.join(d.relative_to(results / 'runs').parts[:3])}"
        for d in directories
    ]
    rest = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join(lines[:SHOWN] + rest)
