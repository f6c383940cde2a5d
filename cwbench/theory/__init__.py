"""The paper's statements, computed anew: each a module that checks numbers and draws a figure.

    equality    W_{p,Y}^p is the expected posterior distance
    joint       the joint W_1 can be small though every posterior is wrong
    relaxed     W_{p,beta} rises to W_{p,Y}; the diagonal plan of an empirical measure does not
    geodesics   constant speed, and no velocity in y
    duality     critics Lipschitz in x, or in (x, y), against W_{1,Y} and the joint W_1
    particles   class-conditional particle flow on digits, for small and large beta

Data are made here and no plugin is imported. `cwbench theory` runs all.

Source: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl, Wald, 2025) https://arxiv.org/abs/2403.18705
"""

from __future__ import annotations

from collections.abc import Callable

from cwbench.theory import duality, equality, geodesics, joint, particles, relaxed
from cwbench.theory.statement import Check, Outcome

STATEMENTS: dict[str, Callable[[], Outcome]] = {
    "equality": equality.outcome,
    "joint": joint.outcome,
    "relaxed": relaxed.outcome,
    "geodesics": geodesics.outcome,
    "duality": duality.outcome,
    "particles": particles.outcome,
}

__all__ = ["STATEMENTS", "Check", "Outcome"]
