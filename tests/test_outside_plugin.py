"""A wheel of somebody else's is installed, listed, checked and run like what ships."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = Path(__file__).with_name("plugin")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin as a wheel, built and installed without a network into a directory of its own."""
    root = tmp_path_factory.mktemp("outside")
    shutil.copytree(PLUGIN, root / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "--wheel-dir", root, root / "source"], check=True)
    (wheel,) = root.glob("outside_plugin-1.2.0-*.whl")
    site = root / "site"
    subprocess.run([*pip, "install", *offline, "--target", site, wheel], check=True)
    return site


def test_it_is_listed_checked_and_run(installed: Path, python: Callable, tmp_path: Path) -> None:
    def cwbench(*arguments: str) -> str:
        done = python(
            "-m", "cwbench", *arguments, check=False, PYTHONPATH=installed, OMP_NUM_THREADS="1",
            CWBENCH_RESULTS=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    listed = {p["name"]: p for p in json.loads(cwbench("list", "--json"))}
    assert listed["zuko-npe"]["distribution"] == "outside-plugin"
    assert listed["turned-classes"]["version"] == "1.2.0"
    assert json.loads(cwbench("check", "zuko-npe", "--json"))["passed"]
    assert json.loads(cwbench("check", "turned-classes", "--json"))["passed"]

    def score(method: str) -> float:
        run = ["run", "--task", "turned-classes", "--method", method, "--preset", "smoke", "--json"]
        record = json.loads(cwbench(*run))
        assert record["status"] == "ok"
        return record["metrics"]["ew2sq"]["value"]

    assert score("zuko-npe") < score("prior") / 2
