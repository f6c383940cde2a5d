"""How a run uses the processor: one thread a torch operation, the other cores for other work."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Processor cores this process may use: `$CWBENCH_CORES`, else those the system gives it."""
    limit = os.environ.get("CWBENCH_CORES", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def torch_threads() -> int:
    """One thread for a torch operation, unless OMP_NUM_THREADS says otherwise.

    The networks of vector tasks gain nothing from a second one, and two runs side by side lose a
    factor; the other cores solve couplings, integrate and measure other observations.
    """
    import torch

    return torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else 1


@contextmanager
def single_threaded() -> Iterator[None]:
    """Use `torch_threads()` inside."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """One thread for a matrix product of NumPy inside, where threads of our own share the cores.

    The products' threads would wait for each other: small ones then take ten times as long.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@contextmanager
def without_collection() -> Iterator[None]:
    """No search for cyclic garbage inside: where millions of objects stay, it takes a third.

    What is left is not searched later either; it is for commands, after which the process ends.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if "triton" not in sys.modules:  # which prints every object frozen at exit as a leak
            gc.freeze()
        if was_on:
            gc.enable()
