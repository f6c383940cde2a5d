"""The particle flow is one of steepest descent, and fails with another sign or power."""

from __future__ import annotations

import numpy as np
import ot as pot
import pytest
from scipy.spatial.distance import cdist

from cwbench import ot
from cwbench.theory import particles


def test_barycentres_are_those_of_another_sinkhorn(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(2, 12, 2))
    label = rng.uniform(size=(12, 12))
    monkeypatch.setattr(particles, "ITERATIONS", 2_000)
    found, _, value = particles.barycentres(x, target, label, np.zeros(12))
    cost, uniform = (ot.squared_distances(x, target) + label) / 2, np.full(12, 1 / 12)
    plan = pot.sinkhorn(
        uniform, uniform, cost, particles.EPSILON, method="sinkhorn_log", numItermax=20_000
    )
    assert found == pytest.approx(12 * plan @ target, abs=1e-4)
    divergence = (plan * np.log(144 * plan + 1e-300)).sum()
    assert value == pytest.approx((plan * cost).sum() + particles.EPSILON * divergence, rel=1e-4)


def failures() -> list[str]:
    return [c.what for c in particles.outcome(steps=15, per_class=8).checks if not c.passed]


BARYCENTRES = particles.barycentres


def reflected(x, target, *rest):
    """T(x) on the other side of x, which turns the sign of x - T(x)."""
    barycentre, *others = BARYCENTRES(x, target, *rest)
    return (2 * x - barycentre, *others)


def opposite_to_itself(x, target, *rest):
    """-T(x) where the particles are carried to themselves."""
    barycentre, *others = BARYCENTRES(x, target, *rest)
    return (-barycentre if target is x else barycentre, *others)


FLOWS = {
    "the sign of the gradient": ("barycentres", reflected),
    "the sign of the step": ("LEARNING_RATE", -particles.LEARNING_RATE),
    "the sign of the transport to itself": ("barycentres", opposite_to_itself),
    "the power of the cost": ("cdist", lambda a, b, _: cdist(a, b, "euclidean")),
    "the sign of beta": ("BETAS", (0.01, -100.0)),
    "the power of beta": ("BETAS", (1 / 0.01, 1 / 100.0)),
}


def test_the_particle_flow_holds() -> None:
    assert failures() == []


@pytest.mark.slow
@pytest.mark.parametrize("what", FLOWS)
def test_a_particle_flow_with_a_changed_sign_or_power_fails(what, monkeypatch) -> None:
    monkeypatch.setattr(particles, *FLOWS[what])
    assert failures() != []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_statement_holds_with_other_seeds(seed) -> None:
    assert [str(check) for check in particles.outcome(seed=seed).checks if not check.passed] == []
