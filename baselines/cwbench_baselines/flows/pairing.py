"""Pairing: which latent goes to which data point, and which condition the network is fed.

A flow has one hook, `match(z, x, y) -> Matched`: any law of pairs is allowed that can be drawn from
a batch as drawn, with repetitions, data from outside the batch or weights. Most couplings are
bijections of the batch; `bijection` makes a match of one.

`source` feeds the condition that came with the latent, `target` the one that came with the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import Tensor

from cwbench.method import Diagnostics
from cwbench.ot.coupling import Coupling, changed_pairs

Labels = Literal["source", "target"]


class Matched(NamedTuple):
    """Pairs of latents and data, the i-th of each belonging together.

    Attributes:
        z: latents with shape `(n, *x_shape)`.
        x: data with shape `(n, *x_shape)`.
        y_source: conditions that came with the latents, `(n, *y_shape)` or class labels `(n,)`.
        y_target: conditions that came with the data, likewise.
        changed: the share of latents whose data are not those they were drawn with.
        weight: of each pair in the loss, with shape `(n,)` and mean 1; None weighs all alike.
        sigma: where latent z_i was given x_{sigma(i)} of its own batch, that bijection.
    """

    z: Tensor
    x: Tensor
    y_source: Tensor
    y_target: Tensor
    changed: float
    weight: Tensor | None = None
    sigma: Tensor | None = None


Match = Callable[[Tensor, Tensor, Tensor], Matched]
"""Pairs of a batch (z, x, y) as drawn, where y_i came with x_i."""


def bijection(coupling: Coupling) -> Match:
    """The match that gives latent z_i the data x_{sigma(i)}, with sigma = coupling(z, x, y)."""

    def match(z: Tensor, x: Tensor, y: Tensor) -> Matched:
        sigma = coupling(z, x, y)
        return Matched(z, x[sigma], y, y[sigma], changed_pairs(sigma), sigma=sigma)

    return match


class Pairing(NamedTuple):
    """What a method decides before training.

    Attributes:
        match: pairs a batch.
        labels: which condition of a pair the network is fed.
        facts: what the record says of how the coupling came about, such as a calibrated weight.
    """

    match: Match
    labels: Labels
    facts: Diagnostics = {}  # noqa: RUF012 - read, never changed

    def fed(self, pairs: Matched) -> Tensor:
        """The condition the network is fed."""
        return pairs.y_source if self.labels == "source" else pairs.y_target
