"""Samplers of azula as methods, and azula as the outside value of ours where both are one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import cwbench
from cwbench.api import load_method, load_task
from cwbench.check.independence import independent_draws
from cwbench.check.method_subject import MethodSubject
from cwbench.check.outcome import UnmetError
from cwbench.known.operator import LinearOperator
from cwbench.running.request import problem_spec
from cwbench.task import Task
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter, Networks
from cwbench_baselines.guided.azula_dps import AzulaDPS
from cwbench_baselines.guided.azula_peer import TORCH_WARNS, HandedDenoiser
from cwbench_baselines.guided.dps import DiffusionPosteriorSampling, DPSParams
from cwbench_baselines.guided.mmps import MMPSParams, MomentMatching
from cwbench_baselines.guided.noise import Noise
from cwbench_baselines.guided.sampler import Problem
from cwbench_baselines.guided.schedule import bridge

azula = pytest.importorskip(
    "azula.guidance", reason="azula is not installed; type: pip install 'cwbench[azula]'"
)
from azula.linalg.covariance import IsotropicCovariance  # noqa: E402 - once it is known to be there
from azula.noise import VPSchedule  # noqa: E402

pytestmark = pytest.mark.filterwarnings(f"ignore:{TORCH_WARNS}:FutureWarning")

ROWS, SIZE, OBSERVED, S = 3, 6, 4, 0.3
SCHEDULE = VPSchedule()


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


class Twisted:
    """A denoiser whose Jacobian is not symmetric, as that of a learned one, nor negative."""

    matrix = torch.randn(SIZE, SIZE, generator=seeded(0)).double().triu(1) / 2

    def denoise(self, x_t: Tensor, alpha: float, sigma: float) -> Tensor:
        x, k = x_t / alpha, sigma / alpha
        return (torch.tanh(x @ self.matrix.T) + x) / (1 + k**2)


def problem_of(rows: int) -> Problem:
    """Some observations through a matrix without structure."""
    matrix = torch.randn(OBSERVED, SIZE, generator=seeded(1)).double()
    y = torch.randn(ROWS, OBSERVED, generator=seeded(2)).double()[:rows]
    noise = Noise(0, [(0, j) for j in range(rows)])
    return Problem(Twisted(), noise, y, SIZE, y, LinearOperator(matrix, S))


def levels(t: float) -> tuple[float, float]:
    """alpha and sigma of azula's schedule."""
    alpha, sigma = SCHEDULE(torch.tensor(t, dtype=torch.float64))
    return float(alpha), float(sigma)


def states(rows: int) -> Tensor:
    """Some x_t of azula's form."""
    return torch.randn(ROWS, SIZE, generator=seeded(3)).double()[:rows]


@pytest.mark.parametrize("t", [0.9, 0.5, 0.1])
def test_a_converged_mmps_has_the_guided_denoiser_of_azula(t: float) -> None:
    problem, x_t = problem_of(ROWS), states(ROWS)
    alpha, sigma = levels(t)
    theirs = azula.MMPSDenoiser(
        HandedDenoiser(problem.prior, SCHEDULE), problem.observed, problem.operator.forward,
        IsotropicCovariance(S**2), iterations=OBSERVED,
    )(x_t, torch.tensor(t, dtype=torch.float64)).mean  # fmt: skip
    ours = MomentMatching(MMPSParams(tolerance=1e-12), None)  # type: ignore[arg-type]  # no task
    guided = ours.guided(problem, x_t / alpha, sigma / alpha, 0.0)
    torch.testing.assert_close(guided, theirs, rtol=1e-8, atol=1e-8)
    unguided = problem.denoise(x_t / alpha, sigma / alpha)
    assert (guided - unguided).norm() > 0.05 * unguided.norm()


