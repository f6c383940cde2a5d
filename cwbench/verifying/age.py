"""How old a record is: what its versions show, and what it only says.

`environment.cwbench` stands in no key, and whoever edits a record writes what he likes there: it
excuses nothing. A version of the task or the method stands in the key, so that a record that says
an older one has a board or a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cwbench import registry
from cwbench.errors import CwbenchError
from cwbench.records.record import Record, from_file
from cwbench.records.schema import brief
from cwbench.running.named import Owner, origin_of
from cwbench.verifying.found import Finding, Problem, Unchecked
from cwbench.version import VERSION

LATER: Mapping[str, frozenset[str]] = {
    "0.1.0": frozenset({"complement-error", "energy-white", "ew2sq-leading"}),
}
"""By release, the metrics that runs take by themselves since then: a record of that release may
lack them. A release that is not named here took what this version takes."""


class Part(NamedTuple):
    """A task or method on record that is installed."""

    owner: Owner
    part: Mapping[str, Any]
    latest: int
    """Its version here."""
    ours: bool
    """Whether it comes with cwbench."""


def is_ours(owner: Owner, part: Mapping[str, Any]) -> bool:
    """Whether a task or method on record is one that comes with cwbench, by what is in its key.

    That is its name, and that it has no source of its own: what the record says of its distribution
    is in no key, and whoever copies a record writes what he likes there.
    """
    if part.get("source_sha256"):
        return False
    name = str(part["name"])
    return any(
        (p.kind, p.name, p.distribution) == (owner, name, "cwbench") for p in registry.plugins()
    )


def parts(record: Record) -> Iterator[Part]:
    """Task and method of a record that are installed."""
    owners: dict[Owner, dict[str, Any]] = {"task": record.task, "method": record.method}
    for owner, part in owners.items():
        if from_file(part):
            continue
        try:
            origin = origin_of(owner, part)
        except CwbenchError:  # not installed, or from outside
            continue
        yield Part(owner, part, origin.cls.info.version, origin.distribution == "cwbench")


def newer(record: Record) -> Iterator[Finding]:
    """A task or method of a version that nobody here knows."""
    for owner, part, latest, _ in parts(record):
        if part["version"] > latest:
            yield Problem(
                f"its {owner} {part['name']!r} was version {part['version']}, {latest} is the "
                "latest known here"
            )


def older(record: Record) -> bool:
    """Whether its task or method is one of cwbench's, of an older version than is installed."""
    return any(one.ours and one.part["version"] < one.latest for one in parts(record))


def other_suite(record: Record) -> str:
    """The cwbench that a record says made it, or shows, if that is not this one; else empty."""
    said = record.environment.get("cwbench")
    if said != VERSION:
        return brief(str(said), 40)
    return f"before {VERSION}" if older(record) else ""


def untold(record: Record) -> Iterator[Finding]:
    """What another cwbench than this one did otherwise, which nothing here can check."""
    said = other_suite(record)
    if said:
        yield Unchecked(f"not checked: what cwbench {said}, by its own word, did otherwise")


def may_lack(record: Record, metric: str) -> bool:
    """Whether an honest record may lack a metric that a run of this version takes by itself."""
    return older(record) or metric in LATER.get(other_suite(record), ())
