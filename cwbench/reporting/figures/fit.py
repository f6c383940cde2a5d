"""A metric against the steps of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cwbench.style import DPI, MODEL, empty, open_frame, style


def metric_during_fit(followed: Mapping[str, Any], *, title: str) -> Figure:
    """A metric with the weights of some steps, beside what real images score.

    Args:
        followed: `metric` with its NFE, `images` it was taken on, `steps`, `values` with None where
            there is none, and the `floor` or None: `diagnostics["followed"]` of a record.
        title: of the figure.
    """
    steps = np.asarray(followed["steps"], dtype=np.float64)
    values = np.asarray([np.nan if v is None else v for v in followed["values"]], dtype=np.float64)
    if not np.isfinite(values).any():
        return empty(title, f"no value of {followed['metric']} during the fit")
    with style():
        figure = Figure(figsize=(5.2, 3.4), dpi=DPI, layout="constrained")
        ax = figure.subplots()
        ax.plot(steps, values, color=MODEL, marker="o", markersize=4, label="the fit so far")
        for step in steps[~np.isfinite(values)]:
            ax.axvline(step, color="0.8", linewidth=0.8, zorder=0)
        if followed["floor"] is not None:
            ax.axhline(followed["floor"], color="0.4", linestyle="--", linewidth=1,
                       label="real images")  # fmt: skip
        if np.nanmin(values) > 0 and np.nanmax(values) > 10 * np.nanmin(values):
            ax.set_yscale("log")
        ax.set(xlabel="step", ylabel=f"{followed['metric']}, {followed['images']} images")
        ax.grid(axis="y", color="0.92", linewidth=0.6)
        ax.legend(frameon=False)
        open_frame(ax)
        ax.set_title(title)
    return figure
