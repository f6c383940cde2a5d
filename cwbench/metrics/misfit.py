"""Whether samples explain the observation they were drawn for."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from cwbench.errors import UsageError
from cwbench.metric import MetricInfo, PairMetric


class DataMisfit(PairMetric):
    """E|(y - A x) / s|^2 / d_y over the samples x: 1 on average over y for the exact posterior.

    Neither direction is right in itself: too low is fitted to the noise. The value to have is the
    floor, that of the exact posterior on the same observations. It never ranks.
    """

    info: ClassVar = MetricInfo(
        name="data-misfit",
        version=1,
        title="mean squared standardised residual of the samples; right at its floor",
        direction="lower",
        needs=frozenset({"pairs", "residual"}),
        citation="tarantola2005inverse",
        debiased=False,
        ranks=False,
        sees=frozenset({"shift", "weights", "condition"}),
    )

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The misfit with shape `(m,)`."""
        residual = self.task.standardised_residual(samples, y)
        if residual is None:
            raise UsageError(
                f"{self.info.name} needs a task that knows its noise; {self.task.info.name!r} has "
                "no standardised_residual. Choose another metric: cwbench list metrics."
            )
        return residual.square().mean(dim=(1, 2))
