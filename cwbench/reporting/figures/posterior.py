"""Samples against the exact posterior, and the paths of a flow that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    MaxNLocator,
)
from numpy.typing import ArrayLike, NDArray

from cwbench.errors import UsageError
from cwbench.style import DPI, GREY, MODEL, empty, open_frame, style, tint

MAX_COORDINATES = 6
MAX_POINTS = 2_000
MAX_PATHS = 100
GRID = 128

Array = NDArray[np.float64]


def corner(
    model: ArrayLike,
    exact: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    truth: ArrayLike | None = None,
    title: str,
) -> Figure:
    """Model samples against exact posterior samples of one observation, two coordinates a panel.

    Beyond six coordinates the first six are shown, and the figure says so; rows that are not
    finite are left out, and the legend says so.

    Args:
        model: with shape `(n, *x_shape)`.
        exact: with shape `(k, *x_shape)`; some thousands give smooth regions.
        names: of the coordinates; `x_1`, `x_2`, ... by default.
        truth: the x behind the observation, with shape `x_shape`.
        title: of the figure.

    Raises:
        UsageError: if the shapes do not agree.
    """
    model_points, exact_points = _points(model), _points(exact)
    _require_same_width(model_points, exact_points)
    d = exact_points.shape[1]
    shown = min(d, MAX_COORDINATES)
    labels = _names(names, d)[:shown]
    dropped = len(model_points)
    model_points, exact_points = _finite(model_points), _finite(exact_points)
    dropped -= len(model_points)
    if not (len(model_points) and len(exact_points)):
        return empty(title, "no finite sample to show")
    mark: list[float] | None = None
    if truth is not None:
        mark = np.asarray(truth, dtype=np.float64).ravel().tolist()
    with style():
        size = 2.6 if shown == 1 else 1.55 * shown
        figure = Figure(figsize=(size + 0.7, size + 0.5), dpi=DPI, layout="constrained")
        figure.suptitle(title)
        grid = figure.add_gridspec(shown, shown)
        limits = [limits_of(model_points[:, i], exact_points[:, i]) for i in range(shown)]
        for column, row in combinations_with_replacement(range(shown), 2):
            ax = figure.add_subplot(grid[row, column])
            ax.set_xlim(limits[column])
            if row == column:
                marginal(ax, model_points[:, row], exact_points[:, row], limits[row])
            else:
                pair = [column, row]
                _joint(ax, model_points[:, pair], exact_points[:, pair])
                ax.set_ylim(limits[row])
            if mark is not None:
                _truth(ax, mark[column], mark[row] if row > column else None)
            _corner_ticks(ax, row, column, labels, last=shown - 1)
        note = f"first {shown} of {d} coordinates" if d > shown else None
        owner = figure if shown == 1 else figure.add_subplot(grid[0, -1])
        _corner_legend(owner, dropped, truth=mark is not None, note=note)
    return figure


def marginal(
    ax: Axes, model: Array, exact: Array, limits: tuple[float, float], bins: int = 40
) -> None:
    """Densities of one coordinate as histograms on common bins: nothing is smoothed away."""
    edges = np.linspace(*limits, bins + 1).tolist()
    ax.hist(exact, edges, density=True, color=tint(0.4), histtype="stepfilled", linewidth=0)
    ax.hist(model, edges, density=True, color=MODEL, histtype="step", linewidth=1.3)
    ax.set_ylim(bottom=0)


def _joint(ax: Axes, model: Array, exact: Array) -> None:
    """Model points over the regions that hold half and 95 % of the exact posterior."""
    _regions(ax, exact)
    points = model[:MAX_POINTS]
    size = float(np.clip(1500 / len(points), 1.8, 9))
    ax.scatter(
        points[:, 0],
        points[:, 1],
        s=size,
        color=MODEL,
        alpha=0.5,
        linewidths=0,
        zorder=2,
        rasterized=True,
    )


def _regions(ax: Axes, exact: Array) -> None:
    """Filled regions of highest density with 50 and 95 % of the mass; points if degenerate."""
    spread = exact.std(axis=0)
    if len(exact) < 20 or (spread <= 1e-9 * np.abs(exact).max(axis=0)).any():
        ax.scatter(exact[:, 0], exact[:, 1], s=9, color=tint(0.5), linewidths=0, zorder=1)
        return
    from scipy.ndimage import gaussian_filter  # slow to import; few figures need it

    # 0.4 of the normal rule: posteriors of several modes must not be smoothed into one
    bandwidth = 0.4 * len(exact) ** (-1 / 6) * spread
    low, high = exact.min(axis=0) - 4 * bandwidth, exact.max(axis=0) + 4 * bandwidth
    counts, x, y = np.histogram2d(
        exact[:, 0], exact[:, 1], bins=GRID, range=np.stack([low, high], axis=1)
    )
    density = gaussian_filter(counts, bandwidth / (high - low) * GRID)
    levels = _mass_levels(density, (0.95, 0.5))
    centres = ((edges[1:] + edges[:-1]) / 2 for edges in (x, y))
    ax.contourf(*centres, density.T, [*levels, np.inf], colors=[tint(0.25), tint(0.5)], zorder=1)


def _mass_levels(density: Array, masses: Sequence[float]) -> list[float]:
    """Densities above which the given shares of the mass lie, strictly increasing."""
    ordered = np.sort(density.ravel())[::-1]
    share = ordered.cumsum() / ordered.sum()
    levels = [float(ordered[np.searchsorted(share, mass)]) for mass in masses]
    return [level * (1 + 1e-9 * i) for i, level in enumerate(levels)]


def _truth(ax: Axes, x: float, y: float | None) -> None:
    ax.axvline(x, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)
    if y is not None:
        ax.axhline(y, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)


def _corner_ticks(ax: Axes, row: int, column: int, labels: Sequence[str], *, last: int) -> None:
    """Labels on the outer panels only, three ticks at most, no box."""
    open_frame(ax, left=row != column)
    ax.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    ax.tick_params(labelbottom=row == last, labelleft=column == 0 and row > 0)
    if row == column:
        ax.set_yticks([])
    else:
        ax.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    if row == last:
        ax.set_xlabel(labels[column])
    if column == 0 and row > 0:
        ax.set_ylabel(labels[row])


def _corner_legend(owner: Figure | Axes, dropped: int, *, truth: bool, note: str | None) -> None:
    """Below a single panel, else in the empty corner."""
    model = "model" + (f" ({dropped} not finite, not shown)" if dropped else "")
    handles: list[Any] = [
        Patch(color=tint(0.4), linewidth=0, label="exact posterior"),
        Line2D([], [], color=MODEL, marker="o", markersize=3.5, label=model),
    ]
    if truth:
        handles.append(Line2D([], [], color="black", linestyle="--", label="true x"))
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles)}
    if isinstance(owner, Axes):
        owner.set_axis_off()
        where = {"loc": "upper right", "bbox_to_anchor": (1, 1)}
    legend = owner.legend(handles=handles, frameon=False, title=note, **where)
    legend.set_in_layout(not isinstance(owner, Axes))


def flow_paths(paths: ArrayLike, exact: ArrayLike, *, title: str) -> Figure:
    """Paths of a flow from latents (grey) to samples (vermilion) over the exact posterior (blue).

    Two coordinates are shown as they are, more are projected on the two leading principal
    directions of the exact posterior, and one is drawn against time.

    Args:
        paths: with shape `(steps + 1, n, *x_shape)`, from latent to sample.
        exact: exact posterior samples with shape `(k, *x_shape)`.
        title: of the figure.

    Raises:
        UsageError: if the shapes do not agree.
    """
    lines = np.asarray(paths, dtype=np.float64)
    lines = lines.reshape(*lines.shape[:2], -1)
    exact_points = _points(exact)
    _require_same_width(lines[0], exact_points)
    exact_points = _finite(exact_points)
    lines = lines[:, np.isfinite(lines).all(axis=(0, 2))]
    if not (lines.shape[1] and len(exact_points)):
        return empty(title, "no finite path to show")
    lines, exact_points, labels = _plane(lines, exact_points)
    with style():
        figure = Figure(figsize=(4.6, 4.6), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        if labels[0] == "t":
            _marginal_strip(ax, exact_points[:, 1])
        else:
            _regions(ax, exact_points)
            ax.set_aspect("equal", adjustable="datalim")
        drawn = lines[:, :MAX_PATHS]
        _draw_paths(ax, drawn)
        ax.set(xlabel=labels[0], ylabel=labels[1])
        figure.suptitle(title)
        if labels[0] == "t":
            ax.set_xticks([0, 0.5, 1])
        else:
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        open_frame(ax)
        shown, n = drawn.shape[1], lines.shape[1]
        paths_label = "path, sample" + (f" ({shown} of {n})" if shown < n else "")
        handles = [
            Patch(color=tint(0.4), linewidth=0, label="exact posterior"),
            Line2D([], [], color=GREY, marker="o", markersize=3, linestyle="", label="latent"),
            Line2D([], [], color=MODEL, marker="o", markersize=3.5, label=paths_label),
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=3, frameon=False,
            columnspacing=1.2, handlelength=1.5,
        )  # fmt: skip
    return figure


def _plane(lines: Array, exact: Array) -> tuple[Array, Array, tuple[str, str]]:
    """The two axes to draw: time and x, the two coordinates, or two principal directions."""
    if exact.shape[1] == 1:
        time = np.broadcast_to(np.linspace(0, 1, len(lines))[:, None, None], lines.shape)
        end = np.concatenate([np.ones_like(exact), exact], axis=1)
        return np.concatenate([time, lines], axis=2), end, ("t", "x")
    if exact.shape[1] == 2:
        return lines, exact, ("$x_1$", "$x_2$")
    centre = exact.mean(axis=0)
    _, singular, directions = np.linalg.svd(exact - centre, full_matrices=False)
    if len(singular) < 2:  # a single exact sample has no directions: fall back to coordinates
        return lines[..., :2], exact[:, :2], ("$x_1$", "$x_2$")
    share = singular**2 / max(float((singular**2).sum()), np.finfo(float).tiny)
    first, second = (
        f"principal direction {i + 1} ({share[i]:.0%} of the exact variance)" for i in range(2)
    )
    basis = directions[:2].T
    return (lines - centre) @ basis, (exact - centre) @ basis, (first, second)


def _marginal_strip(ax: Axes, exact: Array) -> None:
    """The density of the one coordinate, standing on t = 1 and growing to the right."""
    density, edges = np.histogram(exact, bins=40, density=True)
    width = 0.25 * density / density.max()
    ax.stairs(1 + width, edges, baseline=1, orientation="horizontal", fill=True,
              color=tint(0.4))  # fmt: skip
    ax.set_xlim(-0.05, 1.3)


def _draw_paths(ax: Axes, lines: Array) -> None:
    """Each path as segments whose colour runs from grey (latent) to vermilion (sample)."""
    steps, n = len(lines) - 1, lines.shape[1]
    if steps > 0:
        segments = np.stack([lines[:-1], lines[1:]], axis=2).reshape(steps * n, 2, 2)
        share = np.linspace(0, 1, steps)[:, None]
        colours = (1 - share) * np.array(GREY) + share * np.array(to_rgb(MODEL))
        ax.add_collection(
            LineCollection(
                list(segments), colors=np.repeat(colours, n, axis=0), linewidths=0.6, alpha=0.5,
                zorder=2,
            )
        )  # fmt: skip
    ax.scatter(lines[0, :, 0], lines[0, :, 1], s=5, color=GREY, linewidths=0, zorder=3)
    ax.scatter(
        lines[-1, :, 0],
        lines[-1, :, 1],
        s=9,
        color=MODEL,
        edgecolors="white",
        linewidths=0.3,
        zorder=4,
    )
    ax.autoscale_view()


def _points(samples: ArrayLike) -> Array:
    array = np.asarray(samples, dtype=np.float64)
    return array.reshape(len(array), -1) if array.size else array.reshape(0, 1)


def _finite(points: Array) -> Array:
    return points[np.isfinite(points).all(axis=1)]


def _require_same_width(model: Array, exact: Array) -> None:
    if model.shape[-1] != exact.shape[-1]:
        raise UsageError(
            f"the model's samples have {model.shape[-1]} coordinates, the exact posterior's "
            f"{exact.shape[-1]}; both must come from one task."
        )


def _names(names: Sequence[str] | None, d: int) -> Sequence[str]:
    names = [f"$x_{{{i + 1}}}$" for i in range(d)] if names is None else names
    if len(names) < min(d, MAX_COORDINATES):
        raise UsageError(f"{len(names)} names were given for {d} coordinates; give one for each.")
    return names


def limits_of(model: Array, exact: Array) -> tuple[float, float]:
    """A range that holds all exact samples and all but the model's farthest 1 %, with a margin."""
    low = min(exact.min(), np.quantile(model, 0.005))
    high = max(exact.max(), np.quantile(model, 0.995))
    margin = 0.07 * (high - low) or 0.5 * max(abs(high), 1.0)
    return float(low - margin), float(high + margin)
