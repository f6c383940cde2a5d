"""W_{p,beta} rises to W_{p,Y} with beta, and optimal plans stop moving y (Propositions 10 and 12).

Y ~ N(0, 1), X = a Y + s E and Z ~ N(0, 1) independent of Y. Then W_{2,Y}^2 = a^2 + (1 - s)^2. With
y scaled by sqrt(beta) both joint laws are Gaussian, so W_{2,beta}^2 is a Bures distance and the
y-transport E|y - y'|^2 that of the linear optimal map. Since the plan that keeps y is allowed,

    beta E|y - y'|^2 <= W_{2,beta}^2 <= W_{2,Y}^2:

the y-transport falls at least as 1 / beta.

From n samples, where every y occurs once, the order of limits matters. With n fixed, beta ->
infinity gives the diagonal plan, which is the random pairing (Example 1): its cost tends to
E|X - Z|^2 = a^2 + s^2 + 1, not to W_{2,Y}^2. Along beta_n = sqrt(n), which grows with n, the
transport in x tends to W_{2,Y}^2 (Proposition 12).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from cwbench.ot import (
    bures_wasserstein_squared,
    conditional_wasserstein_power,
    gaussian_transport,
    joint_transport,
)
from cwbench.ot.checks import Float64
from cwbench.style import DPI, PALETTE, style
from cwbench.theory.statement import Check, Outcome, at_most, close, falls

SLOPE, NOISE = 1.0, 0.5
LIMIT = SLOPE**2 + (1 - NOISE) ** 2
DIAGONAL = SLOPE**2 + NOISE**2 + 1
BETAS = tuple(float(beta) for beta in 10.0 ** np.arange(-1, 4.5, 0.5))
REPEATS = {64: 40, 256: 16, 1024: 6}
"""Samples drawn of each size."""


class Curve(NamedTuple):
    """W_{2,beta}^2 and its parts E|x - x'|^2 and E|y - y'|^2, each with shape `(betas,)`."""

    total: Float64
    x: Float64
    y: Float64


def outcome() -> Outcome:
    """Closed form, samples of several sizes, and the diagonal plan."""
    exact = Curve(*np.array([_closed_form(beta) for beta in BETAS]).T)
    sampled = {n: _sampled(n, repeats) for n, repeats in REPEATS.items()}
    along = {n: _along(n, repeats) for n, repeats in REPEATS.items()}
    checks = [*_closed_form_checks(exact), *_sample_checks(exact, sampled), *_limits(along)]
    text = (
        "Left: the relaxed distance rises to W_{2,Y}^2 (dashed) in closed form (black); with n "
        "samples it overshoots as beta grows and ends at the diagonal plan (dotted). Right: the "
        "transport in y falls at least as 1 / beta (dashed bound)."
    )
    title = "W_{p,beta} rises to W_{p,Y}; samples need beta to grow slowly"
    return Outcome(title, text, checks, _drawn(exact, sampled))


def _closed_form(beta: float) -> tuple[float, float, float]:
    """W_{2,beta}^2, E|x - x'|^2 and E|y - y'|^2 in closed form."""
    scale = np.diag([np.sqrt(beta), 1.0])
    C_x = scale @ np.array([[1, SLOPE], [SLOPE, SLOPE**2 + NOISE**2]]) @ scale
    C_z = scale @ np.eye(2) @ scale
    total = bures_wasserstein_squared(np.zeros(2), C_x, np.zeros(2), C_z)
    moved = np.eye(2) - gaussian_transport(C_x, C_z)
    parts = np.diagonal(moved @ C_x @ moved.T)
    return total, float(parts[1]), float(parts[0]) / beta


def _draw(n: int, repeat: int) -> tuple[Float64, Float64, Float64]:
    """x, z and y with shape `(n,)`."""
    rng = np.random.default_rng([n, repeat])
    y, e, z = rng.normal(size=(3, n))
    return SLOPE * y + NOISE * e, z, y


def _sampled(n: int, repeats: int) -> Curve:
    """Means over draws of n samples, and over the last of BETAS the diagonal plan."""
    found = []
    for repeat in range(max(1, repeats // 4)):
        x, z, y = _draw(n, repeat)
        plans = [joint_transport(x, y, z, y, beta=beta) for beta in BETAS]
        found.append([(plan.cost, plan.x_cost, plan.y_cost) for plan in plans])
    return Curve(*np.mean(found, axis=0).T)


def _along(n: int, repeats: int) -> tuple[float, float]:
    """Mean transport in x at beta = sqrt(n), and mean cost of the diagonal plan."""
    at, diagonal = [], []
    for repeat in range(repeats):
        x, z, y = _draw(n, repeat)
        at.append(joint_transport(x, y, z, y, beta=float(np.sqrt(n))).x_cost)
        diagonal.append(conditional_wasserstein_power(x, y, z, y))
    return float(np.mean(at)), float(np.mean(diagonal))


def _closed_form_checks(exact: Curve) -> list[Check]:
    bound = max(b * y / t for b, y, t in zip(BETAS, exact.y, exact.total, strict=True))
    return [
        falls("closed form, W_{2,Y}^2 less W_{2,beta}^2", list(LIMIT - exact.total), by=1e3),
        close("closed form, W_{2,beta}^2 at the largest beta", exact.total[-1], LIMIT,
              relative=1e-3),
        falls("closed form, transport in y", list(exact.y), by=1e4),
        at_most("largest beta E|y - y'|^2 over W_{2,beta}^2", float(bound), 1.0),
        close("its parts add up", float(exact.x[4] + BETAS[4] * exact.y[4]), exact.total[4],
              relative=1e-9),
    ]  # fmt: skip


def _sample_checks(exact: Curve, sampled: dict[int, Curve]) -> list[Check]:
    largest = max(sampled)
    middle = BETAS.index(1.0)
    return [
        *[falls(f"n = {n}, transport in y", list(c.y), by=100) for n, c in sampled.items()],
        *[falls(f"n = {n}, 1 / W_{{2,beta}}^2", list(1 / c.total)) for n, c in sampled.items()],
        close(f"n = {largest}, W_{{2,beta}}^2 at beta = 1", sampled[largest].total[middle],
              exact.total[middle], relative=0.1),
    ]  # fmt: skip


def _limits(along: dict[int, tuple[float, float]]) -> list[Check]:
    errors = [abs(at - LIMIT) for at, _ in along.values()]
    checks = [
        falls("distance of the x-transport at beta = sqrt(n) from W_{2,Y}^2", errors, by=2),
        at_most("the same at the largest n, over W_{2,Y}^2", errors[-1] / LIMIT, 0.1),
    ]
    for n, (_, diagonal) in along.items():
        what = f"n = {n}, cost of the diagonal plan (Example 1)"
        checks.append(close(what, diagonal, DIAGONAL, relative=0.1))
    return checks


def _drawn(exact: Curve, sampled: dict[int, Curve]) -> Figure:
    with style():
        figure = Figure(figsize=(7.2, 3.2), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        for colour, (n, curve) in zip(PALETTE, sampled.items(), strict=False):
            left.semilogx(BETAS, curve.total, ".-", color=colour, label=f"n = {n}")
            right.loglog(BETAS, np.maximum(curve.y, 1e-9), ".-", color=colour, label=f"n = {n}")
        left.semilogx(BETAS, exact.total, color="k", label="closed form")
        for height, line, name in (
            (DIAGONAL, ":", "the diagonal plan"),
            (LIMIT, "--", "$W_{2,Y}^2$"),
        ):
            left.axhline(height, color="0.4", linestyle=line, linewidth=0.8)
            left.text(BETAS[0], height, name, va="bottom", color="0.3")
        left.set(xlabel=r"$\beta$", ylabel=r"$W_{2,\beta}^2$")
        right.loglog(BETAS, exact.y, color="k", label="closed form")
        right.loglog(BETAS, LIMIT / np.array(BETAS), color="0.4", linestyle="--", linewidth=0.8)
        right.text(BETAS[5], 2 * LIMIT / BETAS[5], r"$W_{2,Y}^2 / \beta$", va="bottom", color="0.3")
        right.set(xlabel=r"$\beta$", ylabel="$E|y - y'|^2$", ylim=(1e-9, 10))
        left.legend(frameon=False)
        for ax in (left, right):
            sns.despine(ax=ax)
    return figure
