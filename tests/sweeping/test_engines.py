"""Engines: the same numbers wherever a run goes; what dies on the way costs only itself."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cwbench
from cwbench.errors import CorruptFileError, UsageError
from cwbench.records.interruption import SweepInterruptedError
from cwbench.sweeping import engines, worker
from cwbench.sweeping.engines import EngineOptions
from cwbench.sweeping.engines.shipping import packed, unpack
from cwbench.sweeping.job import Job
from cwbench.sweeping.request import SweepRequest, sweep_request
from cwbench.sweeping.sweep import Sweep

FAULTS = Path(__file__).parents[1] / "sweep_faults.py"
TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.width": 8, "preset.nfe": "1,3", "preset.batch_size": 20,
}  # fmt: skip
LONGER = TINY | {"preset.steps": 12_000}  # so long that a stop comes in time on a busy machine
METHODS = ["linear-gaussian", "fm", f"{FAULTS}:KillsItself"]


def request(results: Path, method: Any = METHODS, **words: Any) -> SweepRequest:
    fixed = {"task": "gaussian-linear", "preset": "smoke", "set": TINY, "method": method}
    return sweep_request(
        fixed | {"results": results, "grace": 3, "checkpoint_seconds": 0.1} | words
    )


def numbers(records: list[cwbench.Record]) -> list[tuple[Any, ...]]:
    """What has to be equal on every engine."""
    return [
        (r.run_id, r.status, r.metrics, r.diagnostics, r.files.get("samples.safetensors"))
        for r in records
    ]


def a_job(results: Path, method: str = "linear-gaussian") -> Job:
    (run,) = request(results, method).planned()
    return run.job()


def test_a_directory_travels_whole(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "checkpoint").mkdir(parents=True)
    (here / "checkpoint" / "step.pt").write_bytes(b"\x00\xff" * 1000)
    (here / "record.json").write_text("{}")
    for lock in (".lock", ".lock.holder", ".lock.holder.0f"):
        (here / lock).write_text("here")
    (there / ".lock.holder").parent.mkdir()
    (there / ".lock.holder").write_text("there")
    unpack(packed(here), there)
    assert (there / ".lock.holder").read_text() == "there"  # who holds it there still does
    (there / ".lock.holder").unlink()
    found = {p.relative_to(there).as_posix() for p in there.rglob("*") if p.is_file()}
    assert found == {"checkpoint/step.pt", "record.json"}
    assert (there / "checkpoint/step.pt").read_bytes() == b"\x00\xff" * 1000
    (here / "checkpoint" / "step.pt").unlink()
    unpack(packed(here), there)
    assert [p.name for p in there.rglob("*") if p.is_file()] == ["record.json"]


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt"])
def test_nothing_is_written_outside_of_the_directory(tmp_path: Path, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.txt", "x")
        archive.writestr(name, "x")
    with pytest.raises(CorruptFileError, match="outside of its directory"):
        unpack(buffer.getvalue(), tmp_path / "run")
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(CorruptFileError, match="damaged"):
        unpack(b"no archive", tmp_path / "run")


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_library_is_told(
    name: str, library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"cwbench.sweeping.engines.{name}", raising=False)
    with pytest.raises(UsageError, match=rf"pip install 'cwbench\[{name}\]'"):
        engines.make(EngineOptions(name), tmp_path, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (EngineOptions("local", address="here"), "--address is for --engine ray"),
        (EngineOptions("local", slurm={"partition": "gpu"}), "--slurm is for --engine slurm"),
        (EngineOptions("slurm", address="elsewhere"), "choose slurm or local"),
        (EngineOptions("slurm", address="local"), "needs a limit for its jobs: --timeout"),
        (EngineOptions("slurm", address="local", timeout=9, gpus=("0", "1")), "--gpus 0,1"),
    ],
)
def test_options_an_engine_does_not_have(options: EngineOptions, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        engines.make(options, tmp_path, 1)


def test_a_node_without_the_files_is_sent_them(tmp_path: Path) -> None:
    from cwbench.sweeping.engines import ray

    source = tmp_path / "home" / "mine.py"
    source.parent.mkdir()
    source.write_bytes(FAULTS.read_bytes())
    job = a_job(tmp_path / "results", f"{source}:Fault")
    source.unlink()  # as on another machine
    sources = {str(source): FAULTS.read_bytes()}
    text, files = ray._carried_out(job.to_json(), packed(job.directory), sources)
    assert worker.parsed(text) == worker.Outcome("run", "ok")
    assert not (tmp_path / "results").exists()
    unpack(files or b"", job.directory)
    (record,) = cwbench.records.runs.iterate(tmp_path / "results")
    assert (record.run_id, record.status) == (job.run_id, "ok")


def test_a_worker_passes_over_what_another_has_or_has_done(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    with cwbench.records.runs.single_writer(job.directory):
        assert worker.parsed(worker.run(job.to_json())) == worker.Outcome("busy")
    (job.directory / "record.json").write_text("{}")
    assert worker.parsed(worker.run(job.to_json())) == worker.Outcome("changed")
    stale = replace(job, replaces="0" * 64)
    assert worker.parsed(worker.run(stale.to_json())) == worker.Outcome("changed")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[cwbench.Record]:
    """The sweep on this machine, which the others have to equal."""
    return request(tmp_path_factory.mktemp("local")).carry_out(quiet=True)


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> list[cwbench.Record]:
    results = tmp_path_factory.mktemp("longer")
    return request(results, "fm", seeds="0-3", set=LONGER).carry_out(quiet=True)


@pytest.mark.slow
def test_slurm_gives_the_numbers_of_local(local: list[cwbench.Record], tmp_path: Path) -> None:
    words = {"engine": "slurm", "address": "local", "timeout": 100, "jobs": 2}
    records = request(tmp_path, **words).carry_out(quiet=True)
    assert numbers(records) == numbers(local)
    assert [r.error and r.error[:30] for r in records] == [r.error and r.error[:30] for r in local]


@pytest.fixture
def fixtures(request: pytest.FixtureRequest) -> pytest.FixtureRequest:
    """For a fixture that only some cases need."""
    return request


@pytest.fixture(scope="module")
def started() -> Iterator[Any]:
    """The head of a cluster, which takes no runs."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # else other tests on this machine starve them
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        yield nodes
        nodes.shutdown()


