"""The Gaussian gap: 0 where posteriors are Gaussian, the gap of the control elsewhere."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import cwbench
from cwbench.api import load_task
from cwbench.judging.difficulty import difficulty, gap_facts, moment_matched
from cwbench.judging.judge import Judge
from cwbench.machine.streams import stream
from cwbench.metrics.wasserstein import W2Squared
from cwbench.records.tables import GAUSSIAN_GAP, run_table
from cwbench.samples import JointSamples, Moments
from cwbench.task import UnitParams
from cwbench_tasks.gaussian_linear import GaussianLinear, GaussianLinearParams

STRETCH = torch.tensor([1.0, 1e-3])


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(task):
    return task.info.presets["quick"].model_copy(update={"samples": 200})


def test_gaussian_posteriors_have_no_gap():
    task = load_task("gaussian-linear")
    found = difficulty(task, small(task))
    assert abs(found.gaussian_gap) < 3 * found.gaussian_gap_error
    assert found.gaussian_gap_error < 0.01
    assert 0.75 < found.resolution < 1
    assert (found.n_observations, found.n_samples) == (20, 200)


def test_gap_of_a_mixture_is_that_of_the_control_over_the_posterior_variance():
    task = load_task("gaussian-mixture")
    found = difficulty(task, small(task))
    assert found.gaussian_gap > 20 * found.gaussian_gap_error

    from cwbench.running.request import configured_method

    sizes = {"observations": 30, "samples": 200}
    judge = Judge(task, task.info.presets["quick"].model_copy(update=sizes))
    y = judge.observations.y
    draws = configured_method("oracle-gaussian", {}).on(task).sample(y, 400, stream("control"))
    value = judge.score(W2Squared(task), draws).value.mean()
    trace = task.posterior_moments(y).covariance.diagonal(dim1=1, dim2=2).sum(1).mean()
    assert found.gaussian_gap == pytest.approx(
        float(value / trace), abs=5 * found.gaussian_gap_error
    )


def test_moment_matched_draws_have_the_moments_of_the_posterior():
    task = load_task("gaussian-mixture")
    y = task.sample_joint(3, stream("y")).y
    draws, traces = moment_matched(task, y, 40_000, stream("draws"))
    mean, covariance = task.posterior_moments(y)
    assert torch.allclose(traces, covariance.diagonal(dim1=1, dim2=2).sum(1))
    for row in range(3):
        assert torch.allclose(draws[row].mean(0), mean[row], atol=0.02)
        assert torch.allclose(draws[row].T.cov(), covariance[row], atol=0.01)


def test_numbers_are_a_function_of_the_task_alone():
    task = load_task("gaussian-linear", dimension=2)
    preset = task.info.presets["smoke"]
    torch.manual_seed(0)
    first = difficulty(task, preset)
    torch.manual_seed(1)
    assert difficulty(task, preset) == first
    assert (first.n_observations, first.n_samples) == (preset.observations, preset.samples)


class Stretched(GaussianLinear):
    """Two numbers, one in thousandths, measured in deviations of each."""

    class Params(GaussianLinearParams, UnitParams):
        """With units."""

        dimension: int = 2

    def sample_joint(self, n, generator):
        x, y = super().sample_joint(n, generator)
        return JointSamples(x * STRETCH, y)

    def sample_posterior(self, y, n, generator):
        return super().sample_posterior(y, n, generator) * STRETCH

    def posterior_moments(self, y):
        mean, covariance = super().posterior_moments(y)
        return Moments(mean * STRETCH, covariance * torch.outer(STRETCH, STRETCH))


def test_the_gap_is_in_the_units_of_distances():
    """In deviations of each number the gap is that of the task without a stretch."""
    y = GaussianLinear(GaussianLinear.Params(dimension=2)).sample_joint(5, stream("y")).y
    plain = GaussianLinear(GaussianLinear.Params(dimension=2))
    scale = plain.sample_joint(10_000, stream("x")).x.double().std(0)
    expected = (plain.posterior_variances(y) / scale.square()).sum(1)
    stretched = Stretched(Stretched.Params(distances="standardised"))
    _, traces = moment_matched(stretched, y, 10, stream("draws"))
    assert torch.allclose(traces, expected, rtol=0.05)


@pytest.fixture
def _few(monkeypatch):
    """Few samples, for speed."""
    monkeypatch.setattr("cwbench.judging.difficulty.SAMPLES", 60)


def quick(task, **changes):
    return task.info.presets["quick"].model_copy(update=changes)


@pytest.mark.usefixtures("_few")
def test_a_run_measures_what_describe_prints_whatever_its_preset(tmp_path):
    task = load_task("gaussian-linear", dimension=1)
    wanted = difficulty(task, quick(task)).gaussian_gap
    other = quick(task, observations=25, samples=30, split="dev")
    assert gap_facts(task, other, tmp_path) == {GAUSSIAN_GAP: wanted}


@pytest.mark.usefixtures("_few")
def test_a_gap_is_measured_once_and_again_where_it_is_damaged(tmp_path, monkeypatch):
    task, calls = load_task("gaussian-linear", dimension=1), []

    def counted(*arguments):
        calls.append(1)
        return difficulty(*arguments)

    monkeypatch.setattr("cwbench.judging.difficulty.difficulty", counted)
    facts = [gap_facts(task, quick(task), tmp_path) for _ in range(2)]
    assert facts[0] == facts[1]
    assert len(calls) == 1
    (path,) = tmp_path.glob("*-gaussian-gap-*")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert gap_facts(task, quick(task), tmp_path) == facts[0]
    assert len(calls) == 2
    other = load_task("gaussian-linear", dimension=1, noise=0.3)
    assert gap_facts(other, quick(other), tmp_path) != facts[0]


def test_no_gap_without_a_posterior_with_few_observations_or_where_measuring_fails(monkeypatch):
    task = load_task("gaussian-linear", dimension=1)
    assert gap_facts(task, task.info.presets["smoke"]) == {}
    monkeypatch.setattr(type(task), "posterior_moments", lambda *_: 1 / 0)
    assert gap_facts(task, quick(task)) == {}
    monkeypatch.setattr(type(task), "has_posterior", False)
    assert gap_facts(task, quick(task)) == {}


@pytest.mark.usefixtures("_few")
def test_a_record_holds_the_gap_and_its_table_warns(tmp_path):
    sizes = {"dimension": 1, "preset.observations": 20, "preset.samples": 20}
    record = cwbench.run(
        "gaussian-linear", "oracle", "quick", settings=sizes, results=tmp_path, quiet=True,
        figures=False,
    )  # fmt: skip
    assert abs(record.diagnostics[GAUSSIAN_GAP]) < 0.01
    assert "warning: nearly Gaussian" in str(record)
    table = run_table(dataclasses.replace(record, diagnostics={GAUSSIAN_GAP: 0.2}))
    assert "nearly Gaussian" not in table
