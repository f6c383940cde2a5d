"""From records to boards: read, filter, group by what must be equal, score."""

from __future__ import annotations

import functools
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np

from cwbench.boards.board import Board, Column, dimension_of, title_of
from cwbench.boards.cells import Codes, arranged
from cwbench.boards.row import Row, Run
from cwbench.boards.scoring import score
from cwbench.dimensions import judged_together
from cwbench.preset import NOT_KEYED
from cwbench.records.longer import shorter
from cwbench.records.measured import Kind, Measured
from cwbench.records.record import label_of, without_paths
from cwbench.records.runs import misplaced
from cwbench.records.shipped import Source
from cwbench.records.values import observed

PRESETS = ("standard", "paper", "quick", "ladder", "smoke")
"""In this order; others follow."""


class Problem(NamedTuple):
    """What is wrong with the record in a directory below the results."""

    text: str
    place: PurePath

    def concerns(self, tasks: set[str], presets: set[str]) -> bool:
        """Whether it may be of these tasks and presets, as far as its directory says."""
        parts = self.place.parts
        if len(parts) != len(LAYOUT):
            return True
        _, task, _, preset, *_ = parts
        names = {title.partition(" (")[0] for title in tasks}
        return (not names or task in names) and (not presets or preset in presets)


LAYOUT = ("runs", "task", "method", "preset", "key", "seed")
"""The folders of a run below the results (`cwbench.records.runs`)."""


class Boards(NamedTuple):
    """Everything on record that was asked for, and what could not be read."""

    boards: list[Board]
    problems: list[str]
    present: dict[str, set[str]]
    """The names of all `tasks`, `presets`, `methods` and `tracks` on record."""


def boards(
    sources: Iterable[Source],
    *,
    tasks: Iterable[str] = (),
    presets: Iterable[str] = (),
    methods: Iterable[str] = (),
    tracks: Iterable[str] = (),
    sees: Iterable[str] = (),
    metrics: Iterable[str] | None = (),
) -> Boards:
    """Read, filter and score; an empty filter lets everything through.

    Args:
        sources: results directories; a run that two of them have is taken from the first.
        tasks: names of tasks, or titles with settings.
        presets: names.
        methods: names of methods, or labels with settings; ranks are among these.
        tracks: `fixed`, `open`, `external`.
        sees: classes of methods, of `cwbench.known.classes.CLASSES`.
        metrics: names of metrics besides the main ones; None for all.
    """
    runs, measured, problems = _read(sources, None if metrics is None else {*metrics})
    passing = {*tasks}, {*presets}, {*tracks}
    every = _grouped(runs, apart="open" in passing[2])
    grouped = [group for group in every if _passes(runs[group.cells[0]], *passing)]
    made = _made(grouped, runs, measured)
    _title_apart(made)
    for board in made:
        score(board, {*methods}, {*sees})
    told = [one.text for one in problems if one.concerns({*tasks}, {*presets})]
    return Boards(sorted(made, key=_place), told, _present(runs))


def _wanted(contents: Iterable[Mapping[str, Any]], metrics: set[str] | None) -> set[str] | None:
    """The metrics that rank, those judged together with them, and those asked for."""
    if metrics is None:
        return None
    wanted = set(metrics)
    for task in (content["task"] for content in contents):
        wanted.add(task["main_metric"])
        wanted.update(judged_together(dimension_of(task)))
    return wanted


def _present(runs: Iterable[Run]) -> dict[str, set[str]]:
    present: dict[str, set[str]] = {k: set() for k in ("tasks", "presets", "methods", "tracks")}
    for run in runs:
        task, method = run.content["task"], run.content["method"]
        present["tasks"] |= {task["name"], title_of(task)}
        present["presets"].add(run.content["preset"])
        present["tracks"].add(run.content["track"])
        label = label_of(method)
        present["methods"] |= {method["name"], label}
    return present


def _place(board: Board) -> tuple[int, str, str, str]:
    known = PRESETS.index(board.preset) if board.preset in PRESETS else len(PRESETS)
    return known, board.preset, board.track.replace("fixed", ""), board.title


def _read(
    sources: Iterable[Source], metrics: set[str] | None
) -> tuple[list[Run], list[Measured], list[Problem]]:
    """The runs, what was measured of them by their places in this list, and the problems."""
    runs: list[Run] = []
    measured: list[Measured] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for results, origin, home in sources:
        found = observed(results, lambda contents: _wanted(contents, metrics), home)
        problems += [
            Problem(text, path.relative_to(results)) for path, text in found.problems.items()
        ]
        places = np.full(len(found.runs), -1)
        for place, (name, content) in enumerate(found.runs.items()):
            wrong = misplaced(name, content)
            if wrong:
                problems.append(Problem(f"{results / name}: {wrong}", PurePath(name)))
            elif content["run_id"] not in seen:  # yours before those that come with cwbench
                seen.add(content["run_id"])
                places[place] = len(runs)
                runs.append(Run(without_paths(content), origin, results, name))
        for part in found.measured:
            counted = part._replace(runs=places[part.runs])
            measured.append(counted.at(counted.runs >= 0) if (places < 0).any() else counted)
    return runs, measured, problems


