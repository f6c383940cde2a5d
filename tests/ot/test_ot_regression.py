"""Regressions against closed forms of linear-Gaussian pairs."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression as Reference

from cwbench.ot import Standardised, calibrate_beta, fit_linear, fit_regression, label_leak
from cwbench.ot.coupling import ConditionalOT

NOISE = 0.5
R2 = 1 / (1 + NOISE**2)  # of y = x + NOISE * normal with x standard normal


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def linear_pairs(n, seed, d=3):
    generator = seeded(seed)
    x = torch.randn(n, d, generator=generator)
    return x, x + NOISE * torch.randn(n, d, generator=generator)


def test_the_standard_error_is_that_of_repetitions():
    runs = []
    for seed in range(12):
        generator = seeded(seed)
        x = torch.randn(400, 1, generator=generator)
        y = x + torch.randn(400, 1, generator=generator)
        runs.append(fit_regression(y, x, generator=generator, steps=200))
    spread = np.std([run.r2 for run in runs], ddof=1)
    assert 0.5 < np.mean([run.r2_error for run in runs]) / spread < 2


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_units_of_inputs_and_targets_do_not_matter(scale):
    x, y = linear_pairs(2_000, 3)
    plain = fit_regression(y, x, generator=seeded(0))
    scaled = fit_regression(scale * y + 5 * scale, scale * x - scale, generator=seeded(0))
    assert scaled.r2 == pytest.approx(plain.r2, abs=0.01)
    assert scaled.explained == pytest.approx(scale**2 * plain.explained, rel=0.02)


def test_class_labels_as_inputs_give_class_means():
    generator = seeded(0)
    labels = torch.randint(4, (2_000,), generator=generator)
    means = torch.tensor([0.0, 3.0, -1.0, 1.0])
    x = means[labels] + 0.5 * torch.randn(2_000, generator=generator)
    regression = fit_regression(labels, x, generator=generator)
    with torch.no_grad():
        assert torch.allclose(regression(torch.arange(4))[:, 0], means, atol=0.1)
    between = float(means.var(correction=0))
    assert regression.r2 == pytest.approx(between / (between + 0.25), abs=0.03)


def test_everything_is_in_the_state_of_the_module():
    x, y = linear_pairs(500, 0)
    first = fit_regression(y, x, generator=seeded(0), steps=50)
    second = fit_regression(x, y, generator=seeded(1), steps=50)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(y), second(y))
    assert (first.r2, first.r2_error, first.explained) == (
        second.r2,
        second.r2_error,
        second.explained,
    )


def test_the_linear_estimate_is_that_of_least_squares():
    generator = seeded(3)
    A = torch.randn(6, 4, generator=generator)
    x = torch.randn(3_000, 4, generator=generator) + 2
    y = x @ A.T + 0.3 * torch.randn(3_000, 6, generator=generator) - 5
    fitted = fit_linear(y.reshape(-1, 2, 3), x.reshape(-1, 2, 2))
    reference = Reference().fit(y.double().numpy(), x.double().numpy())
    estimate = fitted(y.reshape(-1, 2, 3))
    np.testing.assert_allclose(estimate, reference.predict(y.double().numpy()), atol=5e-3)
    assert fitted.explained == pytest.approx(float(estimate.var(0, correction=0).sum()))


def test_the_linear_estimate_takes_constant_entries_and_one_target():
    x, y = linear_pairs(500, 1, d=1)
    fitted = fit_linear(torch.cat([y, torch.full_like(y, 7.0)], 1), x)
    estimate = fitted(torch.tensor([[1.0, 7.0]]))
    assert estimate.shape == (1, 1)
    assert float(estimate) == pytest.approx(1 / (1 + NOISE**2), abs=0.1)


def test_too_few_pairs_are_refused():
    x, y = linear_pairs(19, 0)
    with pytest.raises(ValueError, match="needs 20"):
        fit_linear(y, x)


@pytest.mark.parametrize("compare", ["posterior-mean", "linear", "observation"])
def test_every_comparison_gives_up_equally_much(compare):
    x, y = linear_pairs(4_000, 0)
    found = calibrate_beta(
        x,
        y,
        lambda n, generator: torch.randn(n, 3, generator=generator),
        batch=100,
        generator=seeded(1),
        target=0.02,
        compare=compare,
    )
    assert 0.005 < found.leak <= 0.02
    kinds = {
        "posterior-mean": "posterior-mean",
        "linear": "linear",
        "observation": "standardised-y",
    }
    assert found.statistic == kinds[compare]
    # Measured anew on other batches, in the exact posterior mean y / (1 + s^2): about the same.
    mean = Standardised(y)
    generator = seeded(9)
    batches = []
    for _ in range(20):
        rows = torch.randperm(4_000, generator=generator)[:100]
        batches.append((torch.randn(100, 3, generator=generator), x[rows], y[rows]))
    leak = label_leak(ConditionalOT(found.beta, found.embedding), batches, mean)
    assert leak == pytest.approx(found.leak, rel=0.4)


def test_a_posterior_mean_that_is_blind_cannot_be_insisted_on():
    x = torch.randn(2_000, 2, generator=seeded(0))
    with pytest.raises(ValueError, match=r"blind to y.*choose auto or observation"):
        calibrate_beta(
            x,
            x.square(),
            lambda n, generator: torch.randn(n, 2, generator=generator),
            batch=100,
            generator=seeded(1),
            compare="posterior-mean",
        )
