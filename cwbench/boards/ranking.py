"""Ranks, ties with the best, and who wins against whom across tasks.

Which method is best is itself chosen by the data, so the comparisons with it are as many as there
are pairs: Holm's correction is taken over all pairs (`pairs`). Then, with 95 % for all statements
together,

    rank of a in [1 + number significantly better than a, k - number significantly worse than a],

and the methods tied with the best are those not significantly worse than it. Correcting for the
k - 1 comparisons with the best alone would not do: of eight equal methods some is then called worse
than the best far more often than in 5 % of cases.

Across tasks nothing is averaged. Two methods meet on every task, and each group of tasks (two
noises of one mixture, say) has one vote, so that adding a clone of a task or of a method moves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cwbench.boards.pairs import Pairs
from cwbench.boards.statistics import Verdict

Array = NDArray[np.float64]
Truths = NDArray[np.bool_]


class Ranking(NamedTuple):
    """Of k methods on one column, shape `(k,)`.

    `tied` is 1 for the best and those that cannot be told from it, 0 for the others, -1 where it
    cannot be asked, with too few seeds in common with the best.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    tied: NDArray[np.int8]


def ranking(means: Array, found: Pairs, void: Truths | None = None) -> Ranking:
    """Rank intervals and ties with the best.

    Args:
        means: with shape `(k,)`, lower is better.
        found: the comparisons of all pairs.
        void: pairs of which nothing may be said, `(k, k)`.
    """
    k = len(means)
    better = found.together > 0
    if void is not None:
        better &= ~void
    tied = np.ones(k, np.int8)
    if k:
        best = int(np.argmin(means))
        tied = np.where(better[best], 0, np.where(found.known[best], 1, -1)).astype(np.int8)
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
