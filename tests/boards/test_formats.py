"""The leaderboard as text: the same numbers in every format, and whatever names there are."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result

import cwbench

Cwbench = Callable[..., Result]
Write = Callable[..., Path]
ODD = 'x_$&%#{}~^\\"<b>|*'
NOISE = np.random.default_rng(0).normal(size=(3, 40))


def shown(cli: Cwbench, results: Path, *options: object) -> str:
    done = cli("leaderboard", "--results", results, *options)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("form", ["table", "md", "latex"])
def test_methods_values_and_seeds_are_all_there(
    cli: Cwbench, results: Path, five: dict[str, np.ndarray], form: str
) -> None:
    text = shown(cli, results, "--format", form)
    for name in ("a", "b", "worse", "fragile", "prior", "oracle-gaussian"):
        assert re.search(rf"\b{name}\b", text), name
    assert "4/5" in text
    assert f"{five['worse'].mean():.2f}" in text
    order = [text.index(name) for name in ("worse", "fragile", "oracle-gaussian", "prior")]
    assert order == sorted(order)


def test_the_best_and_what_is_tied_stand_out(cli: Cwbench, results: Path, five: object) -> None:
    marked = [line.split()[1] for line in shown(cli, results).splitlines() if "= " in line]
    assert marked[:2] in (["a", "b"], ["b", "a"])
    lines = shown(cli, results, "--format", "md").splitlines()
    rows = {line.split("|")[2].strip(): line for line in lines if line.startswith("| ")}
    assert "**" in rows["a"]
    assert "**" in rows["b"]
    assert "**" not in rows["worse"] + rows["fragile"]
    latex = shown(cli, results, "--format", "latex")
    assert latex.count("\\mathbf") == 4  # two methods at two NFE


def test_csv_and_json_hold_what_python_gives(cli: Cwbench, results: Path, five: object) -> None:
    table = cwbench.leaderboard(results)
    text = shown(cli, results, "--format", "csv")
    read = pd.read_csv(io.StringIO(text))
    assert read.value.tolist() == pytest.approx(table.value.tolist(), nan_ok=True)
    assert read.method.tolist() == table.method.tolist()
    (board,) = json.loads(shown(cli, results, "--format", "json"))
    cells = {row["method"]: row["cells"]["ew2sq@nfe=adaptive"] for row in board["rows"]}
    at = table[table.nfe == "adaptive"].set_index("method")
    for name, cell in cells.items():
        assert cell["value"] == pytest.approx(at.loc[name, "value"])
        assert cell["seeds"] == at.loc[name, "seeds"]
    assert [row["note"] for row in board["rows"] if row["note"]] == ["seed 4 failed: boom"]


def test_sorting(cli: Cwbench, results: Path, write: Write) -> None:
    for name, main, energy in (("first", 1, 9), ("second", 2, 8)):
        write({"ew2sq": NOISE[0] + main, "energy@nfe=3": NOISE[1] + energy}, method=name)
    assert shown(cli, results).index("first") < shown(cli, results).index("second")
    text = shown(cli, results, "--sort", "energy@nfe=3")
    assert text.index("second") < text.index("first")
    assert "energy" in text
    done = cli("leaderboard", "--results", results, "--sort", "nothing")
    assert done.exit_code == 2
    assert "energy@nfe=3" in done.stderr


def test_output_goes_to_a_file_of_the_format_of_its_name(
    cli: Cwbench, results: Path, five: object, tmp_path: Path
) -> None:
    starts = {
        "t.md": "### t / quick", "t.tex": "% \\usepackage", "t.csv": "task,", "t.json": "[",
        "t.html": "<!DOCTYPE html>", "t.txt": "t / quick",
    }  # fmt: skip
    for name, start in starts.items():
        shown(cli, results, "--output", tmp_path / name)
        assert (tmp_path / name).read_text().startswith(start)
    done = cli("leaderboard", "--results", results, "--output", tmp_path)
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize("form", ["table", "md", "csv", "json", "latex", "html"])
def test_an_empty_directory_is_told(cli: Cwbench, tmp_path: Path, form: str) -> None:
    done = cli("leaderboard", "--results", tmp_path / "none", "--format", form)
    assert done.exit_code == 0
    assert "no records" in done.stderr


@pytest.mark.parametrize("form", ["table", "md", "latex"])
def test_what_cannot_be_read_is_named_on_stderr(
    cli: Cwbench, results: Path, five: object, form: str
) -> None:
    bad = next(results.glob("runs/t/a/*/*/seed-0/record.json"))
    bad.write_text("{")
    done = cli("leaderboard", "--results", results, "--format", form)
    assert done.exit_code == 0
    assert f"skipped: {bad}" in done.stderr
    assert "worse" in done.stdout


def test_of_many_that_cannot_be_read_twenty_are_named(cli: Cwbench, results: Path) -> None:
    for number in range(25):
        bad = results / "runs" / "t" / "a" / "quick" / f"{number:016x}" / "seed-0" / "record.json"
        bad.parent.mkdir(parents=True)
        bad.write_text("{")
    told = cli("leaderboard", "--results", results).stderr.splitlines()
    assert len([line for line in told if "seed-0/record.json" in line]) == 20
    assert f"cwbench: skipped: 5 more; `cwbench verify {results}` names all" in told


def test_records_of_other_tasks_and_presets_are_not_spoken_of(
    cli: Cwbench, results: Path, five: object, write: Write
) -> None:
    for name, parts in {"u": {"task": "u"}, "slow": {"preset": "standard"}, "own": {}}.items():
        place = write({"ew2sq@nfe=adaptive": NOISE[0]}, method=name, **parts)
        (place / "record.json").write_text("{")
        assert cli("leaderboard", "--results", results).stderr.count(f"/{name}/") == 1
    for command in (("compare", "a", "b"), ("leaderboard",)):
        told = cli(*command, "--results", results, "--task", "t", "--preset", "quick").stderr
        assert told.count("skipped") == told.count("/own/") == 1
        assert cli(*command, "--results", results).stderr.count("skipped") == 3
        assert cli(*command, "--results", results, "--preset", "quick").stderr.count("skipped") == 2


def test_unknown_names(cli: Cwbench, results: Path, five: object) -> None:
    done = cli("leaderboard", "--results", results, "--method", "wurse")
    assert done.exit_code == 2
    assert "Did you mean 'worse'" in done.stderr


def test_figures_are_drawn(cli: Cwbench, results: Path, five: object, tmp_path: Path) -> None:
    shown(cli, results, "--figures", tmp_path / "figures")
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == ["relative-quick.png", "t-quick.png", "votes-quick.png"]
    (tmp_path / "file").touch()
    assert cli("leaderboard", "--figures", tmp_path / "file").exit_code == 2


def test_plot_compares_the_methods_of_a_task(
    cli: Cwbench, results: Path, five: object, tmp_path: Path
) -> None:
    done = cli("plot", "--task", "t", "--results", results, "--output", tmp_path / "t")
    assert done.exit_code == 0, done.output
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["t-quick.png"]
    assert str(tmp_path / "t" / "t-quick.png") in done.stdout
    for words, told in {
        ("--task", "u"): "unknown task on record 'u'",
        (): "give a RUN, --task NAME or --sweep FILE",
        ("run", "--task", "t"): "one of the three",
    }.items():
        done = cli("plot", *words, "--results", results)
        assert done.exit_code == 2
        assert told in done.stderr


def test_few_seeds_are_said_to_be_why_there_is_no_rank(
    cli: Cwbench, results: Path, write: Write
) -> None:
    for method in ("a", "b"):
        write({"ew2sq": [0.1, 0.2, 0.3]}, method=method)
    assert "no ranks: a verdict needs three seeds" in shown(cli, results)


def test_compare(cli: Cwbench, results: Path, five: object) -> None:
    done = cli("compare", "a", "worse", "--results", results)
    assert done.exit_code == 0
    assert done.stdout.count("better") == 2
    (one, _) = json.loads(cli("compare", "worse", "a", "--results", results, "--json").stdout)
    assert one["verdict"] == "worse"
    assert cli("compare", "a", "nobody", "--results", results).exit_code == 2


def test_metrics_of_one_name_from_two_files_are_never_compared(
    cli: Cwbench, results: Path, write: Write
) -> None:
    """A constant of 2 beside a constant of 7: three seeds of each, no verdict."""
    for seed in range(3):
        for method, value, source in (("m", 2.0, "967c3cdf" * 8), ("n", 7.0, "0278be16" * 8)):
            ids = {"ew2sq": NOISE[seed], "mine": np.full(40, value)}
            write(ids, method=method, seed=seed, source=source)
    (board,) = json.loads(cli("leaderboard", "--results", results, "--format", "json").stdout)
    cells = {row["method"]: set(row["cells"]) for row in board["rows"]}
    assert "mine v1 [967c3cdf]" in cells["m"] - cells["n"]
    assert "mine v1 [0278be16]" in cells["n"] - cells["m"]
    done = cli("compare", "m", "n", "--results", results, "--metric", "mine", "--json")
    assert not any(row["verdict"] in ("better", "worse") for row in json.loads(done.stdout or "[]"))


def test_odd_settings_break_no_markdown(cli: Cwbench, results: Path, write: Write) -> None:
    write({"ew2sq": NOISE[0]}, method_part={"changed": {ODD: "a|b"}})
    text = shown(cli, results, "--format", "md")
    (row,) = [line for line in text.splitlines() if "±" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert "<b>" not in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("odd", [False, True])
def test_latex_compiles(
    cli: Cwbench, results: Path, five: object, write: Write, tmp_path: Path, odd: bool
) -> None:
    if odd:
        part = {"changed": {ODD + "\u03b2\n\x00": "\\input{/etc/passwd}"}}
        write({"ew2sq": NOISE[0]}, method_part=part)
        write(
            {"ew2sq": None}, task="u", task_part={"changed": {"v": ODD}}, status="failed", error=ODD
        )
    table = shown(cli, results, "--format", "latex")
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}"
    (tmp_path / "t.tex").write_text(f"{head}\n{table}\\end{{document}}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000
    assert "root:" not in table


def test_an_ending_of_another_kind_of_file_and_a_folder_that_is_not_there_are_told(
    results: Path, tmp_path: Path, cli: Cwbench
) -> None:
    wrong = cli("leaderboard", "--results", results, "--output", tmp_path / "board.pdf")
    assert "end it in .csv, .htm, .html, .json, .md, .tex or .txt" in wrong.stderr
    assert not (tmp_path / "board.pdf").exists()
    nowhere = cli("leaderboard", "--results", tmp_path / "nowhere")
    assert "there is no" in nowhere.stderr and "nowhere" in nowhere.stderr
