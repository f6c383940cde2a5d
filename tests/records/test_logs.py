"""`cwbench logs`: all of it, its end, and what is added while the run is running."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cwbench.errors import UsageError
from cwbench.records import logs
from cwbench.records.runs import single_writer

Store = Callable[..., Path]
TEXT = "".join(f"2025-01-01 00:00:0{i}  line {i}\n" for i in range(5))


@pytest.fixture
def logged(store: Store) -> Path:
    directory = store()
    (directory / "log.txt").write_text(TEXT)
    return directory


def test_the_log_or_its_end(logged: Path, cli: Callable) -> None:
    assert cli("logs", "0123").stdout == TEXT
    assert cli("logs", logged, "-n", "2").stdout.splitlines() == TEXT.splitlines()[-2:]
    assert cli("logs", logged, "-n", "0").stdout == ""
    assert cli("logs", logged, "-n", "99").stdout == TEXT
    assert cli("logs", logged, "-n", "-1").exit_code == 2
    assert logs.last_line(logged) == "line 4"


def test_a_log_of_a_run_without_a_record(logged: Path, cli: Callable) -> None:
    (logged / "record.json").unlink()
    assert cli("logs", "0123").stdout == TEXT


def test_no_log(store: Store, cli: Callable) -> None:
    directory = store()
    result = cli("logs", directory)
    assert result.exit_code == 2
    assert result.stderr == f"cwbench: no log in '{directory}': No such file or directory\n"
    assert logs.last_line(directory) == ""


def test_bytes_that_are_no_text(logged: Path, cli: Callable) -> None:
    (logged / "log.txt").write_bytes(b"\xff\xfe ok\n")
    assert " ok" in cli("logs", logged).stdout


def test_to_follow_a_run_that_is_over_ends(logged: Path, cli: Callable) -> None:
    assert cli("logs", logged, "--follow").stdout == TEXT


def _following(directory: Path, last: int | None) -> tuple[list[str], threading.Thread]:
    seen: list[str] = []
    thread = threading.Thread(target=_collect, args=(directory, last, seen))
    thread.start()
    return seen, thread


def _collect(directory: Path, last: int | None, seen: list[str]) -> None:
    for line in logs.followed(directory, last):
        seen.append(line)  # noqa: PERF402 - one by one, as they come


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_added_is_followed_line_by_line_to_the_end(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "POLL_SECONDS", 0.01)
    path = logged / "log.txt"
    with single_writer(logged):
        seen, thread = _following(logged, 1)
        _until(lambda: len(seen) == 1)
        with path.open("a") as file:
            file.write("new\nhal")
        _until(lambda: len(seen) == 2)
        time.sleep(0.1)
        assert seen[1:] == ["new"]
        with path.open("a") as file:
            file.write("f\n")
        _until(lambda: len(seen) == 3)
        path.unlink()
        time.sleep(0.1)
        path.write_text("anew\n")
        _until(lambda: len(seen) == 4)
        with path.open("a") as file:
            file.write("last, without an end")
    thread.join(30)
    assert not thread.is_alive()
    assert seen == [TEXT.splitlines()[-1], "new", "half", "anew", "last, without an end"]


def test_a_log_that_vanishes_before_it_is_read(logged: Path) -> None:
    (logged / "log.txt").unlink()
    with pytest.raises(UsageError, match="no log"):
        list(logs.followed(logged))
