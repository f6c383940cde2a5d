"""Methods are ranked among those that saw the same of the task."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

import cwbench
from cwbench.boards.costs import Cost, break_even
from cwbench.boards.frames import selected
from cwbench.boards.overview import classed, looks_of, nfe_figure
from cwbench.boards.page import _data

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


def test_a_row_names_the_checks_that_its_method_cannot_pass(
    write: Write, cli: Cwbench, results: Path
) -> None:
    """A method's alone: what a control cannot pass, it is not meant to."""
    excused = {"excused": {"own-y": "it is a bound"}}
    for name, part in (("odd", {}), ("bound", {"role": "upper"}), ("good", {})):
        said = excused if name != "good" else {}
        write({"ew2sq": np.linspace(1, 2, 40)}, method=name, method_part=part | said)
    named = "excused from the check own-y: it is a bound"
    for form in ("table", "md", "json"):
        text = cli("leaderboard", "--results", results, "--format", form).stdout
        assert text.count(named) == 1, form
    (board,) = selected(results).boards
    (shown,) = _data([board], looks_of([board]))["boards"]
    notes = {row["label"]: row["note"] for row in shown["rows"]}
    assert notes == {"odd": named, "good": "", "bound": ""}


def test_boards_of_one_class_say_nothing_of_it(five: object, cli: Cwbench, results: Path) -> None:
    for form in ("table", "md", "latex"):
        assert "sees" not in cli("leaderboard", "--results", results, "--format", form).stdout


def test_there_are_four_classes(five: object, results: Path, cli: Cwbench) -> None:
    done = cli("leaderboard", "--results", results, "--sees", "everything")
    assert done.exit_code == 2
    assert "unknown class of methods 'everything'" in done.stderr
    assert "exact prior" in done.stderr


@pytest.fixture
def costly(results: Path, write: Write) -> None:
    """One that learned from pairs, three that share a learned prior, one with the exact one."""
    for seed in range(3):
        values = {"ew2sq@nfe=adaptive": np.linspace(1, 2, 40)}
        cost = {"fit_seconds": 100.0, "sampling": {"adaptive": {"seconds": 4.0, "evaluations": 50}}}
        write(values, method="learned", seed=seed, cost=cost)
        shared: dict[str, Any] = {"diagnostics": {"prior_sha256": "a"}}
        for name, fit, seconds, needs in (
            ("first", 60.0, 24.0, ["operator"]), ("second", 0.5, 24.0, ["operator"]),
            ("quick", 0.5, 2.0, ["operator"]), ("exact", 0.0, 24.0, ["denoiser", "operator"]),
        ):  # fmt: skip
            used = {"seconds": seconds, "evaluations": 100.0, "jacobians": 100.0, "operators": 7.0}
            write(
                {"ew2sq": np.linspace(1, 3, 40)}, method=name, seed=seed,
                cost={"fit_seconds": fit, "sampling": {"1": used}},
                method_part={"needs": needs}, **({} if name == "exact" else shared),
            )  # fmt: skip


def test_training_repays_itself_from_the_costs_on_record(costly: None, results: Path) -> None:
    """Two observations were judged: 2 s each for the learned one, 12 s for the others.

    (100 - 60) / (12 - 2) = 4, whichever fitted the prior; (100 - 0) / 10 with the exact one.
    """
    wanted = {"first": 4.0, "second": 4.0, "exact": 10.0, "quick": math.inf}
    for name, number in wanted.items():
        for pair in (("learned", name), (name, "learned")):
            assert cwbench.compare(*pair, results=results)["break_even"].item() == number
    assert cwbench.compare("first", "second", results=results)["break_even"].item() is None


@pytest.mark.parametrize("method", ["first", "second", "quick"])
def test_a_shared_fit_counts_in_full_beside_others_and_alone(
    costly: None, results: Path, method: str
) -> None:
    """Records that do not say what it took elsewhere: the longest fit of those that share it."""
    for chosen in (None, method):
        rows = cwbench.leaderboard(results, method=chosen).set_index("method")["fit_seconds"]
        assert set(rows[[method]]) == {60.0}


def test_costs_are_those_of_the_seeds_in_common(costly: None, results: Path, write: Write) -> None:
    """A seed that only one of them has, on a machine a hundred times slower, says nothing."""
    cost = {"fit_seconds": 100.0, "sampling": {"adaptive": {"seconds": 4.0, "evaluations": 50}}}
    directory = write(
        {"ew2sq@nfe=adaptive": np.linspace(1, 2, 40)}, method="learned", seed=7, cost=cost
    )
    record = directory / "record.json"
    content = json.loads(record.read_text())
    content["cost"] |= {"fit_seconds": 1e4}
    record.write_text(json.dumps(content))
    assert cwbench.compare("learned", "exact", results=results)["break_even"].item() == 10.0


@pytest.mark.parametrize(
    ("trained", "other", "wanted"),
    [
        (Cost(100, 1), Cost(0, 3), 50),
        (Cost(10, 1), Cost(20, 3), 0),  # cheaper from the first
        (Cost(10, 3), Cost(20, 1), math.inf),  # cheaper at first, not from then on
        (Cost(100, 2), Cost(0, 2), math.inf),
        (Cost(1, 2), Cost(1, 2), 0),
    ],
)
def test_the_break_even_is_where_the_lines_of_cost_meet(
    trained: Cost, other: Cost, wanted: float
) -> None:
    found = break_even(trained, other)
    assert found == wanted
    if 0 < found < math.inf:
        assert trained.fit + found * trained.observation == other.fit + found * other.observation


def test_compare_tells_it_and_the_frame_what_was_counted(
    costly: None, cli: Cwbench, results: Path
) -> None:
    text = cli("compare", "--results", results, "learned", "first").stdout
    assert "training on pairs repays itself from 4 observations on" in text
    never = cli("compare", "--results", results, "learned", "quick")
    assert "training on pairs never repays itself" in never.stdout
    rows = json.loads(cli("compare", "--results", results, "--json", "learned", "quick").stdout)
    assert rows[0]["break_even"] == "never"
    assert "repays" not in cli("compare", "--results", results, "first", "second").stdout
    table = cwbench.leaderboard(results=results).set_index("method").loc["first"]
    assert (table["evaluations"], table["jacobians"], table["operators"]) == (100, 100, 7)


def test_both_kinds_stand_on_one_axis_of_cost_and_show_their_class(
    costly: None, results: Path
) -> None:
    (board,) = selected(results).boards
    figure = nfe_figure(board, looks_of([board]))
    assert figure is not None
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["100", "adaptive\n(ranked)"]
    legend = ax.get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    assert {"learned", "first\n(+ operator)", "exact\n(+ exact prior)"} <= set(names)
    assert classed(["e", "l"], ["exact", "learned"], [board]) == ["e (+ exact prior)", "l"]
