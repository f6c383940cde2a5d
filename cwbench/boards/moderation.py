"""Variances between seeds, of many methods at once: each alone is known from two to four degrees.

A variance of three seeds is often small by chance, and a test corrected over many pairs reads just
that tail. Smyth (2004, Statistical Applications in Genetics and Molecular Biology 3:3) takes the
variances of k methods for draws of s0^2 d0 / chi^2_d0 times chi^2_d / d, estimates d0 and s0^2 from
the mean and the spread of their logarithms, and moves each towards s0^2:

    t^2 = (d0 s0^2 + d s^2) / (d0 + d)    with d0 + d degrees of freedom.

Here t^2 is never below the method's own s^2. What a seed does to all methods alike cancels in their
differences, so it is taken off before: s^2 is of a method's means by seed less their mean over
methods, which weighs them by 1 / t^2 (a method that jumps from seed to seed says little of it).
The first mean is a median: equal weights would lend a part of the method that jumps to all others,
whose variances would then look alike and leave the weights as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

LEAST_METHODS = 5
"""Of fewer variances the spread is not known: each method's own is taken."""
ROUNDS = 2
"""In which the weights of the methods are found; more change no rate of error by .5 %."""
MOST_WEIGHT = 0.5
"""Of one method in the mean over methods."""
SMALLEST = 1e-5
"""Of the median: variances below are taken for it, as limma does, since zeros have no logarithm."""


class Moderated(NamedTuple):
    """Variances between seeds and their degrees of freedom, both with shape `(k,)`."""

    variance: Array
    freedom: Array


def moderated(means: Array) -> Moderated | None:
    """The moderated variances, or None where there are too few methods or most do not vary.

    Args:
        means: of each method by seed, its values averaged over observations, `(k, seeds)`; NaN
            where it lacks a seed. Each has two seeds or more.
    """
    if len(means) < LEAST_METHODS:
        return None
    freedom, groups = np.isfinite(means).sum(1) - 1.0, list(_groups(means))
    own = own_variances(groups)
    for _ in range(ROUNDS):
        found = shrunk(own, freedom)
        if found is None:
            return None
        own = own_variances(groups, 1 / found.variance)
    found = shrunk(own, freedom)
    return found and Moderated(np.maximum(found.variance, own), found.freedom)


def shrunk(own: Array, freedom: Array) -> Moderated | None:
    """Variances moved towards s0^2; None where most are 0."""
    least = SMALLEST * np.median(own)
    if not least > 0:
        return None
    d0, s0 = prior(np.maximum(own, least), freedom)
    moved = (d0 * s0 + freedom * own) / (d0 + freedom) if np.isfinite(d0) else 0 * own + s0
    return Moderated(moved, d0 + freedom)


class Group(NamedTuple):
    """Methods on the same seeds, among all that have those seeds.

    `peers` are the numbers of these and `own` says which of them have no other seeds; `centred` are
    their means by seed less each one's mean, `(peers, seeds)`.
    """

    peers: NDArray[np.intp]
    own: NDArray[np.bool_]
    centred: Array


def _groups(means: Array) -> Iterator[Group]:
    present = np.isfinite(means)
    for seeds in np.unique(present, axis=0) if not present.all() else present[:1]:
        peers = np.flatnonzero(present[:, seeds].all(1))
        chosen = means[np.ix_(peers, seeds)]
        centred = chosen - chosen.mean(1, keepdims=True)
        yield Group(peers, (present[peers] == seeds).all(1), centred)


def own_variances(groups: Sequence[Group], weights: Array | None = None) -> Array:
    """Each method's variance between seeds, less what its seeds do to all methods that have them.

    With shares w of the weights, Var(x_a - sum w x) = (1 - w_a) Var(x_a) where they are the inverse
    of the variances; equal ones are so for equal variances.

    Args:
        groups: of all k methods.
        weights: of the methods in the mean over them, positive, `(k,)`; without them a median.
    """
    found = np.empty(sum(int(group.own.sum()) for group in groups))
    for peers, own, centred in groups:
        if weights is None:
            rest = centred - np.median(centred, 0)
            found[peers[own]] = (rest**2).sum(1)[own] / (centred.shape[1] - 1)
            continue
        share = weights[peers] / weights[peers].sum()
        share = np.minimum(share, MOST_WEIGHT) if len(share) > 1 else np.zeros(1)
        rest = centred - share @ centred
        squares = (rest**2).sum(1) / (centred.shape[1] - 1) / (1 - share)
        found[peers[own]] = squares[own]
    return found


def prior(variances: Array, freedom: Array) -> tuple[float, float]:
    """Smyth's moment estimates of d0 and s0^2 from variances above 0, with shape `(k,)`.

    d0 is infinite where chance explains the spread. zeta(2, x) is the trigamma function of x.
    """
    logs = np.log(variances) - special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(logs.var(ddof=1) - special.zeta(2, freedom / 2).mean())
    if excess <= 0:
        return np.inf, float(np.exp(logs.mean()))
    d0 = 2 * inverse_trigamma(excess)
    return d0, float(np.exp(logs.mean() + special.digamma(d0 / 2) - np.log(d0 / 2)))


def inverse_trigamma(value: float) -> float:
    """X with trigamma(x) = value > 0, by Smyth's Newton steps, which cannot overshoot."""
    x = 0.5 + 1 / value
    for _ in range(100):
        trigamma, tetragamma = float(special.zeta(2, x)), -2 * float(special.zeta(3, x))
        step = trigamma * (1 - trigamma / value) / tetragamma
        x += step
        if abs(step) <= 1e-12 * x:
            break
    return x
