"""Noise that belongs to a draw: neither a draw nor its law depends on how many are made at once.

Draw j of observation i takes its numbers from a stream of its own, Philox keyed by (call, i, j).
Parallel Random Numbers: As Easy as 1, 2, 3 (Salmon, Moraes, Dror, Shaw, 2011),
https://doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Generator, Tensor

_PLACES = 32
"""Bits of the number of a draw."""


class Noise:
    """The streams of some draws, of which each is asked for equally many numbers."""

    def __init__(self, call: int, draws: Iterable[tuple[int, int]]) -> None:
        """Start the streams.

        Args:
            call: distinguishes the calls of `sample`.
            draws: the numbers (i, j) of observation and draw.
        """
        self.streams = [
            np.random.Generator(np.random.Philox(key=[call, (i << _PLACES) | j])) for i, j in draws
        ]

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers with shape `(draws, *shape)`, float64."""
        numbers = [stream.standard_normal(math.prod(shape)) for stream in self.streams]
        return torch.from_numpy(np.stack(numbers)).reshape(len(numbers), *shape)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1) with shape `(draws, *shape)`, float64."""
        numbers = [stream.random(math.prod(shape)) for stream in self.streams]
        return torch.from_numpy(np.stack(numbers)).reshape(len(numbers), *shape)


def call_number(generator: Generator) -> int:
    """What distinguishes one call of `sample` from the next."""
    return int(torch.randint(2**62, (1,), generator=generator))
