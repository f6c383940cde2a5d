"""Split Gibbs sampling with a diffusion prior: likelihood and prior in turn, coupled by rho.

    z | x, y  ~  N(z; x, rho^2 I) p(y | z),      x | z  ~  p(x) N(z; x, rho^2 I)

The first is Gaussian and drawn exactly; the second is X_0 given x_0 + rho e = z: the reverse
diffusion from the level rho on. rho falls; at rho -> 0 the chain would target the posterior, and it
does not move any more. A draw is the last x of a chain of its own. The authors lower rho by a
factor of .9 a round, from 10 to .1 or .3, and reverse from there along the part below rho of 100
steps from 80 on: 67, 29 and 21 calls in a round at rho = 10, .3 and .1.

With few inner steps x is nearly the denoised z, and at the default of 1 it is that, without the
spread of X_0 given z: half of the noise of a round is missing and, as rho falls, so is half of the
variance, however many the rounds. In one dimension, with a prior N(0, 1), A = 1 and s = .5, it is
.101 at the defaults, .106 at 1,000 rounds of 2 and .168 and .186 at 100 rounds of 10 and 20; the
exact one is .2. At 100 calls in all, many rounds win nevertheless (`benchmarks.guided`).

Principled Probabilistic Imaging using Diffusion Models as Plug-and-Play Priors (Wu, Sun, Chen,
Zhang, Yue, Bouman, 2024), https://arxiv.org/abs/2405.18782
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench.known.operator import LinearOperator
from cwbench.method import MethodInfo
from cwbench_baselines.guided.sampler import GuidedParams, GuidedSampler, Problem
from cwbench_baselines.guided.schedule import bridge, polynomial_levels

INNER_END = 1e-2
"""Level from which the reverse diffusion takes its last step, to 0; half of rho if that is less."""


class PnPDMParams(GuidedParams):
    """Settings of split Gibbs sampling."""

    steps: int = Field(100, ge=1, description="rounds; times inner: calls of the denoiser")
    inner: int = Field(1, ge=1, description="reverse diffusion steps in a round")
    rho_max: float = Field(3.0, gt=0, description="coupling in the first round")
    rho_min: float = Field(0.03, gt=0, description="coupling in the last round")


class SplitGibbs(GuidedSampler):
    """Plug-and-play diffusion models."""

    info = MethodInfo(
        name="pnp-dm",
        version=3,
        title="Split Gibbs with a diffusion prior (PnP-DM)",
        citation="wu2024principled",
    )
    Params: ClassVar[type[PnPDMParams]] = PnPDMParams
    params: PnPDMParams

    def draw(self, problem: Problem) -> Tensor:
        """The x of the last round."""
        params = self.params
        x = torch.zeros(len(problem), problem.size, dtype=torch.float64)
        for rho in polynomial_levels(params.steps, params.rho_max, params.rho_min).tolist():
            e = problem.noise.normal(problem.size)
            z = likelihood_draw(problem.operator, problem.observed, x, rho, e)
            x = prior_draw(problem, z, rho, params.inner)
        return x


def likelihood_draw(A: LinearOperator, y: Tensor, x: Tensor, rho: float, e: Tensor) -> Tensor:
    """Draw z ~ N(x, rho^2 I) p(y | z) from standard normal e; all others have shape `(n, d)`.

    Along the singular vectors of A it has the precision S^2 / s^2 + 1 / rho^2, elsewhere 1 / rho^2.
    """
    U, S, V = A.singular_values
    A.count(2 * len(x))
    precision = S.square() / A.noise**2 + 1 / rho**2
    pull = (y @ U * S / A.noise**2 + x @ V / rho**2) / precision
    along = pull + precision.rsqrt() * (e @ V)
    free = x + rho * e
    return free + (along - free @ V) @ V.T


def prior_draw(problem: Problem, z: Tensor, rho: float, steps: int) -> Tensor:
    """X_0 given x_0 + rho e = z, by ancestral steps."""
    low = min(INNER_END, rho / 2)
    inner = polynomial_levels(steps, rho, low).tolist() if steps > 1 else [rho]
    for k, following in pairwise([*inner, 0.0]):
        mean, deviation = bridge(z, problem.denoise(z, k), k, following)
        z = mean + deviation * problem.noise.normal(problem.size) if deviation else mean
    return z
