"""What the tests of the whole program share: quick runs, and methods written into a file."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from outside import distribution

import cwbench
from cwbench import registry
from cwbench.records.record import Record

__all__ = ["distribution"]  # a fixture

Cwbench = Callable[..., Result]
Run = Callable[..., Record]
PluginFile = Callable[..., str]
InstalledHere = Callable[[Path], None]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results directory of its own, and the default one of everything called."""
    directory = tmp_path / "results"
    monkeypatch.setenv("CWBENCH_RESULTS", str(directory))
    return directory


@pytest.fixture(autouse=True)
def same_fresh_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `verify` draws anew is the same every time: chance must not fail a test."""
    seeds = itertools.count(1)
    monkeypatch.setattr(secrets, "randbelow", lambda largest: next(seeds) % largest)


@pytest.fixture
def run(results: Path) -> Run:
    """`cwbench.run` on the smallest preset, silent and without figures."""

    def quickly(method: str, task: str = "gaussian-linear", **options: Any) -> Record:
        options = {"preset": "smoke", "quiet": True, "figures": False} | options
        return cwbench.run(task, method, **options)

    return quickly


@pytest.fixture
def cli(results: Path, monkeypatch: pytest.MonkeyPatch) -> Cwbench:
    """The program in this process, without its figures."""
    from cwbench.cli.main import main
    from cwbench.reporting import run_figures

    monkeypatch.setattr(run_figures, "draw", lambda *_: [])
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments])


ENTRY = {
    "value": 0.25, "low": 0.2, "high": 0.3, "level": 0.95, "plug_in": 0.7, "floor": 0.5,
    "direction": "lower", "debiased": True, "ranks": True, "n_observations": 8, "n_samples": 100,
    "version": 1,
}  # fmt: skip

TASK_PART = {
    "name": "t", "version": 1, "params": {"noise": 0.1}, "changed": {}, "main_metric": "ew2sq",
    "main_nfe": "adaptive", "second_nfe": 3, "group": "", "x_shape": [2],
}  # fmt: skip
METHOD_PART = {"name": "m", "version": 2, "role": "method", "params": {"beta": 3}, "changed": {}}


@pytest.fixture
def store(results: Path) -> Callable[..., Path]:
    """Write a record without computing it; the run's directory. Names and values can be changed."""

    def write(
        seed: int = 0,
        *,
        task: str = "t",
        method: str = "m",
        preset: str = "smoke",
        key: str = "0123456789abcdef",
        text: str | None = None,
        values: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        content = {
            "schema": 1, "run_id": f"{key}-{seed}", "fit_key": key * 4, "status": "ok",
            "error": None, "task": TASK_PART | {"name": task},
            "method": METHOD_PART | {"name": method},
            "preset": preset, "preset_values": {}, "settings": {}, "track": "fixed", "seed": seed,
            "metrics": {"ew2sq@nfe=10": ENTRY}, "diagnostics": {}, "cost": {}, "environment": {},
            "files": {}, "started": "2025-01-01T00:00:00+00:00",
            "finished": "2025-01-01T00:00:01+00:00",
        } | changes | (values or {})  # fmt: skip
        directory = results / "runs" / task / method / preset / key / f"seed-{seed}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "record.json").write_text(json.dumps(content) if text is None else text)
        return directory

    return write


METHOD = '''
import torch
from cwbench import Method, MethodInfo, Params
from cwbench.training.loop import Trainer


class Mine(Method):
    """N(0, I), whatever y."""

    info = MethodInfo(name="mine", version=1, title="mine", citation="none")

    def fit(self, data, context):
        pass

    def sample(self, y, n, generator, nfe=None):
        return torch.randn(len(y), n, *self.spec.x_shape, generator=generator)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
'''


@pytest.fixture
def method_file(tmp_path: Path) -> PluginFile:
    """Write `class Bad(Mine)` with that body; `./file.py:Bad` is returned."""

    def write(body: str = "", head: str = "", name: str = "mine.py") -> str:
        path = tmp_path / name
        inner = textwrap.indent(textwrap.dedent(body) or "pass", "    ")
        path.write_text(f"{METHOD}\n{textwrap.dedent(head)}\n\nclass Bad(Mine):\n{inner}\n")
        return f"{path}:Bad"

    return write


def python(
    *arguments: str | Path, check: bool = True, **variables: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter on `arguments` with more environment variables."""
    environment = os.environ | {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=check, env=environment
    )


@pytest.fixture(name="python")
def python_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """This interpreter as a process of its own."""
    return python


@pytest.fixture
def installed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstalledHere]:
    """Let this process take the source of a package for an installed distribution.

    What pip writes is written by hand from its `pyproject.toml`, and forgotten at the end; a wheel
    and an interpreter of its own take ten times as long, and the slow tests have them.
    """
    known = set(sys.modules)

    def install(source: Path) -> None:
        project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
        name, version = project["name"].replace("-", "_"), project["version"]
        info = tmp_path / "site" / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        facts = {"Metadata-Version": "2.1", "Name": project["name"], "Version": version}
        (info / "METADATA").write_text("".join(f"{k}: {v}\n" for k, v in facts.items()))
        groups = project["entry-points"].items()
        (info / "entry_points.txt").write_text(
            "".join(
                f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items())
                for group, points in groups
            )
        )
        monkeypatch.syspath_prepend(str(info.parent))
        monkeypatch.syspath_prepend(str(source / "src"))
        registry.plugins.cache_clear()

    yield install
    monkeypatch.undo()
    for module in set(sys.modules) - known:
        if module.startswith(("cwbench_mine", "outside_plugin")):
            del sys.modules[module]
    registry.plugins.cache_clear()
