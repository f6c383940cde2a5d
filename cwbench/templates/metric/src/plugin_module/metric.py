"""Squared maximum mean discrepancy with the kernel k(x, x') = -log(1 + |x - x'|^2):

    D(a, b) = 2 E log(1 + |a - b|^2) - E log(1 + |a - a'|^2) - E log(1 + |b - b'|^2),

0 if and only if the two laws agree. The kernel has no bandwidth to choose and forgives outliers.

Equivalence of Distance-Based and RKHS-Based Statistics in Hypothesis Testing
(Sejdinovic, Sriperumbudur, Gretton, Fukumizu, 2013), https://arxiv.org/abs/1207.6076
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.metric import MetricInfo, ReferenceMetric


class PluginClass(ReferenceMetric):
    """Expected discrepancy of the posteriors with the logarithmic kernel."""

    info: ClassVar = MetricInfo(
        name="plugin-name",
        version=1,
        title="expected squared discrepancy with the logarithmic kernel",
        direction="lower",
        needs=frozenset({"reference"}),
        citation="""@article{sejdinovic2013equivalence,
  title = {Equivalence of Distance-Based and {RKHS}-Based Statistics in Hypothesis Testing},
  author = {Sejdinovic, Dino and Sriperumbudur, Bharath and Gretton, Arthur and
            Fukumizu, Kenji},
  journal = {The Annals of Statistics},
  year = {2013},
}""",
        sees=frozenset({"shift", "scale", "shape", "weights", "condition"}),
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """D of samples a and b, `(m, n, *x_shape)`, one for each observation: `(m,)`, float64.

        The harness subtracts D(a, a') and D(b, b') of independent halves, so that exact samples
        score 0 on average: see `debiased` of `cwbench.metric.MetricInfo`.
        """
        a, b = a.flatten(2), b.flatten(2)
        return 2 * mean_log(a, b) - mean_log(a, a) - mean_log(b, b)


def mean_log(a: Tensor, b: Tensor) -> Tensor:
    """The mean of log(1 + |a_i - b_j|^2) over all i and j, `(m,)`, for `(m, n, d)` each."""
    distances = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    mean: Tensor = distances.square().log1p().mean((1, 2))
    return mean
