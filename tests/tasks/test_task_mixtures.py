"""Closed-form mixture posteriors against Bayes' rule on a dense grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from cwbench.samples import MixturePosterior
from cwbench_tasks.mixtures import (
    MixturePrior,
    joint_log_evidence,
    linear_posterior,
    linear_residual,
    sample_mixture,
    sample_prior,
    square_roots,
)

NOISE = 0.4
AXIS = torch.linspace(-7, 7, 561, dtype=torch.float64)
GRID = torch.cartesian_prod(AXIS, AXIS)
CELL = float(AXIS[1] - AXIS[0]) ** 2
OPERATORS = {
    "square": torch.tensor([[1.0, 0.5], [-0.3, 0.8]], dtype=torch.float64),
    "one measurement": torch.tensor([[1.0, -2.0]], dtype=torch.float64),
    "overdetermined": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64),
}


@pytest.fixture(name="A", params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> Tensor:
    return OPERATORS[request.param]


@pytest.fixture
def prior() -> MixturePrior:
    return MixturePrior(
        torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
        torch.tensor([[0.0, 0.0], [1.5, -1.0], [-2.0, 0.5]], dtype=torch.float64),
        torch.tensor(
            [[[1.0, 0.3], [0.3, 0.5]], [[0.2, -0.1], [-0.1, 0.4]], [[0.3, 0.0], [0.0, 0.1]]],
            dtype=torch.float64,
        ),
    )


def joint_density(prior: MixturePrior, A: Tensor, y: Tensor) -> Tensor:
    """p(x on the grid, y) by SciPy's densities: prior times likelihood."""
    density = sum(
        w * stats.multivariate_normal(m.numpy(), C.numpy()).pdf(GRID.numpy())
        for w, m, C in zip(prior.weights.tolist(), prior.means, prior.covariances, strict=True)
    )
    residual = (y - GRID @ A.T).numpy()
    return torch.from_numpy(density * stats.norm(scale=NOISE).pdf(residual).prod(-1))


def observations(prior: MixturePrior, A: Tensor) -> Tensor:
    generator = Generator().manual_seed(4)
    x = sample_prior(prior, 3, generator)
    return x @ A.T + NOISE * torch.randn(3, len(A), dtype=torch.float64, generator=generator)


def test_evidence_is_the_integral_of_the_joint_density(prior: MixturePrior, A: Tensor) -> None:
    y = observations(prior, A)
    evidence = joint_log_evidence(prior, A, NOISE, y).logsumexp(-1).exp()
    for i, row in enumerate(y):
        assert float(evidence[i]) == pytest.approx(float(joint_density(prior, A, row).sum() * CELL))


def test_density_is_that_of_bayes_rule(prior: MixturePrior, A: Tensor) -> None:
    y = observations(prior, A)
    weights, means, covariances = linear_posterior(prior, A, NOISE, y)
    for i, row in enumerate(y):
        expected = joint_density(prior, A, row)
        expected = expected / (expected.sum() * CELL)
        actual = sum(
            w * stats.multivariate_normal(m.numpy(), C.numpy()).pdf(GRID.numpy())
            for w, m, C in zip(weights[i].tolist(), means[i], covariances[i], strict=True)
        )
        np.testing.assert_allclose(actual, expected, atol=1e-9 * float(expected.max()))


def test_moments_are_those_of_the_grid(prior: MixturePrior, A: Tensor) -> None:
    y = observations(prior, A)
    mean, covariance = linear_posterior(prior, A, NOISE, y).moments()
    for i, row in enumerate(y):
        weights = joint_density(prior, A, row)
        weights = weights / weights.sum()
        expected = weights @ GRID
        centred = GRID - expected
        assert torch.allclose(mean[i], expected, atol=1e-8)
        assert torch.allclose(covariance[i], centred.T @ (weights[:, None] * centred), atol=1e-8)


def test_components_far_from_the_observation_do_not_underflow(prior: MixturePrior) -> None:
    A = OPERATORS["square"]
    y = torch.tensor([[400.0, -300.0]])
    weights, means, _ = linear_posterior(prior, A, 1e-3, y)
    assert float(weights.sum()) == pytest.approx(1)
    x = torch.linalg.solve(A, y[0].double())
    assert torch.allclose(means[0], x.expand(3, 2), rtol=1e-4)


