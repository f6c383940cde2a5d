"""Figures: samples against the exact posterior, paths of a flow, a metric against its cost.

Pure functions from arrays to a `matplotlib.figure.Figure`; the caller saves it. No figure
is registered with pyplot and settings are restored, so they work without a display. One code of
colours throughout: the exact posterior is blue and filled, the model is vermilion and drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from cwbench.errors import UsageError

DPI = 160
MAX_COORDINATES = 6
MAX_POINTS = 2_000
MAX_PATHS = 100
FLOOR = "sampling floor (plug-in\nof two exact draws)"
GRID = 128

PALETTE = sns.color_palette("colorblind")
EXACT, MODEL = PALETTE[0], PALETTE[3]
GREY = (0.55, 0.55, 0.55)
MARKERS = "osD^vPX<>*"
SMALL_TICKS = {
    "axes.linewidth": 0.8, "xtick.major.size": 3, "ytick.major.size": 3,
    "xtick.major.width": 0.8, "ytick.major.width": 0.8,
}  # fmt: skip

Array = NDArray[np.float64]


# ------------------------------------------------------------------ samples against the posterior
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
        return _empty(title, "no finite sample to show")
    mark: list[float] | None = None
    if truth is not None:
        mark = np.asarray(truth, dtype=np.float64).ravel().tolist()
    with _style():
        size = 2.6 if shown == 1 else 1.55 * shown
        figure = Figure(figsize=(size + 0.7, size + 0.5), dpi=DPI, layout="constrained")
        figure.suptitle(title)
        grid = figure.subplots(shown, shown, squeeze=False, sharex="col")
        axes: list[list[Axes]] = grid.tolist()
        limits = [_limits(model_points[:, i], exact_points[:, i]) for i in range(shown)]
        for row, column in np.ndindex(shown, shown):
            ax = axes[row][column]
            if row < column:
                ax.set_axis_off()
                continue
            ax.set_xlim(limits[column])
            if row == column:
                _marginal(ax, model_points[:, row], exact_points[:, row], limits[row])
            else:
                pair = [column, row]
                _joint(ax, model_points[:, pair], exact_points[:, pair])
                ax.set_ylim(limits[row])
            if mark is not None:
                _truth(ax, mark[column], mark[row] if row > column else None)
            _corner_ticks(ax, row, column, labels, last=shown - 1)
        note = f"first {shown} of {d} coordinates" if d > shown else None
        _corner_legend(figure, axes, shown, dropped, truth=mark is not None, note=note)
    return figure


def _marginal(ax: Axes, model: Array, exact: Array, limits: tuple[float, float]) -> None:
    """Densities of one coordinate as histograms on common bins: nothing is smoothed away."""
    edges = np.linspace(*limits, 41).tolist()
    ax.hist(exact, edges, density=True, color=_tint(0.4), linewidth=0)
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
        ax.scatter(exact[:, 0], exact[:, 1], s=9, color=_tint(0.5), linewidths=0, zorder=1)
        return
    # 0.4 of the normal rule: posteriors of several modes must not be smoothed into one
    bandwidth = 0.4 * len(exact) ** (-1 / 6) * spread
    low, high = exact.min(axis=0) - 4 * bandwidth, exact.max(axis=0) + 4 * bandwidth
    counts, x, y = np.histogram2d(
        exact[:, 0], exact[:, 1], bins=GRID, range=np.stack([low, high], axis=1)
    )
    density = gaussian_filter(counts, bandwidth / (high - low) * GRID)
    levels = _mass_levels(density, (0.95, 0.5))
    centres = ((edges[1:] + edges[:-1]) / 2 for edges in (x, y))
    ax.contourf(*centres, density.T, [*levels, np.inf], colors=[_tint(0.25), _tint(0.5)], zorder=1)


def _mass_levels(density: Array, masses: Sequence[float]) -> list[float]:
    """Densities above which the given shares of the mass lie, strictly increasing."""
    ordered = np.sort(density.ravel())[::-1]
    share = ordered.cumsum() / ordered.sum()
    levels = [float(ordered[np.searchsorted(share, mass)]) for mass in masses]
    return [level * (1 + 1e-9 * i) for i, level in enumerate(levels)]


def _tint(strength: float) -> tuple[float, float, float]:
    """The exact posterior's blue, mixed with white."""
    red, green, blue = (1 - strength * (1 - channel) for channel in EXACT)
    return red, green, blue


