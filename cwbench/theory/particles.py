"""Class-conditional particle flow on digits: small beta leaves labels wrong, large beta does not.

Particles (x_i, c_i) with fixed labels descend the debiased entropic cost to the data (x_j, c_j),

    S(a, b) = OT_eps(a, b) - OT_eps(a, a) / 2 - OT_eps(b, b) / 2,
    cost (|x - x'|^2 + beta |c - c'|^2) / 2,  c one-hot,

whose gradient in x_i is T_aa(x_i) - T_ab(x_i) over the number of particles, T the barycentric
projection of the entropic plan. That it is the gradient shows in the energy: what S loses along the
way is the integral of the squared gradient, here by the trapezoid rule over the steps.

With small beta transport goes where x is near and the images do not show the digit they are
labelled with; with large beta it stays inside the class and approximates the flow of W_{2,Y}. A
classifier of nearest neighbours among other images of the same set judges.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from cwbench.ot import label_cost
from cwbench.ot.checks import Float64, Int64
from cwbench.style import DPI, style
from cwbench.theory.statement import Check, Outcome, at_least, at_most, close, falls

CLASSES, PER_CLASS, SHOWN = 10, 20, 8
STEPS, LEARNING_RATE = 30, 0.6
EPSILON = 0.1
ITERATIONS = 60
BETAS = (0.01, 100.0)


class Digits(NamedTuple):
    """Images `(n, 64)` scaled to [0, 1], with labels `(n,)`."""

    x: Float64
    c: Int64


class Flow(NamedTuple):
    """Where the particles ended; at each step the mean square of the gradient, and S.

    `descent` is what S loses by the gradients; S itself misses a constant of the data.
    """

    x: Float64
    gradients: list[float]
    energies: list[float]
    descent: float


def outcome(steps: int = STEPS, per_class: int = PER_CLASS, seed: int = 0) -> Outcome:
    """Both flows from one start, judged by a classifier."""
    data, others = _digits(per_class)
    rng = np.random.default_rng(seed)
    start = data.x.mean() + 0.3 * rng.normal(size=data.x.shape)
    labels = np.repeat(np.arange(CLASSES), per_class)
    flows = {beta: flow(start, labels, data, beta, steps=steps) for beta in BETAS}
    right = {beta: _accuracy(one.x, labels, others) for beta, one in flows.items()}
    own = _accuracy(data.x, data.c, others)
    small, large = BETAS
    checks = [
        at_least(
            f"labels right at beta = {large:g}, over those of the data", right[large] / own, 0.95
        ),
        at_most(f"labels right at beta = {small:g}", right[small], 0.3),
        *[check for beta, one in flows.items() for check in _descends(one, beta)],
    ]
    text = (
        f"Each row is a label, each image a particle: at beta = {small:g} (left) "
        f"{right[small]:.0%} show their label, at beta = {large:g} (right) {right[large]:.0%}."
    )
    title = "Particle flow: only a large beta keeps the labels"
    return Outcome(title, text, checks, _drawn(flows))


def _descends(one: Flow, beta: float) -> list[Check]:
    """The flow is one of steepest descent: of S, along its gradient, to where that is 0."""
    lost = one.energies[0] - one.energies[-1]
    ends = [one.gradients[0], one.gradients[-1]]
    return [
        falls(f"mean square of the gradient at beta = {beta:g}", ends, by=1e3),
        close(f"what S loses at beta = {beta:g}", lost, one.descent, relative=0.03),
    ]


def _digits(per_class: int) -> tuple[Digits, Digits]:
    """`per_class` images of each class as data, and the rest for the classifier."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    chosen = np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(CLASSES)])
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    return Digits(images[chosen] / 16, labels[chosen]), Digits(images[rest] / 16, labels[rest])


def flow(x: Float64, c: Int64, data: Digits, beta: float, *, steps: int) -> Flow:
    """Descend from x `(n, 64)` with labels `c`, step by step."""
    apart = beta * label_cost_between(c, data.c)
    own = beta * label_cost_between(c, c)
    potentials = [np.zeros(len(x)), np.zeros(len(x))]
    gradients, energies = [], []
    for _ in range(steps):
        to_data, potentials[0], cost = barycentres(x, data.x, apart, potentials[0])
        to_self, potentials[1], own_cost = barycentres(x, x, own, potentials[1])
        gradients.append(to_self - to_data)
        energies.append(cost - own_cost / 2)
        x = x - LEARNING_RATE * gradients[-1]
    descent = sum(_inner(g, (g + after) / 2) for g, after in pairwise(gradients))
    return Flow(x, [_inner(g, g) for g in gradients], energies, LEARNING_RATE * descent)


def _inner(a: Float64, b: Float64) -> float:
    """The inner product, a mean over particles."""
    return float((a * b).sum(1).mean())


def label_cost_between(a: Int64, b: Int64) -> Float64:
    """|c - c'|^2 of one-hot labels, `(n, k)`."""
    import torch

    both = torch.from_numpy(np.concatenate([a, b]))
    return np.asarray(label_cost(both)[: len(a), len(a) :])


def barycentres(
    x: Float64, target: Float64, label: Float64, g: Float64
) -> tuple[Float64, Float64, float]:
    """T(x_i), the mean of the entropic plan's row, by Sinkhorn's iterations from the potential g.

    Returns:
        The barycentres with shape of `x`, the potential on the targets, and the entropic cost.
    """
    cost = (cdist(x, target, "sqeuclidean") + label) / (2 * EPSILON)
    for _ in range(ITERATIONS):
        f = -_log_mean(g - cost)
        g = -_log_mean((f[:, None] - cost).T)
    rows = np.exp(g - cost - (g - cost).max(1, keepdims=True))
    barycentre = np.asarray(rows / rows.sum(1, keepdims=True) @ target)
    return barycentre, g, EPSILON * float(f.mean() + g.mean())


def _log_mean(exponent: Float64) -> Float64:
    largest = exponent.max(1)
    return np.asarray(largest + np.log(np.exp(exponent - largest[:, None]).mean(1)))


def _accuracy(x: Float64, labels: Int64, others: Digits) -> float:
    """The share of particles whose nearest neighbours have their label."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(5).fit(others.x, others.c)
    return float((classifier.predict(x) == labels).mean())


def _drawn(flows: dict[float, Flow]) -> Figure:
    with style():
        figure = Figure(figsize=(7.2, 4.4), dpi=DPI, layout="constrained")
        for ax, (beta, one) in zip(figure.subplots(1, 2), flows.items(), strict=True):
            images = one.x.reshape(CLASSES, -1, 8, 8)[:, :SHOWN]
            framed = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.3)
            mosaic = framed.transpose(0, 2, 1, 3).reshape(CLASSES * 10, SHOWN * 10)
            ax.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1)
            ax.set_title(f"beta = {beta:g}")
            ax.set_yticks(10 * np.arange(CLASSES) + 4.5, [str(c) for c in range(CLASSES)])
            ax.set_xticks([])
            ax.set_ylabel("label")
    return figure
