"""Methods are ranked among those that saw the same of the task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

import cwbench

Cwbench = Callable[..., Result]
Write = Callable[..., Path]


def ranks(table: pd.DataFrame) -> dict[str, tuple[Any, ...]]:
    return {
        row["method"]: (row["rank_low"], row["rank_high"], row["tied"])
        for _, row in table[table["role"] == "method"].iterrows()
        if row["metric"] == "ew2sq"
    }


@pytest.fixture
def mixed(five: dict[str, np.ndarray], results: Path, write: Write) -> dict[str, tuple[Any, ...]]:
    """Two methods that know the operator, one better than all; the ranks before they came."""
    before = ranks(cwbench.leaderboard(results=results))
    rng = np.random.default_rng(1)
    for name, centre in (("guided", 0.1), ("poor", 5.0)):
        for seed in range(5):
            values = centre + 0.1 * rng.normal(size=40)
            part = {"needs": ["operator"]}
            write({"ew2sq@nfe=adaptive": values}, method=name, seed=seed, method_part=part)
    return before


def test_ranks_are_within_a_class(mixed: dict[str, tuple[Any, ...]], results: Path) -> None:
    table = cwbench.leaderboard(results=results)
    after = ranks(table)
    assert {name: after[name] for name in mixed} == mixed
    assert after["guided"] == (1, 1, 1)
    assert after["poor"][:2] == (2, 2)
    assert dict(zip(table["method"], table["sees"], strict=True))["poor"] == "+ operator"


def test_a_class_stands_apart_and_can_be_chosen(mixed: object, cli: Cwbench, results: Path) -> None:
    for form, head in (("table", "sees"), ("md", "| sees |"), ("latex", "& Sees &")):
        text = cli("leaderboard", "--results", results, "--format", form).stdout
        assert head in text
        assert text.count("+ operator") == 2
        assert text.index("worse") < text.index("guided") < text.index("oracle-gaussian")
    chosen = cli("leaderboard", "--results", results, "--sees", "operator", "--format", "md").stdout
    assert "guided" in chosen and "worse" not in chosen and "oracle-gaussian" in chosen
    pairs = cli("leaderboard", "--results", results, "--sees", "pairs", "--format", "md").stdout
    assert "guided" not in pairs and "worse" in pairs and "sees" not in pairs


def test_boards_of_one_class_say_nothing_of_it(five: object, cli: Cwbench, results: Path) -> None:
    for form in ("table", "md", "latex"):
        assert "sees" not in cli("leaderboard", "--results", results, "--format", form).stdout


def test_there_are_four_classes(five: object, results: Path, cli: Cwbench) -> None:
    done = cli("leaderboard", "--results", results, "--sees", "everything")
    assert done.exit_code == 2
    assert "unknown class of methods 'everything'" in done.stderr
    assert "exact prior" in done.stderr