def _truth(ax: Axes, x: float, y: float | None) -> None:
    ax.axvline(x, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)
    if y is not None:
        ax.axhline(y, color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)


def _corner_ticks(ax: Axes, row: int, column: int, labels: Sequence[str], *, last: int) -> None:
    """Labels on the outer panels only, three ticks at most, no box."""
    sns.despine(ax=ax, left=row == column)
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


def _corner_legend(
    figure: Figure,
    axes: list[list[Axes]],
    shown: int,
    dropped: int,
    *,
    truth: bool,
    note: str | None,
) -> None:
    model = "model" + (f" ({dropped} not finite, not shown)" if dropped else "")
    handles: list[Any] = [
        Patch(color=_tint(0.4), linewidth=0, label="exact posterior"),
        Line2D([], [], color=MODEL, marker="o", markersize=3.5, label=model),
    ]
    if truth:
        handles.append(Line2D([], [], color="black", linestyle="--", label="true x"))
    where: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles)}
    if shown > 1:
        where = {"loc": "upper right", "bbox_to_anchor": (1, 1)}
    legend_owner = figure if shown == 1 else axes[0][-1]
    legend = legend_owner.legend(handles=handles, frameon=False, title=note, **where)
    legend.set_in_layout(shown == 1)


# ------------------------------------------------------------------------------- paths of a flow
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
        return _empty(title, "no finite path to show")
    lines, exact_points, labels = _plane(lines, exact_points)
    with _style():
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
        sns.despine(ax=ax)
        shown, n = drawn.shape[1], lines.shape[1]
        paths_label = "path, sample" + (f" ({shown} of {n})" if shown < n else "")
        handles = [
            Patch(color=_tint(0.4), linewidth=0, label="exact posterior"),
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
              color=_tint(0.4))  # fmt: skip
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


# ----------------------------------------------------------------------- a metric against its cost
class _Scale(NamedTuple):
    """How values are laid out on the vertical axis."""

    kind: str
    settings: dict[str, float]
    note: str


