"""Makes from the records in `results/runs` all that is shown of them.

    python -m results.build        (or: make results)

It writes `results/leaderboard.{html,md,csv,tex}`, the figures of `cwbench leaderboard --figures`
into `results/figures`, and the leaderboard in the README, between two comments. Equal records give
equal files. Nothing is fitted.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cwbench.boards import formats
from cwbench.boards.board import Board, Cell
from cwbench.boards.frames import frame
from cwbench.boards.gathering import boards
from cwbench.boards.markup import markdown_text
from cwbench.boards.overview import by_place, draw
from cwbench.boards.page import page
from cwbench.boards.versions import MARK, explained
from cwbench.machine.files import write_atomically
from cwbench.records.schema import LONGEST
from cwbench.records.shipped import OURS, Source

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- leaderboard: made by `make results` -->\n", "<!-- end of leaderboard -->\n"
HEAD = """\
The main metric of each task ({metrics}): mean ± half the 95 % interval over seeds and observations.
Lower is better, 0 is exact. **Bold**: the best and all that cannot be told from it (paired
differences, corrected for the number of pairs; from 20 dimensions on also where distances
contradict each other). A task stands at preset `standard` once as many methods have three seeds
there as at `quick`; until then at `quick`. In brackets: seeds with a value, where they are fewer
than three or one is missing. *Controls* stand below.
"""
FEWEST_SEEDS = 3
"""Of a verdict."""
SIZES = ("standard", "quick")
"""The presets of the README's table, the preferred one first."""
NFE_HEAD = """\
# Every method at every number of evaluations

The main metric of each task, mean ± half the 95 % interval over seeds and observations; lower is
better, 0 is exact. One-shot samplers have one value. **Bold**: the best at that NFE and what cannot
be told from it. Rank and scaled score are at the NFE that is judged, by which the rows are sorted.
"""
DRAWN = re.compile(r"(scaled-scores|votes)-.*|.*-(smoke|quick|standard|paper)(-open|-external)?")
"""Names of the figures that this makes; others are left alone."""


def found(results: Path) -> list[Board]:
    """The boards of these records; what is derived on the way is not kept.

    Raises:
        SystemExit: if a record cannot be read: what is shown would lack it in silence.
    """
    with tempfile.TemporaryDirectory() as home:
        made = boards([Source(results, OURS, Path(home))], metrics=None)
    if made.problems:
        sys.exit("\n".join(made.problems))
    return made.boards


def section(shown: Sequence[Board]) -> str:
    """The README's leaderboard: one table, methods by tasks, the controls below."""
    chosen = one_a_task(shown)
    methods = by_place(chosen, controls=False)
    controls = [name for name in by_place(chosen, controls=True) if name not in methods]
    metrics = {formats.heading(b, b.main) for b in chosen if b.main}
    titles = (f"`{board.title}`{MARK * bool(board.older)}, {board.preset}" for board in chosen)
    head = ["method", *titles]
    lines = [head, ["---"] * len(head)]
    lines += [_line(chosen, name, "{}") for name in methods]
    lines += [_line(chosen, name, "*{}*") for name in controls]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    shown_rows = ((b, row) for b in chosen for row in b.rows if b.cell(row, b.main))
    told = explained(older for b, row in shown_rows for older in (b.older, row.older))
    text = HEAD.format(metrics="; ".join(sorted(metrics))) + "\n" + table + "\n"
    return text + f"\n{markdown_text(told, LONGEST)}\n" * bool(told)


def one_a_task(shown: Sequence[Board]) -> list[Board]:
    """For each task as it ships the board that ranks most methods; `standard` before `quick`."""
    found: dict[str, list[Board]] = {}
    for board in sorted(shown, key=lambda b: SIZES.index(b.preset) if b.preset in SIZES else 2):
        if board.track == "fixed" and not board.task.get("changed") and board.preset in SIZES:
            found.setdefault(board.title, []).append(board)
    best = [max(members, key=_ranked) for _, members in sorted(found.items())]
    return [board for board in best if _ranked(board) > 1]


def _ranked(board: Board) -> int:
    cells = [board.cell(row, board.main) for row in board.rows if row.role == "method"]
    return sum(cell is not None and cell.rank is not None for cell in cells)


def _methods(board: Board) -> int:
    cells = [(row, board.cell(row, board.main)) for row in board.rows]
    return sum(row.role == "method" and cell is not None for row, cell in cells)


def _line(chosen: Sequence[Board], label: str, form: str) -> list[str]:
    """A row of the README's table."""
    cells = (
        next(((board.cell(row, board.main), row.older) for row in board.rows if row.label == label),
             (None, ""))
        for board in chosen
    )  # fmt: skip
    texts = (_text(cell) + MARK * bool(cell and older) for cell, older in cells)
    return [form.format(markdown_text(label)), *texts]


def _text(cell: Cell | None) -> str:
    """A value, bold where it is tied with the best; with its seeds where that decides little."""
    text = formats.plain(cell)
    if cell and cell.tied:
        text = f"**{text}**"
    few = cell is not None and (not cell.complete or cell.runs < FEWEST_SEEDS)
    return f"{text} ({cell.seeds})" if cell and few else text


def refreshed(readme: str, text: str) -> str:
    """The README with this text between the two comments.

    Raises:
        SystemExit: if it lacks them.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"README.md lacks the lines {BEGIN.strip()!r} and {END.strip()!r}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def by_nfe(shown: Sequence[Board]) -> str:
    """The main metric of boards with several methods at each NFE of theirs."""
    parts = [NFE_HEAD]
    for board in shown:
        columns = sorted(
            (c for c in board.columns if c.metric == board.main_metric), key=lambda c: c.order
        )
        if _methods(board) > 1 and len(columns) > 1:
            table = formats.markdown_table(board, columns, board.main)
            parts.append(f"## {markdown_text(board.name)}\n\n{table}")
    return "\n".join(parts)


def tables(shown: Sequence[Board]) -> dict[str, str]:
    """The leaderboard as text, by file name."""
    return {
        "leaderboard.md": formats.markdown(shown),
        "nfe.md": by_nfe(shown),
        "leaderboard.csv": frame(shown).to_csv(index=False, float_format="%.6g"),
        "leaderboard.tex": formats.latex(shown),
    }


def build(results: Path, readme: Path) -> list[Path]:
    """Write everything; return the paths."""
    shown = found(results)
    texts = tables(shown) | {"leaderboard.html": page(shown, [])}
    for name, text in texts.items():
        write_atomically(results / name, text.encode())
    for stale in (results / "figures").glob("*.png"):
        if DRAWN.fullmatch(stale.stem):
            stale.unlink()
    drawn = draw(shown, results / "figures")
    write_atomically(readme, refreshed(readme.read_text(), section(shown)).encode())
    return [*(results / name for name in texts), *drawn, readme]


def main() -> None:
    for path in build(ROOT / "results", ROOT / "README.md"):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
