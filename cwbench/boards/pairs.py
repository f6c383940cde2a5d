"""Whether methods differ: one test for ranks, ties, votes and `cwbench compare`.

Two methods are compared on the S seeds that both have and all m observations, value by value. With
the parts v_s, v_o and v_e of that difference as in `statistics` and the variances t_a, t_b between
seeds as in `moderation`,

    u = max((t_a + t_b) / S, v_s),    w = max(u + v_o - v_e, u, v_o) - u,
    h(alpha)^2 = q^2 u + r^2 w,

where q and r are the 1 - alpha / 2 quantiles of Student's t, with the degrees of freedom of the
moderated variances (the fewer of the two) and with m - 1. The methods are told apart at the level
alpha where the mean of the difference is further than h(alpha) from 0 (Cochran and Cox 1950).
Where variances are not moderated, u = v_s has S - 1 degrees. No degrees of freedom are estimated
for u and w together: after Satterthwaite they explode where v_s is small by chance.

All pairs of a table are judged together by Holm's procedure, with 95 % for all statements at once.
Of methods with different seeds the better on the seeds in common may have the worse mean; then
nothing is said of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cwbench.boards.cells import Array, Truths, seeds_of
from cwbench.boards.moderation import Moderated
from cwbench.boards.statistics import (
    LEAST_SEEDS,
    LEVEL,
    Direction,
    Effects,
    Interval,
    crossed,
    differences,
    upper,
)


class Differences(NamedTuple):
    """Of n pairs; what is not known is NaN, with degrees of freedom of 1.

    `mean`, `seeds` (u), `observations` (w) and `freedom` (of u) have shape `(n,)`; `last` are the
    degrees of freedom of w.
    """

    mean: Array
    seeds: Array
    observations: Array
    freedom: Array
    last: int

    def at(self, places: Truths) -> Differences:
        """Some of them."""
        mean, seeds, observations, freedom = (part[places] for part in self.parts)
        return Differences(mean, seeds, observations, freedom, self.last)

    @property
    def parts(self) -> tuple[Array, Array, Array, Array]:
        """The arrays among them."""
        return self.mean, self.seeds, self.observations, self.freedom

    def half(self, alpha: float) -> Array:
        """How far from 0 a mean has to be, h(alpha)."""
        first = self.freedom[:1]
        if (self.freedom == first).all():  # as nearly always
            q = _quantile(first, alpha)
        else:
            kinds, places = np.unique(self.freedom, return_inverse=True)
            q = _quantile(kinds, alpha)[places]
        r = _quantile(np.array(self.last), alpha) if self.last else 0.0
        half: Array = np.sqrt(q**2 * self.seeds + r**2 * self.observations)
        return half

    def apart(self, alpha: float = 1 - LEVEL) -> Truths:
        """Which are told apart, each by itself."""
        apart: Truths = np.abs(self.mean) > self.half(alpha)
        return apart

    def apart_together(self, alpha: float = 1 - LEVEL) -> Truths:
        """Which are told apart so that any of these statements is false with at most `alpha`.

        Holm's procedure: with c found among n, what is told apart at alpha / (n - c) is found too,
        until nothing is added. What is not told apart by itself never will be.
        """
        n = int(np.isfinite(self.mean).sum())
        found = self.apart(alpha / max(n, 1))
        maybe = self.apart(alpha) & ~found
        rest, left = self.at(maybe), n - int(found.sum())
        added = np.zeros(len(rest.mean), np.bool_)
        while (count := int(added.sum())) < left:
            added = rest.apart(alpha / (left - count))
            if added.sum() == count:
                break
        found[maybe] = added
        return found


def _quantile(freedom: Array, alpha: float) -> Array:
    """Of Student's t, two-sided; from its lower tail, which keeps the digits."""
    return -np.asarray(special.stdtrit(freedom, alpha / 2), np.float64)


def on_common_seeds(values: Array, spread: Moderated | None) -> Differences:
    """All pairs a < b of k methods, in `numpy.triu_indices` order.

    Args:
        values: with shape `(k, seeds, observations)`, two seeds or more.
        spread: of these methods between seeds; without it each pair's own.
    """
    S, m = values.shape[1:]
    found = differences(values)
    freedom = np.full_like(found.mean, S - 1.0)
    if spread is not None:
        pairs = upper(len(values))
        together = np.add.outer(spread.variance, spread.variance)[pairs] / S
        found = found._replace(seeds=np.maximum(found.seeds, together))
        freedom = np.minimum.outer(spread.freedom, spread.freedom)[pairs]
    return judged(found, freedom, m)


def judged(found: Effects, freedom: Array, m: int) -> Differences:
    """What decides, from the effects of m observations and u, which has `freedom` degrees."""
    mean, u, v_o, v_e = found
    w = np.maximum(np.maximum(v_o - v_e, 0), v_o - u)
    return Differences(mean, u, w, freedom, m - 1)