def metric_against_nfe(
    table: pd.DataFrame, *, metric: str, title: str, main_nfe: int | str | None = "adaptive"
) -> Figure:
    """A metric of several methods against the number of network evaluations (NFE).

    Samplers without NFE stand on their own tick with a dotted line across, `adaptive` stands last,
    a value that is absent is named in the legend. The axis is logarithmic, or logarithmic outside
    a linear band around 0, where the values span more than a factor of ten.

    Args:
        table: columns `method`, `nfe` (int, `"adaptive"` or missing), `value`, `low`, `high`,
            `floor`; a row for each method and NFE.
        metric: its name, for the axis.
        title: of the figure.
        main_nfe: the NFE at which methods are ranked; it is shaded.

    Raises:
        UsageError: if a column is missing or a method has two rows at one NFE.
    """
    rows = _tidy(table)
    if not np.isfinite(rows["value"]).any():
        return _empty(
            title, f"no value of {metric}:\nevery run diverged, was skipped or is missing"
        )
    ticks = _ticks(rows["nfe"])
    methods = list(dict.fromkeys(rows["method"]))
    with _style():
        figure = Figure(figsize=(6.4, 3.9), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        scale = _scale(rows)
        ax.set_yscale(scale.kind, **scale.settings)
        _value_ticks(ax, scale, rows)
        if _label(main_nfe) in ticks:
            centre = ticks[_label(main_nfe)]
            ax.axvspan(centre - 0.3, centre + 0.3, color="0.93", linewidth=0, zorder=0)
        for index, method in enumerate(methods):
            _curve(ax, rows[rows["method"] == method], ticks, index, len(methods))
        _floor(ax, rows)
        names = [name + "\n(ranked)" * (name == _label(main_nfe)) for name in ticks]
        ax.set_xticks(list(ticks.values()), names)
        room = 0.45 if len(ticks) > 1 else 1.5
        ax.set_xlim(min(ticks.values()) - room, max(ticks.values()) + room)
        ax.set(xlabel="NFE (network evaluations per sample)", ylabel=metric + scale.note)
        if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
            ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        ax.grid(axis="y", color="0.92", linewidth=0.6)
        sns.despine(ax=ax)
        ax.set_title(title)
        handles, labels = ax.get_legend_handles_labels()
        order = sorted(range(len(labels)), key=lambda i: labels[i] == FLOOR)
        ax.legend(
            [handles[i] for i in order], [labels[i] for i in order],
            loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False,
        )  # fmt: skip
    return figure


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """The needed columns with numbers as floats and NFE as tick labels."""
    needed = ["method", "nfe", "value", "low", "high", "floor"]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise UsageError(
            f"the table lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}. "
            f"Give one with the columns {', '.join(needed)}."
        )
    rows = table[needed].copy()
    numbers = ["value", "low", "high", "floor"]
    rows[numbers] = rows[numbers].astype(object).apply(pd.to_numeric, errors="coerce")
    rows[numbers] = rows[numbers].astype(float)
    rows["nfe"] = [_label(nfe) for nfe in rows["nfe"].astype(object)]
    twice = rows[rows.duplicated(["method", "nfe"])]
    if len(twice):
        raise UsageError(
            f"method {twice['method'].iloc[0]!r} has more than one row at NFE "
            f"{twice['nfe'].iloc[0]}; give one row for each method and NFE (average the seeds)."
        )
    return rows


def _label(nfe: object) -> str:
    """The tick of an NFE: its number, `adaptive`, or `one shot` where there is none."""
    if isinstance(nfe, str) and not nfe.isdigit():
        return nfe
    number = pd.to_numeric(nfe, errors="coerce")  # type: ignore[call-overload]
    return "one shot" if pd.isna(number) else str(int(number))


def _ticks(labels: pd.Series[str]) -> dict[str, float]:
    """Positions: one shot, then log2 of the numbers kept at least one apart, then the rest."""
    unique = set(labels)
    numbers = sorted(int(label) for label in unique if label.isdigit())
    others = sorted(label for label in unique if not label.isdigit() and label != "one shot")
    ticks: dict[str, float] = {"one shot": -1.0} if "one shot" in unique else {}
    position, previous = 0.0, None
    for number in numbers:
        if previous is not None:
            position += max(1.0, float(np.log2(number / previous)))
        ticks[str(number)], previous = position, number
    for other in others:
        position += 1.0 if numbers else 0.0
        ticks[other] = position
    return ticks


def _scale(rows: pd.DataFrame) -> _Scale:
    """Linear unless values span more than a factor of ten, else logarithmic.

    Where an interval reaches below 0, a band around 0 that holds all that is negative is linear.
    """
    values = rows[["value", "low", "high", "floor"]].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    smallest, largest = float(values.min()), float(np.abs(values).max())
    if smallest > 0:
        return _Scale("log" if largest > 10 * smallest else "linear", {}, "")
    band = _round_up(max(-smallest, largest / 1e4)) if largest > 0 else 1.0
    if largest <= 10 * band:
        return _Scale("linear", {}, "")
    note = f"\n(linear below {band:g}, logarithmic above)"
    return _Scale("symlog", {"linthresh": band, "linscale": 0.7}, note)


def _round_up(value: float) -> float:
    """The least of 1, 2, 5 times a power of ten that is not below `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next((k * power for k in (1, 2, 5) if k * power >= value), 10 * power))


def _value_ticks(ax: Axes, scale: _Scale, rows: pd.DataFrame) -> None:
    """Plain numbers; 1, 2 and 5 of each decade where there are few; 0 and the band's edges."""
    if scale.kind == "linear":
        return
    bounds = rows[["value", "low", "high", "floor"]].to_numpy(dtype=np.float64)
    highest = float(np.nanmax(bounds))
    if scale.kind == "log":
        decades = np.log10(highest / float(np.nanmin(bounds)))
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    else:
        band = scale.settings["linthresh"]
        exponents = np.arange(np.ceil(np.log10(1.9 * band)), np.floor(np.log10(highest)) + 1)
        ax.yaxis.set_major_locator(FixedLocator([-band, 0, band, *10.0**exponents]))
        ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _curve(ax: Axes, rows: pd.DataFrame, ticks: dict[str, float], index: int, count: int) -> None:
    """One method: a line through its NFEs with intervals, shifted a little against the others."""
    colour = PALETTE[index % len(PALETTE)]
    rows = rows.assign(tick=rows["nfe"].map(ticks)).sort_values("tick")
    present = rows[np.isfinite(rows["value"])]
    absent = list(rows.loc[~np.isfinite(rows["value"]), "nfe"])
    name = str(rows["method"].iloc[0])
    label = name if not absent else f"{name}\n(no value at NFE {', '.join(absent)})"
    shift = 0.0 if count == 1 else 0.26 * (index / (count - 1) - 0.5)
    values = present["value"].to_numpy()
    below = np.nan_to_num(values - present["low"].to_numpy()).clip(min=0)
    above = np.nan_to_num(present["high"].to_numpy() - values).clip(min=0)
    at = present["tick"].to_numpy() + shift
    one_shot = (present["nfe"] == "one shot").to_numpy()
    for value in values[one_shot]:
        ax.axhline(value, color=colour, linewidth=0.8, linestyle=":", zorder=1)
    style: dict[str, Any] = {
        "color": colour, "marker": MARKERS[index % len(MARKERS)], "markersize": 4.5,
        "elinewidth": 1.0, "capsize": 2.0, "zorder": 3,
    }  # fmt: skip
    flow = ~one_shot
    solid = "-" if index < len(PALETTE) else "--"
    ax.errorbar(at[flow], values[flow], (below[flow], above[flow]), linewidth=1.3, linestyle=solid,
                label=label if flow.any() or not one_shot.any() else None, **style)  # fmt: skip
    if one_shot.any():
        ax.errorbar(at[one_shot], values[one_shot], (below[one_shot], above[one_shot]),
                    linestyle="", label=None if flow.any() else label, **style)  # fmt: skip


def _floor(ax: Axes, rows: pd.DataFrame) -> None:
    floors = rows["floor"][np.isfinite(rows["floor"])]
    if len(floors):
        ax.axhline(float(floors.median()), color="0.25", linewidth=1.0, linestyle=(0, (5, 3)),
                   zorder=1, label=FLOOR)  # fmt: skip


# ------------------------------------------------------------------------------------------ shared
@contextmanager
def _style() -> Iterator[None]:
    """The look of all figures, undone on leaving."""
    with sns.axes_style("ticks", SMALL_TICKS), sns.plotting_context("paper", rc=SMALL_TICKS):
        yield


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


def _limits(model: Array, exact: Array) -> tuple[float, float]:
    """A range that holds all exact samples and all but the model's farthest 1 %, with a margin."""
    low = min(exact.min(), np.quantile(model, 0.005))
    high = max(exact.max(), np.quantile(model, 0.995))
    margin = 0.07 * (high - low) or 0.5 * max(abs(high), 1.0)
    return float(low - margin), float(high + margin)


def _empty(title: str, message: str) -> Figure:
    """A panel that says why there is nothing in it."""
    with _style():
        figure = Figure(figsize=(4.6, 3.0), dpi=DPI, layout="constrained")
        figure.suptitle(title)
        ax = figure.subplots()
        ax.set_axis_off()
        ax.text(0.5, 0.5, message, ha="center", va="center", transform=ax.transAxes, color="0.35")
    return figure
