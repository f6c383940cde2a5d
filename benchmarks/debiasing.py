"""What debiased distances make of a shift and of a scale: `python -m benchmarks.debiasing`.

The posterior is N(0, I_d), the sampler N(delta, s^2 I_d), so that every distance has a closed form.
Printed is the debiased value as the harness forms it, with n samples a side, over that: 1 says the
whole error, 0 none of it; in brackets its standard error over observations. To need few of them,
what the same draws give without an error is taken off, which is 0 in expectation, and a shift is
taken in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy import special
from torch import Tensor

from cwbench.check.faults import MixtureTrial
from cwbench.machine.streams import stream
from cwbench.metric import ReferenceMetric
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.sliced import SlicedW2Squared
from cwbench.metrics.wasserstein import W1, W2Squared

METRICS: tuple[type[ReferenceMetric], ...] = (W2Squared, SlicedW2Squared, EnergyDistance, W1)
DIMENSIONS, OBSERVATIONS, SAMPLES = (5, 64), 6, 500


class Error(NamedTuple):
    """A sampler N(delta, s^2 I): the length of `shift`, and `scale`."""

    shift: float = 0.0
    scale: float = 1.0


ERRORS = (Error(shift=0.25), Error(shift=1.0), Error(scale=0.8), Error(scale=0.5))


def exact(name: str, d: int, error: Error) -> float:
    """The distance of the two laws."""
    shift, scale = error
    norm = mean_norm(d, 0.0)
    if name == "ew1":  # along the shift, or along |x|, which is 1-Lipschitz
        return shift or (1 - scale) * norm
    if name == "energy":
        across = (1 + scale**2) ** 0.5
        apart = across * mean_norm(d, shift / across)
        return float(2 * apart - 2**0.5 * norm * (1 + scale))
    squared = shift**2 + (1 - scale) ** 2 * d
    return squared / d if name == "esw2sq" else squared


def mean_norm(d: int, shift: float) -> float:
    """E|X| for X from N(delta, I_d) with |delta| = `shift`."""
    ratio = np.exp(special.gammaln((d + 1) / 2) - special.gammaln(d / 2))
    return float(2**0.5 * ratio * special.hyp1f1(-0.5, d / 2, -(shift**2) / 2))


def debiased(
    cls: type[ReferenceMetric], d: int, error: Error, m: int = OBSERVATIONS, n: int = SAMPLES
) -> Tensor:
    """Debiased values `(m,)` of a sampler with an error."""
    metric = cls(MixtureTrial((d,), frozenset({"reference"})))
    draws = torch.randn(4, m, n, d, generator=stream("debiasing", d), dtype=torch.float64)
    along = torch.zeros(d, dtype=torch.float64)
    along[0] = error.shift

    def value(scale: float, shift: Tensor) -> Tensor:
        """As `cwbench.judging.by_observation` forms it, `(m,)`."""
        (a1, a2), (b1, b2), D = scale * draws[:2] + shift, draws[2:], metric.distance
        return (D(a1, b1) + D(a2, b2) - D(a1, a2) - D(b1, b2)) / 2

    return (value(error.scale, along) + value(error.scale, -along)) / 2 - value(1.0, 0 * along)


def rows() -> Iterator[str]:
    """The lines of the table in `docs/metrics.md`."""
    named = [f"shift {e.shift:g}" if e.shift else f"scale {e.scale:g}" for e in ERRORS]
    yield f"| metric | d | {' | '.join(named)} |"
    yield "|---" * (len(ERRORS) + 2) + "|"
    for cls in METRICS:
        for d in DIMENSIONS:
            yield f"| `{cls.info.name}` | {d} | {' | '.join(_cells(cls, d))} |"


def _cells(cls: type[ReferenceMetric], d: int) -> Iterator[str]:
    for error in ERRORS:
        share = debiased(cls, d, error) / exact(cls.info.name, d, error)
        yield f"{share.mean():.2f} ({share.std() / len(share) ** 0.5:.2f})"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
