"""Samplers that know the operator, against recursions in one dimension and exact posteriors.

On a Gaussian problem every ancestral sampler is an affine map of its noise. Fed with unit vectors
as noise it shows its exact mean and variance: nothing here is a Monte Carlo estimate unless said.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from cwbench.api import load_method, load_task
from cwbench.errors import UsageError
from cwbench.known.operator import LinearOperator
from cwbench.running.needs import unsupported
from cwbench.running.request import problem_spec
from cwbench.task import Task
from cwbench.training.networks import Meter
from cwbench_baselines.guided import mmps
from cwbench_baselines.guided.latent_mcmc import gained
from cwbench_baselines.guided.mcgdiff import potential, towards
from cwbench_baselines.guided.mmps import gmres
from cwbench_baselines.guided.pnp_dm import likelihood_draw
from cwbench_baselines.guided.sampler import GuidedSampler, Problem
from cwbench_baselines.guided.schedule import polynomial_levels

S, EXACT_GAIN, EXACT_VARIANCE = 0.5, 0.8, 0.2
ALPHA_MIN = 1e-3
RAW: Any = SimpleNamespace(standardise=False)
Y = 1.3


def sampler(task: Task, name: str, **settings: Any) -> Any:
    """A method with the exact denoiser, in the task's coordinates."""
    chosen = load_method(name, denoiser="exact", **settings)
    preset, cpu = task.info.presets["smoke"], torch.device("cpu")
    spec = problem_spec(task, chosen.cls, chosen.params, preset, Meter(), cpu)
    method = chosen.cls(chosen.params, spec)
    method.fit(task.training_data(10, seeded(0)), RAW)
    return method


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def line() -> Task:
    """X ~ N(0, 1), Y = +-X + E / 2."""
    return load_task("gaussian-linear", dimension=1, noise=S)


class Units:
    """Noise of row r: 1 at the r-th call, else 0; the last row has none."""

    def __init__(self, rows: int) -> None:
        self.rows, self.calls = rows, 0

    def normal(self, *shape: int) -> Tensor:
        noise = torch.zeros(self.rows, *shape).double()
        noise[self.calls] = 1
        self.calls += 1
        return noise


def gain_and_variance(method: GuidedSampler, steps: int) -> tuple[float, float]:
    """Mean over y, and variance, of the draws of an affine sampler: exact."""
    rows = steps + 1  # the start, each step but the last, and no noise at all
    known = method.spec.known
    A = known.operator if "operator" in known.declared else None
    given = torch.full((rows, 1), Y)

    def log_likelihood(x: Tensor, y: Tensor) -> Tensor:
        return known.likelihood(x[:, None], y)[:, 0]

    problem = Problem(
        known.denoiser, Units(rows), given, 1,  # type: ignore[arg-type]  # stands in for `Noise`
        None if A is None else A.centred(given), A,
        log_likelihood if A is None else None,
    )  # fmt: skip
    with torch.no_grad():
        x = method.draw(problem)[:, 0]
    sign = float(line().A)  # type: ignore[attr-defined]  # of the task
    return float(x[-1]) / (sign * Y), float((x[:-1] - x[-1]).square().sum())


def recursion(steps: int, pull: Callable[[float, float], tuple[float, float]]) -> tuple[float, ...]:
    """Mean over y and variance of DDPM steps in azula's own variance-preserving form.

    Args:
        steps: of the schedule.
        pull: a, b of the guided denoiser D_y = a x_t + b y at (alpha, sigma).
    """

    def schedule(t: float) -> tuple[float, float]:
        alpha = math.exp(math.log(ALPHA_MIN) * t**2)
        return alpha, math.sqrt(1 - alpha**2 + 1e-6)

    (alpha, sigma), mean, variance = schedule(1), 0.0, 1.0
    for i in range(steps - 1, -1, -1):
        alpha_s, sigma_s = schedule(i / steps) if i else (1.0, 0.0)
        tau = 1 - (alpha / alpha_s * sigma_s / sigma) ** 2
        a, b = pull(alpha, sigma)
        kept = sigma_s * math.sqrt(1 - tau) / sigma
        slope = kept + (alpha_s - kept * alpha) * a
        mean = slope * mean + (alpha_s - kept * alpha) * b
        variance = slope**2 * variance + sigma_s**2 * tau
        alpha, sigma = alpha_s, sigma_s
    return mean, variance


