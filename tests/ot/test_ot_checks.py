"""What is not finite never reaches a solver, and nothing changes its input."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

import cwbench.ot as cot
from cwbench.ot.checks import as_masses


def latents(n, generator):
    return torch.randn(n, 3, generator=generator)


def generator():
    return torch.Generator().manual_seed(0)


# name -> (call, the arguments that must be finite, by name)
CALLS = {
    "squared_distances": (cot.squared_distances, ("a", "b")),
    "wasserstein": (cot.wasserstein_power, ("a", "b")),
    "sinkhorn": (cot.sinkhorn_divergence, ("a", "b")),
    "energy": (cot.energy_distance, ("a", "b")),
    "sliced": (lambda a, b: cot.sliced_wasserstein_power(a, b, torch.eye(3)), ("a", "b")),
    "directions": (
        lambda directions: cot.sliced_wasserstein_power(np.eye(3), np.eye(3), directions),
        ("directions",),
    ),
    "conditional": (cot.conditional_wasserstein_power, ("x1", "y1", "x2", "y2")),
    "joint": (cot.joint_transport, ("x1", "y1", "x2", "y2")),
    "minibatch-ot": (lambda z, x: cot.MinibatchOT()(z, x, x), ("z", "x")),
    "conditional-ot": (cot.ConditionalOT(2.0), ("z", "x", "y")),
    "conditional-ot-exact": (cot.ConditionalOT(math.inf), ("z", "x", "y")),
    "conditional-ot-embedding": (cot.ConditionalOT(2.0, torch.nan_to_num), ("z", "x", "y")),
    "assignment": (cot.assignment, ("cost",)),
    "fit": (
        lambda inputs, targets: cot.fit_regression(inputs, targets, generator=generator()),
        ("inputs", "targets"),
    ),
    "calibrate": (
        lambda x, y: cot.calibrate_beta(x, y, latents, batch=2, generator=generator()),
        ("x", "y"),
    ),
    "prior-skew": (
        lambda z, fed_y: cot.prior_skew(z, fed_y, generator=generator()),
        ("z", "fed_y"),
    ),
    "bures": (
        lambda mean_1, covariance_1, mean_2, covariance_2: cot.bures_wasserstein_squared(
            mean_1[0], covariance_1, mean_2[0], covariance_2
        ),
        ("mean_1", "covariance_1", "mean_2", "covariance_2"),
    ),
    "transport": (cot.gaussian_transport, ("covariance_1", "covariance_2")),
}
CASES = [(name, argument) for name, (_, names) in CALLS.items() for argument in names]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "argument"), CASES)
def test_what_is_not_finite_is_named_before_a_solver_runs(name, argument, bad, no_solver):
    call, names = CALLS[name]
    arguments = {other: torch.eye(3, dtype=torch.float64) for other in names}
    arguments[argument][0, 1] = bad
    with pytest.raises(ValueError, match=rf"\b{argument} has \d+ values? that (is|are) not finite"):
        call(*arguments.values())


def test_an_embedding_that_is_not_finite_is_named(no_solver):
    coupling = cot.ConditionalOT(1.0, lambda y: y / 0)
    with pytest.raises(ValueError, match=r"embedding\(y\) has"):
        coupling(torch.eye(3), torch.eye(3), torch.eye(3))


@pytest.mark.parametrize("huge", [1e200])
def test_a_cost_that_overflows_is_refused(huge, no_solver):
    a, b = np.zeros((3, 2)), np.full((3, 2), huge)
    for call in (cot.wasserstein_power, lambda a, b: cot.joint_transport(a, a, b, b)):
        with pytest.raises(ValueError, match="overflows"):
            call(a, b)


def test_a_cost_that_overflows_is_refused_by_sinkhorn():
    with pytest.raises(ValueError, match="overflows"):
        cot.sinkhorn_divergence(np.zeros((3, 2)), np.full((3, 2), 1e200))


def test_inputs_stay_as_they_are():
    a = torch.randn(24, 3, generator=generator(), dtype=torch.float64)
    b = torch.randn(24, 3, generator=generator().manual_seed(1), dtype=torch.float64)
    covariance = torch.eye(3, dtype=torch.float64) * 2
    y = a.clone()
    kept = [a.clone(), b.clone(), covariance.clone()]
    cot.wasserstein_power(a, b)
    cot.wasserstein_power(a, b[:20])
    cot.conditional_wasserstein_power(a, y, b, y)
    cot.joint_transport(a, y, b, y)
    cot.sliced_wasserstein_power(a, b, torch.eye(3, dtype=torch.float64))
    cot.sinkhorn_divergence(a, b, blur=1.0)
    cot.energy_distance(a, b)
    cot.ConditionalOT(1.0)(a, b, y)
    cot.ConditionalOT(math.inf)(a, b, y)
    cot.fit_regression(a, b, generator=generator(), steps=2)
    cot.prior_skew(a, b, generator=generator())
    cot.bures_wasserstein_squared(a[0], covariance, b[0], covariance)
    cot.gaussian_transport(covariance, covariance)
    cot.geodesic(a, b, a[:, 0])
    assert all(map(torch.equal, [a, b, covariance], kept))
    assert torch.equal(y, a)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.ones(3, dtype=complex), "complex"),
        (torch.ones(3, dtype=torch.complex64), "complex"),
        (np.array(["a"]), "dtype"),
        (np.ones((0, 2)), "shape"),
        (torch.ones(2, 0), "shape"),
        (np.float64(1.0), "shape"),
    ],
)
def test_what_is_no_sample_is_refused(value, reason):
    with pytest.raises(ValueError, match=f"given.*{reason}"):
        cot.as_float64("given", value)


def test_any_real_array_becomes_float64_rows():
    for value in (
        torch.ones(4, dtype=torch.bfloat16),
        np.ones(4, dtype=np.int32),
        torch.ones(4) > 0,
    ):
        assert np.array_equal(cot.as_float64("value", value), np.ones((4, 1)))
    images = torch.arange(24.0, requires_grad=True).reshape(2, 3, 4)
    assert np.array_equal(cot.as_float64("images", images), np.arange(24.0).reshape(2, 12))


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [0.0, 0.0]])
def test_masses_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        as_masses("weights", np.array(weights), 2)


def test_the_package_imports_neither_pot_nor_a_learning_library():
    heavy = "'ot', 'sklearn', 'pandas', 'matplotlib'"
    code = f"import sys, cwbench.ot; print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_exists_once():
    assert sorted(set(cot.__all__)) == cot.__all__
    assert all(hasattr(cot, name) for name in cot.__all__)
