"""A page of pictures laid out in inches, and the scales on which images are drawn.

matplotlib's own layouts move panels about to make room for words; here pictures keep their size and
stand on a grid, whatever is written around them.
"""

from __future__ import annotations

from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from cwbench.style import DPI

MARGIN, SMALL_GAP, LINE = 0.1, 0.06, 0.16
"""Inches around the page, between small pictures, for a heading."""
_PALE = "0.35"

Array = NDArray[np.float64]
Colour = tuple[float, float, float] | str


class Scale(NamedTuple):
    """The values at the two ends of a colour map."""

    low: float
    high: float
    colours: str = "gray"


class Page:
    """A figure laid out in inches from its upper left corner, with a title and a note."""

    def __init__(self, inner: float, body: float, title: str, note: str) -> None:
        title, note = fill(title, int(15.5 * inner)), fill(note, int(20 * inner))
        self.top = MARGIN + 0.19 * len(title.split("\n")) + 0.06
        """Where the body begins."""
        below = self.top + body
        self.width = inner + 2 * MARGIN
        self.height = below + 0.12 * len(note.split("\n")) + MARGIN
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI)
        self._text(self.width / 2, MARGIN, title, fontsize=9.5, ha="center", va="top")
        self._text(MARGIN, below, note, fontsize=6.5, va="top", color=_PALE, linespacing=1.25)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes in that box."""
        bottom = self.height - top - height
        box = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def heading(
        self, left: float, baseline: float, text: str, colour: Colour = "black", align: str = "left"
    ) -> None:
        """A line of text above a panel."""
        self._text(left, baseline, text, fontsize=7.5, ha=align, va="baseline", color=colour)

    def caption(self, middle: float, baseline: float, text: str, colour: Colour = _PALE) -> None:
        """A line of text below a panel."""
        self._text(middle, baseline, text, fontsize=6.5, ha="center", va="baseline", color=colour)

    def _text(self, left: float, top: float, text: str, **looks: Any) -> None:
        self.figure.text(left / self.width, 1 - top / self.height, text, **looks)


def draw_picture(ax: Axes, picture: Array, scale: Scale) -> AxesImage:
    """A picture without ticks, each pixel a rectangle; far from the box's shape, it fills it."""
    width, height = ax.bbox.width, ax.bbox.height
    stretch = ratio_of(picture) / (height / width)
    image = ax.imshow(
        picture if picture.ndim == 2 else _shares(picture, scale),
        cmap=scale.colours, vmin=scale.low, vmax=scale.high,
        interpolation="nearest", aspect="equal" if 0.5 <= stretch <= 2 else "auto",
    )  # fmt: skip
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(linewidth=0.4, color="0.6")
    return image


def _shares(picture: Array, scale: Scale) -> Array:
    """Colours as shares of the scale in [0, 1]."""
    shares: Array = ((picture - scale.low) / (scale.high - scale.low)).clip(0, 1)
    return shares


def picture_of(image: Array) -> Array:
    """What can be drawn of an image: `(h, w)`, or `(h, w, 3)` for three channels."""
    if image.ndim == 2:
        return image
    channels: Array = image.reshape(-1, *image.shape[-2:])
    return channels.transpose(1, 2, 0) if len(channels) == 3 else channels[0]


def scale_of(images: Array) -> Scale:
    """[0, 1] if 95 % of the values are within a quarter of it, else the images' own range."""
    near = (images >= -0.25) & (images <= 1.25)
    return Scale(0.0, 1.0) if near.mean() >= 0.95 else own_scale(images)


def own_scale(images: Array) -> Scale:
    """From the least to the greatest value."""
    low, high = float(images.min()), float(images.max())
    return Scale(low, high if high > low else low + 1.0)


def ratio_of(picture: Array) -> float:
    """Height over width."""
    return float(picture.shape[0] / picture.shape[1])


def as_text(value: float) -> str:
    """A number in words of the figure, with a true minus."""
    text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
    return text.replace("-", "−")
