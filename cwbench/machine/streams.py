"""Seeded streams: a random number is a function of its key, so resuming needs no hidden state."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator

from cwbench.machine.guests import visiting


def seed_of(*key: str | int) -> int:
    """A 63-bit seed from a key such as `(task, seed, purpose, step)`."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stream(*key: str | int) -> Generator:
    """A CPU generator that depends on `key` alone."""
    return Generator().manual_seed(seed_of(*key))


@contextmanager
def seeded_globals(*key: str | int) -> Iterator[None]:
    """Seed torch, NumPy and `random` inside, restore them outside: for code that uses globals."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is the point
    seed = seed_of(*key)
    with visiting(), torch.random.fork_rng():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
