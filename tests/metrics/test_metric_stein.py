"""The kernel Stein discrepancy against a brute-force twin and integrals over Gaussians."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import integrate
from torch import Generator, Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from cwbench.api import load_task
from cwbench.errors import NoValueError
from cwbench.metrics.density import PosteriorDensity
from cwbench.metrics.stein import KernelSteinDiscrepancy, squared_ksd


def by_automatic_derivatives(x: Tensor, law: MixtureSameFamily, scale: float) -> float:
    """The mean of k_p over pairs, every derivative of kernel and density taken by autograd."""

    def kernel(u: Tensor, v: Tensor) -> Tensor:
        return (1 + (u - v).square().sum() / scale**2).rsqrt()

    def score(u: Tensor) -> Tensor:
        return torch.func.grad(law.log_prob)(u)

    values = []
    for i, u in enumerate(x):
        for j, v in enumerate(x):
            first, second = (torch.func.grad(kernel, argnums)(u, v) for argnums in (0, 1))
            cross = torch.func.jacrev(torch.func.grad(kernel, 0), 1)(u, v).trace()
            both = score(u) @ score(v) * kernel(u, v)
            stein = both + score(u) @ second + score(v) @ first + cross
            values += [float(stein)] if i != j else []
    return scale**2 * sum(values) / len(values)


def test_it_is_the_definition_written_out() -> None:
    task = load_task("gaussian-mixture", dimension=3)
    y = task.sample_joint(2, Generator().manual_seed(0)).y
    halves = task.sample_posterior(y, 10, Generator().manual_seed(1)).double().split(5, 1)
    value = KernelSteinDiscrepancy(task).estimate(halves[0], halves[1] + 0.1, y)
    for row in range(2):
        weights, means, covariances = (part[row] for part in task.posterior_mixture(y))
        law = MixtureSameFamily(Categorical(weights), MultivariateNormal(means, covariances))
        scale = math.sqrt(2 * float(task.posterior_moments(y).covariance[row].trace()))
        x = torch.cat([halves[0][row], halves[1][row] + 0.1])
        assert float(value[row]) == pytest.approx(by_automatic_derivatives(x, law, scale), rel=1e-8)


def mean_kernel(variances: Tensor) -> float:
    """E (1 + sum a_i Z_i^2)^(-1/2), a the variances: one integral after the Gamma function's."""

    def under(t: float) -> float:  # t = r^2, which takes the root at 0 away
        return 2 * math.exp(-t * t) * float((1 + 2 * variances * t * t).rsqrt().prod())

    return integrate.quad(under, 0, math.inf)[0] / math.sqrt(math.pi)


@pytest.mark.parametrize("d", [1, 5, 64])
def test_a_shift_has_the_integral_of_gaussians(d: int) -> None:
    """Of p = N(0, C) and q = N(delta, C), grad log p - grad log q is -C^-1 delta everywhere."""
    C = torch.arange(1, d + 1).double()
    scale = (2 * C.sum()).sqrt()
    delta = 0.5 * C.sqrt()
    x = C.sqrt() * torch.randn(3000, d, dtype=torch.float64, generator=Generator().manual_seed(0))
    exact = squared_ksd(x / scale, -x / C * scale)
    moved = squared_ksd((x + delta) / scale, -(x + delta) / C * scale)
    expected = float((scale * delta / C).square().sum()) * mean_kernel(2 * C / scale**2)
    assert abs(float(exact)) < 0.03 * expected
    assert float(moved) == pytest.approx(expected, rel=0.1)


def test_a_scale_has_the_integral_of_gaussians() -> None:
    """Of p = N(0, 1) and q = N(0, s^2) that difference is -(1 - s^-2) x."""
    s = 1.5
    x = s * torch.randn(4000, 1, dtype=torch.float64, generator=Generator().manual_seed(0))

    def under(v: float, u: float) -> float:
        density = math.exp(-(u * u + v * v) / (2 * s * s)) / (2 * math.pi * s * s)
        return (1 - s**-2) ** 2 * u * v / math.sqrt(1 + (u - v) ** 2) * density

    expected, _ = integrate.dblquad(under, -9, 9, -9, 9, epsabs=1e-6)
    assert float(squared_ksd(x, -x)) == pytest.approx(expected, rel=0.1)


def test_the_mean_of_few_exact_samples_is_zero() -> None:
    """A V-statistic has the mean of k_p(x, x) / n on top, here (2 + 2) / 6."""
    generator = Generator().manual_seed(0)
    sets = torch.randn(4000, 6, 2, dtype=torch.float64, generator=generator)
    values = torch.stack([squared_ksd(x, -x) for x in sets])
    error = float(values.std()) / len(values) ** 0.5
    assert error < 0.02
    assert abs(float(values.mean())) < 4 * error


def test_the_score_is_that_of_the_posterior_at_image_size() -> None:
    """By differences of its density, which Woodbury's identity gives by another route."""
    task = load_task("super-resolution", prior="mnist")
    y = task.sample_joint(1, Generator().manual_seed(0)).y
    x = task.sample_posterior(y, 3, Generator().manual_seed(1)).double()
    posterior = next(task.posterior.given(y.flatten(1)))
    density = PosteriorDensity(task)
    ours, theirs = density(x, y)[0], posterior.log_density(x[0].flatten(1))
    assert torch.allclose(ours - ours[0], theirs - theirs[0], rtol=1e-9, atol=1e-7)
    step = 1e-4 * torch.randn(3, 784, dtype=torch.float64, generator=Generator().manual_seed(2))
    ahead, back = (posterior.log_density(x[0].flatten(1) + sign * step) for sign in (1, -1))
    along = (density.score(x, y)[0] * step).sum(1)
    assert torch.allclose(2 * along, ahead - back, rtol=1e-5)


def test_a_prior_with_an_edge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("sign-symmetric")
    y = task.sample_joint(1, Generator().manual_seed(0)).y
    monkeypatch.setattr(task, "prior_mixture", lambda: None)
    monkeypatch.setattr(
        task, "log_prior", lambda x: torch.where((x.abs() < 9).all(1), 0.0, -torch.inf).double()
    )
    with pytest.raises(NoValueError, match="edge"):
        KernelSteinDiscrepancy(task).estimate(torch.zeros(1, 4, 2), torch.ones(1, 4, 2), y)
