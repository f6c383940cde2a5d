"""Metrics are added to a run that is ok, and the disk, the file system or a kill is against it.

Whatever fails and wherever: the run stays ok for every reader, with the values it had, and the same
command ends as if nothing had happened.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attacks.counts import Attack, Counts

import cwbench
from cwbench.errors import CwbenchError
from cwbench.records import beside, runs
from cwbench.records.values import observed
from cwbench.reporting.status import statuses


class Killed(BaseException):
    """Nothing after it happens: every further operation on files raises it too."""


REFUSED = {("full", "fsync"): errno.ENOSPC, ("immutable", "replace"): errno.EPERM}


class Fault:
    """Lets the operation of a number fail, of all that change files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str, at: int) -> None:
        self.kind, self.at, self.seen, self.dead, self.fired = kind, at, 0, False, False
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self.guarded(name, getattr(owner, name)))

    def guarded(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*given: Any, **options: Any) -> Any:
            self.seen += 1
            if self.kind == "killed" and (self.dead or self.seen == self.at):
                self.dead = self.fired = True
                raise Killed
            if (self.kind, name) in REFUSED and self.seen >= self.at:
                self.fired, number = True, REFUSED[self.kind, name]
                raise OSError(number, os.strerror(number))
            return original(*given, **options)

        return operation


METHOD = """
    def fit(self, data, context): pass
    def sample(self, y, n, generator, nfe=None):
        import torch
        if nfe == 77:
            raise ArithmeticError("the solver gave up")
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)
    def state_dict(self): return {}
    def load_state_dict(self, state): pass
"""


@pytest.fixture
def solver(tmp_path: Path) -> str:
    return written(tmp_path)


def written(place: Path) -> str:
    """The solver, as it is named."""
    path = place / "solver.py"
    path.write_text(
        "from cwbench import Method, MethodInfo\n"
        "class Solver(Method):\n"
        "    info = MethodInfo(name='solver', version=1, title='S', citation='', nfe=True)\n"
        + METHOD
    )
    return f"{path}:Solver"


def read_all(results: Path) -> tuple[cwbench.Record, list[str], dict[Path, str]]:
    """The record, what status says, and what the leaderboard cannot read."""
    (directory,) = runs.run_directories(results)
    record = runs.read(directory)
    assert record is not None
    return record, [each.state for each in statuses(results)], observed(results).problems


def run(solver: str, **options: Any) -> cwbench.Record:
    """On the smallest preset, silent and without figures."""
    return cwbench.run("gaussian-linear", solver, "smoke", quiet=True, figures=False, **options)


def attack(solver: str, place: Path, faults: list[tuple[str, int]]) -> Counter[str]:
    """How many faults came, and after how many a value was lost, or wrong after all.

    A fault at an operation that there is not is not tried.
    """
    before = run(solver, results=place / "base", nfe=[1])
    shutil.copytree(place / "base", place / "whole")
    whole = run(solver, results=place / "whole", nfe=[1, 2])
    assert set(before.metrics) < set(whole.metrics)
    counts = Counter(tried=0, lost=0, wrong=0)
    for kind, at in faults:
        results = place / f"{kind}-{at}"
        shutil.copytree(place / "base", results)
        with pytest.MonkeyPatch.context() as patch:
            fault = Fault(patch, kind, at)
            with suppress(Killed, OSError, CwbenchError):
                run(solver, results=results, nfe=[1, 2])
        if not fault.fired:
            shutil.rmtree(results)
            continue
        record, states, problems = read_all(results)
        kept = {i: e for i, e in record.metrics.items() if i in before.metrics}
        counts["tried"] += 1
        counts["lost"] += states != ["ok"] or bool(problems) or kept != before.metrics
        again = run(solver, results=results, nfe=[1, 2])
        record, states, problems = read_all(results)
        left = [p for p in record.directory.iterdir() if beside.NEW.fullmatch(p.name)]
        sound = states == ["ok"] and not problems and not left
        counts["wrong"] += not sound or not again.metrics == record.metrics == whole.metrics
        shutil.rmtree(results)
    return counts


EVERY = [(kind, at) for at in range(1, 11) for kind in ("full", "killed", "immutable")]


def in_top_up(place: Path, n: int) -> Counts:
    """The first n faults, those at operations that there are."""
    return Counts(**attack(written(place), place, EVERY[:n]))


ATTACKS = [Attack("faults while metrics are added", in_top_up, len(EVERY))]


@pytest.mark.attacks
def test_no_fault_at_any_write_costs_a_value(tmp_path: Path) -> None:
    counts = in_top_up(tmp_path, len(EVERY))
    assert counts == Counts(counts.tried)
    assert counts.tried == FIRED


FIRED = 21
"""Of `EVERY`."""


def test_a_few_faults_cost_no_value(solver: str, tmp_path: Path) -> None:
    some = [("full", 3), ("killed", 5), ("killed", 7), ("immutable", 6)]
    assert attack(solver, tmp_path, some) == Counter(tried=len(some))


def test_a_fault_that_never_comes_is_not_tried(solver: str, tmp_path: Path) -> None:
    assert attack(solver, tmp_path, [("killed", 1000)]) == Counter(tried=0)


def test_a_solver_that_fails_at_an_nfe_leaves_the_run_ok(solver: str, results: Path) -> None:
    before = run(solver, nfe=[1])
    after = run(solver, nfe=[1, 77, 2])
    record, states, problems = read_all(results)
    assert (after.status, states, problems) == ("ok", ["ok"], {})
    assert record.metrics == after.metrics
    assert {i: e for i, e in after.metrics.items() if i in before.metrics} == before.metrics
    failed, new = after.metrics["ew2sq@nfe=77"], after.metrics["ew2sq@nfe=2"]
    assert (failed.value, failed.error) == (None, "ArithmeticError: the solver gave up")
    assert new.value is not None
    assert run(solver, nfe=[77], force=True).status == "failed"  # of a new run it is the end
