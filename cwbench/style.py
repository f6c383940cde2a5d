"""The look that all figures share; nothing here outlives a figure.

One code of colours throughout: the exact posterior is blue and filled, the model is vermilion and
drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from numpy.typing import NDArray

DPI = 160
PALETTE = sns.color_palette("colorblind")
EXACT, MODEL = PALETTE[0], PALETTE[3]
GREY = (0.55, 0.55, 0.55)
SMALL_TICKS = {
    "axes.linewidth": 0.8, "xtick.major.size": 3, "ytick.major.size": 3,
    "xtick.major.width": 0.8, "ytick.major.width": 0.8,
}  # fmt: skip

Array = NDArray[np.float64]


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, undone on leaving."""
    with sns.axes_style("ticks", SMALL_TICKS), sns.plotting_context("paper", rc=SMALL_TICKS):
        yield


def empty(title: str, message: str) -> Figure:
    """A panel that says why there is nothing in it."""
    with style():
        figure = Figure(figsize=(4.6, 3.0), dpi=DPI, layout="constrained")
        figure.suptitle(title)
        ax = figure.subplots()
        ax.set_axis_off()
        ax.text(0.5, 0.5, message, ha="center", va="center", transform=ax.transAxes, color="0.35")
    return figure
