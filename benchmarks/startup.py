"""How soon the command line answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.timing import Measurement, Ratio, medians

REPEATS = 9


def command(*arguments: str) -> Measurement:
    """Seconds of `python -m cwbench ARGUMENTS` in a process of its own."""

    def seconds() -> float:
        started = time.perf_counter()
        subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "cwbench", *arguments], check=True, capture_output=True
        )
        return time.perf_counter() - started

    return seconds


def ratios() -> Iterator[Ratio]:
    """Seconds of `--help` and `list`."""
    seconds = medians({"--help": command("--help"), "list": command("list")}, REPEATS)
    for name, target in {"--help": 0.3, "list": 0.5}.items():
        yield Ratio(f"cwbench {name}", seconds[name], target, "whole process", unit=" s")
