"""Two methods compared, as a terminal shows it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from cwbench.records.digits import digits_of
from cwbench.records.schema import brief
from cwbench.records.text_table import Heading, TextTable

COMPARED = (
    "Difference: the first less the second, paired, ± half its 95 % interval; where lower is "
    "wanted, negative speaks for the first.\nModerated by: the trained methods of the board, at "
    "the same calls, that say together how far seeds are apart; own: the two alone do.\nEach line "
    "is a verdict by itself, not corrected for how many there are, as ties on the leaderboard are."
)


def comparison_table(rows: Iterable[dict[str, Any]]) -> RenderableType:
    """Comparisons on a terminal."""
    table = TextTable([
        Heading("task", least=20), Heading("preset", spare=2), Heading("metric"),
        Heading("difference", right=True), Heading("seeds", right=True, spare=1),
        Heading("moderated by", right=True, spare=3), Heading("verdict"),
    ])  # fmt: skip
    reasons = []
    for row in rows:
        metric = row["metric"] + (f", NFE {row['nfe']}" if row["nfe"] else "")
        verdict = Text(row["verdict"], style=STYLES.get(row["verdict"], ""))
        table.add([
            brief(row["task"]), row["preset"], metric, _difference(row), str(row["seeds"]),
            str(row["moderated_by"] or "own"), verdict,
        ])  # fmt: skip
        if row["break_even"] is not None:
            reasons.append(Text(f"{brief(row['task'])}, {metric}: {_repaid(row)}", style="dim"))
        if row["reason"]:
            reasons.append(
                Text(f"{brief(row['task'])}, {metric}: {brief(row['reason'])}", style="dim")
            )
    return Group(table, *reasons, Text(COMPARED, style="dim"))


def _repaid(row: dict[str, Any]) -> str:
    """When the one that learned from pairs has repaid its training, by the seconds on record."""
    if not math.isfinite(row["break_even"]):
        return "training on pairs never repays itself, in seconds on record"
    least = math.ceil(row["break_even"])
    if least <= 1:
        return "training on pairs repays itself from the first observation on, in seconds on record"
    return f"training on pairs repays itself from {least:,} observations on, in seconds on record"


STYLES = {"better": "green", "worse": "red"}


def _difference(row: dict[str, Any]) -> str:
    if row["difference"] is None:
        return "–"
    half = (row["high"] - row["low"]) / 2
    digits = digits_of(half)
    if digits is None:
        return f"{row['difference']:.3g}"
    return f"{row['difference']:+.{digits}f} ± {half:.{digits}f}"
