"""Sampling a flow: integrate dx/dt = v(t, x) from t = 0 (noise) to t = 1 (data).

A fixed-step solver uses exactly the NFE it is given. `"adaptive"` is dopri5 at rtol = atol = 1e-5,
its evaluations counted by the harness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

ROWS = 1_000
"""Samples integrated together at least, unless there are fewer."""

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


def whole_observations(z: Tensor, y: Tensor, n: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Latents and their conditions in chunks of whole observations, each integrated together.

    The chunks are a function of `n` alone, and from 1000 samples on each is one observation: the
    adaptive solver's steps then depend on nothing else.

    Args:
        z: latents with shape `(m * n, *x_shape)`.
        y: observations with shape `(m, *y_shape)`.
        n: samples of each.
    """
    size = n * max(1, ROWS // n)
    return zip(z.split(size), y.repeat_interleave(n, 0).split(size), strict=True)


def integrate(
    velocity: Velocity, z: Tensor, nfe: NFE, solver: Solver = "euler", *, path: bool = False
) -> Tensor:
    """Solve the ODE for a batch.

    Args:
        velocity: `v(t, x)` with t a scalar tensor and x with shape `(n, *x_shape)`.
        z: latents with shape `(n, *x_shape)`.
        nfe: evaluations of `velocity`, or "adaptive".
        solver: the fixed-step solver.
        path: return the points at all step boundaries, with shape `(steps + 1, n, *x_shape)`.

    Returns:
        Samples with shape `(n, *x_shape)`; all NaN where the solver did not converge, so that a
        failed integration can never be taken for a sample.

    Raises:
        ValueError: if the solver cannot use exactly `nfe` evaluations.
        Exception: whatever `velocity` raises, an AssertionError of its own too.
    """
    reason = refusal(solver, nfe)
    if reason:
        raise ValueError(reason)
    if nfe == "adaptive":
        ends = torch.tensor([0.0, 1.0], device=z.device)
        options = {"max_num_steps": MAX_STEPS}
        noting = _Noting(velocity)
        try:
            points = odeint(
                noting, z, ends, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5", options=options
            )
        except AssertionError:  # torchdiffeq's word for an underflowing step or too many steps
            if noting.failed:
                raise
            return torch.full_like(z, torch.nan)
        return points[-1]  # type: ignore[no-any-return]  # torchdiffeq is untyped
    grid = times(nfe, solver).to(z.device)
    points = odeint(velocity, z, grid, method=TORCHDIFFEQ[solver])
    return points if path else points[-1]  # type: ignore[no-any-return]


class _Noting:
    """A velocity, and whether an error came out of it rather than out of the solver."""

    def __init__(self, velocity: Velocity) -> None:
        self.velocity, self.failed = velocity, False

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        self.failed = True
        v = self.velocity(t, x)
        self.failed = False
        return v
