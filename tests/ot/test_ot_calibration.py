import math
import random
from functools import partial

import numpy as np
import pytest
import torch

from cwbench.ot import (
    Batch,
    ConditionalOT,
    EntropicOT,
    Independent,
    MinibatchOT,
    Standardised,
    calibrate_beta,
    changed_pairs,
    fit_regression,
    label_leak,
    prior_skew,
)
from cwbench.ot.calibration import Kind

NOISE = 0.5
R2 = 1 / (1 + NOISE**2)  # of y = x + NOISE * normal with x standard normal


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def linear_pairs(n, seed, d=3):
    generator = seeded(seed)
    x = torch.randn(n, d, generator=generator)
    return x, x + NOISE * torch.randn(n, d, generator=generator)


def latents(n, generator):
    return torch.randn(n, 3, generator=generator)


def batches(x, y, seed, count=8, size=100):
    generator = seeded(seed)
    rows = [torch.randperm(len(x), generator=generator)[:size] for _ in range(count)]
    return [Batch(latents(size, generator), x[row], y[row]) for row in rows]


@pytest.fixture(scope="module")
def linear():
    x, y = linear_pairs(6_000, 0)
    return x, y, calibrate_beta(x, y, latents, batch=100, generator=seeded(1), target=0.01)


@pytest.fixture(scope="module")
def blind():
    generator = seeded(0)
    x = torch.randn(4_000, 3, generator=generator)
    y = 5 * x.square() + torch.tensor([0.0, 100.0, 0.0])
    return x, y, calibrate_beta(x, y, latents, batch=100, generator=seeded(1), target=0.01)


def test_the_regression_finds_the_posterior_mean(linear):
    *_, calibration = linear
    regression = calibration.embedding
    _, fresh_y = linear_pairs(4_000, 9)
    with torch.no_grad():
        error = regression(fresh_y) - R2 * fresh_y  # E[x | y] in closed form
    assert error.square().mean() < 0.01 * R2
    assert calibration.r2 == pytest.approx(R2, abs=4 * regression.r2_error)
    assert 0.002 < regression.r2_error < 0.02
    assert regression.explained == pytest.approx(3 * R2, rel=0.1)


