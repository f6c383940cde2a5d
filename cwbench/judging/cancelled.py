"""Where debiasing takes off nearly all that a sampler did, so that no value is better than one.

What debiasing takes off is the noise of finite samples, D(a1, a2), as far as two halves of the
model have it. A draw far out that only one half has, as of a sampler that blows up once in many
thousand draws, is in D(a1, b1) and in D(a1, a2) alike, and cancels: the value is that of the other
draws, or the rounding of huge numbers. cross / (value + floor) shows it. For a sampler that is too
wide by the factor s, in many dimensions with resolution r, it is

    (r (s - 1)^2 + (1 - r) (s^2 + 1)) / (r (s - 1)^2 + 2 (1 - r)),

1 for s = 1 and at most 1.21 / r for any s and r: wide samplers alone do not reach `LOST` times
that. Of a metric that does not see scales, a wide sampler of the right mean has all its noise taken
off rightly.
"""

from __future__ import annotations

from cwbench.metric import Metric, ReferenceMetric
from cwbench.records.entry import Entry

LOST = 4.0
"""How many times what the resolution explains the plug-in value is above value and floor together.

Of all runs that the leaderboard had without a draw far out, 1.4 times is the most.
"""


def cancelled(metric: Metric, entry: Entry) -> str | None:
    """Why the value of a debiased distance says nothing of the samples; None where it does."""
    value, plug_in, floor = entry.value, entry.plug_in, entry.floor
    concerned = isinstance(metric, ReferenceMetric) and "scale" in metric.info.sees
    if not (concerned and metric.info.debiased):
        return None
    if value is None or plug_in is None or floor is None:
        return None
    left = max(value, 0.0) + floor
    resolution = 1.0 if entry.resolution is None else entry.resolution
    if plug_in * resolution <= LOST * left:
        return None
    return (
        f"debiasing cancels the plug-in value {plug_in:.6g} but for {value:.3g} (exact draws have "
        f"{floor:.3g}): draws far out are too rare for it to see; look at the samples"
    )
