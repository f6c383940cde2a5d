"""What the metrics tell apart with 100 observations, against the oracle.

Each control is wrong in one way only. The oracle draws from another stream of the same size.
"""

from __future__ import annotations

import pytest
import torch

from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.mixture import ModeWeights
from cwbench.metrics.moments import MeanError
from cwbench.metrics.wasserstein import W2Squared
from cwbench_tasks.deblurring import Deblurring
from cwbench_tasks.gaussian_mixture import GaussianMixture, GaussianMixtureParams
from cwbench_tasks.tomography import Tomography

M = 100


@pytest.fixture
def task(request):
    wanted = getattr(request, "param", 5)
    if isinstance(wanted, int):
        return GaussianMixture(GaussianMixtureParams(dimension=wanted))
    return wanted()


@pytest.fixture
def controls(task, draw_mixture):
    def scaled(factor):
        def sampler(y, n, generator):
            mean = task.posterior_moments(y).mean.reshape(len(y), 1, *task.x_shape)
            return mean + factor * (task.sample_posterior(y, n, generator) - mean)

        return sampler

    def moment_matched(y, n, generator):
        mean, covariance = task.posterior_moments(y)
        noise = torch.randn(len(y), n, mean.shape[1], 1, generator=generator).double()
        drawn = mean[:, None] + (torch.linalg.cholesky(covariance)[:, None] @ noise)[..., 0]
        return drawn.reshape(len(y), n, *task.x_shape)

    def weighted(power):
        def sampler(y, n, generator):
            mixture = task.posterior_mixture(y)
            weights = mixture.weights**power
            weights = weights / weights.sum(dim=1, keepdim=True)
            drawn = draw_mixture(mixture._replace(weights=weights), n, generator)
            return drawn.reshape(len(y), n, *task.x_shape)

        return sampler

    return {
        "sd x 1.1": scaled(1.1),
        "sd x 0.8": scaled(0.8),
        "moment-matched Gaussian": moment_matched,
        "weights ^ 1.15": weighted(1.15),
        "weights ^ 1.3": weighted(1.3),
    }


@pytest.fixture
def t_value(task, controls, judge):
    """The paired difference of a control to the oracle over its standard error."""

    def t_value(metric_class, control, n):
        metric = metric_class(task)
        oracle = judge(metric, task.sample_posterior, n=n, m=M, stream=100)
        values = judge(metric, controls[control], n=n, m=M)
        return values._replace(each=values.each - oracle.each).t

    return t_value


@pytest.mark.parametrize(
    ("metric", "control", "n"),
    [
        (EnergyDistance, "sd x 1.1", 200),
        (W2Squared, "moment-matched Gaussian", 100),
        (EnergyDistance, "moment-matched Gaussian", 100),
        (ModeWeights, "weights ^ 1.15", 1000),
        (MeanError, "weights ^ 1.15", 500),
    ],
)
def test_control_is_told_from_the_oracle(t_value, metric, control, n):
    assert t_value(metric, control, n) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "control", "n"),
    [
        (W2Squared, "moment-matched Gaussian", 100),
        (EnergyDistance, "sd x 1.1", 200),
        (ModeWeights, "weights ^ 1.3", 300),
    ],
)
@pytest.mark.parametrize("task", [Deblurring, Tomography], indirect=True)
def test_control_is_told_from_the_oracle_on_images(t_value, metric, control, n):
    assert t_value(metric, control, n) > 3


@pytest.mark.slow
@pytest.mark.parametrize("task", [2], indirect=True)
def test_w2_tells_a_wide_sampler_in_two_dimensions(t_value):
    assert t_value(W2Squared, "sd x 1.1", 300) > 3


@pytest.mark.slow
def test_mode_weights_sees_wrong_weights_better_than_w2(t_value):
    assert t_value(ModeWeights, "weights ^ 1.15", 300) > t_value(W2Squared, "weights ^ 1.15", 300)


def test_mean_error_is_blind_to_shape(t_value):
    assert abs(t_value(MeanError, "moment-matched Gaussian", 200)) < 3


@pytest.mark.parametrize("metric", [W2Squared, EnergyDistance])
def test_narrow_sampler_is_worse_than_the_oracle(t_value, metric):
    assert t_value(metric, "sd x 0.8", 200) > 3
