"""Weighted conditional flow matching: pairs as drawn, near ones counting more.

    E_{z, (x, y), t} [ w ||v(t, y, x_t) - (x - z)||^2 ] / E[w],    w = exp(-|z - x| / eps)

eps is given in units of the mean of |z - x| over unrelated pairs. No plan is solved: the weight is
that of the entropic plan without its potentials, so the marginals it leaves are tilted. Latents and
data near each other are seen more often, the data of a condition are not those of its posterior,
and the tilt falls as eps grows; eps -> infinity is `fm`. The diagnosis resamples pairs by weight
and tells the skew of the latent; `effective_batch` is (sum w)^2 / (n sum w^2).

Weighted Conditional Flow Matching (Calvo-Ordonez et al., 2025), https://arxiv.org/abs/2507.22270
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import Batch
from cwbench.ot.coupling import Coupling, Independent
from cwbench_baselines.flows.flow import BaseFlow, FlowParams, Labels, Matched

SCALE_PAIRS = 10_000


class WeightedParams(FlowParams):
    """Settings of weighted flow matching."""

    epsilon: float = Field(
        4.0, gt=0, description="of the weight exp(-|z - x| / eps), in mean distances |z - x|"
    )


class WeightedFlowMatching(BaseFlow):
    """Pairs as drawn, weighted by exp(-|z - x| / eps)."""

    info = MethodInfo(
        name="w-cfm",
        version=1,
        title="Weighted conditional flow matching",
        citation="calvoordonez2025weighted",
        nfe=True,
    )
    Params: ClassVar[type[WeightedParams]] = WeightedParams
    params: WeightedParams

    @property
    def labels(self) -> Labels:
        """The condition is that of the data; the weight ties the latent to both."""
        return "target"

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Coupling:
        """Independent; the scale of eps is measured here."""
        x = tensors_of(data).x[:SCALE_PAIRS]
        z = self.spec.sample_latent(len(x), context.generator("scale"))
        self.eps = self.params.epsilon * float((z - x).flatten(1).norm(dim=1).mean())
        return Independent()

    def weights(self, z: Tensor, x: Tensor) -> Tensor:
        """exp(-|z - x| / eps) over its mean in the batch, `(n,)`."""
        return len(x) * torch.softmax(-(z - x).flatten(1).norm(dim=1) / self.eps, 0)

    def loss(
        self, z: Tensor, x: Tensor, y: Tensor, t: Tensor, dropped: Tensor | None = None
    ) -> Tensor:
        """The weighted mean squared error of the velocity."""
        v_t, u_t = self.velocities(z, x, y, t, dropped)
        errors = nn.functional.mse_loss(v_t, u_t, reduction="none").flatten(1).mean(1)
        return (self.weights(z, x) * errors).mean()

    def diagnosed(self, rule: Coupling, batch: Batch, context: FitContext, index: int) -> Matched:
        """Pairs as drawn, resampled by weight."""
        z, x, y = batch
        generator = context.generator("resampling", index)
        rows = torch.multinomial(self.weights(z, x), len(x), True, generator=generator)
        return Matched(z[rows], x[rows], y[rows], y[rows], 0.0)

    def diagnose(
        self, rule: Coupling, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Diagnostics:
        """What every flow says, with eps and the share of a batch that counts."""
        batches = list(self.diagnosed_batches(data, context))
        effective = [1 / float(self.weights(z, x).square().mean()) for z, x, _ in batches]
        facts = {"epsilon": self.eps, "effective_batch": sum(effective) / len(effective)}
        return super().diagnose(rule, data, context) | facts
