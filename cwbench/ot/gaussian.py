"""Transport between Gaussians in closed form.

W_2^2(N(m1, C1), N(m2, C2)) = |m1-m2|^2 + tr C1 + tr C2 - 2 tr (C1^{1/2} C2 C1^{1/2})^{1/2}, and
the optimal map is m2 + A (x - m1) with A = C1^{-1/2} (C1^{1/2} C2 C1^{1/2})^{1/2} C1^{-1/2}.

Source: On the Bures-Wasserstein distance between positive definite matrices (Bhatia, Jain, Lim,
2019) https://arxiv.org/abs/1712.01504
"""

from __future__ import annotations

import numpy as np
import torch

from cwbench.ot.checks import Array, Float64, as_float64

_ROUNDING = 1e-8
"""Relative to the largest entry: asymmetry and negative eigenvalues below it are noise."""


def bures_wasserstein_squared(
    mean_1: Array, covariance_1: Array, mean_2: Array, covariance_2: Array
) -> float:
    """W_2^2 between two Gaussians, which may be degenerate.

    The trace of the root is the sum of the singular values of C1^{1/2} C2^{1/2}.

    Args:
        mean_1: with shape `(d,)`.
        covariance_1: with shape `(d, d)`, symmetric, positive semi-definite.
        mean_2: with shape `(d,)`.
        covariance_2: with shape `(d, d)`, symmetric, positive semi-definite.

    Raises:
        ValueError: if an input is not finite, shapes do not match, or a covariance is none.
    """
    m1, m2 = as_float64("mean_1", mean_1).ravel(), as_float64("mean_2", mean_2).ravel()
    C1, C2 = _covariance("covariance_1", covariance_1), _covariance("covariance_2", covariance_2)
    if not len(m1) == len(m2) == len(C1) == len(C2):
        raise ValueError(
            f"means and covariances must have one dimension, not {len(m1)}, {len(C1)}, "
            f"{len(m2)}, {len(C2)}"
        )
    overlap = np.linalg.svd(_root(C1) @ _root(C2), compute_uv=False).sum()
    squared = np.sum((m1 - m2) ** 2) + np.trace(C1) + np.trace(C2) - 2 * overlap
    return max(0.0, float(squared))


def gaussian_transport(covariance_1: Array, covariance_2: Array) -> Float64:
    """The symmetric A with A C1 A = C2: the optimal linear map from N(0, C1) to N(0, C2), `(d, d)`.

    Args:
        covariance_1: with shape `(d, d)`, symmetric, positive semi-definite.
        covariance_2: with shape `(d, d)`, symmetric, positive semi-definite.

    Raises:
        ValueError: if an input is not finite, not a covariance, or if no linear map exists because
            C1 is degenerate where C2 is not.
    """
    C1, C2 = _covariance("covariance_1", covariance_1), _covariance("covariance_2", covariance_2)
    noise = max(_noise(covariance_1), _noise(covariance_2))
    if C1.shape != C2.shape:
        raise ValueError(f"covariances have shapes {C1.shape} and {C2.shape}; give one shape")
    root = _root(C1)
    inverse = np.linalg.pinv(root, rcond=noise, hermitian=True)
    A = inverse @ _root(_symmetrise(root @ C2 @ root)) @ inverse
    if np.abs(A @ C1 @ A - C2).max() > 100 * noise * np.abs(C2).max():
        raise ValueError("covariance_1 is degenerate where covariance_2 is not: no linear map")
    return A


def _covariance(name: str, value: Array) -> Float64:
    C = as_float64(name, value)
    if C.shape != (len(C), len(C)):
        raise ValueError(f"{name} has shape {C.shape}; give (d, d)")
    slack = _noise(value) * np.abs(C).max()
    if np.abs(C - C.T).max() > slack:
        raise ValueError(f"{name} is not symmetric")
    if np.linalg.eigvalsh(C).min() < -slack:
        raise ValueError(f"{name} has a negative eigenvalue")
    return _symmetrise(C)


def _noise(covariance: Array) -> float:
    """The relative rounding of a covariance `(d, d)` in its own type: d times that of an entry."""
    single = getattr(covariance, "dtype", None) in (torch.float32, np.dtype(np.float32))
    return len(covariance) * float(np.finfo(np.float32).eps) if single else _ROUNDING


def _symmetrise(C: Float64) -> Float64:
    return (C + C.T) / 2


def _root(C: Float64) -> Float64:
    """The symmetric square root; eigenvalues that rounding made negative count as 0."""
    values, vectors = np.linalg.eigh(C)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)
