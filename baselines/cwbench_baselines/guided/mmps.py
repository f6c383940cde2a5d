"""Moment-matching posterior sampling: X_0 | x_t taken for a Gaussian with its exact covariance.

    D_y = D + k^2 J^T A^T (s^2 I + A k^2 J A^T)^-1 (y - A D)

in x_t = x_0 + k e, since Cov[X_0 | x_t] = k^2 J with J the Jacobian of D. Exact for Gaussian priors
up to the steps, and only where the system is solved: here by GMRES until the residual is below
`tolerance`, as J of a learned denoiser is not symmetric, on the range of A, outside of which u does
not matter. Each iteration costs a product with J^T; they are counted by the harness. The paper
stops after a few iterations of conjugate gradients; `azula-mmps` is the authors' library.

The exact J has no negative eigenvalues, so that the system is nowhere below s^2; that of a learned
denoiser has some. Where k^2 of one cancels s^2, a converged solve is huge, and draws diverge on
images. So a solve ends at the first direction along which the system is below a tenth of s^2, as
Newton's method does by conjugate gradients at one of negative curvature (Steihaug, 1983,
https://doi.org/10.1137/0720042), and at a `tolerance` of .1, which costs nothing else
(`benchmarks.guided`).

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
LEAST = 0.1
"""Of s^2, which the system has along any direction where J is a covariance."""


class MMPSParams(AncestralParams):
    """Settings of moment-matching posterior sampling."""

    tolerance: float = Field(
        0.1, gt=0, lt=1, description="residual of the linear system, relative to y - A D"
    )


class MomentMatching(AncestralSampler):
    """Ancestral steps with MMPS's guidance."""

    info = MethodInfo(
        name="mmps",
        version=3,
        title="Moment-matching posterior sampling (MMPS)",
        citation="rozet2024learning",
    )
    Params: ClassVar[type[MMPSParams]] = MMPSParams
    params: MMPSParams

    def guided(self, problem: Problem, x: Tensor, k: float, following: float) -> Tensor:
        """The denoiser moved by the linear update."""
        x, D = with_gradient(problem, x, k)
        A = problem.operator
        U, S, V = A.singular_values

        def pull(w: Tensor) -> Tensor:
            """The product k^2 J^T A^T u of u = U w."""
            A.count(len(w))
            return k**2 * pulled(x, D, (S * w) @ V.T, again=True)

        def observed(w: Tensor) -> Tensor:
            """The matrix U^T (s^2 I + A k^2 J^T A^T) U times w."""
            A.count(len(w))
            return A.noise**2 * w + S * (pull(w) @ V)

        residual = (problem.observed - A.forward(D.detach())) @ U
        least = LEAST * A.noise**2
        return D.detach() + pull(gmres(observed, residual, self.params.tolerance, least))


def gmres(
    operator: Callable[[Tensor], Tensor], b: Tensor, tolerance: float, least: float
) -> Tensor:
    """Solve `operator(u) = b` for each row, `(n, d)`, from the Krylov spaces of growing size.

    A row ends where its residual is below `tolerance` times b, or at a direction p along which the
    operator is below `least`: p operator(p) < least p p.

    `directions` p are such that their images q = operator(p) are orthonormal, so that the residual
    loses its part along q; the last space is all of R^d. A row that has converged stays as it is,
    so that no row depends on the others.

    A Simpler GMRES (Walker, Zhou, 1994), https://doi.org/10.1002/nla.1680010602
    """
    scale = b.norm(dim=1, keepdim=True).clamp_min(TINY)
    residual, following, u = b, b / scale, torch.zeros_like(b)
    images, directions = b.new_zeros(len(b), 0, b.shape[1]), b.new_zeros(len(b), 0, b.shape[1])
    sound = torch.ones_like(scale, dtype=torch.bool)
    for _ in range(b.shape[1]):
        active = sound & (residual.norm(dim=1, keepdim=True) > tolerance * scale)
        if not active.any():
            break
        q, p = _orthonormal(operator(following), following, images, directions)
        sound &= (p * q).sum(1, keepdim=True) >= least * (p * p).sum(1, keepdim=True)
        active &= sound
        along = torch.where(active, (residual * q).sum(1, keepdim=True), 0.0)
        u, residual = u + along * p, residual - along * q
        images = torch.cat([images, q[:, None]], 1)
        directions = torch.cat([directions, p[:, None]], 1)
        following = q
    return u


def _orthonormal(q: Tensor, p: Tensor, images: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Make q of unit length and orthogonal to `images`, and p alike; 0 where nothing is left.

    Both have shape `(n, d)`, what came before `(n, k, d)`.
    """
    length = q.norm(dim=1, keepdim=True)
    for _ in range(2):  # once more, against rounding
        shares = (images @ q[..., None]).mT
        q, p = q - (shares @ images)[:, 0], p - (shares @ directions)[:, 0]
    norm = q.norm(dim=1, keepdim=True)
    left = norm > 1e-10 * length
    norm = torch.where(left, norm, 1.0)
    return torch.where(left, q / norm, 0.0), torch.where(left, p / norm, 0.0)
