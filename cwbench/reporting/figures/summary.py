"""Many tasks at once: relative errors as a heat map, wins, ties and losses as a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from cwbench.style import DPI, empty, style

CHARACTERS = 13
"""Of a note on an inch."""
DARK, LIGHT = "#111111", "#ffffff"
"""Of numbers on a coloured cell, whatever is around it."""
SCALE, WIDEST = (0.03, 0.1, 0.3, 1, 3, 10, 30), 34
"""What is marked on the scale of relative errors, and its end; what lies beyond has its colour."""
INK = "#262626"
"""Of lines, which follow the page's."""


class Look(NamedTuple):
    """How cells are coloured, which stand out, and the rows above which a line is drawn."""

    colours: Colormap
    limits: tuple[float, float]
    bold: NDArray[np.bool_] | None = None
    breaks: Sequence[int] = ()


def heat_map(
    sizes: pd.DataFrame,
    texts: pd.DataFrame,
    *,
    bold: NDArray[np.bool_],
    breaks: Sequence[int] = (),
    title: str,
    note: str = "",
) -> Figure:
    """Errors relative to a unit, on a logarithmic scale around 1: blue is better, red is worse.

    Args:
        sizes: rows methods, columns tasks, NaN where there is none (left white).
        texts: what stands in the cells.
        bold: cells that stand out, of the same shape.
        breaks: rows above which a line is drawn.
        title: of the figure.
        note: below it.
    """
    numbers = sizes.astype(float)
    if not np.isfinite(numbers.to_numpy()).any():
        return empty(title, "no unit on record (see below the table)")
    end = math.log10(WIDEST)
    places = numbers.clip(1 / WIDEST, WIDEST).map(math.log10)
    look = Look(mpl.colormaps["RdBu_r"], (-end, end), bold, breaks)
    figure = _cells(places, texts.fillna(""), look, title, note)
    _add_scale(figure, look)
    return figure


def _add_scale(figure: Figure, look: Look) -> None:
    """What the colours mean, beside the cells."""
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(*look.limits), look.colours)
    with style():
        bar = figure.colorbar(colours, ax=figure.axes[0], shrink=0.6, aspect=25, pad=0.02)
        bar.set_ticks(np.log10(SCALE).tolist(), labels=[f"{value:g}" for value in SCALE])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)


def vote_matrix(votes: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Wins, ties and losses of the row against the column, one vote a task group.

    Args:
        votes: square, rows and columns methods, each entry a triple or None.
        title: of the figure.
        note: below it.
    """
    if len(votes) < 2:
        return empty(title, "two methods with three seeds on one task are needed")
    balance = votes.map(lambda v: np.nan if v is None else (v[0] - v[2]) / max(sum(v), 1))
    text = votes.map(lambda v: "" if v is None else "–".join(map(str, v)))
    colours = mpl.colormaps["RdBu"]
    return _cells(balance.astype(float), text, Look(colours, (-1.0, 1.0)), title, note)


def _cells(
    values: pd.DataFrame,
    text: pd.DataFrame,
    look: Look,
    title: str,
    note: str,
) -> Figure:
    rows, columns = values.shape
    longest = max(len(str(name)) for name in [*values.index, *values.columns])
    width = 1.6 + 0.07 * longest + 0.72 * columns
    note = fill(note, int(CHARACTERS * 0.72 * columns) + 12)  # it stands below the columns alone
    with style():
        height = 1.1 + 0.06 * longest + 0.3 * rows + 0.15 * note.count("\n")
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        # seaborn's heatmap would draw the whole figure twice to see whether labels overlap
        _fill(ax, values, text, look)
        ax.set(xlim=(0, columns), ylim=(rows, 0))
        ax.spines[:].set_visible(False)
        ax.set_xticks(np.arange(columns) + 0.5, _literal(values.columns))
        ax.set_yticks(np.arange(rows) + 0.5, _literal(values.index))
        ax.set(xlabel=note, ylabel="")
        ax.set_title(title)
        ax.tick_params(length=0)
        for label in ax.get_xticklabels():
            label.set(rotation=35, ha="right", rotation_mode="anchor")
    return figure


def _fill(
    ax: Axes,
    values: pd.DataFrame,
    text: pd.DataFrame,
    look: Look,
) -> None:
    """Coloured cells, a gap apart; numbers dark on light ones and light on dark ones."""
    low, high = look.limits
    for (i, j), value in np.ndenumerate(values.to_numpy()):
        if np.isnan(value):
            continue
        colour = look.colours((value - low) / (high - low))
        ax.add_patch(Rectangle((j + 0.015, i + 0.035), 0.97, 0.93, facecolor=colour, linewidth=0))
        red, green, blue, _ = colour
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
        weight = "bold" if look.bold is not None and look.bold[i, j] else "normal"
        ax.text(j + 0.5, i + 0.5, str(text.iloc[i, j]), ha="center", va="center", fontsize=7.5,
                fontweight=weight, color=DARK if bright else LIGHT)  # fmt: skip
    for row in look.breaks:
        ax.axhline(row, color=INK, linewidth=0.8)


def _literal(names: pd.Index) -> list[str]:
    """Names as they are: matplotlib would set `$...$` as mathematics."""
    return [str(name).replace("$", r"\$") for name in names]
