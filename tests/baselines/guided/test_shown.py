"""What the suite shows of samplers that know the operator, in the words of its own verdicts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import cwbench
from cwbench.api import load_method, load_task
from cwbench.running.request import problem_spec
from cwbench.training.networks import Meter
from cwbench_baselines.guided.sampler import Problem

Run = tuple[str, int, dict[str, Any]]
POINT = {"denoiser": "exact"}
RUNS: list[Run] = [
    *(("pnp-flow", seed, POINT) for seed in range(3)), *(("oracle", seed, {}) for seed in range(3)),
    ("pnp-flow", 0, POINT | {"method.average": 40}),
]  # fmt: skip


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of the control that estimates a point, and of exact draws."""
    results = tmp_path_factory.mktemp("points")
    for method, seed, given in RUNS:
        record = cwbench.run(
            "gaussian-linear", method, preset="smoke", seed=seed, metrics=["cov-error", "sbc"],
            settings=given | {"preset.observations": 60}, results=results, figures=False,
            quiet=True,
        )  # fmt: skip
        assert record.status == "ok"
    return results


@pytest.mark.parametrize("metric", ["ew2sq", "cov-error", "sbc"])
def test_a_point_estimator_is_seen_as_collapsed(points: Path, metric: str) -> None:
    found = cwbench.compare("pnp-flow (denoiser=exact)", "oracle", results=points, metric=metric)
    assert found["verdict"].unique().tolist() == ["worse"]


def test_without_the_noise_of_its_average_it_has_the_values_of_a_point(points: Path) -> None:
    """A covariance of 0 is off by all of C, and W_2^2 from a point is tr C or more."""
    name = "pnp-flow (average=40, denoiser=exact)"
    table = cwbench.leaderboard(results=points, method=name).set_index("metric")["value"]
    task: Any = load_task("gaussian-linear")
    assert 0.9 < table["cov-error"] <= 1.0
    assert table["ew2sq"] > 0.7 * float(task.C.trace())


class Silence:
    """No noise at all."""

    def normal(self, *shape: int) -> Tensor:
        return torch.zeros(2, *shape).double()


@pytest.mark.parametrize("steps", [3, 20, 100])
def test_the_mean_of_a_converged_mmps_is_exact_at_every_number_of_steps(steps: int) -> None:
    """Each step is affine in x and noise where the prior is Gaussian: without noise x is its mean.

    alpha at the noisy end is 10^-4, by which a start at 0 is off.
    """
    task: Any = load_task("gaussian-linear")
    chosen = load_method("mmps", denoiser="exact", steps=steps, alpha_min=1e-4, tolerance=1e-12)
    cpu, preset = torch.device("cpu"), task.info.presets["smoke"]
    spec = problem_spec(task, chosen.cls, chosen.params, preset, Meter(), cpu)
    method: Any = chosen.cls(chosen.params, spec)
    method.fit(
        task.training_data(10, Generator().manual_seed(0)), SimpleNamespace(standardise=False)
    )
    y = task.evaluation_set(2, Generator().manual_seed(1)).y
    known = spec.known
    problem = Problem(
        known.denoiser, Silence(), y, 5, known.operator.centred(y), known.operator  # type: ignore[arg-type]
    )  # fmt: skip
    with torch.no_grad():
        mean = method.draw(problem)
    exact = y.double() @ task.K.T
    torch.testing.assert_close(mean, exact, rtol=1e-3, atol=1e-3)
