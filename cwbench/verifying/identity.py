"""What a record says it is: key, settings, track and facts have to follow from each other.

A record's key is a hash of what stands in the record itself, so that it is checked without the
plugins, and for records of any version of cwbench. The rest is held against the task, the method
and the preset that are installed, where they are of the version on record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from cwbench import settings
from cwbench.errors import CwbenchError, UsageError
from cwbench.preset import NOT_KEYED, Preset
from cwbench.records.record import Record, canonical, from_file, key_of
from cwbench.records.schema import brief
from cwbench.running.named import Named, Owner, origin_of
from cwbench.running.recorded import identity_of
from cwbench.running.remade import own_places
from cwbench.running.request import Request, configured_task, keyed_preset, nfe_grid
from cwbench.task import Task, TaskInfo
from cwbench.verifying import stored
from cwbench.verifying.age import is_ours, older
from cwbench.verifying.found import Finding, Problem, Unchecked

FACTS = {
    "task": ("main_metric", "main_nfe", "second_nfe", "group", "x_shape", "params", "changed"),
    "method": ("role", "params", "changed"),
}
"""What follows from an installed plugin of the same version and settings."""


def place(record: Record) -> Iterator[Finding]:
    """Names in the record that are not those of its directory."""
    task, method, preset, key, seed = stored.place(record).parts[-5:]
    wanted = {
        "task": (record.task["name"], task), "method": (record.method["name"], method),
        "preset": (record.preset, preset), "fit_key": (record.fit_key[:16], key),
        "seed": (f"seed-{record.seed}", seed),
        "run_id": (record.run_id, f"{record.fit_key[:16]}-{record.seed}"),
    }  # fmt: skip
    for name, (said, there) in wanted.items():
        if said != there:
            yield Problem(f"{name} is {said!r} in the record, {there!r} by its place")
    if record.started > record.finished:
        yield Problem(f"it was finished at {record.finished}, before it started")


def key(record: Record, files: Named) -> Iterator[Finding]:
    """Whether the key follows from what the record says of itself.

    Args:
        record: as it was read.
        files: of tasks and methods that came from files.
    """
    params = _params_of("method", record.method, files)
    hidden = sorted(record.method["changed"].keys() & settings.path_fields(params or BaseModel))
    if hidden:  # their contents are in the key, and only their first digits on record
        yield Unchecked(
            f"not checked: its key, which holds what {', '.join(hidden)} of the method leads to"
        )
        return
    task = _params_of("task", record.task, files)
    keyed = {
        "task": [*_named(record.task), _task_values(record, task or BaseModel),
                 *_data(record.task)],
        "method": [*_named(record.method), record.method["params"],
                   record.method.get("source_sha256")],
        "preset": {k: v for k, v in record.preset_values.items() if k not in NOT_KEYED},
        "world_size": record.environment.get("world_size", 1),
    }  # fmt: skip
    if key_of(keyed) == record.fit_key:
        return
    if params is None or task is None:
        yield Unchecked("not checked: its key, which needs the files of its task and method")
    else:
        yield Problem("its key does not follow from its task, method, preset and settings")


def allowed(record: Record, files: Named) -> Iterator[Finding]:
    """Settings that a task or method of the version on record does not take: nothing ran so.

    Args:
        record: as it was read; it does not keep paths, so none is asked for.
        files: of tasks and methods that came from files.
    """
    owners: dict[Owner, dict[str, Any]] = {"task": record.task, "method": record.method}
    for owner, part in owners.items():
        with suppress(CwbenchError):  # it is not at hand
            cls = origin_of(owner, part, files).cls
            if cls.info.version == part["version"]:
                yield from _impossible(owner, cls.Params, part)


def _impossible(
    owner: Owner, params: type[BaseModel], part: Mapping[str, Any]
) -> Iterator[Problem]:
    fields, paths = params.model_fields, settings.path_fields(params)
    said = f"its {owner} {part['name']!r} takes no such settings"
    given = {k: v for k, v in part["params"].items() if k in fields.keys() - paths}
    for name in sorted(part["params"].keys() - fields.keys()):
        yield Problem(f"{said}: {owner}.{name} is none of them")
    try:
        read = settings.json_values(params(**given))
    except ValidationError as error:
        for found in error.errors():
            name = str(found["loc"][0]) if found["loc"] else ""
            if name not in paths and not (paths and not name):  # no path is on record
                typed = f".{name} = {brief(repr(found['input']))}" if name else ""
                yield Problem(f"{said}: {owner}{typed}: {brief(found['msg'])}")
        return
    for name, value in given.items():  # True == 1 == 1.0 in Python: each makes a key of its own
        if name in read and canonical(value) != canonical(read[name]):
            yield Problem(f"{said}: {owner}.{name} = {value!r}, where a run has {read[name]!r}")


def _named(part: Mapping[str, Any]) -> list[Any]:
    return [part["name"], part["version"]]


def _data(task: Mapping[str, Any]) -> list[Any]:
    return [task.get("fingerprint"), task.get("source_sha256")]


def _params_of(owner: Owner, part: Mapping[str, Any], files: Named) -> type[BaseModel] | None:
    """The settings of a task or method, None where it came from a file that is not at hand."""
    try:
        found: type[BaseModel] = origin_of(owner, part, files).cls.Params
    except CwbenchError:
        return None if from_file(part) else BaseModel
    return found


def _task_values(record: Record, params: type[BaseModel]) -> dict[str, Any]:
    """The task's settings as they are in its key: `cwbench.settings.keyed_values`."""
    fields = params.model_fields
    values = dict.fromkeys(name for name, field in fields.items() if field.exclude)
    values |= record.task["params"]
    for name in settings.path_fields(params):
        was_set = name in record.task["changed"] or fields[name].get_default() is not None
        if was_set and not fields[name].exclude:
            values.pop(name, None)
    return values


