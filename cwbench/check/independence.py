"""Draws of one call are independent, and their law does not depend on how many are drawn at once.

What the debiased distances and their intervals rest on. Samplers break it by a step that a whole
batch shares, by one population of particles for many draws, or by noise that is used twice.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import NotApplicableError, require
from cwbench.check.statistics import standard_errors

CALLS = 40
STANDARD_ERRORS = 6.0
FEW, ENOUGH = 2, 30


def independent_draws(subject: MethodSubject) -> None:
    """Two draws of one call are uncorrelated, and have the law of draws made many at once."""
    fitting = subject.main
    many = fitting.typical
    calls = [fitting.sampled(fitting.y, FEW, seed=100 + call) for call in range(CALLS)]
    if torch.equal(calls[0], calls[1]):
        raise NotApplicableError("every call gives the same draws: see other-seed")
    pairs = torch.stack(calls, 1).flatten(3).double()  # (m, calls, 2, d)
    z = correlated(pairs)
    require(abs(z) < STANDARD_ERRORS, f"draws of one call are correlated: {z:.1f} standard errors")
    if many.shape[1] < ENOUGH:
        return  # too few to have a standard error
    z = standard_errors(many, pairs.flatten(1, 2))
    require(
        z < STANDARD_ERRORS,
        f"moments of {FEW} draws at once and of {many.shape[1]} differ by {z:.1f} standard errors",
    )


def correlated(pairs: Tensor) -> float:
    """The mean product of two draws of a call `(m, calls, 2, d)` in its standard errors."""
    calls = pairs.shape[1]
    centred = pairs - pairs.mean((1, 2), keepdim=True)
    scale = centred.square().mean((0, 1, 2)).sqrt().clamp_min(1e-12)
    first, second = (centred / scale).unbind(2)
    products = (first * second).sum(-1) / pairs.shape[-1]
    expected = -(centred / scale).square().mean() / (2 * calls)  # by taking off the common mean
    gap = products - expected
    return float(gap.mean() / (gap.std() / gap.numel() ** 0.5 + 1e-12))
