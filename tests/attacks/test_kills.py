"""SIGKILL at a random moment of a command: run, sweep, top-up, anew, score, evaluate, leaderboard.

Afterwards nothing that was finished is lost, and the same command ends with the values of one that
was left alone. Each command is a fork of this process, which has everything imported, so that the
moment falls into its work.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks.counts import Attack, Counts
from attacks.test_faults import COMMANDS, SIZE, Command, contents, keeps, left_over, prepared

import cwbench

PATIENCE = 300.0
"""Seconds until the same command again counts as hung."""


def swept(solver: str, results: Path) -> object:
    """Two seeds, one of which may be on record."""
    records = cwbench.sweep(
        "gaussian-linear", solver, "smoke", "0-1", settings=SIZE, nfe=[1], results=results,
        quiet=True,
    )  # fmt: skip
    assert [record.status for record in records] == ["ok", "ok"]
    return records


ALL = (*COMMANDS, *COMMANDS, Command("sweep", before=True, do=swept))


def begun(do: Callable[[], object]) -> int:
    """A fork that carries something out; its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        status = 1
        try:
            do()
            status = 0
        except BaseException:  # noqa: BLE001 - told, and counted by the parent
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def ended(child: int, seconds: float) -> int | None:
    """Its status as `waitpid` says it; killed after some time, or None if it is there no more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


class Killing:
    """The commands with what they take, and their results when left alone."""

    def __init__(self, place: Path) -> None:
        self.place, self.solver = place, prepared(place, ())
        self.seconds: dict[str, float] = {}

    def start(self, command: Command) -> Path:
        """A new results directory with what was on record."""
        results = self.place / "tried"
        shutil.rmtree(results, ignore_errors=True)
        shutil.copytree(self.place / ("base" if command.before else "empty"), results)
        return results

    def took(self, command: Command) -> float:
        """Seconds of a command that is left alone; its results are kept to compare with."""
        if command.name not in self.seconds:
            results, began = self.start(command), time.monotonic()
            assert ended(begun(lambda: command.do(self.solver, results)), PATIENCE) == 0
            self.seconds[command.name] = time.monotonic() - began
            shutil.rmtree(self.place / command.name, ignore_errors=True)
            results.rename(self.place / command.name)
        return self.seconds[command.name]

    def kill(self, command: Command, share: float) -> Counts | None:
        """Kill it after a share of its time, and do it again; None if it had ended."""
        seconds = share * self.took(command)
        results = self.start(command)
        before = contents(results)
        status = ended(begun(lambda: command.do(self.solver, results)), seconds)
        if status is None or not os.WIFSIGNALED(status):
            return None
        lost = not keeps(contents(results), before)
        again = ended(begun(lambda: command.do(self.solver, results)), PATIENCE)
        hung = again is not None and os.WIFSIGNALED(again)
        whole = contents(self.place / command.name)
        wrong = contents(results) != whole or bool(left_over(results))
        crashed = again != 0 and not hung
        return Counts(1, int(lost), int(wrong), int(hung), 0, int(crashed))


def killed(place: Path, n: int, commands: tuple[Command, ...] = ALL) -> Counts:
    """n kills, of one command after the other; one that came too late is not counted."""
    killing, counts, rng = Killing(place), Counts(), random.Random(7)  # noqa: S311
    number = 0
    while counts.tried < n:
        command = commands[number % len(commands)]
        counts += killing.kill(command, rng.random()) or Counts()
        number += 1
    return counts


ATTACKS = [Attack("kills at random moments of every command", killed, 100)]


@pytest.mark.attacks
def test_in_full(tmp_path: Path) -> None:
    (attack,) = ATTACKS
    assert attack.counts(tmp_path, attack.full) == Counts(attack.full)


def test_some_kills_of_a_run_made_anew(tmp_path: Path) -> None:
    some = tuple(command for command in COMMANDS if command.name in ("anew", "top-up"))
    assert killed(tmp_path, 2, some) == Counts(2)
