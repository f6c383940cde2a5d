"""What is printed to be cited: BibTeX alone, every paper once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import cwbench
from cwbench import registry
from cwbench.citations import SUITE, in_text
from cwbench.errors import UsageError
from cwbench.reporting.citations import citations

ROOT = Path(__file__).parents[2]
SHIPPED = [p.name for p in registry.plugins() if p.distribution == "cwbench"]
ALWAYS = {"chemseddine2025conditional", "cwbench"}


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def test_shared_papers_the_theory_and_the_suite_stand_there_once() -> None:
    found = keys(citations(["cot-fm", "oracle", "prior", "fm", "ew2sq"]))
    assert sorted(found) == ["chemseddine2025conditional", "cwbench", "lipman2023flow"]


def test_of_everything_that_ships_no_key_comes_twice_and_nothing_is_no_bibtex() -> None:
    text = citations(SHIPPED)
    assert len(set(keys(text))) == len(keys(text)) > 12
    assert "\n\n".join(in_text(text)) == text


@pytest.mark.parametrize(
    ("metric", "papers"),
    [
        ("fid-50k-train-tf", {"heusel2017gans"}),
        ("kd-classifier", {"binkowski2018demystifying"}),
        ("cfid-50k-train-tf", {"soloveitchik2021conditional"}),
        ("recall-classifier", {"kynkaanniemi2019improved"}),
        ("kd-efficientnet-lite0", {"binkowski2018demystifying", "tan2019efficientnet"}),
        ("sbc", {"talts2018validating", "modrak2023simulation"}),
        ("c2st", {"lopezpaz2017revisiting", "lueckmann2021benchmarking"}),
    ],
)
def test_the_papers_of_metrics_are_cited(metric: str, papers: set[str]) -> None:
    assert set(keys(citations([metric]))) == papers | ALWAYS


def test_a_metric_of_our_own_making_adds_nothing() -> None:
    assert keys(citations(["cov-error"])) == ["chemseddine2025conditional", "cwbench"]


def test_the_suite_is_cited_as_its_citation_file_says() -> None:
    said = (ROOT / "CITATION.cff").read_text()
    title = re.search(r'^title: "(.*)"$', said, re.MULTILINE)
    released = re.search(r"^date-released: (\d{4})", said, re.MULTILINE)
    assert title
    assert released
    assert f"{{{title[1]}}}" in SUITE
    assert f"{{{released[1]}}}" in SUITE
    assert f"version: {cwbench.__version__}" in said


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown name 'cotfm'.*'cot-fm'"):
        citations(["cotfm"])


def test_the_command_cites_all_that_is_on_record(cli: Callable, run: Callable) -> None:
    record = run("knn")
    results = record.directory.parents[5]
    text = cli("describe", "--bibtex", "--results", results).stdout
    assert {"stone1977consistent", "chemseddine2025conditional", "cwbench"} <= set(keys(text))
    assert "lipman2023flow" not in text


def test_where_nothing_is_on_record_a_name_is_asked_for(cli: Callable, tmp_path: Path) -> None:
    done = cli("describe", "--bibtex", "--results", tmp_path)
    assert done.exit_code == 2
    assert "cwbench describe --bibtex NAME" in done.stderr
    assert cli("describe").exit_code == 2
