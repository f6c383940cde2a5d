"""The metrics of this package keep the contract, but those that download or take minutes."""

from __future__ import annotations

import pytest

from cwbench import registry
from cwbench.check.faults import MixtureTrial, drawn, sampled
from cwbench.check.metric import METRIC_CHECKS
from cwbench.check.metric_subject import NEEDS, MetricSubject
from cwbench.check.outcome import carried_out
from cwbench.machine.streams import stream
from cwbench.samples import MixturePosterior

DOWNLOADED = ("50k-train-tf", "10k-test", "efficientnet-lite0")
MINUTES = {"c2st", "sinkhorn-paper"}
NAMES = [
    p.name
    for p in registry.plugins()
    if (p.kind, p.distribution) == ("metric", "cwbench") and not p.name.endswith(DOWNLOADED)
]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) for n in NAMES if n not in MINUTES]
)
def test_ours_keep_the_contract(name: str) -> None:
    subject = MetricSubject(registry.load_metric(name))
    outcomes = [carried_out(each, subject, subject.cls.excused) for each in METRIC_CHECKS]
    assert {o.check: o.seen for o in outcomes if o.status == "failed"} == {}


def test_the_quickest_keep_it_in_every_run() -> None:
    for name in ("mean-error", "tarp", "w2sq-marginal"):
        test_ours_keep_the_contract(name)


def test_every_metric_declares_what_it_sees() -> None:
    infos = [registry.load_metric(p.name).info for p in registry.plugins() if p.kind == "metric"]
    assert [info.name for info in infos if not info.sees] == []


@pytest.fixture
def trial() -> MixtureTrial:
    return MixtureTrial((2,), NEEDS)


def test_faults_are_of_the_size_that_is_declared(trial: MixtureTrial) -> None:
    """Mean and deviation of many samples against the exact moments of the posterior."""
    _, y = trial.sample_joint(3, stream("y"))
    mean, covariance = trial.exact(y).moments()
    deviation = covariance.diagonal(dim1=1, dim2=2).sqrt()
    wanted = {
        None: (mean, deviation), "shift": (mean + deviation / 2, deviation),
        "scale": (mean, 0.6 * deviation), "shape": (mean, deviation),
    }  # fmt: skip
    for fault, (centre, spread) in wanted.items():
        x = sampled(trial, y, 40_000, fault, stream("x")).double()
        assert x.mean(1).allclose(centre, atol=0.02), fault
        assert x.std(1).allclose(spread, atol=0.02), fault
    assert len(sampled(trial, y[:1], 400, "atoms", stream("x"))[0].unique(dim=0)) == 10


def test_the_exact_posterior_is_that_of_the_pairs(trial: MixtureTrial) -> None:
    """E[m(y)] = E[x] and E[C(y)] + Cov(m(y)) = Cov(x), over many pairs."""
    x, y = trial.sample_joint(60_000, stream("pairs"))
    mean, covariance = trial.exact(y).moments()
    assert mean.mean(0).allclose(x.double().mean(0), atol=0.02)
    assert (covariance.mean(0) + mean.T.cov()).allclose(x.double().T.cov(), atol=0.02)


def test_draws_of_a_mixture_have_its_moments(trial: MixtureTrial) -> None:
    _, y = trial.sample_joint(1, stream("y"))
    mixture: MixturePosterior = trial.exact(y)
    x = drawn(mixture, 50_000, stream("draws"))[0]
    mean, covariance = mixture.moments()
    assert x.mean(0).allclose(mean[0], atol=0.02)
    assert x.T.cov().allclose(covariance[0], atol=0.02)
