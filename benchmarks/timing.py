"""Timing in turns: A B A B ..., so that what else the machine does meets both alike."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

import torch

from cwbench.machine.cpu import cores, torch_threads
from cwbench.machine.environment import describe

Measurement = Callable[[], float]
"""Does the work once and returns the seconds that count."""


@dataclass(frozen=True)
class Ratio:
    """A ratio, what it is of, and the bound it is held to (`at_most`, or else at least)."""

    title: str
    value: float
    target: float
    detail: str
    at_most: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool:
        """Whether the bound holds."""
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        bound = f"{'<=' if self.at_most else '>='} {self.target:g}{self.unit}"
        verdict = "met" if self.met else "MISSED"
        value = f"{self.value:.2f}{self.unit}"
        return f"{self.title:<58} {value:>8}  {bound:<9} {verdict:<7} {self.detail}"


def medians(measurements: Mapping[str, Measurement], repeats: int) -> dict[str, float]:
    """Median seconds of each measurement, taken in turns after one round of warm-up."""
    rounds = [{name: work() for name, work in measurements.items()} for _ in range(repeats + 1)]
    return {name: statistics.median(one[name] for one in rounds[1:]) for name in measurements}


def machine() -> str:
    """Processor, cores, threads and versions that the ratios belong to."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "scipy", "POT", "numpy"))
    return (
        f"{describe(torch.device('cpu'))['cpu']}, {cores()} cores; "
        f"torch threads {torch.get_num_threads()}, in training {torch_threads()}; "
        f"Python {platform.python_version()}, {packages}"
    )
