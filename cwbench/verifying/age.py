"""How old a record is: what its versions show, and what it only says.

`environment.cwbench` stands in no key, and whoever edits a record writes what he likes there: it
excuses nothing. A version of the task or the method stands in the key, so that a record that says
an older one has a board or a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cwbench.errors import CwbenchError
from cwbench.records.record import Record, from_file
from cwbench.records.schema import brief
from cwbench.running.named import Owner, origin_of
from cwbench.verifying.found import Finding, Problem, Unchecked
from cwbench.version import VERSION

LATER: Mapping[str, frozenset[str]] = {"0.1.0": frozenset()}
"""By release, the metrics that runs take by themselves since then: a record of that release may
lack them. A release that is not named here took what this version takes."""


def parts(record: Record) -> Iterator[tuple[Owner, Mapping[str, Any], int]]:
    """Task and method of a record that are installed, each with its version here."""
    owners: dict[Owner, dict[str, Any]] = {"task": record.task, "method": record.method}
    for owner, part in owners.items():
        if from_file(part):
            continue
        try:
            yield owner, part, origin_of(owner, part).cls.info.version
        except CwbenchError:  # not installed, or from outside
            continue


def newer(record: Record) -> Iterator[Finding]:
    """A task or method of a version that nobody here knows."""
    for owner, part, latest in parts(record):
        if part["version"] > latest:
            yield Problem(
                f"its {owner} {part['name']!r} was version {part['version']}, {latest} is the "
                "latest known here"
            )


def older(record: Record) -> bool:
    """Whether its task or method is of an older version than is installed."""
    return any(part["version"] < latest for _, part, latest in parts(record))


def other_suite(record: Record) -> str:
    """The cwbench that a record says made it, if that is not this one; else empty."""
    said = record.environment.get("cwbench")
    return "" if said == VERSION else brief(str(said), 40)


def untold(record: Record) -> Iterator[Finding]:
    """What another cwbench than this one did otherwise, which nothing here can check."""
    said = other_suite(record)
    if said:
        yield Unchecked(f"not checked: what cwbench {said}, by its own word, did otherwise")


def may_lack(record: Record, metric: str) -> bool:
    """Whether an honest record may lack a metric that a run of this version takes by itself."""
    return older(record) or metric in LATER.get(other_suite(record), ())
