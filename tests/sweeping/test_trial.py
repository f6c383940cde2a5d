"""Plugins of others are tried in a process apart: in time, and nothing of them stays."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from cwbench.sweeping import matrix, trial
from cwbench.sweeping.matrix import Matrix, absolute
from cwbench.sweeping.request import overridden, sweep_request

ESCAPING = """
import subprocess
from cwbench import Method, MethodInfo
subprocess.run("setsid sleep 600 & echo $! >> {pids}", shell=True)
class Escaping(Method):
    info = MethodInfo(name="escaping", version=1, title="escaping", citation="none")
    def fit(self, data, context): pass
    def sample(self, y, n, generator, nfe=None): pass
    def state_dict(self): return {{}}
    def load_state_dict(self, state): pass
"""


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[Callable[[], list[bool]]]:
    """Whether what the plugin in `escaping.py` started is alive, in the order of its imports."""
    pids = tmp_path / "pids"
    (tmp_path / "escaping.py").write_text(ESCAPING.format(pids=pids))

    def alive(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def states() -> list[bool]:
        wait_until = time.monotonic() + 2  # a killed process takes a moment to be gone
        while any(found := [alive(int(line)) for line in pids.read_text().split()]):
            if time.monotonic() > wait_until:
                break
            time.sleep(0.02)
        return found

    yield states
    for line in pids.read_text().split():
        if alive(int(line)):
            psutil.Process(int(line)).kill()


def test_what_a_plugin_starts_at_its_import_does_not_outlive_the_sweep(
    sleepers: Callable[[], list[bool]], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    """Neither from the trial nor from the sweep's own process, though its parent ended first."""
    method = absolute(f"{tmp_path / 'escaping.py'}:Escaping")
    assert not Matrix(("gaussian-linear",), (method,), "smoke").refused
    tried = sleepers()
    assert tried and not any(tried)
    words = ("--task", "gaussian-linear", "--method", method, "--preset", "smoke", "--dry-run")
    done = cli("sweep", *words)
    assert done.exit_code == 0, done.output
    assert len(sleepers()) > len(tried)
    assert not any(sleepers())


@pytest.mark.parametrize(
    "script", ["exec >&-; sleep 4", "for i in $(seq 80); do printf x; sleep 0.05; done"]
)
def test_who_closes_its_answer_or_never_ends_it_has_no_more_time(script: str) -> None:
    began = time.monotonic()
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert trial._line(process, 0.3) is None
        assert time.monotonic() - began < 3
        process.kill()


def test_an_answer_that_is_none_costs_its_own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(
        ["cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        one = trial._Trial(1.0)
        one.process = process
        monkeypatch.setattr(trial, "_line", lambda *_: b"not JSON\n")
        told = one.of_one("method", "anything")
    assert told == "method 'anything': its import wrote to a file that it had not opened"


def test_flags_beside_a_file_try_plugins_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that only some methods have are asked of plugins, too."""
    seconds: list[float] = []

    def noted(tried: Matrix) -> dict[tuple[str, str], str]:
        seconds.append(tried.try_seconds)
        return {}

    monkeypatch.setattr(matrix, "refused_pairs", noted)
    file = {"task": "gaussian-mixture", "method": "fm", "set": {"preset.steps": "7"}}
    overridden(file | {"timeout": 2.5}, {"method": "cot-fm"})
    overridden(file, {"method": "cot-fm", "timeout": "3.5"})
    assert seconds == [2.5, 2.5, 3.5, 3.5]


def test_the_runs_of_a_large_matrix_are_put_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tasks, methods = (tuple(f"{kind}{n}" for n in range(150)) for kind in "tm")
    pairs = [(task, method) for task in tasks for method in methods]
    monkeypatch.setattr(Matrix, "combinations", lambda _: [])
    monkeypatch.setattr(Matrix, "refused", dict.fromkeys(reversed(pairs), "no"))
    request = sweep_request({"task": tasks, "method": methods, "results": tmp_path})
    runs = request.planned()
    assert [(run.task, run.method) for run in runs] == pairs
