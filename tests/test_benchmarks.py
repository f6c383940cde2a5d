"""The records that benchmarks make are accepted: one that no reader shows measures nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

import cwbench
from benchmarks import defaults, guided, leaderboard, prices, records


def test_the_records_of_the_board_are_shown(results: Path) -> None:
    leaderboard.fill(results, count=80)
    table = cwbench.load_records(results)
    assert table["run_id"].nunique() == 80
    measured = table.dropna(subset="value")  # the first run of each task failed
    assert measured["run_id"].nunique() == 80 - leaderboard.TASKS
    assert table["task"].nunique() == leaderboard.TASKS
    assert table["nfe"].nunique() == len(leaderboard.NFE)
    values = table.loc[table["metric"] == "ew2sq", "value"]
    assert values.between(0.5, 1.7).all()  # 1 + number / 50, and noise of 1 / sqrt(50)


def test_the_records_of_the_index_are_read(results: Path) -> None:
    records.fill(results, count=10)
    assert len(cwbench.load_records(results)) == 10 * len(records.template()["metrics"])


@pytest.mark.parametrize("method", defaults.GRIDS)
def test_every_trial_of_the_search_is_a_method_and_families_have_as_many(method: str) -> None:
    for setting, values in defaults.GRIDS[method]:
        assert len(set(values)) == 4
        for value in values:
            made = cwbench.load_method(method, **{setting: value})
            assert getattr(made.params, setting) == value


def test_a_price_is_what_the_processor_spent_and_a_top_up_adds_to_it(results: Path) -> None:
    first = cwbench.run(
        "gaussian-linear", "fm", "smoke", nfe=[1], results=results, quiet=True, figures=False
    )
    before = first.cost["processor_seconds"]
    assert 0 < before < 300
    again = cwbench.run(
        "gaussian-linear", "fm", "smoke", nfe=[1, 3], results=results, quiet=True, figures=False
    )
    assert before < again.cost["processor_seconds"] < before + 300
    found = prices.prices(results, "smoke")
    assert found.to_numpy().tolist() == [
        ["gaussian-linear", "fm", again.cost["processor_seconds"] / 60]
    ]


def test_no_price_is_told_in_a_sentence(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["prices", str(results)])
    with pytest.raises(SystemExit, match="no run at preset 'standard' with default settings"):
        prices.main()


BELONGS_TO_THE_PAPER = {("c2ot", "ot_batch")}
"""An OT batch of 2 is ahead by an eighth, but is refused where a network batch has 100 pairs."""


@pytest.mark.parametrize("method", defaults.GRIDS)
def test_no_default_is_behind_by_more_than_a_tenth_in_the_search(method: str) -> None:
    table = pd.read_csv(defaults.COMMITTED)
    trials = table[table["method"] == method].fillna({"scaled": math.inf})
    newest = trials["version"] == trials.groupby("setting")["version"].transform("max")
    means = trials[newest].groupby(["setting", "value"])["scaled"].mean()
    params = cwbench.load_method(method).params
    for setting, _ in defaults.GRIDS[method]:
        if (method, setting) not in BELONGS_TO_THE_PAPER:
            found = means[setting]
            assert found[getattr(params, setting)] <= 1.1 * found.min(), (method, setting)


@pytest.mark.parametrize("name", guided.SEARCH)
def test_every_trial_of_samplers_is_another_setting_of_a_method(name: str) -> None:
    method, trials = guided.SEARCH[name]
    made = [cwbench.load_method(method, **trial).params.model_dump_json() for trial in trials]
    assert len(set(made)) == len(made) <= 12


@pytest.mark.parametrize("method", sorted({method for method, _ in guided.SEARCH.values()}))
def test_no_default_of_a_sampler_is_behind_by_more_than_a_tenth(method: str) -> None:
    """Of the trials at as many calls as it is judged at, in both rounds."""
    table = pd.read_csv(guided.COMMITTED).fillna({"scaled": math.inf})
    names = [name for name, (of, _) in guided.SEARCH.items() if of == method and name != "dps-20"]
    means = table[table["search"].isin(names)].groupby("setting")["scaled"].mean()
    params = cwbench.load_method(method).params
    ours = [
        setting for setting in means.index
        if all(float(getattr(params, key)) == float(value)
               for key, value in (each.split("=") for each in setting.split()))
    ]  # fmt: skip
    assert len(ours) == 1
    assert means[ours[0]] <= 1.1 * means.min()
