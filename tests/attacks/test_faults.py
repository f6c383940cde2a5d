"""The disk, the file system or a kill is against a command, at every write it makes.

Whatever fails and wherever: what was finished stays as it was, no error is without a message of
ours, and the same command ends as if nothing had happened.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from attacks.counts import Attack, Counts
from attacks.test_top_up import Fault, Killed, written

import cwbench
from cwbench.boards.frames import selected
from cwbench.boards.page import page
from cwbench.errors import CwbenchError
from cwbench.machine.files import write_atomically
from cwbench.records import beside, runs
from cwbench.records.record import Record
from cwbench.running.named import named
from cwbench.running.score import score

KINDS = {
    "full": {"fsync": errno.ENOSPC},
    "read-only": {"fsync": errno.EROFS, "replace": errno.EROFS, "unlink": errno.EROFS},
    "immutable": {"replace": errno.EPERM},
    "vanished": {"replace": errno.ENOENT, "fsync": errno.ENOENT},
    "killed": {},
}
"""What operations answer from some moment on; `killed` in the middle of a rename, too."""


THREE = """
from cwbench.metric import MetricInfo, ReferenceMetric
class Three(ReferenceMetric):
    info = MetricInfo(
        name="three", version=1, title="three", direction="lower", debiased=False,
        needs=frozenset({"reference"}), citation="ours",
    )
    def distance(self, a, b):
        return a.flatten(1).sum(1) * 0 + 3
