"""Whether what is drawn for an observation depends on those that are asked together with it.

A judge asks for many at once. Draws that follow their neighbours are of no posterior: another
choice of observations would give others. Typical ones differ little on average, so that an
observation is also put among copies of one that is far off, and of one far off to the other side:
in the direction in which they vary most, in their mean, and in their size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cwbench.check.fitting import Fitting
from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import require
from cwbench.check.statistics import standard_errors

STANDARD_ERRORS = 7.0
"""Of differences of moments, over all coordinates of all observations."""
SINGLE, GUESTS, COPIES = 5, 2, 3
"""Observations asked alone, and of these put among so many copies of another."""


def alone(subject: MethodSubject) -> None:
    """An observation gets the same samples in law alone as in company, whatever the company."""
    fitting = subject.main
    company, some = fitting.typical, min(SINGLE, len(fitting.y))
    n = fitting.preset.samples
    single = [fitting.sampled(fitting.y[i : i + 1], n, seed=2 + i)[0] for i in range(some)]
    _require_equal(company[:some], torch.stack(single), "alone and in company")
    for ends in extremes(fitting.y):
        low, high = (_among(fitting, far, n) for far in ends)
        _require_equal(low, high, "among observations that lie far apart")


def _require_equal(a: Tensor, b: Tensor, where: str) -> None:
    z = standard_errors(a, b)
    require(
        z < STANDARD_ERRORS, f"moments of the samples differ by {z:.1f} standard errors {where}"
    )


def _among(fitting: Fitting, far: int, n: int) -> Tensor:
    """Samples of the first observations, each drawn among copies of one, `(m, n, *x_shape)`."""
    others = fitting.y[far : far + 1].repeat_interleave(COPIES, 0)
    return torch.stack(
        [
            fitting.sampled(torch.cat([fitting.y[i : i + 1], others]), n, seed=50 + far + i)[0]
            for i in range(min(GUESTS, len(fitting.y)))
        ]
    )


def extremes(y: Tensor) -> list[tuple[int, int]]:
    """The places of the least and the largest of rows along each way in which they may differ."""
    rows = y.reshape(len(y), -1).double()
    rows = rows - rows.mean(0)
    widest = torch.linalg.svd(rows, full_matrices=False).Vh[0]
    ways = (rows @ widest, rows.mean(1), rows.norm(dim=1))
    return list(dict.fromkeys((int(way.argmin()), int(way.argmax())) for way in ways))
