"""Scores below what exact draws score are told, by the test that `verify` refuses them by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import cwbench
from cwbench.records.below import CHANCE, errors_below
from cwbench.records.entry import Entry
from cwbench.records.tables import below_exact, run_table


def entry_of(values: np.ndarray, **parts: object) -> Entry:
    """An entry with the mean of values and its interval, as scipy gives it."""
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    return Entry(
        value=float(values.mean()), low=interval.low, high=interval.high, version=1,
        n_observations=len(values), **parts,
    )  # fmt: skip


@pytest.mark.parametrize("n", [4, 8, 50])
@pytest.mark.parametrize("chance", [2 * CHANCE, CHANCE / 2])
def test_it_is_the_t_test_of_scipy(n: int, chance: float) -> None:
    values = np.random.default_rng(n).normal(size=n)
    error = values.std(ddof=1) / n**0.5
    values += error * stats.t.ppf(chance, n - 1) - values.mean()
    found = stats.ttest_1samp(values, 0, alternative="less")
    assert found.pvalue == pytest.approx(chance)
    wanted = -found.statistic if chance < CHANCE else 0.0
    assert errors_below(entry_of(values)) == pytest.approx(wanted)
    assert errors_below(entry_of(-values)) == 0
    assert errors_below(entry_of(values, debiased=False)) == 0


def test_a_mean_of_three_or_without_spread_is_held_against_nothing() -> None:
    assert errors_below(entry_of(-1 - 1e-6 * np.arange(3))) == 0
    assert errors_below(Entry(value=-1.0, low=-1.0, high=-1.0, n_observations=9, version=1)) == 0
    assert errors_below(Entry(value=-1.0, n_observations=9, version=1)) == 0


@pytest.mark.parametrize("ordered", [True, False])
def test_a_run_warns_in_one_line_of_draws_in_an_order(tmp_path: Path, ordered: bool) -> None:
    task = cwbench.load_task("gaussian-linear")

    def exact(y, n, generator):
        x = task.sample_posterior(y, n, generator)
        return x.gather(1, x[..., :1].argsort(1).expand_as(x)) if ordered else x

    record = cwbench.evaluate(
        exact, "gaussian-linear", "smoke", results=tmp_path, quiet=True, figures=False
    )
    lines = [line for line in run_table(record).splitlines() if "standard errors below 0" in line]
    assert lines == below_exact(record)
    assert len(lines) == ordered
    assert all(line.startswith("warning: ew2sq lies ") for line in lines)
    assert ("below 0" in (record.directory / "log.txt").read_text()) is ordered
