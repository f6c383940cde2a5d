"""The record of a run, as it stands in `record.json`.

It holds no NaN: null and a status instead. Reading validates; what is truncated, foreign or of a
newer schema is refused with what is wrong. `cwbench.records.runs` knows where records lie.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from cwbench import registry
from cwbench.errors import ContractError, CorruptFileError, NewerSchemaError, UsageError
from cwbench.machine.seals import BLANK, is_sealed, sealed
from cwbench.preset import Preset
from cwbench.records.entry import Entries
from cwbench.records.schema import Document, cleaned, contradiction
from cwbench.settings import SHORT, shown

if TYPE_CHECKING:
    from cwbench.records.notebook import Pictures

SCHEMA = 1
MOST = 16 * 2**20
"""Bytes of a `record.json` that is read: the largest that comes with cwbench has 40 kB."""
MOST_SAID = MOST // 4
"""Bytes of what a plugin says beside its numbers."""
Status = Literal["ok", "diverged", "failed", "timeout", "oom", "interrupted", "skipped"]
Track = Literal["fixed", "open", "external"]
SEAL_START = b'"seal": "'
NOT_WRITTEN = ("directory", "sealed")
OPTIONAL = {"edited", "seal"}
"""Names that records of before 0.2.0 lack."""


@dataclass
class Record:
    """A run and what came of it; attributes as in `record.json`."""

    schema: int
    run_id: str
    fit_key: str
    status: Status
    error: str | None
    task: dict[str, Any]
    method: dict[str, Any]
    preset: str
    preset_values: dict[str, Any]
    settings: dict[str, Any]
    track: Track
    seed: int
    metrics: Entries
    diagnostics: dict[str, Any]
    cost: dict[str, Any]
    environment: dict[str, Any]
    files: dict[str, str]
    started: str
    finished: str
    edited: bool = False
    """Whether it was changed by hand and sealed anew (`cwbench seal`)."""
    sealed: bool = field(default=False, compare=False)
    """Whether it was read from a file with a seal that holds; records of before 0.2.0 have none."""
    directory: Path | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """The method with its settings: the name of its row."""
        return label_of(self.method)

    @property
    def fit_id(self) -> str:
        """Which fit its model is of."""
        return fit_id(self.task["name"], self.fit_key, self.seed)

    @property
    def figures(self) -> list[Path]:
        """The figures of this run."""
        return sorted((self.directory / "figures").glob("*.png")) if self.directory else []

    @property
    def seal(self) -> str:
        """What its seal says: `sealed`, `edited by hand, then sealed`, or `unsealed`."""
        if not self.sealed:
            return "unsealed"
        return "edited by hand, then sealed" if self.edited else "sealed"

    def __str__(self) -> str:
        """Its table, as `cwbench run` prints it."""
        from cwbench.records.tables import run_table

        return run_table(self)

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from cwbench.records.notebook import record_html

        return record_html(self)

    def show(self, *names: str) -> Pictures:
        """The figures of this run, or those named, for a notebook to show.

        Raises:
            UsageError: if there is none of a name, or none at all.
        """
        from cwbench.records.notebook import Pictures

        return Pictures.of(self, names)

    def value(self, metric: str, nfe: int | str | None = None) -> float | None:
        """The debiased value of a metric, by id or by name and NFE.

        Raises:
            UsageError: if the record has no such metric.
        """
        identifier = metric if nfe is None else f"{metric}@nfe={nfe}"
        if identifier not in self.metrics:
            has = f"it has {sorted(self.metrics)}" if self.metrics else "it has no metric"
            why = f" ({self.status}: {self.error})" if self.error else ""
            raise UsageError(f"no {identifier!r} in {self.run_id}{why}; {has}")
        value: float | None = self.metrics[identifier]["value"]
        return value

    def to_json(self) -> str:
        """The JSON document; a number that is not finite becomes null."""
        content = {k: v for k, v in asdict(self).items() if k not in NOT_WRITTEN}
        return json.dumps(finite(content), indent=1, allow_nan=False) + "\n"

    def to_bytes(self) -> bytes:
        """The content of `record.json`: the JSON document with its seal at the end."""
        text = self.to_json().removesuffix("\n}\n")
        return sealed(f'{text},\n "seal": "{BLANK.decode()}"\n}}\n'.encode(), SEAL_START)


def method_label(name: str, changed: Mapping[str, Any]) -> str:
    """`cot-fm (beta=10)`: settings that differ from the defaults make another row."""
    settings = ", ".join(f"{key}={shown(value)}" for key, value in sorted(changed.items()))
    return f"{name} ({settings})" if settings else name


def label_of(method: Mapping[str, Any]) -> str:
    """The label of a method on record; one from a file that takes an installed name, with its file.

    Args:
        method: as the record has it.
    """
    name = method["name"]
    if from_file(method) and any(p.name == name for p in registry.plugins()):
        name = f"{name} [{method['distribution']}]"
    return method_label(name, method["changed"])


def preset_label(identity: Mapping[str, Any]) -> str:
    """`smoke (steps=800)`: the preset of a record, with the values of it that were set."""
    owners = [identity[owner]["params"] for owner in ("task", "method")]
    own = Preset.model_fields.keys() - {name for params in owners for name in params}
    bare = {key.removeprefix("preset."): value for key, value in identity["settings"].items()}
    given = {
        name: value
        for name, value in bare.items()
        if name in own or f"preset.{name}" in identity["settings"]
    }
    return method_label(identity["preset"], given)


def from_file(part: Mapping[str, Any]) -> bool:
    """Whether the task or method on record came from a file, not from a distribution."""
    return str(part.get("distribution", "")).endswith(".py")


def without_paths(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record's content without the folders that records of before 0.2.0 name.

    Args:
        content: with the keys `task`, `method` and `settings`; returned as it is if it has none.
    """
    odd = {
        (owner, name)
        for owner in ("task", "method")
        for name, value in content[owner]["params"].items()
        if isinstance(value, str) and os.path.isabs(value)  # noqa: PTH117 - of ten thousand records
    }
    if not odd:
        return content
    data = str(content["task"].get("fingerprint"))[:SHORT]
    parts: dict[str, Any] = {"settings": dict(content["settings"])}
    for owner in ("task", "method"):
        names = [name for whose, name in odd if whose == owner]
        told = dict.fromkeys(names, data if owner == "task" else "file")
        shown = {name: told[name] for name in names if name in content[owner]["changed"]}
        parts[owner] = content[owner] | {
            "params": content[owner]["params"] | dict.fromkeys(names),
            "changed": content[owner]["changed"] | shown,
        }
        for name in names:
            for key in parts["settings"].keys() & {name, f"{owner}.{name}"}:
                parts["settings"][key] = told[name]
    return {**content, **parts}


