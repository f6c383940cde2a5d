"""Semidiscrete flow matching: latents are paired with the whole training set, not a minibatch.

Before training, potentials g of all training pairs are found (`cwbench.ot.semidiscrete`); then a
latent z_i with its condition y_i goes to

    argmin_k |z_i - x_k|^2 + beta |r(y_i) - r(y_k)|^2 - g_k.

The condition y_i is that of the batch, the network is fed it (`source`) or y_k (`target`). beta is
calibrated on minibatches of 1000 as for `cot-fm`; the leak that the pairs really have is in the
record, and so is how unequally the data are used (`data_chi_squared`, 0 at the optimum).

Flow Matching with Semidiscrete Couplings (Mousavi-Hosseini, Zhang, Klein, Cuturi, 2025),
https://arxiv.org/abs/2509.25519
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.method import Diagnostics, FitContext, MethodInfo, tensors_of
from cwbench.ot.calibration import Batch, Statistic, calibrate_beta, moved_share
from cwbench.ot.coupling import Coupling, Independent
from cwbench.ot.semidiscrete import Semidiscrete, chi_squared
from cwbench_baselines.flows.cot_fm import told
from cwbench_baselines.flows.flow import BaseFlow, FlowParams, Labels, Matched

CALIBRATION_BATCH = 1_000


class SemidiscreteParams(FlowParams):
    """Settings of semidiscrete flow matching."""

    beta: float | Literal["auto"] = Field(
        "auto",
        description="weight on the squared distance of conditions, at least 0, inf for class "
        "labels only; auto calibrates it",
    )
    leak: float = Field(0.001, gt=0, lt=1, description="label leak that beta = auto allows")
    potential_steps: int = Field(1500, ge=1, description="steps of ascent on the potentials")
    labels: Labels = Field("source", description="condition the network is fed after pairing")

    @field_validator("beta")
    @classmethod
    def _not_negative(cls, beta: float | str) -> float | str:
        if isinstance(beta, float) and not beta >= 0:
            raise ValueError("beta must be at least 0, inf or auto")
        return beta


class SemidiscreteFlowMatching(BaseFlow):
    """Each latent goes to the training pair that the dual potentials say."""

    info = MethodInfo(
        name="sd-fm",
        version=1,
        title="Semidiscrete flow matching",
        citation="mousavihosseini2025flow",
        nfe=True,
    )
    Params: ClassVar[type[SemidiscreteParams]] = SemidiscreteParams
    params: SemidiscreteParams

    @property
    def labels(self) -> Labels:
        """As set."""
        return self.params.labels

    def coupling(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> Coupling:
        """Find the potentials. No rule inside a minibatch is left: `matched` asks them."""
        self.x, self.y = tensors_of(data)
        generator = context.generator("calibration")
        with context.clock("calibration"):
            beta, embedding = self._beta(generator, context)
            self.map = Semidiscrete(self.x, self.y, beta=beta, embedding=embedding)
            self.map.ascend(self._draw, steps=self.params.potential_steps, generator=generator)
            drawn = [self.map(*self._draw(size, generator)) for size in [1_000] * 20]
        unequal = chi_squared(torch.cat(drawn), len(self.x))
        self.calibration: Diagnostics = {"beta": told(beta), "data_chi_squared": unequal}
        return Independent()

    def _beta(
        self, generator: Generator, context: FitContext
    ) -> tuple[float, torch.nn.Module | None]:
        if self.params.beta != "auto":
            return self.params.beta, None
        found = calibrate_beta(
            self.x,
            self.y,
            self.spec.sample_latent,
            batch=min(len(self.x), CALIBRATION_BATCH),
            generator=generator,
            target=self.params.leak,
        )
        return found.beta, found.embedding

    def _draw(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Latents, and conditions independent of them."""
        rows = torch.randint(len(self.y), (n,), generator=generator)
        return self.spec.sample_latent(n, generator), self.y[rows]

    def matched(self, rule: Coupling, z: Tensor, x: Tensor, y: Tensor) -> Matched:
        """Each latent with the training pair it is mapped to."""
        k = self.map(z, y)
        changed = (self.x[k] != x).flatten(1).any(1)
        return Matched(z, self.x[k], y, self.y[k], float(changed.double().mean()))

    def leak(self, rule: Coupling, batches: list[Batch], statistic: Statistic) -> float:
        """The label leak of the pairs that the potentials make."""
        pairs = [self.matched(rule, *batch) for batch in batches]
        return moved_share(((one.y_source, one.y_target) for one in pairs), statistic)

    def diagnose(
        self, rule: Coupling, data: Dataset[tuple[Tensor, Tensor]], context: FitContext
    ) -> Diagnostics:
        """What every flow says, beta, and how unequally the data are used."""
        return super().diagnose(rule, data, context) | self.calibration
