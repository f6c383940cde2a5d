"""What a coupling adds to a training step: the assignment is solved beside the network."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.timing import Ratio, medians
from benchmarks.training import flow

STEPS, REPEATS = 300, 9


def ratios() -> Iterator[Ratio]:
    """Step times of the OT flows over that of independent flow matching."""
    seconds = medians({name: flow(name, STEPS) for name in ("fm", "cot-fm", "ot-fm")}, REPEATS)
    for name in ("cot-fm", "ot-fm"):
        detail = f"{seconds[name] * 1e3:.2f} / {seconds['fm'] * 1e3:.2f} ms a step"
        title = f"step time of {name} / fm, batch = OT batch = 200, d = 5"
        yield Ratio(title, seconds[name] / seconds["fm"], 1.15, detail)
