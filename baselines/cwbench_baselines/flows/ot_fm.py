"""OT flow matching: the minibatch assignment of |z - x|^2, blind to the condition.

The condition follows the data, so p(z | y) is no longer the latent distribution that sampling
starts from: the prior is skewed, and every posterior comes out wrong at any NFE.

Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport
(Tong et al., 2024), https://arxiv.org/abs/2302.00482
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, MethodInfo
from cwbench.ot.coupling import MinibatchOT
from cwbench_baselines.flows.flow import BaseFlow, OTFlowParams
from cwbench_baselines.flows.pairing import Pairing, bijection


class OTFlowMatching(BaseFlow):
    """min over sigma of sum_i |z_i - x_{sigma(i)}|^2, the network is fed y_{sigma(i)}."""

    info = MethodInfo(
        name="ot-fm",
        version=2,
        title="OT flow matching",
        citation="tong2024improving",
        nfe=True,
    )
    Params: ClassVar[type[OTFlowParams]] = OTFlowParams
    params: OTFlowParams

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """Minibatch OT, y ignored; the condition follows the data."""
        return Pairing(bijection(MinibatchOT()), "target")
