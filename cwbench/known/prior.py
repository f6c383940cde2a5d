"""A Gaussian-mixture prior seen through noise: x_t = alpha x_0 + sigma e, e ~ N(0, I).

With X_0 ~ sum_k w_k N(m_k, C_k), C_k = U_k diag(l_k) U_k^T, component k of X_0 given x_t has

    variances   l sigma^2 / (alpha^2 l + sigma^2) along U_k
    mean        m_k + U_k diag(alpha l / (alpha^2 l + sigma^2)) U_k^T (x_t - alpha m_k)
    log weight  log w_k + log N(x_t; alpha m_k, alpha^2 C_k + sigma^2 I), normalised over k

so the eigenvectors of the components serve every noise level.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from cwbench.errors import ContractError
from cwbench.samples import FactorPrior, MixturePrior

ROUNDING = 1e-8
"""Relative error that a task may have made in weights and covariances."""

Noted = Callable[[int, Tensor], None]
"""Is told how many x_t were denoised, and handed the result, to watch for its derivative."""


class ExactPrior(ABC):
    """The exact denoiser, score and posterior of a prior at every noise level, float64.

    alpha and sigma are numbers, or have shape `(n, 1)`; x_t has shape `(n, d)`.
    """

    prior: MixturePrior | FactorPrior

    @property
    @abstractmethod
    def size(self) -> int:
        """d, the numbers of x."""

    @abstractmethod
    def denoise(self, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """E[X_0 | x_t] with shape `(n, d)`."""

    def score(self, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """The gradient of log p(x_t) with shape `(n, d)`, by Tweedie's formula."""
        return (alpha * self.denoise(x_t, alpha, sigma) - x_t) / sigma**2

    @abstractmethod
    def drawn(
        self,
        x_t: Tensor,
        alpha: Tensor | float,
        sigma: Tensor | float,
        *,
        uniform: Tensor,
        normal: Tensor,
    ) -> Tensor:
        """One draw of X_0 | x_t for each x_t, from `uniform` `(n,)` and `normal` `(n, d)`."""

    @abstractmethod
    def joint_log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x, component k) with shape `(n, K)` of x with shape `(n, d)`."""

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x) with shape `(n,)` of x with shape `(n, d)`."""
        return self.joint_log_density(x).logsumexp(-1)

    def responsibilities(self, x: Tensor) -> Tensor:
        """p(component k | x) with shape `(n, K)` of x with shape `(n, d)`."""
        return self.joint_log_density(x).softmax(-1)

    @abstractmethod
    def standardised(self, mean: Tensor, deviation: Tensor) -> ExactPrior:
        """The prior of u, with x = mean + deviation u; both have shape `(d,)`."""


class Denoised(NamedTuple):
    """X_0 given each of n x_t as a mixture, in the eigenvectors U_k of its components.

    `log_weights` with shape `(n, K)`, `shifts` U_k^T (mean - m_k) and `variances` along U_k, both
    `(n, K, d)`.
    """

    log_weights: Tensor
    shifts: Tensor
    variances: Tensor


