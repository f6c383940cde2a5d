"""Noise that belongs to a draw: neither a draw nor its law depends on how many are made at once.

Draw j of observation i takes its numbers from streams of its own, Philox keyed by (call, i, j): one
of normal numbers, one of uniform ones. Normal numbers are made some steps ahead, as most samplers
ask for few of them many times; how far ahead changes nothing.
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

_UNIFORM = (0, 0, 0, 1)
"""Where the counter of uniform numbers starts: 2^192 blocks from that of normal ones."""

_AHEAD = 2_000_000
"""Normal numbers that are kept for all draws together."""

_MOST = 4_096
"""For one draw."""


class Noise:
    """The streams of some draws, of which each is asked for equally many numbers."""

    def __init__(self, call: int, draws: Iterable[tuple[int, int]]) -> None:
        """Start the streams.

        Args:
            call: distinguishes the calls of `sample`.
            draws: the numbers (i, j) of observation and draw.
        """
        self.keys = [(call, (i << _PLACES) | j) for i, j in draws]
        self._normal = [_stream(key) for key in self.keys]
        self._uniform: list[np.random.Generator] = []
        self._ahead = np.empty((len(self.keys), 0))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers with shape `(draws, *shape)`, float64."""
        wanted = math.prod(shape)
        if self._ahead.shape[1] < wanted:
            more = max(wanted, min(_MOST, _AHEAD // len(self.keys)))
            made = np.stack([stream.standard_normal(more) for stream in self._normal])
            self._ahead = np.concatenate([self._ahead, made], 1)
        numbers, self._ahead = self._ahead[:, :wanted], self._ahead[:, wanted:]
        return torch.from_numpy(numbers.copy()).reshape(len(numbers), *shape)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1) with shape `(draws, *shape)`, float64."""
        self._uniform = self._uniform or [_stream(key, _UNIFORM) for key in self.keys]
        numbers = [stream.random(math.prod(shape)) for stream in self._uniform]
        return torch.from_numpy(np.stack(numbers)).reshape(len(numbers), *shape)


def call_number(generator: Generator) -> int:
    """What distinguishes one call of `sample` from the next."""
    return int(torch.randint(2**62, (1,), generator=generator))


def _stream(key: tuple[int, int], counter: tuple[int, ...] = (0, 0, 0, 0)) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
