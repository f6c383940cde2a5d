"""The trivial methods and the controls against closed forms and brute force."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench.judging.judge import Judge
from cwbench.metrics.wasserstein import W2Squared
from cwbench.running.request import configured_method
from cwbench_baselines.knn import CANDIDATES


def four_errors_from_zero(entry: dict) -> bool:
    from scipy import stats

    half = (entry["high"] - entry["low"]) / 2
    error = half / stats.t.ppf(0.975, entry["n_observations"] - 1)
    return bool(abs(entry["value"]) < 4 * error)


@pytest.fixture
def linear(bench):
    return bench(training_pairs=20_000)


def test_linear_gaussian_is_exact_on_a_linear_gaussian_task(linear, seeded) -> None:
    fitted = linear.fitted("linear-gaussian")
    preset = linear.preset.model_copy(update={"observations": 30, "samples": 300})
    judge, metric = Judge(linear.task, preset), W2Squared(linear.task)
    samples = fitted.sample(judge.observations.y, 600, seeded(0))
    assert four_errors_from_zero(judge.measured(metric, samples).entry)

    # from its coefficients in closed form
    state = fitted.state_dict()
    matrix = state["weight"] / state["condition.deviation"].double()
    offset = state["bias"] - matrix @ state["condition.mean"].double()
    covariance = state["root"] @ state["root"].T
    distance = linear.task.conditional_w2_squared(matrix, offset, covariance)
    assert 0 < distance < 3e-3 * linear.task.C.trace()


def test_ridge_is_chosen_by_its_error(bench) -> None:
    few = bench(params={"noise": 2.0}, training_pairs=12)
    lax, strict = few.fitted("linear-gaussian", ridge=(1e-6,)), few.fitted("linear-gaussian")
    assert strict.state_dict()["weight"].norm() < lax.state_dict()["weight"].norm()


@pytest.mark.parametrize("k", [1, 7])
def test_neighbours_are_the_nearest_training_pairs(bench, k, seeded) -> None:
    small = bench()
    fitted = small.fitted("knn", neighbours=k)
    x, y = small.data.tensors
    samples = fitted.sample(small.y, 200, seeded(0))
    distances = torch.cdist(fitted.embed(small.y).double(), fitted.embed(y).double())
    for row, nearest in zip(samples, distances.argsort(1)[:, :k], strict=True):
        drawn = {tuple(point) for point in row.tolist()}
        assert drawn == {tuple(point) for point in x[nearest].tolist()}


def test_neighbours_of_a_class_are_of_that_class(bench, seeded) -> None:
    small = bench("eight-gaussians-moons", {"condition": "class"})
    fitted = small.fitted("knn")
    x, y = small.data.tensors
    for label in (0, 1):
        drawn = fitted.sample(torch.tensor([label]), 500, seeded(0))[0]
        own = {tuple(point) for point in x[y == label].tolist()}
        assert {tuple(point) for point in drawn.tolist()} <= own
        assert len(drawn.unique(dim=0)) > 150


def test_every_pair_of_a_frequent_class_is_drawn_and_an_absent_class_is_the_prior(
    bench, seeded
) -> None:
    small = bench("eight-gaussians-moons", {"condition": "class"}, training_pairs=200)
    x, _ = small.data.tensors
    y = (torch.arange(200) >= 190).long()
    small.data = TensorDataset(x, y)
    frequent, rare = small.fitted("knn").sample(torch.tensor([0, 1]), 4_000, seeded(0))
    assert len(frequent.unique(dim=0)) == 190
    assert {tuple(row) for row in rare.tolist()} == {tuple(row) for row in x[190:].tolist()}
    small.data = TensorDataset(x, torch.ones(200, dtype=torch.int64))
    absent = small.fitted("knn").sample(torch.tensor([0]), 4_000, seeded(0))[0]
    assert len(absent.unique(dim=0)) == 200


def test_an_informative_y_wants_fewer_neighbours_than_an_uninformative_one(bench) -> None:
    sharp = bench(params={"noise": 0.01, "dimension": 1}, training_pairs=3_000).fitted("knn")
    vague = bench(params={"noise": 10.0, "dimension": 1}, training_pairs=3_000).fitted("knn")
    assert {sharp.k, vague.k} <= set(CANDIDATES)
    assert sharp.k <= 50
    assert vague.k >= 200


def test_more_neighbours_than_pairs_are_all_pairs(bench, seeded) -> None:
    small = bench(training_pairs=25)
    drawn = small.fitted("knn", neighbours=10_000).sample(small.y[:1], 2_000, seeded(0))[0]
    assert len(drawn.unique(dim=0)) == 25


@pytest.mark.parametrize(
    ("method", "settings"), [("knn", {"neighbours": 0}), ("linear-gaussian", {"ridge": ()})]
)
def test_bad_settings_are_refused(bench, method, settings) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        bench().bind(method, **settings)


def test_prior_ignores_y(bench, seeded) -> None:
    small = bench()
    prior = small.fitted("prior")
    assert torch.equal(
        prior.sample(small.y, 40, seeded(0)), prior.sample(-3 * small.y, 40, seeded(0))
    )
    x = prior.sample(small.y, 5_000, seeded(0)).flatten(0, 1).double()  # N(0, I)
    assert torch.allclose(x.mean(0), torch.zeros(5, dtype=torch.float64), atol=0.03)
    assert torch.allclose(x.T.cov(), torch.eye(5, dtype=torch.float64), atol=0.05)


def test_oracle_is_the_tasks_own_posterior(bench, seeded) -> None:
    small = bench()
    expected = small.task.sample_posterior(small.y, 9, seeded(4))
    assert torch.equal(small.fitted("oracle").sample(small.y, 9, seeded(4)), expected)


@pytest.mark.parametrize("task", ["gaussian-mixture", "eight-gaussians-moons", "two-moons"])
def test_oracle_gaussian_has_the_exact_moments_and_no_others(bench, task, seeded) -> None:
    small = bench(task)
    n = 20_000
    draws = small.fitted("oracle-gaussian").sample(small.y, n, seeded(0)).double()
    mean, covariance = small.task.posterior_moments(small.y)
    for sample, m, C in zip(draws, mean, covariance, strict=True):
        trace = float(C.trace())
        assert (sample.mean(0) - m).square().sum() < 20 * trace / n
        assert torch.allclose(sample.T.cov(), C, atol=0.05 * trace)
        spread = torch.linalg.eigh(C)
        along = (sample - m) @ spread.eigenvectors[:, -1] / spread.eigenvalues[-1].sqrt()
        assert along.pow(4).mean() == pytest.approx(3.0, abs=0.3)  # a Gaussian's


def test_oracle_gaussian_of_large_x_asks_for_no_covariance_matrix(monkeypatch, seeded) -> None:
    """3,072 dimensions: mean, variances and what one direction varies, by low rank."""
    task = load_task("super-resolution", prior="patches32", colour=True)
    y = task.sample_joint(2, seeded(0)).y
    exact = list(task.posterior.given(y.flatten(1)))
    monkeypatch.setattr(task, "posterior_moments", None)
    n = 2_000
    draws = configured_method("oracle-gaussian", {}).on(task).sample(y, n, seeded(1))
    assert draws.shape == (2, n, *task.x_shape)
    for sample, posterior in zip(draws.flatten(2).double(), exact, strict=True):
        trace = float(posterior.variances.sum())
        gap = sample.mean(0) - posterior.weights @ posterior.means
        assert float(gap.square().sum()) < 3 * trace / n
        assert float(sample.var(0).sum()) == pytest.approx(trace, rel=0.05)
        values, V = posterior.leading(3)
        along = (sample - sample.mean(0)) @ V
        assert along.var(0).tolist() == pytest.approx(values.tolist(), rel=0.15)
        assert float(along.div(along.std(0)).pow(4).mean()) == pytest.approx(3.0, abs=0.5)
