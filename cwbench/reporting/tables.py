"""What a run or a plugin looks like on a terminal."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from io import StringIO
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from cwbench import citations, registry, settings
from cwbench.errors import ContractError, UsageError, unknown
from cwbench.records.record import Record
from cwbench.reporting.ruled import BOX
from cwbench.task import Task

BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
"""Of a JSON schema."""

WIDTH = 160
"""A rule below the head and below each section, none elsewhere."""


def run_table(record: Record) -> str:
    """The metrics of a record by NFE with their floors, what its fit said, where its files are."""
    lines = [title_of(record)]
    if record.error:
        lines.append(f"{record.status}: {record.error}")
    if record.metrics:
        lines += ["", _rendered(_by_nfe(record)), reading(record)]
    facts = {k: v for k, v in record.diagnostics.items() if not isinstance(v, dict)}
    if facts:
        told = (f"{name} {_number(value)}" for name, value in facts.items())
        lines += ["", "fit: " + ", ".join(told)]
    seconds = {k: v for k, v in record.cost.items() if k.endswith("_seconds")}
    if seconds:
        spent = (f"{name.removesuffix('_seconds')} {value:.1f}" for name, value in seconds.items())
        lines.append("seconds: " + ", ".join(spent))
    lines += ["", f"record:  {record.directory}/record.json"]
    if record.figures:
        lines.append(f"figures: {record.directory}/figures/")
        lines += [f"         {path.name}" for path in record.figures]
    return "\n".join(lines)


def _by_nfe(record: Record) -> Table:
    """One row a metric, those that never rank below a rule; one column an NFE."""
    table = Table(box=BOX, padding=(0, 1), show_edge=False)
    heads, rows, ranking = cells_by_nfe(record)
    table.add_column(heads[0], no_wrap=True)
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for place, row in enumerate(rows, start=1):
        table.add_row(*row, end_section=place == ranking < len(rows))
    return table


def cells_by_nfe(record: Record) -> tuple[list[str], list[list[str]], int]:
    """Heads, rows of texts, and how many of the rows may rank; those come first, the main on top.

    A row is a metric, a column an NFE.
    """
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for identifier, entry in record.metrics.items():
        metric, _, nfe = identifier.partition("@nfe=")
        cells.setdefault(metric, {})[nfe] = entry
    columns = sorted({nfe for row in cells.values() for nfe in row}, key=_nfe_order)
    last = {metric: row[next(reversed(row))] for metric, row in cells.items()}
    ordered = sorted(cells, key=lambda m: _place(m, last[m], record.task.get("main_metric")))
    rows = []
    for metric in ordered:
        values = [_value(cells[metric].get(nfe)) for nfe in columns]
        entry = last[metric]
        name = metric if entry["debiased"] else f"{metric} *"
        rows.append([name, *values, _number(entry["floor"]), _resolution(entry)])
    heads = [f"NFE {nfe}" if nfe else "value" for nfe in columns]
    ranking = sum(_ranks(entry) for entry in last.values())
    return ["metric", *heads, "floor", "resolution"], rows, ranking


def _place(metric: str, entry: dict[str, Any], main: str | None) -> tuple[bool, bool, bool, str]:
    """Main metric, other ranking ones, never-ranking ones; debiased ones first in each."""
    return metric != main, not _ranks(entry), not entry["debiased"], metric


def _ranks(entry: dict[str, Any]) -> bool:
    """Whether a metric may order methods; entries from before the question was asked all do."""
    return bool(entry.get("ranks", True))


def _nfe_order(nfe: str) -> float:
    return float(nfe) if nfe.isdigit() else float("inf")


def _value(entry: dict[str, Any] | None) -> str:
    if entry is None or entry["value"] is None:
        return "-"
    if entry["low"] is None:
        return f"{entry['value']:.3g}"
    half = (entry["high"] - entry["low"]) / 2
    digits = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 3
    return f"{entry['value']:.{digits}f} ±{half:.{digits}f}"


def reading(record: Record) -> str:
    """How to read the table, in up to three lines."""
    entries = record.metrics.values()
    entry = next(iter(entries))
    m, n = entry["n_observations"], entry["n_samples"]
    if entry.get("unit") == "images":
        return _reading_of_images(record)
    raw = any(not e["debiased"] for e in entries)
    below = any(not _ranks(e) for e in entries)
    return "".join(
        [
            f"mean over {m} observations, {n} samples a side, ± 95 % interval; ",
            "debiased: 0 is a perfect sampler.\n",
            "floor: what exact draws score before debiasing",
            "; * not debiased: a perfect sampler scores its floor." if raw else ".",
            "\nbelow the rule: shown, never ranked by." if below else "",
        ]
    )


def _reading_of_images(record: Record) -> str:
    """How to read the table of a task of labelled images."""
    entries = record.metrics.values()
    k = max(entry["n_observations"] for entry in entries)
    sizes = sorted({entry["n_samples"] for entry in entries})
    return (
        f"{' or '.join(map(str, sizes))} images, classes in turn; ± is a 95 % interval over {k} "
        "classes, where a value is a mean over them.\nfloor: what real images of the other part "
        "score; * biased in the number of images, or a share: a perfect sampler scores its "
        "floor.\nbelow the rule: shown, never ranked by."
    )


def title_of(record: Record) -> str:
    """Task, method, preset, seed and status in a line."""
    settings = record.task.get("changed", {})
    task = record.task["name"] + "".join(f" {k}={v}" for k, v in settings.items())
    return f"{task} / {record.label} / {record.preset} / seed {record.seed}: {record.status}"


def _rendered(table: Table) -> str:
    text = StringIO()
    Console(file=text, width=WIDTH, force_terminal=False).print(table)
    return text.getvalue().rstrip()


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _resolution(entry: dict[str, Any]) -> str:
    resolution = entry.get("resolution")
    if resolution is None:
        return ""
    return f"{resolution:.2f}{' low' if entry.get('low_resolution') else ''}"


def description(name: str) -> str:
    """What a plugin is, its settings with type, range and default, and its citation.

    Raises:
        UsageError: if there is none of that name.
    """
    found = [p for p in registry.plugins() if p.name == name]
    if not found:
        raise unknown("name", name, (p.name for p in registry.plugins()))
    plugin = found[0]
    cls = plugin.load()
    summary = inspect.cleandoc(cls.__doc__ or "")
    parts = [
        f"{plugin.kind} {name}: {cls.info.title}",
        f"{plugin.distribution} {plugin.version}",
        "",
    ]
    parts += [summary, ""]
    parts += _facts(cls.info)
    if plugin.kind != "metric":
        parts += ["", "settings", *_settings(cls.Params)]
    if plugin.kind == "task":
        parts += ["", "presets", *_presets(cls.info.presets)]
    return "\n".join([*parts, "", *_cited(cls)])


def _cited(cls: type[Any]) -> list[str]:
    """Its BibTeX; a citation that cannot be read stands as it was written."""
    try:
        return ["\n\n".join(citations.entries_of(cls))]
    except ContractError:
        return [cls.info.citation]


def described_task(name: str, given: Mapping[str, Any]) -> Task | None:
    """The task of that name under settings, None for a method or metric.

    Raises:
        UsageError: if settings are wrong, or given for something that is no task.
    """
    from cwbench.running.request import configured_task

    plugin = next((p for p in registry.plugins() if p.name == name and p.kind == "task"), None)
    if plugin:
        owned = settings.split(given, {"task": plugin.load().Params.model_fields})
        return configured_task(name, owned["task"])[0]
    if given:
        raise UsageError(f"--set is for tasks; {name!r} is none. Type: cwbench describe {name}")
    return None


def difficulty_told(task: Task) -> str:
    """The Gaussian gap and the resolution of a task with an exact posterior."""
    from cwbench.judging.difficulty import difficulty
    from cwbench.running.request import preset_of

    found = difficulty(task, preset_of(task, "quick"))
    changed = "".join(f" {key}={value}" for key, value in settings.changed(task.params).items())
    return (
        f"measured on {found.n_observations} observations, {found.n_samples} samples a side"
        f"{' with' if changed else ''}{changed}\n"
        f"  Gaussian gap {found.gaussian_gap:.3f} ± {found.gaussian_gap_error:.3f} (standard error)"
        ": ew2sq of the Gaussian with the exact moments over tr Cov(posterior)\n"
        f"  resolution   {found.resolution:.2f}: the factor by which ew2sq shows a scale error"
    )


def _facts(info: Any) -> list[str]:
    shown = (
        "version",
        "role",
        "needs",
        "direction",
        "main_metric",
        "main_nfe",
        "licence",
        "notes",
        "opt_in",
        "debiased",
        "ranks",
    )
    facts = [(name, getattr(info, name)) for name in shown if hasattr(info, name)]
    return [
        f"  {n}: {', '.join(sorted(v)) if isinstance(v, frozenset) else v}"
        for n, v in facts
        if v != ""
    ]


def _settings(params: type[BaseModel]) -> list[str]:
    properties = params.model_json_schema().get("properties", {})
    if not properties:
        return ["  none"]
    return [_setting(name, field, properties[name]) for name, field in params.model_fields.items()]


def _setting(name: str, field: FieldInfo, schema: dict[str, Any]) -> str:
    allowed = _allowed(schema) or str(field.annotation).replace("typing.", "")
    return f"  {name} = {field.get_default()}  ({allowed})  {field.description or ''}"


def _allowed(schema: dict[str, Any]) -> str:
    """`number, > 0, < 1`, `string, one of a, b` or `integer, > 0, or auto`."""
    if "anyOf" in schema:
        first, *others = map(_allowed, schema["anyOf"])
        return first + "".join(f", or {other}" for other in others)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"{schema['type']}, one of {', '.join(map(str, schema['enum']))}"
    limits = [f"{sign} {schema[bound]}" for bound, sign in BOUNDS.items() if bound in schema]
    return ", ".join([schema.get("type", ""), *limits])


def _presets(presets: Any) -> list[str]:
    return [
        f"  {name}: "
        + ", ".join(f"{k} {v}" for k, v in preset.model_dump(exclude_none=True).items())
        for name, preset in presets.items()
    ]
