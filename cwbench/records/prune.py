"""What a results directory can do without: checkpoints of finished runs, leftovers, caches.

Runs themselves go only when asked, and of these only those that cannot be computed again with what
is installed: samplers from outside and methods from a file are nobody's to miss, they stay.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cwbench import registry
from cwbench.errors import CorruptFileError, CwbenchError
from cwbench.records import beside, index
from cwbench.records.record import Record
from cwbench.records.runs import is_running, read, run_directories, single_writer

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
"""As `write_atomically` names a file while it writes it."""

STALE_SECONDS = 3600.0


@dataclass(frozen=True)
class Item:
    """Something to remove; `run` is the run's directory it belongs to, if any."""

    kind: str
    path: Path
    size: int
    reason: str
    run: Path | None = None


def plan(results: Path, *, uninstalled: bool = False, outdated: bool = False) -> list[Item]:
    """What can be removed below `results`; what belongs to a running run is left out.

    Args:
        results: the results directory.
        uninstalled: also runs whose task or method is not installed any more.
        outdated: also runs of a task or method of which a later version is installed.
    """
    items = list(_caches(results))
    for directory in run_directories(results):
        if is_running(directory):
            continue
        try:
            record = read(directory)
        except (CorruptFileError, OSError):  # `cwbench status` tells; nothing is known to be lost
            record = None
        reason = _dispensable(record, uninstalled=uninstalled, outdated=outdated)
        if reason:
            items.append(Item("run", directory, size_of(directory), reason, directory))
        else:
            items += _leftovers(directory, record)
    return items


def _caches(results: Path) -> Iterator[Item]:
    for path in (results / ".cache", results / index.NAME):
        if path.exists():
            yield Item("cache", path, size_of(path), "derived; made again when needed")
    yield from _temporary(results.glob(".*"), None)


def _leftovers(directory: Path, record: Record | None) -> Iterator[Item]:
    checkpoint = directory / "checkpoint"
    finished = record is not None and record.status in ("ok", "skipped") and checkpoint.is_dir()
    if record is not None and finished:
        reason = f"the run is {record.status}"
        yield Item("checkpoint", checkpoint, size_of(checkpoint), reason, directory)
    if (directory / beside.ANEW).is_dir():
        begun = directory / beside.ANEW
        yield Item("attempt", begun, size_of(begun), "its writer was killed", directory)
    hidden = [*directory.glob(".*"), *directory.glob("*/.*")]
    yield from _temporary(
        (p for p in hidden if not (finished and p.parent == checkpoint)), directory
    )
    named = record.files.items() if record else ()
    kept = {beside.new_name(*one) for one in named}
    yield from _temporary((p for p in directory.glob("[!.]*") if p.name not in kept), directory)


def _temporary(paths: Iterable[Path], run: Path | None) -> Iterator[Item]:
    for path in paths:
        with suppress(OSError):
            stat = path.stat()
            if _half_written(path.name) and time.time() - stat.st_mtime > STALE_SECONDS:
                yield Item("temporary file", path, stat.st_size, "its writer was killed", run)


def _half_written(name: str) -> bool:
    return bool(TEMPORARY.fullmatch(name) or beside.NEW.fullmatch(name))


def _dispensable(record: Record | None, *, uninstalled: bool, outdated: bool) -> str | None:
    """Why a run may go, or None."""
    if record is None or record.track == "external":
        return None
    for kind, part in (("task", record.task), ("method", record.method)):
        name, version = part["name"], part["version"]
        if str(part.get("distribution", ".py")).endswith(".py"):
            continue
        installed = _installed(kind, name)
        if uninstalled and installed is None and name not in registry.refused():
            return f"{kind} {name!r} is not installed"
        if outdated and installed and 0 < version < _version(installed):
            return f"{kind} {name!r} is version {version}, {_version(installed)} is installed"
    return None


def _installed(kind: str, name: str) -> registry.Plugin | None:
    return next((p for p in registry.plugins() if p.kind == kind and p.name == name), None)


def _version(plugin: registry.Plugin) -> int:
    """The installed version, 0 where the plugin is broken: then nothing is outdated."""
    try:
        cls: Any = plugin.load()
    except CwbenchError:
        return 0
    return int(cls.info.version)


def remove(items: Iterable[Item]) -> tuple[list[Item], list[str]]:
    """Remove; what is gone, and why the rest is not."""
    removed: list[Item] = []
    problems: list[str] = []
    for item in items:
        try:
            if item.run is None:
                _delete(item.path)
            else:
                with single_writer(item.run):
                    _delete(item.path)
            removed.append(item)
        except (CwbenchError, OSError) as error:
            problems.append(f"{item.path}: {error}")
        if item.kind == "run":
            _drop_empty(item.path)
    return removed, problems


def _delete(path: Path) -> None:
    """A run's record goes first: what is half deleted is no result."""
    if path.is_dir() and not path.is_symlink():
        (path / "record.json").unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _drop_empty(run: Path) -> None:
    """Remove the directories above a run that hold nothing any more, up to `runs`."""
    for parent in list(run.parents)[:4]:
        try:
            parent.rmdir()
        except OSError:
            return


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory."""
    files = [path] if path.is_file() else path.rglob("*")
    total = 0
    for file in files:
        with suppress(OSError):
            total += file.lstat().st_size if not file.is_dir() else 0
    return total


def size_text(size: float) -> str:
    """`3.4 MiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    power = min(len(units) - 1, max(0, (int(size).bit_length() - 1) // 10))
    return f"{size / 1024**power:.{1 if power else 0}f} {units[power]}"
