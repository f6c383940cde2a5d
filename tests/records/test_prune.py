"""`cwbench prune`: leftovers go, results stay; runs go only when asked."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cwbench
from cwbench.records.prune import plan, remove, size_of, size_text
from cwbench.records.runs import single_writer
from cwbench_baselines.controls import Prior

Store = Callable[..., Path]
OLD = time.time() - 7200


def leftover(directory: Path, name: str, *, old: bool = True) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f".{name}.0123456789abcdef"
    path.write_bytes(b"x" * 100)
    if old:
        os.utime(path, (OLD, OLD))
    return path


def checkpointed(directory: Path) -> Path:
    (directory / "checkpoint").mkdir()
    (directory / "checkpoint" / "step-000000001-0123456789abcdef.pt").write_bytes(b"x" * 1000)
    return directory


def paths(results: Path, **asked: bool) -> set[Path]:
    return {item.path for item in plan(results, **asked)}


def everything(results: Path) -> set[Path]:
    return set(results.rglob("*"))


def test_only_what_can_be_made_again_or_is_left_over(store: Store, results: Path) -> None:
    finished = checkpointed(store(0))
    skipped = checkpointed(store(1, status="skipped"))
    resumable = checkpointed(store(2, status="interrupted"))
    leftover(finished / "checkpoint", "inside")
    old = [
        leftover(finished, "record.json"), leftover(finished / "figures", "a.png"),
        leftover(resumable / "checkpoint", "step-000000009-0123456789abcdef.pt"),
        leftover(results, ".index.parquet"),
    ]  # fmt: skip
    leftover(skipped, "young", old=False)
    (finished / ".lock").touch()
    (finished / ".hidden").write_text("mine")
    (results / ".cache").mkdir()
    (results / ".cache" / "floor.safetensors").write_bytes(b"x")
    cwbench.load_records(results)
    caches = {results / ".cache", results / ".index.parquet"}
    wanted = {finished / "checkpoint", skipped / "checkpoint", *old, *caches}
    assert paths(results) == wanted
    inside = {p for p in everything(results) if any(w in p.parents for w in wanted)}
    stays = everything(results) - wanted - inside
    removed, problems = remove(plan(results))
    assert not problems
    assert {item.path for item in removed} == wanted
    assert everything(results) - {d / ".lock" for d in (skipped, resumable)} == stays
    assert len(cwbench.load_records(results)) == 3


def test_a_running_run_is_left_alone(store: Store, results: Path) -> None:
    directory = checkpointed(store(0, task="gone-task"))
    leftover(directory, "record.json")
    items = plan(results)
    with single_writer(directory):
        assert not paths(results, uninstalled=True, outdated=True)
        removed, problems = remove(items)  # it started after the plan was made
    assert not removed
    assert len(problems) == 2
    assert all("another process computes the run" in problem for problem in problems)
    assert (directory / "checkpoint").is_dir()


def parts(name: str, version: int, distribution: str | None = "other 1.0") -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": name, "version": version, "params": {}, "changed": {}, "role": "method",
        "main_metric": "ew2sq", "main_nfe": 3, "second_nfe": 1, "group": "", "x_shape": [2],
    }  # fmt: skip
    return content | ({"distribution": distribution} if distribution else {})


TASK = parts("gaussian-linear", 1)
KEPT: dict[str, dict[str, Any]] = {
    "installed": {"task": TASK, "method": parts("prior", 3)},
    "newer than installed": {"task": TASK, "method": parts("prior", 99)},
    "from outside": {"task": TASK, "method": parts("mine", 1), "track": "external"},
    "from a file": {"task": TASK, "method": parts("mine", 1, "mine.py")},
    "of unknown origin": {"task": TASK, "method": parts("mine", 1, None)},
}


def test_runs_go_only_when_asked_and_only_those(
    store: Store, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Prior, "info", dataclasses.replace(Prior.info, version=3))
    kept = [store(n, key="a" * 16, values=v) for n, v in enumerate(KEPT.values())]
    kept.append(store(99, key="a" * 16, text="{"))
    task = store(0, key="b" * 16, values={"task": parts("gone", 1), "method": parts("prior", 3)})
    method = store(0, key="c" * 16, values={"task": TASK, "method": parts("gone", 1)})
    older = store(0, key="d" * 16, values={"task": TASK, "method": parts("prior", 2)})
    assert not paths(results)
    assert paths(results, uninstalled=True) == {task, method}
    assert paths(results, outdated=True) == {older}
    reasons = {i.path: i.reason for i in plan(results, uninstalled=True, outdated=True)}
    assert reasons == {
        task: "task 'gone' is not installed",
        method: "method 'gone' is not installed",
        older: "method 'prior' is version 2, 3 is installed",
    }
    _, problems = remove(plan(results, uninstalled=True, outdated=True))
    assert not problems
    assert all(directory.is_dir() for directory in kept)
    assert not any(directory.parent.exists() for directory in (task, method, older))


def test_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"x" * 24)
    assert size_of(tmp_path) == 1024
    assert size_of(tmp_path / "a") == 1000
    assert size_of(tmp_path / "none") == 0
    assert [size_text(n) for n in (0, 1023, 1024, 1536, 2**20, 5 * 2**30, 2**45)] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "32.0 TiB",
    ]  # fmt: skip


def test_the_command(store: Store, cli: Callable, results: Path) -> None:
    directory = checkpointed(store(0))
    dry = cli("prune", "--dry-run")
    assert dry.exit_code == 0
    assert dry.stdout.endswith("1 items, 1000 B would be freed\n")
    assert "checkpoint  runs/t/m/smoke/0123456789abcdef/seed-0/checkpoint" in dry.stdout
    assert (directory / "checkpoint").is_dir()
    wet = cli("prune")
    assert wet.exit_code == 0
    assert wet.stdout == dry.stdout.replace("would be freed", "freed")
    assert not (directory / "checkpoint").exists()
    assert cli("prune").stdout == "0 items, 0 B freed\n"
    assert cli("prune", "--results", results / "none").stdout == "0 items, 0 B freed\n"
