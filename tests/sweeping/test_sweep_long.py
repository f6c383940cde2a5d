"""Sweeps under fire, at length: runs with faults, SIGKILLs, two sweeps at once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cwbench
from cwbench.errors import CwbenchError
from cwbench.sweeping.request import sweep_request

pytestmark = pytest.mark.slow

FAULTS = Path(__file__).parents[1] / "sweep_faults.py"
TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.width": 8, "preset.nfe": "1", "preset.batch_size": 20,
}  # fmt: skip
HEALTHY = ["prior", "linear-gaussian", "oracle", "oracle-gaussian", "knn", "fm"]

EXPECTED = {
    "RaisesInFit": ("failed", "ZeroDivisionError: in fit"),
    "RaisesInSample": ("failed", "ZeroDivisionError: in sample"),
    "NotANumber": ("diverged", "samples are not finite"),
    "WrongShape": ("failed", r"returned shape \(24, 3, 5\)"),
    "EndlessLoop": ("timeout", "ran longer than the limit of"),
    "MemoryHog": ("oom", "used more memory than the limit of 2147483648 bytes"),
    "ExitsAtOnce": ("failed", "exit status 0 without a record.*before the exit"),
    "KillsItself": ("failed", "ended by SIGKILL without a record"),
    "LargeState": ("failed", "the disk of .* is full|File too large"),
    "Unwritable": ("failed", "cannot be written: Not a directory"),
}
"""Status and reason of each fault."""


def contents(results: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in results.rglob("*")
        if path.is_file()
    }


def half_written(results: Path) -> list[Path]:
    found = (path for path in results.rglob(".*") if path.is_file())
    return [path for path in found if path.name != ".lock"]


@contextmanager
def small_disk(directory: Path) -> Iterator[str]:
    """A disk of 256 KiB at `directory`; else the fault that limits itself. The class to use."""
    directory.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(directory)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield "LargeState" if mounted else "LimitedFiles"
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=True)


def test_runs_with_faults_in_half_of_them(tmp_path: Path) -> None:
    results = tmp_path / "results"
    place = results / "runs/gaussian-linear"
    neighbours = {"method.neighbours": list(range(1, 6))}
    words = {
        "task": "gaussian-linear", "preset": "smoke", "seeds": "0", "results": results,
        "set": TINY | neighbours, "memory": "2GiB", "grace": 2,
    }  # fmt: skip
    began = time.monotonic()
    pace = {"method": "prior", "seeds": 0, "set": TINY, "results": tmp_path / "pace"}
    sweep_request(words | pace).carry_out(quiet=True)
    limits = {"jobs": 2, "timeout": 15 + 5 * (time.monotonic() - began)}  # fair on a busy machine
    place.mkdir(parents=True)
    (place / "unwritable").write_text("a file where the runs' directory should be")
    with small_disk(place / "large-state") as disk:
        faults = [f"{FAULTS}:{name.replace('LargeState', disk)}" for name in EXPECTED]
        request = sweep_request(words | limits | {"method": [*HEALTHY, *faults]})
        records = request.carry_out(quiet=True)
        assert len(records) == 20
        _all_as_expected(records)
        _nothing_half_written(results)
        before = contents(results)
        again = request.carry_out(quiet=True)
        assert [r.status for r in again] == [r.status for r in records]
        assert contents(results) == before


def _all_as_expected(records: list[cwbench.Record]) -> None:
    expected = {
        "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-"): told
        for name, told in EXPECTED.items()
    }
    expected["limited-files"] = expected["large-state"]
    for record in records:
        status, reason = expected.get(record.method["name"], ("ok", None))
        assert record.status == status, record
        assert reason is None or re.search(reason, record.error or ""), record.error
        if record.method["name"] != "unwritable":  # it has no place for a record
            assert cwbench.records.runs.read(record.directory) == record
    assert sum(record.status == "ok" for record in records) == 10


def _nothing_half_written(results: Path) -> None:
    assert not half_written(results)
    assert all(
        record.status for record in cwbench.records.runs.iterate(results)
    )  # warnings are errors


SWEEP = (
    "sweep", "--task", "gaussian-linear", "--method", "prior,linear-gaussian,fm,cot-fm",
    "--preset", "smoke", "--seeds", "0-1", "--jobs", "2", "--grace", "1",
    *(f"--set={key}={value}" for key, value in (TINY | {"preset.steps": 400}).items()),
)  # fmt: skip


def table(results: Path) -> dict[str, Any]:
    """All numbers of all records, but for seconds and memory."""
    return {
        f"{r.run_id} {r.method['name']}": (
            r.status, r.metrics, r.diagnostics, r.files["samples.safetensors"],
        )
        for r in cwbench.records.runs.iterate(results)
    }  # fmt: skip


def start(results: Path) -> subprocess.Popen[bytes]:
    variables = os.environ | {"CWBENCH_CHECKPOINT_SECONDS": "0.1"}
    command = [sys.executable, "-m", "cwbench", *SWEEP, "--results", str(results)]
    return subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """The table of a sweep that was left alone, and its seconds."""
    results = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert start(results).wait() == 0
    seconds = time.monotonic() - began
    whole = table(results)
    assert len(whole) == 8
    return whole, seconds


def test_sigkills_do_not_change_a_bit(
    undisturbed: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    whole, seconds = undisturbed
    moments = np.random.default_rng(20)
    for _ in range(4):  # a hundred kills are an attack, in `tests/attacks`
        process = start(tmp_path)
        time.sleep(moments.uniform(0.02, 0.4) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(tmp_path).wait() == 0
    assert table(tmp_path) == whole
    assert not half_written(tmp_path)


def test_two_sweeps_share_the_work(
    undisturbed: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    both = [start(tmp_path), start(tmp_path)]
    assert [process.wait() for process in both] == [0, 0]
    assert table(tmp_path) == undisturbed[0]
    logs = [path.read_text() for path in tmp_path.rglob("log.txt")]
    assert [log.count("gaussian-linear / ") for log in logs] == [1] * 8
    assert not half_written(tmp_path)


def test_a_sweep_waits_for_what_another_process_has(tmp_path: Path) -> None:
    request = sweep_request(
        {
            "task": "gaussian-linear", "preset": "smoke", "results": tmp_path, "method": "prior",
            "set": TINY, "seeds": "0-1",
        }
    )  # fmt: skip
    first, second = (run.runner.directory for run in request.planned())
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; from pathlib import Path; "
         "from cwbench.machine.locks import claim; claim(Path(sys.argv[1])); print(flush=True); "
         "time.sleep(30)", str(first)], stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(CwbenchError, match="another process computes"):
            cwbench.run("gaussian-linear", "prior", "smoke", settings=TINY, results=tmp_path)
        began = time.monotonic()
        records = request.carry_out(quiet=True)
    assert [record.status for record in records] == ["ok", "ok"]
    modified = [(d / "record.json").stat().st_mtime for d in (first, second)]
    assert modified[0] > modified[1]  # passed over, and come back to
    assert time.monotonic() - began > 20
