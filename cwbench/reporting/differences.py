"""Why a run was computed anew: what differs from the run on record that is nearest to it.

What decides a fit is compared key by key: task and method with versions, settings, fingerprint and
source, the values of the preset, the seed. What is only recorded, such as the version of torch, is
told apart from it. Nearest is the run of the same task, then method, then seed, with the fewest
differences; of several the latest.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cwbench.errors import CorruptFileError
from cwbench.preset import NOT_KEYED
from cwbench.records.record import Record, canonical
from cwbench.records.runs import read, run_directories
from cwbench.records.schema import brief

ABSENT = "(none)"
HASH = re.compile("[0-9a-f]{32,}")


@dataclass(frozen=True)
class Fact:
    """A key and what either record says of it, None where it does not have it."""

    key: str
    run: Any
    other: Any


@dataclass(frozen=True)
class Difference:
    """Two records: what decides the fit and differs, and what else differs."""

    run: Record
    other: Record
    deciding: list[Fact]
    recorded: list[Fact]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "run": self.run.run_id,
            "other": self.other.run_id,
            "run_directory": str(self.run.directory),
            "other_directory": str(self.other.directory),
            "deciding": [vars(each) for each in self.deciding],
            "recorded": [vars(each) for each in self.recorded],
        }


def compare(run: Record, other: Record) -> Difference:
    """What differs between two records, key by key."""
    deciding = _differences(deciding_facts(run), deciding_facts(other))
    recorded = _differences(recorded_facts(run), recorded_facts(other))
    return Difference(run, other, deciding, recorded)


def deciding_facts(record: Record) -> dict[str, Any]:
    """What decides a run: the content of its key, the preset's name and the seed."""
    facts: dict[str, Any] = {"task": record.task["name"], "method": record.method["name"]}
    for owner, part in (("task", record.task), ("method", record.method)):
        named = {name: part.get(name) for name in ("version", "fingerprint", "source_sha256")}
        facts |= {f"{owner}.{name}": value for name, value in named.items()}
        facts |= {f"{owner}.params.{name}": value for name, value in part["params"].items()}
    facts["preset"] = record.preset
    facts |= {f"preset.{n}": v for n, v in record.preset_values.items() if n not in NOT_KEYED}
    return facts | {"world_size": record.environment.get("world_size", 1), "seed": record.seed}


def recorded_facts(record: Record) -> dict[str, Any]:
    """What decides no fit: how it ended, where it ran, the versions of its metrics."""
    facts: dict[str, Any] = {"status": record.status, "track": record.track}
    versions = {i.partition("@")[0]: e["version"] for i, e in record.metrics.items()}
    facts |= {f"metrics.{name}.version": version for name, version in versions.items()}
    environment = {k: v for k, v in record.environment.items() if k != "world_size"}
    return facts | {f"environment.{name}": value for name, value in environment.items()}


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Fact]:
    return [
        Fact(key, ours.get(key), theirs.get(key))
        for key in dict.fromkeys([*ours, *theirs])
        if canonical(ours.get(key)) != canonical(theirs.get(key))
    ]


def nearest(run: Record, results: Path) -> tuple[Difference | None, list[str]]:
    """The difference with the nearest other record, and what could not be read on the way."""
    problems: list[str] = []
    found = []
    for directory in _candidates(run, results):
        try:
            other = read(directory)
        except (CorruptFileError, OSError) as error:
            problems.append(str(error))
            continue
        if other is not None:
            found.append(compare(run, other))
    latest_first = sorted(found, key=lambda c: c.other.finished, reverse=True)
    return min(latest_first, key=_distance, default=None), problems


def _distance(difference: Difference) -> tuple[bool, bool, bool, int]:
    keys = {each.key for each in difference.deciding}
    return "task" in keys, "method" in keys, "seed" in keys, len(keys)


def _candidates(run: Record, results: Path) -> Iterator[Path]:
    """Of every key one run, with the same seed where there is one; the nearest names alone."""
    recorded = [d for d in run_directories(results) if (d / "record.json").is_file()]
    others = [d for d in recorded if run.directory is None or not _same(d, run.directory)]
    task, method = run.task["name"], run.method["name"]
    same_task = [d for d in others if d.parts[-5] == task]
    same_method = [d for d in same_task if d.parts[-4] == method]
    by_key = defaultdict(list)
    for directory in same_method or same_task or others:
        by_key[directory.parent].append(directory)
    wanted = f"seed-{run.seed}"
    for seeds in by_key.values():
        yield min(seeds, key=lambda d: (d.name != wanted, d.name))


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one directory; few have equal names, so few are asked."""
    return one.name == other.name and one.parent.name == other.parent.name and one.samefile(other)


def text(difference: Difference, *, chosen: bool) -> Group:
    """The difference on a terminal; `chosen`: the other run was named, not searched for."""
    run, other = difference.run, difference.other
    parts: list[Any] = [Text(f"run     {_named(run)}")]
    parts.append(Text(f"{'other' if chosen else 'nearest':<8}{_named(other)}"))
    if difference.deciding:
        parts += [Text("\nwhat decides the fit and differs", style="bold")]
        parts += [_table(difference.deciding)]
    elif run.fit_key == other.fit_key:
        parts.append(Text("\nnothing that decides the fit differs: the same run"))
    else:
        parts.append(Text(
            "\nthe keys differ, but nothing else on record: the source of the task changed, or "
            "the keys are of two versions of cwbench"
        ))  # fmt: skip
    if difference.recorded:
        parts += [Text("\nrecorded, decides nothing", style="bold"), _table(difference.recorded)]
    if run.status not in ("ok", "skipped"):
        parts.append(Text(f"\nit is {run.status}: the same command tries it again"))
    return Group(*parts)


def _named(record: Record) -> str:
    label = brief(record.label)
    where = f"{record.task['name']} / {label} / {record.preset} / seed {record.seed}"
    return f"{record.run_id}  {where}: {record.status}"


def _table(differences: list[Fact]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    table.add_column("key", no_wrap=True)
    table.add_column("this run", overflow="fold")
    table.add_column("the other", overflow="fold")
    for each in differences:
        table.add_row(Text(brief(each.key)), Text(_shown(each.run)), Text(_shown(each.other)))
    return table


def _shown(value: Any) -> str:
    if value is None:
        return ABSENT
    written = brief(str(value))
    return f"{written[:12]}..." if HASH.fullmatch(written) else written
