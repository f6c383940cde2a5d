"""Semidiscrete flow matching: latents are paired with the whole training set, not a minibatch.

Before training, potentials g of all training pairs are found (`cwbench.ot.semidiscrete`); then a
latent z_i with its condition y_i goes to

    argmin_k |z_i - x_k|^2 + beta |r(y_i) - r(y_k)|^2 - g_k.

x, z and a y that is not compared by r are in standardised coordinates, unless the preset leaves
them raw. The condition y_i is that of the batch, the network is fed it (`source`) or y_k
(`target`). beta is calibrated on minibatches of 1000 as for `cot-fm`; the leak that the pairs
really have is in the record, and so is how unequally the data are used: `data_chi_squared`, 0 at
the optimum, and `potentials_converged`, whether it is at most a quarter. Else the pairs are those
of another distribution than the data's, and what is judged is not the optimal coupling.

Flow Matching with Semidiscrete Couplings (Mousavi-Hosseini, Zhang, Klein, Cuturi, 2025),
https://arxiv.org/abs/2509.25519
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import calibrate_beta
from cwbench.ot.semidiscrete import Semidiscrete, chi_squared
from cwbench.samples import JointSamples
from cwbench_baselines.flows.cot_fm import calibrated, recorded
from cwbench_baselines.flows.flow import BaseFlow, FlowParams
from cwbench_baselines.flows.pairing import Labels, Match, Matched, Pairing

CALIBRATION_BATCH = 1_000
CONVERGED = 0.25
"""The largest chi^2 of converged potentials: 1 / (1 + chi^2), the share of data used, is 80 %."""

Embedding = Callable[[Tensor], Tensor]


class SemidiscreteParams(FlowParams):
    """Settings of semidiscrete flow matching."""

    beta: Annotated[float, Field(allow_inf_nan=True)] | Literal["auto"] = Field(
        "auto",
        description="weight on the squared distance of conditions, at least 0, inf for class "
        "labels only; auto calibrates it",
    )
    leak: float = Field(0.001, gt=0, lt=1, description="label leak that beta = auto allows")
    potential_steps: int = Field(5000, ge=1, description="steps of ascent on the potentials")
    labels: Labels = Field("source", description="condition the network is fed after pairing")

    @field_validator("beta")
    @classmethod
    def _not_negative(cls, beta: float | str) -> float | str:
        if isinstance(beta, float) and not beta >= 0:
            raise ValueError("beta must be at least 0, inf or auto")
        return beta


def mapped(semidiscrete: Semidiscrete, data: JointSamples) -> Match:
    """Each latent with the training pair that the potentials send it to."""

    def match(z: Tensor, x: Tensor, y: Tensor) -> Matched:
        k = semidiscrete(z, y)
        changed = (data.x[k] != x).flatten(1).any(1)
        return Matched(z, data.x[k], y, data.y[k], float(changed.double().mean()))

    return match


class SemidiscreteFlowMatching(BaseFlow):
    """Each latent goes to the training pair that the dual potentials say."""

    info = MethodInfo(
        name="sd-fm",
        version=4,
        title="Semidiscrete flow matching",
        citation="mousavihosseini2025flow",
        nfe=True,
    )
    Params: ClassVar[type[SemidiscreteParams]] = SemidiscreteParams
    params: SemidiscreteParams

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Pairing:
        """Find the potentials of all training pairs."""
        pairs, generator = tensors_of(data), context.generator("calibration")

        def draw(n: int, generator: Generator) -> tuple[Tensor, Tensor]:
            """Latents, and conditions independent of them."""
            rows = torch.randint(len(pairs.y), (n,), generator=generator)
            return self.latents(n, generator), pairs.y[rows]

        with context.clock("calibration"):
            beta, embedding, facts = self._beta(pairs, self.compared(data, context), generator)
            found = Semidiscrete(pairs.x, pairs.y, beta=beta, embedding=embedding)
            found.ascend(draw, steps=self.params.potential_steps, generator=generator)
            drawn = [found(*draw(size, generator)) for size in [1_000] * 20]
        unequal = chi_squared(torch.cat(drawn), len(pairs.x))
        facts |= {"data_chi_squared": unequal, "potentials_converged": unequal <= CONVERGED}
        return Pairing(mapped(found, pairs), self.params.labels, facts)

    def _beta(
        self, pairs: JointSamples, compared: Embedding | None, generator: Generator
    ) -> tuple[float, Embedding | None, Diagnostics]:
        """The weight of conditions, the statistic they are compared by, and how that came about."""
        if self.params.beta != "auto":
            return self.params.beta, compared, {"beta": recorded(self.params.beta)}
        found = calibrate_beta(
            *pairs,
            self.latents,
            batch=min(len(pairs.x), CALIBRATION_BATCH),
            generator=generator,
            target=self.params.leak,
        )
        return found.beta, found.embedding, calibrated(found)
