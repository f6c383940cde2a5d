"""How many digits a number with an interval is shown with."""

from __future__ import annotations

import math

LARGE = 1e7
"""From where on a number has an exponent: nobody reads 61 digits."""
MOST = 9
"""Digits after the point."""


def digits_of(half: float | None) -> int | None:
    """Decimals that an interval carries, two digits of its half; None where it has none."""
    if not half or not math.isfinite(half):
        return None
    return min(MOST, max(0, 1 - math.floor(math.log10(half))))


def pair(value: float, half: float) -> tuple[str, str]:
    """A value and half its interval as texts."""
    if max(abs(value), half) >= LARGE:
        return f"{value:.3g}", f"{half:.2g}"
    digits = digits_of(half)
    digits = 3 if digits is None else digits
    return f"{value:.{digits}f}", f"{half:.{digits}f}"
