"""Files of plugins that the person at the keyboard names for records: `--method ./mine.py:Mine`.

A record of a task, method or metric from a file says what it was called, its file's last name and
the hash of its source. None of that is ever imported: whoever wants it made again names the file,
whose hash has to be the one on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cwbench import registry
from cwbench.errors import CwbenchError, UsageError
from cwbench.records.record import Record, from_file

Owner = Literal["task", "method"]
SHORT = 8
"""Digits of a hash that are shown."""


class OtherDataError(CwbenchError):
    """What was named, data or source, is not what the record was made of."""

    def __init__(
        self, text: str, owner: Owner = "task", tried: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Keep what was tried.

        Args:
            text: the message.
            owner: whose files or folders they are.
            tried: these by setting, each of which leads to other data.
        """
        super().__init__(text)
        self.owner, self.tried = owner, tried


class OtherSourceError(OtherDataError):
    """The file of a plugin that was named is not the one on record: it was edited since."""


@dataclass(frozen=True)
class Named:
    """Loaded classes of files by what was typed."""

    task: Mapping[str, registry.Loaded] = field(default_factory=dict)
    method: Mapping[str, registry.Loaded] = field(default_factory=dict)
    metrics: Mapping[str, registry.Loaded] = field(default_factory=dict)

    def of(self, owner: Owner) -> Mapping[str, registry.Loaded]:
        """Those of tasks or of methods."""
        return self.task if owner == "task" else self.method


NOTHING = Named()


def named(
    task: Iterable[str] = (), method: Iterable[str] = (), metrics: Iterable[str] = ()
) -> Named:
    """Load the files that are named.

    Args:
        task: each `./file.py:ClassName`.
        method: likewise.
        metrics: likewise.

    Raises:
        UsageError: if one is no file; what is registered is found by the record's own name.
        ContractError: if one does not import, or keeps no contract.
    """
    return Named(_loaded("task", task), _loaded("method", method), _loaded("metric", metrics))


def _loaded(kind: registry.Kind, typed: Iterable[str]) -> dict[str, registry.Loaded]:
    option = "--metrics" if kind == "metric" else f"--{kind}"
    found = {}
    for each in typed:
        if not registry.in_file(each):
            raise UsageError(
                f"{option} {each}: a {kind} that is installed is found by the name on record; "
                f"this names one from a file, {option} ./file.py:ClassName"
            )
        found[each] = registry.load(kind, each)
    return found


def refuse_unasked(records: Iterable[Record], given: Named) -> None:
    """Go on if each file that is named calls itself as something on some record does.

    Raises:
        UsageError: naming what records have from files.
    """
    kept = list(records) if given != NOTHING else []
    for owner, typed in (("task", given.task), ("method", given.method)):
        parts = [getattr(record, owner) for record in kept]
        _refuse(owner, typed, {part["name"] for part in parts if from_file(part)})
    entries = [entry for record in kept for entry in record.metrics.items()]
    sourced = {i.partition("@")[0] for i, entry in entries if entry.source_sha256}
    _refuse("metric", given.metrics, sourced)


def _refuse(kind: str, typed: Mapping[str, registry.Loaded], there: set[str]) -> None:
    for name, origin in typed.items():
        called = origin.cls.info.name
        if called not in there:
            known = ", ".join(sorted(there)) or "none"
            raise UsageError(
                f"{name} calls itself {called!r}; no record has a {kind} of that name from a file "
                f"({kind}s from files on record: {known})"
            )


def origin_of(owner: Owner, part: Mapping[str, Any], given: Named = NOTHING) -> registry.Loaded:
    """The class of a task or method on record: installed by its name, or from a file named here.

    Raises:
        UsageError: if it came from a file that is not named, or from outside.
        OtherSourceError: if the file that is named is not the one it was made of.
        CwbenchError: if it is not installed, or does not import.
    """
    name = str(part["name"])
    if part.get("distribution") == "external":
        raise UsageError(f"the sampler {name!r} came from outside")
    if not from_file(part):
        return registry.load_installed(owner, name)
    alike = {t: each for t, each in given.of(owner).items() if each.cls.info.name == name}
    for origin in alike.values():
        if origin.source_sha256 == part.get("source_sha256"):
            return origin
    if alike:
        raise OtherSourceError(_other_source(f"{owner} {name!r}", owner, alike, part))
    file = part["distribution"]
    raise UsageError(
        f"{owner} {name!r} came from the file {file}, and nothing is imported because a record "
        f"names it; type --{owner} ./{file}:CLASS"
    )


def refuse_other_metrics(record: Record, given: Named) -> None:
    """Go on if the metrics named are those that the record's values are of, where it has any.

    Raises:
        OtherSourceError: if the source of one is not the one on record.
    """
    for typed, origin in given.metrics.items():
        called = origin.cls.info.name
        entries = [e for i, e in record.metrics.items() if i.partition("@")[0] == called]
        sources = {entry.source_sha256 for entry in entries}
        if sources and origin.source_sha256 not in sources:
            part = {"source_sha256": ", ".join(sorted(str(s)[:SHORT] for s in sources))}
            raise OtherSourceError(
                _other_source(f"metric {called!r}", "metrics", {typed: origin}, part)
            )


def own_metrics(record: Record, given: Named, apart: list[str]) -> Named:
    """The files without metrics that are others than those of the record's values.

    Args:
        record: has values of metrics.
        given: the files.
        apart: takes what is to be said of those that are left out.
    """
    kept = {}
    for typed, origin in given.metrics.items():
        try:
            refuse_other_metrics(record, Named(metrics={typed: origin}))
        except OtherSourceError as error:
            apart.append(str(error))
        else:
            kept[typed] = origin
    return replace(given, metrics=kept)


def _other_source(
    what: str, option: str, alike: Mapping[str, registry.Loaded], part: Mapping[str, Any]
) -> str:
    typed = ", ".join(f"{t} ({str(o.source_sha256)[:SHORT]})" for t, o in alike.items())
    cls = next(iter(alike)).rpartition(":")[2]
    return (
        f"the source of its {what} is not that of {typed}: on record is "
        f"{str(part.get('source_sha256'))[:SHORT]}. It changed since, or what it imports did; "
        f"name the file as it was, --{option} ./as-it-was.py:{cls}"
    )
