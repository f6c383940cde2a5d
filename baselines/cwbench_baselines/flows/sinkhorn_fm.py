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

from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import calibrate_beta
from cwbench.ot.entropic import ClassEntropicOT, EntropicOT
from cwbench_baselines.flows.cot_fm import calibrated
from cwbench_baselines.flows.flow import BaseFlow, OTFlowParams
from cwbench_baselines.flows.pairing import Pairing, bijection


class EntropicParams(OTFlowParams):
    """Settings of entropic flow matching."""

    epsilon: float = Field(
        0.3, gt=0, description="of the entropy, in deviations of the batch's |z - x|^2"
    )
    beta: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="weight on the squared distance of conditions, compared by posterior means, or "
        "by standardised y where those are blind, also to a part of y; auto calibrates it",
    )
    leak: float = Field(0.001, gt=0, lt=1, description="label leak that beta = auto allows")


class EntropicFlowMatching(BaseFlow):
    """sigma drawn from exp(-sum_i C_{i sigma(i)} / eps); the network is fed y_i."""

    info = MethodInfo(
        name="sinkhorn-fm",
        version=3,
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
        with context.clock("calibration"):
            found = calibrate_beta(
                *tensors_of(data),
                self.latents,
                batch=min(len(data), self.params.ot_batch * context.batch_size),  # type: ignore[arg-type]
                generator=context.generator("calibration"),
                target=self.params.leak,
                kind=partial(EntropicOT, epsilon),
            )
        beta = found.beta if self.params.beta == "auto" else self.params.beta
        facts = calibrated(found) | {"beta": beta}
        return Pairing(bijection(EntropicOT(epsilon, beta, found.embedding)), "source", facts)
