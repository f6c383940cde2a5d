"""The inverse of a masked autoregressive transform, an entry of x at a time.

y_j = f(x_j; phi_j), where the network gives phi_j from the entries before x_j alone. zuko evaluates
the whole network and all splines once for each entry, and one entry is new each time.
Here each entry costs the hidden layers and its own rows of the last one: the same x up to rounding,
with less work by about the number of entries where the last layer is most of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.utils import unpack


def inverted(transforms: nn.ModuleList, c: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The x with f_L(...f_1(x)) = z, and log |det dz/dx| there, `(n,)`.

    Args:
        transforms: f_1 to f_L of a zuko flow.
        c: what they are conditioned on, with shape `(n, d_c)`.
        z: with shape `(n, d)`.
    """
    volume = torch.zeros_like(z[:, 0])
    for f in reversed(transforms):
        if isinstance(f, MaskedAutoregressiveTransform):
            z, change = _inverted(f, c, z)
        else:  # of a single entry
            forward = f(c)
            x = forward.inv(z)
            z, change = x, forward.log_abs_det_jacobian(x, z)
        volume = volume + change
    return z, volume


def _inverted(f: Any, c: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """That of one transform, whose order of entries is `f.order`."""
    first, *hidden, last = f.hyper
    weights, rows = first.mask * first.weight, last.mask * last.weight
    size = y.shape[1]
    seen = nn.functional.linear(c, weights[:, size:], first.bias)  # what the first layer has so far
    x, volume = torch.empty_like(y), torch.zeros_like(y[:, 0])
    for j in f.order.argsort().tolist():
        own = slice(j * f.total, (j + 1) * f.total)
        h = seen
        for layer in hidden:
            h = layer(h)
        spline = f.univariate(*unpack(nn.functional.linear(h, rows[own], last.bias[own]), f.shapes))
        x[:, j] = spline.inv(y[:, j])
        volume = volume + spline.log_abs_det_jacobian(x[:, j], y[:, j])
        seen = torch.addr(seen, x[:, j], weights[:, j])
    return x, volume
