"""The one table: values in the unit of their task, computed from the records another way."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rich
from made_runs import NOISE, Write, judged
from scipy import stats

import cwbench
from cwbench.boards.across import by_place, one_a_task
from cwbench.boards.first import Entry, First, first
from cwbench.boards.first import markdown as first_markdown
from cwbench.boards.gathering import boards
from cwbench.boards.overview import heat_map_of
from cwbench.boards.page import page
from cwbench.boards.relative import Relative, raised, relative_of, two_digits, unit_of
from cwbench.boards.texts import TEXTS, terminal
from cwbench.records.facts import POSTERIOR_VARIANCE
from cwbench.records.shipped import OURS, Source

ROOT = Path(__file__).parents[2]
UPPER = {"method": "oracle-gaussian", "method_part": {"role": "upper"}}


def interval(values: np.ndarray) -> float:
    """Half the interval of a mean over crossed seeds and observations, from its definition."""
    seeds, m = values.shape
    residuals = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    v_s, v_o = values.mean(1).var(ddof=1) / seeds, values.mean(0).var(ddof=1) / m
    v_e = (residuals**2).sum() / ((seeds - 1) * (m - 1) * seeds * m)
    v = max(v_s + v_o - v_e, v_s, v_o)
    freedom = v**2 / (v_s**2 / (seeds - 1) + v_o**2 / (m - 1))
    return float(stats.t.ppf(0.975, freedom) * v**0.5)


def tell(results: Path, task: str, facts: Mapping[str, object]) -> None:
    """Facts that all records of a task have."""
    for path in results.glob(f"runs/{task}/*/*/*/*/record.json"):
        content = json.loads(path.read_text())
        content["diagnostics"] |= facts
        path.write_text(json.dumps(content))


def entries(table: First) -> dict[str, list[Entry | None]]:
    return {line.label: line.entries for line in table.lines}


def test_values_are_over_that_of_the_gaussian_with_the_exact_moments(
    results: Path, write: Write
) -> None:
    made = {"m": 5 + NOISE[:3], "zero": 0.5 * NOISE[:3] - 0.5 * NOISE[:3].mean() + 0.01}
    for name, values in made.items():
        for seed, row in enumerate(values):
            write({"ew2sq": row}, method=name, seed=seed)
    write({"ew2sq": 2 + NOISE[4]}, **UPPER)
    (board,) = judged(results)
    unit = 2 + NOISE[4].mean()
    assert unit_of(board).size == pytest.approx(unit)
    found = {row.label: relative_of(board, row) for row in board.rows}
    assert found["m"].value == pytest.approx(made["m"].mean() / unit)
    assert found["m"].half == pytest.approx(interval(made["m"]) / unit)
    assert found["m"].bound is None
    high = (0.01 + interval(made["zero"])) / unit
    assert found["zero"].bound == pytest.approx(high), "its interval holds 0"
    assert found["oracle-gaussian"].value == 1
    shown = entries(first([board]))
    assert shown["m"][0] == Entry(
        f"{made['m'].mean() / unit:.2f}", f"{interval(made['m']) / unit:.2f}"
    )
    text = shown["zero"][0].text()
    assert text.startswith("< ") and high <= float(text[2:]) < high + 0.01
    table = cwbench.leaderboard(results).set_index("method")
    assert table.loc["m", "relative"] == pytest.approx(made["m"].mean() / unit)
    assert table.loc["m", "relative_high"] == pytest.approx(
        (made["m"].mean() + interval(made["m"])) / unit
    )
    assert table.loc["m", "unit"] == "oracle-gaussian"


def test_where_posteriors_are_gaussian_the_unit_is_their_variance(
    results: Path, write: Write
) -> None:
    """Of three tasks one says its variance, one does not, and one is measured otherwise."""
    for task, metric in (("told", "ew2sq"), ("silent", "ew2sq"), ("other", "energy")):
        part = {"task": task, "task_part": {"main_metric": metric}}
        for method in ("m", "n"):
            for seed in range(3):
                write({metric: 6 + NOISE[seed]}, method=method, seed=seed, **part)
        write({metric: NOISE[4] - NOISE[4].mean() + 0.05}, **UPPER, **part)
    tell(results, "told", {POSTERIOR_VARIANCE: 3.0})
    tell(results, "other", {POSTERIOR_VARIANCE: 3.0})
    found = {board.title: board for board in judged(results)}
    assert (unit_of(found["told"]).name, unit_of(found["told"]).size) == ("tr Cov(posterior)", 3.0)
    assert unit_of(found["silent"]) is None
    assert unit_of(found["other"]) is None, "an energy has not the unit of a variance"
    table = first(list(found.values()))
    assert [board.title for board in table.boards] == ["told"], "a column of dashes says nothing"
    (there,) = entries(table)["m"]
    assert float(there.value) == pytest.approx((6 + NOISE[:3].mean()) / 3, abs=0.01)
    assert table.unit_texts == ["tr Cov(posterior) = 3"]
    assert "nor tr Cov(posterior): other, silent;" in " ".join(table.notes)
    drawn = heat_map_of(list(found.values()), "quick").axes[0]
    assert [label.get_text() for label in drawn.get_xticklabels()] == ["told*"]
    assert "*: over tr" in " ".join(drawn.get_xlabel().split())
    text = TEXTS["md"](list(found.values()), "")
    assert "other, silent; the values stand on their boards" in text
    without = first([found["other"], found["silent"]])
    assert [board.title for board in without.boards] == ["other", "silent"]
    assert entries(without)["m"] == [None, None]
    assert without.unit_texts == ["none", "none"]
    row = next(line for line in first_markdown(without).splitlines() if line.startswith("| m |"))
    assert [cell.strip() for cell in row.split("|")][2:4] == ["–", "–"]


def test_a_control_counts_though_it_is_not_shown(results: Path, write: Write) -> None:
    write({"ew2sq": 6 + NOISE[0]})
    write({"ew2sq": 2 + NOISE[4]}, **UPPER)
    (board,) = judged(results, methods=["m"])
    assert [row.label for row in board.rows] == ["m"]
    assert unit_of(board).size == pytest.approx(2 + NOISE[4].mean())


def test_a_control_with_other_settings_is_no_unit(results: Path, write: Write) -> None:
    write({"ew2sq": 6 + NOISE[0]})
    part = {"role": "upper", "changed": {"a": 1}}
    write({"ew2sq": 2 + NOISE[4]}, method="oracle-gaussian", method_part=part)
    (board,) = judged(results)
    assert unit_of(board) is None


def test_bounds_are_rounded_up_and_what_is_below_zero_is_no_bound() -> None:
    assert [raised(x) for x in (0.101, 0.11, 1.21, 12.1, 0.0999)] == [
        "0.11",
        "0.11",
        "1.3",
        "13",
        "0.100",
    ]
    assert [two_digits(x) for x in (0.0123, 0.456, 1.26, 83.2)] == ["0.012", "0.46", "1.3", "83"]
    below = Relative(-0.3, 0.1)
    assert below.bound is None and below.parts == ("-0.30", "0.10")
    assert Relative(0.3, None).parts == ("0.3", "")
    assert Relative(0.3, 0.3).bound == 0.6


def test_methods_stand_by_what_they_see_and_the_best_first(results: Path, write: Write) -> None:
    """One that knows the operator is better than all that do not, and stands below them."""
    parts: dict[str, tuple[float, dict[str, object]]] = {
        "worse": (7.0, {}), "better": (5.0, {}), "dps": (1.0, {"needs": ["operator"]}),
        "latent": (2.0, {"needs": ["likelihood"]}), "oracle-gaussian": (0.5, {"role": "upper"}),
    }  # fmt: skip
    for task in "ab":
        for name, (mean, part) in parts.items():
            for seed in range(3):
                write({"ew2sq": mean + 0.1 * NOISE[seed]}, task=task, method=name, seed=seed,
                      method_part=part)  # fmt: skip
    found = judged(results)
    order = ["better", "worse", "latent", "dps", "oracle-gaussian"]
    assert by_place(found, controls=True) == order
    text = TEXTS["md"](found, "")
    rows = [line for line in text.split("## Votes")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[0] for row in cells[2:]] == [*order[:-1], "*oracle-gaussian*", "*unit*"]
    assert [row[1] for row in cells[2:6]] == ["pairs", "pairs", "+ likelihood", "+ operator"]
    assert cells[2][2].startswith("**") and not cells[3][2].startswith("**")
    assert cells[5][2].startswith("**"), "the best of those that see the same"


@pytest.fixture
def two(results: Path, write: Write) -> Path:
    """Two tasks, of which one is also there in another preset and with another setting."""
    for task in ("t", "u"):
        for seed in range(3):
            for name, mean in (("good", 1.0), ("bad", 3.0)):
                write({"ew2sq": mean + 0.1 * NOISE[seed]}, task=task, method=name, seed=seed)
        write({"ew2sq": 2 + 0.1 * NOISE[4]}, task=task, **UPPER)
    for name in ("good", "bad"):
        write({"ew2sq": 9 + NOISE[0]}, method=name, preset="standard")
        part = {"changed": {"noise": 1}, "params": {"noise": 1}}
        write({"ew2sq": 9 + NOISE[0]}, method=name, task_part=part)
        write({"ew2sq": 9 + NOISE[0]}, method=name, track="open")
    return results


def test_a_task_stands_once_at_the_preset_that_ranks_most(two: Path, write: Write) -> None:
    def chosen() -> list[str]:
        return [f"{board.title} {board.preset}" for board in one_a_task(judged(two))]

    assert chosen() == ["t quick", "u quick"]
    for seed in (1, 2):
        for name in ("good", "bad"):
            write({"ew2sq": 9 + NOISE[seed]}, method=name, preset="standard", seed=seed)
    assert chosen() == ["t standard", "u quick"]


def test_runs_that_have_no_column_in_the_table_are_named(two: Path, write: Write) -> None:
    """Only the user's: ours at another preset are not what somebody looks for in vain."""
    for preset in ("quick", "smoke"):
        write({"ew2sq": NOISE[0]}, task="u", preset=preset)
    told = "A task stands here once; your runs of t / standard, u / smoke are below."
    assert told in first(judged(two)).notes
    assert told in TEXTS["md"](judged(two), "")
    ours = boards([Source(two, OURS)], metrics=None).boards
    assert not any("your runs" in note for note in first(ours).notes)


