"""Task and method of a record, made again from its settings.

A record does not say where files lie, only what they held: settings that name files or folders are
given again, and what they lead to is compared with what the record was made of. So is the file of a
task or method that is not installed (`cwbench.running.named`).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from cwbench import registry, settings
from cwbench.errors import CwbenchError, UsageError, unknown
from cwbench.records.record import Record
from cwbench.running.named import NOTHING, Named, OtherDataError, Owner, origin_of
from cwbench.running.request import ConfiguredMethod, method_from, task_from
from cwbench.task import Task

T = TypeVar("T")
Places = Mapping[str, Any]
"""Files or folders by the setting that names them."""


def remade_task(
    record: Record, given: Mapping[str, Any], files: Named = NOTHING
) -> tuple[Task, registry.Loaded]:
    """The task of a record.

    Args:
        record: says its settings.
        given: where its files or folders lie, by setting: `{"root": "pictures"}`; of
            `cwbench.settings.Several` it takes those that lead to its data. A setting that it has
            not on record is meant for other records.
        files: of tasks that are not installed.

    Raises:
        CwbenchError: if the task cannot be made, or a path or file that it needs is not given.
        OtherDataError: if what is given leads to other data or another source.
    """
    part, origin = record.task, origin_of("task", record.task, files)

    def made(places: Places) -> tuple[Task, registry.Loaded]:
        task = task_from(origin, _values("task", origin, part, places))
        if places and task.fingerprint() != part.get("fingerprint"):
            raise _other("task", places, part.get("fingerprint"), task.fingerprint())
        return task, origin

    return _fitting(_ways("task", origin, part, given), made)


def remade_method(
    record: Record, given: Mapping[str, Any], files: Named = NOTHING
) -> ConfiguredMethod:
    """The method of a record; as `remade_task`."""
    part, origin = record.method, origin_of("method", record.method, files)

    def made(places: Places) -> ConfiguredMethod:
        method = method_from(origin, _values("method", origin, part, places))
        contents = settings.changed(method.params)
        for name, place in places.items():
            found, recorded = (values.get(name) for values in (contents, part["changed"]))
            if found != recorded:
                raise _other("method", {name: place}, recorded, found)
        return method

    return _fitting(_ways("method", origin, part, given), made)


def fits(record: Record, owner: Owner, places: Places, files: Named = NOTHING) -> bool:
    """Whether these files or folders are those that a record's task or method was made of."""
    remade = remade_task if owner == "task" else remade_method
    with suppress(CwbenchError):
        part = getattr(record, owner)
        if places.keys() <= own_places(origin_of(owner, part, files), part):
            remade(record, {f"{owner}.{name}": place for name, place in places.items()}, files)
            return True
    return False


def _fitting(ways: Iterable[Places], made: Callable[[Places], T]) -> T:
    """What is made in the first way that leads to the data on record.

    Raises:
        OtherDataError: if none does.
        CwbenchError: if nothing can be made.
    """
    others: list[OtherDataError] = []
    failed: list[CwbenchError] = []
    for places in ways:
        try:
            return made(places)
        except OtherDataError as error:
            others.append(error)
        except CwbenchError as error:
            failed.append(error)
    if not others:
        raise failed[0]
    raise OtherDataError(
        f"{'; '.join(map(str, others))}; name the one it was made of, wherever it lies now",
        others[0].owner,
        [places for error in others for places in error.tried],
    )


def other_distributions(
    record: Record, task: registry.Loaded, method: registry.Loaded
) -> Iterator[str]:
    """What is to be told of a task and method whose package is of another version than on record.

    A class says its own `version`, and a package that can change in place has its source in the
    key; of one that was installed anew, another version is all there is to see. What cwbench ships
    is told by the versions of its classes.
    """
    parts: tuple[tuple[Owner, Mapping[str, Any], registry.Loaded], ...] = (
        ("task", record.task, task), ("method", record.method, method),
    )  # fmt: skip
    for owner, part, origin in parts:
        recorded, here = str(part.get("distribution", "")), origin.label
        packaged = origin.version and origin.distribution != "cwbench"
        if packaged and recorded and recorded != here:
            yield (
                f"its {owner} {part['name']!r} was of {recorded}, {here} is installed: the code "
                "may be another; install that version, or run it anew by --force"
            )


def refuse_other_settings(
    records: Iterable[Record], given: Mapping[str, Any], files: Named = NOTHING
) -> None:
    """Go on if each setting names files or folders of some record.

    Raises:
        UsageError: naming those that can be given.
    """
    allowed = {key for record in records for key in _keys(record, files)}
    for key in given:
        if key not in allowed and not allowed:
            raise UsageError(
                f"--set {key}: no record has a setting that names files or folders, and every "
                "other one is on record"
            )
        if key not in allowed:
            raise unknown("file or folder on record", key, allowed)


def _keys(record: Record, files: Named) -> set[str]:
    """The settings of a record that can be given again, with and without their owner."""
    found: set[str] = set()
    parts: tuple[tuple[Owner, Mapping[str, Any]], ...] = (
        ("task", record.task), ("method", record.method),
    )  # fmt: skip
    for owner, part in parts:
        with suppress(CwbenchError):
            fields = own_places(origin_of(owner, part, files), part)
            found |= {key for field in fields for key in (field, f"{owner}.{field}")}
    return found


def own_places(origin: registry.Loaded, part: Mapping[str, Any]) -> frozenset[str]:
    """The settings by which files or folders came into what is on record.

    Those that were set, by what the record says; those that are never on record, or have a file or
    folder by default, always.
    """
    fields = origin.cls.Params.model_fields
    return frozenset(
        name
        for name in settings.path_fields(origin.cls.Params)
        if name in part["changed"] or fields[name].exclude or fields[name].default
    )


def _ways(
    owner: Owner, origin: registry.Loaded, part: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The given files and folders by own setting, each with each where several are given."""
    own, typed = own_places(origin, part), defaultdict[str, list[Any]](list)
    for key, value in given.items():
        whose, _, field = key.rpartition(".")
        if whose in ("", owner) and field in own:
            typed[field] += value if isinstance(value, settings.Several) else [value]
    for places in itertools.product(*typed.values()):
        yield dict(zip(typed, places, strict=True))


def _values(
    owner: Owner, origin: registry.Loaded, part: Mapping[str, Any], places: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of a task or method on record, with the paths that are given.

    Raises:
        UsageError: if a path that was set is not given.
    """
    fields = origin.cls.Params
    values = settings.read_back(fields, part["params"]) | dict(places)
    lacking = (part["changed"].keys() & settings.path_fields(fields)) - values.keys()
    if lacking:
        typed = " ".join(f"--set {name}=PATH" for name in sorted(lacking))
        raise UsageError(
            f"the record does not say where {', '.join(sorted(lacking))} of {owner} "
            f"{part['name']!r} lies (it does not keep paths); type {typed}"
        )
    return values


def _other(owner: Owner, places: Places, recorded: Any, found: Any) -> OtherDataError:
    typed = ", ".join(f"{name}={str(value)!r}" for name, value in places.items())
    return OtherDataError(
        f"{typed} leads to other data than the record was made of (fingerprint {found}, on record "
        f"{recorded})",
        owner,
        [places],
    )
