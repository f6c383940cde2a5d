"""The look that all figures share; nothing here outlives a figure.

It is seaborn's `ticks` on `paper` with its palette `colorblind`, written out: seaborn imports all
of `scipy.stats`, which takes longer than to draw a figure.

One code of colours throughout: the exact posterior is blue and filled, the model is vermilion and
drawn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cwbench.machine.files import write_atomically

DPI = 160
LONGEST = 180
"""Bytes of a figure's name in that of its file."""
PALETTE = [to_rgb(f"#{code}") for code in (
    "0173b2", "de8f05", "029e73", "d55e00", "cc78bc", "ca9161", "fbafe4", "949494", "ece133",
    "56b4e9",
)]  # fmt: skip
EXACT, MODEL = PALETTE[0], PALETTE[3]
GREY = (0.55, 0.55, 0.55)
PAPER = 0.8
"""Sizes on paper, of those on the screen."""
LOOK: Any = {  # the type stubs of matplotlib list every key
    "figure.facecolor": "white", "axes.facecolor": "white", "axes.edgecolor": ".15",
    "axes.labelcolor": ".15", "text.color": ".15", "axes.axisbelow": True, "axes.grid": False,
    "font.size": 12 * PAPER, "axes.labelsize": 12 * PAPER, "axes.titlesize": 12 * PAPER,
    "legend.title_fontsize": 12 * PAPER, "legend.fontsize": 11 * PAPER, "axes.linewidth": 0.8,
    "font.family": ["sans-serif"],
    "font.sans-serif": [
        "Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif",
    ],
    "grid.color": ".8", "grid.linestyle": "-", "grid.linewidth": 0.8,
    "lines.linewidth": 1.5 * PAPER, "lines.markersize": 6 * PAPER, "lines.solid_capstyle": "round",
    "patch.edgecolor": "w", "patch.force_edgecolor": True, "patch.linewidth": 0.8,
    "xtick.bottom": True, "xtick.top": False, "ytick.left": True, "ytick.right": False,
} | {f"axes.spines.{side}": True for side in ("left", "right", "bottom", "top")} | {
    f"{axis}tick.{name}": value
    for axis in "xy"
    for name, value in {
        "color": ".15", "direction": "out", "labelsize": 11 * PAPER, "major.size": 3,
        "minor.size": 4 * PAPER, "major.width": 0.8, "minor.width": PAPER,
    }.items()
}  # fmt: skip

Array = NDArray[np.float64]


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, undone on leaving."""
    with mpl.rc_context(LOOK):
        yield


def tint(strength: float) -> tuple[float, float, float]:
    """The exact posterior's blue, mixed with white."""
    red, green, blue = (1 - strength * (1 - channel) for channel in EXACT)
    return red, green, blue


def open_frame(ax: Axes, *, left: bool = True) -> None:
    """Leave the lines below and, unless told otherwise, to the left of a panel."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_visible(left)


def empty(title: str, message: str) -> Figure:
    """A panel that says why there is nothing in it."""
    with style():
        figure = Figure(figsize=(4.6, 3.0), dpi=DPI, layout="constrained")
        figure.suptitle(title)
        ax = figure.subplots()
        ax.set_axis_off()
        ax.text(0.5, 0.5, message, ha="center", va="center", transform=ax.transAxes, color="0.35")
    return figure


def png(figure: Figure) -> bytes:
    """The picture as PNG."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=DPI)
    return content.getvalue()


def saved(figure: Figure, directory: Path, name: str) -> Path:
    """Write a figure as PNG, whole or not at all; the path.

    Args:
        figure: to write.
        directory: where to; it is made.
        name: of any kind, as of a board; what no system takes in the name of a file is left out.

    Raises:
        OSError: if the directory cannot be written.
    """
    file = re.sub(r"[^\w=.]+", "-", name).strip("-.")
    if len(file.encode()) > LONGEST:  # most systems take 255 bytes
        start = file.encode()[:LONGEST].decode(errors="ignore")
        file = f"{start}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    path = directory / f"{file}.png"
    write_atomically(path, png(figure))
    return path
