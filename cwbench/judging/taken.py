"""What a sampler returned, taken in as float32."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cwbench.errors import ContractError

LARGEST = torch.finfo(torch.float32).max


class Taken(NamedTuple):
    """Samples in float32, and how many numbers were finite before and are not any more."""

    samples: Tensor
    overflown: int

    @property
    def fault(self) -> str:
        """How many numbers are not finite, and why; empty if all are."""
        number, bad = self.samples.numel(), int((~self.samples.isfinite()).sum())
        if not bad:
            return ""
        if not self.overflown:
            return f"not finite: {bad:,} of {number:,} numbers"
        others = f", {bad - self.overflown:,} are NaN or infinite" if bad > self.overflown else ""
        return (
            f"not finite in float32: {self.overflown:,} of {number:,} numbers lie beyond its "
            f"largest, {LARGEST:.2g}{others}"
        )


def taken(output: Any, shape: tuple[int, ...], origin: str) -> Taken:
    """A sampler's output on the CPU, a copy that no later call can change.

    Raises:
        ContractError: if it is no dense real floating tensor or array with that shape.
    """
    if not isinstance(output, Tensor):
        try:
            output = torch.as_tensor(np.array(output) if isinstance(output, np.ndarray) else output)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ContractError(f"{origin} returned {type(output).__name__}: {error}") from None
    if output.layout is not torch.strided or output.is_nested or output.is_meta:
        kind = "nested" if output.is_nested else "meta" if output.is_meta else output.layout
        raise ContractError(f"{origin} returned a {kind} tensor; a dense one is needed")
    if not output.dtype.is_floating_point:
        raise ContractError(f"{origin} returned {output.dtype}; real floating numbers are needed")
    if tuple(output.shape) != shape:
        raise ContractError(
            f"{origin} returned shape {tuple(output.shape)}; (observations, samples, *x_shape) = "
            f"{shape} is needed"
        )
    output = output.detach()
    samples: Tensor = output.to("cpu", torch.float32, copy=True)
    overflown = 0
    if output.dtype == torch.float64 and not samples.isfinite().all():
        overflown = int((output.cpu().isfinite() & ~samples.isfinite()).sum())
    return Taken(samples, overflown)


def as_samples(output: Any, shape: tuple[int, ...], origin: str) -> Tensor:
    """The samples that `taken` gives; it raises likewise."""
    return taken(output, shape, origin).samples
