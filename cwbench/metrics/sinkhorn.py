"""The number of the seed paper's tables, kept so that its figures can be compared."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor

from cwbench.metric import MetricInfo, ReferenceMetric
from cwbench.metrics.per_observation import per_observation
from cwbench.metrics.wasserstein import CONDITIONAL_WASSERSTEIN
from cwbench.ot.sinkhorn import sinkhorn_divergence


class SinkhornPaper(ReferenceMetric):
    """Sinkhorn divergence with cost |x - x'|^2 / 2 and blur 0.05: about W_2^2 / 2.

    The published numbers are the plug-in D(a, b), and so is the value: it is not debiased, and most
    of it is the floor that stands beside it.
    """

    info: ClassVar = MetricInfo(
        name="sinkhorn-paper",
        version=1,
        title="expected Sinkhorn divergence, cost |x-x'|^2/2, blur 0.05",
        direction="lower",
        needs=frozenset({"reference"}),
        citation=CONDITIONAL_WASSERSTEIN,
        opt_in=True,
        debiased=False,
    )

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """The divergence with shape `(m,)`.

        Raises:
            ConvergenceError: if the iteration did not converge for an observation.
        """
        return per_observation(partial(sinkhorn_divergence, blur=0.05), a, b)
