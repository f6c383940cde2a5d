"""What may stand in a `record.json`: types, ranges and names of all that a reader relies on.

A record is input: others send theirs. Everything that shows, ranks or draws reads records through
`cwbench.records.record.parse`, which asks here, so no reader needs to defend itself. Names match
the registry's grammar: one that is a path or a formula is refused. Texts come out as a terminal may
show them: control characters and overrides of direction written out, what is too long cut.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

LONGEST = 20_000
"""Characters of a text beyond which a record's is cut; tracebacks stay below it."""
BRIEF = 300
"""Characters of a text in a table."""
LARGEST = 2**63
"""Integers are smaller in size: a number of 400 digits is no count."""
DEEPEST = 8
"""Levels of nesting."""

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but newline and tab, marks and overrides of direction, lone surrogates."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
MetricId = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,79}(@nfe=([0-9]{1,9}|adaptive))?$")
]
NFEText = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,9}|adaptive)$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Count = Annotated[int, Field(ge=0, lt=LARGEST)]
Number = Annotated[int, Field(gt=-LARGEST, lt=LARGEST)] | float
Spent = Annotated[int, Field(ge=0, lt=LARGEST)] | Annotated[float, Field(ge=0)]
"""Seconds, memory, evaluations."""
Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-zA-Z-]{0,80}$")]
Date = Annotated[str, StringConstraints(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}[0-9T:.+-]{0,30})?$")]


class _Part(BaseModel):
    """An object of a record, which may hold further names."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Plugin(_Part):
    """What names a task and a method alike; `params` are checked where they are used."""

    name: Name
    version: Count
    params: dict[str, Any]
    changed: dict[str, Any]
    distribution: str = ""
    source_sha256: Hash | None = None


class _Task(_Plugin):
    main_metric: Name
    main_nfe: Count | NFEText
    second_nfe: Count | NFEText
    group: str
    x_shape: list[Count]
    fingerprint: str = ""  # a task of somebody else's may return any text


class _Method(_Plugin):
    role: str
    needs: list[Name] = []
    excused: dict[Name, str] = {}


class _Sampling(_Part):
    seconds: Spent | None = None
    evaluations: Spent | None = None
    jacobians: Spent | None = None
    operators: Spent | None = None


class _Cost(_Part):
    """What a run spent by name, and what a draw costs by NFE: `1` where a sampler has none."""

    __pydantic_extra__: dict[str, Spent | None] = Field(init=False)
    sampling: dict[NFEText, _Sampling] = {}


class Document(_Part):
    """A record but for its status and its entries, which `Record` checks itself."""

    status: Any

    run_id: Hash
    fit_key: Hash
    task: _Task
    method: _Method
    preset: Name
    seed: Count
    metrics: dict[MetricId, Any]
    cost: _Cost
    environment: dict[str, str | bool | Number | None]
    files: dict[FileName, Hash]
    started: Date
    finished: Date
    edited: bool = False
    seal: Hash | None = None


def contradiction(document: Document) -> str:
    """What a record says of a part that it does not have, else empty.

    A run that was cut off may have drawn at an NFE and measured nothing there.
    """
    measured = {identifier.partition("@nfe=")[2] or "1" for identifier in document.metrics}
    unknown = document.cost.sampling.keys() - measured
    if unknown and document.status == "ok":
        return f"cost.sampling names NFE {', '.join(sorted(unknown))}, at which it has no metric"
    return ""


def cleaned(value: Any, depth: int = DEEPEST) -> Any:
    """A JSON value whose texts may be shown.

    Raises:
        ValueError: for a number that is not finite or has hundreds of digits, and for a nesting
            deeper than `DEEPEST`.
    """
    kind = type(value)  # JSON has no subclasses; ten thousand records are millions of values
    if kind is float:
        if not math.isfinite(value):
            raise ValueError("a number is too large")
    elif kind is str:
        return shown(value)
    elif kind is int:
        if abs(value) >= LARGEST:
            raise ValueError(f"an integer of {len(str(abs(value)))} digits")
    elif kind is dict or kind is list:
        if not depth:
            raise ValueError(f"nested deeper than {DEEPEST} levels")
        if kind is dict:
            return {
                shown(key): item if item is None else cleaned(item, depth - 1)
                for key, item in value.items()
            }
        return [cleaned(item, depth - 1) for item in value]
    return value


def brief(text: str, most: int = BRIEF) -> str:
    """A text as it may be shown in a table: in one line, and cut where it is long."""
    line = " ".join(shown(text).split("\n")) if "\n" in text else shown(text)
    return line if len(line) <= most else f"{line[:most]}... ({len(text):,} characters)"


def shown(text: str) -> str:
    """A text as it may be shown: what would be obeyed is written out, what is too long is cut."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}... ({len(text):,} characters)"
    if text.isascii() and text.isprintable():  # nearly all: ten thousand records are read at once
        return text
    return HIDDEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
