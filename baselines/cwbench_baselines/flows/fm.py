"""Independent flow matching: latents and data are paired as drawn.

Flow Matching for Generative Modeling (Lipman et al., 2023), https://arxiv.org/abs/2210.02747
"""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, MethodInfo
from cwbench.ot.coupling import Independent
from cwbench_baselines.flows.flow import BaseFlow
from cwbench_baselines.flows.pairing import Pairing, bijection


class FlowMatching(BaseFlow):
    """sigma(i) = i. Unbiased in every condition, but its paths cross and bend."""

    info = MethodInfo(
        name="fm",
        version=2,
        title="Independent flow matching",
        citation="lipman2023flow",
        nfe=True,
    )

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """Each latent with the data it was drawn with."""
        return Pairing(bijection(Independent()), "source")
