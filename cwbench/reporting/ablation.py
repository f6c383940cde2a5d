"""The figures of a sweep: for each task, its main metric against the setting that the sweep varies.

The setting is the one key that was given several numbers; words among them (`auto`) and methods
that lack it are drawn as lines across. Other keys with several values make curves of their own. A
sweep without such a key is drawn against the network evaluations. Values are means over seeds;
intervals are crossed over seeds and observations.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cwbench.boards.statistics import crossed_interval
from cwbench.errors import UsageError
from cwbench.records.record import Record
from cwbench.records.storage import load_observations
from cwbench.reporting.figures import metric_against_nfe
from cwbench.style import DPI, PALETTE, style
from cwbench.sweeping.sweep import Planned, Refused

CURVE = ["curve", "at", "nfe"]


def sweep_figures(planned: Iterable[Planned | Refused]) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each task of a sweep, from what is on record.

    Raises:
        UsageError: if nothing of it is on record, or several keys were given several numbers.
    """
    runs = [run for run in planned if isinstance(run, Planned)]
    keys = axes(runs)
    done = [(run, run.record) for run in runs if run.record and run.record.status == "ok"]
    if not done:
        raise UsageError("no run of this sweep is on record; carry it out with `cwbench sweep`")
    names = {run.combination.request.task.info.name for run, _ in done}
    for task in sorted(names):
        info = next(
            r.combination.request.task
            for r, _ in done
            if r.combination.request.task.info.name == task
        )
        key = keys[task]
        rows = [
            row
            for run, record in done
            if run.combination.request.task.info.name == task
            for row in _rows(record, info.main_metric, run.combination.settings, key)
        ]
        if not rows:
            continue
        table = _averaged(pd.concat(rows))
        title = f"{task}, preset {done[0][1].preset}"
        if key is None:
            renamed = table.rename(columns={"curve": "method"})
            yield (
                task,
                metric_against_nfe(
                    renamed, metric=info.main_metric, title=title, main_nfe=info.info.main_nfe
                ),
            )
        else:
            yield task, _against(table, key.rpartition(".")[2], info.main_metric, title)


def axes(runs: Iterable[Planned]) -> dict[str, str | None]:
    """By task the one key that a method of it was given several numbers of, or None.

    Raises:
        UsageError: if there is more than one.
    """
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for run in runs:
        methods = found.setdefault(run.combination.request.task.info.name, {})
        methods.setdefault(run.combination.method, []).append(run.combination.settings)
    keys = {
        task: {key for settings in methods.values() if (key := swept_key(settings))}
        for task, methods in found.items()
    }
    for several in keys.values():
        _refuse_several(several)
    return {task: next(iter(several), None) for task, several in keys.items()}


def swept_key(settings: Iterable[dict[str, Any]]) -> str | None:
    """The one key with several numbers, or None.

    Raises:
        UsageError: if there is more than one.
    """
    values: dict[str, set[float]] = {}
    for one in settings:
        for key, value in one.items():
            if (number := _number(value)) is not None:
                values.setdefault(key, set()).add(number)
    keys = [key for key, numbers in values.items() if len(numbers) > 1]
    _refuse_several(keys)
    return keys[0] if keys else None


def _refuse_several(keys: Collection[str]) -> None:
    if len(keys) > 1:
        raise UsageError(
            f"the sweep varies {' and '.join(sorted(keys))}; a figure has one axis: give one "
            "several values"
        )


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and not isinstance(value, bool) else None


def _rows(
    record: Record, metric: str, settings: dict[str, Any], key: str | None
) -> Iterator[pd.DataFrame]:
    """The values by observation with the curve and the place on the axis that they belong to."""
    assert record.directory is not None  # noqa: S101 - records of a sweep are read from disk
    table = pd.concat(load_observations(record.directory, record.files))
    chosen = table[table["metric"] == metric]
    name = key.rpartition(".")[2] if key else ""
    at = _number(settings[key]) if key in settings else None
    label = record.label
    if at is not None:  # the setting is on the axis, not in the curve's name
        others = {k: v for k, v in record.method["changed"].items() if k != name}
        listed = ", ".join(f"{k}={v}" for k, v in others.items())
        label = record.method["name"] + (f" ({listed})" if listed else "")
    if len(chosen):
        floors = {
            identifier.partition("@nfe=")[2]: entry["floor"]
            for identifier, entry in record.metrics.items()
            if identifier.partition("@nfe=")[0] == metric
        }  # small records of `results/adopt.py` have it nowhere else
        chosen = chosen.assign(floor=chosen["nfe"].map(floors))
        yield chosen.assign(curve=label, at=np.nan if at is None else at, seed=record.seed)


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each curve, place and NFE: mean and interval over seeds and observations."""
    found = []
    for names, part in rows.groupby(CURVE, dropna=False):
        values = part.pivot(index="seed", columns="observation", values="value")
        floor = part["floor"].astype(float).mean()
        row = dict(zip(CURVE, names, strict=True)) | {"value": np.nan, "low": np.nan}
        row |= {"high": np.nan, "floor": floor}
        if np.isfinite(values.to_numpy(dtype=float)).all():
            mean, low, high = crossed_interval(values.to_numpy())
            row |= {"value": mean, "low": low, "high": high}
        found.append(row)
    table = pd.DataFrame(found)
    return table.assign(nfe=table["nfe"].replace("", None))


def _against(table: pd.DataFrame, name: str, metric: str, title: str) -> Figure:
    """A panel for each NFE, one-shot methods in all of them."""
    panels = sorted(
        table["nfe"].dropna().unique(), key=lambda nfe: (not nfe.isdigit(), len(nfe), nfe)
    )
    panels = panels or [None]
    curves = list(dict.fromkeys(table["curve"]))
    with style():
        size = (1.2 + 2.6 * len(panels), 3.2)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, nfe in zip(grid, panels, strict=True):
            shown = table[(table["nfe"] == nfe) | table["nfe"].isna()]
            _panel(ax, shown, curves)
            ax.set(xlabel=name, title="" if nfe is None else f"NFE {nfe}")
        grid[0].set_ylabel(metric)
        handles = {h.get_label(): h for ax in grid for h in ax.get_legend_handles_labels()[0]}
        figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)
        figure.suptitle(title)
    return figure


def _panel(ax: Axes, table: pd.DataFrame, curves: list[str]) -> None:
    places = table["at"].dropna()
    ax.set_xscale("log" if (places > 0).all() and places.max() > 20 * places.min() else "linear")
    lowest = table["value"].min()
    ax.set_yscale("log" if lowest > 0 and table["value"].max() > 10 * lowest else "linear")
    for curve, rows in table.groupby("curve"):
        index = curves.index(str(curve))
        colour = PALETTE[index % len(PALETTE)]
        across, along = rows[rows["at"].isna()], rows[rows["at"].notna()].sort_values("at")
        for value in across["value"].dropna():
            ax.axhline(value, color=colour, linestyle="--", linewidth=1.0, label=str(curve))
        present = along.dropna(subset=["value"])
        if len(present):
            errors = np.stack(
                [present["value"] - present["low"], present["high"] - present["value"]]
            )
            ax.errorbar(
                present["at"], present["value"], errors.clip(min=0), color=colour, marker="o",
                markersize=3.5, linewidth=1.2, capsize=2, label=str(curve),
            )  # fmt: skip
    sns.despine(ax=ax)