def test_draws_follow_the_mixture(prior: MixturePrior) -> None:
    draws = sample_prior(prior, 20_000, Generator().manual_seed(0)).numpy()
    for direction in ([1.0, 0.0], [0.0, 1.0], [0.6, -0.8]):
        u = np.array(direction)
        centres = prior.means.numpy() @ u
        deviations = np.sqrt(np.einsum("kde,d,e->k", prior.covariances.numpy(), u, u))

        def cdf(t: np.ndarray, c: np.ndarray = centres, s: np.ndarray = deviations) -> np.ndarray:
            return stats.norm.cdf((t[:, None] - c) / s) @ prior.weights.numpy()

        assert stats.kstest(draws @ u, cdf).pvalue > 1e-3


def test_rows_are_drawn_from_their_own_mixture() -> None:
    means = torch.tensor([[[0.0], [10.0]], [[20.0], [30.0]]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]], dtype=torch.float64)
    variances = torch.full((2, 2, 1, 1), 1e-4, dtype=torch.float64)
    mixture = MixturePosterior(weights, means, variances)
    draws = sample_mixture(mixture, 4_000, Generator().manual_seed(0))[..., 0]
    assert (draws[0].abs() < 0.1).all()
    assert float((draws[1] > 25).double().mean()) == pytest.approx(0.75, abs=0.03)


def test_singular_covariances_have_square_roots() -> None:
    direction = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    singular = direction.T @ direction
    covariances = torch.stack([singular, torch.eye(3, dtype=torch.float64), 0 * singular])
    roots = square_roots(covariances)
    assert torch.allclose(roots @ roots.mT, covariances, atol=1e-12)
    tiny = 1e-20 * torch.eye(3, dtype=torch.float64)
    assert torch.allclose(square_roots(tiny), 1e-10 * torch.eye(3, dtype=torch.float64))


def test_residual_is_the_likelihood_up_to_a_constant(A: Tensor) -> None:
    generator = Generator().manual_seed(0)
    x = torch.randn(3, 5, 2, generator=generator)
    y = torch.randn(3, len(A), generator=generator)
    residual = linear_residual(A, NOISE, x, y)
    assert residual.shape == (3, 5, len(A))
    assert residual.dtype == torch.float64
    likelihood = torch.distributions.Normal(x.double() @ A.T, NOISE).log_prob(y[:, None].double())
    constant = likelihood.sum(-1) + residual.square().sum(-1) / 2
    assert torch.allclose(constant, constant[0, 0].expand(3, 5))


def test_residual_of_images_is_that_of_the_flattened_ones() -> None:
    generator = Generator().manual_seed(0)
    x = torch.randn(2, 4, 1, 3, 2, generator=generator)
    A = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(2, 1, 5, generator=generator)
    flat = linear_residual(A, NOISE, x.flatten(2), y.flatten(1))
    assert torch.equal(linear_residual(A, NOISE, x, y), flat)


def test_two_threads_solve_large_systems() -> None:
    """LU of a batch fails in MKL from 151 rows on where there is more than one thread."""
    d, K, generator = 160, 2, np.random.default_rng(5)
    roots = generator.normal(size=(K, d, d)) / d**0.5
    covariances, A = roots @ roots.transpose(0, 2, 1), generator.normal(size=(d, d)) / d**0.5
    prior = MixturePrior(
        torch.full((K,), 0.5, dtype=torch.float64), torch.zeros(K, d, dtype=torch.float64),
        torch.from_numpy(covariances),
    )  # fmt: skip
    y, threads = generator.normal(size=(1, d)), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        means = linear_posterior(prior, torch.from_numpy(A), NOISE, torch.from_numpy(y)).means
    finally:
        torch.set_num_threads(threads)
    for mean, C in zip(means[0], covariances, strict=True):
        S = A @ C @ A.T + NOISE**2 * np.eye(d)
        np.testing.assert_allclose(mean, C @ A.T @ np.linalg.solve(S, y[0]), rtol=1e-8)