class Pairs(NamedTuple):
    """What is said of all pairs of k methods on one metric, each with shape `(k, k)`.

    `alone` is 1 where a is better than b by itself, -1 where it is worse, 0 elsewhere; `together`
    likewise with Holm's correction over all pairs. `known`: they share enough seeds to be asked.
    """

    alone: NDArray[np.int8]
    together: NDArray[np.int8]
    known: Truths


def pairs(values: Array, direction: Direction = "lower", spread: Moderated | None = None) -> Pairs:
    """Compare all methods with each other, on the seeds that two have in common.

    Args:
        values: with shape `(k, seeds, observations)`, NaN for seeds that a method lacks.
        direction: in which the metric gets better.
        spread: of these methods between seeds; without it each pair's own.
    """
    k = len(values)
    found, opposed = _all(values, spread)
    better = np.sign(-found.mean if direction == "lower" else found.mean)
    better[opposed | np.isnan(better)] = 0
    places, known = upper(k), np.eye(k, dtype=np.bool_)
    known[places] = np.isfinite(found.mean)

    def square(said: Array) -> NDArray[np.int8]:
        full = np.zeros((k, k), np.int8)
        full[places] = said
        return full - full.T

    return Pairs(
        square(better * found.apart()),
        square(better * found.apart_together()),
        known | known.T,
    )


def _all(values: Array, spread: Moderated | None) -> tuple[Differences, Truths]:
    """All pairs, NaN where they share too few seeds; where all seeds say otherwise."""
    present = seeds_of(values)
    if len(values) and present.all() and values.shape[1] >= LEAST_SEEDS:  # as nearly always
        found = on_common_seeds(values, spread)
        return found, np.zeros(len(found.mean), np.bool_)
    found = _by_seeds(values, present, spread)
    a, b = np.triu_indices(len(values), 1)
    means = np.array([_mean(each) for each in values])
    return found, np.sign(means[a] - means[b]) != np.sign(found.mean)


def _mean(values: Array) -> float:
    """Over the seeds that a method has, NaN without any."""
    present = seeds_of(values)
    return float(values[present].mean()) if present.any() else np.nan


def _by_seeds(values: Array, present: Truths, spread: Moderated | None) -> Differences:
    """All pairs of methods with different seeds, those of every two sets of seeds at once."""
    a, b = np.triu_indices(len(values), 1)
    kinds, kind = np.unique(present, axis=0, return_inverse=True)
    parts = [*np.full((3, len(a)), np.nan), np.ones(len(a))]
    for first, second in combinations_with_replacement(range(len(kinds)), 2):
        common = np.flatnonzero(kinds[first] & kinds[second])
        if len(common) < LEAST_SEEDS:
            continue
        chosen = np.flatnonzero((kind == first) | (kind == second))
        found = on_common_seeds(
            values[np.ix_(chosen, common)],
            spread and Moderated(*(part[chosen] for part in spread)),
        )
        wanted = _are(kind[a], kind[b], first, second)
        i, j = np.triu_indices(len(chosen), 1)
        those = _are(kind[chosen[i]], kind[chosen[j]], first, second)
        for part, fresh in zip(parts, found.parts, strict=True):
            part[wanted] = fresh[those]
    return Differences(parts[0], parts[1], parts[2], parts[3], max(values.shape[2] - 1, 0))


def _are(a: NDArray[np.intp], b: NDArray[np.intp], first: int, second: int) -> Truths:
    """Where two are of these kinds, in whichever order."""
    are: Truths = (np.minimum(a, b) == first) & (np.maximum(a, b) == second)
    return are


class Paired(NamedTuple):
    """Two methods: a - b with its interval and the number of seeds in common.

    `opposed`: the means over all seeds of each are the other way round. `moderated`: u is.
    """

    difference: Interval
    seeds: int
    opposed: bool
    moderated: bool


def paired(a: Array, b: Array, spread: Moderated | None = None) -> Paired | None:
    """The same of two methods by themselves; None where they share no seed.

    With fewer common seeds than a verdict needs the interval is that of `statistics`.

    Args:
        a: with shape `(seeds, observations)`, NaN for seeds that it lacks.
        b: likewise, of the same seeds.
        spread: of the two between seeds; without it their own.
    """
    present = seeds_of(np.stack([a, b]))
    common = present.all(0)
    count = int(common.sum())
    if not count:
        return None
    values = np.stack([a[common], b[common]])
    if count < LEAST_SEEDS:
        found = Interval(*map(float, crossed(values[0] - values[1]).bounds()))
        return Paired(found, count, False, False)
    differing = on_common_seeds(values, spread)
    mean, half = float(differing.mean[0]), float(differing.half(1 - LEVEL)[0])
    gap = _mean(a) - _mean(b)
    opposed = (present[0] != present[1]).any() and np.sign(gap) != np.sign(mean)
    found = Interval(mean, mean - half, mean + half)
    return Paired(found, count, bool(opposed), spread is not None)


def contradicted(several: Sequence[NDArray[np.int8]]) -> Truths:
    """Where one metric calls a better than b and another worse; `alone` of each, `(k, k)`."""
    called = np.array(several)
    both: Truths = np.logical_and((called > 0).any(0), (called < 0).any(0))
    return both
