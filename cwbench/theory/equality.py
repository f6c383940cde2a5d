"""W_{p,Y}^p is the expected posterior distance E_y[W_p^p(P_{X|Y=y}, P_{Z|Y=y})].

Left, the infimum over 4-plans whose (Y, Y) marginal sits on the diagonal: a transport problem of
the joint samples in which moving y is forbidden. Right, posterior by posterior, in closed form.

Classes have unequal shares, which E_y weighs.

*Plane, p = 2*: three classes with Gaussian posteriors N(m, C) and N(A m + b, A C A), A symmetric
and positive. Samples are whitened to have exactly those moments and mapped by x -> A x + b, the
optimal map (Brenier), so that the finite samples too attain the Bures formula.

*Line, all p*: N(m_1, s_1^2) and N(m_2, s_2^2) pair by quantiles, so
W_p^p = E|m_1 - m_2 + (s_1 - s_2) E|^p with E standard normal. Samples are the quantiles at
(i - 1/2) / n.
"""

from __future__ import annotations

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from scipy.stats import norm

from cwbench.ot import (
    bures_wasserstein_squared,
    conditional_wasserstein_power,
    joint_transport,
)
from cwbench.ot.checks import Float64
from cwbench.style import DPI, PALETTE, style
from cwbench.theory.statement import Check, Outcome, at_least, close

SHARES, PER_CLASS = (1, 2, 4), 60
"""How often each class of the plane comes, and how often that is at the rarest."""

LINE_SHARES, QUANTILES = (1, 3), 200
"""The same on the line."""

EXPONENTS = (1.0, 2.0, 3.0)
LINES = 8
FORBIDDEN = 1e6


def outcome() -> Outcome:
    """The equality on planes and lines."""
    rng = np.random.default_rng(0)
    pairs = {p: [_line(rng, p) for _ in range(LINES)] for p in EXPONENTS}
    checks = [*_plane(rng)]
    for p, found in pairs.items():
        worst = max(found, key=lambda one: abs(one[0] / one[1] - 1))
        checks.append(close(f"line, p = {p:g}, worst of {LINES} cases", *worst, relative=0.03))
    text = (
        "The distance between joint laws that may not move mass in y is the average over y of the "
        "distances between posteriors; the p-th power stands inside the average."
    )
    title = "W_{p,Y}^p equals the expected posterior distance"
    return Outcome(title, text, checks, _drawn(pairs))


def _plane(rng: np.random.Generator) -> list[Check]:
    x, z, y, parts = [], [], [], []
    for label, share in enumerate(SHARES):
        C, A = _covariance(rng), _covariance(rng)
        m, b = rng.normal(size=(2, 2))
        points = m + _whitened(rng, share * PER_CLASS) @ np.linalg.cholesky(C).T
        x.append(points)
        z.append(points @ A + b)
        y.append(np.full(len(points), label))
        parts.append(bures_wasserstein_squared(m, C, m @ A + b, A @ C @ A))
    x_all, z_all, labels = np.concatenate(x), np.concatenate(z), np.concatenate(y)
    shuffled = rng.permutation(len(labels))
    expected = float(np.average(parts, weights=SHARES))
    averaged = conditional_wasserstein_power(
        x_all, labels, z_all[shuffled], labels[shuffled], p=2.0
    )
    plan = joint_transport(x_all, labels, z_all[shuffled], labels[shuffled], beta=FORBIDDEN)
    outside = float(np.average(np.sqrt(parts), weights=SHARES)) ** 2
    return [
        close("plane, average over y of W_2^2", averaged, expected, relative=1e-6),
        close("plane, 4-plans that keep y", plan.x_cost, expected, relative=1e-6),
        Check("plane, y moved by that plan", plan.y_cost, "exactly 0", plan.y_cost == 0),
        at_least("power inside over power outside the average", expected / outside, 1.005),
    ]


def _covariance(rng: np.random.Generator) -> Float64:
    root = rng.normal(size=(2, 2))
    return np.asarray(root @ root.T / 2 + 0.3 * np.eye(2))


def _whitened(rng: np.random.Generator, n: int) -> Float64:
    """Points `(n, 2)` of mean 0 and covariance 1 to rounding."""
    points = rng.normal(size=(n, 2))
    points -= points.mean(0)
    return np.asarray(points @ np.linalg.inv(np.linalg.cholesky(points.T @ points / n)).T)


def _line(rng: np.random.Generator, p: float) -> tuple[float, float]:
    """W_{p,Y}^p of two classes of quantiles, and its closed form."""
    x, z, exact = [], [], []
    for share in LINE_SHARES:
        n = share * QUANTILES
        normal = norm.ppf((np.arange(n) + 0.5) / n)
        (m_1, m_2), (s_1, s_2) = rng.normal(size=2), rng.uniform(0.3, 1.5, 2)
        x.append(m_1 + s_1 * rng.permutation(normal))
        z.append(m_2 + s_2 * rng.permutation(normal))
        exact.append(_power_of_normal(m_1 - m_2, s_1 - s_2, p))
    y = np.repeat(range(len(LINE_SHARES)), QUANTILES * np.array(LINE_SHARES))
    found = conditional_wasserstein_power(np.concatenate(x), y, np.concatenate(z), y, p=p)
    return found, float(np.average(exact, weights=LINE_SHARES))


def _power_of_normal(mean: float, deviation: float, p: float) -> float:
    """E|mean + deviation E|^p, by quadrature."""
    return float(norm.expect(lambda e: np.abs(mean + deviation * e) ** p))


def _drawn(pairs: dict[float, list[tuple[float, float]]]) -> Figure:
    with style():
        figure = Figure(figsize=(4.2, 3.6), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        for colour, (p, found) in zip(PALETTE, pairs.items(), strict=False):
            value, exact = np.array(found).T
            ax.loglog(exact, value, "o", color=colour, markersize=4, label=f"p = {p:g}")
        low, high = ax.get_xlim()
        ax.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
        ax.set(xlabel="$E_y[W_p^p]$, closed form", ylabel="$W_{p,Y}^p$ of samples")
        ax.legend(frameon=False)
        sns.despine(ax=ax)
    return figure
