"""What calls of the denoiser buy, and what learning it costs: `python -m docs.calls`.

Of each sampler that knows the operator the judged value at every number of calls on record, as a
multiple of what `fm` has on the same task. Writes `docs/figures/calls.png` from the committed
records; nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cwbench.boards import calls
from cwbench.boards.board import Board
from cwbench.boards.row import Row
from cwbench.style import GREY, PALETTE, open_frame, style
from results.build import ROOT, found

PRESET, BASE, EXACT = "ladder", "fm", " (denoiser=exact)"
TASKS = ("gaussian-linear", "gaussian-mixture-informative", "deblurring (noise=0.2)")
"""Those at 1,000 calls."""
COLUMNS = 4
LOWEST, HIGHEST = 0.4, 300.0


class Line(NamedTuple):
    """A sampler on a task: multiples of what the base has, by calls."""

    task: str
    sampler: str
    exact: bool
    multiples: dict[int, float]


def lines(boards: Sequence[Board]) -> Iterator[Line]:
    """Every sampler that sets its calls itself, on every task of `TASKS`."""
    for board in boards:
        if board.preset != PRESET or board.title not in TASKS:
            continue
        values = {row.label: _value(board, row) for row in board.rows}
        for row in board.rows:
            others = board.beside.get(row.place, {})
            if row.calls == calls.JUDGED and others:
                at = {row.calls: row} | others
                multiples = {n: values[at[n].label] / values[BASE] for n in sorted(at)}
                name = row.label.removesuffix(EXACT)
                yield Line(board.title, name, row.label.endswith(EXACT), multiples)


def _value(board: Board, row: Row) -> float:
    cell = board.cell(row, board.main)
    return cell.mean if cell and cell.mean is not None else float("nan")


def drawn(every: Sequence[Line]) -> Figure:
    """A panel a sampler, the best first; learned denoisers filled, the task's own open."""
    names = sorted({line.sampler for line in every}, key=lambda name: _worst(every, name))
    with style():
        height = 2.0 * -(-len(names) // COLUMNS) + 0.8
        figure = Figure(figsize=(8.4, height), layout="constrained")
        panels = figure.subplots(-(-len(names) // COLUMNS), COLUMNS, sharex=True, sharey=True)
        for ax, name in zip(panels.flat, names, strict=False):
            _panel(ax, [line for line in every if line.sampler == name])
            ax.set_title(name, loc="left")
        for ax in panels.flat[len(names) :]:
            ax.axis("off")
        for ax in panels[:, 0]:
            ax.set_ylabel(f"ew2sq / that of {BASE}")
        for ax in panels.flat[max(0, len(names) - COLUMNS) : len(names)]:
            ax.set_xlabel("calls a draw")
            ax.tick_params(labelbottom=True)
        figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _worst(every: Sequence[Line], name: str) -> float:
    return max(line.multiples[calls.JUDGED] for line in every if line.sampler == name)


def _panel(ax: Axes, its: Sequence[Line]) -> None:
    for line in its:
        colour = PALETTE[TASKS.index(line.task)]
        numbers = list(line.multiples)
        shown = [min(max(line.multiples[n], LOWEST), HIGHEST) for n in numbers]
        ax.plot(numbers, shown, "--" if line.exact else "-", color=colour, marker="o",
                mfc="white" if line.exact else colour, lw=1.0, ms=4)  # fmt: skip
    ax.axhline(1, color=GREY, lw=0.8)
    ax.set(xscale="log", yscale="log", ylim=(LOWEST / 1.1, HIGHEST))
    ax.set_xticks(calls.LEVELS, [f"{n:,}" for n in calls.LEVELS])
    ax.minorticks_off()
    open_frame(ax)


def _legend() -> list[Line2D]:
    tasks = [Line2D([], [], color=PALETTE[i], label=task) for i, task in enumerate(TASKS)]
    kinds = [
        Line2D([], [], color=GREY, marker="o", label="denoiser learned"),
        Line2D([], [], color=GREY, ls="--", marker="o", mfc="white", label="denoiser exact"),
    ]
    return tasks + kinds


def main() -> None:
    """Draw it."""
    figure = drawn(list(lines(found(ROOT / "results"))))
    figure.savefig(Path(__file__).parent / "figures" / "calls.png", dpi=120)


if __name__ == "__main__":
    main()
