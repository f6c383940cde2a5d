"""Warnings of a program are lines of its own, without file or source; long work is told first."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cwbench
from cwbench.records.record import Record
from cwbench.running.run import Runner

Python = Callable[..., subprocess.CompletedProcess[str]]

METHOD = """
import warnings
from dataclasses import replace
from cwbench_baselines.linear_gaussian import LinearGaussian


class Noisy(LinearGaussian):
    info = replace(LinearGaussian.info, name="noisy")

    def fit(self, data, context):
        warnings.warn("the first \\x1b[31m thing", stacklevel=1)
        warnings.warn("an old thing", FutureWarning, stacklevel=1)
        super().fit(data, context)
"""


def leaks(text: str) -> list[str]:
    """The lines that tell of the source."""
    return [line for line in text.splitlines() if re.search(r"\.py:\d+|warnings\.warn|^  \S", line)]


@pytest.fixture
def noisy(tmp_path: Path) -> str:
    (tmp_path / "noisy.py").write_text(METHOD)
    return f"{tmp_path / 'noisy.py'}:Noisy"


def test_warnings_of_a_command_are_a_line_each(python: Python, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    pixels = np.random.default_rng(0)
    for index in range(20):
        array = pixels.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{index}.png")
    done = python(
        "-m", "cwbench", "run", "--task", "inpainting", "--set", "prior=images", "--set",
        f"root={folder}", "--preset", "smoke", "--method", "linear-gaussian", "--nfe", "1",
        "--no-figures", "--quiet", "--results", tmp_path / "results",
    )  # fmt: skip
    first, second = (line for line in done.stderr.splitlines() if "warning" in line.lower())
    assert first == f"warning: left out below {str(folder)!r}, for they are no images: 1 of .txt"
    assert second.startswith("warning: linear-gaussian is drawn once, whatever nfe asks for")
    assert not leaks(done.stderr)


def test_those_of_plugins_and_libraries_too(python: Python, noisy: str, tmp_path: Path) -> None:
    done = python(
        "-m", "cwbench", "run", "--task", "gaussian-linear", "--preset", "smoke", "--method", noisy,
        "--no-figures", "--quiet", "--results", tmp_path / "results",
    )  # fmt: skip
    assert "warning: the first \\x1b[31m thing\n" in done.stderr
    assert "warning: FutureWarning: an old thing\n" in done.stderr
    assert not leaks(done.stderr)


def test_so_are_those_in_the_log_of_a_sweep(python: Python, noisy: str, tmp_path: Path) -> None:
    python(
        "-m", "cwbench", "sweep", "--task", "gaussian-linear", "--preset", "smoke", "--method",
        noisy, "--results", tmp_path / "results",
    )  # fmt: skip
    (log,) = (tmp_path / "results").rglob("log.txt")
    assert "warning: FutureWarning: an old thing\n" in log.read_text()
    assert not leaks(log.read_text())


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured."""

    def stopped(*_: object, **__: object) -> None:
        raise RuntimeError("far enough")

    monkeypatch.setattr(Runner, "_judge", stopped)


@pytest.mark.usefixtures("planned")
def test_a_run_says_first_what_takes_long(results: Path) -> None:
    def run(task: str, **settings: object) -> Record:
        return cwbench.run(
            task, "linear-gaussian", "smoke", settings=settings, metrics=["c2st"], results=results,
            quiet=True, figures=False,
        )  # fmt: skip

    told = r"10 networks with two layers of 7,840 units .* 5 more for its floor.*energy-white"
    with pytest.warns(UserWarning, match=told):
        failed = run("super-resolution", prior="mnist")
    assert failed.error == "RuntimeError: far enough"
    run("super-resolution")  # 64 numbers: no word