def dps_pull(alpha: float, sigma: float) -> tuple[float, float]:
    """D + sigma^2 / alpha grad_{x_t} log N(y; D, s^2), D = alpha x_t / (alpha^2 + sigma^2)."""
    c = alpha / (alpha**2 + sigma**2)
    g = sigma**2 / alpha * c / S**2
    return c - g * c, g


def mmps_pull(alpha: float, sigma: float) -> tuple[float, float]:
    """The exact conditional mean of a Gaussian."""
    c, v = alpha / (alpha**2 + sigma**2), sigma**2 / (alpha**2 + sigma**2)
    g = v / (v + S**2)
    return c - g * c, g


@pytest.mark.parametrize(
    ("name", "settings", "pull"),
    [
        ("dps", {"guidance": "score"}, dps_pull),
        ("mmps", {}, mmps_pull),
        ("pigdm", {}, mmps_pull),
    ],
)
@pytest.mark.parametrize("steps", [5, 50])
def test_one_dimension_follows_the_recursion(
    name: str, settings: dict[str, Any], pull: Any, steps: int
) -> None:
    method = sampler(line(), name, steps=steps, alpha_min=ALPHA_MIN, **settings)
    gain, variance = gain_and_variance(method, steps)
    wanted = recursion(steps, pull)
    # the recursion starts with variance 1, the method with that of x_T, 1 + 10^-6 in its units
    assert (gain, variance) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(("steps", "variance"), [(50, 0.150), (200, 0.183), (1_000, 0.196)])
def test_mmps_has_the_measured_variances_and_the_exact_mean(steps: int, variance: float) -> None:
    method = sampler(line(), "mmps", steps=steps, alpha_min=ALPHA_MIN)
    gain, found = gain_and_variance(method, steps)
    assert gain == pytest.approx(EXACT_GAIN, abs=1e-3)
    assert found == pytest.approx(variance, abs=1e-3)


def test_the_variance_error_of_mmps_falls_like_one_over_steps() -> None:
    errors = [EXACT_VARIANCE - recursion(steps, mmps_pull)[1] for steps in (1_000, 2_000, 4_000)]
    assert errors[0] == pytest.approx(0.004, abs=5e-4)
    assert recursion(10_000, mmps_pull)[1] == pytest.approx(0.200, abs=5e-4)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.05)


def test_dps_has_a_limit_that_is_not_the_posterior() -> None:
    gain, variance = recursion(20_000, dps_pull)
    assert gain == pytest.approx(0.982, abs=2e-3)
    assert variance == pytest.approx(0.125, abs=1e-3)


def test_pigdm_is_mmps_for_a_standard_normal_prior() -> None:
    task = load_task("gaussian-linear")
    y = task.evaluation_set(3, seeded(1)).y
    alike = {"steps": 15, "alpha_min": 1e-2}
    one = sampler(task, "pigdm", **alike).sample(y, 4, seeded(2))
    other = sampler(task, "mmps", **alike, tolerance=1e-6).sample(y, 4, seeded(2))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_gmres_solves_systems_that_are_not_symmetric() -> None:
    matrices = torch.randn(7, 5, 5, generator=seeded(0)).double() + 3 * torch.eye(5).double()
    b = torch.randn(7, 5, generator=seeded(1)).double()
    u = gmres(lambda u: (matrices @ u[..., None])[..., 0], b, 1e-12, 0.0)
    torch.testing.assert_close(u, torch.linalg.solve(matrices, b), rtol=1e-8, atol=1e-8)
    assert not gmres(lambda u: u, torch.zeros(2, 3).double(), 1e-6, 0.0).any()


def test_gmres_ends_where_a_learned_covariance_is_negative() -> None:
    """(1, .5, -1e6) solves the first row: k^2 of an eigenvalue below 0 nearly cancels s^2."""
    diagonal = torch.tensor([[1.0, 2.0, -1e-6], [1.0, 2.0, 1.0]], dtype=torch.float64)
    u = gmres(lambda u: diagonal * u, torch.ones(2, 3).double(), 1e-6, 0.1)
    assert u[0].norm() < 2
    torch.testing.assert_close(u[1], torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64))


def test_no_covariance_of_the_exact_denoiser_ends_a_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    task = load_task("deblurring", noise=0.2)
    y, method = task.evaluation_set(3, seeded(1)).y, sampler(task, "mmps", steps=20, tolerance=1e-6)
    found = method.sample(y, 10, seeded(2))
    monkeypatch.setattr(mmps, "LEAST", -1e9)
    assert torch.equal(found, method.sample(y, 10, seeded(2)))


