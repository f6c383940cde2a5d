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
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import draw_batches, label_statistic, smallest_beta
from cwbench.ot.coupling import Coupling
from cwbench.ot.entropic import ClassEntropicOT, EntropicOT
from cwbench.ot.regression import Standardised
from cwbench_baselines.flows.flow import BaseFlow, OTFlowParams

CALIBRATED_BATCHES = 8


class EntropicParams(OTFlowParams):
    """Settings of entropic flow matching."""

    epsilon: float = Field(
        0.3, gt=0, description="of the entropy, in deviations of the batch's |z - x|^2"
    )
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = Field(
        "auto",
        description="weight on the squared distance of conditions, compared by posterior means, or "
        "by standardised y where those are blind; auto calibrates it",
    )
    leak: float = Field(0.001, gt=0, lt=1, description="label leak that beta = auto allows")


class EntropicFlowMatching(BaseFlow):
    """sigma drawn from exp(-sum_i C_{i sigma(i)} / eps); the network is fed y_i."""

    info = MethodInfo(
        name="sinkhorn-fm",
        version=1,
        title="Entropic conditional flow matching",
        citation="tong2024improving",
        nfe=True,
    )
    Params: ClassVar[type[EntropicParams]] = EntropicParams
    params: EntropicParams

    @property
    def ot_batch(self) -> int:
        """As set."""
        return self.params.ot_batch

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Coupling:
        """The entropic coupling, inside each class for class labels."""
        epsilon = self.params.epsilon
        x, y = tensors_of(data)
        if self.spec.num_classes is not None:
            self.calibration: Diagnostics = {"beta": "inf", "calibration": "class-label"}
            return ClassEntropicOT(epsilon)
        generator = context.generator("calibration")
        with context.clock("calibration"):
            statistic = label_statistic(x, y, generator=generator)
            beta = self.params.beta
            if beta == "auto":
                size = min(len(x), self.ot_batch * context.batch_size)
                batches = draw_batches(
                    x, y, self.spec.sample_latent, size, generator, CALIBRATED_BATCHES
                )
                beta = smallest_beta(
                    lambda b: EntropicOT(epsilon, b, statistic),
                    batches,
                    statistic,
                    self.params.leak,
                )
        blind = isinstance(statistic, Standardised)
        self.calibration = {
            "beta": beta,
            "calibration": "standardised-y" if blind else "posterior-mean",
            "calibration_blind": blind,
        }
        return EntropicOT(epsilon, beta, statistic)

    def diagnose(
        self, rule: Coupling, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Diagnostics:
        """What every flow says, and how beta came about."""
        return super().diagnose(rule, data, context) | self.calibration
