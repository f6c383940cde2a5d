"""Sampling: solve dx_t/dt = v(t, y, x_t) from a latent at t = 0 to a sample at t = 1.

With guidance w other than 1 the velocity is v(no class) + w (v(class) - v(no class)), at two
evaluations of the network.

Classifier-Free Diffusion Guidance (Ho, Salimans, 2022), https://arxiv.org/abs/2207.12598
"""

from __future__ import annotations

import torch
from torch import Tensor

from cwbench.preset import NFE
from cwbench.training.ode import Solver, Velocity, integrate, refusal
from cwbench_baselines.flows.loss import VelocityNetwork


def nfe_refusal(solver: Solver, nfe: NFE, guidance: float) -> str | None:
    """Why `nfe` cannot be hit exactly, or None."""
    if guidance == 1 or nfe == "adaptive":
        return refusal(solver, nfe)
    if nfe % 2:
        return "guidance takes two evaluations at a time, so NFE must be even"
    return refusal(solver, nfe // 2)


def guided(network: VelocityNetwork, y: Tensor, guidance: float) -> Velocity:
    """The velocity field under conditions y, `(n, *y_shape)`."""
    condition = network.condition(y)

    def velocity(t: Tensor, x_t: Tensor) -> Tensor:
        v_t: Tensor = network(t.expand(len(x_t)), x_t, condition)
        if guidance == 1:
            return v_t
        free: Tensor = network(t.expand(len(x_t)), x_t, torch.zeros_like(condition))
        return free + guidance * (v_t - free)

    return velocity


@torch.no_grad()
def solve(
    network: VelocityNetwork,
    z: Tensor,
    y: Tensor,
    nfe: NFE,
    *,
    solver: Solver = "euler",
    guidance: float = 1.0,
    path: bool = False,
) -> Tensor:
    """The samples that latents z with conditions y are carried to, `(n, *x_shape)`.

    With `path` the points at all step boundaries, `(steps + 1, n, *x_shape)`.
    """
    steps: NFE = nfe if guidance == 1 or nfe == "adaptive" else nfe // 2
    return integrate(guided(network, y, guidance), z, steps, solver, path=path)
