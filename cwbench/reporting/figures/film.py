"""The film of a flow on images: latents turning into samples."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from cwbench.errors import UsageError
from cwbench.reporting.figures.page import (
    LINE,
    MARGIN,
    SMALL_GAP,
    Array,
    Page,
    Scale,
    as_text,
    draw_picture,
    picture_of,
    ratio_of,
    scale_of,
)
from cwbench.style import empty, style

FILM_ROWS, FILM_COLUMNS = 4, 9


def flow_film(paths: ArrayLike, *, truth: ArrayLike, title: str) -> Figure:
    """A film of a flow on images: each row a latent, from t = 0 (latent) to t = 1 (sample).

    The scale of grey runs linearly from the latents' own range, two deviations about their mean, to
    that of the images, as the flow itself does: on one scale latents are black and white.

    Args:
        paths: with shape `(steps + 1, n, c, h, w)`, from latent to sample.
        truth: an image of the task, with shape `(c, h, w)`; it gives the scale at t = 1.
        title: of the figure.

    Raises:
        UsageError: if the paths are not of images, or of others than `truth`.
    """
    states, x = np.asarray(paths, np.float64), np.asarray(truth, np.float64)
    if states.ndim != 5 or states.shape[2:] != x.shape:
        raise UsageError(
            f"paths with shape {states.shape} and an image {x.shape} were given; a film needs "
            "(steps + 1, n, channels, height, width) and (channels, height, width)"
        )
    states = states[:, np.isfinite(states).all(axis=(0, 2, 3, 4))][:, :FILM_ROWS]
    if not states.shape[1]:
        return empty(title, "no finite path to show")
    steps = len(states) - 1
    frames = np.unique(np.linspace(0, steps, FILM_COLUMNS).round().astype(int))
    with style():
        return _film(states[frames], frames / max(steps, 1), scale_of(x), title)


def _film(states: Array, times: Array, last: Scale, title: str) -> Figure:
    """Rows of frames with shape `(frames, rows, c, h, w)` at those times."""
    middle, reach = float(states[0].mean()), 2 * float(states[0].std())
    first = Scale(middle - reach, middle + (reach or 1.0))
    side, ratio = 0.72, ratio_of(picture_of(states[0, 0]))
    width = max(len(times), 5) * (side + SMALL_GAP) - SMALL_GAP
    note = (
        f"{'Each channel' if len(states[0, 0]) == 3 else 'Grey'} from {as_text(first.low)} to "
        f"{as_text(first.high)} at t = 0, from {as_text(last.low)} to {as_text(last.high)} at t = "
        "1, linear in t between them; values beyond are clipped."
    )
    page = Page(width, LINE + states.shape[1] * (side * ratio + SMALL_GAP) + 0.03, title, note)
    for column, (t, frame) in enumerate(zip(times, states, strict=True)):
        left = MARGIN + column * (side + SMALL_GAP)
        page.heading(left + side / 2, page.top + LINE - 0.05, f"$t = {t:.3g}$", align="center")
        ends = ((1 - t) * a + t * b for a, b in zip(first[:2], last[:2], strict=True))
        scale = Scale(*ends)
        for row, image in enumerate(frame):
            top = page.top + LINE + row * (side * ratio + SMALL_GAP)
            draw_picture(page.axes(left, top, side, side * ratio), picture_of(image), scale)
    return page.figure
