"""A metric against its cost: network evaluations per sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    NullFormatter,
    NullLocator,
)

from cwbench.errors import UsageError
from cwbench.style import DPI, PALETTE, empty, open_frame, style

FLOOR = "sampling floor (plug-in\nof two exact draws)"
MARKERS = "osD^vPX<>*"


class _Scale(NamedTuple):
    """How values are laid out on the vertical axis."""

    kind: str
    settings: dict[str, float]
    note: str


def metric_against_nfe(
    table: pd.DataFrame,
    *,
    metric: str,
    title: str,
    main_nfe: int | str | None = "adaptive",
    looks: Mapping[str, int] | None = None,
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
        looks: for each method the number of its colour and marker, so that several figures agree;
            default its place in the table.

    Raises:
        UsageError: if a column is missing or a method has two rows at one NFE.
    """
    rows = _tidy(table)
    if not np.isfinite(rows["value"]).any():
        return empty(title, f"no value of {metric}:\nevery run diverged, was skipped or is missing")
    ticks = _ticks(rows["nfe"])
    methods = list(dict.fromkeys(rows["method"]))
    with style():
        figure = Figure(figsize=(6.4, 3.9), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        scale = _scale(rows)
        ax.set_yscale(scale.kind, **scale.settings)
        _value_ticks(ax, scale, rows)
        if _label(main_nfe) in ticks:
            centre = ticks[_label(main_nfe)]
            ax.axvspan(centre - 0.3, centre + 0.3, color="0.93", linewidth=0, zorder=0)
        for index, method in enumerate(methods):
            shift = 0.0 if len(methods) == 1 else 0.26 * (index / (len(methods) - 1) - 0.5)
            look = index if looks is None else looks[method]
            _curve(ax, rows[rows["method"] == method], ticks, shift, look)
        _floor(ax, rows)
        narrow = [name.replace(" ", "\n") for name in ticks]  # "one shot", beside the tick of 1
        names = [
            name + "\n(ranked)" * (tick == _label(main_nfe))
            for name, tick in zip(narrow, ticks, strict=True)
        ]
        ax.set_xticks(list(ticks.values()), names)
        room = 0.45 if len(ticks) > 1 else 1.5
        ax.set_xlim(min(ticks.values()) - room, max(ticks.values()) + room)
        ax.set(xlabel="NFE (network evaluations per sample)", ylabel=metric + scale.note)
        if ax.get_ylim()[0] < 0 < ax.get_ylim()[1]:
            ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        ax.grid(axis="y", color="0.92", linewidth=0.6)
        open_frame(ax)
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
        position += max(1.0, position / 5) if numbers else 0.0  # the words are wide
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


def _curve(ax: Axes, rows: pd.DataFrame, ticks: dict[str, float], shift: float, look: int) -> None:
    """One method: a line through its NFEs with intervals, shifted a little against the others."""
    colour = PALETTE[look % len(PALETTE)]
    rows = rows.assign(tick=rows["nfe"].map(ticks)).sort_values("tick")
    present = rows[np.isfinite(rows["value"])]
    absent = list(rows.loc[~np.isfinite(rows["value"]), "nfe"])
    name = str(rows["method"].iloc[0])
    label = name if not absent else f"{name}\n(no value at NFE {', '.join(absent)})"
    values = present["value"].to_numpy()
    below = np.nan_to_num(values - present["low"].to_numpy()).clip(min=0)
    above = np.nan_to_num(present["high"].to_numpy() - values).clip(min=0)
    at = present["tick"].to_numpy() + shift
    one_shot = (present["nfe"] == "one shot").to_numpy()
    for value in values[one_shot]:
        ax.axhline(value, color=colour, linewidth=0.8, linestyle=":", zorder=1)
    style: dict[str, Any] = {
        "color": colour, "marker": MARKERS[look % len(MARKERS)], "markersize": 4.5,
        "elinewidth": 1.0, "capsize": 2.0, "zorder": 3,
    }  # fmt: skip
    flow = ~one_shot
    solid = "-" if look < len(PALETTE) else "--"
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
