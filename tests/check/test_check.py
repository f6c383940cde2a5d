"""The checks catch what they name, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import check_metric_plugins as broken_metrics
import check_plugins as broken
import check_task_plugins as broken_tasks
import pytest
import torch
from torch import Generator, Tensor

from cwbench.check import check
from cwbench.check.calibration import rank_p_values
from cwbench.check.method import METHOD_CHECKS
from cwbench.check.method_subject import MethodSubject
from cwbench.check.metric import METRIC_CHECKS
from cwbench.check.metric_subject import MetricSubject
from cwbench.check.outcome import carried_out, expectation, name_of
from cwbench.check.statistics import repeated, standard_errors
from cwbench.check.task import TASK_CHECKS, TaskSubject
from cwbench.errors import ContractError, UsageError

FILE = Path(__file__).parents[1] / "check_plugins.py"
TASK_FILE = FILE.with_name("check_task_plugins.py")


@pytest.fixture(autouse=True)
def default_dtype() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)


Subject = MethodSubject | TaskSubject | MetricSubject


def failures(checks: tuple, subject: Subject) -> dict[str, str]:
    outcomes = [carried_out(each, subject, subject.cls.excused) for each in checks]
    return {o.check: o.seen for o in outcomes if o.status == "failed"}


@pytest.mark.parametrize("cls", broken.METHODS, ids=lambda cls: cls.__name__)
def test_each_broken_method_fails_the_check_that_names_its_fault(cls: type) -> None:
    found = failures(METHOD_CHECKS, MethodSubject(cls))
    assert set(found) == {broken.METHODS[cls]} | broken.ALSO.get(cls, set()), found
    assert all(found.values())


@pytest.mark.parametrize("cls", broken_tasks.TASKS, ids=lambda cls: cls.__name__)
def test_each_broken_task_fails_the_check_that_names_its_fault(cls: type) -> None:
    found = failures(TASK_CHECKS, TaskSubject(cls))
    assert set(found) == {broken_tasks.TASKS[cls]} | broken_tasks.ALSO.get(cls, set()), found


@pytest.mark.parametrize("cls", broken_metrics.METRICS, ids=lambda cls: cls.__name__)
def test_each_broken_metric_fails_the_check_that_names_its_fault(cls: type) -> None:
    found = failures(METRIC_CHECKS, MetricSubject(cls))
    assert set(found) == {broken_metrics.METRICS[cls]}, found


def test_every_check_of_metrics_has_a_plugin_that_it_catches() -> None:
    assert set(broken_metrics.METRICS.values()) == {name_of(each) for each in METRIC_CHECKS}


def test_the_good_ones_that_they_derive_from_pass() -> None:
    assert failures(METHOD_CHECKS, MethodSubject(broken.Good)) == {}
    assert failures(TASK_CHECKS, TaskSubject(broken_tasks.GoodTask)) == {}
    assert failures(METRIC_CHECKS, MetricSubject(broken_metrics.GoodMetric)) == {}
    assert failures(METRIC_CHECKS, MetricSubject(broken_metrics.GoodHalves)) == {}


def test_every_check_has_a_name_and_says_what_it_expects() -> None:
    for checks in (METHOD_CHECKS, TASK_CHECKS, METRIC_CHECKS):
        assert len({name_of(each) for each in checks}) == len(checks)
        for each in checks:
            assert expectation(each).endswith("."), each
            assert 20 < len(expectation(each)) < 110, each


def test_numbers_beyond_float32_are_told_as_that() -> None:
    def sample(self: Any, y: Tensor, n: int, generator: Generator, nfe: Any = None) -> Tensor:
        return broken.Good.sample(self, y, n, generator).double() * 1e200

    cls = type("Mine", (broken.Good,), {"__doc__": "x", "sample": sample})
    found = failures(METHOD_CHECKS, MethodSubject(cls))
    assert "numbers lie beyond its largest, 3.4e+38" in found["finite"]


def test_an_excuse_needs_a_reason_and_a_check() -> None:
    cls = type("Mine", (broken.Ignorant,), {"__doc__": "x", "excused": {"follows-y": "a bound"}})
    assert failures(METHOD_CHECKS, MethodSubject(cls)) == {}
    cls.excused = {"follows-y": "  "}
    found = failures(METHOD_CHECKS, MethodSubject(cls))
    assert set(found) == {"follows-y", "excuses"}
    assert "without a reason: follows-y" in found["excuses"]


def test_a_method_that_cannot_do_a_probe_says_so_or_fails() -> None:
    def unsupported(spec: object) -> str | None:
        return "vectors only" if len(spec.x_shape) > 1 else None

    cls = type("Mine", (broken.Good,), {"__doc__": "x", "unsupported": staticmethod(unsupported)})
    subject = MethodSubject(cls)
    outcomes = {o.check: o for each in METHOD_CHECKS for o in [carried_out(each, subject, {})]}
    assert outcomes["images"].status == "not applicable"
    assert "vectors only" in outcomes["images"].seen
    cls.unsupported = staticmethod(lambda spec: "nothing")
    assert set(failures(METHOD_CHECKS, MethodSubject(cls))) == {"fits"}


def test_a_fit_that_fails_is_told_once() -> None:
    def fit(*_: object) -> None:
        raise ZeroDivisionError("boom")

    cls = type("Mine", (broken.Good,), {"__doc__": "x", "fit": fit})
    found = failures(METHOD_CHECKS, MethodSubject(cls))
    assert found == {"fits": "ZeroDivisionError: boom"}


def test_the_command_says_what_was_expected_and_seen(cli: Callable) -> None:
    done = cli("check", f"{FILE}:Ignorant")
    assert done.exit_code == 1
    assert "FAILED   follows-y" in done.stdout
    assert "expected: Samples for another y" in done.stdout
    assert "seen:     probe-vector: y explains" in done.stdout
    document = json.loads(cli("check", f"{FILE}:Good", "--json").stdout)
    assert document["passed"] is True
    assert {o["check"] for o in document["outcomes"]} == {name_of(each) for each in METHOD_CHECKS}


def test_a_method_can_be_tried_on_a_task_of_ones_own(cli: Callable) -> None:
    done = cli("check", f"{FILE}:Good", "--task", f"{TASK_FILE}:GoodTask")
    assert done.exit_code == 0, done.stdout
    assert "no task with class labels is tried" in done.stdout


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown name 'cotfm'.*'cot-fm'"):
        check("cotfm")
    with pytest.raises(UsageError, match="is a metric; it has no settings"):
        check("ew2sq", settings={"n": 3})
    with pytest.raises(UsageError, match="--task names the task to try a method on"):
        check("gaussian-linear", task="two-moons")
    with pytest.raises(ContractError, match=r"subclass of none of cwbench\.Task"):
        check(f"{FILE}:Params")
    with pytest.raises(UsageError, match="unknown setting of the method 'betta'"):
        check("cot-fm", settings={"betta": 1})


def test_the_rank_test_sees_a_posterior_that_is_slightly_too_narrow() -> None:
    task = broken_tasks.GoodTask()

    def narrow(y: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
        mean = task.posterior_moments(y).mean[:, None].float()
        return mean + 0.8 * (task.sample_posterior(y, n, generator) - mean)

    assert min(rank_p_values(task, task.sample_posterior).values()) > 1e-3
    assert min(rank_p_values(task, narrow).values()) < 1e-6


def test_standard_errors_are_those_of_independent_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 400, 2, generator=generator)
    assert standard_errors(a, b) < 4
    assert standard_errors(a, b + 0.5) == pytest.approx(0.5 / (2 / 400) ** 0.5, rel=0.4)
    assert standard_errors(a, 1.5 * b) > 4


def test_a_stretch_that_comes_again_is_found_at_its_lag() -> None:
    row = torch.randn(1_000, 2, generator=torch.Generator().manual_seed(0))
    assert repeated(row) == 0
    assert repeated(torch.cat([row[:300], row[:300]])) == 300
    assert repeated(row[:1].expand(1_000, 2)) == 0