@pytest.fixture
def cluster(started: Any) -> Any:
    """Two nodes of one CPU each beside the head; one that a test has killed is replaced."""
    while len(started.worker_nodes) < 2:
        started.add_node(num_cpus=1)
    return started


@pytest.mark.slow
def test_ray_gives_the_numbers_of_local(
    local: list[cwbench.Record], cluster: Any, tmp_path: Path
) -> None:
    records = request(tmp_path, engine="ray", address=cluster.address).carry_out(quiet=True)
    assert numbers(records) == numbers(local)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_a_sweep_that_is_stopped_goes_on_where_it_was(
    longer: list[cwbench.Record], fixtures: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    address = fixtures.getfixturevalue("cluster").address if name == "ray" else "local"
    options = EngineOptions(name, address=address, timeout=600, grace=500, jobs=2)

    def sweep() -> Sweep:
        runs = request(tmp_path, "fm", seeds="0-3", set=LONGER).planned()
        return Sweep(runs, engines.make(options, tmp_path, len(runs)))

    first = sweep()
    places = [run.job().place for run in first.runs]

    def stop_when_two_train() -> None:
        while sum(_trains(tmp_path, place) for place in places) < 2:
            time.sleep(0.02)
        first.stop.set()

    threading.Thread(target=stop_when_two_train, daemon=True).start()
    with pytest.raises(SweepInterruptedError):
        first.carry_out()
    stopped = [r for r in cwbench.records.runs.iterate(tmp_path) if r.status == "interrupted"]
    errors = [r.error for r in stopped]
    assert any(error.startswith("stopped at step") for error in errors), errors
    again = sweep().carry_out()
    assert numbers(again) == numbers(longer)
    assert any("resuming at step" in (r.directory / "log.txt").read_text() for r in again)


def test_a_cancellation_that_is_told_twice_waits_for_the_checkpoint(tmp_path: Path) -> None:
    """Ray interrupts the process of a task until it has ended."""
    (planned,) = request(
        tmp_path, "fm", set=TINY | {"preset.steps": 1_000_000}, grace=100
    ).planned()
    job = planned.job()
    code = """if True:
        import signal, sys
        from cwbench.sweeping import worker
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind &
        worker.run(sys.argv[1])"""
    with subprocess.Popen([sys.executable, "-c", code, job.to_json()]) as process:
        try:
            while not _trains(tmp_path, job.place):
                time.sleep(0.02)
            deadline = time.monotonic() + 300
            while process.poll() is None and time.monotonic() < deadline:
                process.send_signal(signal.SIGINT)
                time.sleep(0.02)
        finally:
            process.kill()
    (record,) = cwbench.records.runs.iterate(tmp_path)
    assert record.status == "interrupted"
    assert record.error.startswith("stopped at step")


@pytest.mark.slow
def test_ray_brings_records_home_without_a_shared_file_system(
    local: list[cwbench.Record], cluster: Any, tmp_path: Path
) -> None:
    from cwbench.sweeping.engines.ray import RayEngine

    options = EngineOptions("ray", address=cluster.address)
    runs = request(tmp_path).planned()
    records = Sweep(runs, RayEngine(options, tmp_path, shared=False)).carry_out()
    assert numbers(records) == numbers(local)
    # what is added later needs the model, which has to travel back
    more = request(tmp_path, "fm", nfe="1,2,3").planned()
    (record,) = Sweep(more, RayEngine(options, tmp_path, shared=False)).carry_out()
    assert "fitted before" in (record.directory / "log.txt").read_text()
    assert record.value("ew2sq", 3) == local[1].value("ew2sq", 3)
    assert "ew2sq@nfe=2" in record.metrics


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_the_death_of_a_node_costs_only_its_run(
    longer: list[cwbench.Record], cluster: Any, tmp_path: Path, shared: bool
) -> None:
    from cwbench.sweeping.engines.ray import RayEngine

    runs = request(tmp_path, "fm", seeds="0-3", set=LONGER).planned()
    places = [run.job().place for run in runs]
    where = tmp_path if shared else Path(tempfile.gettempdir())

    def kill_a_node_when_both_train() -> None:
        while sum(_trains(where, place) for place in places) < 2:
            time.sleep(0.02)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    killer = threading.Thread(target=kill_a_node_when_both_train, daemon=True)
    killer.start()
    engine = RayEngine(EngineOptions("ray", address=cluster.address), tmp_path, shared=shared)
    records = Sweep(runs, engine).carry_out()
    killer.join()
    assert numbers(records) == numbers(longer)
    if shared:
        logs = [(record.directory / "log.txt").read_text() for record in records]
        starts = sorted(log.count("gaussian-linear / fm / smoke / seed") for log in logs)
        assert starts == [1, 1, 1, 2]
        assert sum("resuming at step" in log for log in logs) == 1


def _trains(where: Path, place: str) -> bool:
    """Whether a run has written a checkpoint, here or in a directory of its own."""
    pattern = f"{place}/checkpoint/step-*.pt"
    return any(where.glob(pattern)) or any(where.glob(f"cwbench-*/results/{pattern}"))
