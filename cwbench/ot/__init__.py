"""Conditional optimal transport: distances, couplings and geodesics, usable on its own.

The mathematics of Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
(Chemseddine, Hagemann, Steidl, Wald, 2025) https://arxiv.org/abs/2403.18705. Tensors or NumPy
arrays go in, distances come back as floats computed in float64; no input is changed.

**Distances.** For joint laws of (x, y) with the same law of y, the conditional Wasserstein distance
transports within each y only:

    W_{p,Y}^p(P, Q) = inf over plans that keep y of E|x-x'|^p = E_y[W_p^p(P_{X|Y=y}, Q_{X|Y=y})].

The p-th power is inside the expectation. The plain distance of the joint laws may also move mass in
y, so it is smaller, and can be small though every posterior is wrong. In between lies the relaxed
distance W_{p,beta} with the cost

    |x-x'|^p + beta |y-y'|^p,

which tends to W_{p,Y} as beta -> infinity. For p = 2, beta weighs the **squared** distance in y: it
is the same as scaling y by sqrt(beta). The paper's code scales y by its flag, so its flag 20 is
beta = 400 here.

**Couplings** pair latents with data in a minibatch by that cost; **geodesics** join the pairs. For
a finite sample with continuous y the limit beta -> infinity is the pairing as drawn, so beta must
be chosen: `calibrate_beta` takes the smallest that does not mix up observations.

Every distance between samples is biased upwards; compare it with the distance of two samples of one
law. Nothing non-finite reaches a solver, and a solver that did not converge raises.
"""

from cwbench.ot.assignment import assignment, squared_distances
from cwbench.ot.c2ot import ConditionAwareOT
from cwbench.ot.calibration import Calibration, calibrate_beta
from cwbench.ot.checks import ConvergenceError, as_float64
from cwbench.ot.coupling import (
    ConditionalOT,
    Coupling,
    Independent,
    MinibatchOT,
    changed_pairs,
    label_cost,
)
from cwbench.ot.energy import energy_distance
from cwbench.ot.entropic import EntropicOT
from cwbench.ot.gaussian import bures_wasserstein_squared, gaussian_transport
from cwbench.ot.geodesic import Geodesic, geodesic
from cwbench.ot.leak import (
    Batch,
    PriorSkew,
    Statistic,
    label_leak,
    label_statistic,
    prior_skew,
)
from cwbench.ot.quantile import mixture_order_statistics
from cwbench.ot.regression import (
    LinearRegression,
    Regression,
    Standardised,
    fit_linear,
    fit_regression,
)
from cwbench.ot.semidiscrete import Semidiscrete
from cwbench.ot.sinkhorn import annealed_sinkhorn_divergence, sinkhorn_divergence
from cwbench.ot.sliced import sliced_wasserstein_power, unit_directions
from cwbench.ot.wasserstein import (
    JointTransport,
    conditional_wasserstein_power,
    joint_transport,
    joint_wasserstein_power,
    wasserstein_power,
)

__all__ = [
    "Batch",
    "Calibration",
    "ConditionAwareOT",
    "ConditionalOT",
    "ConvergenceError",
    "Coupling",
    "EntropicOT",
    "Geodesic",
    "Independent",
    "JointTransport",
    "LinearRegression",
    "MinibatchOT",
    "PriorSkew",
    "Regression",
    "Semidiscrete",
    "Standardised",
    "Statistic",
    "annealed_sinkhorn_divergence",
    "as_float64",
    "assignment",
    "bures_wasserstein_squared",
    "calibrate_beta",
    "changed_pairs",
    "conditional_wasserstein_power",
    "energy_distance",
    "fit_linear",
    "fit_regression",
    "gaussian_transport",
    "geodesic",
    "joint_transport",
    "joint_wasserstein_power",
    "label_cost",
    "label_leak",
    "label_statistic",
    "mixture_order_statistics",
    "prior_skew",
    "sinkhorn_divergence",
    "sliced_wasserstein_power",
    "squared_distances",
    "unit_directions",
    "wasserstein_power",
]
