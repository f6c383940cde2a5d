"""Killed at any moment and run again: the same numbers as a run that was left alone."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import cwbench
from cwbench.records.record import Record

STEPS = 500
SETTINGS: dict[str, dict[str, Any]] = {
    "fm": {"method.ema": 0.9},
    "cot-fm": {"method.ot_batch": 3, "method.beta": 3},
    "cwgan": {},
}
SIZES = {
    "preset.steps": STEPS,
    "preset.width": 16,
    "preset.batch_size": 50,
    "preset.samples": 20,
    "preset.nfe": "1,3",
}


def settings_of(method: str) -> dict[str, Any]:
    return SIZES | SETTINGS[method]


@contextmanager
def running(method: str, results: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, from the moment it has written a checkpoint."""
    assignments = [f"--set={k}={v}" for k, v in settings_of(method).items()]
    command = [
        sys.executable, "-m", "cwbench", "run", "--task", "gaussian-linear", "--method", method,
        "--preset", "smoke", "--results", str(results), "--device", "cpu", "--quiet", *assignments,
    ]  # fmt: skip
    environment = os.environ | {"CWBENCH_CHECKPOINT_SECONDS": "0.1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not list(results.rglob("step-*.pt")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(method: str, results: Path) -> Record:
    return cwbench.run(
        "gaussian-linear", method, "smoke", settings=settings_of(method), results=results,
        device="cpu", quiet=True, figures=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Record]:
    """The run of a method that is left alone."""

    @functools.cache
    def run_of(method: str) -> Record:
        return finished(method, tmp_path_factory.mktemp("whole"))

    return run_of


def log(record: Record) -> str:
    return (record.directory / "log.txt").read_text()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("method", ["fm", pytest.param("cot-fm", marks=pytest.mark.slow), "cwgan"])
def test_sigkill_and_again_gives_identical_numbers(
    method: str, tmp_path: Path, whole: Callable[[str], Record]
) -> None:
    with running(method, tmp_path / "killed") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list((tmp_path / "killed").rglob("record.json"))
    resumed = finished(method, tmp_path / "killed")
    alone = whole(method)
    assert "resuming at step" in log(resumed)
    assert "resuming at step" not in log(alone)
    assert resumed.status == alone.status == "ok"
    assert resumed.metrics == alone.metrics
    assert resumed.diagnostics == alone.diagnostics
    for name in ("steps", "examples", "network_passes"):
        assert resumed.cost[name] == alone.cost[name]
    assert resumed.files["samples.safetensors"] == alone.files["samples.safetensors"]
    assert not (resumed.directory / "checkpoint").exists()


def test_sigterm_is_interrupted_and_resumes(tmp_path: Path, whole: Callable[[str], Record]) -> None:
    with running("fm", tmp_path / "stopped") as process:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted: stopped at step" in errors
    assert cwbench.load_records(tmp_path / "stopped").status.tolist() == ["interrupted"]
    resumed = finished("fm", tmp_path / "stopped")
    assert "resuming at step" in log(resumed)
    assert resumed.metrics == whole("fm").metrics


def test_a_second_process_is_told(tmp_path: Path, cli: Callable) -> None:
    assignments = [f"--set={k}={v}" for k, v in settings_of("fm").items()]
    with running("fm", tmp_path) as process:
        result = cli(
            "run", "--task", "gaussian-linear", "--method", "fm", "--preset", "smoke",
            "--results", tmp_path, *assignments,
        )  # fmt: skip
        assert process.poll() is None
    assert result.exit_code == 2
    assert "another process computes the run in" in result.stderr


@pytest.mark.parametrize("method", SETTINGS)
def test_the_same_seed_gives_identical_numbers_and_another_does_not(
    method: str, tmp_path: Path, run: Callable
) -> None:
    def short(seed: int, results: str) -> Mapping[str, Any]:
        settings = settings_of(method) | {"preset.steps": 20}
        return run(method, seed=seed, settings=settings, results=tmp_path / results).metrics

    assert short(0, "a") == short(0, "b") != short(1, "a")


def test_the_lookahead_does_not_change_a_number(
    tmp_path: Path, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cwbench.training import context

    settings = settings_of("cot-fm") | {"preset.steps": 20}
    ahead = run("cot-fm", settings=settings, results=tmp_path / "a")
    monkeypatch.setattr(context, "LOOKAHEAD", 1)
    assert run("cot-fm", settings=settings, results=tmp_path / "b").metrics == ahead.metrics


def test_chunks_of_observations_do_not_change_a_number(
    tmp_path: Path, run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cwbench.judging import by_observation as evaluation

    whole = run("prior", results=tmp_path / "a")
    monkeypatch.setattr(evaluation, "SLICE", 3)
    monkeypatch.setattr(evaluation, "cores", lambda: 3)
    assert run("prior", results=tmp_path / "b").metrics == whole.metrics