"""
"""A metric that takes no time."""


class AnyFault(Fault):
    """Of one of these kinds; what vanished is there again afterwards."""

    def guarded(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        """The operation, which may fail."""
        killing = super().guarded(name, original)

        def operation(*given: Any, **options: Any) -> Any:
            number = KINDS[self.kind].get(name)
            here = self.seen + 1
            due = here == self.at if self.kind == "vanished" else here >= self.at
            if number is None or not due:
                return killing(*given, **options)
            self.seen, self.fired = here, True
            raise OSError(number, os.strerror(number))

        return operation


SIZE = {"preset.observations": 3, "preset.samples": 12, "preset.training_pairs": 50}


def run(solver: str, results: Path, nfe: list[int], *, force: bool = False) -> Record:
    """Of the least size, silent and without figures."""
    return cwbench.run(
        "gaussian-linear", solver, "smoke", settings=SIZE, nfe=nfe, results=results, force=force,
        quiet=True, figures=False,
    )  # fmt: skip


class Command(NamedTuple):
    """What is on record before, what is done to it, and whether that may be without a cost."""

    name: str
    before: bool
    do: Callable[[str, Path], object]


def drawn(y: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
    """A sampler from outside."""
    return torch.randn(len(y), n, 5, generator=generator)


def evaluated(_: str, results: Path) -> object:
    """An outside sampler, again or for the first time."""
    return cwbench.evaluate(
        drawn, "gaussian-linear", "smoke", settings=SIZE, name="mine", results=results,
        figures=False, quiet=True,
    )  # fmt: skip


def scored(solver: str, results: Path) -> object:
    """A further metric of the run."""
    (directory,) = (each for each in runs.run_directories(results) if "solver" in each.parts)
    record = runs.read(directory)
    assert record is not None
    three = f"{Path(solver).parent / 'three.py'}:Three"
    return score(record, results, metrics=[three], files=named((), [solver]), quiet=True)


def board(_: str, results: Path) -> object:
    """The page, by way of the index."""
    return write_atomically(results / "page.html", page(selected(results).boards, []).encode())


COMMANDS = (
    Command("run", before=False, do=lambda solver, to: run(solver, results=to, nfe=[1])),
    Command("top-up", before=True, do=lambda solver, to: run(solver, results=to, nfe=[1, 2])),
    Command(
        "anew", before=True, do=lambda solver, to: run(solver, results=to, nfe=[1], force=True)
    ),
    Command("score", before=True, do=scored),
    Command("evaluate", before=True, do=evaluated),
    Command("leaderboard", before=True, do=board),
)


def contents(results: Path) -> dict[str, dict[str, Any]]:
    """The values on record by run, of those that can be read and have their files."""
    found: dict[str, dict[str, Any]] = {}
    for record in runs.iterate(results):
        if record.status == "ok" and runs.has_its_values(record) and model_is_sound(record):
            found[record.run_id] = dict(record.metrics)
    return found


def model_is_sound(record: Record) -> bool:
    """Whether the model beside a record is the one that it names."""
    assert record.directory is not None
    there = beside.hashes(record.directory, record.files)
    return all(there.get(name) == sha for name, sha in record.files.items())


def keeps(now: dict[str, dict[str, Any]], before: dict[str, dict[str, Any]]) -> bool:
    """Whether all values that were on record are, as they were."""
    return all(
        run_id in now and entries.items() <= now[run_id].items()
        for run_id, entries in before.items()
    )


def left_over(results: Path) -> list[Path]:
    """What a command that ended well has no business to leave."""
    places = (path for each in runs.run_directories(results) for path in each.iterdir())
    return [p for p in places if p.name == beside.ANEW or beside.NEW.fullmatch(p.name)]


def tried(command: Command, kind: str, at: int, place: Path, solver: str) -> Counts | None:
    """One fault at the operation of a number; None if there are fewer."""
    results, counts = place / "tried", Counts(1)
    shutil.rmtree(results, ignore_errors=True)
    start = place / ("base" if command.before else "empty")
    shutil.copytree(start, results)
    before = contents(results)
    with pytest.MonkeyPatch.context() as patch:
        fault = AnyFault(patch, kind, at)
        try:
            command.do(solver, results)
        except (Killed, CwbenchError):
            pass
        except OSError:  # of the file system itself: a line on the command line
            counts += Counts(crashed=int(kind != "killed" and command.name != "leaderboard"))
    if not fault.fired:
        return None
    counts += Counts(lost=int(not keeps(contents(results), before)))
    command.do(solver, results)
    whole = contents(place / command.name)
    wrong = contents(results) != whole or bool(left_over(results))
    return counts + Counts(wrong=int(wrong))


def prepared(place: Path, commands: Iterable[Command] = COMMANDS) -> str:
    """The solver; an empty place, one with two runs, and one where each command was carried out."""
    solver = written(place)
    (place / "three.py").write_text(THREE)
    (place / "empty").mkdir()
    run(solver, results=place / "base", nfe=[1])
    evaluated(solver, place / "base")
    assert len(contents(place / "base")) == 2
    for command in commands:
        shutil.copytree(place / ("base" if command.before else "empty"), place / command.name)
        command.do(solver, place / command.name)
    return solver


def every() -> Iterator[tuple[Command, str, int]]:
    """All faults, those at the first operations first."""
    for at in range(1, 16):
        for command in COMMANDS:
            for kind in KINDS:
                yield command, kind, at


def injected(place: Path, n: int) -> Counts:
    """n faults, at operations that there are."""
    solver, counts = prepared(place), Counts()
    for command, kind, at in every():
        if counts.tried == n:
            break
        counts += tried(command, kind, at, place, solver) or Counts()
    return counts


ATTACKS = [Attack("faults at every write of every command", injected, 1000)]


@pytest.mark.attacks
def test_in_full(tmp_path: Path) -> None:
    counts = injected(tmp_path, ATTACKS[0].full)
    assert counts == Counts(counts.tried)
    assert counts.tried > 60


def test_a_run_made_anew_is_lost_at_no_write(tmp_path: Path) -> None:
    (anew,) = (command for command in COMMANDS if command.name == "anew")
    solver = prepared(tmp_path, [anew])
    some = [("full", 4), ("killed", 9), ("vanished", 8)]
    found = [tried(anew, kind, at, tmp_path, solver) for kind, at in some]
    assert found == [Counts(1)] * len(some)


def test_a_run_made_anew_that_fails_leaves_the_one_that_is_ok(tmp_path: Path) -> None:
    solver = written(tmp_path)
    run(solver, results=tmp_path / "results", nfe=[1])
    before = contents(tmp_path / "results")
    assert run(solver, results=tmp_path / "results", nfe=[77], force=True).status == "failed"
    assert contents(tmp_path / "results") == before != {}
    assert left_over(tmp_path / "results") == []
