"""Importance sampling of npe's draws: its density, and the posterior from a wrong flow."""

from __future__ import annotations

import math

import torch
from torch import Generator

from cwbench.api import load_method, load_task
from cwbench.running.request import problem_spec
from cwbench.training.networks import Meter
from cwbench_baselines.npe_importance import ImportanceSampledPosterior


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def untrained(proposals: int) -> ImportanceSampledPosterior:
    """On X ~ N(0, 1), Y = +-X + E / 2, with a flow that was not fitted."""
    task = load_task("gaussian-linear", dimension=1, noise=0.5)
    chosen = load_method("npe-importance", proposals=proposals)
    preset, cpu = task.info.presets["smoke"], torch.device("cpu")
    spec = problem_spec(task, chosen.cls, chosen.params, preset, Meter(), cpu)
    method = ImportanceSampledPosterior(chosen.params, spec)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method.flow = method._flow()
    method.flow.fit_scale(2 * torch.randn(500, 1, generator=seeded(0)))
    return method


def test_draws_and_their_density_are_those_of_the_flow() -> None:
    flow, y = untrained(1).flow, torch.linspace(-1, 1, 6)[:, None]
    noise = torch.randn(6, 1, generator=seeded(1))
    with torch.no_grad():
        x, density = flow.draw_with_density(noise, y)
        torch.testing.assert_close(x, flow.draw(noise, y))
        wanted = flow(x, y) - flow.deviation.log().sum()
    torch.testing.assert_close(density, wanted, rtol=1e-4, atol=1e-4)


def test_many_proposals_of_a_wrong_flow_give_the_posterior() -> None:
    """Monte Carlo: 400 draws, 5 standard errors; the posterior is N(.8 x, .2), x = +-y."""
    method, n, y = untrained(200), 400, torch.tensor([[1.3]])
    sign = float(load_task("gaussian-linear", dimension=1, noise=0.5).A)  # type: ignore[attr-defined]
    x = method.sample(y, n, seeded(2)).double().flatten()
    assert abs(float(x.mean()) - 0.8 * sign * 1.3) < 5 * math.sqrt(0.2 / n)
    assert abs(float(x.var()) / 0.2 - 1) < 5 * math.sqrt(2 / n)


def test_a_draw_is_the_same_in_any_company() -> None:
    method, y = untrained(7), torch.tensor([[1.3], [0.2]])
    few, many = (method.sample(y, n, seeded(2)) for n in (2, 90))
    torch.testing.assert_close(few, many[:, :2], rtol=1e-4, atol=1e-4)
