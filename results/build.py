"""Makes from the records in `results/runs` all that is shown of them.

    python -m results.build        (or: make results)

It writes `results/leaderboard.{html,md,tex,csv.gz}`, the figures of `cwbench leaderboard --figures`
into `results/figures`, and the leaderboard in the README, between two comments. Equal records give
equal files. Nothing is fitted.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cwbench.boards import first, formats, texts
from cwbench.boards.across import ranked
from cwbench.boards.board import Board
from cwbench.boards.frames import frame
from cwbench.boards.gathering import boards
from cwbench.boards.markup import markdown_text
from cwbench.boards.overview import draw
from cwbench.boards.page import page
from cwbench.boards.relative import unit_of
from cwbench.machine.files import write_atomically
from cwbench.records.shipped import OURS, Source

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- leaderboard: made by `make results` -->\n", "<!-- end of leaderboard -->\n"
NFE_HEAD = """\
# Every method at every number of evaluations

The main metric of each task, mean ± half the 95 % interval over seeds and observations; lower is
better, 0 is exact. One-shot samplers have one value. **Bold**: the best at that NFE and what cannot
be told from it. Rank and scaled score are at the NFE that is judged, by which the rows are sorted.
"""
DRAWN = re.compile(r"(relative|votes)-.*|.*-(smoke|quick|ladder|standard|paper)(-open|-external)?")
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
    """The README's leaderboard: the one table, of tasks on which methods are ranked by a unit."""
    return first.markdown(first.first([b for b in shown if ranked(b) > 1 and unit_of(b)]))


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


def _methods(board: Board) -> int:
    cells = [(row, board.cell(row, board.main)) for row in board.rows]
    return sum(row.role == "method" and cell is not None for row, cell in cells)


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
        "leaderboard.md": texts.markdown(shown),
        "nfe.md": by_nfe(shown),
        "leaderboard.tex": texts.latex(shown),
    }


def rows(shown: Sequence[Board]) -> str:
    """Every entry of the leaderboard as CSV; tens of thousands, so that the file is compressed."""
    return frame(shown).to_csv(index=False, float_format="%.6g")


def with_palette(figure: Path) -> None:
    """Write a figure again in its 256 main colours, in a third of the bytes."""
    content = io.BytesIO()
    with Image.open(figure) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(content, "PNG")
    write_atomically(figure, content.getvalue())


def build(results: Path, readme: Path) -> list[Path]:
    """Write everything; return the paths."""
    shown = found(results)
    as_text = tables(shown) | {"leaderboard.html": page(shown, [])}
    written = {name: text.encode() for name, text in as_text.items()}
    written["leaderboard.csv.gz"] = gzip.compress(rows(shown).encode(), mtime=0)
    for name, content in written.items():
        write_atomically(results / name, content)
    for stale in (results / "figures").glob("*.png"):
        if DRAWN.fullmatch(stale.stem):
            stale.unlink()
    drawn = draw(shown, results / "figures")
    for figure in drawn:
        with_palette(figure)
    write_atomically(readme, refreshed(readme.read_text(), section(shown)).encode())
    return [*(results / name for name in written), *drawn, readme]


def main() -> None:
    for path in build(ROOT / "results", ROOT / "README.md"):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
