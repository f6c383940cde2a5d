"""How skewed paired differences of methods are over observations, on every board on record.

    python -m benchmarks.skewness results --preset quick

The interval of a difference takes its mean over observations for normal. Here: the sample skewness,
without sign, of D_i, the difference of two methods at observation i averaged over their seeds, in
the column that ranks. Pairs within four standard errors of a tie are those whose verdict an
interval may change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from cwbench.boards.board import Board
from cwbench.boards.cells import seeds_of
from cwbench.boards.gathering import boards
from cwbench.boards.statistics import LEAST_SEEDS, Array
from cwbench.records.shipped import sources

NEAR = 4.0
"""Standard errors over observations."""


class Pair(NamedTuple):
    """The skewness of a difference, without sign, and whether it is near a tie."""

    skewness: float
    near: bool


def pair(difference: Array) -> Pair:
    """Of differences by observation, `(observations,)`."""
    error = difference.std(ddof=1) / len(difference) ** 0.5
    skewness = abs(float(stats.skew(difference, bias=False)))
    return Pair(skewness, bool(abs(difference.mean()) < NEAR * error))


def pairs(board: Board) -> Iterator[Pair]:
    """All pairs of methods in the board's main column that differ and share enough seeds."""
    cells = [cell for row in board.rows if (cell := board.cell(row, board.main))]
    for a, b in combinations(cells, 2):
        common = seeds_of(a.values) & seeds_of(b.values)
        if common.sum() >= LEAST_SEEDS:
            difference = (a.values - b.values)[common].mean(0)
            if difference.any():
                yield pair(difference)


def summary_of(found: list[Pair]) -> str:
    """Their number, with median, upper quartile and ninth decile."""
    shares = np.quantile([one.skewness for one in found], (0.5, 0.75, 0.9)) if found else []
    return " ".join([f"{len(found):5}", *(f"{share:6.2f}" for share in shares)])


def main() -> None:
    """Print a line for each board and for all, and the same of pairs near a tie."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results")
    parser.add_argument("--preset", default="quick")
    asked = parser.parse_args()
    on_record = boards(sources(asked.results), presets=[asked.preset]).boards
    found = {board.name: list(pairs(board)) for board in on_record}
    found["all"] = [one for some in found.values() for one in some]
    print("pairs, median, upper quartile and ninth decile of the skewness; near a tie, the same")
    for name, some in found.items():
        print(f"{name:50} {summary_of(some)}  | {summary_of([one for one in some if one.near])}")


if __name__ == "__main__":
    main()
