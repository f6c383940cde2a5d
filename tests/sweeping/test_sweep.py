"""A sweep: what fails stays alone, what is done stays done, and nothing lives on without it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import cwbench
from cwbench.sweeping.request import sweep_request

FAULTS = Path(__file__).parents[1] / "sweep_faults.py"
TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.width": 8, "preset.nfe": "1",
}  # fmt: skip
MARK = "CWBENCH_TEST_MARK"


def fault(*names: str) -> list[str]:
    return [f"{FAULTS}:{name}" for name in names]


def swept(results: Path, method: Any, **options: Any) -> list[cwbench.Record]:
    """`cwbench.sweep` on the cheapest task."""
    options = {"preset": "smoke", "settings": TINY, "quiet": True, "grace": 2.0} | options
    return cwbench.sweep("gaussian-linear", method, results=results, **options)


def statuses(records: list[cwbench.Record]) -> dict[str, str]:
    return {record.method["name"]: record.status for record in records}


def contents(results: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in results.rglob("*")
        if path.is_file()
    }


def half_written(results: Path) -> list[Path]:
    """Temporary files that somebody left."""
    found = (path for path in results.rglob(".*") if path.is_file())
    return [path for path in found if path.name != ".lock"]


def table(results: Path) -> dict[str, dict[str, Any]]:
    """All numbers of all records, but for seconds and memory."""
    records = cwbench.records.runs.iterate(results)
    return {
        f"{r.method['name']} {r.method['params']} {r.seed}": {
            "status": r.status, "metrics": r.metrics, "diagnostics": r.diagnostics,
            "samples": r.files["samples.safetensors"],
        }
        for r in records
    }  # fmt: skip


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[psutil.Process]]]:
    """The living processes that this test has started, however distant."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)

    def living() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):  # it ends while it is asked
                ours = process.environ().get(MARK) == mark and process.pid != os.getpid()
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    yield living
    for process in living():
        with suppress(psutil.NoSuchProcess):
            process.kill()


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return value


@contextmanager
def running(
    results: Path, *arguments: str, settings: dict[str, Any] = TINY
) -> Iterator[subprocess.Popen[str]]:
    """`cwbench sweep` in a process of its own."""
    command = [
        sys.executable, "-m", "cwbench", "sweep", "--task", "gaussian-linear", "--preset", "smoke",
        "--results", str(results), *(f"--set={k}={v}" for k, v in settings.items()), *arguments,
    ]  # fmt: skip
    variables = os.environ | {"CWBENCH_CHECKPOINT_SECONDS": "0.1"}
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


MIXED = ["prior", *fault("ExitsAtOnce", "EndlessLoop", "RaisesInFit")]
ENDS = {
    "prior": "ok", "exits-at-once": "failed", "endless-loop": "timeout", "raises-in-fit": "failed",
}  # fmt: skip


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[cwbench.Record]:
    """A good run, and with the time it took as a measure three that fail, two at a time."""
    results = tmp_path_factory.mktemp("mixed")
    began = time.monotonic()
    swept(results, "prior")
    limit = round(2 + 2 * (time.monotonic() - began))  # fair on a busy machine
    return swept(results, MIXED, jobs=2, timeout=limit, gpus=[7, 0])


def results_of(records: list[cwbench.Record]) -> Path:
    return records[0].directory.parents[5]


def test_what_fails_stays_alone(mixed: list[cwbench.Record], tmp_path: Path, run: Callable) -> None:
    assert statuses(mixed) == ENDS
    prior, exits, endless, raises = mixed
    assert exits.error == (
        "its process ended with exit status 0 without a record; the last line of its log: "
        "before the exit, on GPU 7"
    )
    assert re.fullmatch(r"ran longer than the limit of \d+ s", endless.error)
    assert raises.error == "ZeroDivisionError: in fit"
    assert [record.environment["parallel"] for record in mixed] == [False, 2, 2, 2]
    assert {record.environment["threads"] for record in mixed} == {1}
    assert "Traceback" in (raises.directory / "log.txt").read_text()
    assert not half_written(results_of(mixed))
    alone = run("prior", settings=TINY, results=tmp_path)
    assert prior.metrics == alone.metrics
    assert alone.environment["parallel"] is False


def test_a_second_call_does_nothing(mixed: list[cwbench.Record]) -> None:
    before = contents(results_of(mixed))
    assert swept(results_of(mixed), MIXED) == mixed
    assert contents(results_of(mixed)) == before


@pytest.mark.parametrize(
    ("words", "to_do"),
    [
        ({}, []),
        ({"retry": "timeout,oom"}, ["endless-loop"]),
        ({"retry": ["failed", "timeout"]}, ["exits-at-once", "endless-loop", "raises-in-fit"]),
        ({"force": True}, list(ENDS)),
        ({"metrics": "mmd-sbibm"}, ["prior"]),
    ],
)
def test_what_is_to_do(
    mixed: list[cwbench.Record], words: dict[str, Any], to_do: list[str]
) -> None:
    fixed = {"task": "gaussian-linear", "preset": "smoke", "set": TINY, "method": MIXED}
    plan = sweep_request(fixed | {"results": results_of(mixed)} | words).planned()
    assert [run.identity["method"]["name"] for run in plan if run.to_do] == to_do


