"""Mixtures of factor analysers against dense formulas, Bayes' rule and simulation."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.samples import MixturePosterior
from cwbench_tasks.factors import FactorMixture
from cwbench_tasks.mixtures import joint_log_evidence, linear_posterior

NOISE = 0.3
OPERATORS = {
    "fewer measurements": (5, 6, 0),
    "more measurements": (9, 6, 0),
    "one channel": (4, 12, 0),
    "rank deficient": (6, 6, 2),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def mixture(K: int, d: int, q: int) -> FactorMixture:
    uniform = torch.rand(2 * K + d, dtype=torch.float64, generator=Generator().manual_seed(1))
    weights, levels, deviations = (uniform + 0.1).split([K, K, d])
    factors = normal(K, d, q, seed=2)
    return FactorMixture.prior(weights, normal(K, d, seed=3), factors, levels, deviations)


@pytest.fixture
def prior() -> FactorMixture:
    return mixture(4, 12, 3)


@pytest.fixture(name="A", params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> Tensor:
    rows, columns, lost = OPERATORS[request.param]
    A = normal(rows, columns, seed=4)
    if lost:
        A[-lost:] = A[:lost] + A[lost : 2 * lost]
    return A


def whole(A: Tensor) -> Tensor:
    """The operator on all channels together."""
    return torch.block_diag(*[A] * (12 // A.shape[1]))


@pytest.fixture
def y(prior: FactorMixture, A: Tensor) -> Tensor:
    x = prior.sample(3, Generator().manual_seed(5))
    return x @ whole(A).T + NOISE * normal(3, len(whole(A)), seed=6)


def test_the_posterior_is_that_of_the_dense_formulas(
    prior: FactorMixture, A: Tensor, y: Tensor
) -> None:
    observed, dense = prior.observed(A, NOISE), prior.dense()
    expected = linear_posterior(dense, whole(A), NOISE, y)
    for place, posterior in enumerate(observed.given(y)):
        for actual, part in zip(posterior.dense(), expected, strict=True):
            assert torch.allclose(actual, part[place], rtol=1e-10, atol=1e-10)
    assert torch.allclose(observed.weights(y), expected.weights, rtol=1e-10, atol=1e-10)
    for actual, part in zip(observed.moments(y), expected.moments(), strict=True):
        assert torch.allclose(actual, part, rtol=1e-10, atol=1e-10)
    evidence = joint_log_evidence(dense, whole(A), NOISE, y)
    assert torch.allclose(observed.joint_log_evidence(y), evidence, rtol=1e-10, atol=1e-10)


def test_the_density_is_that_of_bayes_rule(prior: FactorMixture, A: Tensor, y: Tensor) -> None:
    observed, x = prior.observed(A, NOISE), normal(5, 12, seed=7)
    evidence = observed.joint_log_evidence(y).logsumexp(1)
    for row, log_p_y, posterior in zip(y, evidence, observed.given(y), strict=True):
        likelihood = torch.distributions.Normal(x @ whole(A).T, NOISE).log_prob(row).sum(1)
        expected = prior.log_density(x) + likelihood - log_p_y
        assert torch.allclose(posterior.log_density(x), expected, rtol=1e-10, atol=1e-10)
        shares = posterior.joint_log_density(x).softmax(1)  # y says nothing more of k than x does
        assert torch.allclose(shares, prior.joint_log_density(x).softmax(1), atol=1e-10)


def test_the_density_is_that_of_torch(prior: FactorMixture) -> None:
    x = normal(6, 12, seed=8)
    _, means, covariances = prior.dense()
    law = torch.distributions.MultivariateNormal(means, covariances)
    expected = law.log_prob(x[:, None]) + prior.weights.log()
    assert torch.allclose(prior.joint_log_density(x), expected, rtol=1e-10, atol=1e-10)


def test_spread_and_leading_directions_are_those_of_the_covariance(
    prior: FactorMixture, A: Tensor, y: Tensor
) -> None:
    observed = prior.observed(A, NOISE)
    for posterior, covariance in zip(
        observed.given(y), observed.moments(y).covariance, strict=True
    ):
        assert torch.allclose(posterior.variances, covariance.diagonal(), atol=1e-10)
        v = normal(2, 12, seed=9)
        assert torch.allclose(posterior.spread(v), v @ covariance, atol=1e-10)
        values, directions = posterior.leading(3)
        assert torch.allclose(values, torch.linalg.eigvalsh(covariance).flip(0)[:3], atol=1e-10)
        assert torch.allclose(covariance @ directions, directions * values, atol=1e-9)
        assert torch.allclose(directions.T @ directions, torch.eye(3).double(), atol=1e-10)


def test_draws_have_the_moments_of_their_law_and_those_matched_are_gaussian(
    prior: FactorMixture,
) -> None:
    A, n = normal(4, 12, seed=4), 40_000
    y = prior.sample(1, Generator().manual_seed(5)) @ A.T
    observed = prior.observed(A, NOISE)
    mean, covariance = (part[0] for part in observed.moments(y))
    size = float(covariance.trace())
    for draw in (observed.sample, observed.sample_matched):
        x = draw(y, n, Generator().manual_seed(0))[0]
        assert float((x.mean(0) - mean).square().sum()) < 2 * size / n
        assert torch.allclose(x.T.cov(), covariance, atol=0.02 * size)
    centred = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), (x - mean).T, upper=False
    )
    assert stats.kstest(centred.square().sum(0), stats.chi2(12).cdf).pvalue > 1e-3


def test_variation_is_the_mean_variance_of_what_is_observed(
    prior: FactorMixture, A: Tensor
) -> None:
    _, covariance = MixturePosterior(*(p[None] for p in prior.dense())).moments()
    expected = (whole(A) @ covariance[0] @ whole(A).T).diagonal().mean()
    assert float(prior.variation(A)) == pytest.approx(float(expected))


def test_ranks_of_the_truth_are_uniform_at_full_size() -> None:
    """Simulation-based calibration, colour images of 32x32 pixels, means of 8x8 blocks seen."""
    prior, draws = mixture(6, 3072, 4), 19
    A = torch.kron(*[torch.kron(torch.eye(4), torch.ones(1, 8) / 8)] * 2).double()
    x = prior.sample(150, Generator().manual_seed(11))  # seeds that made no part of the mixture
    y = (x.unflatten(1, (3, -1)) @ A.T).flatten(1) + normal(150, 48, seed=12)
    samples = prior.observed(A, 1.0).sample(y, draws, Generator().manual_seed(13))
    for what in (
        lambda x: (x.unflatten(-1, (3, -1)) @ A.T)[..., 0, 5],
        lambda x: x.square().sum(-1),
        lambda x: x @ normal(3072, seed=14),
        lambda x: x @ prior.factors[1, :, 0],
    ):
        ranks = (what(samples) < what(x)[:, None]).sum(1)
        assert stats.chisquare(ranks.bincount(minlength=draws + 1)).pvalue > 1e-3


def test_what_is_no_mixture_is_told() -> None:
    parts = mixture(4, 12, 3)
    given = [parts.weights, parts.means, parts.factors, parts.levels, parts.deviations]

    def refused(place: int, part: Tensor) -> str:
        with pytest.raises(UsageError) as caught:
            FactorMixture.prior(*given[:place], part, *given[place + 1 :])
        return str(caught.value)

    assert "rank of at least 1" in refused(2, parts.factors[..., :0])
    assert "need (4, 12, rank)" in refused(2, parts.factors[:, :11])
    assert "do not fit 4 components" in refused(0, parts.weights[:3])
    assert "NaN" in refused(1, parts.means * torch.nan)
    assert "above 0" in refused(3, 0 * parts.levels)
    assert "not all 0" in refused(0, 0 * parts.weights)


def test_operators_and_directions_that_do_not_fit_are_told(prior: FactorMixture) -> None:
    with pytest.raises(UsageError, match=r"shape \(2, 5\) does not fit x of 12 numbers"):
        prior.observed(normal(2, 5), NOISE)
    with pytest.raises(UsageError, match="choose from 1 to 11"):
        prior.leading(12)
    (posterior,) = prior.observed(normal(2, 12), NOISE).given(normal(1, 2))
    with pytest.raises(UsageError, match="condition the prior once"):
        posterior.observed(normal(2, 12), NOISE)