def origin(record: Record) -> Iterator[Finding]:
    """Track, settings and what is named after them, by the record alone."""
    external = record.method.get("distribution") == "external"
    if external != (record.track == "external"):
        made = "comes from outside" if external else "was fitted here"
        yield Problem(f"it is on track {record.track}, but its method {made}")
    if (record.status == "ok") != (record.error is None):
        yield Problem(f"it is {record.status}, its error {record.error!r}")
    for name, part in (("task", record.task), ("method", record.method)):
        made, source = str(part.get("distribution", "")), part.get("source_sha256")
        if made.startswith("cwbench ") and source:
            yield Problem(f"{name} is of cwbench, whose source is in no key, and names one")
        if from_file(part) and not source:
            yield Problem(
                f"{name} is of {brief(made, 40)}, whose source is in its key: it has none"
            )
        for key, value in part["changed"].items():
            kept = part["params"].get(key)
            if kept is not None and canonical(kept) != canonical(value):
                yield Problem(f"{name}.{key} is {kept!r} in its params, {value!r} in its label")


def data(record: Record) -> Iterator[Finding]:
    """Whether the data of a built-in task of this version follow from its settings.

    The cwbench that the record names excuses nothing: other data are another version of the task.
    """
    try:
        task, loaded = configured_task(record.task["name"], record.task["params"])
    except CwbenchError:
        return
    ours = is_ours("task", record.task) and loaded.distribution == "cwbench"
    if ours and not own_places(loaded, record.task):  # a folder's are in no record
        said = record.task.get("fingerprint")
        if record.task["version"] == task.info.version and task.fingerprint() != said:
            yield Problem(
                f"its data are others ({said}) than its task makes of its settings "
                f"({task.fingerprint()})"
            )


def facts(record: Record, request: Request) -> Iterator[Finding]:
    """What the installed task and method say of the same settings."""
    said = identity_of(request)
    owners = ("task",) if record.track == "external" or gone(request) else ("task", "method")
    for owner in owners:
        part = record.task if owner == "task" else record.method
        for name in FACTS[owner]:
            there, here = part[name], said[owner][name]  # how params are written: see `allowed`
            if there != here or (name != "params" and canonical(there) != canonical(here)):
                yield Problem(
                    f"{owner}.{name} is {there!r} on record, {here!r} by the "
                    f"{owner} of this version and its settings"
                )
    if gone(request) and record.track != "external":
        yield Unchecked(f"not redrawn: {getattr(request.method, 'reason', '')}")
    yield from _grid(record, request)


