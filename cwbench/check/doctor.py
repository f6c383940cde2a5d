"""Whether everything is in order here: versions, devices, results, caches, weights, plugins."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import platformdirs
import psutil
from packaging.requirements import Requirement
from rich import box
from rich.table import Table
from rich.text import Text

from cwbench import registry
from cwbench.check.importing import import_errors
from cwbench.errors import CwbenchError
from cwbench.machine import locks
from cwbench.machine.weights import directory
from cwbench.records import index
from cwbench.records.prune import size_of, size_text
from cwbench.records.schema import shown

SCARCE_BYTES = 2**30
INTERNAL_EXTRAS = {"test", "dev"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at; only `broken` is wrong, a `note` is worth knowing."""

    topic: str
    name: str
    state: Literal["ok", "note", "broken"]
    detail: str


def findings(results: Path, plugins: Sequence[registry.Plugin] | None = None) -> Iterator[Finding]:
    """All findings, one by one as they are made.

    Args:
        results: the results directory, there or not; nothing is created.
        plugins: which to import, each in a process of its own; default all.
    """
    yield from versions()
    yield from _survived("devices", devices)
    yield from results_findings(results)
    yield from caches(results)
    yield weights()
    yield from plugin_findings(plugins)


def _survived(topic: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What was looked at, or what went wrong with looking: a broken torch stops nothing else."""
    try:
        yield from look()
    except Exception as error:  # noqa: BLE001 - this is what is to be told
        yield Finding(topic, "torch", "broken", f"{type(error).__name__}: {error}")


def versions() -> Iterator[Finding]:
    """Python, cwbench and what it needs; an extra that is absent is a note."""
    yield Finding("versions", "python", "ok", f"{platform.python_version()}, {sys.executable}")
    yield Finding("versions", "cwbench", "ok", version("cwbench"))
    for text in requires("cwbench") or ():
        requirement = Requirement(text)
        extra = _extra(requirement)
        if extra not in INTERNAL_EXTRAS and requirement.name != "cwbench":
            yield _package(requirement, extra)


def _extra(requirement: Requirement) -> str | None:
    """The extra that asks for a package, None where it is always needed."""
    marker = str(requirement.marker or "")
    return marker.partition("extra == ")[2].strip("\"'") or None


def _package(requirement: Requirement, extra: str | None) -> Finding:
    name = requirement.name
    wanted = f"{name}{requirement.specifier}"
    typed = f"pip install 'cwbench[{extra}]'" if extra else f"pip install '{wanted}'"
    try:
        installed = version(name)
    except PackageNotFoundError:
        reason = f"not installed; {'for' if extra else 'needed:'} {typed}"
        return Finding("versions", name, "note" if extra else "broken", reason)
    if not requirement.specifier.contains(installed, prereleases=True):
        return Finding("versions", name, "broken", f"{installed}, wanted {wanted}; {typed}")
    return Finding("versions", name, "ok", installed)


def devices() -> Iterator[Finding]:
    """What a run can use, and what `--device auto` takes."""
    import torch

    from cwbench.machine.cpu import cores, torch_threads
    from cwbench.machine.environment import describe, device_of

    memory = psutil.virtual_memory()
    room = f"{size_text(memory.available)} of {size_text(memory.total)} memory free"
    processor = describe(torch.device("cpu"))["cpu"] or platform.machine()
    yield Finding("devices", "cpu", "ok", f"{processor}, {cores()} cores, {room}")
    threads = f"{torch_threads()} in training; OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS')}"
    yield Finding("devices", "threads", "ok", threads)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    for number in range(torch.cuda.device_count() if available else 0):
        gpu = torch.cuda.get_device_properties(number)
        detail = f"{gpu.name}, {size_text(gpu.total_memory)}"
        yield Finding("devices", f"cuda:{number}", "ok", detail)
    if not available:
        reason = str(given[-1].message).partition("\n")[0] if given else "no CUDA device"
        yield Finding("devices", "cuda", "note", f"none: {reason}")
    yield Finding("devices", "auto", "ok", f"takes {device_of('auto').type}")


def results_findings(results: Path) -> Iterator[Finding]:
    """Whether records can be written and read; nothing is created."""
    from cwbench.records.frame import table
    from cwbench.records.runs import run_directories

    topic, place = "results", results.absolute()
    existing = next(p for p in (place, *place.parents) if p.exists())
    problem = _unwritable(existing)
    absent = "" if existing == place else ", does not exist yet"
    state: Literal["ok", "broken"] = "broken" if problem else "ok"
    yield Finding(topic, "directory", state, f"{place}{absent}{problem}")
    yield _locks(existing)
    free = shutil.disk_usage(existing).free
    scarce = free < SCARCE_BYTES
    yield Finding(topic, "free space", "note" if scarce else "ok", size_text(free))
    runs, (_, problems) = run_directories(results), table(results)
    yield Finding(topic, "runs", "ok", f"{len(runs)}")
    for path, reason in problems.items():
        yield Finding(topic, "record", "broken", reason or str(path))


def _locks(directory: Path) -> Finding:
    """Whether a run can be kept from two processes there; tried on a file without a name."""
    topic, name = "results", "locks"
    try:
        if locks.as_files():
            return Finding(topic, name, "ok", f"files, by {locks.VARIABLE}")
        with tempfile.TemporaryFile(dir=directory) as file:
            locks.try_lock(file.fileno(), directory)
    except CwbenchError as error:
        return Finding(topic, name, "broken", str(error))
    except OSError as error:
        return Finding(topic, name, "note", f"not tried: {error.strerror or error}")
    return Finding(topic, name, "ok", "work")


def _unwritable(directory: Path) -> str:
    """Why a directory cannot be written, or nothing."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return (
            f" cannot be written: {error.strerror or error}; name another with --results DIR or "
            "$CWBENCH_RESULTS"
        )


