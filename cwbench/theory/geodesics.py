"""Geodesics of W_{2,Y}: constant speed, and a velocity without y-component.

Along an optimal conditional plan of (y, z, x) the curve mu_t = law of (y, (1 - t) z + t x) has

    W_{2,Y}(mu_s, mu_t) = |t - s| W_{2,Y}(mu_0, mu_1),

from the latents at t = 0 to the data at t = 1; its velocity (0, x - z) has the mean square
W_{2,Y}^2(mu_0, mu_1) at every t, and it moves no y. The plan as drawn is no geodesic, its energy is
larger; nor is the optimal plan of the joint laws, which moves y. All hold exactly between finite
samples that share their y.
"""

from __future__ import annotations

import math

import numpy as np
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch import Tensor

from cwbench.ot import (
    ConditionalOT,
    conditional_wasserstein_power,
    geodesic,
    joint_transport,
)
from cwbench.style import DPI, PALETTE, style
from cwbench.theory.statement import Outcome, at_least, at_most, close

SIZES = (30, 60, 90)
"""Points of each class."""

TIMES = (0.0, 0.1, 0.35, 0.5, 0.8, 1.0)
STEP = 1e-3


def outcome() -> Outcome:
    """Speed, energy and velocity along the conditional plan."""
    z, x, y = _joint()
    sigma = ConditionalOT(math.inf)(z, x, y)
    moved = (y[sigma] != y).double().mean()
    target, power = x[sigma], conditional_wasserstein_power(z, y, x, y)

    def point(t: float) -> Tensor:
        return geodesic(z, target, torch.full((len(z),), t, dtype=z.dtype)).point

    deviation, speeds = 0.0, []
    for s in TIMES:
        for t in TIMES:
            if s < t:
                part = conditional_wasserstein_power(point(s), y, point(t), y)
                deviation = max(deviation, abs(math.sqrt(part / power) / (t - s) - 1))
        speeds.append(math.sqrt(conditional_wasserstein_power(point(0.0), y, point(s), y)))
    velocity = geodesic(z, target, torch.full((len(z),), 0.5, dtype=z.dtype)).velocity
    difference = (point(0.5 + STEP) - point(0.5)) / STEP
    error = float((difference - velocity).abs().max())
    energy = float(velocity.square().sum(1).mean())
    ends = float(torch.stack([point(0.0) - z, point(1.0) - target]).abs().max())
    joint = joint_transport(z, y.double(), x, y.double(), beta=0.1)
    checks = [
        at_most("largest deviation of the speed from constant", deviation, 1e-6),
        close("mean square of the velocity", energy, power, relative=1e-6),
        at_most("velocity less the difference quotient of x_t", error, 1e-9),
        at_most("x_0 less the latents, x_1 less the data", ends, 1e-12),
        at_most("share of y that moves", float(moved), 0.0),
        at_least("y moved by the joint plan at beta = 0.1", joint.y_cost, 0.1),
        at_least("energy of the pairing as drawn over W_{2,Y}^2",
                 float((x - z).square().sum(1).mean()) / power, 1.1),
    ]  # fmt: skip
    text = (
        "Left: paths of the conditional plan, one colour a class; mass never changes its class. "
        "Right: the distance from the start grows linearly in t."
    )
    return Outcome(
        "Geodesics have constant speed and do not move y",
        text,
        checks,
        _drawn(z, target, y, speeds),
    )


def _joint() -> tuple[Tensor, Tensor, Tensor]:
    """Latents, data and classes: Gaussian latents, data on an arc for each class."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
    z = torch.randn(len(y), 2, generator=generator, dtype=torch.float64)
    angle = 2 * math.pi * (y + 0.8 * torch.rand(len(y), generator=generator)) / len(SIZES)
    x = 4 * torch.stack([angle.cos(), angle.sin()], 1).double()
    order = torch.randperm(len(y), generator=generator)
    return z, x[order], y[order]


def _drawn(z: Tensor, x: Tensor, y: Tensor, speeds: list[float]) -> Figure:
    with style():
        figure = Figure(figsize=(7.2, 3.4), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        for label in range(len(SIZES)):
            rows, colour = y == label, PALETTE[label]
            paths = np.stack([z[rows].numpy(), x[rows].numpy()])
            left.plot(paths[:, :, 0], paths[:, :, 1], color=colour, linewidth=0.5, alpha=0.6)
            left.plot(*paths[1].T, ".", color=colour, markersize=3)
        left.set(xlabel="x_1", ylabel="x_2", aspect="equal")
        right.plot(TIMES, speeds, "o-", color=PALETTE[0])
        right.set(xlabel="t", ylabel=r"$W_{2,Y}(\mu_0, \mu_t)$")
        for ax in (left, right):
            sns.despine(ax=ax)
    return figure