JUDGED = ("main_metric", "main_nfe", "second_nfe")
"""How a task is judged; a record that says otherwise takes no rank from the others."""


class Group(NamedTuple):
    """The places of the runs of a board, and of the longer twins of some of them.

    A run may be a twin here and a cell elsewhere.
    """

    cells: list[int]
    longer: list[int]


def _grouped(runs: list[Run], *, apart: bool) -> list[Group]:
    """The places of runs by what must be equal on a board; a twin stands with what it is one of.

    Where one run of a board has nothing that it could be the twin of, all of them stand there, too,
    since they can be compared; likewise where `apart`, since they were asked for.
    """
    keys, of = [identity(run) for run in runs], [_shorter(run) for run in runs]
    wanted = {short for each in of for short in each}  # few, so that few methods are written out
    cells = {
        (key, _method(run))
        for key, run in zip(keys, runs, strict=True)
        if key in wanted and not (run.content["track"] == "open" and _steps_typed(run))
    }
    groups: dict[str, Group] = defaultdict(lambda: Group([], []))
    alone: set[str] = set()
    for place, (key, shorts, run) in enumerate(zip(keys, of, runs, strict=True)):
        found = [short for short in shorts if (short, _method(run)) in cells]
        for short in found[:1]:
            groups[short].longer.append(place)
        groups[key].cells.append(place)
        if apart or not found:
            alone.add(key)
    return [group for key, group in groups.items() if key in alone]


def _shorter(run: Run) -> list[str]:
    """On which boards the run may stand whose longer twin this is.

    That of the preset as it is, or with other values of it changed as here.
    """
    values = shorter(run.content["preset_values"]) if run.content["track"] == "open" else None
    if values is None:
        return []
    content = {**run.content, "preset_values": values}
    return [
        identity(replace(run, content=content | {"track": track})) for track in ("fixed", "open")
    ]


def _steps_typed(run: Run) -> bool:
    """Whether the steps are among its settings: on an open board they are not the preset's."""
    return bool({"steps", "preset.steps"} & run.content["settings"].keys())


def _method(run: Run) -> str:
    """What must be equal of the methods of twins, all that their keys hold of them."""
    method, world = run.content["method"], run.content["environment"].get("world_size", 1)
    parts = (method.get(name) for name in ("name", "version", "params", "changed", "source_sha256"))
    return json.dumps([*parts, world], sort_keys=True)


def identity(run: Run) -> str:
    """What must be equal for two runs to stand on one board."""
    task, content = run.content["task"], run.content
    return _compared(json.dumps([
        task["name"], task["version"], task["params"], task.get("fingerprint"),
        task.get("source_sha256"), *(task[name] for name in JUDGED), task["x_shape"],
        content["preset"], content["track"], content["preset_values"],
    ]))  # fmt: skip


@functools.lru_cache(maxsize=1024)
def _compared(text: str) -> str:
    """An identity with those of the preset's values alone that decide what is compared."""
    *identity, values = json.loads(text)
    budget = {key: value for key, value in values.items() if key not in NOT_KEYED}
    return json.dumps([*identity, budget], sort_keys=True)


def _passes(run: Run, tasks: set[str], presets: set[str], tracks: set[str]) -> bool:
    content = run.content
    names = {content["task"]["name"], title_of(content["task"])}
    return (
        (not tasks or bool(names & tasks))
        and (not presets or content["preset"] in presets)
        and (not tracks or content["track"] in tracks)
    )


def _made(groups: Sequence[Group], runs: list[Run], measured: list[Measured]) -> list[Board]:
    """The boards of groups of runs, with the values of their cells.

    As a longer twin a run has a second place, behind all first ones.
    """
    count = len(runs)
    group, row = np.full((2, 2 * count), -1)
    seed = np.array([run.seed for run in runs] * 2, np.int64)
    made = []
    for number, (cells, longer) in enumerate(groups):
        board, rows = _board([runs[place] for place in cells], [runs[place] for place in longer])
        places = [*cells, *(count + place for place in longer)]
        group[places], row[places] = number, rows
        made.append(board)
    parts: list[list[Measured]] = [[] for _ in groups]
    for part in (part._replace(runs=part.runs + by) for part in measured for by in (0, count)):
        on = group[part.runs]
        for number in np.unique(on[on >= 0]).tolist():
            parts[number].append(part.at(on == number))
    for board, found in zip(made, parts, strict=True):
        _fill(board, found, row, seed)
    return made


