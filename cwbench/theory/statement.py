"""What a statement of the theory comes to: checks of numbers, and a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Check:
    """A number, what it was held to, and whether it kept to it."""

    what: str
    value: float
    held_to: str
    passed: bool

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.what}: {self.value:.5g} ({self.held_to})"


@dataclass(frozen=True)
class Outcome:
    """A statement computed: its title, a sentence on what is seen, checks and a figure."""

    title: str
    text: str
    checks: Sequence[Check]
    figure: Figure

    @property
    def passed(self) -> bool:
        """Whether all checks did."""
        return all(check.passed for check in self.checks)


def close(what: str, value: float, expected: float, *, relative: float) -> Check:
    """Held to `expected` within a share of it."""
    held_to = f"{expected:.5g} within {100 * relative:g} %"
    return Check(what, value, held_to, math.isclose(value, expected, rel_tol=relative))


def at_most(what: str, value: float, bound: float) -> Check:
    """Held to a bound from above."""
    return Check(what, value, f"at most {bound:.5g}", value <= bound)


def at_least(what: str, value: float, bound: float) -> Check:
    """Held to a bound from below."""
    return Check(what, value, f"at least {bound:.5g}", value >= bound)


def falls(what: str, values: Sequence[float], *, by: float = 1.0) -> Check:
    """Held to fall from each value to the next, and by a factor `by` in all."""
    monotone = all(b <= a * (1 + 1e-9) for a, b in pairwise(values))
    listed = " > ".join(f"{value:.3g}" for value in values)
    held_to = f"falls {by:g} times: {listed}"
    return Check(what, values[-1], held_to, monotone and values[0] >= by * values[-1])
