"""Across boards: scaled scores, votes, and colours that stay those of a method."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import rich
from made_runs import NOISE, Write, judged, write_run

from cwbench.boards.formats import TEXTS, terminal
from cwbench.boards.overview import CURVES, looks_of, looks_on, scaled_table, vote_table
from cwbench.boards.page import _data


def test_across_tasks(results: Path, write: Write) -> None:
    """Two tasks of one group and one of another: two votes."""
    for task, group, gap in (("t", "g", 3.0), ("u", "g", 3.0), ("v", "h", 0.0)):
        for seed in range(4):
            ids = {"ew2sq": 5 + NOISE[seed]}
            write(ids, task=task, seed=seed, task_part={"group": group})
            ids = {"ew2sq": 5 + gap + NOISE[seed][::-1]}
            write(ids, task=task, method="n", seed=seed, task_part={"group": group})
        write({"ew2sq": np.full(40, 10.0)}, task=task, method="prior",
              method_part={"role": "lower"}, task_part={"group": group})  # fmt: skip
    found = judged(results)
    votes = vote_table(found)
    assert votes.loc["m", "n"] == (1, 1, 0)
    assert votes.loc["n", "m"] == (0, 1, 1)
    scaled = scaled_table(found)
    assert scaled.loc["m"].tolist() == pytest.approx([1 - (5 + NOISE[:4].mean()) / 10] * 3)
    assert scaled.loc["prior"].tolist() == pytest.approx([0] * 3)


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