def _board(runs: Sequence[Run], longer: Sequence[Run]) -> tuple[Board, list[int]]:
    """A board without cells, and the places of the rows in which runs and longer twins are."""
    rows: dict[str, Row] = {}
    for run in runs:
        method, key = run.content["method"], run.content["fit_key"]
        label = label_of(method)
        rows.setdefault(key, Row(key, label, len(rows))).runs.append(run)
    _tell_apart(list(rows.values()))
    pools: dict[int, list[int]] = defaultdict(list)
    for row in (row for row in rows.values() if row.role == "method"):
        pools[row.apart].append(row.place)
    first = runs[0].content
    board = Board(
        first["task"], first["preset"], first["track"], title_of(first["task"]),
        list(rows.values()), {}, {}, [np.array(pool, np.int64) for pool in pools.values()],
        shared_fits=_shared_fits(runs),
    )  # fmt: skip
    places = [rows[run.content["fit_key"]].place for run in runs]
    of = {_method(run): row for row in rows.values() for run in row.runs} if longer else {}
    for run in longer:
        cell = of[_method(run)]
        new = Row(run.content["fit_key"], cell.label, len(rows) + len(board.longer))
        twin = board.longer.setdefault(cell.place, new)
        twin.runs.append(run)
        places.append(twin.place)
    return board, places


def _shared_fits(runs: Iterable[Run]) -> dict[str, float]:
    """The seconds of what some share, by the run that fitted it, of several the earliest.

    Without that run by one that says them.
    """
    found: dict[str, float] = {}
    for run in sorted((run for run in runs if run.shared_fit), key=_nearness):
        if run.fit_seconds is not None:
            found.setdefault(run.shared_fit, run.fit_seconds)
    return found


def _nearness(run: Run) -> tuple[bool, bool, str]:
    """To who fitted what it shares: that run, then those that say its seconds, then others."""
    fitted = bool(run.content["cost"].get("steps"))
    return bool(run.found_fit), not fitted, str(run.content["started"])


def _title_apart(boards: list[Board]) -> None:
    """Boards of one title say in which values they differ; open ones which value was changed."""
    alike: dict[str, list[Board]] = defaultdict(list)
    for board in boards:
        alike[board.name].append(board)
    for members in alike.values():
        facts = [_facts(board) for board in members]
        keys = {key for each in facts for key in each}
        differing = {key for key in keys if len({repr(each.get(key)) for each in facts}) > 1}
        for board, each in zip(members, facts, strict=True):
            shown = sorted(differing | _typed(board))
            said = ", ".join(f"{key}={each[key]}" for key in shown if each.get(key) is not None)
            board.title += f" [{said}]" if said else ""


def _facts(board: Board) -> dict[str, Any]:
    """What may part boards of one title: values of the preset, and version, data and source."""
    task, values = board.task, board.rows[0].runs[0].content["preset_values"]
    return {key: value for key, value in values.items() if key not in NOT_KEYED} | {
        "version": task["version"], "data": str(task.get("fingerprint"))[:8],
        "source": (task.get("source_sha256") or "")[:8] or None,
    } | {name: task[name] for name in JUDGED}  # fmt: skip


def _typed(board: Board) -> set[str]:
    """The values of the preset that were changed on an open board."""
    content = board.rows[0].runs[0].content
    typed = {key.removeprefix("preset.") for key in content["settings"]}
    return typed & content["preset_values"].keys() if board.track == "open" else set()


def _tell_apart(rows: list[Row]) -> None:
    """Of rows of one label those of older versions say so, those of one version get the key."""
    of: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of[row.label].append(row)
    for alike in of.values():
        versions = Counter(row.method["version"] for row in alike)
        for row in alike if len(alike) > 1 else []:
            version = row.method["version"]
            if versions[version] > 1:
                row.label += f" [{row.key[:4]}]"
            elif version != max(versions):
                row.label += f" v{version}"


def _fill(board: Board, measured: list[Measured], rows: Codes, seeds: Codes) -> None:
    """Put all entries into their columns; one-shot samplers into all of their metric.

    Those that take more calls than an NFE allows stand in the column that is judged alone. What
    only longer runs measured has no column.
    """
    parts: dict[Column, list[Measured]] = defaultdict(list)
    for part in sorted(measured, key=lambda part: int(part.runs.min())):
        parts[_column(part.kind)].append(part)
    own = {c for c, found in parts.items() for p in found if (rows[p.runs] < len(board.rows)).any()}
    for column in parts.keys() - own:
        del parts[column]
    every = [*board.rows, *board.longer.values()]  # by place
    used = np.array([row.calls or 1 for row in every], np.int64)
    for column in [column for column in parts if not column.nfe]:
        beside = [other for other in parts if other.nfe and _kind(other) == _kind(column)]
        beside.sort(key=lambda other: other.order)
        judged = [c for c in beside if c.nfe == str(board.task["main_nfe"])] or beside[-1:]
        for other in beside:
            most = int(other.nfe) if other not in judged and other.nfe.isdigit() else math.inf
            kept = (part.at(used[rows[part.runs]] <= most) for part in parts[column])
            parts[other] += [part for part in kept if len(part.runs)]
        if beside:  # all of it stands beside each NFE
            del parts[column]
    runs = np.array([len(row.attempted) for row in every], np.int64)
    for column, found in parts.items():
        board.columns[column] = found[0].kind
        board.cells[column] = arranged(found, rows, seeds, runs)


def _column(kind: Kind) -> Column:
    return Column(*kind[:5], kind.source[:8])


def _kind(column: Column) -> tuple[Any, ...]:
    """All of a column but its NFE."""
    return (column.metric, *column[2:])