@dataclass(frozen=True)
class NoisyPrior(ExactPrior):
    """That of a mixture by the eigenvectors of its covariances."""

    prior: MixturePrior
    noted: Noted = field(default=lambda *_: None, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is no mixture of Gaussians."""
        refuse_parts(self.prior)
        _refuse_shapes(self.prior)
        refuse_weights(self.prior.weights)
        covariances = self.prior.covariances
        gap = (covariances - covariances.mT).abs().amax((1, 2))
        if not (gap <= ROUNDING * covariances.abs().amax((1, 2))).all():
            raise ContractError("a covariance of the prior mixture is not symmetric")

    @property
    def size(self) -> int:
        """d, the numbers of x."""
        return self.prior.means.shape[1]

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        """`l` with shape `(K, d)` and `U` with shape `(K, d, d)`.

        Raises:
            ContractError: if a covariance has a negative eigenvalue.
        """
        values, vectors = torch.linalg.eigh(self.prior.covariances)
        if not (values >= -ROUNDING * values.abs().amax(1, keepdim=True)).all():
            raise ContractError(
                f"a covariance of the prior mixture has the eigenvalue {float(values.min()):.3g}"
            )
        return values.clamp_min(0), vectors

    @cached_property
    def _means(self) -> Tensor:
        """U_k^T m_k with shape `(K, d)`."""
        return torch.einsum("kd,kde->ke", self.prior.means, self.eigen[1])

    @cached_property
    def _turn(self) -> Tensor:
        """All U_k side by side, `(d, K d)`: one product takes x into every basis."""
        return self.eigen[1].permute(1, 0, 2).flatten(1)

    def _into(self, x: Tensor) -> Tensor:
        """U_k^T x with shape `(n, K, d)`, float64."""
        if x.ndim != 2 or x.shape[1] != self.size:
            raise ContractError(f"x_t has shape {tuple(x.shape)}; the prior takes (n, {self.size})")
        into: Tensor = (x.double() @ self._turn).unflatten(1, self.prior.means.shape)
        return into

    def denoise(self, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """E[X_0 | x_t] with shape `(n, d)`."""
        given = self.given(x_t, alpha, sigma)
        weights = given.log_weights.exp()
        shift = (weights[..., None] * given.shifts).flatten(1) @ self._turn.T
        mean = weights @ self.prior.means + shift
        self.noted(len(x_t), mean)
        return mean

    def given(self, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Denoised:
        """X_0 given each x_t.

        Raises:
            ContractError: if sigma is not above 0, or x_t or a level has another shape.
        """
        alpha, sigma = levels_of(x_t, alpha, sigma)
        values = self.eigen[0]
        along = self._into(x_t) - alpha * self._means
        total = alpha**2 * values + sigma**2
        fit = -(along.square() / total + (2 * math.pi * total).log()).sum(-1) / 2
        log_weights = (self.prior.weights.log() + fit).log_softmax(-1)
        return Denoised(log_weights, alpha * values / total * along, values * sigma**2 / total)

    def drawn(
        self,
        x_t: Tensor,
        alpha: Tensor | float,
        sigma: Tensor | float,
        *,
        uniform: Tensor,
        normal: Tensor,
    ) -> Tensor:
        """One draw of X_0 | x_t for each x_t, from `uniform` `(n,)` and `normal` `(n, d)`."""
        given = self.given(x_t, alpha, sigma)
        k = picked(given.log_weights, uniform)
        row = torch.arange(len(x_t))
        spread = given.variances.expand_as(given.shifts)[row, k].sqrt()
        moved = given.shifts[row, k] + spread * normal
        self.noted(len(x_t), moved)
        return self.prior.means[k] + torch.einsum("nde,ne->nd", self.eigen[1][k], moved)

    def joint_log_density(self, x: Tensor) -> Tensor:
        """Logarithm of p(x, component k) with shape `(n, K)` of x with shape `(n, d)`.

        Raises:
            ContractError: if a component is degenerate: it then has no density.
        """
        values = self.eigen[0]
        if not (values > 0).all():
            raise ContractError("a covariance of the prior mixture is singular: it has no density")
        along = self._into(x.double()) - self._means
        fit = -(along.square() / values + (2 * math.pi * values).log()).sum(-1) / 2
        return self.prior.weights.log() + fit

    def standardised(self, mean: Tensor, deviation: Tensor) -> NoisyPrior:
        """The prior of u, with x = mean + deviation u; both have shape `(d,)`."""
        weights, means, covariances = self.prior
        mean, deviation = mean.double(), deviation.double()
        scaled = covariances / torch.outer(deviation, deviation)
        mapped = MixturePrior(weights, (means - mean) / deviation, scaled)
        return NoisyPrior(mapped, self.noted)


def levels_of(x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
    """Both in float64, with shape `(1,)`, `(1, 1, 1)` or `(n, 1, 1)`.

    Raises:
        ContractError: if sigma is not above 0, or a level has another shape.
    """
    alpha, sigma = (
        torch.as_tensor(part, dtype=torch.float64, device=x_t.device)[..., None]
        for part in (alpha, sigma)
    )
    for level in (alpha, sigma):
        if level.shape not in ((1,), (1, 1, 1), (len(x_t), 1, 1)):
            raise ContractError(
                f"a level of noise has shape {tuple(level.shape[:-1])}; it is a number, or one "
                f"for each x_t, {(len(x_t), 1)}"
            )
    if not (sigma > 0).all():
        raise ContractError(f"sigma is {float(sigma.min())}; a denoiser needs noise above 0")
    return alpha, sigma


def picked(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """A component `(n,)` by its weight, of `(n, K)`; a weight of 0 is not drawn."""
    reached = log_weights.exp().cumsum(-1)
    component: Tensor = (uniform[:, None] * reached[:, -1:] > reached).sum(-1)
    return component


def refuse_weights(weights: Tensor) -> None:
    """Go on if they are at least 0 and add up to 1."""
    if not (weights >= 0).all():
        raise ContractError("a weight of the prior mixture is negative")
    if not math.isclose(float(weights.sum()), 1, rel_tol=ROUNDING):
        raise ContractError(
            f"the weights of the prior mixture add up to {float(weights.sum()):.6g}, not to 1"
        )


def refuse_parts(prior: MixturePrior | FactorPrior) -> None:
    """Go on if the parts are finite float64 tensors."""
    for name, part in prior._asdict().items():
        if not isinstance(part, Tensor) or part.dtype != torch.float64:
            seen = part.dtype if isinstance(part, Tensor) else type(part).__name__
            raise ContractError(f"the {name} of the prior mixture are {seen}, not a float64 tensor")
        if not part.isfinite().all():
            raise ContractError(f"the {name} of the prior mixture hold NaN or infinite numbers")


def _refuse_shapes(prior: MixturePrior) -> None:
    """Go on if the shapes of the parts belong together."""
    shapes = [tuple(part.shape) for part in prior]
    K, d = shapes[1] if len(shapes[1]) == 2 else (0, 0)
    if shapes != [(K,), (K, d), (K, d, d)]:
        raise ContractError(
            f"the prior mixture has shapes {', '.join(map(str, shapes))}; weights (K,), means "
            "(K, d) and covariances (K, d, d) are needed"
        )
