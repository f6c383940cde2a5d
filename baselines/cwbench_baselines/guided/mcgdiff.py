"""Monte Carlo guided diffusion: particles in the basis of the operator's singular vectors.

With A = U S V^T and z = V^T x, coordinate i is observed as y_i = z_i + (s / S_i) e: y_i is itself a
draw of the noisy z_i at the level k_i = s / S_i. So the reverse diffusion has to pass through
z_i = y_i at k_i. Above that level the coordinate is drawn towards it by the potential

    g_k(z_i) = N(z_i; y_i, k^2 - k_i^2),

the law of the noisy z_i given that it was y_i at k_i; below it is free. Particles follow the
ancestral steps times the potential, weighted by its normaliser over the potential before. k_i is
rounded to the levels there are, so that particles and steps have to grow together: where none lies
below k_i, coordinate i ends at its denoised y_i, without a spread; all spread is of the steps below
k_i, of which few leave too little. In one dimension, with a prior N(0, 1), A = 1 and s = .5, the
variance is .11 at the defaults and .16 at 100 steps of 20 particles; the exact one is .2.

The authors' code widens the potential by a variance of 10^-4, lets go of it below k_i and weights
the last particles with p(y | x_0) over the last potential; here z_i = y_i holds exactly, which
needs no such weight where k_i is a level. It resamples multinomially, here systematically. Every
draw has a population of its own.

Monte Carlo guided Diffusion for Bayesian linear inverse problems (Cardoso, Janati, Le Corff,
Moulines, 2024), https://arxiv.org/abs/2308.07983
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import start
from cwbench_baselines.guided.particles import PopulationParams, picked, resampled
from cwbench_baselines.guided.sampler import GuidedSampler, Problem
from cwbench_baselines.guided.schedule import bridge, vp_levels

TINY = 1e-12


class MonteCarloGuided(GuidedSampler):
    """Sequential Monte Carlo through the observed coordinates."""

    info = MethodInfo(
        name="mcgdiff",
        version=2,
        title="Monte Carlo guided diffusion (MCGdiff)",
        citation="cardoso2024monte",
    )
    Params: ClassVar[type[PopulationParams]] = PopulationParams
    params: PopulationParams

    @property
    def particles(self) -> int:
        """The setting."""
        return self.params.particles

    def draw(self, problem: Problem) -> Tensor:
        """A particle of the last population of each row."""
        P, A = self.params.particles, problem.operator
        U, S, V = A.singular_values
        levels = vp_levels(self.params.steps, self.params.alpha_min)
        own = nearest(levels, A.noise / S)
        A.count(len(problem))
        seen = (problem.observed @ U / S)[:, None]  # y_i, the same for all particles
        x = start(problem, float(levels[0]), P)
        log_weights = potential(x @ V, seen, levels[0].square() - own.square())
        for k, following in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            (x,) = resampled(log_weights, problem.noise.uniform(1), x)
            D = problem.denoise(x.flatten(0, 1), k).unflatten(0, (-1, P))
            mean, deviation = bridge(x, D, k, following)
            e = problem.noise.normal(P, problem.size)
            before = potential(x @ V, seen, k**2 - own.square())
            ahead = torch.where(following >= own, following**2 - own.square(), -1.0)
            log_weights = potential(mean @ V, seen, ahead, deviation**2) - before
            x = mean + deviation * e
            x = x + (towards(x @ V, mean @ V, seen, ahead, deviation) - x @ V) @ V.T
        return picked(log_weights, problem.noise.uniform(1), x)


def nearest(levels: Tensor, k: Tensor) -> Tensor:
    """The level of `levels` above 0 nearest to each k in logarithm; infinity where all lie below.

    What is noisier than the first level is not observed at all.
    """
    positive = levels[:-1]
    chosen = positive[(positive.log()[:, None] - k.log()).abs().argmin(0)]
    return torch.where(k > positive[0], torch.inf, chosen)


def potential(z: Tensor, y: Tensor, variance: Tensor, more: float = 0.0) -> Tensor:
    """The sum over i of log N(y_i; z_i, variance_i + more), where variance_i is not negative.

    Args:
        z: with shape `(n, P, r)`.
        y: with shape `(n, 1, r)`.
        variance: with shape `(r,)`; a negative one stands for no potential, as does 0 in all.
        more: added to each variance.
    """
    total = variance + more
    held = (variance >= 0) & (total > TINY)
    safe = torch.where(held, total, 1.0)
    density = -((y - z).square() / safe + safe.log()) / 2
    return torch.where(held, density, 0.0).sum(-1)


def towards(z: Tensor, mean: Tensor, y: Tensor, variance: Tensor, deviation: float) -> Tensor:
    """Turn z ~ N(mean, deviation^2) into a draw of that law times the potential."""
    share = deviation**2 / (variance + deviation**2).clamp_min(TINY)  # of the way to y
    width = (1 - share).clamp_min(0).sqrt()
    guided = mean + share * (y - mean) + width * (z - mean)
    return torch.where(variance >= 0, guided, z)