def finite(value: Any) -> Any:
    """Replace every number that is not finite by None, in nested JSON values."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def recordable(value: Any, name: str) -> dict[str, Any]:
    """What a plugin has to say beside its numbers, as a record holds it and reads it back.

    Raises:
        ContractError: if it is no dictionary, or holds something that JSON cannot.
    """
    if not isinstance(value, dict):
        raise ContractError(f"{name} are a {type(value).__name__}; a dict is needed")
    try:
        text = json.dumps(finite(value), allow_nan=False)
        kept: dict[str, Any] = cleaned(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"{name} are nothing that JSON holds: {error}") from None
    if len(text) > MOST_SAID:
        raise ContractError(f"{name} are {len(text):,} bytes of JSON; {MOST_SAID:,} are the most")
    return kept


def canonical(content: Any) -> str:
    """The one JSON text of a value, of which keys are made: `true`, `1` and `1.0` are three."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def key_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of what decides a fit."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def fit_id(task: str, fit_key: str, seed: int) -> str:
    """Which fit a model or checkpoint is of; it stands inside the file."""
    return f"{task} {fit_key} seed {seed}"


def parse(text: str | bytes, origin: str, *, anew: bool = False) -> Record:
    """Read a record.

    Args:
        text: of `record.json`.
        origin: what errors call it.
        anew: whether its seal may be broken, since it is about to be sealed.

    Raises:
        CorruptFileError: if it is truncated, foreign, of a newer schema, or not as it was sealed.
    """
    stored = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    whole = is_sealed(stored, SEAL_START)
    try:
        content = cleaned(
            json.loads(stored.decode(errors="replace"), parse_constant=_refuse_constant)
        )
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(f"{origin} is not a record: {error}") from None
    if type(schema) is not int or schema != SCHEMA:
        newer = type(schema) is int and schema > SCHEMA
        refused = NewerSchemaError if newer else CorruptFileError
        raise refused(f"{origin} has schema {schema}; this cwbench reads {SCHEMA}")
    others = sorted((set(content) ^ EXPECTED) - OPTIONAL)
    if others:
        names = ", ".join(others)
        raise CorruptFileError(f"{origin} is not a record: unexpected or missing {names}")
    try:
        odd = contradiction(Document.model_validate(content))
        holds = _sealed(content, whole=whole, anew=anew, origin=origin)
        record = _adapter().validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise CorruptFileError(f"{origin} is not a record: {where}: {problem['msg']}") from None
    if odd:
        raise CorruptFileError(f"{origin} is not a record: {odd}")
    record.sealed = holds
    return record


def _sealed(content: dict[str, Any], *, whole: bool, anew: bool, origin: str) -> bool:
    """Whether a record has a seal, which is taken out of the content.

    Raises:
        CorruptFileError: if the seal is broken.
    """
    has_seal = content.pop("seal", None) is not None
    if has_seal and not whole and not anew:
        raise CorruptFileError(
            f"{origin} is not as it was sealed: damaged, or edited by hand; `cwbench seal` seals "
            "what was edited on purpose, and marks it"
        )
    return whole


@functools.cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


EXPECTED = {f.name for f in fields(Record)} - {*NOT_WRITTEN}


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} in JSON")
