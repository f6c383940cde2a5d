"""What a package declares: names, of which no two may be one, and what a class's `info` says.

A record keeps most of it, and is refused where it is read if a name is no name and a version no
number: by then the fit is over. So it is checked where a plugin is found and loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import reprlib
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cwbench.registry import Plugin

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LARGEST = 2**31 - 1
"""Of versions and other counts."""


def refusal_of(name: str, claimants: Sequence[Plugin]) -> str | None:
    """Why a name is not to be had and what to do, or None."""
    owners = " and ".join(f"{p.kind} of {p.distribution} ({p.target})" for p in claimants)
    if not NAME.fullmatch(name):
        return f"{owners}: the name {name!r} does not match {NAME.pattern}"
    if len(claimants) > 1:
        told = f"the name {name!r} is claimed twice: {owners}. Neither is used, all others are"
        return f"{told}; {_way_out(claimants)}"
    return None


def _way_out(claimants: Sequence[Plugin]) -> str:
    """What ends a clash; never to part with the suite itself."""
    packages = sorted({p.distribution for p in claimants})
    others = [each for each in packages if each != "cwbench"]
    if not others:
        return "install cwbench anew"
    if len(packages) == 1:
        return f"give one of them another name in the entry points of {packages[0]}"
    return f"uninstall one of them: {' or '.join(f'pip uninstall {each}' for each in others)}"


def wrong_in(info: Any, declared: type) -> str | None:
    """What of an `info` no record could hold, if anything: it is told before anything is fitted."""
    for name, adapter in _adapters(declared).items():
        value = getattr(info, name)
        if not _fits(adapter, value):
            return f"info.{name} is {_shown(value)}"
    if info.version < 1:
        return f"info.version is {info.version}; versions count 1, 2, 3, ..."
    names = [info.name, *getattr(info, "presets", ())]
    names += [info.main_metric] if hasattr(info, "main_metric") else []
    if not all(NAME.fullmatch(each) for each in names):
        return f"its names {names} have to match {NAME.pattern}"
    return None


@functools.cache
def _adapters(cls: type) -> dict[str, Any]:
    """What validates each field of an `info`; what a subclass of it adds is in no record."""
    from pydantic import TypeAdapter

    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(cls)}


def _fits(adapter: Any, value: Any) -> bool:
    """Whether a value is of its type as it is: 1 is no truth value, True no number, "1" neither."""
    try:
        found = adapter.validate_python(value)
    except ValueError:  # pydantic's is one
        return False
    if isinstance(found, int) and abs(found) > LARGEST:
        return False
    plain = isinstance(found, bool | int | str)
    return type(found) is type(value) and found == value if plain else True


def _shown(value: Any) -> str:
    """A value that is not what it should be, short, with its type."""
    kind = type(value).__name__
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"too large a {kind}"
    try:
        return f"{reprlib.repr(value)}, a {kind}"
    except Exception:  # noqa: BLE001 - of a plugin's own type, or of numbers inside
        return f"a {kind}"
