"""The posterior of an image: means, deviations and draws, exact and of the model.

One observation is one figure. Its first row holds the observation, the image behind it, the
posterior's mean and standard deviation at each pixel, exact and of the model, and their error; its
strips hold single draws, which show what moments cannot: whether the model draws sharp images.

Images to be compared share one scale of grey, [0, 1] unless their values are elsewhere, and the
two deviations share another. Over several channels the deviation is their root mean square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from cwbench.errors import UsageError
from cwbench.reporting.figures.page import (
    LINE,
    MARGIN,
    SMALL_GAP,
    Array,
    Colour,
    Page,
    Scale,
    as_text,
    draw_picture,
    own_scale,
    picture_of,
    ratio_of,
    scale_of,
)
from cwbench.style import EXACT, MODEL, empty, style

DEVIATIONS, ERRORS = "viridis", "RdBu_r"
_PANEL, _GAP, _FOOT = 0.9, 0.12, 0.36  # inches
_INSET = 0.07  # of the bars of colour: numbers at their ends must not meet


class ExactImages(NamedTuple):
    """What is known of a posterior of images, `mean` and `sd` with shape `(c, h, w)`.

    `draws` has shape `(k, c, h, w)`.
    """

    mean: ArrayLike
    sd: ArrayLike
    draws: ArrayLike


class _Panel(NamedTuple):
    """A picture, `(h, w)` or `(h, w, 3)`, with the words above and below it."""

    title: str
    picture: Array
    scale: Scale
    caption: str = ""
    colour: Colour = "black"


def posterior_images(
    model: ArrayLike,
    *,
    truth: ArrayLike,
    observation: ArrayLike,
    exact: ExactImages | None = None,
    title: str,
) -> Figure:
    """One observation of an image task: what was seen, what is exact, what the model says.

    Without an exact posterior its panels and strip are left out and the model gets two strips.
    Samples that are not finite are left out, and the figure says so.

    Args:
        model: samples with shape `(n, c, h, w)`.
        truth: the image behind the observation, with shape `(c, h, w)`.
        observation: y; it is drawn if it has at least two dimensions, the last two height and
            width, and named in the title if it is a number.
        exact: moments and draws of the exact posterior, where it is known.
        title: of the figure.

    Raises:
        UsageError: if the shapes are not those of images or do not agree.
    """
    x, samples = np.asarray(truth, np.float64), np.asarray(model, np.float64)
    known = exact and ExactImages(*(np.asarray(part, np.float64) for part in exact))
    _require_images(x, samples, known)
    y = np.asarray(observation, np.float64)
    if y.ndim == 0:
        title = f"{title}, y = {y:g}"
    finite = samples[np.isfinite(samples).all(axis=(1, 2, 3))]
    if not len(finite):
        return empty(title, "no finite sample to show")
    grey = scale_of(x)
    panels = _top_row(finite, x, y, known, grey)
    per_row = round(1.45 * len(panels))
    if known:
        strips = [
            ("draws of the exact posterior", EXACT, np.asarray(known.draws)[:per_row]),
            ("draws of the model", MODEL, finite[:per_row]),
        ]
    else:
        strips = [("draws of the model", MODEL, finite[: 2 * per_row])]
    note = _note(x, samples, finite, grey)
    with style():
        return _drawn(title, panels, strips, per_row, grey, note)


def _top_row(
    samples: Array, x: Array, y: Array, exact: ExactImages | None, grey: Scale
) -> list[_Panel]:
    """The panels of the first row: y, x, means, deviations, error."""
    mean, sd = samples.mean(axis=0), _deviation(samples.std(axis=0, ddof=min(1, len(samples) - 1)))
    seen = [] if y.ndim < 2 else [_observation(y, x, grey)]
    truth = _Panel("ground truth $x$", picture_of(x), grey)
    model_mean = _Panel("model mean", picture_of(mean), grey, _psnr(mean, x, grey), MODEL)
    if exact is None:
        spread = Scale(0, _positive(sd.max()), DEVIATIONS)
        return [*seen, truth, model_mean, _Panel("model sd", sd, spread, colour=MODEL)]
    exact_mean, exact_sd = np.asarray(exact.mean), _deviation(np.asarray(exact.sd))
    spread = Scale(0, _positive(max(sd.max(), exact_sd.max())), DEVIATIONS)
    error = sd - exact_sd
    # at least a quarter of the deviation: sampling noise must not look like an error
    reach = _positive(max(np.abs(error).max(), exact_sd.max() / 4))
    return [
        *seen,
        truth,
        _Panel("exact mean", picture_of(exact_mean), grey, _psnr(exact_mean, x, grey), EXACT),
        model_mean,
        _Panel("exact sd", exact_sd, spread, colour=EXACT),
        _Panel("model sd", sd, spread, colour=MODEL),
        _Panel("model $-$ exact sd", error, Scale(-reach, reach, ERRORS)),
    ]


def _observation(y: Array, x: Array, grey: Scale) -> _Panel:
    """On the images' scale if y is an image like them and on that scale, else on its own."""
    scale = grey if y.shape == x.shape and scale_of(y) == grey else own_scale(y)
    caption = "" if scale is grey else f"scale {as_text(scale.low)} to {as_text(scale.high)}"
    return _Panel("observation $y$", picture_of(y), scale, caption)


