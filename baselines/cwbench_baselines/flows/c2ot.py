"""C^2OT: minibatch transport with a penalty on the condition, its weight set for every batch.

The coupling is `cwbench.ot.c2ot`; the network is fed the condition of the data, so (x, y) are never
mixed up, and what is left of the penalty's slack is a skewed prior. Latents, data and conditions
are compared in standardised coordinates; as they are with `preset.standardise=false`.

The Curse of Conditions (Cheng, Schwing, 2025), https://arxiv.org/abs/2503.10636
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, MethodInfo
from cwbench.ot.c2ot import ConditionAwareOT, Diagonal, Distance
from cwbench_baselines.flows.flow import BaseFlow, OTFlowParams
from cwbench_baselines.flows.pairing import Pairing, bijection


class ConditionAwareParams(OTFlowParams):
    """Settings of C^2OT; the OT batch is the paper's, five network batches."""

    ot_batch: int = Field(
        5, ge=1, description="OT batch as a multiple of the network batch; all of it is used"
    )
    r_tar: float = Field(
        0.005, gt=0, le=1, description="share of entries at most as dear as the pair as drawn"
    )
    distance: Distance = Field(
        "auto", description="between conditions; auto is cosine, squared for a single number"
    )
    diagonal: Diagonal = Field(
        "column",
        description="pair as drawn that an entry is compared with: its datum's (column), as in the "
        "authors' code, or its latent's (row)",
    )


class ConditionAwareFlowMatching(BaseFlow):
    """min over sigma of sum_i |z_i - x_{sigma(i)}|^2 + w d(y_i, y_{sigma(i)}), fed y_{sigma(i)}."""

    info = MethodInfo(
        name="c2ot",
        version=2,
        title="Condition-aware OT flow matching (C2OT)",
        citation="cheng2025curse",
        nfe=True,
    )
    Params: ClassVar[type[ConditionAwareParams]] = ConditionAwareParams
    params: ConditionAwareParams

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """The condition-aware assignment; the condition follows the data."""
        params = self.params
        aware = ConditionAwareOT(params.r_tar, params.distance, params.diagonal)
        compared = self.compared(data, context) or (lambda y: y)
        return Pairing(bijection(lambda z, x, y: aware(z, x, compared(y))), "target")
