"""Ranks, ties with the best, and who wins against whom across tasks.

Which method is best is itself chosen by the data, so the comparisons with it are as many as there
are pairs: Holm's correction is taken over all pairs. Then, with 95 % for all statements together,

    rank of a in [1 + number significantly better than a, k - number significantly worse than a],

and the methods tied with the best are those not significantly worse than it. Correcting for the
k - 1 comparisons with the best alone would not do: of eight equal methods some is then called worse
than the best far more often than in 5 % of cases.

Across tasks nothing is averaged. Two methods meet on every task, and each group of tasks (two
noises of one mixture, say) has one vote, so that adding a clone of a task or of a method moves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cwbench.boards.statistics import (
    LEAST_SEEDS,
    LEVEL,
    Direction,
    Verdict,
    differences,
    holm,
)

Array = NDArray[np.float64]
Truths = NDArray[np.bool_]


class Pairs(NamedTuple):
    """All pairs of k methods on one metric, `(k, k)`; NaN where two share too few seeds.

    `gain` (a, b) is by how much a is better than b, `p` the p-value of no difference.
    """

    gain: Array
    p: Array

    def called(self, level: float = LEVEL) -> NDArray[np.int8]:
        """1 where a is better than b, each pair by itself, -1 where it is worse, 0 elsewhere."""
        return np.where(self.p < 1 - level, np.sign(self.gain), 0).astype(np.int8)


class Ranking(NamedTuple):
    """Of k methods on one column, shape `(k,)`.

    `tied` is 1 for the best and those that cannot be told from it, 0 for the others, -1 where it
    cannot be asked, with too few seeds in common with the best.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    tied: NDArray[np.int8]


def pairs(values: Sequence[dict[int, Array]], direction: Direction = "lower") -> Pairs:
    """Compare all methods with each other, on the seeds that two have in common.

    Args:
        values: for each method its values by seed, each with shape `(observations,)`.
        direction: in which the metric gets better.
    """
    k = len(values)
    gain, p = np.full((k, k), np.nan), np.full((k, k), np.nan)
    sets = [frozenset(by_seed) for by_seed in values]
    unique = sorted(set(sets), key=sorted)
    members = {some: [i for i, each in enumerate(sets) if each == some] for some in unique}
    if len(unique) == 1 and len(unique[0]) >= LEAST_SEEDS:  # as nearly always: nothing to merge
        seeds = sorted(unique[0])
        return _compared(np.array([[each[s] for s in seeds] for each in values]), direction)
    for index, first in enumerate(unique):
        for second in unique[index:]:
            seeds = sorted(first & second)
            if len(seeds) < LEAST_SEEDS:
                continue
            chosen = members[first] + (members[second] if second != first else [])
            stacked = np.array([[values[i][seed] for seed in seeds] for i in chosen])
            found = _compared(stacked, direction)
            block = np.ix_(chosen, chosen)
            fresh = np.isnan(p[block])  # pairs on all of their seeds are not done again on fewer
            gain[block] = np.where(fresh, found.gain, gain[block])
            p[block] = np.where(fresh, found.p, p[block])
    return Pairs(gain, p)


def _compared(values: Array, direction: Direction) -> Pairs:
    """All pairs on the same seeds, each computed once."""
    k = len(values)
    upper = np.triu_indices(k, 1)
    found = differences(values)
    gain, p = np.zeros((k, k)), np.ones((k, k))
    gain[upper] = -found.mean if direction == "lower" else found.mean
    gain.T[upper] = -gain[upper]
    p[upper] = found.p_values()
    p.T[upper] = p[upper]
    return Pairs(gain, p)


def contradicted(several: Iterable[Pairs]) -> Truths:
    """Where one metric calls a better than b and another worse, `(k, k)`."""
    called = np.array([one.called() for one in several])
    both: Truths = np.logical_and((called > 0).any(0), (called < 0).any(0))
    return both


def ranking(
    means: Array, found: Pairs, void: Truths | None = None, level: float = LEVEL
) -> Ranking:
    """Rank intervals and ties with the best.

    Args:
        means: with shape `(k,)`, lower is better.
        found: the comparisons of all pairs.
        void: pairs of which nothing may be said, `(k, k)`.
        level: with which all statements together are right.
    """
    k = len(means)
    upper = np.triu_indices(k, 1)
    adjusted = np.full((k, k), np.nan)
    known = np.isfinite(found.p[upper])
    above = np.full(len(upper[0]), np.nan)
    above[known] = holm(found.p[upper][known])
    adjusted[upper] = above
    adjusted.T[upper] = above
    better = (adjusted < 1 - level) & (found.gain > 0)
    if void is not None:
        better &= ~void
    tied = np.ones(k, np.int8)
    if k:
        best = int(np.argmin(means))
        tied = np.where(better[best], 0, np.where(np.isnan(adjusted[best]), -1, 1)).astype(np.int8)
        tied[best] = 1
    return Ranking(1 + better.sum(0), k - better.sum(1), tied)


class Votes(NamedTuple):
    """How two methods meet across groups of tasks."""

    wins: int
    ties: int
    losses: int


def votes(verdicts: Iterable[tuple[str, Verdict]]) -> Votes:
    """One vote a group: of its tasks' verdicts the more frequent of better and worse, else a tie.

    Args:
        verdicts: pairs of a group and the verdict on one of its tasks; those without a verdict
            do not count.
    """
    sums: dict[str, int] = {}
    worth = {"better": 1, "worse": -1, "tie": 0}
    for group, verdict in verdicts:
        if verdict in worth:
            sums[group] = sums.get(group, 0) + worth[verdict]
    signs = [(total > 0) - (total < 0) for total in sums.values()]
    return Votes(signs.count(1), signs.count(0), signs.count(-1))
