"""Seconds and memory of exact posteriors of factor analysers, by dimension and components.

    python -m benchmarks.factors

prints the table; each row is a process of its own, so that its peak is its own. Block means over
a quarter of the side are seen of images of three channels (one up to d = 1,024); 20 observations,
200 draws of each.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Generator, Tensor

from benchmarks.timing import Ratio
from cwbench_tasks.factors import FactorMixture

T = TypeVar("T")

RANK, OBSERVATIONS, DRAWS, DIRECTIONS = 12, 20, 200, 10
SIDES = {784: 28, 1024: 32, 3072: 32}
GRID = [(d, K) for d in SIDES for K in (50, 200)]
GIGABYTE = 2**30
LIMIT_SECONDS, LIMIT_MEMORY = 30.0, 4.0


class Cost(NamedTuple):
    """Seconds of each part, and the peak memory of the process, in GB."""

    operator: float
    draws: float
    density: float
    leading: float
    moments: float
    memory: float


def mixture(d: int, K: int) -> FactorMixture:
    """Components far from and like each other, as those of images are."""
    generator = Generator().manual_seed(0)
    means = torch.rand(K, d, generator=generator)
    factors = 0.1 * torch.randn(K, d, RANK, generator=generator)
    ones = torch.ones(max(K, d))
    return FactorMixture.prior(ones[:K], means, factors, ones[:K], 0.1 * ones[:d])


def block_means(side: int, block: int) -> Tensor:
    """Means over squares of pixels, `(p, side^2)`."""
    line = torch.eye(side // block, dtype=torch.float64).repeat_interleave(block, 1) / block
    return torch.kron(line, line)


def cost(d: int, K: int) -> Cost:
    """Of one size, in this process."""
    prior, A, generator = mixture(d, K), block_means(SIDES[d], SIDES[d] // 4), Generator()
    x = prior.sample(OBSERVATIONS, generator)
    y = (x.unflatten(1, (-1, A.shape[1])) @ A.T).flatten(1)
    y += 0.1 * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    seconds, observed = timed(lambda: prior.observed(A, 0.1))
    parts = [seconds, timed(lambda: observed.sample(y, DRAWS, generator))[0]]
    posterior = next(observed.given(y))
    points = posterior.sample(DRAWS, generator)
    parts.append(timed(lambda: posterior.joint_log_density(points))[0])
    parts.append(timed(lambda: posterior.leading(DIRECTIONS))[0])
    parts.append(timed(lambda: observed.moments(y[:1]))[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(*parts, memory=peak / GIGABYTE)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def apart(d: int, K: int) -> Cost:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.factors", str(d), str(K)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return Cost(*map(float, done.stdout.split()))


def ratios() -> Iterator[Ratio]:
    """The largest size against its bounds."""
    d, K = GRID[-1]
    found = apart(d, K)
    what = f"d = {d}, {K} components of rank {RANK}"
    title, sizes = f"exact posteriors, {what}", f"{OBSERVATIONS} x {DRAWS} draws and all else"
    yield Ratio(title, sum(found[:-1]), LIMIT_SECONDS, sizes, unit=" s")
    yield Ratio(f"peak memory, {what}", found.memory, LIMIT_MEMORY, "whole process", unit=" GB")


def main() -> None:
    """Print one cost, or all of them."""
    if len(sys.argv) > 1:
        print(*cost(*map(int, sys.argv[1:])))
        return
    print("| d | components | " + " | ".join(Cost._fields) + " |")
    print("|---" * (2 + len(Cost._fields)) + "|")
    for d, K in GRID:
        print(f"| {d} | {K} | " + " | ".join(f"{v:.2f}" for v in apart(d, K)) + " |", flush=True)


if __name__ == "__main__":
    main()
