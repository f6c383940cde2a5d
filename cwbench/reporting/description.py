"""What a plugin is, as text: its settings, presets and citation, and how hard a task is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cwbench import citations, registry, settings
from cwbench.errors import ContractError, UsageError
from cwbench.judging.difficulty import Difficulty
from cwbench.known.classes import sees
from cwbench.method import Method
from cwbench.records.tables import LEAST_GAP
from cwbench.running.needs import needs_of
from cwbench.running.request import configured_task
from cwbench.settings import NothingIdle, shown
from cwbench.task import Task

BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
"""Of a JSON schema."""


def description(name: str, task: Task | None = None, given: Mapping[str, Any] = {}) -> str:
    """What a plugin is, its settings with type, range and default, and its citation.

    Args:
        name: a registered one, or `./file.py:ClassName`.
        task: that of the name under settings, which may change its presets.
        given: settings of a method, which may change what it needs.

    Raises:
        UsageError: if there is none of that name, or settings are wrong.
    """
    kind, origin = registry.load_any(name)
    cls = origin.cls
    params = task.params if task else None
    if kind == "method":
        owned = settings.split(given, {"method": cls.Params.model_fields})["method"]
        params = settings.validated(cls.Params, owned, "method")
    info = task.info if task else cls.info
    summary = inspect.cleandoc(cls.__doc__ or "")
    parts = [
        f"{kind} {cls.info.name}: {cls.info.title}",
        f"{origin.distribution} {origin.version}".strip(),
        "",
    ]
    parts += [summary, ""]
    parts += _facts(cls, info, task, params)
    if kind != "metric":
        parts += ["", "settings", *_settings(params or cls.Params)]
    if kind == "task":
        parts += ["", "presets", *_presets(info.presets)]
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
        UsageError: if settings are wrong, or given for a metric, which has none.
    """
    plugin = next((p for p in registry.plugins() if p.name == name and p.kind == "task"), None)
    if plugin:
        owned = settings.split(given, {"task": plugin.load().Params.model_fields})
        return configured_task(name, owned["task"])[0]
    if given and registry.load_any(name)[0] == "metric":
        raise UsageError(f"{name!r} is a metric and has no settings: cwbench describe {name}")
    return None


def difficulty_text(task: Task, found: Difficulty) -> str:
    """The Gaussian gap and the resolution that were measured on a task, under which settings."""
    changed = "".join(
        f" {key}={shown(value)}" for key, value in settings.changed(task.params).items()
    )
    return (
        f"measured on {found.n_observations} observations, {found.n_samples} samples a side"
        f"{' with' if changed else ''}{changed}\n"
        f"  Gaussian gap {found.gaussian_gap:.3f} ± {found.gaussian_gap_error:.3f} (standard error)"
        ": ew2sq of the Gaussian with the exact moments over tr Cov(posterior)\n"
        f"  resolution   {found.resolution:.2f}: the factor by which ew2sq shows a scale error"
        f"{_modes_text(found)}"
    )


def _modes_text(found: Difficulty) -> str:
    """The effective modes, and a warning where a Gaussian is nearly the answer."""
    text = ""
    if found.modes is not None:
        text = f"\n  modes        {found.modes:.1f}: effective ones, 1 / sum of squared weights"
    if found.nearly_gaussian:
        text += (
            f"\nwarning: nearly Gaussian: the gap is below {LEAST_GAP:.2f} by more than its error, "
            "so two moments are nearly the answer and these settings say little of methods"
        )
    return text


def _facts(cls: type[Any], info: Any, task: Task | None, params: BaseModel | None) -> list[str]:
    told = (
        "version",
        "role",
        "needs",
        "direction",
        "main_metric",
        "main_nfe",
        "licence",
        "notes",
        "opt_in",
        "least_dimension",
        "debiased",
        "ranks",
        "sees",
        "symmetric",
    )
    facts = {name: getattr(info, name) for name in told if hasattr(info, name)}
    if issubclass(cls, Method) and isinstance(params, cls.Params):
        needs = needs_of(cls, params)
        facts |= {"needs": needs, "sees": sees(needs)}
    if task:
        facts["main_metric"] = task.main_metric
    return [
        f"  {n}: {', '.join(sorted(v)) if isinstance(v, frozenset) else v}"
        for n, v in facts.items()
        if v not in ("", frozenset())
    ]


def _settings(params: BaseModel | type[BaseModel]) -> list[str]:
    """A line each, with the values of a task, else with those of a class by default."""
    model = params if isinstance(params, type) else type(params)
    properties = model.model_json_schema().get("properties", {})
    if not properties:
        return ["  none"]
    fields = model.model_fields.items()
    own = {name: field.get_default(call_default_factory=True) for name, field in fields}
    here = params.standard_settings() if isinstance(params, NothingIdle) else own
    held = own if isinstance(params, type) else dict(params)
    return [
        f"  {name} = {shown(held[name])}  ({_range(field, properties[name])})  "
        f"{field.description or ''}{_origin(held[name], here[name], own[name])}"
        for name, field in fields
    ]


def _origin(value: Any, here: Any, own: Any) -> str:
    """Where a value comes from that is not its setting's own default.

    Args:
        value: what the task has.
        here: the default beside the other settings.
        own: that of the setting alone.
    """
    if value != here:
        return f"  [set; default {shown(here)}]"
    return "" if here == own else f"  [default under these settings; else {shown(own)}]"


def _range(field: FieldInfo, schema: dict[str, Any]) -> str:
    return _allowed(schema) or str(field.annotation).replace("typing.", "")


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
