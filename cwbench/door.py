"""The door between the harness and its plugins: what passes through it is copied.

What a plugin is handed is its own to spoil, and what it returned stays as it was, whatever it does
next with the same memory. Without that, a sampler that writes into its y changes what all methods
are judged by, and one that fills the same output again overwrites its earlier samples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

P = ParamSpec("P")
T = TypeVar("T")


def copied(value: T) -> T:
    """Tensors and arrays copied, in nested tuples, lists and dicts too; anything else as it is."""
    return _copied(value)  # type: ignore[no-any-return]  # the type is that of what is copied


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _laid_out_alike(value)
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copied, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    return value


def _laid_out_alike(tensor: Tensor) -> Tensor:
    """A copy with the same strides: products of matrices round differently in another layout."""
    shared = any(k > 1 and step == 0 for k, step in zip(tensor.shape, tensor.stride(), strict=True))
    if tensor.is_contiguous() or shared or tensor.layout is not torch.strided:
        return tensor.clone()
    alike = torch.empty_strided(
        tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device
    )
    try:
        return alike.copy_(tensor)
    except RuntimeError:  # its entries share memory in another way
        return tensor.clone()


def copying(function: Callable[P, T]) -> Callable[P, T]:
    """The function, called with copies, and whose results are copied at once."""

    @functools.wraps(function)
    def through(*arguments: P.args, **options: P.kwargs) -> T:
        return copied(function(*copied(arguments), **copied(options)))

    return through


class Behind:
    """An object whose attributes are reached through the door only."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        """A method that copies, or a copy."""
        value = getattr(self._inner, name)
        return copying(value) if callable(value) else copied(value)


class HandedData(Dataset[tuple[Tensor, Tensor]]):
    """The pairs of a map-style data set; nothing is copied before it is asked for."""

    def __init__(self, inner: Dataset[tuple[Tensor, Tensor]]) -> None:
        self._inner = inner

    def __len__(self) -> int:
        """How many pairs."""
        return len(self._inner)  # type: ignore[arg-type]  # map-style data sets have a length

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        """A pair."""
        return copied(self._inner[index])

    def __getattr__(self, name: str) -> Any:
        """What else the data set has, copied; `tensors` once, so that they stay the same ones."""
        if name.startswith("__") or name == "_inner":
            raise AttributeError(name)
        value = getattr(self._inner, name)
        if callable(value):
            return copying(value)
        self.__dict__[name] = value = copied(value)
        return value
