"""Pseudo-inverse guidance: X_0 | x_t taken for a Gaussian of one variance r_t^2 in all directions.

    D_y = D + k^2 J^T A^T (r_t^2 A A^T + s^2 I)^-1 (y - A D),   r_t^2 = k^2 / (1 + k^2)

in x_t = x_0 + k e, where r_t^2 is the variance of X_0 | x_t for a standard normal prior. There
r_t^2 = k^2 J, and the method is `mmps`.

The weight k^2 is that of Tweedie's formula. The authors' code, for noiseless y, adds to each x_s,
in this form, J^T A^+ (y - A D) whatever the length of the step, which many small steps add up to x
on y; here, as s falls to 0, that is times (1 + k^2) (1 - (k_s / k_t)^2).

Pseudoinverse-Guided Diffusion Models for Inverse Problems (Song, Vahdat, Mardani, Kautz, 2023),
https://openreview.net/forum?id=9_gsMA8MRKQ
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from cwbench.known.operator import LinearOperator
from cwbench.method import MethodInfo
from cwbench_baselines.guided.ancestral import (
    AncestralParams,
    AncestralSampler,
    pulled,
    with_gradient,
)
from cwbench_baselines.guided.sampler import Problem


class PseudoInverseGuidance(AncestralSampler):
    """Ancestral steps with PiGDM's guidance."""

    info = MethodInfo(
        name="pigdm",
        version=1,
        title="Pseudo-inverse guidance (PiGDM)",
        citation="song2023pseudoinverse",
    )
    Params: ClassVar[type[AncestralParams]] = AncestralParams

    def guided(self, problem: Problem, x: Tensor, k: float, following: float) -> Tensor:
        """The denoiser moved towards y."""
        x, D = with_gradient(problem, x, k)
        _, slope = misfit(problem.operator, problem.observed, D.detach(), spread_of(k))
        return D.detach() + k**2 * pulled(x, D, slope)


def spread_of(k: float) -> float:
    """r_t^2, the variance of X_0 | x_t for a standard normal prior."""
    return k**2 / (1 + k**2)


def misfit(A: LinearOperator, y: Tensor, x: Tensor, variance: float) -> tuple[Tensor, Tensor]:
    """Logarithm of N(y; A x, v A A^T + s^2 I) but for a constant, `(n,)`; its gradient `(n, d)`.

    In the basis of singular vectors, where the matrix is diagonal; outside of the range of A no x
    makes a difference.

    Args:
        A: the operator.
        y: observations with shape `(n, d_y)`.
        x: with shape `(n, d)`.
        variance: v.
    """
    U, S, V = A.singular_values
    residual = (y - A.forward(x)) @ U.to(y)
    weighted = residual / (variance * S.square() + A.noise**2).to(y)
    A.count(len(x))
    return -(residual * weighted).sum(-1) / 2, (weighted * S.to(y)) @ V.T.to(y)