def prior_pull(alpha: float, sigma: float) -> tuple[float, float]:
    """The denoiser alone."""
    return alpha / (alpha**2 + sigma**2), 0.0


@pytest.mark.parametrize("settings", [{"kernel": "exact", "steps": 6}, {"steps": 15}])
def test_tds_approaches_the_posterior_of_its_chain_as_particles_grow(
    settings: dict[str, Any],
) -> None:
    """Monte Carlo: 500 draws, 5 standard errors. The chain of the exact kernel is the prior."""
    exact = settings.get("kernel") == "exact"
    v = 1.0 if exact else recursion(settings["steps"], prior_pull)[1]
    assert exact or v < 0.9
    task, n = line(), 500
    mean = v / (v + S**2) * Y * float(task.A)  # type: ignore[attr-defined]  # of the task
    variance = v * S**2 / (v + S**2)
    errors = []
    for particles in (1, 24):
        method = sampler(task, "tds", particles=particles, alpha_min=ALPHA_MIN, **settings)
        x = method.sample(torch.tensor([[Y]]), n, seeded(3)).double().flatten()
        errors.append(float((x.mean() - mean).abs()) * math.sqrt(n / variance))
    assert errors[1] < 5
    assert abs(float(x.var()) / variance - 1) < 5 * math.sqrt(2 / n)
    assert not exact or errors[0] > 15  # one particle is the prior


def test_mcgdiff_approaches_the_posterior_as_particles_and_steps_grow() -> None:
    """Monte Carlo: 300 draws; what is left at 100 steps is the rounding of the observed level."""
    task, n = line(), 300
    mean = EXACT_GAIN * Y * float(task.A)  # type: ignore[attr-defined]  # of the task
    x = [
        sampler(task, "mcgdiff", steps=steps, particles=P)
        .sample(torch.tensor([[Y]]), n, seeded(3))
        .double()
        .flatten()
        for steps, P in ((5, 2), (100, 24))
    ]
    shifts = [abs(float(part.mean()) - mean) * math.sqrt(n / EXACT_VARIANCE) for part in x]
    ratios = [abs(float(part.var()) / EXACT_VARIANCE - 1) for part in x]
    assert shifts[1] < 4 and ratios[1] < 0.25
    assert shifts[0] + 10 * ratios[0] > 2 * (shifts[1] + 10 * ratios[1])


def test_the_potential_of_mcgdiff_is_the_normaliser_of_its_proposal() -> None:
    """N(z; m, v) N(y; z, w) = N(y; m, v + w) N(z; the law that `towards` draws from)."""
    z, m, y, v, w = torch.tensor(0.3), torch.tensor(-0.4), torch.tensor(1.1), 0.5, 0.8
    normal = torch.distributions.Normal
    variance = torch.tensor([w])
    parts = [part.reshape(1, 1, 1) for part in (z, m, y)]
    e = torch.tensor([[[1.0]]])
    low, high = (
        towards(parts[1] + math.sqrt(v) * sign * e, parts[1], parts[2], variance, math.sqrt(v))
        for sign in (0, 1)
    )
    law = normal(low.squeeze(), (high - low).squeeze())
    left = normal(m, math.sqrt(v)).log_prob(z) + normal(z, math.sqrt(w)).log_prob(y)
    right = potential(parts[1], parts[2], variance, v).squeeze() - math.log(2 * math.pi) / 2
    torch.testing.assert_close(left, right + law.log_prob(z))


def test_langevin_steps_of_daps_have_the_law_of_unadjusted_ones() -> None:
    """Their stationary law for N(m, 1/P) with step h is N(m, 1 / (P (1 - h P / 2)))."""
    k, share, steps = 0.7, 0.4, 60
    method = sampler(line(), "daps", langevin_steps=steps)
    A = method.spec.known.operator
    given = torch.full((steps + 1, 1), Y)
    noise: Any = Units(steps + 1)
    problem = Problem(method.spec.known.denoiser, noise, given, 1, A.centred(given), A)
    centre = torch.full((steps + 1, 1), 0.2).double()
    x = method._corrected(problem, centre, k, share)[:, 0]
    precision = 1 / k**2 + 1 / S**2
    mean = (0.2 / k**2 + float(A.matrix) * Y / S**2) / precision
    assert float(x[-1]) == pytest.approx(mean, rel=1e-6)
    variance = float((x[:-1] - x[-1]).square().sum())
    assert variance == pytest.approx(1 / (precision * (1 - share / 2)), rel=1e-6)


