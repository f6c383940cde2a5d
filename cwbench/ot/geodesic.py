"""Geodesics of the conditional Wasserstein distance.

Along an optimal conditional plan of (y, z, x) the curve x_t = (1-t) z + t x is a geodesic of
W_{2,Y}: its speed is constant and its velocity x - z has no component in y. t = 0 is the latent
end, t = 1 the data end.

Source: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl, Wald, 2025) https://arxiv.org/abs/2403.18705
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Geodesic(NamedTuple):
    """`point` x_t and `velocity` x - z, both with shape `(n, *x_shape)`."""

    point: Tensor
    velocity: Tensor


def geodesic(z: Tensor, x: Tensor, t: Tensor) -> Geodesic:
    """The point at time t of the straight line from z to x, and its velocity.

    Args:
        z: latents with shape `(n, *x_shape)`, reached at t = 0.
        x: data with shape `(n, *x_shape)`, reached at t = 1.
        t: times with shape `(n,)`.

    Raises:
        ValueError: if the shapes do not match.
    """
    if z.shape != x.shape or t.shape != x.shape[:1]:
        raise ValueError(
            f"z {tuple(z.shape)} and x {tuple(x.shape)} must have one shape, and t "
            f"{tuple(t.shape)} their first axis"
        )
    t = t.reshape(-1, *[1] * (x.ndim - 1))
    return Geodesic((1 - t) * z + t * x, x - z)
