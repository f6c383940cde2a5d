"""The table of a run: what ranks stands first, what never ranks below a rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from cwbench.records.digits import pair
from cwbench.records.tables import run_table


@pytest.fixture
def record(run: Callable):
    return run("prior", "gaussian-mixture")


def rows(text: str) -> list[str]:
    """First words of the table's lines, a rule as `---`."""
    lines = text.split("\n\n")[1].splitlines()
    table = [line.strip() for line in lines if line.startswith((" ", "─"))]
    return ["---" if line.startswith("─") else line.split()[0] for line in table]


def test_main_metric_then_ranking_ones_then_the_others_below_a_rule(record) -> None:
    shown = rows(run_table(record))
    assert shown[:3] == ["metric", "---", "ew2sq"]
    below = shown[shown.index("---", 2) + 1 :]
    assert below == ["sbc", "tarp", "data-misfit"]
    above = shown[3 : -len(below) - 1]
    ranking = {name for name, entry in record.metrics.items() if entry["ranks"]} - {"ew2sq"}
    assert above == sorted(ranking, key=lambda name: (not record.metrics[name]["debiased"], name))
    assert above[:2] == ["energy", "esw2sq"]


def test_what_is_not_debiased_is_marked(record) -> None:
    text = run_table(record)
    for name in ("cov-error", "crps", "energy-score", "data-misfit"):
        assert f"{name} * " in text
    assert "ew2sq *" not in text
    assert "never ranked" in text


def test_where_all_rank_there_is_no_rule(record) -> None:
    ranking = {name: record.metrics[name] for name in ("ew2sq", "energy")}
    text = run_table(dataclasses.replace(record, metrics=ranking))
    assert rows(text) == ["metric", "---", "ew2sq", "energy"]
    assert "never ranked" not in text


def test_what_has_no_value_says_why(record) -> None:
    crps = dataclasses.replace(record.metrics["crps"], value=None, error="no such score")
    text = run_table(dataclasses.replace(record, metrics=record.metrics | {"crps": crps}))
    assert "\ncrps has no value: no such score\n" in text
    assert "has no value" not in run_table(record)


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (0.01234, 0.00456, ("0.0123", "0.0046")),
        (12.3, 0.0, ("12.300", "0.000")),
        (5.0e60, 0.0, ("5e+60", "0")),
        (5.0e60, 1.2e60, ("5e+60", "1.2e+60")),
        (-3.0e8, 10.0, ("-3e+08", "10")),
        (0.5, 1e-300, ("0.500000000", "0.000000000")),
        (123456.7, 30.0, ("123457", "30")),
    ],
)
def test_a_number_is_never_sixty_digits_long(value: float, half: float, shown: tuple) -> None:
    assert pair(value, half) == shown
