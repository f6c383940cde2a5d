"""What tasks, methods and metrics declare about themselves."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from cwbench.check.outcome import UnmetError, require
from cwbench.citations import FORMS, entries_of
from cwbench.errors import ContractError
from cwbench.settings import json_values, read_back


def require_metadata(cls: type[Any]) -> None:
    """Version, title, docstring and a citation, in a form that `cwbench.citations` reads.

    Raises:
        UnmetError: naming what is missing.
    """
    info, summary = cls.info, vars(cls).get("__doc__") or ""
    require(info.version >= 1, f"version {info.version}; it is a positive whole number")
    require(len(info.title.strip()) > 3, f"title {info.title!r}")
    require(bool(summary.strip()), f"{cls.__name__} has no docstring; `cwbench describe` shows it")
    require(bool(info.citation.strip()), f"no citation; give {FORMS}")
    try:
        entries_of(cls)
    except ContractError as error:
        raise UnmetError(str(error)) from None


def require_settings(settings: type[BaseModel]) -> None:
    """Settings with defaults and descriptions, read back from a record, closed to unknown ones.

    Raises:
        UnmetError: naming what is missing.
    """
    fields = settings.model_fields
    bare = [name for name, field in fields.items() if not field.description]
    require(not bare, f"no description: {', '.join(bare)}; write Field(default, description=...)")
    required = [name for name, field in fields.items() if field.is_required()]
    require(not required, f"no default: {', '.join(required)}")
    defaults = read_back(settings, json_values(settings()))
    try:
        settings.model_validate(defaults)
    except (TypeError, ValidationError) as error:
        raise UnmetError(f"a record's settings {defaults} cannot be read back: {error}") from None
    try:
        settings.model_validate({"no_such_setting": 1})
    except ValidationError:
        return
    raise UnmetError("Params accepts a setting it does not have; derive it from cwbench.Params")
