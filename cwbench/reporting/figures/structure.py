"""What a posterior of images is made of: its leading directions, and its modes.

One observation is one figure. Its first strip shows the directions in which the exact posterior
varies most, and how exact draws and the model's lie along each; its second the components of a
posterior that is a mixture, each by its mean, with its weight and its share of the model's draws.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

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
from cwbench.reporting.figures.posterior import limits_of, marginal
from cwbench.style import EXACT, MODEL, empty, style, tint

COLUMNS = 8
LEAST_WEIGHT = 0.01
"""Of a component that counts as a mode, and has enough draws for a mean."""
_SIDE, _PLOT, _NUMBERS = 0.86, 0.3, 0.16  # inches
_BINS = 24
_NORMAL = 1.96  # deviations on either side of a 95 % interval

Mask = NDArray[np.bool_]


class Directions(NamedTuple):
    """Orthonormal `directions` `(k, c, h, w)`, by falling exact standard deviations `sd` `(k,)`.

    `exact` `(n, k)` and `model` `(m, k)` are draws along them, from the exact mean on; `share` is
    that of the exact variance that lies along them.
    """

    directions: ArrayLike
    sd: ArrayLike
    exact: ArrayLike
    model: ArrayLike
    share: float


class Modes(NamedTuple):
    """Components of a posterior: exact `weights` `(K,)`, and their `means` `(K, c, h, w)`.

    `shares` `(m, K)` say how much of each of the model's draws belongs to each.
    """

    weights: ArrayLike
    means: ArrayLike
    shares: ArrayLike


class _Column(NamedTuple):
    """A picture or words in its place, what is plotted below it, and two numbers below that."""

    picture: Array | str
    scale: Scale
    plot: Callable[[Axes], None] | None
    exact: str
    model: str


def posterior_structure(
    directions: Directions, modes: Modes | None, *, truth: ArrayLike, title: str
) -> Figure:
    """The leading directions of an exact posterior of images and, where it has some, its modes.

    Draws of the model that are not finite are left out, and the figure says so. The last
    place holds what is left of components: beyond the eighth, and those lighter than 1 %.

    Args:
        directions: at most eight are shown.
        modes: None leaves their strip out.
        truth: the image behind the observation, `(c, h, w)`; it gives the scale of grey.
        title: of the figure.

    Raises:
        UsageError: if shapes are not those of images or do not agree.
    """
    grey = scale_of(np.asarray(truth, np.float64))
    _require_shapes(np.shape(truth), np.shape(directions.directions), modes)
    finite: Mask = np.all(np.isfinite(np.asarray(directions.model, np.float64)), axis=1)
    if not finite.any():
        return empty(title, "no finite sample to show")
    heading = "leading directions of the exact posterior"
    strips = [
        (f"{heading} ({directions.share:.0%} of its variance)", _along(directions, finite)),
    ]
    if modes is not None:
        strips.append(("components of the exact posterior", _weighed(modes, finite, grey)))
    note = _note(finite, grey, modes, len(np.asarray(truth)))
    with style():
        return _drawn(title, strips, ratio_of(np.asarray(truth)[0]), note)


def _along(given: Directions, finite: Mask) -> list[_Column]:
    """The directions, each on its own scale; the sign of the largest entry is positive."""
    exact, model = np.asarray(given.exact), np.asarray(given.model)[finite]
    columns = []
    for index, image in enumerate(np.asarray(given.directions)[:COLUMNS]):
        largest = image.flat[np.abs(image).argmax()]
        sign, reach = np.sign(largest), float(np.abs(largest))
        drawn, wanted = sign * model[:, index], sign * exact[:, index]
        sd = drawn.std(ddof=min(1, len(drawn) - 1))
        columns.append(
            _Column(
                picture_of(sign * image),
                Scale(-reach, reach, "RdBu_r"),
                _histograms(drawn, wanted),
                f"sd {_two_digits(np.asarray(given.sd)[index])}",
                _two_digits(sd),
            )
        )
    return columns


def _two_digits(value: float) -> str:
    return as_text(value) if value >= 10 else f"{value:#.2g}"


def _histograms(model: Array, exact: Array) -> Callable[[Axes], None]:
    limits = limits_of(model, exact)

    def plot(ax: Axes) -> None:
        marginal(ax, model, exact, limits, bins=_BINS)
        ax.set(xlim=limits, yticks=[], xticks=[])
        ax.spines[["top", "right", "left"]].set_visible(False)

    return plot


def _weighed(given: Modes, finite: Mask, grey: Scale) -> list[_Column]:
    """The heaviest components first; those beyond the last column together, by their numbers."""
    weights, shares = np.asarray(given.weights), np.asarray(given.shares)[finite]
    order = np.argsort(-weights, kind="stable")
    heavy = order[weights[order] >= LEAST_WEIGHT]
    named = heavy if len(heavy) == len(order) <= COLUMNS else heavy[: COLUMNS - 1]
    groups = [*named.reshape(-1, 1), *([order[len(named) :]] if len(named) < len(order) else [])]
    ends = (shares[:, own].mean() + _half_interval(shares[:, own]) for own in named)
    longest = 1.05 * float(max(weights[named].max(), *ends))
    columns = []
    for index, own in enumerate(groups):
        weight, share = float(weights[own].sum()), shares[:, own].sum(1)
        numbers = f"{weight:.1%}", f"{share.mean():.1%}"
        if index < len(named):
            picture = picture_of(np.asarray(given.means)[own[0]])
            columns.append(_Column(picture, grey, _bars(weight, share, longest), *numbers))
        else:
            columns.append(_Column(f"{len(own)} other{'s' * (len(own) > 1)}", grey, None, *numbers))
    return columns


def _bars(weight: float, share: Array, longest: float) -> Callable[[Axes], None]:
    """The exact weight over the model's, with a 95 % interval."""

    def plot(ax: Axes) -> None:
        ax.barh([1, 0], [weight, share.mean()], height=0.8, color=[tint(0.4), MODEL], linewidth=0)
        error = _half_interval(share)
        ax.errorbar(share.mean(), 0, xerr=error, color="0.15", linewidth=0.7, capsize=1.5)
        ax.set(xlim=(0, longest), ylim=(-0.6, 1.6), xticks=[], yticks=[])
        ax.spines[["top", "right", "bottom"]].set_visible(False)

    return plot


