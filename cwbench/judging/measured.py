"""What measuring gives: the entry of a record, and the scores behind it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from scipy import special
from torch import Tensor

from cwbench.metric import Metric
from cwbench.records.entry import LEVEL, Entry

RESOLUTION_WANTED = 0.75


@dataclass(frozen=True)
class Scores:
    """Per observation, float64 with shape `(m,)`; a part that does not apply is None.

    `least_error` is the smallest standard error of the mean value that is believed.
    """

    value: Tensor
    plug_in: Tensor | None = None
    floor: Tensor | None = None
    resolution: Tensor | None = None
    least_error: float = 0.0


class Measured(NamedTuple):
    """An entry with the scores it is the mean of, where there are several.

    Where the metric failed, `trace` is the traceback.
    """

    entry: Entry
    scores: Scores | None = None
    trace: str = ""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much a value was computed from, as in an entry."""

    n_observations: int
    n_samples: int
    unit: Literal["samples", "images"] = "samples"


def made_entry(
    metric: Metric,
    sizes: Sizes,
    value: float | None,
    *,
    half: float | None = None,
    high: float | None = None,
    plug_in: float | None = None,
    floor: float | None = None,
    p90: float | None = None,
    resolution: float | None = None,
    source_sha256: str | None = None,
) -> Entry:
    """The entry of a value with its interval, `value - half` to `value + half`, or to `high`.

    A number that is not finite becomes None; without a value only the floor and the resolution,
    which are not of the model, stay. A value that is not finite, for samples that are, is said so.
    """
    if value is not None and half is not None:
        high = max(high or -math.inf, value + half)
    has_value = value is not None and math.isfinite(value)
    undefined = value is not None and not has_value
    return Entry(
        value=_finite(value),
        low=_finite(value - half) if value is not None and half is not None else None,
        high=_finite(high) if has_value else None,
        plug_in=_finite(plug_in) if has_value else None,
        floor=_finite(floor),
        p90=_finite(p90) if has_value else None,
        resolution=_finite(resolution),
        low_resolution=resolution is not None and resolution < RESOLUTION_WANTED,
        direction=metric.info.direction,
        debiased=metric.info.debiased,
        ranks=metric.info.ranks,
        n_observations=sizes.n_observations,
        n_samples=sizes.n_samples,
        unit=sizes.unit,
        version=metric.info.version,
        source_sha256=source_sha256,
        error=f"its value is {value}, though the samples are finite" if undefined else None,
    )


def quantile(values: int) -> float:
    """Of Student's t, for the two-sided interval of a mean of so many values, at least 2."""
    return float(special.stdtrit(values - 1, (1 + LEVEL) / 2))


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
