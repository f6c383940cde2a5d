"""The Gaussian gap: 0 where posteriors are Gaussian, the gap of the control elsewhere."""

from __future__ import annotations

import pytest
import torch

from cwbench.api import load_task
from cwbench.judging.difficulty import difficulty, moment_matched
from cwbench.judging.judge import Judge
from cwbench.machine.streams import stream
from cwbench.metrics.wasserstein import W2Squared


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
