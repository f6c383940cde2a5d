"""Statistics of samples that the checks decide by."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

STRETCH = 50
"""Samples in a row that come again only if a stream of noise was used twice."""


def explained(samples: Tensor) -> float:
    """Share of the variance of samples `(m, n, *x_shape)` that lies between observations."""
    flat = samples.flatten(2).double()
    between = flat.mean(1).var(0, unbiased=False).sum()
    total = flat.flatten(0, 1).var(0, unbiased=False).sum()
    return float(between / total) if total > 0 else 0.0


def correlation(a: Tensor, b: Tensor) -> float:
    """Correlation over observations of two vectors each, `(m, d)`, all entries together."""
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt().clamp_min(1e-300))


def standard_errors(a: Tensor, b: Tensor) -> float:
    """Largest difference of first and second moments of samples, in standard errors.

    Args:
        a: samples with shape `(m, n, *x_shape)`.
        b: samples with shape `(m, k, *x_shape)`, of the same laws if the result is small.
    """
    a, b = a.flatten(2).double(), b.flatten(2).double()
    centre = a.mean(1, keepdim=True)
    a, b = (torch.cat([part, (part - centre).square()], -1) for part in (a, b))
    scale = a.abs().amax(1).clamp_min(1e-12)
    variance = a.var(1) / a.shape[1] + b.var(1) / b.shape[1]
    error = variance.sqrt() + 1e-6 * scale
    return float(((a.mean(1) - b.mean(1)).abs() / error).max())


def repeated(row: Tensor) -> int:
    """The lag at which the first `STRETCH` of the samples `(n, d)` come again, else 0."""
    first = row[:STRETCH]
    if len(first.unique(dim=0)) == 1:
        return 0  # a point mass repeats itself by right
    for lag in (row[1:] == row[0]).all(1).nonzero().flatten().add(1).tolist():
        if lag + STRETCH <= len(row) and torch.equal(row[lag : lag + STRETCH], first):
            return int(lag)
    return 0


def same(first: Any, again: Any) -> bool:
    """Whether two outputs of a plugin, tensors or arrays, hold the same numbers, NaN included."""
    one, other = (torch.as_tensor(part) for part in (first, again))
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
