"""Critics: W_{1,Y} is the dual over functions Lipschitz in x alone, W_1 over those in (x, y).

    W_{1,Y} = sup over h(x, y) 1-Lipschitz in x for each y of  E h(X, Y) - E h(Z, Y),

with no condition in y; with one, the supremum is W_1 of the joint laws. A critic network is trained
with a penalty lambda E max(|grad h| - 1, 0)^2 on its gradient in x (partial) or (x, y) (full).
Under this soft penalty it is not 1-Lipschitz, and its difference overshoots: for two points W apart
the best slope is s = 1 + W / (2 lambda), a difference of W + W^2 / (2 lambda). Divided by its
largest slope, on held-out points, on segments between the laws and on optimal pairs, the difference
is a lower bound of the distance and approaches it.

Y is uniform on [0, 1), X = sin(2 pi y) under the one law and -sin(2 pi y) under the other:
E_y[W_1] = 2 E|sin| = 4 / pi, and the joint W_1 is smaller, since half a period in y repairs x. The
partial critic meets two points at each y, W = 2 |sin|, so that its raw difference comes to
E[W + W^2 / (2 lambda)] = 4 / pi + 1 / lambda.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import seaborn as sns
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from cwbench.ot import conditional_wasserstein_power, joint_transport, wasserstein_power
from cwbench.ot.adam import Adam
from cwbench.style import DPI, EXACT, MODEL, style
from cwbench.theory.statement import Check, Outcome, at_least, at_most, close

POINTS, HELD_OUT = 256, 200
STEPS, WIDTH, LEARNING_RATE = 1_500, 64, 1e-2
PENALTY = 5.0
TIGHT = 0.8
"""Share of the distance that the divided difference has to reach."""

ELSEWHERE = 0.99
"""Share of a critic's slopes at places of their own that its largest slope has to reach."""

Critic = Callable[[Tensor], Tensor]


class Laws(NamedTuple):
    """Rows (x, y) under the two laws, in the same order of y, with shape `(n, 2)`."""

    P: Tensor
    Q: Tensor


class Estimate(NamedTuple):
    """The critic's difference, its largest slope, that elsewhere, and its difference in training.

    The slope elsewhere is one of differences of values, not of gradients.
    """

    difference: float
    slope: float
    elsewhere: float
    raw: float


def outcome(steps: int = STEPS, seed: int = 0) -> Outcome:
    """Both critics against both distances, and the overshoot in closed form."""
    conditional, joint = distances(laws(HELD_OUT, offset=0.5))
    found = {
        full: estimate(train(full=full, steps=steps, seed=seed), full=full)
        for full in (False, True)
    }
    checks = [
        close("E_y[W_1] of the held-out points", conditional, 4 / math.pi, relative=0.01),
        at_most("joint W_1 over W_{1,Y}", joint / conditional, 0.6),
        *partial_checks(found[False], conditional),
        *full_checks(found[True], joint),
        *overshoots(),
    ]
    text = (
        "A critic penalised in x estimates the posterior distance, one penalised in (x, y) the "
        "smaller joint distance. Hatched: the raw difference under the soft penalty; filled: "
        "divided by the critic's largest slope; lines: the exact distances."
    )
    title = "Critics Lipschitz in x estimate W_{1,Y}, those in (x, y) the joint W_1"
    return Outcome(title, text, checks, _drawn(found, conditional, joint))


def laws(n: int, offset: float) -> Laws:
    """Both laws on the grid (i + offset) / n of y."""
    y = (torch.arange(n) + offset) / n
    x = torch.sin(2 * math.pi * y)
    return Laws(torch.stack([x, y], 1), torch.stack([-x, y], 1))


def distances(points: Laws) -> tuple[float, float]:
    """W_{1,Y} and the joint W_1 of the points, exactly."""
    P, Q = points
    conditional = conditional_wasserstein_power(P[:, :1], P[:, 1:], Q[:, :1], Q[:, 1:], p=1)
    return conditional, wasserstein_power(P, Q, p=1)


def estimate(critic: nn.Module, *, full: bool) -> Estimate:
    """Judge a critic on held-out points."""
    training, held_out = laws(POINTS, offset=0.0), laws(HELD_OUT, offset=0.5)
    with torch.no_grad():
        raw, difference = (
            float((critic(points.P) - critic(points.Q)).mean()) for points in (training, held_out)
        )
    slope = largest_slope(critic, held_out, full=full)
    return Estimate(difference, slope, _slope_elsewhere(critic, full=full), raw)


def slopes(critic: Critic, at: Tensor, *, full: bool, graph: bool = False) -> Tensor:
    """|grad h| in x, or in (x, y), at rows (x, y); `(n,)`."""
    at = at.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(at).sum(), at, create_graph=graph)
    return gradient.norm(dim=1) if full else gradient[:, 0].abs()


def penalised(critic: Critic, points: Laws, at: Tensor, *, full: bool, penalty: float) -> Tensor:
    """The critic's objective: its difference less the penalty on slopes at rows `at`."""
    difference = (critic(points.P) - critic(points.Q)).mean()
    excess = (slopes(critic, at, full=full, graph=True) - 1).clamp(min=0)
    value: Tensor = difference - penalty * excess.square().mean()
    return value


