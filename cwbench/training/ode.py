"""Sampling a flow: integrate dx/dt = v(t, x) from t = 0 (noise) to t = 1 (data).

A fixed-step solver uses exactly the NFE it is given. `"adaptive"` is dopri5 at rtol = atol = 1e-5,
its evaluations counted by the harness.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torchdiffeq import odeint

from cwbench.preset import NFE

Solver = Literal["euler", "midpoint", "heun", "rk4"]
EVALUATIONS: dict[Solver, int] = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
TORCHDIFFEQ: dict[Solver, str] = {
    "euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4": "rk4"
}  # fmt: skip
TOLERANCE = 1e-5
MAX_STEPS = 1_000

Velocity = Callable[[Tensor, Tensor], Tensor]


def refusal(solver: Solver, nfe: NFE) -> str | None:
    """Why `solver` cannot use exactly `nfe` evaluations, or None."""
    per_step = EVALUATIONS[solver]
    if nfe == "adaptive" or nfe % per_step == 0:
        return None
    return f"{solver} uses {per_step} evaluations a step, so NFE must be a multiple of {per_step}"


def times(nfe: int, solver: Solver = "euler") -> Tensor:
    """The step boundaries from 0 to 1 of a fixed-step solver."""
    return torch.linspace(0.0, 1.0, nfe // EVALUATIONS[solver] + 1)


def integrate(
    velocity: Velocity, z: Tensor, nfe: NFE, solver: Solver = "euler", *, path: bool = False
) -> Tensor:
    """Solve the ODE for a batch.

    Args:
        velocity: `v(t, x)` with t a scalar tensor and x with shape `(n, *x_shape)`.
        z: latents with shape `(n, *x_shape)`.
        nfe: evaluations of `velocity`, or "adaptive".
        solver: the fixed-step rule.
        path: return the states at all step boundaries, with shape `(steps + 1, n, *x_shape)`.

    Returns:
        Samples with shape `(n, *x_shape)`; all NaN where the solver did not converge, so that a
        failed integration can never be taken for a sample.

    Raises:
        ValueError: if the solver cannot use exactly `nfe` evaluations.
    """
    reason = refusal(solver, nfe)
    if reason:
        raise ValueError(reason)
    if nfe == "adaptive":
        ends = torch.tensor([0.0, 1.0], device=z.device)
        options = {"max_num_steps": MAX_STEPS}
        try:
            states = odeint(
                velocity, z, ends, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5", options=options
            )
        except AssertionError:  # torchdiffeq's word for an underflowing step or too many steps
            return torch.full_like(z, torch.nan)
        return states[-1]  # type: ignore[no-any-return]  # torchdiffeq is untyped
    grid = times(nfe, solver).to(z.device)
    states = odeint(velocity, z, grid, method=TORCHDIFFEQ[solver])
    return states if path else states[-1]  # type: ignore[no-any-return]
