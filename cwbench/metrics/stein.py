"""Kernel Stein discrepancy: what samples say against a density's score, without its constant.

For a density p with score s and a kernel k

    k_p(x, x') = s(x).s(x') k + s(x).grad' k + s(x').grad k + tr grad grad' k

has mean 0 over x from p, whatever x' is, and KSD^2(q, p) = E k_p(X, X') with X, X' from q is 0 only
for q = p. Here k = (1 + |u - u'|^2)^(-1/2), the inverse multiquadric, which also sees mass that
escapes (Gorham, Mackey 2017), in coordinates u = x / l with l^2 = 2 tr C, C the exact posterior
covariance: the mean squared distance of two exact draws, where others take the samples' median. So
the kernel is the same for every sampler, and the mean over pairs of samples is unbiased.

A Kernelized Stein Discrepancy for Goodness-of-fit Tests (Liu, Lee, Jordan, 2016)
https://arxiv.org/abs/1602.03253; Measuring Sample Quality with Kernels (Gorham, Mackey, 2017)
https://arxiv.org/abs/1703.01717.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.metric import MetricInfo, SplitMetric
from cwbench.metrics.density import PosteriorDensity
from cwbench.metrics.per_observation import flatten_x


class KernelSteinDiscrepancy(SplitMetric):
    """KSD^2 to the exact posterior by its score, a U-statistic of all samples.

    It takes no reference draws. Nearly blind to proportions of modes that lie apart, of which a
    score tells nothing, and in hundreds of dimensions to scale. Never ranks.
    """

    info: ClassVar = MetricInfo(
        name="ksd",
        version=1,
        title="squared kernel Stein discrepancy to the exact posterior",
        direction="lower",
        needs=frozenset({"reference", "density"}),
        citation="gorham2017measuring, liu2016kernelized",
        opt_in=True,
        ranks=False,
        sees=frozenset({"shift", "scale", "shape", "atoms", "condition"}),
    )

    def estimate(self, a1: Tensor, a2: Tensor, y: Tensor) -> Tensor:
        """The value with shape `(m,)`."""
        samples = torch.cat([a1, a2], dim=1)
        scores = PosteriorDensity(self.task).score(samples, y)
        scale = (2 * self.task.posterior_variances(y).double().sum(1)).sqrt()[:, None, None]
        parts = zip(flatten_x(samples) / scale, scores * scale, strict=True)
        return torch.stack([squared_ksd(u, score) for u, score in parts])


def squared_ksd(u: Tensor, score: Tensor) -> Tensor:
    """The mean of k_p(u_i, u_j) over i != j, n >= 2 points `(n, d)` with their scores `(n, d)`."""
    n, d = u.shape
    u = u - u.mean(0)
    gram, along = u @ u.T, score @ u.T
    squares = (gram.diagonal()[:, None] + gram.diagonal() - 2 * gram).clamp_min(0)
    q = 1 + squares
    apart = along.diagonal()[:, None] + along.diagonal() - along - along.T  # (s - s').(u - u')
    stein = (score @ score.T) / q.sqrt() + (apart + d) / q**1.5 - 3 * squares / q**2.5
    return (stein.sum() - stein.trace()) / (n * (n - 1))