def test_boards_of_the_ladder_join_no_others(two: Path, write: Write) -> None:
    """Not even for a task that is nowhere else; alone they have a table of their own."""
    for task in ("t", "v"):
        for name in ("good", "bad"):
            write({"ew2sq": 9 + NOISE[0]}, task=task, method=name, preset="ladder")
    found = judged(two)
    assert [board.name for board in one_a_task(found)] == ["t / quick", "u / quick"]
    ladder = [board for board in found if board.preset == "ladder"]
    assert [board.name for board in one_a_task(ladder)] == ["t / ladder", "v / ladder"]


def test_every_form_opens_with_the_table_then_the_votes_then_the_boards(two: Path) -> None:
    found = judged(two)
    text = TEXTS["md"](found, "")
    places = [
        text.index(part) for part in ("## All tasks", "## Votes", "## Task by task", "### t ")
    ]
    assert places == sorted(places) and places[0] == 0
    votes = text[places[1] : places[2]].splitlines()[-4:]
    assert [line.split("|")[2:5] for line in votes if line.startswith(("| 1", "| 2"))] == [
        [" good ", "  ", " 2–0–0 "], [" bad ", " 0–0–2 ", "  "],
    ]  # fmt: skip
    latex = TEXTS["latex"](found, "")
    table, second = latex.split("\\end{table}")[:2]
    mean = (1 + 0.1 * NOISE[:3].mean()) / (2 + 0.1 * NOISE[4].mean())
    assert f"$\\mathbf{{{mean:.3f}}}$" in table and table.count("\\texttt{t}") == 1
    assert "2--0--0" in second
    shown = io.StringIO()
    rich.print(terminal(found), file=shown)
    assert shown.getvalue().startswith("all tasks: ew2sq")
    assert f"= {mean:.3f} ± " in shown.getvalue()
    html = page(found, [])
    head = html[: html.index("Task by task")]
    assert re.search(rf'<td class="tied">{mean:.3f}<span class="half"> &plusmn; ', head)
    assert head.count("<svg") == 2, "relative values and votes"


