"""Neural posterior estimation, corrected by importance sampling.

Of some proposals x ~ q(. | y) one is drawn with the weight p(y | x) p(x) / q(x | y): the law of the
draw tends to the posterior as the proposals grow, if q covers it. Each draw has proposals of its
own, so that draws are independent. Where no proposal can have produced y, all weigh alike.

The effective sample size over the number of proposals, on observations of the training data, is a
diagnostic of the fit: 1 where q is the posterior.

Neural Importance Sampling for Rapid and Reliable Gravitational-Wave Inference (Dax, Green, Gair,
Puerrer, Wildberger, Macke, Buonanno, Schoelkopf, 2023), https://arxiv.org/abs/2210.05686
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import BaseModel, Field
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.known.classes import Need
from cwbench.method import Diagnostics, FitContext, MethodInfo, some_of
from cwbench.preset import NFE
from cwbench_baselines.guided.noise import Noise, call_number
from cwbench_baselines.guided.particles import effective_size, picked
from cwbench_baselines.npe import CHUNK, NeuralPosteriorEstimation, NeuralPosteriorParams

SHOWN = 50
"""Observations of the training data that the effective sample size is found on."""


class ImportanceParams(NeuralPosteriorParams):
    """Settings of neural posterior estimation with importance sampling."""

    proposals: int = Field(20, ge=1, le=100_000, description="of which a draw is one")


class ImportanceSampledPosterior(NeuralPosteriorEstimation):
    """npe's draws, reweighted by likelihood and prior."""

    info = MethodInfo(
        name="npe-importance",
        version=2,
        title="Neural posterior estimation with importance sampling",
        citation="dax2023neural, durkan2019neural",
    )
    Params: ClassVar[type[ImportanceParams]] = ImportanceParams
    params: ImportanceParams
    _facts: Diagnostics = {}  # noqa: RUF012 - replaced by `fit`, never changed

    @classmethod
    def needs(cls, params: BaseModel) -> frozenset[Need]:
        """What the weights are made of."""
        return frozenset({"likelihood", "density"})

    def fit(self, data: Dataset[tuple[Tensor, Tensor]], context: FitContext) -> None:
        """As `npe`; then find the effective sample size."""
        super().fit(data, context)
        y = some_of(data, SHOWN).y
        with context.uncounted(), torch.no_grad():
            call = call_number(context.generator("effective size"))
            _, log_weights = self._proposed(y, Noise(call, [(i, 0) for i in range(len(y))]))
        share = effective_size(log_weights) / self.params.proposals
        self._facts = {"effective_share": float(share.mean())}

    @torch.no_grad()
    def sample(self, y: Tensor, n: int, generator: Generator, nfe: NFE | None = None) -> Tensor:
        """One of the proposals of each draw."""
        call, size = call_number(generator), max(1, CHUNK // self.params.proposals)
        pairs = [(i, j) for i in range(len(y)) for j in range(n)]
        drawn = []
        for at in range(0, len(pairs), size):
            chunk = pairs[at : at + size]
            noise = Noise(call, chunk)
            x, log_weights = self._proposed(y[[i for i, _ in chunk]], noise)
            drawn.append(picked(log_weights, noise.uniform(1), x))
        return torch.cat(drawn).float().reshape(len(y), n, *self.spec.x_shape)

    def _proposed(self, y: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Proposals `(n, K, d)` for observations `(n, *y_shape)`, their log weights `(n, K)`."""
        K, device, known = self.params.proposals, self.spec.device, self.spec.known
        e = noise.normal(K, self.spec.x_size).flatten(0, 1).float().to(device)
        x, q = self.flow.draw_with_density(e, y.repeat_interleave(K, 0).to(device))
        x, q = x.cpu().double(), q.cpu().double().unflatten(0, (-1, K))
        shaped = x.reshape(len(y), K, *self.spec.x_shape)
        joint = known.likelihood(shaped, y) + known.density(shaped.flatten(0, 1)).unflatten(
            0, (-1, K)
        )
        possible = joint.isfinite().any(1, keepdim=True)
        log_weights = torch.where(possible, joint - q, 0.0)
        return x.unflatten(0, (-1, K)), log_weights

    def diagnostics(self) -> Diagnostics:
        """The effective sample size, as a share of the proposals."""
        return self._facts