@pytest.mark.parametrize(("levels", "tolerance"), [(100, None), (1_500, 0.02)])
def test_langevin_follows_its_recursion(levels: int, tolerance: float | None) -> None:
    method = sampler(line(), "langevin", levels=levels, steps=1, sigma_min=0.01)
    params, rows = method.params, levels + 1
    A = method.spec.known.operator
    given = torch.full((rows + 1, 1), Y)
    noise: Any = Units(rows + 1)
    problem = Problem(method.spec.known.denoiser, noise, given, 1, A.centred(given), A)
    x = method.draw(problem)[:, 0]
    ks = polynomial_levels(levels, params.sigma_max, params.sigma_min).tolist()
    gain, variance = 0.0, 1 + ks[0] ** 2
    for k in ks:
        h = params.step * k**2 / 2
        slope = 1 - h * (1 / (1 + k**2) + 1 / (k**2 + S**2))
        gain = slope * gain + h / (k**2 + S**2)
        variance = slope**2 * variance + 2 * h
    found = float(x[-1]) / (Y * float(A.matrix)), float((x[:-1] - x[-1]).square().sum())
    assert found == pytest.approx((gain, variance), rel=1e-6)
    if tolerance:
        assert found == pytest.approx((EXACT_GAIN, EXACT_VARIANCE), abs=tolerance)


def test_the_likelihood_step_of_pnp_dm_is_the_gaussian_of_linear_algebra() -> None:
    matrix = torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0]]).double()
    A, rho = LinearOperator(matrix, 0.3), 0.6
    x, y = torch.randn(1, 3, generator=seeded(0)).double(), torch.tensor([[0.4, -1.0]]).double()
    e = torch.cat([torch.eye(3), torch.zeros(1, 3)]).double()
    z = likelihood_draw(A, y.expand(4, 2), x.expand(4, 3), rho, e)
    precision = matrix.T @ matrix / 0.3**2 + torch.eye(3).double() / rho**2
    mean = torch.linalg.solve(precision, (y @ matrix / 0.3**2 + x / rho**2)[0])
    root = z[:3] - z[3]
    torch.testing.assert_close(z[3], mean)
    torch.testing.assert_close(root.T @ root, torch.linalg.inv(precision))


def split_gibbs(rounds: int, inner: int) -> tuple[float, float]:
    """Mean over y and variance of the x of `pnp-dm` at its default rho, by conditioning scalars."""
    mean, variance = 0.0, 0.0
    for rho in polynomial_levels(rounds, 3.0, 0.03).tolist():
        precision = 1 / S**2 + 1 / rho**2
        kept = 1 / (rho**2 * precision)
        mean, variance = kept * mean + 1 / (S**2 * precision), kept**2 * variance + 1 / precision
        levels = polynomial_levels(inner, rho, min(0.01, rho / 2)).tolist()
        for k, following in pairwise([*levels, 0.0]):
            slope = (1 + following**2) / (1 + k**2)
            mean *= slope
            variance = slope**2 * variance + following**2 * (1 - (following / k) ** 2)
    return mean, variance


def test_pnp_dm_follows_its_recursion() -> None:
    found = gain_and_variance(sampler(line(), "pnp-dm", steps=50, inner=2), 100)
    assert found == pytest.approx(split_gibbs(50, 2), rel=1e-6)
    assert found == pytest.approx((0.773, 0.102), abs=1e-3)


def test_the_variance_of_pnp_dm_is_that_of_its_inner_steps() -> None:
    assert split_gibbs(20_000, 2)[0] == pytest.approx(EXACT_GAIN, abs=1e-3)
    found = [split_gibbs(*setting)[1] for setting in ((1_000, 2), (100, 10), (100, 20))]
    assert found == pytest.approx([0.106, 0.168, 0.186], abs=1e-3)
    last = 1 - (0.01 / 0.03) ** 2 / 2  # the spread of X_0 given x_0 + .01 e is not drawn
    assert split_gibbs(4_000, 200)[1] == pytest.approx(last * EXACT_VARIANCE, rel=0.02)


def test_pnp_flow_is_a_point_where_the_posterior_is_not() -> None:
    task = load_task("gaussian-linear")
    y = task.evaluation_set(4, seeded(1)).y
    x = sampler(task, "pnp-flow", average=40).sample(y, 50, seeded(2)).double()
    spread = x.var(1).sum(-1).mean()
    assert spread < 0.05 * task.posterior_moments(y).covariance[0].trace()


