"""Across boards: relative values, votes, and colours that stay those of a method."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rich
from made_runs import NOISE, Write, judged, write_run
from scipy import stats

from cwbench.boards.across import vote_table
from cwbench.boards.overview import (
    CURVES,
    heat_map_of,
    looks_of,
    looks_on,
    of_several,
    relative_values,
)
from cwbench.boards.page import _data
from cwbench.boards.texts import TEXTS, terminal


def test_across_tasks(results: Path, write: Write) -> None:
    """Two tasks of one group and one of another: two votes."""
    for task, group, gap in (("t", "g", 3.0), ("u", "g", 3.0), ("v", "h", 0.0)):
        for seed in range(4):
            ids = {"ew2sq": 5 + NOISE[seed]}
            write(ids, task=task, seed=seed, task_part={"group": group})
            ids = {"ew2sq": 5 + gap + NOISE[seed][::-1]}
            write(ids, task=task, method="n", seed=seed, task_part={"group": group})
        write({"ew2sq": np.full(40, 10.0) + NOISE[4]}, task=task, method="oracle-gaussian",
              method_part={"role": "upper"}, task_part={"group": group})  # fmt: skip
        write({"ew2sq": 0.1 * NOISE[4] - NOISE[4].mean() / 10}, task=task, method="oracle",
              method_part={"role": "upper"}, task_part={"group": group})  # fmt: skip
    found = judged(results)
    votes = vote_table(found)
    assert votes.loc["m", "n"] == (1, 1, 0)
    assert votes.loc["n", "m"] == (0, 1, 1)
    values = relative_values(found)
    unit = 10 + NOISE[4].mean()
    assert values.sizes.loc["m"].tolist() == pytest.approx([(5 + NOISE[:4].mean()) / unit] * 3)
    assert values.sizes.index.tolist() == ["m", "n", "oracle", "oracle-gaussian"]
    assert values.groups == [(0, 0)] * 2 + [(4, 0)] * 2, "controls stand apart"
    assert values.tied.tolist()[:2] == [[True] * 3, [False, False, True]]
    high = stats.t.ppf(0.975, 39) * 0.1 * NOISE[4].std(ddof=1) / 40**0.5 / unit
    assert values.sizes.loc["oracle"].tolist() == pytest.approx([high] * 3)
    drawn = {text.get_text(): text for text in heat_map_of(found, "quick").axes[0].texts}
    assert {text[0] for text in drawn if text.startswith("<")} == {"<"}
    assert float(next(t for t in drawn if t[0] == "<")[2:]) >= high
    assert drawn["0.50"].get_fontweight() == "bold"
    assert drawn["1.0"].get_fontweight() == "normal"


def test_the_scale_of_the_heat_map_is_logarithmic_around_one(results: Path, write: Write) -> None:
    """A third and three times the unit are equally far from white, a thousandth is the end."""
    means = {"third": 1 / 3, "thrice": 3.0, "half": 1 / 2, "least": 1e-3, "less": 1e-4}
    for name, mean in means.items():
        write({"ew2sq": mean * (1 + 0.01 * NOISE[0])}, method=name)
    one = {"method": "oracle-gaussian", "method_part": {"role": "upper"}}
    write({"ew2sq": 1 + 0.01 * NOISE[0]}, **one)
    found = judged(results)
    figure = heat_map_of(found, "quick")
    patches = figure.axes[0].patches
    colours = dict(zip(relative_values(found).sizes.index, patches, strict=True))
    bar = figure.axes[1]
    low, high = bar.get_ylim()
    assert low == pytest.approx(-high)
    places = {
        label.get_text(): tick
        for tick, label in zip(bar.get_yticks(), bar.get_yticklabels(), strict=True)
    }
    assert places["1"] == 0 and places["3"] == pytest.approx(np.log10(3))
    red, _, blue, _ = colours["third"].get_facecolor()
    assert blue > red, "better is blue"
    red, _, blue, _ = colours["thrice"].get_facecolor()
    assert red > blue, "worse is red"
    assert colours["least"].get_facecolor() == colours["less"].get_facecolor()
    assert colours["half"].get_facecolor() != colours["third"].get_facecolor()


def measured_gap(results: Path, task: str, gaps: list[object]) -> None:
    """Have the records of a task say how far it is from Gaussian, one after the other."""
    paths = sorted(results.glob(f"runs/{task}/*/*/*/*/record.json"))
    for path, gap in zip(paths, gaps * len(paths), strict=False):
        content = json.loads(path.read_text())
        content["diagnostics"] |= {"task_gaussian_gap": gap}
        path.write_text(json.dumps(content))


def test_nearly_gaussian_tasks_have_no_vote(results: Path, write: Write) -> None:
    """One says 0.02, one 0.3, one nothing, as old records do, in one a record is tampered with."""
    for task in ("near", "far", "old", "odd"):
        for seed in range(4):
            for method, centre in (("m", 5.0), ("n", 8.0)):
                ids = {"ew2sq": centre + NOISE[seed]}
                write(ids, task=task, method=method, seed=seed)
    measured_gap(results, "near", [0.02])
    measured_gap(results, "far", [0.3])
    measured_gap(results, "odd", ["<b>", None, 0.3, 0.3, 0.01])
    found = {board.title: board for board in judged(results)}
    assert [name for name, board in found.items() if board.nearly_gaussian] == ["near"]
    assert vote_table(list(found.values())).loc["m", "n"] == (3, 0, 0)
    assert vote_table([found["near"]]).empty
    assert found["old"].gaussian_gap is None
    told = "nearly Gaussian: the gap is 0.020, below 0.10"
    texts = {name: form(list(found.values()), "") for name, form in TEXTS.items()}
    assert texts["md"].count(told) == 1
    assert texts["latex"].count(told[1:]) == 1
    stated = {each["title"]: each for each in json.loads(texts["json"])}
    assert [stated[n]["nearly_gaussian"] for n in ("near", "far", "old")] == [True, False, False]
    assert stated["near"]["gaussian_gap"] == 0.02
    on_page = _data(list(found.values()), looks_of(list(found.values())))["boards"]
    assert {each["title"] for each in on_page if told in each["remark"]} == {"near"}
    shown = io.StringIO()
    rich.print(terminal([found["near"]]), file=shown)
    assert "the task has no vote" in " ".join(shown.getvalue().split())
    assert "no vote" not in texts["md"].replace(told, "", 1).split("### old")[1]


def test_a_later_method_takes_another_colour_wherever_it_stands(results: Path) -> None:
    for name, mean in (("later", 1.0), ("fm", 2.0), ("ot-fm", 3.0)):
        for seed in range(3):
            write_run(results, {"ew2sq": mean + NOISE[seed]}, task="n", method=name, seed=seed)
    (board,) = judged(results, tasks=["n"])
    looks = {"fm": 0, "ot-fm": 1, "later": CURVES}
    assert [row.label for row in board.ordered(board.main)] == ["later", "fm", "ot-fm"]
    assert looks_on(board, looks) == {"fm": 0, "ot-fm": 1, "later": CURVES + 2}


def test_a_task_of_one_method_is_no_column_of_the_heat_map(results: Path, write: Write) -> None:
    for task in ("alone", "both"):
        write({"ew2sq": NOISE[0]}, task=task)
        write({"ew2sq": NOISE[1]}, task=task, method="oracle", method_part={"role": "upper"})
    write({"ew2sq": NOISE[2]}, task="both", method="n")
    found = judged(results)
    assert [board.title for board in of_several(found)] == ["both"]
    alone = [board for board in found if board.title == "alone"]
    assert of_several(alone) == alone
