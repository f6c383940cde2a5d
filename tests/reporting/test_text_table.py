"""A table that fits is laid out as rich lays it out."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from cwbench.reporting.text_table import Heading, TextTable


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
