"""Records that name a file, beside code that would run if a reader opened it: none ever does.

The records are of a real run of a plugin from a file, with model and samples, and name that file
or a module wherever a text stands. What is stored beside them is a pickle that runs code.
"""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attacks.counts import Attack, Counts, Hung, limited
from attacks.test_malformed import fields
from click.testing import CliRunner

import cwbench
from cwbench import registry
from cwbench.cli.main import main
from cwbench.errors import CwbenchError
from cwbench.records.runs import run_directories

SECONDS = 60
TOGETHER = 15
"""Places whose runs stand in one results directory."""
FULL = 10**6
"""All places."""
TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.width": 8, "preset.nfe": "1",
}  # fmt: skip
PLUGIN = """
from pathlib import Path
import torch
from cwbench import Method, MethodInfo
(Path(__file__).parent / "executed").touch()

class T(Method):
    info = MethodInfo(name="x", version=1, title="x", citation="none")

    def fit(self, data, context):
        pass

    def sample(self, y, n, generator, nfe=None):
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
"""
SPELLINGS = ("{}/x.py:T", "./x.py:T", "x.py", "x:T", "x", "file://{}/x.py", "../x.py:T")
"""Of the file, from the directory that it is in; `x` is a module that can be imported there."""

COMMANDS = (
    *(f"leaderboard --results DIR --format {form}"
      for form in ("table", "md", "csv", "json", "latex", "html")),
    "leaderboard --results DIR --figures DIR/drawn", "compare x prior --results DIR",
    "status --results DIR", "status --results DIR --json", "verify DIR", "verify DIR --no-fresh",
    "prune --dry-run --uninstalled --outdated --results DIR", "doctor --results DIR",
    "plot --task gaussian-linear --output DIR/task --results DIR",
)  # fmt: skip
OF_A_RUN = ("score RUN", "plot RUN --output DIR/run", "why RUN", "logs RUN", "seal RUN")
IN_PYTHON: tuple[Callable[[Path], Any], ...] = (
    cwbench.leaderboard, cwbench.load_records, lambda place: cwbench.compare("x", "prior", place),
)  # fmt: skip


Readers = Callable[[Path, list[Path]], Iterable[Callable[[], Any]]]


class Bomb:
    """A pickle that leaves a mark when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def poisoned(content: dict[str, Any], path: tuple[str, ...], text: str) -> dict[str, Any]:
    """A copy of a record that names a file there, as a value, or as a key where any may stand."""
    changed: dict[str, Any] = json.loads(json.dumps(content))
    part = changed
    for key in path[:-1]:
        part = part[key]
    if isinstance(part[path[-1]], dict):
        part[path[-1]] |= {text: text, "task": text, "method": text}
    else:
        part[path[-1]] = text
    return changed


def places(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """Where a file can be named: first those that name plugins."""
    first = [(part, key) for part in ("task", "method") for key in ("name", "distribution")]
    return [*first, *(path for path in fields(content) if path not in first)]


def made(place: Path) -> Path:
    """A run of the plugin, and one of a control; the run's directory. Its code ran here."""
    results = place / "base"
    for method in ("prior", f"{place}/x.py:T"):
        cwbench.run(
            "gaussian-linear", method, "smoke", settings=TINY, results=results, quiet=True,
            figures=False, keep_samples=True,
        )  # fmt: skip
    (run,) = [each for each in run_directories(results) if "/x/" in str(each)]
    return run


def every(results: Path, runs: list[Path]) -> Iterator[Callable[[], Any]]:
    """Every reader."""
    yield from said((*COMMANDS, *OF_A_RUN), results, runs)
    for call in IN_PYTHON:
        yield functools.partial(call, results)


def few(results: Path, runs: list[Path]) -> Iterator[Callable[[], Any]]:
    """The quick ones, and those that load plugins where they are told to."""
    words = ("leaderboard --results DIR --format csv", "compare x prior --results DIR")
    return said((*words, *OF_A_RUN, "verify DIR --no-fresh"), results, runs)


def said(commands: Iterable[str], results: Path, runs: list[Path]) -> Iterator[Callable[[], Any]]:
    """Commands on these results, and on each of these runs."""
    for words in commands:
        for run in runs if "RUN" in words else runs[:1]:
            given = words.replace("DIR", str(results)).replace("RUN", str(run)).split()
            yield functools.partial(command, given)


def command(given: list[str]) -> None:
    """A command in this process; what none ends by is raised."""
    found = CliRunner().invoke(main, given).exception
    if found is not None and not isinstance(found, SystemExit):
        raise found


