"""What a task offers to methods that know more than pairs: likelihood, operator, prior.

Each is held against the task's own simulator, so that no formula is judged by itself. With x_1..x_K
of the prior and y of one of them, J, drawn uniformly: P(J = k) = p(y | x_k) / sum_j p(y | x_j), and
a wrong likelihood is miscalibrated there. A denoiser D is exact at a noise level if and only if
E[(X_0 - D(x_t)) g(x_t)] = 0 for every g. In hundreds of dimensions directions at random hardly meet
the few that a prior varies most in; <X_0 - D, x_t - D> counts all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from scipy import stats
from torch import Generator, Tensor

from cwbench.check.outcome import NotApplicableError, require
from cwbench.known.factors import noisy_prior
from cwbench.known.offered import operator_of, prior_of
from cwbench.known.operator import LinearOperator
from cwbench.known.prior import ExactPrior
from cwbench.samples import MixturePosterior, MixturePrior
from cwbench.task import Task

TUPLES, CANDIDATES = 1_500, 4
PAIRS = 3_000
FEWEST, MOST = 1_000, 8_000
ENTRIES = 1_000_000
"""Of x times components: pairs are as many as that allows."""

LEVELS = (0.01, 0.1, 0.3, 1.0, 3.0, 30.0)
"""Noise levels sigma / alpha, in deviations of x."""

STANDARD_ERRORS = 5.5
LEAST_P = 1e-6
EXACT = 1e-6


class Offering(Protocol):
    """A task class with its settings: `cwbench.check.task.TaskSubject`."""

    @property
    def task(self) -> Task:
        """One instance."""


def likelihood(subject: Offering) -> None:
    """`log_likelihood` is that of the simulator, and its derivative is right."""
    task = subject.task
    if not task.has_likelihood:
        raise NotApplicableError("offers no likelihood")
    x, y = task.sample_joint(TUPLES * CANDIDATES, _stream(20))
    x = x.double().unflatten(0, (TUPLES, CANDIDATES))
    y = y.unflatten(0, (TUPLES, CANDIDATES))[:, 0]
    given = task.log_likelihood(x, y)
    _of(given, (TUPLES, CANDIDATES), "log_likelihood")
    require(bool(given[:, 0].isfinite().all()), "it is not finite at an x that gave y")
    require(not bool(given.isnan().any()), "it is NaN for an x of the prior")
    p = given.softmax(-1)
    hit = torch.zeros_like(p)
    hit[:, 0] = 1
    for name, g in (("p", p), ("p^2", p.square()), ("sqrt p", p.sqrt())):
        z = _standard_errors(((hit - p) * g).sum(-1))
        require(
            abs(z) < STANDARD_ERRORS,
            f"which x gave y is told with the wrong confidence: {z:.1f} standard errors in {name}",
        )
    if not task.rough_likelihood:
        _right_derivative(task, x[:20, :1], y[:20])


def operator(subject: Offering) -> None:
    """The linear operator, its adjoint and its noise are those of the simulator."""
    task = subject.task
    A = _operator(task)
    x, y = task.sample_joint(PAIRS, _stream(21))
    noise = (A.centred(y) - A.forward(x.double().flatten(1))) / A.noise
    p = float(stats.kstest(noise.flatten()[: 10 * PAIRS].numpy(), "norm").pvalue)
    require(p > LEAST_P, f"(y - A x - b) / s is not N(0, I): p = {p:.1e}, {float(noise.std()):.3g}")
    some, other = x[:50].double().flatten(1), A.centred(y[:50])
    left, right = (A.forward(some) * other).sum(-1), (some * A.adjoint(other)).sum(-1)
    gap = float((left - right).abs().max() / left.abs().max().clamp_min(1e-300))
    require(gap < EXACT, f"<A x, y> and <x, A^T y> differ by {gap:.1e} of their size")
    if task.has_likelihood:
        pairs = x[:50, None].double(), y[:50]
        gap = float((A.log_likelihood(*pairs) - task.log_likelihood(*pairs)).abs().max())
        require(gap < EXACT, f"log_likelihood and that of the operator differ by {gap:.1e}")


def denoiser(subject: Offering) -> None:
    """The prior's denoiser and draws of X_0 | x_t are those of the simulator, at all levels."""
    task = subject.task
    prior = _prior(task)
    pairs = max(FEWEST, min(MOST, ENTRIES // prior.prior.means.numel()))
    x_0 = task.sample_joint(pairs, _stream(22)).x.double().flatten(1)
    scale = float(x_0.std(0).square().mean().sqrt())
    directions = torch.randn(x_0.shape[1], 3, dtype=torch.float64, generator=_stream(23))
    directions /= directions.norm(dim=0)
    for level in LEVELS:
        noise = torch.randn(*x_0.shape, dtype=torch.float64, generator=_stream(24))
        sigma = level * scale
        x_t = x_0 + sigma * noise
        D = prior.denoise(x_t, 1.0, sigma)
        z = _orthogonal(D, x_0, x_t, directions)
        require(
            z < STANDARD_ERRORS,
            f"at sigma = {sigma:.3g}, E[(X_0 - D(x_t)) g(x_t)] is {z:.1f} standard errors from 0",
        )
        z = _same_draws(prior, D, x_0, x_t, sigma, directions)
        require(
            z < STANDARD_ERRORS,
            f"at sigma = {sigma:.3g}, draws of X_0 | x_t differ by {z:.1f} standard errors",
        )


def bayes(subject: Offering) -> None:
    """Logarithm of p(y | x) + log p(x) - log p(y) is the log density of the exact posterior."""
    task = subject.task
    A, prior = _operator(task), _prior(task).prior
    x, y = task.sample_joint(50, _stream(25))
    posterior = task.posterior_mixture(y)
    if posterior is None or not isinstance(prior, MixturePrior):
        raise NotApplicableError("its posterior is no mixture")
    x = x.double()
    left = task.log_likelihood(x[:, None], y)[:, 0] + task.log_prior(x) - _evidence(A, prior, y)
    gap = float((left - _log_density(posterior, x.flatten(1))).abs().max())
    require(gap < EXACT * A.matrix.shape[1], f"they differ by up to {gap:.2e}")


KNOWN_CHECKS: tuple[Callable[[Offering], None], ...] = (likelihood, operator, denoiser, bayes)


def _orthogonal(D: Tensor, x_0: Tensor, x_t: Tensor, directions: Tensor) -> float:
    """Largest E[r (X_0 - D) g(x_t)] in standard errors, over directions r and functions g.

    And E<X_0 - D, x_t - D>, over all directions at once.
    """
    along = x_t @ directions
    centred = (along - along.mean(0)) / along.std(0)
    error = (x_0 - D) @ directions
    off = (x_t - D) @ directions
    functions = (torch.ones_like(along), centred, centred.tanh(), D @ directions, off)
    whole = ((x_0 - D) * (x_t - D)).sum(-1)
    columns = [whole, *(column for g in functions for column in (error * g).T)]
    return max(abs(_standard_errors(column)) for column in columns)


def _same_draws(
    prior: ExactPrior, D: Tensor, x_0: Tensor, x_t: Tensor, sigma: float, directions: Tensor
) -> float:
    """Largest difference of moments of X_0 and of draws given the same x_t, in standard errors."""
    uniform = torch.rand(len(x_t), dtype=torch.float64, generator=_stream(26))
    normal = torch.randn(*x_t.shape, dtype=torch.float64, generator=_stream(27))
    drawn = prior.drawn(x_t, 1.0, sigma, uniform=uniform, normal=normal)
    a, b, at = ((part - D) @ directions for part in (x_0, drawn, x_t))
    pairs = ((a, b), (a.square(), b.square()), (a * at, b * at))
    whole = (x_0 - D).square().sum(-1) - (drawn - D).square().sum(-1)
    columns = [whole, *(c for one, other in pairs for c in (one - other).T)]
    return max(abs(_standard_errors(column)) for column in columns)


def _right_derivative(task: Task, x: Tensor, y: Tensor) -> None:
    """The gradient of the log likelihood against a difference along it."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(task.log_likelihood(x, y).sum(), x)
    flat = slope.flatten(2).norm(dim=-1).unflatten(1, (1, *[1] * (x.ndim - 2)))
    step = 1e-5 * slope / flat.clamp_min(1e-300)
    with torch.no_grad():
        change = (task.log_likelihood(x + step, y) - task.log_likelihood(x - step, y))[:, 0]
    expected = 2 * (slope * step).flatten(1).sum(-1)
    gap = float(((change - expected).abs() / expected.abs().clamp_min(1e-12)).max())
    require(gap < 1e-3, f"its derivative is off by {gap:.1e} of a difference quotient")


def _operator(task: Task) -> LinearOperator:
    operator = operator_of(task)
    if operator is None:
        raise NotApplicableError("offers no linear operator")
    return operator


def _prior(task: Task) -> ExactPrior:
    prior = prior_of(task)
    if prior is None:
        raise NotApplicableError("offers no prior that is a mixture")
    return noisy_prior(prior)


def _evidence(A: LinearOperator, prior: MixturePrior, y: Tensor) -> Tensor:
    """Logarithm of p(y) with shape `(m,)` by the law of Y for each component."""
    identity = torch.eye(len(A.matrix), dtype=torch.float64)
    S = A.matrix @ prior.covariances @ A.matrix.T + A.noise**2 * identity
    law = MixturePrior(prior.weights, prior.means @ A.matrix.T, S)
    rows = MixturePosterior(*(part[None] for part in law))
    return _log_density(rows, A.centred(y))


def _log_density(mixture: MixturePosterior, x: Tensor) -> Tensor:
    """Of mixture i at row i of x `(m, d)`; a single mixture serves all rows."""
    weights, means, covariances = mixture
    normal = torch.distributions.MultivariateNormal(
        means.expand(len(x), -1, -1), covariances[:1] if covariances.stride(0) == 0 else covariances
    )
    density: Tensor = (weights.log() + normal.log_prob(x[:, None])).logsumexp(-1)
    return density


def _standard_errors(values: Tensor) -> float:
    """The mean in its standard errors; float32 rounding of pairs is below a millionth."""
    error = values.std() / len(values) ** 0.5 + 1e-12 + 1e-7 * values.abs().max()
    return float(values.mean() / error)


def _of(given: object, shape: tuple[int, ...], what: str) -> None:
    seen = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
    require(seen == shape, f"{what} returned {seen}, not a tensor of shape {shape}")


def _stream(seed: int) -> Generator:
    return Generator().manual_seed(seed)
