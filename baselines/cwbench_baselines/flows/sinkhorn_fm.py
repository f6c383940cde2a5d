"""Entropic conditional flow matching: pairs drawn from an entropic plan, every data point once.

The cost is that of `cot-fm`, |z_i - x_j|^2 + beta |r(y_i) - r(y_j)|^2, the network is fed the
condition of the latent. The pairs are a random bijection, `cwbench.ot.entropic`: draws from the
Sinkhorn plan itself would lose 37 % of a batch. epsilon is in units of the deviation of
|z_i - x_j|^2. The randomness moves conditions too, so beta is calibrated under it: the smallest at
which the entropic pairs leak at most `leak`.

Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport
(Tong et al., 2024), https://arxiv.org/abs/2302.00482, as SB-CFM; the cost is of
Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl, Wald, 2025), https://arxiv.org/abs/2403.18705
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import draw_batches, smallest_beta
from cwbench.ot.entropic import ClassEntropicOT, EntropicOT
from cwbench.ot.leak import label_statistic
from cwbench.ot.regression import Regression, Standardised
from cwbench_baselines.flows.flow import BaseFlow, OTFlowParams
from cwbench_baselines.flows.pairing import Pairing, bijection

CALIBRATED_BATCHES = 8


class EntropicParams(OTFlowParams):
    """Settings of entropic flow matching."""

    epsilon: float = Field(
        0.3, gt=0, description="of the entropy, in deviations of the batch's |z - x|^2"
    )
    beta: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="weight on the squared distance of conditions, compared by posterior means, or "
        "by standardised y where those are blind; auto calibrates it",
    )
    leak: float = Field(0.001, gt=0, lt=1, description="label leak that beta = auto allows")


class EntropicFlowMatching(BaseFlow):
    """sigma drawn from exp(-sum_i C_{i sigma(i)} / eps); the network is fed y_i."""

    info = MethodInfo(
        name="sinkhorn-fm",
        version=2,
        title="Entropic conditional flow matching",
        citation="tong2024improving",
        nfe=True,
    )
    Params: ClassVar[type[EntropicParams]] = EntropicParams
    params: EntropicParams

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """The entropic coupling, inside each class for class labels."""
        epsilon = self.params.epsilon
        if self.spec.num_classes is not None:
            facts: Diagnostics = {"beta": "inf", "calibration": "class-label"}
            return Pairing(bijection(ClassEntropicOT(epsilon)), "source", facts)
        x, y = tensors_of(data)
        generator = context.generator("calibration")
        with context.clock("calibration"):
            statistic = label_statistic(x, y, generator=generator)
            beta = self._beta(x, y, statistic, context, generator)
        blind = isinstance(statistic, Standardised)
        facts = {
            "beta": beta,
            "calibration": "standardised-y" if blind else "posterior-mean",
            "calibration_blind": blind,
        }
        return Pairing(bijection(EntropicOT(epsilon, beta, statistic)), "source", facts)

    def _beta(
        self,
        x: Tensor,
        y: Tensor,
        statistic: Regression | Standardised,
        context: FitContext,
        generator: Generator,
    ) -> float:
        """The weight of conditions: as given, or the smallest that keeps to the leak."""
        if self.params.beta != "auto":
            return self.params.beta
        size = min(len(x), self.params.ot_batch * context.batch_size)
        return smallest_beta(
            lambda beta: EntropicOT(self.params.epsilon, beta, statistic),
            draw_batches(x, y, self.latents, size, generator, CALIBRATED_BATCHES),
            statistic,
            self.params.leak,
        )
