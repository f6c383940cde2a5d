"""The denoiser of factor analysers against the dense formulas, a simulator, and wrong parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from cwbench.api import load_task
from cwbench.check import known as check
from cwbench.check.known import denoiser
from cwbench.check.outcome import UnmetError
from cwbench.check.task import TaskSubject
from cwbench.errors import ContractError, UsageError
from cwbench.known.classes import Need
from cwbench.known.factors import NoisyFactors, noisy_prior
from cwbench.known.known import Unwatched, known_of
from cwbench.known.offered import lacking
from cwbench.known.prior import NoisyPrior
from cwbench.ot.scaling import Scaling
from cwbench.samples import FactorPrior, MixturePrior
from cwbench_tasks.super_resolution import SuperResolution

K, D, Q, N = 3, 6, 2, 40
LEVELS = [(1.0, 1e-2), (1.0, 1.0), (0.3, 5.0), (1.0, 100.0), (1e-2, 1.0)]
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def made(factors: Tensor | None = None) -> FactorPrior:
    weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    F = normal(K, D, Q, seed=1) if factors is None else factors
    return FactorPrior(weights, normal(K, D), F, uniform(K) + 0.1, uniform(D, seed=2) + 0.2)


def dense(prior: FactorPrior) -> MixturePrior:
    noise = prior.levels[:, None, None] * torch.diag(prior.deviations**2)
    return MixturePrior(prior.weights, prior.means, prior.factors @ prior.factors.mT + noise)


PRIORS = {
    "rank 2": made(),
    "a factor twice": made(normal(K, D, 1).expand(-1, -1, 2).clone()),
    "a factor of 0": made(torch.cat([normal(K, D, 1), torch.zeros(K, D, 1)], 2).double()),
    "rank above d": made(normal(K, D, D + 2)),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("levels", [*LEVELS, "each its own"])
def test_estimates_are_those_of_the_dense_formulas(name: str, levels: Any) -> None:
    low, high, x = NoisyFactors(PRIORS[name]), NoisyPrior(dense(PRIORS[name])), 3 * normal(N, D)
    alpha, sigma = levels if levels in LEVELS else (uniform(N, 1), uniform(N, 1, seed=3) + 0.1)
    a = low.denoise(x, alpha, sigma)
    torch.testing.assert_close(a, high.denoise(x, alpha, sigma), **EXACT)
    scores = [p.score(x, alpha, sigma) * sigma**2 for p in (low, high)]
    torch.testing.assert_close(*scores, **EXACT)
    torch.testing.assert_close(low.log_density(x), high.log_density(x), **EXACT)


@pytest.mark.parametrize("levels", LEVELS)
def test_derivatives_are_those_of_the_dense_formulas(levels: tuple[float, float]) -> None:
    """Once and twice: samplers take Jacobian products in both directions."""

    def derived(prior: NoisyFactors | NoisyPrior) -> tuple[Tensor, Tensor]:
        x = normal(5, D, seed=4).requires_grad_()
        u = normal(5, D, seed=5).requires_grad_()
        (first,) = torch.autograd.grad(prior.denoise(x, *levels), x, u, create_graph=True)
        (second,) = torch.autograd.grad(first, u, normal(5, D, seed=6))
        return first, second

    pairs = zip(derived(NoisyFactors(made())), derived(NoisyPrior(dense(made()))), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("levels", LEVELS)
def test_draws_have_the_moments_of_the_dense_formulas(
    name: str, levels: tuple[float, float]
) -> None:
    """A draw is affine in its normal numbers: unit vectors show mean and root of the covariance."""
    prior, (alpha, sigma) = PRIORS[name], levels
    low, given = NoisyFactors(prior), NoisyPrior(dense(prior)).given
    x = normal(1, D, seed=7)
    laws, turns = given(x, alpha, sigma), NoisyPrior(dense(prior)).eigen[1]
    reached = laws.log_weights.exp()[0].cumsum(0)
    for k in range(K):
        if laws.log_weights.exp()[0, k] < 1e-12:
            continue
        place = (reached[k] - laws.log_weights.exp()[0, k] / 2).expand(D + 1)
        e = torch.cat([torch.zeros(1, D), torch.eye(D)]).double()
        drawn = low.drawn(x.expand(D + 1, -1), alpha, sigma, uniform=place, normal=e)
        root = drawn[1:] - drawn[0]
        turn, spread = turns[k], laws.variances.expand(1, K, D)[0, k]
        torch.testing.assert_close(drawn[0], prior.means[k] + turn @ laws.shifts[0, k], **EXACT)
        torch.testing.assert_close(root.T @ root, (turn * spread) @ turn.T, **EXACT)


def test_draws_of_rows_with_levels_of_their_own_stay_in_their_rows() -> None:
    low, x, e = NoisyFactors(made()), normal(N, D, seed=8), normal(N, D, seed=9)
    alpha, sigma = uniform(N, 1) + 0.1, uniform(N, 1, seed=3) + 0.1
    drawn = low.drawn(x, alpha, sigma, uniform=uniform(N, seed=4), normal=e)
    for row in (0, 7, N - 1):
        one = slice(row, row + 1)
        alone = low.drawn(
            x[one], alpha[one], sigma[one], uniform=uniform(N, seed=4)[one], normal=e[one]
        )
        torch.testing.assert_close(drawn[one], alone, **EXACT)


def test_other_coordinates_are_those_of_the_dense_prior() -> None:
    mean, deviation, x = normal(D, seed=3), uniform(D, seed=4) + 0.5, normal(N, D, seed=5)
    low = noisy_prior(made()).standardised(mean, deviation)
    high = noisy_prior(dense(made())).standardised(mean, deviation)
    torch.testing.assert_close(low.denoise(x, 1.0, 0.5), high.denoise(x, 1.0, 0.5), **EXACT)
    torch.testing.assert_close(low.log_density(x), high.log_density(x), **EXACT)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"weights": torch.tensor([0.5, 0.5, 0.5]).double()}, "add up to 1.5"),
        ({"levels": torch.tensor([1.0, 0.0, 1.0]).double()}, "above 0"),
        ({"deviations": -torch.ones(D).double()}, "above 0"),
        ({"factors": torch.zeros(K, D, 0).double()}, "are needed"),
        ({"factors": torch.zeros(K, D + 1, 2).double()}, "are needed"),
        ({"means": torch.zeros(K, D)}, "means of the prior mixture are torch.float32"),
        ({"means": torch.full((K, D), torch.nan).double()}, "NaN"),
    ],
)
def test_wrong_parts_are_told(change: dict[str, Tensor], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        NoisyFactors(made()._replace(**change))


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda p: p.denoise(normal(2, D + 1), 1.0, 1.0), r"takes \(n, 6\)"),
        (lambda p: p.denoise(normal(2, D), 1.0, 0.0), "needs noise above 0"),
        (lambda p: p.denoise(normal(2, D), 1.0, torch.ones(3, 1)), "one for each x_t"),
    ],
)
def test_wrong_questions_are_told(ask: Callable[[NoisyFactors], Tensor], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        ask(NoisyFactors(made()))


@pytest.fixture(scope="module")
def mnist() -> SuperResolution:
    task = load_task("super-resolution", prior="mnist")
    assert isinstance(task, SuperResolution)
    return task


def test_a_large_prior_is_offered_and_is_that_of_the_simulator(mnist: SuperResolution) -> None:
    asked: frozenset[Need] = frozenset({"denoiser", "operator"})
    assert lacking(mnist, asked) is None
    assert isinstance(mnist.prior_mixture(), FactorPrior)
    known = known_of(mnist, "m", asked, Unwatched())
    x = mnist.sample_joint(20, Generator().manual_seed(0)).x.double()
    scaling = Scaling(*(part.double() for part in Scaling.of(x)))
    prior, u = known.standardised(scaling).denoiser, scaling(x).flatten(1)
    a = prior.log_density(u) - scaling.deviation.log().sum()
    torch.testing.assert_close(a, mnist.log_prior(x), rtol=1e-9, atol=1e-9)


def test_the_denoiser_identity_holds_at_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of what `cwbench check` does with the 28x28 prior."""
    monkeypatch.setattr(check, "FEWEST", 250)
    denoiser(TaskSubject(SuperResolution, {"prior": "mnist"}))