def _half_interval(share: Array) -> float:
    """Half the 95 % interval of the mean of a share, by draws `(n,)`."""
    return float(_NORMAL * share.std(ddof=min(1, len(share) - 1)) / len(share) ** 0.5)


def _note(finite: Mask, grey: Scale, modes: Modes | None, channels: int) -> str:
    zero = "grey is zero" if channels == 3 else "red and blue are opposite signs"
    notes = [
        f"Directions: {zero}. Below each, the law along it: exact filled, {finite.sum()} draws of "
        "the model as a line, and both standard deviations."
    ]
    if channels not in (1, 3):
        notes.append(f"Pictures show channel 1 of {channels}.")
    if modes is not None:
        notes.append(
            "Components: the mean image of each given y; below it, its exact weight over its share "
            "of the model's draws, by responsibility, with its 95 % interval. "
            f"Images: {as_text(grey.low)} is black, {as_text(grey.high)} is white."
        )
    if not finite.all():
        notes.append(f"{(~finite).sum()} samples are not finite and left out.")
    return " ".join(notes)


def _drawn(
    title: str, strips: Sequence[tuple[str, Sequence[_Column]]], ratio: float, note: str
) -> Figure:
    """The page: title, strips, note."""
    inner = COLUMNS * (_SIDE + SMALL_GAP) - SMALL_GAP
    height = LINE + 0.03 + _SIDE * ratio + SMALL_GAP + _PLOT + _NUMBERS + 0.08
    page = Page(inner, len(strips) * height, title, note)
    for number, (heading, columns) in enumerate(strips):
        top = page.top + number * height
        page.heading(MARGIN, top + LINE - 0.05, heading)
        for index, column in enumerate(columns):
            left = MARGIN + index * (_SIDE + SMALL_GAP)
            _draw_column(page, column, left, top + LINE + 0.03, _SIDE * ratio)
    return page.figure


def _draw_column(page: Page, column: _Column, left: float, top: float, height: float) -> None:
    if isinstance(column.picture, str):
        page.caption(left + _SIDE / 2, top + height / 2, column.picture)
    else:
        draw_picture(page.axes(left, top, _SIDE, height), column.picture, column.scale)
    below = top + height + SMALL_GAP
    if column.plot is not None:
        column.plot(page.axes(left, below, _SIDE, _PLOT))
    baseline = below + _PLOT + 0.12
    page.caption(left + 0.28 * _SIDE, baseline, column.exact, EXACT)
    page.caption(left + 0.76 * _SIDE, baseline, column.model, MODEL)


def _require_shapes(
    shape: tuple[int, ...], directions: tuple[int, ...], modes: Modes | None
) -> None:
    shapes = {"truth": shape, "directions": directions[1:]}
    if modes is not None:
        shapes["means"] = np.shape(modes.means)[1:]
    if len(shape) != 3 or len(set(shapes.values())) > 1:
        given = ", ".join(f"{name} {found}" for name, found in shapes.items())
        raise UsageError(
            f"images of the shapes {given} were given; all must have one shape "
            "(channels, height, width)"
        )
