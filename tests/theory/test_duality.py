"""Trained critics keep to their duals, and fail with another sign, power or largest slope."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from cwbench.theory import duality


def test_the_overshoot_is_its_formula_and_fails_with_another_penalty(monkeypatch) -> None:
    assert all(check.passed for check in duality.overshoots())
    real = duality.slopes
    monkeypatch.setattr(duality, "slopes", lambda *a, **k: real(*a, **k) ** 2)
    assert not any(check.passed for check in duality.overshoots())


def test_the_joint_distance_is_below_the_conditional_one() -> None:
    conditional, both = duality.distances(duality.laws(100, 0.5))
    assert conditional == pytest.approx(4 / math.pi, rel=1e-3)
    assert both < 0.6 * conditional


def test_slopes_are_those_of_a_known_critic() -> None:
    at = torch.randn(20, 2)

    def critic(rows):
        return (3 * rows[:, :1] + 4 * rows[:, 1:]) * 1.0

    for full, slope in ((False, 3), (True, 5)):
        assert duality.slopes(critic, at, full=full).numpy() == pytest.approx(slope, rel=1e-6)
        found = duality.estimate(critic, full=full)
        assert found.slope == pytest.approx(slope, rel=1e-6)
        assert found.elsewhere == pytest.approx(slope, rel=1e-2)


CRITIC_STEPS = 400
"""Steps of training after which the critics keep to their statement, though with less margin."""


def failures(critic: Callable[..., torch.Tensor], *, full: bool) -> list[str]:
    conditional, both = duality.distances(duality.laws(duality.HELD_OUT, 0.5))
    found = duality.estimate(critic, full=full)
    checks = (
        duality.full_checks(found, both) if full else duality.partial_checks(found, conditional)
    )
    return [check.what for check in checks if not check.passed]


@pytest.fixture(scope="module", params=[False, True], ids=["partial", "full"])
def critic(request) -> tuple[torch.nn.Module, bool]:
    return duality.train(full=request.param, steps=CRITIC_STEPS), request.param


def test_a_trained_critic_estimates_its_distance(critic) -> None:
    network, full = critic
    assert failures(network, full=full) == []


LARGEST_SLOPE = duality.largest_slope


def mean_slope(critic, points, *, full):
    return float(duality.slopes(critic, torch.cat(points), full=full).mean())


UNDERESTIMATES = {
    "by a twentieth": lambda *a, full: 0.95 * LARGEST_SLOPE(*a, full=full),
    "by a power": lambda *a, full: LARGEST_SLOPE(*a, full=full) ** 0.5,
    "by a mean": mean_slope,
}


@pytest.mark.parametrize("what", UNDERESTIMATES)
def test_an_underestimate_of_the_largest_slope_fails(what, critic, monkeypatch) -> None:
    network, full = critic
    monkeypatch.setattr(duality, "largest_slope", UNDERESTIMATES[what])
    assert any("elsewhere" in told for told in failures(network, full=full))


def objective(sign: float = 1.0, power: float = 2.0, factor: float = 1.0):
    """`duality.penalised` with the sign of the difference, the power and factor of the penalty."""

    def value(critic, points, at, *, full, penalty):
        difference = (critic(points.P) - critic(points.Q)).mean()
        excess = (duality.slopes(critic, at, full=full, graph=True) - 1).clamp(min=0)
        return sign * difference - factor * penalty * (excess**power).mean()

    return value


def test_the_objective_unchanged_is_that_of_training(critic) -> None:
    network, full = critic
    points = duality.laws(20, 0.5)
    both = [
        value(network, points, points.P, full=full, penalty=2.0).item()
        for value in (objective(), duality.penalised)
    ]
    assert both[0] == pytest.approx(both[1], rel=1e-6)


OBJECTIVES = {
    "the sign of the difference": objective(sign=-1),
    "the sign of the penalty": objective(factor=-1),
    "the penalty dropped": objective(factor=0),
    "the power of the penalty": objective(power=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OBJECTIVES)
@pytest.mark.parametrize("full", [False, True], ids=["partial", "full"])
def test_a_critic_trained_with_a_changed_sign_or_power_fails(what, full, monkeypatch) -> None:
    monkeypatch.setattr(duality, "penalised", OBJECTIVES[what])
    network = duality.train(full=full, steps=CRITIC_STEPS)
    assert failures(network, full=full) != []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_statement_holds_with_other_seeds(seed) -> None:
    assert [str(check) for check in duality.outcome(seed=seed).checks if not check.passed] == []