def steps_of_dps(problem: Problem, x_t: Tensor, zeta: float) -> tuple[Tensor, Tensor]:
    """x_s of azula's step from one x_t, and of ours from the same, with the same noise."""
    t, s = torch.tensor(0.6).double(), torch.tensor(0.5).double()
    (alpha, sigma), (alpha_s, sigma_s) = levels(float(t)), levels(float(s))
    sampler = azula.DPSSampler(
        HandedDenoiser(problem.prior, SCHEDULE), problem.observed, problem.operator.forward, zeta
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = sampler.step(x_t, t, s)
        torch.manual_seed(5)
        e = torch.randn_like(x_t)
    largest = float(problem.operator.singular_values.S[0])
    ours = DiffusionPosteriorSampling(DPSParams(zeta=zeta * largest), None)  # type: ignore[arg-type]
    k, following = sigma / alpha, sigma_s / alpha_s
    mean, deviation = bridge(
        x_t / alpha, ours.guided(problem, x_t / alpha, k, following), k, following
    )
    return theirs, alpha_s * (mean + deviation * e)


def test_dps_has_the_step_of_azula_for_one_draw_alone() -> None:
    """Up to alpha^2 + sigma^2, which is 1 + 10^-6 in azula's schedule and 1 in ours."""
    problem, x_t = problem_of(1), states(1)
    theirs, ours = steps_of_dps(problem, x_t, zeta=0.7)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    without, _ = steps_of_dps(problem, x_t, zeta=1e-9)
    assert (theirs - without).norm() > 0.05 * without.norm()


def test_in_company_a_step_of_azula_is_shorter_by_the_norm_of_all() -> None:
    problem, x_t = problem_of(ROWS), states(ROWS)
    zeta = 0.7
    theirs, ours = steps_of_dps(problem, x_t, zeta)
    without, _ = steps_of_dps(problem, x_t, 1e-9)
    alpha, sigma = levels(0.6)
    clean = problem.denoise(x_t / alpha, sigma / alpha)
    misfit = problem.observed - problem.operator.forward(clean)
    share = misfit.norm(dim=1, keepdim=True) / misfit.norm()
    assert float(share.max()) < 0.9
    torch.testing.assert_close(theirs - without, share * (ours - without), rtol=1e-4, atol=1e-5)


def peer(task: Task, name: str, meter: Meter | None = None, **settings: Any) -> Any:
    """A method of azula with the exact denoiser, standing on standardised x."""
    chosen = load_method(name, denoiser="exact", **settings)
    meter = meter or Meter()
    preset, cpu = task.info.presets["smoke"], torch.device("cpu")
    spec = problem_spec(task, chosen.cls, chosen.params, preset, meter, cpu)
    method = chosen.cls(chosen.params, spec)
    data = task.training_data(500, seeded(0))
    method.fit(data, TrainingContext(data, preset, ("test", 0), Networks(preset, meter)))
    return method


def test_mmps_of_azula_is_right_in_one_dimension() -> None:
    """Monte Carlo: 1,500 draws, 5 standard errors, against the recursion of its affine steps."""
    task, steps, n, y = load_task("gaussian-linear", dimension=1, noise=0.5), 20, 1_500, 1.3
    method = peer(task, "azula-mmps", steps=steps)
    centre, scale = (float(part) for part in method.scaling)
    slope = float(task.A)  # type: ignore[attr-defined]  # of the task
    x = method.sample(torch.tensor([[y]]), n, seeded(1)).double().flatten()
    mean, variance = 0.0, 1.0 + 1e-6  # of u = (x - centre) / scale, whose prior is normal
    m, v = -centre / scale, 1 / scale**2
    gain = scale * slope
    observed = y - slope * centre
    for i in range(steps, 0, -1):
        (alpha, sigma), (alpha_s, sigma_s) = levels(i / steps), levels((i - 1) / steps)
        tau = 1 - (alpha / alpha_s * sigma_s / sigma) ** 2
        kept = sigma_s * math.sqrt(1 - tau) / sigma
        inverse = 1 / v + alpha**2 / sigma**2 + gain**2 / 0.5**2  # of X_0 given x_t and y
        a, b = alpha / sigma**2 / inverse, (m / v + gain * observed / 0.5**2) / inverse
        moved = alpha_s - kept * alpha
        mean, variance = (
            (kept + moved * a) * mean + moved * b,
            ((kept + moved * a) ** 2 * variance + sigma_s**2 * tau),
        )
    mean, variance = centre + scale * mean, scale**2 * variance
    assert abs(float(x.mean()) - mean) < 5 * math.sqrt(variance / n)
    assert abs(float(x.var()) / variance - 1) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize(
    ("name", "jacobians", "operators"),
    [
        ("azula-dps", 1, 2),  # the misfit and its gradient
        ("azula-mmps", 2, 4),  # A^T and A once for the matrix, once for the misfit and its update
    ],
)
@pytest.mark.parametrize("denoiser", ["exact", "learned"])
def test_what_azula_calls_is_counted(
    name: str, jacobians: int, operators: int, denoiser: str, bench: Any
) -> None:
    small, steps, draws = bench("gaussian-linear"), 4, 2 * 7
    method = small.fitted(name, steps=steps, denoiser=denoiser)
    before = small.meter.counts()
    method.sample(small.y[:2], 7, seeded(0))
    evaluated, _, multiplied, operated = (
        now - then for now, then in zip(small.meter.counts(), before, strict=True)
    )
    spent = evaluated, multiplied, operated
    assert spent == tuple(calls * steps * draws for calls in (1, jacobians, operators))


def test_dps_of_azula_is_asked_for_one_number_of_draws_at_a_time() -> None:
    task = load_task("gaussian-mixture-informative")
    method = peer(task, "azula-dps", steps=4)
    y = task.evaluation_set(1, seeded(1)).y
    few, many = (method.sample(y, n, seeded(2)) for n in (50, 120))
    assert torch.equal(few, many[:, :50])
    assert len(many.flatten(0, 1).unique(dim=0)) == 120


def test_the_row_of_azula_s_dps_names_the_check_that_it_fails(tmp_path: Path) -> None:
    for method in ("azula-dps", "azula-mmps"):
        cwbench.run(
            "gaussian-linear", method, preset="smoke", results=tmp_path, figures=False, quiet=True,
            settings={"denoiser": "exact", "method.steps": 3},
        )  # fmt: skip
    notes = cwbench.leaderboard(results=tmp_path).groupby("method")["note"].first()
    named = "excused from the check independent-draws: azula's step has one norm for all"
    first, second = notes
    assert named in first
    assert second == "takes 3 calls a draw"


def test_dps_of_azula_fails_the_check_that_its_title_names() -> None:
    assert set(AzulaDPS.excused) == {"independent-draws"}
    assert "fails the check independent-draws" in AzulaDPS.info.title
    subject = MethodSubject(AzulaDPS, {"steps": 20, "denoiser": "exact"}, None)
    with pytest.raises(UnmetError, match="of 2 draws at once and of 100 differ"):
        independent_draws(subject)
