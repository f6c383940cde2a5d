"""Results directories that belong to somebody else, may only be read, or have no file locks.

What a file system would refuse is refused by patched calls: whoever runs the tests may be root.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attacks.counts import Attack, Counts
from attacks.test_payloads import page_data
from click.testing import CliRunner, Result
from made_runs import write_run
from matplotlib.figure import Figure

import cwbench
from cwbench import style
from cwbench.check.doctor import results_findings
from cwbench.cli.main import main
from cwbench.errors import CwbenchError, NewerSchemaError, UsageError
from cwbench.machine import locks
from cwbench.records import runs
from cwbench.reporting import run_figures
from cwbench.reporting.run_figures import draw

Run = Callable[..., cwbench.Record]


def refuse(patch: pytest.MonkeyPatch, below: Path, number: int = errno.EROFS) -> list[str]:
    """Let nothing be written below a directory; the paths that it was tried at, as it goes on."""
    refused = []

    def refusal(path: Any) -> OSError:
        refused.append(str(path))
        return OSError(number, os.strerror(number), str(path))

    def guarded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *given: Any, **options: Any) -> Any:
            flags = given[0] if given and isinstance(given[0], int) else os.O_RDONLY
            writes = name != "open" or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and str(path).startswith(str(below)):
                raise refusal(path)
            return original(path, *given, **options)

        return call

    for name in ("open", "mkdir", "unlink", "replace", "rename"):
        patch.setattr(os, name, guarded(name, getattr(os, name)))
    opened = Path.open

    def path_open(self: Path, mode: str = "r", *given: Any, **options: Any) -> Any:
        if set(mode) & set("wax+") and str(self).startswith(str(below)):
            raise refusal(self)
        return opened(self, mode, *given, **options)

    patch.setattr(Path, "open", path_open)
    return refused


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """As on a mount that may only be read."""
    return functools.partial(refuse, monkeypatch)


COMMANDS = (
    "leaderboard --results DIR", "leaderboard --results DIR --format html", "status --results DIR",
    "status --results DIR --json", "why RUN --results DIR", "compare a b --results DIR",
    "verify DIR --no-fresh", "prune --results DIR", "prune --results DIR --dry-run",
    "seal RUN --results DIR", "doctor --results DIR", "score RUN --results DIR",
    "plot RUN --results DIR", "leaderboard --results DIR --output DIR/board.md",
)  # fmt: skip
ERRORS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def attack(place: Path, n: int, commands: Sequence[str] = COMMANDS) -> Counts:
    """Every command where nothing can be written, for n reasons: it answers, and nothing goes.

    What only reads shows both methods all the same.
    """
    counts = Counts()
    for number in ERRORS[:n]:
        results = place / errno.errorcode[number]
        made = [write_run(results, {"ew2sq": [1.0, 2.0]}, method=name, seed=seed)
                for name in "ab" for seed in range(3)]  # fmt: skip
        before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
        for words in commands:
            said = words.replace("DIR", str(results)).replace("RUN", str(made[0])).split()
            with pytest.MonkeyPatch.context() as patch:
                refuse(patch, results, number)
                done = CliRunner().invoke(main, said)
            crashed = done.exception is not None and not isinstance(done.exception, SystemExit)
            shows = words.startswith(("leader", "status", "compare", "verify"))
            hidden = shows and "board.md" not in words and not shown(words, done.stdout)
            lost = any(not p.is_file() or p.read_bytes() != c for p, c in before.items())
            counts += Counts(1, lost=int(lost or hidden), crashed=int(crashed))
    return counts


def shown(words: str, output: str) -> bool:
    """Whether both methods stand in an output."""
    told = json.dumps(page_data(output)) if "html" in words else output
    return all(re.search(rf"(?<![\w-]){name}(?![\w-])", told) for name in "ab")


ATTACKS = [Attack("places where nothing can be written", attack, len(ERRORS))]


def test_every_quick_command_where_nothing_can_be_written(tmp_path: Path) -> None:
    quick = [words for words in COMMANDS if "doctor" not in words and "html" not in words]
    assert attack(tmp_path, 1, quick) == Counts(len(quick))


@pytest.mark.attacks
def test_every_command_where_nothing_can_be_written(tmp_path: Path) -> None:
    assert attack(tmp_path, len(ERRORS)) == Counts(len(ERRORS) * len(COMMANDS))


def test_what_can_be_done_where_nothing_can_be_written(
    run: Run, cli: Callable[..., Result], results: Path, tmp_path: Path,
    read_only: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    record = run("prior")
    monkeypatch.setattr(run_figures, "_figures", lambda *_: iter([("one", Figure())]))
    read_only(results)
    assert run("prior") == record
    assert cli("leaderboard", "--results", results).exit_code == 0
    scored = cli("score", record.run_id)
    assert (scored.exit_code, "nothing was missing" in scored.output) == (0, True)
    refused = cli("run", "--task", "gaussian-linear", "--method", "prior", "--preset", "smoke",
                  "--seed", "1")  # fmt: skip
    assert refused.exit_code == 2
    assert "Read-only file system. Name another with --results DIR" in refused.stderr
    with pytest.raises(UsageError, match=r"figures directory .* --output DIR"):
        draw(record)
    assert draw(record, output=tmp_path / "mine") == [tmp_path / "mine" / "one.png"]


def test_a_cache_that_cannot_be_written_costs_the_caching_alone(
    run: Run, results: Path, tmp_path: Path, read_only: Callable[..., list[str]]
) -> None:
    (results / ".cache").mkdir(parents=True)
    read_only(results / ".cache", errno.EACCES)
    record = run("prior")
    assert record.status == "ok"
    assert not list((results / ".cache").iterdir())
    assert record.metrics == run("prior", results=tmp_path / "other").metrics


def test_a_run_of_another_user_is_refused_before_its_fit(
    run: Run, results: Path, read_only: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run("prior")
    assert record.directory
    (record.directory / "record.json").unlink()
    read_only(record.directory, errno.EACCES)
    reached = []
    monkeypatch.setattr("cwbench.running.fitting.fit", lambda *_, **__: reached.append("fitted"))
    with pytest.raises(UsageError, match=r"the run's directory .* Permission denied"):
        run("prior")
    assert not reached


def test_a_lock_that_another_user_made_is_held_by_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.open

    def refusing(path: Any, flags: int, *given: Any) -> int:
        if str(path).endswith(".lock") and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path, flags, *given)

    (tmp_path / locks.LOCK).touch()
    monkeypatch.setattr(os, "open", refusing)
    with runs.single_writer(tmp_path):
        assert runs.is_running(tmp_path)
        assert locks.claim(tmp_path) is None
    assert not runs.is_running(tmp_path)


@pytest.fixture
def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refused)


@pytest.mark.usefixtures("no_flock")
def test_without_flock_it_says_what_to_do_and_the_way_out_works(
    run: Run, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CwbenchError, match=r"no file locks \(flock\).*CWBENCH_LOCKS=files"):
        run("prior")
    found = {each.name: each for each in results_findings(results)}
    assert found["locks"].state == "broken"
    monkeypatch.setenv(locks.VARIABLE, "files")
    record = run("prior")
    assert record.status == "ok"
    assert record.directory
    assert not (record.directory / locks.HOLDER).exists()
    found = {each.name: each for each in results_findings(results)}
    assert (found["locks"].state, found["locks"].detail) == ("ok", "files, by CWBENCH_LOCKS")


def test_a_lock_file_keeps_others_out_until_its_holder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(locks.VARIABLE, "files")
    lock = locks.claim(tmp_path)
    assert lock is not None
    assert locks.claimed(tmp_path)
    assert locks.claim(tmp_path) is None
    with (
        pytest.raises(CwbenchError, match=r"another process .*remove .*\.lock\.holder"),
        runs.single_writer(tmp_path),
    ):
        pass
    locks.release(lock)
    assert not locks.claimed(tmp_path)
    (tmp_path / locks.HOLDER).write_text(f"{os.uname().nodename} {2**22 + 1}\n")  # no such process
    assert not locks.claimed(tmp_path)
    with runs.single_writer(tmp_path):
        assert locks.claimed(tmp_path)
    (tmp_path / locks.HOLDER).write_text(f"elsewhere {2**22 + 1}\n")
    assert locks.claimed(tmp_path)
    monkeypatch.setenv(locks.VARIABLE, "hope")
    with pytest.raises(UsageError, match="files or flock"):
        locks.claim(tmp_path)


@pytest.mark.parametrize("force", [False, True])
def test_a_record_of_a_newer_schema_is_never_overwritten(run: Run, force: bool) -> None:
    record = run("prior")
    assert record.directory
    path = record.directory / "record.json"
    text = json.dumps({"schema": 99, "precious": True})
    path.write_text(text)
    with pytest.raises(NewerSchemaError, match="has schema 99"):
        run("prior", force=force)
    with pytest.raises(NewerSchemaError):
        runs.write(record.directory, record)
    assert path.read_text() == text


@pytest.mark.slow
def test_a_sweep_leaves_a_record_of_a_newer_schema_alone(run: Run) -> None:
    record = run("prior")
    assert record.directory
    (record.directory / "record.json").write_text('{"schema": 99}')
    (swept,) = cwbench.sweep(
        "gaussian-linear", "prior", "smoke", results=record.directory.parents[5], quiet=True
    )
    assert swept.status == "failed"
    assert (record.directory / "record.json").read_text() == '{"schema": 99}'


def test_killed_while_figures_are_drawn_the_same_command_draws_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, original = [], style.write_atomically

    def killed(path: Path, content: bytes) -> None:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(path.name)
        original(path, content)

    empty = [(f"figure-{number}", Figure()) for number in range(4)]
    monkeypatch.setattr(run_figures, "_figures", lambda *_: iter(empty))
    monkeypatch.setattr(style, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        run("prior", figures=True)
    monkeypatch.setattr(style, "write_atomically", original)
    record = run("prior", figures=True)
    names = {path.name for path in record.figures}
    assert set(drawn) < names
    before = {path: path.stat().st_mtime_ns for path in record.figures}
    again = run("prior", figures=True)
    assert {path: path.stat().st_mtime_ns for path in again.figures} == before
    assert {path.name for path in run("prior", figures=True, force=True).figures} == names


def test_a_path_that_is_no_utf_8(run: Run, tmp_path: Path, cli: Callable[..., Result]) -> None:
    results = tmp_path / os.fsdecode(b"results-\xff")
    record = run("prior", results=results)
    assert record.status == "ok"
    assert set(cwbench.load_records(results).status) == {"ok"}
    assert not cwbench.leaderboard(results).empty
    again = ["run", "--task", "gaussian-linear", "--method", "prior", "--preset", "smoke"]
    for command in (again, ["status"], ["leaderboard"], ["status", "--json"], ["doctor"]):
        assert not isinstance(cli(*command, "--results", results).exception, UnicodeError)