def train(*, full: bool, steps: int, seed: int = 0) -> nn.Module:
    """A critic trained on the grid."""
    points = laws(POINTS, offset=0.0)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic = nn.Sequential(
            nn.Linear(2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1)
        )
    generator = torch.Generator().manual_seed(seed)
    optimiser = Adam(critic.parameters(), LEARNING_RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * (1 - step / steps)
        at = _segments(points, generator, full=full)
        loss = -penalised(critic, points, at, full=full, penalty=PENALTY)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return critic


def _segments(points: Laws, generator: torch.Generator, *, full: bool) -> Tensor:
    """Points between the laws: at equal y for the partial penalty, between any for the full one."""
    u = torch.rand(len(points.P), 1, generator=generator)
    order = torch.randperm(len(points.P), generator=generator)
    return torch.lerp(points.P, points.Q[order] if full else points.Q, u)


def largest_slope(critic: nn.Module, points: Laws, *, full: bool) -> float:
    """Over the points, over segments at equal y, and over segments between optimal pairs."""
    generator = torch.Generator().manual_seed(1)
    sigma = torch.from_numpy(
        joint_transport(
            points.P[:, :1], points.P[:, 1:], points.Q[:, :1], points.Q[:, 1:], p=1
        ).sigma
    )
    seen = [points.P, points.Q]
    for target in (points.Q, points.Q[sigma]):
        seen += [torch.lerp(points.P, target, u) for u in torch.linspace(0, 1, 21)]
    if full:
        seen += [_segments(points, generator, full=True) for _ in range(20)]
    return float(slopes(critic, torch.cat(seen), full=full).max())


def _slope_elsewhere(critic: nn.Module, *, full: bool, step: float = 1e-3) -> float:
    """The largest slope between the laws at other y, by central differences."""
    points, generator = laws(4 * HELD_OUT, offset=0.3), torch.Generator().manual_seed(2)
    at = torch.cat([_segments(points, generator, full=full) for _ in range(10)])
    with torch.no_grad():
        gradient = torch.cat([critic(at + e) - critic(at - e) for e in step * torch.eye(2)], 1)
    kept = gradient if full else gradient[:, :1]
    return float(kept.norm(dim=1).max()) / (2 * step)


def partial_checks(found: Estimate, distance: float) -> list[Check]:
    """The partial critic's numbers, held to W_{1,Y}."""
    raw = 4 / math.pi + 1 / PENALTY
    return [
        *_held("partial critic", "W_{1,Y}", found, distance),
        close("partial critic, raw difference", found.raw, raw, relative=0.03),
    ]


def full_checks(found: Estimate, distance: float) -> list[Check]:
    """The full critic's numbers, held to the joint W_1."""
    raw = found.raw / distance
    return [
        *_held("full critic", "the joint W_1", found, distance),
        at_least("full critic, raw difference over the joint W_1", raw, 1.03),
        at_most("full critic, the same from above", raw, 1.15),
    ]


def _held(critic: str, distance_named: str, found: Estimate, distance: float) -> list[Check]:
    divided = found.difference / found.slope / distance
    what = f"{critic} over its slope, to {distance_named}"
    return [
        at_most(f"{what} from below", divided, 1.0),
        at_least(f"{what}, close to it", divided, TIGHT),
        at_least(f"{critic}, largest slope over that elsewhere",
                 found.slope / found.elsewhere, ELSEWHERE),
    ]  # fmt: skip


def overshoots() -> list[Check]:
    """The raw difference of two points under several penalties."""
    return [_overshoot(W, penalty) for W, penalty in ((1.0, 0.05), (2.0, 1.0), (1.0, 1e-4))]


def _overshoot(W: float, penalty: float) -> Check:
    """The penalised maximum over linear critics s x on two points W apart, by Newton's method."""
    points = Laws(torch.tensor([[W, 0.0]]).double(), torch.zeros(1, 2).double())
    slope = torch.full((), 2.0, dtype=torch.float64, requires_grad=True)

    def critic(rows: Tensor) -> Tensor:
        return slope * rows[:, :1]

    for _ in range(3):  # the objective is quadratic: the first step arrives
        value = penalised(critic, points, points.P, full=False, penalty=penalty)
        (first,) = torch.autograd.grad(value, slope, create_graph=True)
        (second,) = torch.autograd.grad(first, slope)
        with torch.no_grad():
            slope -= first / second
    raw = float(slope.detach()) * W
    what = f"raw difference of two points {W:g} apart, lambda = {penalty:g}"
    return close(what, raw, W + W**2 / (2 * penalty), relative=1e-6)


def _drawn(found: dict[bool, Estimate], conditional: float, joint: float) -> Figure:
    with style():
        figure = Figure(figsize=(7.2, 3.2), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        P, Q = (rows.numpy() for rows in laws(64, 0.5))
        left.plot(P[:, 1], P[:, 0], ".", color=EXACT, label="P")
        left.plot(Q[:, 1], Q[:, 0], ".", color=MODEL, label="Q")
        left.set(xlabel="y", ylabel="x")
        left.legend(frameon=False)
        at = np.arange(2)
        raw = [one.raw for one in found.values()]
        divided = [one.difference / one.slope for one in found.values()]
        right.bar(at - 0.2, raw, 0.35, color="white", edgecolor="0.3", hatch="///", label="raw")
        right.bar(at + 0.2, divided, 0.35, color=EXACT, label="over largest slope")
        for centre, distance in zip(at, (conditional, joint), strict=True):
            label = None if centre else "distance of the laws"
            right.hlines(distance, centre - 0.45, centre + 0.45, color=MODEL, label=label)
        right.set_xticks(at, ["partial\nagainst $W_{1,Y}$", "full\nagainst joint $W_1$"])
        right.set(ylabel="critic's difference of means", ylim=(0, 1.4 * max(raw)))
        right.legend(frameon=False)
        for ax in (left, right):
            sns.despine(ax=ax)
    return figure
