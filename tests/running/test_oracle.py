"""Tasks with a posterior: the oracle scores 0, and nothing is rewarded for being too narrow."""

from __future__ import annotations

from functools import cached_property

import pytest
import torch
from registered import with_posterior
from scipy import stats
from torch import Tensor

from cwbench import registry
from cwbench.api import load_task
from cwbench.judging.choice import chosen_metrics
from cwbench.judging.judge import Judge
from cwbench.judging.measured import Scores
from cwbench.machine.streams import stream

M, N = 40, 200
N_OF_IMAGES = 100


def shipped(kind: str) -> list[str]:
    return [p.name for p in registry.plugins() if p.kind == kind and p.distribution == "cwbench"]


class Judged:
    """A task with observations, references and metrics, and the oracle's scores."""

    def __init__(self, name: str, m: int = M, n: int = N) -> None:
        self.task = load_task(name)
        self.n = min(n, N_OF_IMAGES) if len(self.task.x_shape) > 1 else n
        sizes = {"observations": m, "samples": self.n}
        self.preset = self.task.info.presets["smoke"].model_copy(update=sizes)
        self.judge = Judge(self.task, self.preset)
        default = chosen_metrics(self.task, ()).metrics
        self.metrics = {name: default[name] for name in shipped("metric") if name in default}
        y = self.judge.observations.y
        self.oracle = self.task.sample_posterior(y, 2 * self.n, stream("oracle", name))
        mean = self.task.posterior_moments(y).mean.float()
        self.mean = mean.reshape(m, 1, *self.task.x_shape)

    def scores(self, metric: str, samples: Tensor) -> Scores:
        return self.judge.score(self.metrics[metric], samples)

    @cached_property
    def oracle_scores(self) -> dict[str, Scores]:
        return {name: self.scores(name, self.oracle) for name in self.metrics}


@pytest.fixture(scope="module", params=with_posterior())
def judged(request):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Judged(request.param)
    torch.set_num_threads(before)


def t_value(values: Tensor) -> float:
    return float(values.mean() / (values.std() / len(values) ** 0.5))


def test_oracle_scores_zero_and_its_plug_in_is_the_floor(judged) -> None:
    wrong = {}
    for name, metric in judged.metrics.items():
        scores = judged.oracle_scores[name]
        entry = judged.judge.entry(metric, scores)
        assert entry["value"] is not None
        if metric.info.debiased and abs(entry["value"]) > 4 * standard_error(entry):
            wrong[name] = ("value", entry["value"], standard_error(entry))
        # what is not debiased, or has no plug-in, is itself compared with exact draws
        difference = (scores.value if scores.plug_in is None else scores.plug_in) - scores.floor
        if difference.abs().max() > 0 and abs(float(difference.mean())) > 4 * max(
            scores.least_error, float(difference.std() / M**0.5)
        ):
            wrong[name, "plug-in"] = ("floor", t_value(difference))
    assert wrong == {}
    everywhere = {"ew2sq", "esw2sq", "energy", "mean-error", "cov-error"}
    assert everywhere | {"energy-score", "crps", "sbc", "tarp"} <= set(judged.metrics)


def standard_error(entry) -> float:
    return (entry["high"] - entry["low"]) / (2 * stats.t.ppf(0.975, M - 1))


def test_a_narrow_sampler_is_never_better_than_the_oracle(judged) -> None:
    narrow = judged.mean + 0.9 * (judged.oracle - judged.mean)
    for name, metric in judged.metrics.items():
        if metric.info.debiased:
            better = judged.oracle_scores[name].value - judged.scores(name, narrow).value
            assert better.abs().max() < 1e-12 or t_value(better) < 3, name


def test_a_sampler_that_ignores_y_is_seen(judged) -> None:
    n = 2 * judged.n
    prior = judged.task.sample_joint(M * n, stream("prior")).x.unflatten(0, (M, n))
    assert t_value(judged.scores("ew2sq", prior).value) > 4
    for name in ("energy-score", "crps"):
        excess = judged.scores(name, prior).value - judged.oracle_scores[name].value
        assert t_value(excess) > 3, name


@pytest.mark.parametrize("name", with_posterior())
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_samples_that_are_not_finite_never_become_a_score(name, bad) -> None:
    judged = Judged(name, m=4, n=20)
    broken = judged.oracle.clone()
    broken[3, 7, 0] = bad
    for name, metric in judged.metrics.items():
        try:
            entry = judged.judge.entry(metric, judged.scores(name, broken))
        except ValueError:
            continue  # refused before a solver saw it
        assert entry["value"] is None, name


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4])
def test_a_known_affine_error_is_measured_on_the_linear_task(scale) -> None:
    """The debiased value against the closed form; a scale error is seen through the resolution."""
    judged = Judged("gaussian-linear")
    task, y = judged.task, judged.judge.observations.y
    matrix = task.K + 0.1 * torch.eye(5, dtype=torch.float64)
    offset = torch.linspace(-0.2, 0.2, 5, dtype=torch.float64)
    covariance = scale**2 * task.C
    root = torch.linalg.cholesky(covariance)
    noise = torch.randn(M, 2 * N, 5, dtype=torch.float64, generator=stream("affine"))
    samples = (y.double() @ matrix.T + offset)[:, None] + noise @ root.T

    entry = judged.judge.measured(judged.metrics["ew2sq"], samples.float()).entry
    # on these observations: the closed form with the law of y replaced by them
    shift = (y.double() @ (task.K - matrix).T - offset).square().sum(1).mean()
    spread = (1 - scale) ** 2 * task.C.trace()
    assert task.conditional_w2_squared(task.K, 0 * offset, covariance) == pytest.approx(
        float(spread), rel=1e-6
    )
    expected = float(shift + entry["resolution"] * spread)
    error = standard_error(entry)
    assert entry["value"] == pytest.approx(expected, abs=4 * error)
    exact = task.conditional_w2_squared(matrix, offset, covariance)  # over all y
    assert entry["value"] == pytest.approx(exact, abs=4 * error + 0.1 * float(spread))
    assert not entry["low_resolution"]
