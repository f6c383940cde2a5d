"""Many tasks at once: scaled scores as a heat map, wins, ties and losses as a matrix."""

from __future__ import annotations

from textwrap import fill

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cwbench.style import DPI, empty, style

CHARACTERS = 13
"""Of a note on an inch."""
DARK, LIGHT = "#111111", "#ffffff"
"""Of numbers on a coloured cell, whatever is around it."""


def heat_map(table: pd.DataFrame, *, title: str, note: str = "") -> Figure:
    """Scaled scores: 0 is a sampler that ignores y, 1 exactly the posterior; below 0 is 0.

    Args:
        table: rows methods, columns tasks, NaN where there is no score (left white).
        title: of the figure.
        note: below it.
    """
    scores = table.astype(float)
    if not np.isfinite(scores.to_numpy()).any():
        return empty(title, "no scaled score: the control `prior` is not on record")
    colours = mpl.colormaps["viridis"]
    text = scores.map(lambda v: "" if np.isnan(v) else f"{round(v, 2) + 0.0:.2f}".replace("-", "−"))
    return _cells(scores.clip(0, 1), text, colours, (0.0, 1.0), title, note)


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
    return _cells(balance.astype(float), text, colours, (-1.0, 1.0), title, note)


def _cells(
    values: pd.DataFrame,
    text: pd.DataFrame,
    colours: Colormap,
    limits: tuple[float, float],
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
        _fill(ax, values, text, colours, limits)
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
    colours: Colormap,
    limits: tuple[float, float],
) -> None:
    """Coloured cells, a gap apart; numbers dark on light ones and light on dark ones."""
    low, high = limits
    for (i, j), value in np.ndenumerate(values.to_numpy()):
        if np.isnan(value):
            continue
        colour = colours((value - low) / (high - low))
        ax.add_patch(Rectangle((j + 0.015, i + 0.035), 0.97, 0.93, facecolor=colour, linewidth=0))
        red, green, blue, _ = colour
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.55
        ax.text(j + 0.5, i + 0.5, str(text.iloc[i, j]), ha="center", va="center", fontsize=7.5,
                color=DARK if bright else LIGHT)  # fmt: skip


def _literal(names: pd.Index) -> list[str]:
    """Names as they are: matplotlib would set `$...$` as mathematics."""
    return [str(name).replace("$", r"\$") for name in names]
