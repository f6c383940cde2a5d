"""Simulation-based calibration: the true x ranks uniformly among exact posterior draws.

For (x, y) of the joint distribution and x_1, ..., x_L of P(X | Y = y), the rank of f(x, y) among
f(x_l, y) is uniform on 0..L for every statistic f. A chi^2 test on binned ranks sees a posterior
that is too wide, too narrow, shifted, or that belongs to another noise.

Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al., 2018),
https://arxiv.org/abs/1804.06788
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Generator, Tensor

from cwbench.task import Task

PAIRS, DRAWS, BINS = 1_200, 64, 16

Posterior = Callable[[Tensor, int, Generator], Tensor]


def rank_p_values(task: Task, sample: Posterior, seed: int = 11) -> dict[str, float]:
    """P-values of uniform ranks of the true x among 63 draws, by statistic of (x, y).

    Args:
        task: gives the pairs (x, y).
        sample: the posterior on trial, with the arguments of `Task.sample_posterior`.
        seed: of pairs and draws.
    """
    x, y = task.sample_joint(PAIRS, Generator().manual_seed(seed))
    draws, others = sample(y, 2 * DRAWS, Generator().manual_seed(seed + 1)).split(DRAWS, 1)
    both = torch.cat([x[:, None], draws[:, 1:]], 1).flatten(2).double()  # the truth, 63 draws
    centre = others.flatten(2).double().mean(1, keepdim=True)
    statistics = {
        "first": both[..., 0],
        "last": both[..., -1],
        "norm": both.square().sum(-1),
        "product": both[..., 0] * both[..., -1],
        "distance to the mean of other draws": (both - centre).square().sum(-1),
        "distance to another draw": (both - draws[:, :1].flatten(2)).square().sum(-1),
    }
    ties = np.random.default_rng(seed + 2)
    return {name: _chi2(value.numpy(), ties) for name, value in statistics.items()}


def _chi2(value: np.ndarray, ties: np.random.Generator) -> float:
    order = np.lexsort((ties.random(value.shape), value), axis=1)
    ranks = np.argmin(order, axis=1)  # where item 0, the truth, ends up
    counts = np.bincount(ranks * BINS // DRAWS, minlength=BINS)
    return float(stats.chisquare(counts).pvalue)
