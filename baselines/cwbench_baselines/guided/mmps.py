"""Moment-matching posterior sampling: X_0 | x_t taken for a Gaussian with its exact covariance.

    D_y = D + k^2 J^T A^T (s^2 I + A k^2 J A^T)^-1 (y - A D)

in x_t = x_0 + k e, since Cov[X_0 | x_t] = k^2 J with J the Jacobian of D. Exact for Gaussian priors
up to the steps, and only where the system is solved: here by GMRES until the residual is below
`tolerance`, as J of a learned denoiser is not symmetric. Each iteration costs a product with J^T;
they are counted by the harness.

Learning Diffusion Priors from Observations by Expectation Maximization (Rozet, Andry, Lanusse,
Louppe, 2024), https://arxiv.org/abs/2405.13712
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import (
    AncestralParams,
    AncestralSampler,
    pulled,
    with_gradient,
)
from cwbench_baselines.guided.sampler import Problem

TINY = 1e-30


class MMPSParams(AncestralParams):
    """Settings of moment-matching posterior sampling."""

    tolerance: float = Field(
        1e-6, gt=0, lt=1, description="residual of the linear system, relative to y - A D"
    )


class MomentMatching(AncestralSampler):
    """Ancestral steps with MMPS's guidance."""

    info = MethodInfo(
        name="mmps",
        version=1,
        title="Moment-matching posterior sampling (MMPS)",
        citation="rozet2024learning",
    )
    Params: ClassVar[type[MMPSParams]] = MMPSParams
    params: MMPSParams

    def guided(self, problem: Problem, x: Tensor, k: float, following: float) -> Tensor:
        """The denoiser moved by the linear update."""
        x, D = with_gradient(problem, x, k)
        A = problem.operator

        def observed(u: Tensor) -> Tensor:
            """(s^2 I + A k^2 J^T A^T) u."""
            return A.noise**2 * u + k**2 * A.forward(pulled(x, D, A.adjoint(u), again=True))

        u = gmres(observed, problem.observed - A.forward(D.detach()), self.params.tolerance)
        return D.detach() + k**2 * pulled(x, D, A.adjoint(u))


def gmres(operator: Callable[[Tensor], Tensor], b: Tensor, tolerance: float) -> Tensor:
    """Solve `operator(u) = b` for each row, `(n, d)`, from the Krylov spaces of growing size.

    GMRES (Saad, Schultz, 1986), https://doi.org/10.1137/0907058; the last space is all of R^d.
    """
    scale = b.norm(dim=1, keepdim=True).clamp_min(TINY)
    basis, images = [b / scale], []
    u = torch.zeros_like(b)
    for _ in range(b.shape[1]):
        images.append(operator(basis[-1]))
        V, W = torch.stack(basis, -1), torch.stack(images, -1)
        weights = _least_squares(W, b[..., None])
        u = (V @ weights)[..., 0]
        residual = (b - (W @ weights)[..., 0]).norm(dim=1, keepdim=True) / scale
        if float(residual.max()) < tolerance:
            break
        basis.append(_orthogonal(images[-1], V))
    return u


def _least_squares(W: Tensor, b: Tensor) -> Tensor:
    """The weights `(n, k, 1)` with the least |W weights - b|; 0 for a column that adds nothing."""
    Q, R = torch.linalg.qr(W)
    diagonal = R.diagonal(dim1=1, dim2=2)
    empty = diagonal.abs() <= 1e-12 * diagonal.abs().amax(1, keepdim=True)
    sound = R + torch.diag_embed(torch.where(empty, 1 - diagonal, 0.0))
    right = (Q.mT @ b).masked_fill(empty[..., None], 0.0)
    weights: Tensor = torch.linalg.solve_triangular(sound, right, upper=True)
    return weights


def _orthogonal(v: Tensor, V: Tensor) -> Tensor:
    """The part of v that V does not span, of unit length; 0 where there is none."""
    length = v.norm(dim=1, keepdim=True).clamp_min(TINY)
    for _ in range(2):  # once more, against rounding
        v = v - (V @ (V.mT @ v[..., None]))[..., 0]
    norm = v.norm(dim=1, keepdim=True)
    return torch.where(norm > 1e-10 * length, v / norm.clamp_min(TINY), 0.0)
