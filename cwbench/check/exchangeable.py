"""Draws in the numbers that are judged are as good as independent ones, and no better.

A debiased score is 0 for exact draws because they are independent: what balances itself (mirrored
or quasi-random points) or comes in an order scores below. So a method is called as the judge calls
it, for the observations of each preset and all their draws at once, and three splits of the draws
are looked at: the halves that are judged against each other, odd against even places, and one call
against the next. Independent draws may be split at random instead, and then the distance between
the parts is as likely to be the largest or the smallest among R random ones as any other place: a
chance of 1 / (R + 1) each, whatever the law of the draws. What is an extreme once is tried on new
draws, and counts where it is one on the same side every time. With R = 99 and three trials that is
a chance of 6 (three splits, two sides) in a million for each preset.

Permutation Tests: A Practical Guide to Resampling Methods for Testing Hypotheses (Good, 2000);
the distance is the energy distance, Energy statistics (Szekely and Rizzo, 2013),
https://doi.org/10.1016/j.jspi.2013.03.018.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from cwbench.check.fitting import Fitting
from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import NotApplicableError, require
from cwbench.check.probes import PROBES
from cwbench.machine.streams import stream
from cwbench.preset import Preset, vector_presets

RANDOM, TRIALS = 99, 3
LOOKED_AT = 10
"""Observations whose draws are compared; the others are drawn, as the judge has them drawn."""

SIDES = {1: "further apart than", -1: "closer to each other than"}


def exchangeable_draws(subject: MethodSubject) -> None:
    """As many draws as are judged differ, half from half and call from call, as if by chance."""
    fitting = subject.main
    _ = fitting.typical  # finite, or another check tells
    for m, n in _judged(fitting):
        found: dict[str, int] = {}
        for trial in range(TRIALS):
            again = _sides(fitting, m, n, trial)
            found = {k: side for k, side in again.items() if side and found.get(k, side) == side}
            if not found:
                break
        for split, side in found.items():
            require(
                False,
                f"of {n} draws for each of {m} observations {split} are {SIDES[side]} any of "
                f"{RANDOM} random splits, {TRIALS} times in a row",
            )


def _judged(fitting: Fitting) -> list[tuple[int, int]]:
    """For how many observations a judge asks for how many draws, by the presets of the task.

    A probe, which nothing is judged on, stands for all tasks of vectors: each number of draws is
    tried there with the fewest observations that it goes with.
    """
    if type(fitting.task) not in PROBES:
        return _sizes(fitting.task.info.presets)
    fewest = {n: m for m, n in sorted(_sizes(vector_presets()), reverse=True)}
    return sorted((m, n) for n, m in fewest.items())


def _sizes(presets: Mapping[str, Preset]) -> list[tuple[int, int]]:
    return list(dict.fromkeys((one.observations, 2 * one.samples) for one in presets.values()))


def _sides(fitting: Fitting, m: int, n: int, trial: int) -> dict[str, int]:
    """By split, whether its parts are extremes: 1 far apart, -1 close to each other, else 0."""
    y = fitting.task.evaluation_set(m, stream(*fitting.key, "judged", m)).y
    calls = [fitting.sampled(y, n, seed=300 + 2 * trial + k)[:LOOKED_AT] for k in range(2)]
    if torch.equal(*calls):
        raise NotApplicableError("every call gives the same draws: see other-seed")
    first, second = (call.flatten(2).double() for call in calls)
    places, generator = torch.arange(2 * n), stream(*fitting.key, "splits", trial)
    halves, odd = places[:n] < n // 2, places[:n] % 2 == 1
    inside = extremes(first, torch.stack([halves, odd]), generator)
    between = extremes(torch.cat([first, second], 1), (places < n)[None], generator)
    names = ("the two halves", "odd and even places", "two calls")
    return dict(zip(names, [*inside, *between], strict=True))


def extremes(draws: Tensor, splits: Tensor, generator: Generator) -> list[int]:
    """Of each split into halves, whether its parts are further apart or closer than random ones.

    The random splits are the same for all observations: that their draws may have noise in common
    changes no chance.

    Args:
        draws: with shape `(m, n, d)`.
        splits: true for one half, with shape `(k, n)`.
        generator: of the random splits.

    Returns:
        1, -1, or 0 where it is no extreme, for each of the k.
    """
    n = draws.shape[1]
    chance = torch.rand(RANDOM, n, generator=generator).argsort(1) < n // 2
    signs = torch.cat([splits, chance]).double() * 2 - 1
    gaps = torch.zeros(len(signs), dtype=torch.float64)
    for row in draws:
        distances = torch.cdist(row, row)
        gaps -= ((signs @ distances) * signs).sum(1) / distances.mean().clamp_min(1e-300)
    ours, random = gaps[: len(splits)], gaps[len(splits) :]
    return [int(gap > random.max()) - int(gap < random.min()) for gap in ours]
