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
from html import escape
from pathlib import Path

from cwbench.boards import formats
from cwbench.boards.board import Board
from cwbench.boards.frames import frame
from cwbench.boards.gathering import boards
from cwbench.boards.overview import draw, stages
from cwbench.boards.page import page
from cwbench.machine.files import write_atomically
from cwbench.records.shipped import OURS, Source

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- leaderboard: made by `make results` -->\n", "<!-- end of leaderboard -->\n"
HEAD = """\
Mean ± half the 95 % interval over seeds and observations, lower is better, 0 is exact. **Bold**:
the best and what cannot be told from it (paired differences, Holm over all pairs; from 20
dimensions on also where distances contradict each other); rank: its 95 % interval, of methods with
at least three seeds; scaled: 0 ignores y as `prior` does, 1 is exact; *controls* stand below. The
same at every NFE: [results/nfe.md](results/nfe.md).
"""
NFE_HEAD = """\
# Every method at every number of evaluations

The main metric of each task, mean ± half the 95 % interval over seeds and observations; lower is
better, 0 is exact. One-shot samplers have one value. **Bold**: the best at that NFE and what cannot
be told from it. Rank and scaled score are at the NFE that is judged, by which the rows are sorted.
"""
MOST_NAMES = 5
"""Of the best in a title."""
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
    """The README's leaderboard: a table for each preset and task with methods to compare."""
    parts = [HEAD]
    for name, members in stages(shown):
        compared = [board for board in members if _methods(board) > 1]
        if compared:
            parts += [f"**Preset `{name}`**\n", *map(_folded, compared)]
    return "\n".join(parts)


def _methods(board: Board) -> int:
    cells = [(row, board.cell(row, board.main)) for row in board.rows]
    return sum(row.role == "method" and cell is not None for row, cell in cells)


def _folded(board: Board) -> str:
    """A table that opens on a click, with the best and their ties as its title."""
    columns = [column for column in (board.main, board.second) if column]
    table = formats.markdown_table(board, columns, board.main)
    title = f"<code>{escape(board.title)}</code>: {_best(board)}"
    return f"<details><summary>{title}</summary>\n\n{table}\n</details>\n"


def _best(board: Board) -> str:
    """Who is best at the NFE that is judged."""
    cells = [(row, board.cell(row, board.main)) for row in board.ordered(board.main)]
    tied = [row.label for row, cell in cells if cell and cell.tied]
    if not tied:
        return "not ranked, fewer than three seeds"
    methods = [cell for row, cell in cells if cell and row.role == "method"]
    few = sum(cell.rank is None for cell in methods)
    among = f" of {len(methods) - few} with three seeds or more" if few else ""
    if len(tied) > MOST_NAMES:
        return f"the best{among} and {len(tied) - 1} that cannot be told from it"
    labels = [f"<code>{escape(label)}</code>" for label in tied]
    first, rest = labels[0], ", ".join(labels[1:])
    return f"best{among}: {first}" + (f"; not told from it: {rest}" if rest else "")


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
            parts.append(f"## {formats.markdown_text(board.name)}\n\n{table}")
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
