"""What a network of `c2st` costs: one fit for points that are all of one law.

    OMP_NUM_THREADS=1 python -m benchmarks.c2st [D ...]

A run fits five for each of two comparisons at each observation and NFE, and once five more for the
floor. Processor seconds, on one core; a machine that does more at a time takes longer by the clock.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

from cwbench.metrics.sbibm import FOLDS, UNITS, network

SAMPLES = 50
"""A side; four in five points are for training."""
SIZES = (64, 256, 784)


def main() -> None:
    """Print a row for each number of dimensions."""
    print("| d | units in a layer | processor seconds of a fit | steps | peak memory in GB |")
    print("|---|---|---|---|---|")
    network(1)  # its import is no cost of a fit
    for d in map(int, sys.argv[1:] or SIZES):
        points = np.random.default_rng(0).standard_normal((2 * SAMPLES, d))
        labels = np.repeat([0.0, 1.0], SAMPLES)
        train = slice(2 * SAMPLES * (FOLDS - 1) // FOLDS)
        with threadpool_limits(1):
            start = time.process_time()
            fitted = network(d).fit(points[train], labels[train])
            seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"| {d} | {UNITS * d} | {seconds:.3g} | {fitted.n_iter_} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()
