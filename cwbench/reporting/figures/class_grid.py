"""Images by class: a row for each, a real one first, then what a model draws.

The latents belong to the task and the seed, not to the method: the k-th image of a row started from
the same latent in the grids of all methods, and at every NFE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cwbench.errors import UsageError
from cwbench.reporting.figures.page import (
    LINE,
    MARGIN,
    SMALL_GAP,
    Page,
    Scale,
    draw_picture,
    picture_of,
)
from cwbench.style import EXACT, MODEL, style

_LABEL, _SIDE, _STEP = 0.75, 0.42, 0.14  # inches
MOST_ROWS = 20


def class_grid(samples: ArrayLike, real: ArrayLike, names: Sequence[str], *, title: str) -> Figure:
    """A row for each class: its name, a held-out image, the model's draws.

    Args:
        samples: x in [-1, 1] with shape `(K, n, C, H, W)`; what is not finite is left white.
        real: a held-out image of each class, with shape `(K, C, H, W)`.
        names: of the classes.
        title: of the figure.

    Raises:
        UsageError: if the shapes do not agree.
    """
    drawn, held_out = np.asarray(samples, np.float64), np.asarray(real, np.float64)
    if drawn.ndim != 5 or held_out.shape != (*drawn.shape[:1], *drawn.shape[2:]):
        raise UsageError(
            f"draws of shape {drawn.shape} and real images of shape {held_out.shape} were given; "
            "(classes, n, channels, height, width) and (classes, channels, height, width) are "
            "needed"
        )
    rows, columns = min(len(drawn), MOST_ROWS), drawn.shape[1]
    height = _SIDE * drawn.shape[3] / drawn.shape[4]
    start = MARGIN + _LABEL + _SIDE + _STEP
    inner = _LABEL + _SIDE + _STEP + columns * (_SIDE + SMALL_GAP) - SMALL_GAP
    note = "Values beyond [-1, 1] are clipped; the latents are the same for every method."
    if rows < len(drawn):
        note += f" The first {rows} of {len(drawn)} classes."
    with style():
        page = Page(inner, LINE + rows * (height + SMALL_GAP), title, note)
        page.heading(MARGIN + _LABEL, page.top + LINE - 0.05, "real", EXACT)
        page.heading(start, page.top + LINE - 0.05, "draws of the model", MODEL)
        for row in range(rows):
            top = page.top + LINE + row * (height + SMALL_GAP)
            page.heading(MARGIN, top + height / 2 + 0.04, names[row][:12])
            lefts = [start + k * (_SIDE + SMALL_GAP) for k in range(columns)]
            for left, image in zip(
                [MARGIN + _LABEL, *lefts], [held_out[row], *drawn[row]], strict=True
            ):
                pixels = np.where(np.isfinite(image), (image.clip(-1, 1) + 1) / 2, 1.0)
                draw_picture(
                    page.axes(left, top, _SIDE, height), picture_of(pixels), Scale(0.0, 1.0)
                )
    return page.figure
