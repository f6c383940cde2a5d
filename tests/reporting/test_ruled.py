"""A table that fits is laid out as rich lays it out."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from cwbench.reporting.ruled import Heading, Ruled


def text(renderable: RenderableType, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.fixture
def table() -> Ruled:
    made = Ruled(
        [Heading("rank"), Heading("method", least=16), Heading("ew2sq\nNFE 3", right=True)]
    )
    made.add(["1", "cot-fm (β=10, 漢字)", Text("= 0.1 ± 0.2", style="bold")])
    made.add(["", "fm", "–"])
    made.end_section()
    made.add(["", "prior", "12"])
    made.end_section()
    return made


def test_the_lines_are_those_of_rich(table: Ruled) -> None:
    assert text(table, 80) == text(table._by_rich(), 80)
    assert text(table, 80).count("──\n") == 2


def test_what_does_not_fit_folds(table: Ruled) -> None:
    lines = text(table, 40).splitlines()
    assert len(lines) > len(text(table, 80).splitlines())
    assert max(map(len, lines)) <= 40
