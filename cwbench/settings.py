"""Settings: `KEY=VALUE` with KEY `task.NAME`, `method.NAME`, `preset.NAME` or a bare NAME.

Validated once, here; everything inside trusts them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cwbench.errors import UsageError, unknown

Model = TypeVar("Model", bound=BaseModel)


def parse(assignments: Iterable[str]) -> dict[str, str]:
    """`["beta=10", "task.noise=.03"]` as a mapping.

    Raises:
        UsageError: if one has no `=`, or a key is given twice.
    """
    settings: dict[str, str] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UsageError(
                f"--set takes KEY=VALUE, got {assignment!r}; e.g. --set method.beta=10"
            )
        if key in settings:
            raise UsageError(f"{key!r} is set twice")
        settings[key] = value
    return settings


def split(
    settings: Mapping[str, Any], owners: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, Any]]:
    """Sort settings by owner; a bare name goes to the one owner that has it.

    Args:
        settings: keys as typed.
        owners: the field names of each owner, `{"task": [...], "method": [...], ...}`.

    Raises:
        UsageError: for an unknown or ambiguous key; what is allowed is listed.
    """
    fields = {owner: list(names) for owner, names in owners.items()}
    sorted_settings: dict[str, dict[str, Any]] = {owner: {} for owner in fields}
    for key, value in settings.items():
        owner, _, name = key.rpartition(".")
        holders = [o for o in fields if name in fields[o] and owner in ("", o)]
        if len(holders) > 1:
            choices = " or ".join(f"{o}.{name}" for o in holders)
            raise UsageError(f"setting {key!r} is ambiguous; type {choices}")
        if not holders:
            raise unknown("setting", key, (f"{o}.{n}" for o in fields for n in fields[o]))
        if name in sorted_settings[holders[0]]:
            raise UsageError(f"{holders[0]}.{name} is set twice")
        sorted_settings[holders[0]][name] = value
    return sorted_settings


def validated(model: type[Model], values: Mapping[str, Any], owner: str) -> Model:
    """Build a settings object.

    Raises:
        UsageError: naming each key, what was given and what is allowed.
    """
    for key in values:
        if key not in model.model_fields:
            raise unknown(f"setting of the {owner}", key, model.model_fields)
    try:
        return model(**values)
    except ValidationError as error:
        problems = "; ".join(_reason(problem, owner) for problem in error.errors())
        raise UsageError(
            f"invalid setting: {problems}. `cwbench describe` lists what is allowed."
        ) from None


def _reason(problem: Mapping[str, Any], owner: str) -> str:
    """Why a value was refused; what several settings make together names them in its message."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{owner}: {message}"
    return f"{owner}.{problem['loc'][0]} = {problem['input']!r}: {message.lower()}"


def json_values(model: BaseModel) -> dict[str, Any]:
    """Settings as JSON values; infinity, which JSON does not have, as the text `inf`."""
    infinite = {name: "inf" for name, value in model if value == math.inf}
    return model.model_dump(mode="json") | infinite


def keyed_values(model: BaseModel) -> dict[str, Any]:
    """The settings that decide a result, as JSON values.

    A path does not: what it leads to has a fingerprint.
    """
    return {
        name: value
        for name, value in json_values(model).items()
        if not isinstance(getattr(model, name), Path)
    }


def changed(model: BaseModel) -> dict[str, Any]:
    """The settings that differ from their defaults, as JSON values."""
    values = json_values(model)
    fields = type(model).model_fields
    return {
        name: value
        for name, value in values.items()
        if fields[name].is_required()
        or getattr(model, name) != fields[name].get_default(call_default_factory=True)
    }
