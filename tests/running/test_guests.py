"""Plugins are guests: what they do to the process stays theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cwbench
from cwbench import registry
from cwbench.machine import guests
from cwbench.machine.locks import claim, claimed, release
from cwbench.records.record import recordable
from cwbench.sweeping.request import sweep_request

DYING = """
import os, time
from cwbench import Method, MethodInfo
{code}
class Dying(Method):
    info = MethodInfo(name="dying", version=1, title="dying", citation="none")
    def fit(self, data, context): pass
    def sample(self, y, n, generator, nfe=None): pass
    def state_dict(self): return {{}}
    def load_state_dict(self, state): pass
"""


@pytest.fixture
def dying(tmp_path: Path) -> Callable[[str, str], str]:
    def written(name: str, code: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text(DYING.format(code=code))
        return f"{path}:Dying"

    return written


def test_a_sweep_outlives_what_dies_or_hangs_when_it_is_imported(
    dying: Callable[[str, str], str], results: Path, cli: Callable
) -> None:
    """Each costs its own run, within the time limit; nothing is written, the good run planned."""
    words = {"task": "gaussian-linear", "preset": "smoke", "results": results}
    ends = {  # how it ends, within how many seconds, what is said of it
        "time.sleep(600)": (1.0, "did not end within 1 s"),
        "os.kill(os.getpid(), 9)": (300.0, "ended Python by SIGKILL"),
        "os._exit(0)": (300.0, "os._exit(0) was called, which would end the whole process"),
    }
    for number, (code, (timeout, reason)) in enumerate(ends.items()):
        methods = [dying(f"dying_{number}", code), "prior"]
        dies, prior = sweep_request(words | {"method": methods, "timeout": timeout}).planned()
        assert dies.record is not None
        assert dies.record.error and dies.record.error.endswith(reason)
        assert not dies.to_do and prior.to_do
        assert json.loads(dies.record.to_json())["status"] == "failed"
        assert not results.exists()


def test_a_dry_run_as_json_is_one_document(results: Path, cli: Callable) -> None:
    done = cli(
        "sweep", "--task", "gaussian-linear", "--method", "prior", "--preset", "smoke", "--seeds",
        "0-1", "--dry-run", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)["runs"]
    assert [(r["method"], r["seed"], r["to_do"], r["seconds"]) for r in runs] == [
        ("prior", 0, True, None), ("prior", 1, True, None)
    ]  # fmt: skip


def test_a_metric_of_somebody_else_is_imported_by_name_only(
    monkeypatch: pytest.MonkeyPatch, run: Callable
) -> None:
    """One that is registered, and would end the process, does no harm to who has not named it."""
    from importlib.metadata import EntryPoint

    entry = EntryPoint("ending", "cwbench_that_is_not_there:Ending", "cwbench.metrics")
    other = registry.Plugin("metric", "ending", entry.value, "theirs", "1", entry, editable=False)
    known = (*registry.plugins(), other)
    loaded: list[str] = []
    load = registry.Plugin.load
    monkeypatch.setattr(registry, "plugins", lambda: known)
    monkeypatch.setattr(
        registry.Plugin,
        "load",
        lambda p: loaded.append(p.name) or load(p),
    )
    assert run("prior").status == "ok"
    assert "ending" not in loaded
    assert "ew2sq" in loaded
    with pytest.raises(cwbench.errors.ContractError, match="theirs 1 cannot be imported"):
        run("prior", metrics=["ending"])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"a": {1, 2}}, "set is not JSON"),
        ({"a": 10**400}, "integer"),
        (["a"], "a list; a dict is needed"),
    ],
)
def test_what_json_cannot_hold_is_an_error(said: Any, told: str) -> None:
    with pytest.raises(cwbench.errors.ContractError, match=told):
        recordable(said, "diagnostics")


def test_what_json_can_hold_is_kept() -> None:
    said = {"a": float("nan"), "b": (1, 2.5), 3: "x", "c": True}
    assert recordable(said, "diagnostics") == {"a": None, "b": [1, 2.5], "3": "x", "c": True}


def test_a_lock_goes_with_its_owner_whatever_it_forked(tmp_path: Path) -> None:
    lock = claim(tmp_path)
    assert lock is not None
    child = os.fork()
    if not child:  # holds no lock, whatever becomes of the parent
        try:
            os.fstat(lock)
        except OSError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    inherited = os.dup(lock)
    assert claimed(tmp_path)
    release(lock)
    assert not claimed(tmp_path)
    os.close(inherited)


def test_who_forks_or_goes_elsewhere_comes_back_once(tmp_path: Path) -> None:
    here, mask = Path.cwd(), os.umask(0o022)
    with guests.visiting():
        os.chdir(tmp_path)
        os.umask(0o777)
        twin = os.fork()
    assert Path.cwd() == here
    left = os.umask(mask)
    if Path("/proc/self/status").exists():  # where the system tells it
        assert left == 0o022
    assert os.waitstatus_to_exitcode(os.waitpid(twin, 0)[1]) == 0


def test_answers_are_apart(capfd: pytest.CaptureFixture[str]) -> None:
    with guests.apart() as answers:
        os.write(1, b"descriptor\n")
        sys.__stdout__.write("the first stream\n")  # type: ignore[union-attr]
        print("print")  # noqa: T201
        answers.write("answer\n")
    found = capfd.readouterr()
    assert found.out == "answer\n"
    assert {"descriptor", "print"} <= set(found.err.split("\n"))


def test_the_next_attempt_says_that_one_fell(run: Callable, results: Path) -> None:
    first = run("prior")
    assert first.directory
    (first.directory / "record.json").unlink()
    run("prior")
    log = (first.directory / "log.txt").read_text()
    assert "the attempt before ended without a record; the last it said: ok" in log
    assert log[19:25] in time.strftime("%z") + " "


@pytest.mark.parametrize("status", [0, 3])
def test_a_method_that_ends_the_process_is_a_failed_run(
    cli: Callable, results: Path, method_file: Callable, status: int
) -> None:
    """Silence with status 0 would be taken for success."""
    method = method_file(f"def fit(self, data, context): __import__('os')._exit({status})")
    done = cli(
        "run", "--task", "gaussian-linear", "--preset", "smoke", "--method", method, "--json"
    )
    assert done.exit_code == 1
    record = json.loads(done.stdout)
    assert record["status"] == "failed"
    assert f"os._exit({status}) was called" in record["error"]


@pytest.mark.parametrize("hook", ["fit", "sample"])
def test_a_directory_that_goes_while_a_run_writes_there_costs_no_traceback(
    cli: Callable, results: Path, method_file: Callable, hook: str
) -> None:
    method = method_file(
        f"""
        def {hook}(self, *given):
            __import__('shutil').rmtree({str(results)!r}, ignore_errors=True)
            return super().{hook}(*given)
        """
    )
    words = ("run", "--task", "gaussian-linear", "--preset", "smoke", "--method", method)
    done = cli(*words, "--json")
    assert "Traceback" not in done.stderr
    if done.exit_code == 0:
        record = json.loads(done.stdout)
        kept = list(results.rglob("record.json"))
        assert [json.loads(path.read_text())["run_id"] for path in kept] == [record["run_id"]]
    else:
        assert done.exit_code == 2
        assert "is not there any more" in done.stderr


def test_what_tries_plugins_is_silent_once_its_asker_was_killed() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cwbench.sweeping.trial"], stdin=subprocess.DEVNULL,
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
