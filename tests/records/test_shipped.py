"""Our records come with the package, in a clone and in a wheel, and are marked as ours."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cwbench
from cwbench.records import shipped
from results import ship

ROOT = Path(__file__).parents[2]
RUNS = sorted((ROOT / "results" / "runs").rglob("record.json"))
SHIPPED = [path for path in RUNS if ship.shipped(path.parent)]


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CWBENCH_RESULTS", str(tmp_path / "mine"))


def test_without_a_directory_ours_are_shown_and_marked() -> None:
    records = cwbench.load_records()
    assert records.run_id.nunique() == len(RUNS)
    assert records.origin.unique().tolist() == ["cwbench"]
    assert cwbench.leaderboard(metric="ew2sq").origin.unique().tolist() == ["cwbench"]


def test_what_a_wheel_leaves_out_are_samplers_at_other_numbers_of_calls() -> None:
    """By the calls that were counted; those of `latent-mcmc` are 1,010 by default."""

    def left_out(path: Path) -> bool:
        sampling = json.loads(path.read_text())["cost"].get("sampling", {})
        most = max((cost["evaluations"] for cost in sampling.values()), default=0)
        return len(sampling) == 1 and most > 1 and not 90 <= most <= 110

    ladder = [path for path in RUNS if path.parts[-4] == "ladder"]
    odd = {path for path in ladder if path.parts[-5] != "latent-mcmc" and left_out(path)}
    assert 0 < len(odd) < len(ladder)
    assert set(RUNS) - set(SHIPPED) == odd


def test_a_wheel_ranks_as_the_repository_does(tmp_path: Path) -> None:
    """What it leaves out moves no value, interval, rank, tie or cost of what it has."""
    for path in SHIPPED:
        if path.parts[-4] == "ladder":
            place = tmp_path / path.parent.relative_to(ROOT / "results")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.parent)
    keys = ["task", "method", "metric", "nfe"]
    wheel, clone = (
        cwbench.leaderboard(results, preset="ladder").set_index(keys)
        for results in (tmp_path, ROOT / "results")
    )
    assert 1_000 < len(wheel) < len(clone)
    assert wheel.index.isin(clone.index).all()
    clone = clone.loc[wheel.index]
    moved = [name for name in wheel.columns if not wheel[name].equals(clone[name])]
    assert moved == ["origin"]


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


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that has the archive beside its code."""
    package = tmp_path / "site" / "cwbench"
    (package / "records").mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "records" / "shipped.py"))
    kept = tmp_path / "tree" / "results"
    for run in SHIPPED[:3]:
        there = kept / run.parent.relative_to(ROOT / "results")
        shutil.copytree(run.parent, there)
        (there / "log.txt").write_text("not ours to give")
    (package / "shipped.tar.xz").write_bytes(ship.packed(kept))
    assert ship.packed(kept) == (package / "shipped.tar.xz").read_bytes()
    return package / "shipped.tar.xz"


def files_below(place: Path | None) -> dict[str, bytes]:
    assert place is not None
    found = sorted(path for path in place.rglob("*") if path.is_file())
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found}


def test_an_archive_is_unpacked_once_and_whole(archive: Path, tmp_path: Path) -> None:
    place = shipped.shipped_results()
    wanted = {
        path.relative_to(ROOT / "results").as_posix(): path.read_bytes()
        for run in SHIPPED[:3]
        for path in (run, run.with_name("observations.parquet"))
        if path.exists()
    }
    assert files_below(place) == wanted
    assert place is not None
    assert place.is_relative_to(tmp_path / "cache")
    stamp = place.stat().st_mtime_ns
    assert shipped.shipped_results() == place
    assert place.stat().st_mtime_ns == stamp
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert cwbench.load_records().run_id.nunique() == 3


def test_an_archive_of_another_version_has_a_place_of_its_own(
    archive: Path, tmp_path: Path
) -> None:
    first = shipped.shipped_results()
    archive.write_bytes(ship.packed(tmp_path / "empty"))
    second = shipped.shipped_results()
    assert first != second
    assert files_below(second) == {}


def test_where_no_cache_can_be_written_records_are_read_all_the_same(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("no directory")
    place = shipped.shipped_results()
    assert place == shipped.shipped_results()
    assert place is not None
    assert not place.is_relative_to(tmp_path)
    assert sum(name.endswith("record.json") for name in files_below(place)) == 3


def test_nothing_in_an_archive_leaves_its_place(archive: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as made:
        for name in ("../../outside", str(tmp_path / "absolute")):
            member = tarfile.TarInfo(name)
            member.size = 1
            made.addfile(member, io.BytesIO(b"x"))
        link = tarfile.TarInfo("runs/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        made.addfile(link)
    archive.write_bytes(content.getvalue())
    assert files_below(shipped.shipped_results()) == {}
    assert not list(tmp_path.rglob("outside"))
    assert not (tmp_path / "absolute").exists()


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
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        opened.extractall(tmp_path / "site")  # noqa: S202 - a zip, made here
    assert [name for name in names if "shipped.tar" in name] == ["cwbench/shipped.tar.xz"]
    with tarfile.open(tmp_path / "site" / "cwbench" / "shipped.tar.xz") as archive:
        inside = archive.getnames()
    assert sum(name.endswith("record.json") for name in inside) == len(SHIPPED)
    assert not any(name.endswith((".safetensors", "log.txt")) for name in inside)
    assert {"cwbench/boards/web/page.js", "cwbench/boards/web/page.html"} <= set(names)
    assert (tmp_path / "site" / "cwbench" / "shipped.tar.xz").stat().st_size < 12e6
    assert wheel.stat().st_size < 28e6  # 13.5e6 are priors, 1e6 a column at standard
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
        str(len(SHIPPED)),
        "cwbench",
    ]
