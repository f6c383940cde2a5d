"""A table that fits is laid out as rich lays it out."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from conftest import ENTRY, TASK_PART
from rich.console import Console, RenderableType
from rich.text import Text

from cwbench.boards.compared import comparison_table
from cwbench.records.runs import read
from cwbench.records.tables import run_table
from cwbench.records.text_table import Heading, TextTable
from cwbench.reporting.status import status_table, statuses

Store = Callable[..., Path]


def text(renderable: RenderableType, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.fixture
def table() -> TextTable:
    made = TextTable(
        [Heading("rank"), Heading("method", least=16), Heading("ew2sq\nNFE 3", right=True)]
    )
    made.add(["1", "cot-fm (β=10, 漢字)", Text("= 0.1 ± 0.2", style="bold")])
    made.add(["", "fm", "–"])
    made.end_section()
    made.add(["", "prior", "12"])
    made.end_section()
    return made


def test_the_lines_are_those_of_rich(table: TextTable) -> None:
    assert text(table, 80) == text(table._by_rich(), 80)
    assert text(table, 80).count("──\n") == 2


@pytest.fixture
def wide() -> TextTable:
    made = TextTable([
        Heading("rank"), Heading("method", least=8), Heading("ew2sq", right=True),
        Heading("p90", right=True, spare=9), Heading("NFE\n3", right=True, spare=1),
        Heading("seeds", spare=5),
    ])  # fmt: skip
    made.add(["1", "cot-fm (beta=10, leak=0.05)", "0.1 ± 0.2", "0.3", "0.4 ± 0.1", "3"])
    made.end_section()
    made.add(["", "prior", "12", "", "", "3"])
    return made


@pytest.mark.parametrize(
    ("width", "gone"),
    [
        (100, []),
        (64, []),
        (50, ["p90"]),
        (42, ["p90", "seeds"]),
        (29, ["p90", "NFE\n3", "seeds"]),
    ],
)
def test_spare_columns_go_before_any_name_is_cut(
    wide: TextTable, width: int, gone: list[str]
) -> None:
    shown, left_out = wide.within(width)
    assert [heading.title for heading in left_out] == gone
    lines = text(wide, width).splitlines()
    assert max(map(len, lines)) <= width
    body = "".join("".join(lines).split())
    for kept in ("rank", "method", "prior", "0.1±0.2"):
        assert kept in body
    column = [line[7 : 7 + 28].split("  ")[0].strip() for line in lines]
    assert "".join(column).replace(" ", "").find("leak=0.05") > 0
    assert ("For want of room without" in text(wide, width)) == bool(gone)
    assert shown.ends == {0}


def test_what_does_not_fit_folds(table: TextTable) -> None:
    lines = text(table, 40).splitlines()
    assert len(lines) > len(text(table, 80).splitlines())
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize("width", [40, 60])
def test_no_value_or_verdict_is_cut(width: int) -> None:
    """Compared methods, and a run with six NFE, on a narrow terminal: every text is there whole."""
    row = {
        "task": "gaussian-mixture-of-many", "preset": "standard", "metric": "w2sq-marginal-10000",
        "nfe": "adaptive", "difference": -0.012345, "low": -0.0124, "high": -0.0123, "seeds": 5,
        "moderated_by": 12, "verdict": "not told apart", "reason": "", "break_even": None,
    }  # fmt: skip
    shown = text(comparison_table([row]), width)
    for wanted in ("w2sq-marginal-10000", "-0.012345 ± 0.000050", "not told apart"):
        assert wanted in " ".join(shown.split())
    assert "…" not in shown


@pytest.mark.parametrize("width", [40, 60])
def test_a_narrow_run_spares_columns_and_names_them(store: Store, width: int) -> None:
    metrics = {
        f"ew2sq@nfe={nfe}": ENTRY | {"value": 10.0 + nfe, "low": 9.95 + nfe, "high": 10.05 + nfe}
        for nfe in (1, 3, 10, 30, 100)
    }
    task = TASK_PART | {"main_nfe": 10}
    record = read(store(values={"metrics": metrics, "task": task}))
    assert record
    found = run_table(record, width)
    assert "20.000 ±0.050" in found
    assert "For want of room without" in found
    assert "…" not in found
    whole = " ".join(run_table(record).split())
    assert all(f"{10 + nfe}.000 ±0.050" in whole for nfe in (1, 3, 10, 30, 100))


@pytest.mark.parametrize("width", [40, 60])
def test_states_are_shown_whole(store: Store, results: Path, width: int) -> None:
    for seed in range(6):
        store(seed, status="interrupted", error="stopped")
    shown = text(status_table(statuses(results), results), width)
    assert shown.count("interrupted") >= 12


@pytest.mark.parametrize("width", [20, 40])
def test_brackets_in_a_heading_are_no_markup(width: int) -> None:
    """A metric of a file stands with the first digits of its hash, which may be letters."""
    table = TextTable([Heading("w2 [abcd]"), Heading("method", least=4)])
    table.add(["0.5", "[red]a[/] of many words"])
    shown = text(table, width)
    assert "[abcd]" in shown
    assert "[red]" in "".join(shown.split())
