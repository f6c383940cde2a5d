"""How each run of a results directory stands, and the table of that on a terminal.

A run without a record is `running` while a process holds it, else `unfinished`: it was killed, and
the same command resumes it. One whose record cannot be read is `damaged`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from cwbench.errors import CorruptFileError
from cwbench.records import frame
from cwbench.records import runs as records
from cwbench.records.logs import last_line
from cwbench.records.lookup import run_id_of
from cwbench.records.record import method_label, preset_label
from cwbench.records.schema import brief

STYLES = {
    "ok": "green", "skipped": "dim", "running": "cyan", "unfinished": "yellow",
    "interrupted": "yellow", "diverged": "red", "failed": "red", "timeout": "red", "oom": "red",
    "damaged": "red",
}  # fmt: skip
SEEDS_A_TABLE = 6
METHOD_LEAST = 16
"""Characters down to which a method's settings fold."""
DETAILS = 30
"""Runs with trouble that are listed one by one, at most."""


@dataclass(frozen=True)
class RunStatus:
    """A run and how it stands; `detail` is its error, or the last line of its log."""

    run_id: str
    task: str
    method: str
    preset: str
    seed: int
    state: str
    detail: str
    directory: Path


def statuses(results: Path) -> list[RunStatus]:
    """How all runs stand, below `results`, in the order of their directories."""
    table, problems = frame.table(results)
    once = table.drop_duplicates("directory")
    known = {Path(str(row.directory)): str(row.status) for row in once.itertuples()}
    labels = {Path(str(row.directory)).parent: str(row.label) for row in once.itertuples()}
    directories = records.run_directories(results)
    labels = _distinct_labels({d.parent: labels.get(d.parent, d.parts[-4]) for d in directories})
    return [_state(d, labels[d.parent], known.get(d), problems.get(d)) for d in directories]


def _distinct_labels(labels: dict[Path, str]) -> dict[Path, str]:
    """Settings of the task or the preset tell two of one label apart, else the key does."""
    claims = Counter((place.parent, label) for place, label in labels.items())
    told = {
        place: f"{label}{_beside(place)}" if claims[place.parent, label] > 1 else label
        for place, label in labels.items()
    }
    claims = Counter((place.parent, label) for place, label in told.items())
    return {
        place: f"{label} [{place.name[:4]}]" if claims[place.parent, label] > 1 else label
        for place, label in told.items()
    }


def _beside(runs: Path) -> str:
    """Settings of the runs of one key that are not in their label, as far as one is on record."""
    with suppress(CorruptFileError, OSError, StopIteration):
        record = records.read(next(runs.glob("seed-*")))
        if record:
            settings = method_label("", record.task["changed"]).strip()
            preset = preset_label(vars(record)).removeprefix(record.preset).strip()
            return "".join(f" {part}" for part in (settings, preset) if part)
    return ""


def _state(directory: Path, label: str, status: str | None, problem: str | None) -> RunStatus:
    task, _, preset, _, seed = directory.parts[-5:]
    if records.is_running(directory):
        state, detail = "running", last_line(directory)
    elif problem is not None:
        state, detail = "damaged", problem.removeprefix(f"{directory}/")
    elif status is None:
        state, detail = "unfinished", last_line(directory)
    else:
        state, detail = status, "" if status == "ok" else _error(directory)
    return RunStatus(
        brief(run_id_of(directory)), brief(task), brief(label), brief(preset),
        int(seed.removeprefix("seed-")), state, brief(detail), directory,
    )  # fmt: skip


def _error(directory: Path) -> str:
    """The error on record, its first line."""
    try:
        record = records.read(directory)
    except (CorruptFileError, OSError) as error:  # since the table was read
        return str(error)
    return (record.error or "").partition("\n")[0] if record else ""


def counts(runs: Iterable[RunStatus]) -> str:
    """`14 runs: 12 ok, 1 failed, 1 running`."""
    by_state = Counter(run.state for run in runs)
    parts = [f"{by_state[state]} {state}" for state in STYLES if by_state[state]]
    return f"{by_state.total()} runs: {', '.join(parts)}"


def status_table(runs: list[RunStatus], results: Path) -> Group:
    """Methods by seeds, a table for each task and preset; then what is not ok, and why."""
    if not runs:
        return Group(Text(f"no runs in {str(results)!r}; `cwbench run` makes one"))
    groups: defaultdict[tuple[str, str], list[RunStatus]] = defaultdict(list)
    for run in runs:
        groups[run.task, run.preset].append(run)
    parts: list[_Tables | Text] = []
    for (task, preset), members in groups.items():
        parts += [Text(f"{task} / {preset}", style="bold"), _Tables(members), Text("")]
    return Group(*parts, *_details(runs), Text(counts(runs)))


@dataclass
class _Tables:
    """Methods by seeds, as many of them in a table as there is room for."""

    runs: list[RunStatus]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        label = min(METHOD_LEAST, max(len(run.method) for run in self.runs))
        state = max(len(run.state) for run in self.runs)
        room = (options.max_width - label - 3) // (state + 3)
        yield from _tables(self.runs, max(1, min(SEEDS_A_TABLE, room)))


def _tables(runs: list[RunStatus], together: int) -> Iterator[Table]:
    cells = {(run.method, run.seed): run.state for run in runs}
    methods = list(dict.fromkeys(run.method for run in runs))
    every = sorted({run.seed for run in runs})
    for first in range(0, len(every), together):
        seeds = every[first : first + together]
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
        table.add_column("method / seed", overflow="fold")
        for seed in seeds:
            table.add_column(str(seed), no_wrap=True)
        for method in methods:
            row = [cells.get((method, seed), "") for seed in seeds]
            if any(row):
                table.add_row(Text(method), *(Text(s, style=STYLES.get(s, "")) for s in row))
        yield table


def _details(runs: list[RunStatus]) -> Iterator[Text]:
    troubled = [run for run in runs if run.state not in ("ok", "skipped")]
    for run in troubled[:DETAILS]:
        line = Text(f"{run.run_id}  ", no_wrap=True, overflow="ellipsis")
        line.append(run.state, style=STYLES.get(run.state, "")).append(f"  {run.detail}")
        yield line
    if len(troubled) > DETAILS:
        yield Text(f"and {len(troubled) - DETAILS} more; --json tells all")
    if troubled:
        yield Text("")
