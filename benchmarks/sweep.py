"""What a sweep costs beside its runs, and what a second job brings."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cwbench
from benchmarks.timing import Ratio, medians

RUNS = 6
REPEATS = 2
TINY = {
    "preset.training_pairs": 200, "preset.observations": 3, "preset.samples": 12,
    "preset.steps": 20, "preset.nfe": "1",
}  # fmt: skip
STEPS = 4_000


def sweep_seconds(method: str, runs: int, jobs: int, settings: dict[str, object]) -> float:
    """Seconds of `cwbench sweep` over so many seeds into an empty directory."""
    with tempfile.TemporaryDirectory() as results:
        command = [
            sys.executable, "-m", "cwbench", "sweep", "--task", "gaussian-linear", "--method",
            method, "--preset", "smoke", "--seeds", f"0-{runs - 1}", "--jobs", str(jobs),
            "--results", results, "--quiet", *(f"--set={k}={v}" for k, v in settings.items()),
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
        return time.perf_counter() - started


def loop_seconds() -> float:
    """Seconds of the same runs one after the other in this process."""
    with tempfile.TemporaryDirectory() as results:
        started = time.perf_counter()
        for seed in range(RUNS):
            cwbench.run(
                "gaussian-linear", "prior", "smoke", seed, TINY, results=Path(results),
                quiet=True, figures=False,
            )  # fmt: skip
        return time.perf_counter() - started


def ratios() -> Iterator[Ratio]:
    """Seconds of overhead a run, everything included; throughput of two jobs over one."""
    seconds = medians(
        {"sweep": lambda: sweep_seconds("prior", RUNS, 1, TINY), "loop": loop_seconds}, REPEATS
    )
    yield Ratio(
        "a run's share of the sweep beyond its own seconds",
        (seconds["sweep"] - seconds["loop"]) / RUNS, 5.0,
        f"{seconds['sweep']:.1f} s in a sweep, {seconds['loop']:.1f} s in a loop, {RUNS} runs",
        unit=" s",
    )  # fmt: skip
    training = TINY | {"preset.steps": STEPS, "preset.width": 256, "preset.depth": 3}
    seconds = medians(
        {
            "one": lambda: sweep_seconds("fm", 4, 1, training),
            "two": lambda: sweep_seconds("fm", 4, 2, training),
        },
        REPEATS - 1,
    )
    yield Ratio(
        "throughput of two one-thread jobs / one, two cores",
        seconds["one"] / seconds["two"], 1.7,
        f"{seconds['one']:.1f} / {seconds['two']:.1f} s for 4 runs of {STEPS} steps",
        at_most=False,
    )  # fmt: skip
