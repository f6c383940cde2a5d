"""Posteriors of images: means, deviations and draws side by side, and the film of a flow.

One observation is one figure. Its first row holds the observation, the image behind it, the
posterior's mean and standard deviation at each pixel, exact and of the model, and their error; its
strips hold single draws, which show what moments cannot: whether the model draws sharp images.

Images to be compared share one scale of grey, [0, 1] unless their values are elsewhere, and the
two deviations share another. Over several channels the deviation is their root mean square.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from cwbench.errors import UsageError
from cwbench.reporting.figures.style import DPI, EXACT, MODEL, empty, style

FILM_ROWS, FILM_COLUMNS = 4, 9
DEVIATIONS, ERRORS = "viridis", "RdBu_r"

# inches
_PANEL, _GAP, _SMALL_GAP, _MARGIN = 0.9, 0.12, 0.06, 0.1
_LINE, _FOOT = 0.16, 0.36
_PALE = "0.35"

Array = NDArray[np.float64]
Colour = tuple[float, float, float] | str


class ExactImages(NamedTuple):
    """What is known of a posterior of images, `mean` and `sd` with shape `(c, h, w)`.

    `draws` has shape `(k, c, h, w)`.
    """

    mean: ArrayLike
    sd: ArrayLike
    draws: ArrayLike


class _Scale(NamedTuple):
    """The values at the two ends of a colour map."""

    low: float
    high: float
    colours: str = "gray"


class _Panel(NamedTuple):
    """A picture, `(h, w)` or `(h, w, 3)`, with the words above and below it."""

    title: str
    picture: Array
    scale: _Scale
    caption: str = ""
    colour: Colour = "black"


class _Page:
    """A figure laid out in inches from its upper left corner, with a title and a note."""

    def __init__(self, inner: float, body: float, title: str, note: str) -> None:
        title, note = fill(title, int(15.5 * inner)), fill(note, int(20 * inner))
        self.top = _MARGIN + 0.19 * len(title.split("\n")) + 0.06
        """Where the body begins."""
        below = self.top + body
        self.width = inner + 2 * _MARGIN
        self.height = below + 0.12 * len(note.split("\n")) + _MARGIN
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI)
        self._text(self.width / 2, _MARGIN, title, fontsize=9.5, ha="center", va="top")
        self._text(_MARGIN, below, note, fontsize=6.5, va="top", color=_PALE, linespacing=1.25)

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

    def caption(self, middle: float, baseline: float, text: str) -> None:
        """A line of text below a panel."""
        self._text(middle, baseline, text, fontsize=6.5, ha="center", va="baseline", color=_PALE)

    def _text(self, left: float, top: float, text: str, **looks: Any) -> None:
        self.figure.text(left / self.width, 1 - top / self.height, text, **looks)


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
    grey = _scale(x)
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
    samples: Array, x: Array, y: Array, exact: ExactImages | None, grey: _Scale
) -> list[_Panel]:
    """The panels of the first row: y, x, means, deviations, error."""
    mean, sd = samples.mean(axis=0), _deviation(samples.std(axis=0, ddof=min(1, len(samples) - 1)))
    seen = [] if y.ndim < 2 else [_observation(y, x, grey)]
    truth = _Panel("ground truth $x$", _picture(x), grey)
    model_mean = _Panel("model mean", _picture(mean), grey, _psnr(mean, x, grey), MODEL)
    if exact is None:
        spread = _Scale(0, _positive(sd.max()), DEVIATIONS)
        return [*seen, truth, model_mean, _Panel("model sd", sd, spread, colour=MODEL)]
    exact_mean, exact_sd = np.asarray(exact.mean), _deviation(np.asarray(exact.sd))
    spread = _Scale(0, _positive(max(sd.max(), exact_sd.max())), DEVIATIONS)
    error = sd - exact_sd
    # at least a quarter of the deviation: sampling noise must not look like an error
    reach = _positive(max(np.abs(error).max(), exact_sd.max() / 4))
    return [
        *seen,
        truth,
        _Panel("exact mean", _picture(exact_mean), grey, _psnr(exact_mean, x, grey), EXACT),
        model_mean,
        _Panel("exact sd", exact_sd, spread, colour=EXACT),
        _Panel("model sd", sd, spread, colour=MODEL),
        _Panel("model $-$ exact sd", error, _Scale(-reach, reach, ERRORS)),
    ]


def _observation(y: Array, x: Array, grey: _Scale) -> _Panel:
    """On the images' scale if y is an image like them and on that scale, else on its own."""
    scale = grey if y.shape == x.shape and _scale(y) == grey else _own_scale(y)
    caption = "" if scale is grey else f"{_told(scale.low)} to {_told(scale.high)}"
    return _Panel("observation $y$", _picture(y), scale, caption)


