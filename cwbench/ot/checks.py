"""What every function of this package asks of its input before a solver sees it.

A solver that is fed a NaN may return a perfect score (POT returns 0.0 and only warns), so nothing
non-finite passes here, and a solver that did not converge raises instead of returning a number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = Tensor | NDArray[Any]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


class ConvergenceError(ArithmeticError):
    """A solver stopped before its result could be trusted; there is no number."""


def as_numpy(name: str, value: Array) -> NDArray[Any]:
    """The values as a real numeric array with at least one axis and one entry, in their own type.

    Raises:
        ValueError: if `value` is complex, not numeric, a scalar, empty or not finite.
    """
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        array = tensor.to(torch.float64).numpy() if tensor.is_floating_point() else tensor.numpy()
    else:
        array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} has dtype {array.dtype}; give real numbers")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; give (n, d) with n, d >= 1")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {np.sum(~np.isfinite(array))} values that are not finite")
    return array


def as_float64(name: str, value: Array) -> Float64:
    """The values in float64 with shape `(n, d)`; `(n,)` becomes `(n, 1)`.

    Trailing axes of `(n, *shape)` are flattened. The result may share memory with `value`: read it,
    never write to it.

    Raises:
        ValueError: if `value` is complex, not numeric, a scalar, empty or not finite.
    """
    array = as_numpy(name, value).astype(np.float64, copy=False)
    return array.reshape(len(array), -1)


def same_size(**arrays: Float64) -> None:
    """Refuse arrays whose rows differ in length.

    Raises:
        ValueError: if the second axes differ.
    """
    if len({array.shape[1] for array in arrays.values()}) > 1:
        sizes = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"the points must have the same dimension, not {sizes}")


def same_count(**arrays: Float64) -> None:
    """Refuse arrays that differ in the number of rows.

    Raises:
        ValueError: if the first axes differ.
    """
    if len({len(array) for array in arrays.values()}) > 1:
        counts = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"the first axes must have the same length, not {counts}")


def is_label(y: Array) -> bool:
    """Whether `y` holds class labels: an integer (or boolean) array with shape `(n,)`."""
    if isinstance(y, Tensor):
        return y.ndim == 1 and not (y.is_floating_point() or y.is_complex())
    return np.ndim(y) == 1 and np.asarray(y).dtype.kind in "biu"


def check_exponent(p: float) -> None:
    """Refuse an exponent for which W_p is not a distance.

    Raises:
        ValueError: if `p` is below 1 or not finite.
    """
    if not (math.isfinite(p) and p >= 1):
        raise ValueError(f"p is {p}; give a finite p >= 1")


def check_positive(name: str, value: float) -> None:
    """Refuse what is not a finite positive number.

    Raises:
        ValueError: if `value` is 0, negative or not finite.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; give a finite number > 0")


def check_weight(name: str, value: float) -> None:
    """Refuse what is not a finite weight.

    Raises:
        ValueError: if `value` is negative or not finite.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}; give a finite number >= 0")


def as_masses(name: str, weights: Array | None, n: int) -> Float64:
    """Masses with shape `(n,)` that sum to 1; uniform if `weights` is None.

    Raises:
        ValueError: if they are not finite, negative, of another length, or sum to something else.
    """
    if weights is None:
        return np.full(n, 1 / n)
    masses = as_float64(name, weights).ravel()
    if len(masses) != n:
        raise ValueError(f"{name} has {len(masses)} entries for {n} points")
    if (masses < 0).any() or not math.isclose(masses.sum(), 1, rel_tol=1e-6):
        raise ValueError(f"{name} must be >= 0 and sum to 1; the sum is {masses.sum()}")
    return np.asarray(masses / masses.sum())
