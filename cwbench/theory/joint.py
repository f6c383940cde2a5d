"""The joint W_1 is at most the expected posterior W_1, and can be far below it.

Y takes k values i h, h = 1 / k, with equal probability; X = (-1)^i under the one law and
X = -(-1)^i under the other. Every posterior is wrong by 2: E_y[W_1] = 2. But the neighbouring y has
the right x, so it is enough to move y by h: W_1 of the joint laws is h, for k even, and tends to 0.
A method that matches the joint law may be wrong at every observation.

Classes are one-hot vectors, so that |c - c'|^p = 2^(p/2) between two of them. Where each of two
classes has the other's x, 1 apart, a plan moves x at the cost 1 or the class at beta 2^(p/2):
W_{p,beta}^p is the smaller one, and for p = 2 the pairing changes class below beta = 1/2.
"""

from __future__ import annotations

import numpy as np
import seaborn as sns
import torch
from matplotlib.figure import Figure

from cwbench.ot import (
    ConditionalOT,
    changed_pairs,
    conditional_wasserstein_power,
    joint_wasserstein_power,
    wasserstein_power,
)
from cwbench.ot.checks import Float64
from cwbench.style import DPI, EXACT, MODEL, style
from cwbench.theory.statement import Check, Outcome, at_least, at_most, close

COUNTS = (4, 8, 16, 32, 64, 128)
LABELLED = ((1.0, 0.4), (2.0, 0.4), (3.0, 0.3), (2.0, 0.6))
"""Exponents p and weights beta: 2^(p/2) beta is below 1, and above it in the last."""


def outcome() -> Outcome:
    """Both distances as y gets finer."""
    rows = [_distances(k) for k in COUNTS]
    checks = []
    for k, (posterior, joint, relaxed) in zip(COUNTS, rows, strict=True):
        if k in (COUNTS[0], COUNTS[-1]):
            checks += [
                close(f"k = {k}, expected posterior W_1", posterior, 2.0, relative=1e-9),
                close(f"k = {k}, joint W_1", joint, 1 / k, relative=1e-9),
                close(f"k = {k}, W_{{1,beta}} at beta = 1", relaxed, 1 / k, relative=1e-9),
            ]
    checks += _labelled()
    checks.append(at_most("largest joint over posterior distance", _largest_share(), 1.0))
    text = (
        "Every posterior is off by 2 while the joint distance falls as 1 / k: moving y to its "
        "neighbour repairs x. On random laws the joint distance never exceeds the expected one."
    )
    title = "W_1 of the joint laws may be small though every posterior is wrong"
    return Outcome(title, text, checks, _drawn(np.array(rows)))


def _labelled() -> list[Check]:
    """Two classes that have each other's x: what moving a class costs, and when a pairing does."""
    c, x = np.array([0, 1]), np.array([0.0, 1.0])
    checks = []
    for p, beta in LABELLED:
        what = f"two classes, p = {p:g}, W_{{p,beta}}^p at beta = {beta:g}"
        found = joint_wasserstein_power(x, c, 1 - x, c, beta=beta, p=p)
        checks.append(close(what, found, min(1.0, beta * 2 ** (p / 2)), relative=1e-9))
    z, data, y = torch.from_numpy(1 - x)[:, None], torch.from_numpy(x)[:, None], torch.from_numpy(c)
    below, above = (changed_pairs(ConditionalOT(beta)(z, data, y)) for beta in (0.49, 0.51))
    return [
        *checks,
        at_least("pairs that change class at beta = 0.49", below, 1.0),
        at_most("pairs that change class at beta = 0.51", above, 0.0),
    ]


def _laws(k: int) -> tuple[Float64, Float64, Float64]:
    """y, and x under both laws, with shape `(k,)`."""
    y, sign = np.arange(k) / k, np.where(np.arange(k) % 2 == 0, 1.0, -1.0)
    return y, sign, -sign


def _distances(k: int) -> tuple[float, float, float]:
    y, x, z = _laws(k)
    posterior = conditional_wasserstein_power(x, y, z, y, p=1)
    joint = wasserstein_power(np.stack([y, x], 1), np.stack([y, z], 1), p=1)
    return posterior, joint, joint_wasserstein_power(x, y, z, y, beta=1.0, p=1)


def _largest_share() -> float:
    """The largest W_1(joint) / E_y[W_1] over random laws."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(20):
        y = np.repeat(rng.normal(size=6), 10)
        x, z = rng.normal(size=60) + y, rng.normal(size=60) * 0.5
        joint = wasserstein_power(np.stack([y, x], 1), np.stack([y, z], 1), p=1)
        shares.append(joint / conditional_wasserstein_power(x, y, z, y, p=1))
    return max(shares)


def _drawn(rows: Float64) -> Figure:
    with style():
        figure = Figure(figsize=(7.2, 3.0), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        y, x, z = _laws(16)
        left.plot(y, x, "o", color=EXACT, label="P")
        left.plot(y, z, "s", color=MODEL, label="Q", markersize=4)
        left.set(xlabel="y", ylabel="x", ylim=(-1.6, 1.6), title="k = 16")
        left.legend(frameon=False, ncols=2, loc="center")
        right.loglog(COUNTS, rows[:, 0], "o-", color=EXACT, label="expected posterior $W_1$")
        right.loglog(COUNTS, rows[:, 1], "s-", color=MODEL, label="$W_1$ of the joint laws")
        right.set(xlabel="k, values of y", ylabel="distance")
        right.legend(frameon=False)
        for ax in (left, right):
            sns.despine(ax=ax)
    return figure