def test_one_task_alone_needs_no_table(two: Path) -> None:
    for form in ("md", "latex"):
        assert "All tasks" not in TEXTS[form](judged(two, tasks=["u"]), "")
    assert TEXTS["md"](judged(two, tasks=["u"]), "").startswith("### u / quick")


def test_the_readme_shows_what_the_records_say() -> None:
    """Means over all values of the judged metric, method by method, from the files alone."""
    readme = (ROOT / "README.md").read_text()
    common = re.search(r"The value that ranks \([^)]*; preset `([a-z]+)`\)", readme)
    assert common
    lines = [line for line in readme.splitlines() if line[:2] == "| "]
    start = next(i for i, line in enumerate(lines) if line.startswith("| method | `"))
    stop = next(i for i, line in enumerate(lines) if line.startswith("| *unit*"))
    head, _, *rows, units = [
        [c.strip() for c in line.split("|")[1:-1]] for line in lines[start : stop + 1]
    ]
    tasks = [re.fullmatch(r"`([a-z-]+)`", cell) for cell in head[1:]]
    checked = 0
    for place, task in enumerate(tasks, 1):
        assert task
        means = judged_means(task[1], common[1])
        unit = means["oracle-gaussian"]
        if units[place].startswith("tr Cov(posterior) = "):
            unit = posterior_variance(task[1], common[1])
        assert float(units[place].split("= ")[-1].split(" ± ")[0]) == pytest.approx(unit, rel=0.01)
        for row in rows:
            name = row[0].strip("*")
            shown = re.match(r"\**(< )?(\d+(?:\.\d+)?)", row[place])
            if shown is None:
                assert row[place] == "–" and name not in means
                continue
            value, digits = means[name] / unit, len(shown[2].partition(".")[2])
            if shown[1]:
                assert value < float(shown[2])
            else:
                assert float(shown[2]) == pytest.approx(value, abs=0.51 * 10**-digits), name
            checked += 1
    assert checked > 90


def posterior_variance(task: str, preset: str) -> float:
    """tr Cov of the posterior, as the runs of a task found it."""
    paths = (ROOT / "results/runs" / task).glob(f"oracle/{preset}/*/*/record.json")
    (found,) = {json.loads(p.read_text())["diagnostics"]["task_posterior_variance"] for p in paths}
    return float(found)


def judged_means(task: str, preset: str) -> dict[str, float]:
    """The mean of the judged values of each method, by pandas."""
    found: dict[str, list[float]] = {}
    for path in (ROOT / "results/runs" / task).glob(f"*/{preset}/*/*/record.json"):
        record = json.loads(path.read_text())
        if record["task"]["changed"] or record["track"] != "fixed" or record["status"] != "ok":
            continue
        values = pd.read_parquet(path.with_name("observations.parquet"))
        values = values[values.metric == record["task"]["main_metric"]]
        at = values[values.nfe.isin(["", str(record["task"]["main_nfe"])])]
        changed = ", ".join(f"{k}={v}" for k, v in record["method"]["changed"].items())
        label = record["method"]["name"] + f" ({changed})" * bool(changed)
        found.setdefault(label, []).append(float(at.value.mean()))
    return {label: float(np.mean(means)) for label, means in found.items()}
