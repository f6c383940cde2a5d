"""Scores below what exact draws score.

A debiased distance subtracts that of the two halves of the draws, so that its mean is 0 for exact
draws and above for all others, if the draws are independent. Sorted ones, or some that balance
others, fall below: their two halves are not of one law.
"""

from __future__ import annotations

from scipy import special

from cwbench.records.entry import Entry

CHANCE = 1e-4
"""Of exact draws that a mean so far below 0 is told."""
LEAST_VALUES = 4
"""For a mean to be held against 0."""
INDEPENDENT = "draws of one call have to be independent and in random order"


def errors_below(entry: Entry) -> float:
    """By how many standard errors a debiased value lies below 0, where that is no chance; else 0.

    A t-test on the values whose mean and interval the entry holds.
    """
    value, low, n = entry.value, entry.low, entry.n_observations
    if value is None or low is None or not entry.debiased or n < LEAST_VALUES or value >= 0:
        return 0.0
    error = (value - low) / float(special.stdtrit(n - 1, (1 + entry.level) / 2))
    if not error > 0 or special.stdtr(n - 1, value / error) >= CHANCE:
        return 0.0
    return -value / error
