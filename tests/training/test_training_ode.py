"""Solvers against dx/dt = A x + b t, whose solution is known, and against their own counts."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cwbench.preset import NFE
from cwbench.training.ode import EVALUATIONS, integrate, refusal, times

SOLVERS = list(EVALUATIONS)
ORDER = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}
A = torch.tensor([[-0.5, 2.0], [-2.0, -0.5]], dtype=torch.float64)
SLOPE = torch.tensor([1.0, -0.5], dtype=torch.float64)


class Counted:
    """v(t, x) = A x + b t, and how often it was asked for."""

    def __init__(self, velocity: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        self.calls: list[float] = []
        self.velocity = velocity or (lambda t, x: x @ A.T.to(x) + SLOPE.to(x) * t)

    def __call__(self, t: Tensor, x: Tensor) -> Tensor:
        assert t.ndim == 0
        self.calls.append(float(t))
        return self.velocity(t, x)


def exact(z: Tensor) -> Tensor:
    """x_1 = e^A z + A^{-2} (e^A - I - A) b."""
    inverse, identity = torch.linalg.inv(A), torch.eye(2, dtype=torch.float64)
    exponential = torch.linalg.matrix_exp(A)
    return z @ exponential.T + inverse @ inverse @ (exponential - identity - A) @ SLOPE


@pytest.fixture
def z() -> Tensor:
    return torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("nfe", [1, 2, 3, 4, 7, 8, 12, 100])
def test_evaluations_are_exactly_those_asked_for(z, solver, nfe) -> None:
    velocity = Counted()
    if nfe % EVALUATIONS[solver]:
        assert solver in str(refusal(solver, nfe))
        with pytest.raises(ValueError, match=f"multiple of {EVALUATIONS[solver]}"):
            integrate(velocity, z, nfe, solver)
        assert velocity.calls == []
    else:
        assert refusal(solver, nfe) is None
        integrate(velocity, z, nfe, solver)
        assert len(velocity.calls) == nfe


def test_one_euler_step_is_a_straight_line(z) -> None:
    expected = z + z @ A.T
    assert torch.allclose(integrate(Counted(), z, 1), expected, rtol=1e-14, atol=1e-14)


def test_euler_steps_are_those_of_the_formula(z) -> None:
    x = z
    for k in range(3):
        x = x + (x @ A.T + SLOPE * k / 3) / 3
    assert torch.allclose(integrate(Counted(), z, 3), x, atol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_order_of_accuracy(z, solver) -> None:
    def error(steps: int) -> float:
        got = integrate(Counted(), z, steps * EVALUATIONS[solver], solver)
        return float((got - exact(z)).norm())

    # the grid of times is float32, so errors are kept well above 1e-7
    observed = math.log2(error(8) / error(16))
    assert observed == pytest.approx(ORDER[solver], abs=0.25)


def test_adaptive_solver_is_close_to_the_solution(z) -> None:
    velocity = Counted()
    got = integrate(velocity, z, "adaptive")
    assert torch.allclose(got, exact(z), atol=1e-4)
    assert (got - exact(z)).abs().max() > 0
    assert 10 < len(velocity.calls) < 200
    assert torch.allclose(integrate(velocity, z.float(), "adaptive").double(), exact(z), atol=1e-4)


@pytest.mark.parametrize("nfe", [1, 4, "adaptive"])
def test_a_velocity_that_is_nan_gives_nan_not_an_exception(z, nfe) -> None:
    def sometimes(t: Tensor, x: Tensor) -> Tensor:
        return torch.where(t >= 0.5, torch.nan, 1.0) * x if nfe == 4 else x * torch.nan

    assert integrate(sometimes, z.float(), nfe).isnan().all()


def test_a_solution_that_blows_up_is_nan(z) -> None:
    def explosive(t: Tensor, x: Tensor) -> Tensor:
        return 1 + 100 * x**2  # infinite before t = 1

    assert not integrate(explosive, z.float().abs(), "adaptive").isfinite().any()


@pytest.mark.parametrize("solver", SOLVERS)
def test_path_goes_from_latent_to_sample(z, solver) -> None:
    path = integrate(Counted(), z, 12, solver, path=True)
    assert path.shape == (12 // EVALUATIONS[solver] + 1, 20, 2)
    assert torch.equal(path[0], z)
    assert torch.equal(path[-1], integrate(Counted(), z, 12, solver))
    assert len(times(12, solver)) == len(path)
    assert (times(12, solver)[0], times(12, solver)[-1]) == (0.0, 1.0)


def test_the_latent_is_not_changed(z) -> None:
    before = z.clone()
    integrate(Counted(), z, 4, "heun")
    integrate(Counted(), z, "adaptive")
    assert torch.equal(z, before)


def test_images_are_integrated_as_they_are() -> None:
    z = torch.randn(3, 1, 4, 4)
    got = integrate(lambda t, x: -x, z, 2)
    assert torch.allclose(got, z / 4)


@pytest.mark.parametrize("nfe", [3, "adaptive"])
def test_an_assertion_of_the_network_is_its_own_and_no_divergence(z: Tensor, nfe: NFE) -> None:
    def strict(t: Tensor, x: Tensor) -> Tensor:
        assert float(t) < 0.3, "t is too large for me"
        return x

    with pytest.raises(AssertionError, match="too large for me"):
        integrate(strict, z, nfe)


def test_an_assertion_that_the_network_survives_leaves_divergence_what_it_is(z: Tensor) -> None:
    def caught(t: Tensor, x: Tensor) -> Tensor:
        with contextlib.suppress(AssertionError):
            assert float(t) < 0
        return 1e30 * x.square()

    assert integrate(caught, z, "adaptive").isnan().all()
