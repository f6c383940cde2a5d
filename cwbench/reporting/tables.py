"""What a run or a plugin looks like on a terminal."""

from __future__ import annotations

import inspect
from io import StringIO
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.table import Table

from cwbench import registry
from cwbench.errors import unknown
from cwbench.record import Record

WIDTH = 100


def run_table(record: Record) -> str:
    """The metrics of a record, a row each, with interval, floor and where the files are."""
    table = Table(title=_title(record), title_justify="left", box=None, padding=(0, 1))
    for heading in ("metric", "NFE", "value", "95 % interval", "floor", "resolution"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    main = None
    for identifier, entry in record.metrics.items():
        metric, _, nfe = identifier.partition("@nfe=")
        if main is not None and metric.split("@")[0] == "ew2sq":
            table.add_section()
        main = metric
        table.add_row(
            metric, nfe or "-", _number(entry["value"]), _interval(entry),
            _number(entry["floor"]), _resolution(entry),
        )  # fmt: skip
    lines = (
        [_rendered(table)]
        if record.metrics
        else [_title(record), f"{record.status}: {record.error}\n"]
    )
    lines += [f"{name}: {_number(value)}\n" for name, value in record.diagnostics.items()]
    seconds = {k: v for k, v in record.cost.items() if k.endswith("_seconds")}
    if seconds:
        lines.append(
            "seconds: " + ", ".join(f"{k[:-8]} {v:.1f}" for k, v in seconds.items()) + "\n"
        )
    lines.append(f"\nrecord:  {record.directory}/record.json")
    if record.figures:
        lines.append(f"\nfigures: {record.directory}/figures/")
        lines += [f"\n         {path.name}" for path in record.figures]
    return "".join(lines)


def _title(record: Record) -> str:
    settings = record.task.get("changed", {})
    task = record.task["name"] + "".join(f" {k}={v}" for k, v in settings.items())
    return f"{task} / {record.label} / {record.preset} / seed {record.seed}: {record.status}"


def _rendered(table: Table) -> str:
    text = StringIO()
    Console(file=text, width=WIDTH, force_terminal=False).print(table)
    return text.getvalue()


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _interval(entry: dict[str, Any]) -> str:
    if entry["low"] is None:
        return "-"
    return f"[{entry['low']:.4g}, {entry['high']:.4g}]"


def _resolution(entry: dict[str, Any]) -> str:
    resolution = entry.get("resolution")
    if resolution is None:
        return ""
    return f"{resolution:.2f}{' low' if entry.get('low_resolution') else ''}"


def description(name: str, *, bibtex: bool = False) -> str:
    """What a plugin is, its settings with type, range and default, and its citation.

    Raises:
        UsageError: if there is none of that name.
    """
    found = [p for p in registry.plugins() if p.name == name]
    if not found:
        raise unknown("name", name, (p.name for p in registry.plugins()))
    plugin = found[0]
    cls = plugin.load()
    if bibtex:
        return str(cls.info.citation)
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
    return "\n".join([*parts, "", cls.info.citation])


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
    kind = schema.get("type") or _annotation(field.annotation)
    limits = "".join(f", {limit}" for limit in field.metadata)
    return f"  {name} = {field.get_default()}  ({kind}{limits})  {field.description or ''}"


def _annotation(annotation: Any) -> str:
    return str(annotation).replace("typing.", "")


def _presets(presets: Any) -> list[str]:
    return [
        f"  {name}: "
        + ", ".join(f"{k} {v}" for k, v in preset.model_dump(exclude_none=True).items())
        for name, preset in presets.items()
    ]