def test_the_command_line(mixed: list[cwbench.Record], tmp_path: Path, cli: Callable) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        f'task = "gaussian-linear"\nmethod = {MIXED}\npreset = "smoke"\n'
        f'results = "{results_of(mixed)}"\n[set.preset]\n'
        + "\n".join(f"{k.removeprefix('preset.')} = {v}" for k, v in TINY.items())
    )
    done = cli("sweep", path, "--json")
    assert done.exit_code == 1, done.output
    assert [r["status"] for r in json.loads(done.stdout)] == list(ENDS.values())
    assert "4 runs: 1 ok, 2 failed, 1 timeout" in cli("sweep", path).stdout
    told = cli("sweep", path).stdout
    assert re.search(
        r"raises-in-fit / smoke \(.*\bsteps=\d.*\) / seed 0: ZeroDivisionError: in fit", told
    )
    assert cli("sweep", path, "--method", "prior").exit_code == 0
    wrong = cli("sweep", path, "--method", "priro")
    assert wrong.exit_code == 2
    assert "'prior'" in wrong.stderr


def test_retry_does_it_again(
    mixed: list[cwbench.Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    results = tmp_path / "copy"
    shutil.copytree(results_of(mixed), results)
    (record,) = swept(results, MIXED[1:2], retry=["failed"])
    assert record.error.endswith("on GPU None")
    assert record.environment["parallel"] is False
    assert (record.directory / "log.txt").read_text().count("before the exit") == 2


ENDLESS = TINY | {"preset.steps": 1_000_000}
TWO = ("--method=fm", "--seeds=0-1", "--jobs=2", "--grace=5")


def until_both_train(results: Path) -> None:
    until(lambda: len({p.parent for p in results.rglob("step-*.pt")}) == 2)


def test_sigkill_leaves_no_orphan(tmp_path: Path, marked: Callable) -> None:
    with running(tmp_path, *TWO, settings=ENDLESS) as process:
        until_both_train(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not marked(), 15)
    assert [r.status for r in cwbench.records.runs.iterate(tmp_path)] == ["interrupted"] * 2
    assert not half_written(tmp_path)


@pytest.mark.slow
def test_ctrl_c_after_a_sigkill_checkpoints_what_was_resumed(
    tmp_path: Path, marked: Callable
) -> None:
    """`test_resume` has both signals for one run, in the fast tests."""
    with running(tmp_path, *TWO, settings=ENDLESS) as process:
        until_both_train(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not marked(), 15)
    with running(tmp_path, *TWO, settings=ENDLESS) as process:
        logs = list(tmp_path.rglob("log.txt"))
        until(lambda: all("resuming at step" in log.read_text() for log in logs))
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "2 runs write their checkpoints" in told
    assert "interrupted: stopped at step" in told
    assert [r.status for r in cwbench.records.runs.iterate(tmp_path)] == ["interrupted"] * 2
    assert len({p.parent for p in tmp_path.rglob("step-*.pt")}) == 2
    assert not half_written(tmp_path)
    assert not marked()


def test_a_dry_run_writes_nothing(tmp_path: Path, cli: Callable) -> None:
    arguments = ("sweep", "--task", "gaussian-linear", "--method", "prior,fm", "--preset", "smoke",
                 "--seeds", "0-2,5", "--results", tmp_path / "results")  # fmt: skip
    result = cli(*arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "gaussian-linear / fm / smoke     to do: seeds 0-2,5" in result.stdout
    assert "8 runs, 8 to do" in result.stdout
    assert "time unknown, no past run: gaussian-linear / fm / smoke (4 runs)" in result.stdout
    assert not (tmp_path / "results").exists()


def test_a_dry_run_estimates_by_past_runs(tmp_path: Path, cli: Callable, run: Callable) -> None:
    for seed in (0, 1, 2):
        record = run("prior", seed=seed, settings=TINY, results=tmp_path)
        record.cost |= {"fit_seconds": 100.0 * (seed + 1), "sampling": {"1": {"seconds": 20.0}}}
        cwbench.records.runs.write(record.directory, record)
    arguments = ["sweep", "--task", "gaussian-linear", "--method", "prior", "--preset", "smoke",
                 "--results", tmp_path, *(f"--set={k}={v}" for k, v in TINY.items())]  # fmt: skip
    result = cli(*arguments, "--seeds", "0-12", "--jobs", 2, "--dry-run")
    assert "on record, ok: seeds 0-2; to do: seeds 3-12" in result.stdout
    assert "13 runs, 10 to do" in result.stdout
    # the median run took 200 + 20 s; ten of them, two at a time
    assert "about 18 min for 10 runs, 2 side by side" in result.stdout
    # four times the steps: 400, 800 or 1200 + 20 s
    rest = [each for each in arguments if "preset.steps" not in str(each)]
    steps = f"--set=preset.steps={4 * TINY['preset.steps']}"
    longer = cli(*rest, steps, "--seeds", "0-9", "--jobs", 2, "--dry-run")
    assert "about 68 min for 10 runs, 2 side by side" in longer.stdout