GUIDED: list[tuple[str, dict[str, Any]]] = [
    ("dps", {"steps": 8}),
    ("dps", {"steps": 8, "guidance": "score"}),
    ("pigdm", {"steps": 8}),
    ("mmps", {"steps": 8}),
    ("tds", {"steps": 8, "particles": 3}),
    ("tds", {"steps": 8, "particles": 3, "kernel": "exact"}),
    ("mcgdiff", {"steps": 8, "particles": 3}),
    ("daps", {"steps": 3, "ode_steps": 2, "langevin_steps": 5}),
    ("langevin", {"levels": 5}),
    ("pnp-flow", {"steps": 4, "average": 2}),
    ("pnp-dm", {"steps": 4, "inner": 2}),
    ("latent-mcmc", {"moves": 4, "ode_steps": 2}),
]


@pytest.mark.parametrize(("name", "settings"), GUIDED)
def test_a_draw_is_the_same_in_any_company(name: str, settings: dict[str, Any]) -> None:
    task = load_task("gaussian-mixture-informative")
    method = sampler(task, name, **settings)
    y = task.evaluation_set(2, seeded(1)).y
    few, many = (method.sample(y, n, seeded(2)) for n in (3, 300))
    torch.testing.assert_close(few, many[:, :3], rtol=1e-4, atol=1e-4)
    assert len(many.flatten(0, 1).unique(dim=0)) == 600  # and no two are one


def test_chains_of_latents_end_in_the_posterior_of_their_flow() -> None:
    """Monte Carlo: 500 draws, 5 standard errors. On a Gaussian prior T is linear, x = a z."""
    task, n = line(), 500
    method = sampler(task, "latent-mcmc", moves=120, ode_steps=6)
    ks = polynomial_levels(6, 10.0, 0.01).tolist()
    a = math.hypot(1, 10.0)
    for k, following in pairwise([*ks, 0.0]):
        a *= (1 + following * k) / (1 + k**2)  # Euler's step of D = x / (1 + k^2)
    assert 0.3 < a < 0.97  # so few steps are not the prior's own flow
    variance = 1 / (1 / a**2 + 1 / S**2)
    mean = variance / S**2 * Y * float(task.A)  # type: ignore[attr-defined]  # of the task
    x = method.sample(torch.tensor([[Y]]), n, seeded(3)).double().flatten()
    assert abs(float(x.mean()) - mean) < 5 * math.sqrt(variance / n)
    assert abs(float(x.var()) / variance - 1) < 5 * math.sqrt(2 / n)


def test_chains_move_freely_where_no_x_has_given_y_and_never_back_there() -> None:
    nowhere, some = torch.tensor([-math.inf]), torch.tensor([-3.0])
    assert float(gained(nowhere, nowhere)) == 0
    assert (float(gained(some, nowhere)), float(gained(nowhere, some))) == (math.inf, -math.inf)


def test_an_exact_kernel_needs_the_exact_prior() -> None:
    with pytest.raises(UsageError, match="set denoiser=exact as well"):
        load_method("tds", kernel="exact")


@pytest.mark.parametrize(
    ("task", "name", "settings", "said"),
    [
        ("two-moons", "dps", {}, "needs a linear operator"),
        ("two-moons", "dps", {"guidance": "score"}, "minus infinity off the crescents"),
        ("two-moons", "dps", {"denoiser": "exact", "guidance": "score"}, "exact denoiser"),
        ("sign-symmetric", "mmps", {}, "needs a linear operator"),
        ("sign-symmetric", "latent-mcmc", {}, None),
        ("two-moons", "latent-mcmc", {}, None),
        ("eight-gaussians-moons", "latent-mcmc", {}, "needs a likelihood"),
        ("eight-gaussians-moons", "dps", {"guidance": "score"}, "needs a likelihood"),
        ("sign-symmetric", "dps", {"guidance": "score"}, None),
        ("deblurring", "tds", {"denoiser": "exact"}, None),
    ],
)
def test_what_a_task_lacks_is_the_reason(
    task: str, name: str, settings: dict[str, Any], said: str | None
) -> None:
    chosen, where = load_method(name, **settings), load_task(task)
    preset, cpu = where.info.presets["smoke"], torch.device("cpu")
    spec = problem_spec(where, chosen.cls, chosen.params, preset, Meter(), cpu)
    reason = unsupported(where, chosen.cls, chosen.params, spec)
    assert (said in (reason or "")) if said else reason is None