def gone(request: Request) -> bool:
    """Whether its method is not here as it was."""
    return hasattr(request.method, "reason")


def _grid(record: Record, request: Request) -> Iterator[Finding]:
    """NFE that the method does not have."""
    measured = [nfe for nfe in request.nfe if nfe is not None]
    if gone(request) or record.track == "external":
        return
    try:
        wanted = nfe_grid(request.method, request.method_params, measured or None, request.preset)
    except UsageError as error:
        yield Problem(f"NFE on record that its method does not have: {error}")
        return
    if not measured and wanted != (None,):
        yield Problem(f"its method is measured at NFE, and its metrics name none of {wanted}")
    if measured and (wanted == (None,) or None in request.nfe):
        yield Problem("its metrics name NFE, and not all of them do")


def preset(record: Record, files: Named) -> Iterator[Finding]:
    """Whether track and values of the preset follow from its name and the settings.

    Args:
        record: as it was read.
        files: of tasks that came from files.
    """
    try:
        task = origin_of("task", record.task, files).cls
    except CwbenchError:
        return
    if task.info.version != record.task["version"]:
        return
    base = _info(task, record).presets.get(record.preset)
    if base is None:
        yield Problem(f"{record.task['name']} has no preset {record.preset!r}")
        return
    said = Preset(**record.preset_values)
    track = "open" if keyed_preset(said) != keyed_preset(base) else "fixed"
    if record.track not in ("external", track):
        yield Problem(f"it is on track {record.track}, by the values of its preset on {track}")
    today = not older(record)
    try:
        asked = _asked(record, task, base)
    except UsageError as error:  # what is of these versions, they read
        why = brief(str(error))
        yield (
            Problem(f"its settings cannot be read back: {why}")
            if today
            else Unchecked(f"not checked: its preset against its settings of then: {why}")
        )
        return
    here, there = (one.model_dump(mode="json") for one in (asked, said))
    there |= record.preset_values  # as they are written, of which the key is made
    for name in here if today else [*keyed_preset(asked), "metrics"]:
        found, value = there[name], here[name]
        if canonical(found) != canonical(value):
            yield Problem(f"preset.{name} is {found!r}, by its name and settings {value!r}")


def _info(task: type[Task], record: Record) -> TaskInfo:
    """What the task says of itself under the settings on record, as far as they can be read."""
    elsewhere = settings.path_fields(task.Params) & record.task["changed"].keys()
    values = record.task["params"] | dict.fromkeys(elsewhere, ".")  # no path is on record
    with suppress(UsageError):
        return task.info_under(settings.validated(task.Params, values, "task"))
    return task.info


def _asked(record: Record, task: type[Task], base: Preset) -> Preset:
    """The preset that the settings make of the installed one.

    Raises:
        UsageError: if they cannot be read.
    """
    fields = {
        "task": task.Params.model_fields,
        "method": record.method["params"],
        "preset": Preset.model_fields,
    }
    owned = settings.split(record.settings, fields)["preset"]
    return settings.validated(Preset, base.model_dump() | owned, "preset")


def versions(record: Record, request: Request) -> Iterator[Finding]:
    """What is of another version here than on record."""
    installed = {m.info.name: m.info.version for m in request.metrics.values()}
    on_record: dict[str, set[int]] = {}
    for identifier, entry in record.metrics.items():
        on_record.setdefault(_known(identifier, installed), set()).add(entry.version)
    for name, found in sorted(on_record.items()):
        present = installed.get(name)
        if present is None:
            yield Unchecked(f"not checked: {name}, which is not installed")
        elif max(found) > present or min(found) < 1:
            yield Problem(f"{name} is version {sorted(found)}, {present} is the latest known here")
        elif found != {present}:
            yield Unchecked(
                f"not checked: {name} is version {sorted(found)}, {present} is installed"
            )


def _known(identifier: str, installed: Mapping[str, int]) -> str:
    """The name of the metric of an id; that of a set metric has its size at the end."""
    name = identifier.partition("@")[0]
    shorter, _, size = name.rpartition("-")
    return shorter if name not in installed and size.isdigit() and shorter in installed else name
