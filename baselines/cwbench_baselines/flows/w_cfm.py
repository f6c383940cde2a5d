"""Weighted conditional flow matching: pairs as drawn, near ones counting more.

    E_{z, (x, y), t} [ w ||v(t, y, x_t) - (x - z)||^2 ] / E[w],    w = exp(-|z - x| / eps)

eps is given in units of the mean of |z - x| over unrelated pairs. No plan is solved: the weight is
that of the entropic plan without its potentials, so the marginals it leaves are tilted. Latents and
data near each other are seen more often, the data of a condition are not those of its posterior,
and the tilt falls as eps grows; eps -> infinity is `fm`.

Weighted Conditional Flow Matching (Calvo-Ordonez et al., 2025), https://arxiv.org/abs/2507.22270
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import FitContext, MethodInfo, tensors_of
from cwbench_baselines.flows.flow import BaseFlow, FlowParams
from cwbench_baselines.flows.pairing import Match, Matched, Pairing

SCALE_PAIRS = 10_000


class WeightedParams(FlowParams):
    """Settings of weighted flow matching."""

    epsilon: float = Field(
        4.0, gt=0, description="of the weight exp(-|z - x| / eps), in mean distances |z - x|"
    )


def weighted(eps: float) -> Match:
    """Pairs as drawn, of weight exp(-|z - x| / eps) over its mean in the batch."""

    def match(z: Tensor, x: Tensor, y: Tensor) -> Matched:
        distance = (z - x).flatten(1).norm(dim=1)
        return Matched(z, x, y, y, 0.0, weight=len(x) * torch.softmax(-distance / eps, 0))

    return match


class WeightedFlowMatching(BaseFlow):
    """Pairs as drawn, weighted by exp(-|z - x| / eps)."""

    info = MethodInfo(
        name="w-cfm",
        version=2,
        title="Weighted conditional flow matching",
        citation="calvoordonez2025weighted",
        nfe=True,
    )
    Params: ClassVar[type[WeightedParams]] = WeightedParams
    params: WeightedParams

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """Measure the scale of eps; the weight ties the latent to data and condition alike."""
        x = tensors_of(data).x[:SCALE_PAIRS]
        z = self.latents(len(x), context.generator("scale"))
        eps = self.params.epsilon * float((z - x).flatten(1).norm(dim=1).mean())
        return Pairing(weighted(eps), "target", {"epsilon": eps})
