"""What a method costs: its fit once, its draws at each observation; who repays itself, and when.

A method that learned from pairs pays F_a once and s_a for the draws of an observation, one that
knows the operator F_b (of the learned prior, or nothing) and s_b. After N observations they have
cost F_a + N s_a and F_b + N s_b, so that training repays itself from

    N = (F_a - F_b) / (s_b - s_a)

observations on. All costs are seconds as recorded, for as many draws as were judged.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from cwbench.boards.board import Board
from cwbench.boards.row import Row


class Cost(NamedTuple):
    """Seconds of the fit, and of the draws of one observation."""

    fit: float
    observation: float


def break_even(trained: Cost, other: Cost) -> float:
    """The number of observations from which the trained one is the cheaper; infinity if never."""
    saved = other.observation - trained.observation
    paid = trained.fit - other.fit
    if saved <= 0:
        return 0.0 if paid <= 0 and saved == 0 else math.inf
    return max(0.0, paid / saved)


def repaid(board: Board, a: Row, b: Row, nfe: str) -> float | None:
    """From how many observations on the one that learned from pairs is cheaper than the other.

    Costs are means over the seeds that ended well for both: machines and loads differ between
    seeds, so that others would compare two machines. None where there is no such seed, both saw
    the same, one is a control, or a cost is not on record.
    """
    if a.role != "method" or b.role != "method" or (a.sees == "pairs") == (b.sees == "pairs"):
        return None
    trained, other = (a, b) if a.sees == "pairs" else (b, a)
    seeds = _seeds(trained) & _seeds(other)
    costs = cost_of(board, _at(trained, seeds), nfe), cost_of(board, _at(other, seeds), nfe)
    return None if costs[0] is None or costs[1] is None else break_even(costs[0], costs[1])


def _seeds(row: Row) -> set[int]:
    return {run.seed for run in row.runs if run.status == "ok"}


def _at(row: Row, seeds: set[int]) -> Row:
    runs = [run for run in row.runs if run.seed in seeds]
    return Row(row.key, row.label, row.place, runs)


def cost_of(board: Board, row: Row, nfe: str) -> Cost | None:
    """What a row costs, the mean over its seeds."""
    fit, seconds = fit_seconds(board, row), row.sampling(nfe, "seconds")
    if fit is None or seconds is None:
        return None
    observations = row.runs[0].content["preset_values"]["observations"]
    return Cost(fit, seconds / observations)


def fit_seconds(board: Board, row: Row) -> float | None:
    """Of the fit, the mean over seeds; what several methods share counts in full for each.

    A run of before `shared_seconds` that found it fitted counts as the one that fitted it.
    """
    fits = [
        max(seconds, board.shared_fits.get(run.found_fit, 0.0))
        for run in row.runs
        if (seconds := run.fit_seconds) is not None
    ]
    return sum(fits) / len(fits) if fits else None
