"""Settings: `KEY=VALUE` with KEY `task.NAME`, `method.NAME`, `preset.NAME` or a bare NAME.

Validated once, here; everything inside trusts them.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo

from cwbench.errors import UsageError, unknown

Model = TypeVar("Model", bound=BaseModel)

NULL = "null"
"""Typed for None."""

SHORT = 8
"""Digits of a fingerprint that stand for a folder in titles."""


class NothingIdle(BaseModel):
    """Settings of which none is given that changes nothing beside the others."""

    def idle_settings(self) -> Mapping[str, str]:
        """Settings that change nothing beside the others, with what to type for one to count.

        To give one is an error: it would change the key of a run and the streams of its task, and
        make another column of the same problem.
        """
        return {}

    def standard_settings(self) -> dict[str, Any]:
        """Defaults, as they are beside the others."""
        fields = type(self).model_fields.items()
        return {name: field.get_default(call_default_factory=True) for name, field in fields}

    @model_validator(mode="after")
    def _nothing_is_idle(self) -> Self:
        idle = self.idle_settings()
        standard = self.standard_settings() if idle else {}
        for name, remedy in idle.items():
            if getattr(self, name) != standard[name]:
                raise ValueError(f"{name} changes nothing here; it goes with --set {remedy}")
        return self


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


class Several(tuple[Any, ...]):
    """Places typed for one setting: each record takes the one that leads to its own data."""

    __slots__ = ()


def parse_places(assignments: Iterable[str]) -> dict[str, Any]:
    """As `parse`, of places: a key that is given again has `Several`.

    Raises:
        UsageError: if one has no `=`.
    """
    places: dict[str, list[str]] = {}
    for assignment in assignments:
        ((key, place),) = parse([assignment]).items()
        places.setdefault(key, []).append(place)
    return {key: found[0] if len(found) == 1 else Several(found) for key, found in places.items()}


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
    fields = model.model_fields
    try:
        return model(**{key: _or_none(fields[key], value) for key, value in values.items()})
    except ValidationError as error:
        problems = "; ".join(_reason(problem, owner) for problem in error.errors())
        raise UsageError(
            f"invalid setting: {problems}. `cwbench describe` lists what is allowed."
        ) from None


def _or_none(field: FieldInfo, value: Any) -> Any:
    """The value; None where `null` was typed for a setting that may have none."""
    return None if value == NULL and type(None) in typing.get_args(field.annotation) else value


def shown(value: Any) -> Any:
    """A value as it is typed."""
    return NULL if value is None else value


def _reason(problem: Mapping[str, Any], owner: str) -> str:
    """Why a value was refused; what several settings make together names them in its message."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{owner}: {message}"
    return f"{owner}.{problem['loc'][0]} = {problem['input']!r}: {message.lower()}"


def json_values(model: BaseModel) -> dict[str, Any]:
    """Settings as JSON values; infinity, which JSON does not have, as the text `inf`.

    A path is None: where a file lies is known on one machine, and is nobody else's business.
    """
    odd: dict[str, Any] = {name: "inf" for name, value in model if value == math.inf}
    odd |= dict.fromkeys(paths(model))
    return model.model_dump(mode="json") | odd


def read_back(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that `json_values` wrote, without the paths, which it does not keep."""
    return {k: v for k, v in values.items() if v is not None or k not in path_fields(model)}


def path_fields(model: type[BaseModel]) -> frozenset[str]:
    """The settings that name files or folders, by their annotations."""
    fields = model.model_fields.items()
    return frozenset(name for name, field in fields if _names_a_path(field.annotation))


def _names_a_path(annotation: Any) -> bool:
    """Whether a type is a path, or made of one: `Path | None`, `list[Path]`."""
    if isinstance(annotation, type) and issubclass(annotation, Path):
        return True
    return any(map(_names_a_path, typing.get_args(annotation)))


def paths(model: BaseModel) -> dict[str, list[Path]]:
    """The files and folders that settings name, by setting."""
    found = {name: list(_paths_in(value)) for name, value in model}
    return {name: places for name, places in found.items() if places}


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _paths_in(part)


def content_values(model: BaseModel) -> dict[str, Any]:
    """Settings as JSON values, with the SHA-256 of what a path leads to in its place."""
    return json_values(model) | {name: _contents(places) for name, places in paths(model).items()}


def _contents(places: Iterable[Path]) -> str:
    from cwbench.machine.files import content_sha256  # needs a system that is supported

    return "+".join(map(content_sha256, places))


def keyed_values(model: BaseModel) -> dict[str, Any]:
    """The settings of a task that decide a result, as JSON values.

    A path does not: what it leads to is in the task's fingerprint. One that pydantic excludes
    from what it dumps does not even choose the data.
    """
    kept = {name for name in paths(model) if not type(model).model_fields[name].exclude}
    return {name: value for name, value in _complete(model).items() if name not in kept}


def _complete(model: BaseModel) -> dict[str, Any]:
    """JSON values of all settings, None for those that are excluded."""
    return dict.fromkeys(type(model).model_fields) | json_values(model)


def changed(model: BaseModel, told: Callable[[list[Path]], str] | None = None) -> dict[str, Any]:
    """The settings that differ from their defaults, as JSON values.

    Args:
        model: the settings.
        told: what stands for the files or folders of a setting; default the first digits of the
            SHA-256 of what they hold.
    """
    fields, told = type(model).model_fields, told or (lambda places: _contents(places)[:SHORT])
    values = json_values(model) | {name: told(places) for name, places in paths(model).items()}
    return {
        name: value
        for name, value in values.items()
        if not fields[name].exclude and _differs(getattr(model, name), fields[name])
    }


def _differs(value: Any, field: FieldInfo) -> bool:
    return bool(field.is_required() or value != field.get_default(call_default_factory=True))
