"""A repository with three records, and pull requests to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from workflows.pulls import Git, commit, handed_in
from workflows.steps import ROOT

import cwbench

COMMITTED = (("linear-gaussian", 0), ("linear-gaussian", 1), ("prior", 0))


@pytest.fixture(scope="session")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs at `smoke` with models and samples: what is committed, and two that are handed in."""
    results = tmp_path_factory.mktemp("computed")
    for method, seed in (*COMMITTED, ("linear-gaussian", 2), ("knn", 0)):
        cwbench.run(
            "gaussian-linear", method, preset="smoke", seed=seed, results=results, figures=False,
            quiet=True,
        )  # fmt: skip
    return results


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Git in a work tree of a contributor, whose `origin` has the suite's scripts and records."""
    (tmp_path / "work").mkdir()

    def call(*words: str | Path) -> str:
        who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        command = ["git", *who, *map(str, words)]
        done = subprocess.run(
            command, cwd=tmp_path / "work", check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return call


@pytest.fixture
def work(tmp_path: Path, git: Git, computed: Path) -> Path:
    """The contributor's work tree, at the commit that is the base of pull requests."""
    place = tmp_path / "work"
    (place / "results").mkdir()
    for script in (ROOT / "results").glob("*.py"):
        shutil.copy(script, place / "results")
    for method, seed in COMMITTED:
        handed_in(computed, method, seed, place / "results", models=False)
    (place / "README.md").write_text("a suite\n")
    git("init", "--quiet", "--initial-branch", "main")
    commit(git, "Base")
    subprocess.run(["git", "clone", "--quiet", "--bare", place, tmp_path / "origin"], check=True)
    git("remote", "add", "origin", tmp_path / "origin")
    git("switch", "--quiet", "--create", "mine")
    return place
