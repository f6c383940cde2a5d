"""Tasks and methods that offer or ask what cannot be, as the command line tells it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from torch import Generator

from cwbench.api import load_method
from cwbench.known.operator import LinearOperator
from cwbench.running.request import problem_spec
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter, Networks
from cwbench_tasks.gaussian_linear import GaussianLinear

Cwbench = Callable[..., Result]
SMALL = ("--preset", "smoke", "--set", "preset.observations=2", "--set", "preset.samples=20",
         "--no-figures")  # fmt: skip
ODD = '''
import torch

from cwbench.known.operator import LinearOperator
from cwbench.method import Method, MethodInfo
from cwbench_tasks.gaussian_linear import GaussianLinear


class Noiseless(GaussianLinear):
    """Its operator has no noise."""

    def linear_operator(self):
        return LinearOperator(self.A, 0.0)


class Silent(GaussianLinear):
    """Its y says nothing."""

    def linear_operator(self):
        return LinearOperator(0 * self.A, self.params.noise)


class Sometimes(GaussianLinear):
    """Its likelihood is NaN where x is large."""

    def log_likelihood(self, x, y):
        return super().log_likelihood(x, y).where(x[..., 0] < 0, float("nan"))


class Asks(Method):
    """Asks for the operator, having declared the likelihood."""

    info = MethodInfo(name="asks", version=1, title="Asks", citation="cwbench")

    @classmethod
    def needs(cls, params):
        return frozenset({"likelihood"})

    def fit(self, data, context):
        pass

    def sample(self, y, n, generator, nfe=None):
        return self.spec.known.operator.adjoint(y)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
'''


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    return path


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("Noiseless", "the noise of the linear operator is 0.0; a likelihood needs a deviation"),
        ("Silent", "the linear operator is 0: y says nothing about x"),
    ],
)
def test_an_operator_that_no_observation_has_is_told(
    odd: Path, cli: Cwbench, tmp_path: Path, task: str, said: str
) -> None:
    done = cli("run", "--task", f"{odd}:{task}", "--method", "pigdm", *SMALL,
               "--results", tmp_path)  # fmt: skip
    assert done.exit_code != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("task", "method", "said"),
    [
        ("Sometimes", "dps", "log_likelihood of task 'gaussian-linear' is NaN or infinite for "),
        (None, "Asks", "method 'asks' asks for the operator and declares likelihood: let "
                       "needs(params) return 'operator' as well"),
    ],
)  # fmt: skip
def test_a_run_ends_with_what_was_wrong(
    odd: Path, cli: Cwbench, tmp_path: Path, task: str | None, method: str, said: str
) -> None:
    names = f"{odd}:{task}" if task else "gaussian-linear", method if task else f"{odd}:{method}"
    own = ("guidance=score", "denoiser=exact", "method.steps=3") if task else ()
    sets = [word for each in own for word in ("--set", each)]
    done = cli("run", "--task", names[0], "--method", names[1], *SMALL, *sets,
               "--results", tmp_path)  # fmt: skip
    assert done.exit_code == 1
    assert said in done.stderr
    (record,) = tmp_path.rglob("record.json")
    content = json.loads(record.read_text())
    assert content["status"] == "failed"
    assert said in content["error"]


def test_a_task_without_an_operator_is_skipped_with_the_reason(
    cli: Cwbench, tmp_path: Path
) -> None:
    reason = "needs a linear operator with Gaussian noise, which this task does not have"
    done = cli("run", "--task", "two-moons", "--method", "mmps", *SMALL, "--results", tmp_path)
    assert done.exit_code == 0
    assert f"skipped: {reason}" in done.stdout + done.stderr
    shown = cli("leaderboard", "--results", tmp_path, "--format", "md").stdout
    assert f"mmps: skipped: {reason}" in shown


class Singular(GaussianLinear):
    """Its y lacks a direction of x."""

    def __init__(self, params: Any = None) -> None:
        super().__init__(params)
        U, S, V = torch.linalg.svd(self.A)
        self.unseen = V[-1]
        self.A = U[:, :-1] @ S[:-1].diag() @ V[:-1]

    def linear_operator(self) -> LinearOperator:
        return LinearOperator(self.A, self.params.noise)


@pytest.mark.parametrize("name", ["pigdm", "mmps", "tds", "mcgdiff", "dps"])
def test_where_the_operator_is_singular_the_unseen_direction_keeps_its_prior(name: str) -> None:
    """Monte Carlo: 800 draws, 5 standard errors, and a tenth for the bias of 100 steps."""
    task, n, meter = Singular(), 800, Meter()
    preset, cpu = task.info.presets["smoke"], torch.device("cpu")
    steps = {"particles": 1} if name in ("tds", "mcgdiff") else {}
    chosen = load_method(name, denoiser="exact", steps=100, **steps)
    spec = problem_spec(task, chosen.cls, chosen.params, preset, meter, cpu)
    method = chosen.cls(chosen.params, spec)
    data = task.training_data(500, Generator().manual_seed(0))
    method.fit(data, TrainingContext(data, preset, ("test", 0), Networks(preset, meter)))
    y = task.evaluation_set(1, Generator().manual_seed(1)).y
    unseen = method.sample(y, n, Generator().manual_seed(2))[0].double() @ task.unseen
    assert abs(float(unseen.mean())) < 5 / math.sqrt(n)
    assert abs(float(unseen.var()) - 1) < 0.1 + 5 * math.sqrt(2 / n)
