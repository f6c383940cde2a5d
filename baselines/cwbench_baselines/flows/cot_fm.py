"""Conditional-OT flow matching, the method of the paper.

The minibatch assignment of |z_i - x_j|^2 + beta |e(y_i) - e(y_j)|^2; the network is fed the
condition y_i of the latent. As beta grows the condition stops moving and the plan tends to an
optimal plan of the conditional Wasserstein distance W_{2,Y}; in a finite batch it tends to the
pairing as drawn. As beta falls to 0 the label leaks and the sampler ignores y.

beta has no natural scale, so the default calibrates it: e = r, a regression of E[x | y], and beta
the smallest whose label leak E|r(y_i) - r(y_{sigma(i)})|^2 / (2 V) stays below `leak`, V the
variance that r explains. Where r explains nothing, or posterior covariances leak although means do
not, r is blind, and e is standardised y instead.
A number is the paper's weight on |y_i - y_j|^2 with x and y standardised; in raw units, as in the
paper, with `preset.standardise=false`.

`beta = a2a` is a warning example, no recommendation: the formula beta = N^(1 / (2 d)) of
All-to-All Flow-Based Transfer Model (Ikeda et al., 2025), N the OT batch, d the dimension of y,
here standardised. It is about convergence as N grows and knows nothing of the problem: with d = 5
it lets the label leak, with d = 64 it is the pairing as drawn.

Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl, Wald, 2025), https://arxiv.org/abs/2403.18705
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import Calibration, CompareBy, calibrate_beta
from cwbench.ot.coupling import ConditionalOT
from cwbench.ot.regression import Standardised
from cwbench_baselines.flows.flow import BaseFlow, OTFlowParams
from cwbench_baselines.flows.pairing import Labels, Pairing, bijection


class ConditionalOTParams(OTFlowParams):
    """Settings of conditional-OT flow matching."""

    beta: Annotated[float, Field(allow_inf_nan=True)] | Literal["auto", "a2a"] = Field(
        "auto",
        description="weight on the squared distance of conditions, at least 0; inf pairs within "
        "equal conditions; auto calibrates it (the paper's flag 20 is beta = 400); a2a is a "
        "formula without calibration, to be warned by",
    )
    leak: float = Field(0.001, gt=0, lt=1, description="label leak that beta = auto allows")
    compare: CompareBy = Field(
        "auto",
        description="what beta = auto compares conditions by: posterior means, but y where they "
        "are blind (auto), posterior means, their best linear estimates, y standardised, or the "
        "posterior's first two moments",
    )
    labels: Labels = Field("source", description="condition the network is fed after pairing")

    @field_validator("beta")
    @classmethod
    def _not_negative(cls, beta: float | str) -> float | str:
        if isinstance(beta, float) and not beta >= 0:
            raise ValueError("beta must be at least 0, inf, auto or a2a")
        return beta


def recorded(beta: float) -> float | str:
    """Beta as a record can hold it: JSON has no infinity."""
    return beta if math.isfinite(beta) else "inf"


def calibrated(found: Calibration) -> Diagnostics:
    """What a record says of a calibration."""
    return {
        "beta": recorded(found.beta),
        "calibration": found.statistic,
        "calibration_blind": found.blind,
        "calibration_r2": found.r2,
        "calibration_leak": found.leak,
        "covariance_leak": found.covariance_leak,
    }


class ConditionalOTFlowMatching(BaseFlow):
    """min over sigma of sum_i |z_i - x_{sigma(i)}|^2 + beta |e(y_i) - e(y_{sigma(i)})|^2."""

    info = MethodInfo(
        name="cot-fm",
        version=2,
        title="Conditional-OT flow matching",
        citation="chemseddine2025conditional",
        nfe=True,
    )
    Params: ClassVar[type[ConditionalOTParams]] = ConditionalOTParams
    params: ConditionalOTParams

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """The relaxed coupling at a given or calibrated beta."""
        coupling, facts = self._relaxed(data, context)
        return Pairing(bijection(coupling), self.params.labels, facts)

    def _relaxed(
        self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> tuple[ConditionalOT, Diagnostics]:
        """The coupling, and how its beta came about."""
        if self.params.beta == "a2a":
            return self._all_to_all(data, context)
        if self.params.beta != "auto":
            coupling = ConditionalOT(self.params.beta, self.compared(data, context))
            return coupling, {"beta": recorded(self.params.beta)}
        with context.clock("calibration"):
            found = calibrate_beta(
                *tensors_of(data),
                self.latents,
                batch=self.params.ot_batch * context.batch_size,
                generator=context.generator("calibration"),
                target=self.params.leak,
                compare=self.params.compare,
            )
        return ConditionalOT(found.beta, found.embedding), calibrated(found)

    def _all_to_all(
        self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> tuple[ConditionalOT, Diagnostics]:
        """Beta = N^(1 / (2 d)) on standardised y, or on one-hot class labels."""
        size = self.spec.num_classes or math.prod(self.spec.y_shape)
        beta = (self.params.ot_batch * context.batch_size) ** (1 / (2 * size))
        embedding = None if self.spec.num_classes else Standardised(tensors_of(data).y)
        return ConditionalOT(beta, embedding), {"beta": beta}