def test_results_follow_the_generator_and_leave_global_state_alone():
    x, y = linear_pairs(500, 0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first, second, other = (
        fit_regression(y, x, generator=seeded(seed), steps=30) for seed in (0, 0, 1)
    )
    skews = [prior_skew(x, y, generator=seeded(0)) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert torch.equal(first(y), second(y))
    assert first.r2 == second.r2 != other.r2
    assert skews[0] == skews[1]


def test_calibration_is_reproducible(linear):
    x, y, calibration = linear
    again = calibrate_beta(x, y, latents, batch=100, generator=seeded(1), target=0.01)
    for name in ("beta", "leak", "changed_pairs", "r2", "blind", "statistic"):
        assert getattr(again, name) == getattr(calibration, name)


def test_the_leak_is_within_the_target_and_beta_is_the_smallest(linear):
    x, y, calibration = linear
    assert calibration.statistic == "posterior-mean"
    assert not calibration.blind
    assert 0 < calibration.leak <= 0.01
    assert 0 < calibration.changed_pairs < 0.9
    fresh = batches(x, y, seed=5, count=40)
    leaks = [
        label_leak(ConditionalOT(beta, calibration.embedding), fresh, calibration.embedding)
        for beta in (calibration.beta / 3, calibration.beta, 3 * calibration.beta)
    ]
    assert leaks[0] > 0.015 > leaks[1] > 0.005 > leaks[2]


def test_beta_falls_as_the_target_rises(linear):
    x, y, calibration = linear
    loose = calibrate_beta(x, y, latents, batch=100, generator=seeded(1), target=0.1)
    assert loose.beta < calibration.beta / 2
    assert loose.changed_pairs > calibration.changed_pairs
    assert 0.01 < loose.leak <= 0.1


def test_the_leak_falls_as_beta_rises(linear):
    x, y, calibration = linear
    r, fresh = calibration.embedding, batches(x, y, seed=6)
    leaks = [label_leak(ConditionalOT(beta, r), fresh, r) for beta in (0, 0.1, 1, 10, 100, 1e6)]
    assert leaks == sorted(leaks, reverse=True)
    assert leaks[-1] == 0
    assert label_leak(Independent(), fresh, r) == 0


def test_unrelated_labels_leak_one(linear):
    x, y, calibration = linear
    fresh = batches(x, y, seed=7, count=40)
    # latents that know nothing of x: plain transport pairs them with any label
    assert label_leak(MinibatchOT(), fresh, calibration.embedding) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("target", [1.5, 10.0])
def test_a_target_that_every_beta_meets_gives_the_lowest(linear, target):
    x, y, _ = linear
    lowest = calibrate_beta(x, y, latents, batch=100, generator=seeded(1), target=target)
    assert lowest.beta == pytest.approx(1e-4)


def test_tiny_x_is_sought_beyond_the_highest_beta():
    x, y = linear_pairs(2_000, 0)
    tiny = calibrate_beta(1e-6 * x, y, latents, batch=100, generator=seeded(1))
    assert tiny.beta > 1e6
    assert tiny.leak <= 0.01
    assert tiny.changed_pairs > 0


def test_where_the_posterior_mean_is_blind_y_takes_its_place(blind):
    x, y, calibration = blind
    assert calibration.blind
    assert calibration.statistic == "standardised-y"
    assert abs(calibration.r2) < 0.05
    assert isinstance(calibration.embedding, Standardised)
    assert calibration.embedding.explained == 3
    standardised = calibration.embedding(y)
    assert torch.allclose(standardised.mean(0), torch.zeros(3).double(), atol=1e-6)
    assert torch.allclose(standardised.var(0, correction=0), torch.ones(3).double(), atol=1e-5)
    leak = label_leak(
        ConditionalOT(calibration.beta, calibration.embedding),
        batches(x, y, seed=5, count=40),
        calibration.embedding,
    )
    assert leak == pytest.approx(0.01, rel=0.5)
    assert 0 < calibration.changed_pairs < 1


@pytest.mark.parametrize("kind", [ConditionalOT, partial(EntropicOT, 0.3)])
def test_an_observation_that_never_changes_cannot_leak(kind: Kind):
    x, _ = linear_pairs(500, 0)
    same = torch.full((500, 2), 7.0)
    constant = calibrate_beta(x, same, latents, batch=50, generator=seeded(0), kind=kind)
    assert constant.blind
    assert constant.leak == 0
    assert torch.equal(constant.embedding(torch.full((3, 2), 7.0)), torch.zeros(3, 2).double())


def test_class_labels_are_paired_inside_each_class():
    x, _ = linear_pairs(1_000, 0)
    labels = torch.randint(5, (1_000,), generator=seeded(3))
    calibration = calibrate_beta(x, labels, latents, batch=100, generator=seeded(0))
    assert calibration.beta == math.inf
    assert calibration.leak == 0
    assert calibration.r2 is None
    assert calibration.statistic == "class-label"
    assert 0.8 < calibration.changed_pairs < 1


def test_a_batch_larger_than_the_data_is_refused():
    x, y = linear_pairs(30, 0)
    with pytest.raises(ValueError, match="30 pairs for minibatches of 31"):
        calibrate_beta(x, y, latents, batch=31, generator=seeded(0))
    with pytest.raises(ValueError, match="19 pairs"):
        fit_regression(y[:19], x[:19], generator=seeded(0))
    with pytest.raises(ValueError, match="negative"):
        fit_regression(torch.arange(30) - 1, x, generator=seeded(0))


def paired_with_labels_of_x(coupling, y_of, count):
    """Latents and the condition a network is fed when labels follow x."""
    generator = seeded(2)
    fed = []
    for _ in range(count):
        x, z = torch.randn(2, 100, 3, generator=generator)
        y = y_of(x)
        fed.append((z, y[coupling(z, x, y)]))
    return [torch.cat(part) for part in zip(*fed, strict=True)]


def sign_class(x):
    return (x[:, 0] > 0).long()


def test_independent_pairs_have_no_prior_skew():
    z, labels = paired_with_labels_of_x(Independent(), sign_class, 40)
    skew = prior_skew(z, labels, generator=seeded(0))
    assert abs(skew.r2) < 0.02
    assert skew.chance == pytest.approx(0.5, abs=0.03)
    assert skew.accuracy == pytest.approx(0.5, abs=0.06)
    z, y = paired_with_labels_of_x(Independent(), lambda x: 100 * x[:, :2], 40)
    skew = prior_skew(z, y, generator=seeded(0))
    assert abs(skew.r2) < 0.02
    assert skew.accuracy is skew.chance is None


def test_labels_that_follow_x_are_told_by_the_latent():
    z, labels = paired_with_labels_of_x(MinibatchOT(), sign_class, 40)
    skew = prior_skew(z, labels, generator=seeded(0))
    assert skew.accuracy > 0.75
    assert skew.r2 > 0.3
    z, y = paired_with_labels_of_x(MinibatchOT(), lambda x: x[:, :2], 40)
    assert prior_skew(z, y, generator=seeded(0)).r2 > 0.4


def test_pairing_inside_classes_has_no_prior_skew():
    # x is the same in both classes, so their latents are too
    def coin(x):
        return (x[:, 0] * 1e4).long() % 2

    z, labels = paired_with_labels_of_x(ConditionalOT(math.inf), coin, 40)
    assert abs(prior_skew(z, labels, generator=seeded(0)).r2) < 0.02


def test_prior_skew_weighs_entries_of_y_alike():
    # the second entry follows the latent, the first is louder and does not
    z = torch.randn(3_000, 2, generator=seeded(0))
    y = torch.stack([1e3 * torch.randn(3_000, generator=seeded(1)), z[:, 0]], 1)
    assert prior_skew(z, y, generator=seeded(0)).r2 == pytest.approx(0.5, abs=0.03)


def test_changed_pairs_of_the_calibration_are_those_of_the_coupling(linear):
    x, y, calibration = linear
    coupling = ConditionalOT(calibration.beta, calibration.embedding)
    shares = [changed_pairs(coupling(*one)) for one in batches(x, y, seed=8, count=30)]
    assert np.mean(shares) == pytest.approx(calibration.changed_pairs, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [ConditionalOT, partial(EntropicOT, 0.3)])
def test_a_mean_that_is_blind_to_a_part_of_y_is_not_trusted(kind: Kind) -> None:
    """x_1 follows y_1, x_2 is +-y_2: the mean never moves with y_2, the covariance does."""
    generator = torch.Generator().manual_seed(0)
    y = 1 + torch.rand(6000, 2, generator=generator)
    sign = 2.0 * torch.randint(2, (6000,), generator=generator) - 1
    x = torch.stack([y[:, 0], sign * y[:, 1]], 1)
    found = calibrate_beta(
        x, y, lambda n, g: torch.randn(n, 2, generator=g), batch=100, generator=generator,
        kind=kind,
    )  # fmt: skip
    assert found.r2 is not None
    assert found.r2 > 0.02
    assert found.blind
    assert found.statistic == "standardised-y"
    assert found.covariance_leak is not None
    assert found.covariance_leak > 0.3
    trusted = calibrate_beta(
        x[:, :1], y, lambda n, g: torch.randn(n, 1, generator=g), batch=100, generator=generator,
        kind=kind,
    )  # fmt: skip
    assert trusted.statistic == "posterior-mean"


@pytest.mark.parametrize("target", [0.01, 0.1])
def test_the_beta_of_a_coupling_of_another_kind_is_the_smallest_within_the_target(
    linear, target: float
) -> None:
    x, y, _ = linear
    entropic: Kind = partial(EntropicOT, 0.3)
    found = calibrate_beta(
        x, y, latents, batch=100, generator=seeded(3), target=target, kind=entropic
    )
    assert found.statistic == "posterior-mean"
    assert found.leak <= target

    def leak(beta: float) -> float:
        return label_leak(
            entropic(beta, found.embedding), batches(x, y, seed=8, count=30), found.embedding
        )

    assert leak(found.beta) == pytest.approx(target, rel=0.3)
    assert leak(found.beta / 2) > target
