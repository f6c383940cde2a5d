"""Our records come with the package, in a clone and in a wheel, and are marked as ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import cwbench
from cwbench.records import shipped

ROOT = Path(__file__).parents[2]
RUNS = sorted((ROOT / "results" / "runs").rglob("record.json"))


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CWBENCH_RESULTS", str(tmp_path / "mine"))


def test_without_a_directory_ours_are_shown_and_marked() -> None:
    records = cwbench.load_records()
    assert records.run_id.nunique() == len(RUNS)
    assert records.origin.unique().tolist() == ["cwbench"]
    assert cwbench.leaderboard(metric="ew2sq").origin.unique().tolist() == ["cwbench"]


def test_a_directory_that_is_named_is_all(tmp_path: Path) -> None:
    assert cwbench.load_records(tmp_path).empty
    assert cwbench.leaderboard(tmp_path).empty


def test_our_own_directory_is_not_shown_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWBENCH_RESULTS", str(ROOT / "results"))
    assert [source.origin for source in shipped.sources()] == ["cwbench"]


def test_an_installation_without_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "cwbench" / "records" / "shipped.py"))
    assert shipped.shipped_results() is None
    assert cwbench.load_records().empty


@pytest.mark.slow
def test_a_wheel_holds_records_and_page_but_no_models(tmp_path: Path) -> None:
    """Built from a copy of the tree, opened, and read by a process that sees it alone."""
    tree = tmp_path / "tree"
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info", ".cache", "tests")
    shutil.copytree(ROOT, tree, ignore=ignored)
    (next((tree / "results").rglob("seed-0")) / "model.safetensors").write_bytes(b"large")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", tmp_path, tree]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "Could not fetch" in done.stderr:
        pytest.skip("setuptools could not be downloaded")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("cwbench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    inside = [name for name in names if name.startswith("cwbench/shipped/")]
    assert sum(name.endswith("record.json") for name in inside) == len(RUNS)
    assert not any(name.endswith((".safetensors", "log.txt")) for name in inside)
    assert {"cwbench/boards/web/page.js", "cwbench/boards/web/page.html"} <= set(names)
    assert wheel.stat().st_size < 20e6
    code = (
        "import cwbench; print(cwbench.__file__, cwbench.load_records().run_id.nunique(), "
        "*set(cwbench.leaderboard(metric='ew2sq').origin))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
    ).stdout.split()  # fmt: skip
    assert told == [
        str(tmp_path / "site" / "cwbench" / "__init__.py"),
        str(len(RUNS)),
        "cwbench",
    ]
