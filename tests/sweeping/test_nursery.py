"""Runs forked from a process that has imported for them: the same runs, each on its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import cwbench
from cwbench.machine.locks import claim, released
from cwbench.sweeping.engines.local import LocalEngine
from cwbench.sweeping.job import Job
from cwbench.sweeping.nursery import POSSIBLE
from cwbench.sweeping.request import sweep_request
from cwbench.sweeping.sweep import Planned
from cwbench.sweeping.worker import Outcome

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="forks on Linux alone")
TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.width": 8, "preset.nfe": "1",
}  # fmt: skip
MINE = """
import json, os, stat, sys

import torch

from cwbench import Method, MethodInfo

with open(__file__ + ".imports", "a") as file:
    file.write(f"{os.getpid()}\\n")


def is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


class Mine(Method):
    info = MethodInfo(name="mine", version=1, title="says where it is", citation="none")

    def fit(self, data, context):
        found = {
            "session": os.getsid(0), "group": os.getpgid(0), "process": os.getpid(),
            "threads": torch.get_num_threads(), "variable": os.environ["OMP_NUM_THREADS"],
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "input": sys.stdin.read(),
            "sockets": [n for n in range(100) if is_socket(n)],
        }
        print("FOUND", json.dumps(found), file=sys.stderr)
        os.write(1, b"by descriptor\\n")

    def sample(self, y, n, generator, nfe=None):
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
"""


def swept(results: Path, method: str, **options: Any) -> list[cwbench.Record]:
    return cwbench.sweep(
        "gaussian-linear", method, preset="smoke", settings=TINY, results=results, quiet=True,
        **options,
    )  # fmt: skip


def numbers(record: cwbench.Record) -> tuple[object, ...]:
    return record.run_id, record.metrics, record.diagnostics, record.files["samples.safetensors"]


def test_a_forked_run_is_a_program_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = swept(tmp_path / "forked", "fm,npe", seeds=[0, 1], jobs=2)
    monkeypatch.setattr("cwbench.sweeping.engines.local.POSSIBLE", False)
    programs = swept(tmp_path / "programs", "fm,npe", seeds=[0, 1], jobs=2)
    assert [r.status for r in forked] == ["ok"] * 4
    assert [numbers(r) for r in forked] == [numbers(r) for r in programs]
    keys = ("torch", "device", "threads", "parallel")
    for one, other in zip(forked, programs, strict=True):
        assert [one.environment[k] for k in keys] == [other.environment[k] for k in keys]


def test_a_forked_run_has_a_session_its_threads_its_gpu_and_no_input(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(MINE)
    records = swept(
        tmp_path / "results", f"{plugin}:Mine", seeds=[0, 1], jobs=2, threads=2, gpus=["7", "0"]
    )
    assert [r.status for r in records] == ["ok", "ok"], records
    found = []
    for record in records:
        log = (record.directory / "log.txt").read_text()
        assert "by descriptor" in log
        (line,) = (line for line in log.splitlines() if line.startswith("FOUND "))
        found.append(json.loads(line.removeprefix("FOUND ")))
    for one in found:
        assert one["session"] == one["group"] == one["process"]
        assert (one["threads"], one["variable"], one["input"]) == (2, "2", "")
        assert not one["sockets"]  # no guest speaks to what bore it
    assert {one["gpu"] for one in found} == {"7", "0"}
    assert len({one["process"] for one in found}) == 2


def job_of(results: Path, method: str = "prior", **settings: Any) -> Job:
    words = {
        "task": "gaussian-linear", "method": method, "preset": "smoke", "results": results,
        "set": TINY | settings,
    }  # fmt: skip
    (run,) = sweep_request(words).planned()
    assert isinstance(run, Planned)
    return run.job()


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine(2)
    yield engine
    engine.stop()
    engine.stop()
    engine.close()


def the_end_of(engine: LocalEngine, seconds: float = 120) -> Outcome:
    ended = until(engine.finished, seconds)
    return ended[0][1]


def test_a_nursery_imports_once_and_nothing_of_a_guest(engine: LocalEngine, tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(MINE)
    engine.start([job_of(tmp_path / "results", f"{plugin}:Mine")])
    assert the_end_of(engine) == Outcome("run", "ok")
    nursery = engine._nursery
    assert nursery is not None
    assert nursery._process is not None
    first = nursery._process.pid
    importers = set(map(int, Path(f"{plugin}.imports").read_text().split()))
    assert importers  # this process, which planned the run, and the run itself
    assert first not in importers
    engine.start([job_of(tmp_path / "results")])
    assert the_end_of(engine) == Outcome("run", "ok")
    assert nursery._process.pid == first
    assert not psutil.Process(first).children()  # and no zombies


def test_a_nursery_that_was_killed_is_begun_anew(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start([job_of(tmp_path)])
    nursery = engine._nursery
    assert nursery is not None
    assert nursery._process is not None
    nursery._process.kill()  # with the call unheard
    outcome = the_end_of(engine)
    assert (outcome.ended, outcome.status) == ("lost", "failed")
    assert "worker ended without an answer" in str(outcome.error)
    engine.start([job_of(tmp_path)])
    assert the_end_of(engine) == Outcome("run", "ok")


def test_a_worker_that_was_killed_takes_its_run_along(engine: LocalEngine, tmp_path: Path) -> None:
    job = job_of(tmp_path, "fm", **{"preset.steps": 10**6})
    engine.start([job])
    until(lambda: "fit" in text_of(job.directory / "log.txt"))
    (born,) = engine.running
    born.poll()
    worker = psutil.Process(int(born._said.split()[0]))
    (run,) = worker.children()
    worker.kill()
    assert the_end_of(engine).ended == "lost"
    until(lambda: gone(run))
    record = cwbench.records.runs.read(job.directory)
    assert record is not None
    assert record.status in ("failed", "interrupted")


def test_a_worker_that_is_told_to_stop_before_it_began(engine: LocalEngine, tmp_path: Path) -> None:
    engine.start([job_of(tmp_path)])
    engine.stop()
    outcome = the_end_of(engine)
    assert (outcome.ended, outcome.status) == ("stopped", "interrupted")


def test_a_run_that_another_process_has_is_never_begun(
    engine: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CWBENCH_TEST_MARK", tmp_path.name)
    job = job_of(tmp_path)
    lock = claim(job.directory)
    assert lock is not None
    with released(lock):
        engine.start([job])
        assert the_end_of(engine) == Outcome("busy")
    nursery = engine._nursery
    assert nursery is not None
    assert nursery._process is not None
    assert marked(tmp_path.name) == {nursery._process.pid}


def gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def marked(mark: str) -> set[int]:
    """Living processes that began with this mark in their environment."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("CWBENCH_TEST_MARK") == mark:
                found.add(process.pid)
    return found


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def until(condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return value
