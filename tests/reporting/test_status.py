"""`cwbench status`: every run is in one state, in a matrix that fits the page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cwbench.records.runs import single_writer
from cwbench.reporting.status import STYLES, counts, statuses

Store = Callable[..., Path]
STATUSES = ("ok", "diverged", "failed", "timeout", "oom", "interrupted", "skipped")


@pytest.fixture
def every(store: Store) -> dict[str, Path]:
    """A run in each state but `running`."""
    made = {
        status: store(seed, status=status, error=None if status == "ok" else f"{status} told\nmore")
        for seed, status in enumerate(STATUSES)
    }
    made["damaged"] = store(7, text='{"schema": 1, "task"')
    made["unfinished"] = store(8)
    (made["unfinished"] / "record.json").unlink()
    (made["unfinished"] / "log.txt").write_text(
        "2025-01-01 00:00:00  fit 10%\n2025-01-01 00:00:09  fit 43% loss 0.5 9 s left\n"
    )
    return made


def test_every_state_with_its_reason(every: dict[str, Path], results: Path) -> None:
    found = {run.directory: (run.state, run.detail) for run in statuses(results)}
    assert len(found) == len(every)
    for status in STATUSES:
        assert found[every[status]] == (status, "" if status == "ok" else f"{status} told")
    state, detail = found[every["damaged"]]
    assert state == "damaged"
    assert detail.startswith("record.json is not a record: ")
    assert found[every["unfinished"]] == ("unfinished", "fit 43% loss 0.5 9 s left")


def test_a_run_that_is_held_is_running_whatever_is_on_record(
    every: dict[str, Path], results: Path
) -> None:
    for name in ("failed", "damaged", "unfinished", "ok"):
        with single_writer(every[name]):
            assert {r.directory: r.state for r in statuses(results)}[every[name]] == "running"
        assert {r.directory: r.state for r in statuses(results)}[every[name]] == name


def test_the_matrix(every: dict[str, Path], cli: Callable, store: Store, results: Path) -> None:
    store(0, method="n", key="1" * 16)
    store(0, method="n", key="2" * 16, task="u" * 40)
    result = cli("status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "t / smoke"
    assert " ".join(STATUSES[:6]) == " ".join(lines[3].split()[1:])
    assert "damaged" in result.stdout
    assert "0123456789abcdef-2  failed  failed told" in lines
    assert "11 runs: 3 ok, 1 skipped, 1 unfinished" in " ".join(lines[-2:])
    with single_writer(every["ok"]):
        assert "1 running" in cli("status").stdout


def test_rows_of_one_name_are_told_apart_by_the_preset_else_by_key(
    store: Store, results: Path
) -> None:
    store(0, key="aaaa456789abcdef")
    store(1, key="aaaa456789abcdef")
    store(0, key="bbbb456789abcdef", settings={"preset.steps": "1"}, track="open")
    store(0, key="cccc456789abcdef", preset="quick")
    assert {run.method for run in statuses(results)} == {"m", "m (steps=1)"}
    store(0, key="dddd456789abcdef")
    told = {run.method for run in statuses(results)}
    assert told == {"m", "m [aaaa]", "m [dddd]", "m (steps=1)"}


def test_json_tells_all(every: dict[str, Path], cli: Callable) -> None:
    rows = {row["run_id"]: row for row in json.loads(cli("status", "--json").stdout)}
    assert {row["state"] for row in rows.values()} == set(every)
    failed = rows["0123456789abcdef-2"]
    assert failed == {
        "run_id": "0123456789abcdef-2", "task": "t", "method": "m", "preset": "smoke", "seed": 2,
        "state": "failed", "detail": "failed told", "directory": str(every["failed"]),
    }  # fmt: skip


def test_many_seeds_and_many_failures_stay_readable(
    store: Store, cli: Callable, results: Path
) -> None:
    for seed in range(50):
        store(seed, status="failed", error="e" * 300)
    result = cli("status")
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("failed  eee" in line for line in lines) == 30
    assert "and 20 more; --json tells all" in lines
    assert sum(line.split().count("failed") for line in lines if line.startswith(" m ")) == 50


def test_no_runs(cli: Callable, results: Path) -> None:
    result = cli("status")
    assert result.exit_code == 0
    assert "no runs in" in result.stdout
    assert json.loads(cli("status", "--json").stdout) == []
    assert not results.exists()


def test_states_are_all_styled_and_counted(every: dict[str, Path], results: Path) -> None:
    found = statuses(results)
    assert {run.state for run in found} | {"running"} == set(STYLES)
    assert counts(found) == (
        "9 runs: 1 ok, 1 skipped, 1 unfinished, 1 interrupted, 1 diverged, 1 failed, 1 timeout, "
        "1 oom, 1 damaged"
    )


def test_watch_shows_what_changes_until_ctrl_c(store: Store, results: Path) -> None:
    store(0)
    command = [sys.executable, "-m", "cwbench", "status", "--watch", "--every", "0.1"]
    process = subprocess.Popen(
        [*command, "--results", str(results)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip  # where the tests run in the background, Ctrl-C is ignored and inherited
    assert process.stdout is not None
    try:
        _wait_for(process.stdout, "1 runs: 1 ok")
        store(1, status="failed", error="boom")
        _wait_for(process.stdout, "2 runs: 1 ok, 1 failed")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert not errors
    finally:
        process.kill()
        process.communicate()


def _wait_for(stream: object, wanted: str) -> None:
    deadline = time.monotonic() + 60
    for line in stream:  # type: ignore[attr-defined]
        if wanted in line:
            return
        assert time.monotonic() < deadline
    raise AssertionError(f"never shown: {wanted}")