def caches(results: Path) -> Iterator[Finding]:
    """What is kept to save time, and its size."""
    own = platformdirs.user_cache_path("cwbench")
    kept = {"floors": results / ".cache", "index": results / index.NAME, "downloads": own}
    for name, path in kept.items():
        detail = f"{size_text(size_of(path))}, {path}" if path.exists() else "none"
        yield Finding("caches", name, "ok", detail)


def weights_directory() -> Path:
    """Where weights of feature networks are looked for."""
    return directory()


def weights() -> Finding:
    """The weight files that are there; FID and KID download theirs when they are asked for."""
    place = weights_directory()
    files = sorted(p for p in place.glob("*") if p.is_file()) if place.is_dir() else []
    listed = ", ".join(f"{p.name} ({size_text(size_of(p))})" for p in files) or "none"
    return Finding(
        "weights", "files", "ok", f"{listed} in {place}; none needed unless FID or KID is asked for"
    )


def plugin_findings(plugins: Sequence[registry.Plugin] | None) -> Iterator[Finding]:
    """Every task, method and metric, imported in a process of its own; names that are refused."""
    for name, reason in registry.refused().items() if plugins is None else ():
        yield Finding("plugins", name, "broken", reason)
    try:
        chosen = registry.plugins() if plugins is None else plugins
        errors = import_errors(chosen)
    except (CwbenchError, OSError) as error:
        yield Finding("plugins", "import", "broken", f"{type(error).__name__}: {error}")
        return
    sound = [p for p in chosen if not errors[p.name]]
    for kind in registry.KINDS:
        members = [p.name for p in sound if p.kind == kind]
        yield Finding("plugins", f"{kind}s", "ok", ", ".join(members) or "none")
    for plugin in chosen:
        problem = errors[plugin.name]
        if problem:
            reason = f"{plugin.kind} of {plugin.distribution} {plugin.version}: {problem}"
            yield Finding("plugins", plugin.name, "broken", reason)


def report(found: Sequence[Finding]) -> Table:
    """The findings on a terminal."""
    styles = {"ok": "green", "note": "yellow", "broken": "bold red"}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    topic = ""
    for each in found:
        heading = each.topic if each.topic != topic else ""
        table.add_row(
            heading,
            Text(each.name),
            Text(each.state, style=styles[each.state]),
            Text(shown(each.detail)),
        )
        topic = each.topic
    return table