def read_by_all(calls: Iterable[Callable[[], Any]], mark: Path) -> Counts:
    """What comes of readers."""
    counts = Counts()
    for call in calls:
        mark.unlink(missing_ok=True)
        hung = crashed = False
        try:
            with limited(SECONDS), warnings.catch_warnings(action="ignore"):
                call()
        except Hung:
            hung = True
        except CwbenchError:
            pass
        except Exception:  # noqa: BLE001 - counted
            crashed = True
        counts += Counts(1, hung=int(hung), crashed=int(crashed), executed=int(mark.exists()))
    return counts


def attack(place: Path, n: int, readers: Readers = every) -> Counts:
    """n places in a record, each spelling in a run of its own, and the pickles."""
    (place / "x.py").write_text(PLUGIN)
    run, mark, here = made(place), place / "executed", Path.cwd()
    assert mark.exists()  # named in a command, it runs
    content = json.loads((run / "record.json").read_text())
    del content["seal"]
    counts = Counts()
    try:
        os.chdir(place)
        sys.path.insert(0, str(place))
        chosen = places(content)[:n]
        for first in range(0, len(chosen), TOGETHER):
            results = place / "results"
            shutil.copytree(place / "base", results)
            paths = chosen[first : first + TOGETHER]
            runs = [with_spellings(run, content, path, k) for k, path in enumerate(paths)]
            counts += read_by_all(readers(results, runs), mark)
            shutil.rmtree(results)
    finally:
        sys.path.remove(str(place))
        os.chdir(here)
        sys.modules.pop("x", None)
    return counts


def with_spellings(run: Path, content: dict[str, Any], path: tuple[str, ...], number: int) -> Path:
    """A run for each spelling beside `results`' own; the last of them, whose files are pickles."""
    place = run.parents[6]
    one = run
    for seed, spelling in enumerate(SPELLINGS, start=100 * (number + 1)):
        one = place / "results" / run.relative_to(place / "base").with_name(f"seed-{seed}")
        shutil.copytree(run, one)
        told = {"run_id": f"{content['run_id'].rpartition('-')[0]}-{seed}", "seed": seed}
        spelled = spelling.format(place)
        (one / "record.json").write_text(json.dumps(poisoned(content | told, path, spelled)))
        if spelling in SPELLINGS[-1:]:
            stored = [p for p in one.iterdir() if p.is_file() and p.suffix not in (".json", ".txt")]
            for file in (*stored, one / "step-000000001-0123456789abcdef.pt"):
                file.write_bytes(pickle.dumps(Bomb(place / "executed")))
    return one


ATTACKS = [Attack("files named in records", attack, FULL)]


def test_no_reader_runs_what_a_record_names(tmp_path: Path) -> None:
    counts = attack(tmp_path, 1, few)
    assert counts == Counts(len(OF_A_RUN) + 3)


@pytest.mark.parametrize(
    ("field", "command", "said"),
    [
        (
            "steps",
            "plot RUN --output DIR/run",
            "preset.steps = 'x.py:T': input should be a valid int",
        ),
        ("steps", "plot RUN --output DIR/run --method ./x.py:T", "preset.steps = 'x.py:T': input"),
        ("added", "plot RUN --output DIR/run", "unknown setting of the preset 'added'"),
    ],
)
def test_a_preset_that_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, command: str, said: str
) -> None:
    (tmp_path / "x.py").write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)
    run = made(tmp_path)
    content = json.loads((run / "record.json").read_text())
    del content["seal"]
    content["preset_values"][field] = "x.py:T"
    (run / "record.json").write_text(json.dumps(content))
    words = command.replace("DIR", str(tmp_path)).replace("RUN", str(run)).split()
    told = CliRunner().invoke(main, words)
    assert told.exit_code == 2
    assert said in told.stderr


def test_code_that_ran_is_counted(tmp_path: Path) -> None:
    """Of a reader that loads what a record names, one that reads a pickle."""

    def loads() -> None:
        registry.load("method", f"{tmp_path}/x.py:T")

    def careless(results: Path, runs: list[Path]) -> Iterator[Callable[[], Any]]:
        yield loads
        yield lambda: pickle.loads(next(runs[0].glob("*.pt")).read_bytes())  # noqa: S301 - ours
        yield lambda: None

    assert attack(tmp_path, 1, careless) == Counts(3, executed=2)


@pytest.mark.attacks
def test_in_full(tmp_path: Path) -> None:
    counts = attack(tmp_path, FULL)
    assert counts == Counts(counts.tried)