@pytest.mark.parametrize(("factors", "levels"), [(1, 1.3), (0.5, 1), (1.5, 1)])
def test_the_denoiser_identity_sees_a_wrong_prior(
    monkeypatch: pytest.MonkeyPatch, factors: float, levels: float
) -> None:
    monkeypatch.setattr(check, "FEWEST", 250)
    subject = TaskSubject(SuperResolution, {"prior": "mnist"})
    prior = subject.task.prior_mixture()
    assert isinstance(prior, FactorPrior)
    wrong = prior._replace(factors=factors * prior.factors, levels=levels * prior.levels)
    subject.task.prior_mixture = lambda: wrong  # type: ignore[method-assign]
    with pytest.raises(UnmetError, match="standard errors"):
        denoiser(subject)


def test_draws_of_too_little_spread_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "FEWEST", 250)
    drawn = NoisyFactors.drawn

    def narrow(self: NoisyFactors, x_t: Tensor, *levels: float, **noise: Tensor) -> Tensor:
        mean = self.denoise(x_t, *levels)
        return mean + 0.9 * (drawn(self, x_t, *levels, **noise) - mean)  # type: ignore[arg-type]

    monkeypatch.setattr(NoisyFactors, "drawn", narrow)
    with pytest.raises(UnmetError, match="draws of X_0"):
        denoiser(TaskSubject(SuperResolution, {"prior": "mnist"}))


def test_no_prior_is_left_once_something_was_observed(mnist: SuperResolution) -> None:
    y = mnist.sample_joint(1, Generator().manual_seed(0)).y.flatten(1)
    (given,) = mnist.posterior.given(y)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="leaves no prior"):
        given.mixture()
