"""Which distances a verdict hangs on, by the dimension of x: each is blind to something.

From 20 dimensions on `ew2sq` hardly sees scales, and `energy` and `esw2sq` hardly atoms. From 256
on `ew2sq` sees nothing of what is wrong in the noise of pixels, and `energy` little; distances in
whitened coordinates and outside the leading directions do, which see little of modes. So they are
judged together: a method is ahead where the metric that ranks says so and none of them contradicts.
"""

from __future__ import annotations

MANY, HUNDREDS = 20, 256

DISTANCES = ("ew2sq", "energy", "esw2sq", "mode-weights")
"""Judged together from `MANY` dimensions on."""

OUTSIDE = ("ew2sq-leading-10", "complement-error", "energy-white")
"""Judged with them from `HUNDREDS` on, where runs compute them by default."""


def judged_together(dimension: int | None) -> tuple[str, ...]:
    """The ids of metrics that must not contradict each other; what is not known may be large."""
    if dimension is None or dimension >= HUNDREDS:
        return DISTANCES + OUTSIDE
    return DISTANCES if dimension >= MANY else ()
