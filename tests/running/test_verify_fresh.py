"""A model that knows the judge's observations scores worse on fresh ones; an honest one not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import cwbench
from cwbench.judging.judge import Judge
from cwbench.records.record import Record
from cwbench.verifying import fresh
from cwbench.verifying.found import Problem
from cwbench.verifying.model import StoredModel
from cwbench.verifying.verify import verify
from cwbench_baselines.knn import NearestNeighbours

Run = Callable[..., Record]

LAWS = {
    "normal": lambda g, n: g.normal(size=n),
    "t3": lambda g, n: g.standard_t(3, n),
    "lognormal": lambda g, n: g.lognormal(size=n),
    "tied": lambda g, n: g.integers(0, 4, n).astype(float),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("counts", [(4, 4), (4, 24), (8, 24), (50, 50)])
def test_an_honest_record_is_refused_as_seldom_as_is_said(law: str, counts: tuple) -> None:
    """4,000 honest pairs of sets of values: at most 1 in 1,000 and five standard errors.

    Three standard errors, whatever the count, refuse 1 in 40 of normal values at 4 observations.
    """
    generator = np.random.default_rng(0)
    refused = sum(
        isinstance(fresh.gap("x", *(LAWS[law](generator, n) for n in counts), ranks=True), Problem)
        for _ in range(4000)
    )
    assert refused <= 4 + 5 * 2


@pytest.mark.parametrize("counts", [(1, 3), (4, 4), (8, 48), (48, 8), (60, 60)])
def test_ranks_have_the_chance_that_scipy_gives_them(counts: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    for shift in (0.0, 0.5, 3.0):
        a, b = generator.normal(size=counts[0]), generator.normal(size=counts[1]) + shift
        expected = stats.mannwhitneyu(a, b, method="exact").pvalue
        assert fresh.rank_chance(a, b) == pytest.approx(expected, rel=1e-9)
        assert fresh.rank_chance(b, a) == pytest.approx(expected, rel=1e-9)


def test_ranks_of_more_observations_have_the_normal_law_of_scipy() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=300), generator.normal(size=300) + 0.3
    expected = stats.mannwhitneyu(a, b, method="asymptotic").pvalue
    assert fresh.rank_chance(a, b) == pytest.approx(expected, rel=1e-9)


def test_the_chance_of_ties_is_that_of_no_order_of_theirs_or_larger() -> None:
    """Against every way to order equal values, counted out with scipy."""
    recorded, others = np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0, 4.0, 5.0])
    pooled = np.concatenate([recorded, others])
    chances = []
    for order in itertools.permutations(range(5)):  # of 1, 1, 2, 1, 2; the others are above
        places = np.lexsort(([*order, 5, 6, 7, 8], pooled)).argsort()
        chances.append(stats.mannwhitneyu(places[:3], places[3:], method="exact").pvalue)
    assert fresh.rank_chance(recorded, others) == pytest.approx(max(chances))
    assert fresh.rank_chance(np.ones(8), np.ones(48)) == 1


def test_what_is_better_at_every_observation_is_refused_whatever_their_spread() -> None:
    """Four of four below all of 48: 2 in C(52, 4), where t has three degrees of freedom."""
    known, others = np.array([0.1, 0.9, 0.2, 0.8]), 1 + np.geomspace(1, 100, 48)
    assert fresh.rank_chance(known, others) == pytest.approx(2 / 270_725)
    for ranks in (True, False):
        told = fresh.gap("x", known, others, ranks=ranks)
        assert isinstance(told, Problem)
        assert "on one side of fresh ones with a chance of 1e-05" in told


def test_a_score_that_is_no_number_on_fresh_observations_is_refused() -> None:
    lost = np.array([0.1, np.nan, 0.2, 0.1])
    assert isinstance(fresh.gap("x", np.ones(4), lost, ranks=False), Problem)


@pytest.mark.parametrize("known", [0, 8])
def test_a_model_that_knows_the_observations_of_the_judge_is_refused(
    run: Run, results: Path, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    """Nearest neighbours of the 8 of `smoke` are draws of their exact posteriors."""
    task = cwbench.load_task("gaussian-linear")
    y = Judge(task, task.info.presets["smoke"]).observations.y[:known]
    honest = NearestNeighbours.fit

    def fit(self: NearestNeighbours, *given: object) -> None:
        honest(self, *given)  # type: ignore[arg-type] # as they are given
        x = task.sample_posterior(y, self.k, torch.Generator().manual_seed(0)).flatten(0, 1)
        self.x = torch.cat([self.x, x])
        self.keys = torch.cat([self.keys, self.embed(y).repeat_interleave(self.k, 0)])

    with monkeypatch.context() as patch:
        if known:
            patch.setattr(NearestNeighbours, "fit", fit)
        record = run("knn")
    value = record.metrics["ew2sq"].value
    assert value is not None
    assert (value < 0.2) == bool(known)
    for seed in (5, 6, 7):
        (found,) = verify(results, fresh_seed=seed)
        assert found.refused == bool(known), found
        assert all("on one side of fresh ones" in problem for problem in found.problems)


def test_fresh_observations_come_in_sets_as_the_judge_has_them(
    run: Run, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three sets of 8 at `smoke`, each its own; one where a preset has more than 12."""
    drawn, honest = [], StoredModel.afresh

    def afresh(self: StoredModel, y: torch.Tensor, *given: object) -> torch.Tensor:
        drawn.append(y)
        return honest(self, y, *given)  # type: ignore[arg-type] # as they are given

    monkeypatch.setattr(StoredModel, "afresh", afresh)
    run("linear-gaussian")
    run("linear-gaussian", settings={"preset.observations": 30})
    found = list(verify(results, fresh_seed=5))
    assert [one.problems for one in found] == [[], []]
    assert sorted(map(len, drawn)) == [8] * 3 + [30]
    assert len(torch.cat(drawn).unique(dim=0)) == 3 * 8 + 30