def _note(x: Array, samples: Array, finite: Array, grey: _Scale) -> str:
    """What the colours mean and what is left out."""
    low, high = _told(grey.low), _told(grey.high)
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
    grey: _Scale,
    note: str,
) -> Figure:
    """The page: title, first row, strips, note."""
    inner = len(panels) * _PANEL + (len(panels) - 1) * _GAP
    side = (inner - (per_row - 1) * _SMALL_GAP) / per_row
    ratio = _ratio(panels[-1].picture)
    first_row = _LINE + _PANEL * ratio + _FOOT
    heights = [
        _LINE + 0.03 + -(-len(draws) // per_row) * (side * ratio + _SMALL_GAP)
        for *_, draws in strips
    ]
    page = _Page(inner, first_row + sum(heights) + 0.03, title, note)
    _draw_panels(page, panels, _PANEL * ratio)
    top = page.top + first_row
    for (heading, colour, draws), height in zip(strips, heights, strict=True):
        page.heading(_MARGIN, top + _LINE - 0.05, heading, colour)
        for index, image in enumerate(draws):
            row, column = divmod(index, per_row)
            left = _MARGIN + column * (side + _SMALL_GAP)
            box = (left, top + _LINE + row * (side * ratio + _SMALL_GAP), side, side * ratio)
            _draw(page.axes(*box), _picture(image), grey)
        top += height
    return page.figure


def _draw_panels(page: _Page, panels: Sequence[_Panel], height: float) -> None:
    """The first row with its captions; panels on one scale of colour share a bar below them."""
    below = page.top + _LINE + height
    bars: dict[_Scale, list[tuple[float, AxesImage]]] = {}
    for index, panel in enumerate(panels):
        left = _MARGIN + index * (_PANEL + _GAP)
        middle = left + _PANEL / 2
        page.heading(middle, page.top + _LINE - 0.05, panel.title, panel.colour, align="center")
        ax = page.axes(left, page.top + _LINE, _PANEL, height)
        image = _draw(ax, panel.picture, panel.scale)
        if panel.scale.colours == "gray":
            page.caption(middle, below + 0.14, panel.caption)
        else:
            bars.setdefault(panel.scale, []).append((left, image))
    for scale, members in bars.items():
        left, image = members[0]
        bar = page.axes(left, below + 0.06, members[-1][0] + _PANEL - left, 0.06)
        page.figure.colorbar(image, cax=bar, orientation="horizontal")
        bar.xaxis.set_major_locator(MaxNLocator(4 if scale.low == 0 else 2))
        bar.tick_params(labelsize=6, length=1.5, width=0.5, pad=1)
        bar.spines["outline"].set_visible(False)


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
        return _film(states[frames], frames / max(steps, 1), _scale(x), title)


def _film(states: Array, times: Array, last: _Scale, title: str) -> Figure:
    """Rows of frames with shape `(frames, rows, c, h, w)` at those times."""
    middle, reach = float(states[0].mean()), 2 * float(states[0].std())
    first = _Scale(middle - reach, middle + (reach or 1.0))
    side, ratio = 0.72, _ratio(_picture(states[0, 0]))
    width = max(len(times), 5) * (side + _SMALL_GAP) - _SMALL_GAP
    note = (
        f"Scale of grey: from {_told(first.low)} (black) to {_told(first.high)} (white) at t = 0, "
        f"{_told(last.low)} to {_told(last.high)} at t = 1, linear in t between them; values "
        "beyond are clipped."
    )
    page = _Page(width, _LINE + states.shape[1] * (side * ratio + _SMALL_GAP) + 0.03, title, note)
    for column, (t, frame) in enumerate(zip(times, states, strict=True)):
        left = _MARGIN + column * (side + _SMALL_GAP)
        page.heading(left + side / 2, page.top + _LINE - 0.05, f"$t = {t:.3g}$", align="center")
        ends = ((1 - t) * a + t * b for a, b in zip(first[:2], last[:2], strict=True))
        scale = _Scale(*ends)
        for row, image in enumerate(frame):
            top = page.top + _LINE + row * (side * ratio + _SMALL_GAP)
            _draw(page.axes(left, top, side, side * ratio), _picture(image), scale)
    return page.figure


def _draw(ax: Axes, picture: Array, scale: _Scale) -> AxesImage:
    """A picture without ticks, each pixel a rectangle; far from the box's shape, it fills it."""
    width, height = ax.bbox.width, ax.bbox.height
    stretch = _ratio(picture) / (height / width)
    image = ax.imshow(
        picture if picture.ndim == 2 else _shares(picture, scale),
        cmap=scale.colours, vmin=scale.low, vmax=scale.high,
        interpolation="nearest", aspect="equal" if 0.5 <= stretch <= 2 else "auto",
    )  # fmt: skip
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(linewidth=0.4, color="0.6")
    return image


def _shares(picture: Array, scale: _Scale) -> Array:
    """Colours as shares of the scale in [0, 1]."""
    shares: Array = ((picture - scale.low) / (scale.high - scale.low)).clip(0, 1)
    return shares


def _picture(image: Array) -> Array:
    """What can be drawn of an image: `(h, w)`, or `(h, w, 3)` for three channels."""
    if image.ndim == 2:
        return image
    channels: Array = image.reshape(-1, *image.shape[-2:])
    return channels.transpose(1, 2, 0) if len(channels) == 3 else channels[0]


def _deviation(sd: Array) -> Array:
    """The root mean square over channels, with shape `(h, w)`."""
    rms: Array = np.sqrt(np.square(sd).mean(axis=0))
    return rms


def _scale(images: Array) -> _Scale:
    """[0, 1] if 95 % of the values are within a quarter of it, else the images' own range."""
    near = (images >= -0.25) & (images <= 1.25)
    return _Scale(0.0, 1.0) if near.mean() >= 0.95 else _own_scale(images)


def _own_scale(images: Array) -> _Scale:
    low, high = float(images.min()), float(images.max())
    return _Scale(low, high if high > low else low + 1.0)


def _psnr(estimate: Array, x: Array, grey: _Scale) -> str:
    """The peak signal-to-noise ratio of an estimate; the peak is the span of the scale."""
    error = np.square(estimate - x).mean()
    if error == 0:
        return "PSNR $\\infty$"
    return f"PSNR {10 * np.log10((grey.high - grey.low) ** 2 / error):.1f} dB"


def _positive(value: float) -> float:
    return float(value) if value > 0 else 1.0


def _ratio(picture: Array) -> float:
    """Height over width."""
    return float(picture.shape[0] / picture.shape[1])


def _told(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


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