def _note(x: Array, samples: Array, finite: Array, grey: Scale) -> str:
    """What the colours mean and what is left out."""
    low, high = as_text(grey.low), as_text(grey.high)
    channels = len(x)
    shown = f"Images: {low} is black, {high} is white" if channels != 3 else (
        f"Images: each channel from {low} to {high}"
    )  # fmt: skip
    notes = [f"{shown}, values beyond are clipped."]
    notes.append(f"Model: mean and sd of {len(finite)} samples.")
    if channels > 1:
        notes.append("sd: root mean square over channels.")
    if channels not in (1, 3):
        notes.append(f"Images show channel 1 of {channels}.")
    if len(finite) < len(samples):
        notes.append(f"{len(samples) - len(finite)} samples are not finite and left out.")
    return " ".join(notes)


def _drawn(
    title: str,
    panels: Sequence[_Panel],
    strips: Sequence[tuple[str, Colour, Array]],
    per_row: int,
    grey: Scale,
    note: str,
) -> Figure:
    """The page: title, first row, strips, note."""
    inner = len(panels) * _PANEL + (len(panels) - 1) * _GAP
    side = (inner - (per_row - 1) * SMALL_GAP) / per_row
    ratio = ratio_of(panels[-1].picture)
    first_row = LINE + _PANEL * ratio + _FOOT
    heights = [
        LINE + 0.03 + -(-len(draws) // per_row) * (side * ratio + SMALL_GAP) for *_, draws in strips
    ]
    page = Page(inner, first_row + sum(heights) + 0.03, title, note)
    _draw_panels(page, panels, _PANEL * ratio)
    top = page.top + first_row
    for (heading, colour, draws), height in zip(strips, heights, strict=True):
        page.heading(MARGIN, top + LINE - 0.05, heading, colour)
        for index, image in enumerate(draws):
            row, column = divmod(index, per_row)
            left = MARGIN + column * (side + SMALL_GAP)
            box = (left, top + LINE + row * (side * ratio + SMALL_GAP), side, side * ratio)
            draw_picture(page.axes(*box), picture_of(image), grey)
        top += height
    return page.figure


def _draw_panels(page: Page, panels: Sequence[_Panel], height: float) -> None:
    """The first row with its captions; panels on one scale of colour share a bar below them."""
    below = page.top + LINE + height
    bars: dict[Scale, list[tuple[float, AxesImage]]] = {}
    for index, panel in enumerate(panels):
        left = MARGIN + index * (_PANEL + _GAP)
        middle = left + _PANEL / 2
        page.heading(middle, page.top + LINE - 0.05, panel.title, panel.colour, align="center")
        ax = page.axes(left, page.top + LINE, _PANEL, height)
        image = draw_picture(ax, panel.picture, panel.scale)
        if panel.scale.colours == "gray":
            page.caption(middle, below + 0.14, panel.caption)
        else:
            bars.setdefault(panel.scale, []).append((left, image))
    for scale, members in bars.items():
        left, image = members[0]
        left += _INSET
        width = members[-1][0] + _PANEL - _INSET - left
        bar = page.axes(left, below + 0.06, width, 0.06)
        page.figure.colorbar(image, cax=bar, orientation="horizontal")
        bar.xaxis.set_major_locator(MaxNLocator(4 if scale.low == 0 else 2))
        bar.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}".replace("-", "−")))
        bar.tick_params(labelsize=6, length=1.5, width=0.5, pad=1)
        bar.spines["outline"].set_visible(False)


def _deviation(sd: Array) -> Array:
    """The root mean square over channels, with shape `(h, w)`."""
    rms: Array = np.sqrt(np.square(sd).mean(axis=0))
    return rms


def _psnr(estimate: Array, x: Array, grey: Scale) -> str:
    """The peak signal-to-noise ratio of an estimate; the peak is the span of the scale."""
    error = np.square(estimate - x).mean()
    if error == 0:
        return "PSNR $\\infty$"
    return f"PSNR {10 * np.log10((grey.high - grey.low) ** 2 / error):.1f} dB"


def _positive(value: float) -> float:
    return float(value) if value > 0 else 1.0


def _require_images(x: Array, samples: Array, exact: ExactImages | None) -> None:
    shapes = {"truth": x.shape, "model": samples.shape[1:]}
    if exact is not None:
        mean, sd, draws = (np.shape(part) for part in exact)
        shapes |= {"exact mean": mean, "exact sd": sd, "exact draws": draws[1:]}
    if x.ndim != 3 or len(set(shapes.values())) > 1:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UsageError(
            f"images of the shapes {given} were given; all must have one shape "
            "(channels, height, width)"
        )
