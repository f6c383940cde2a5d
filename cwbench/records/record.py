"""The record of a run, and the directory of records.

    RESULTS/runs/<task>/<method>/<preset>/<key>/seed-<s>/record.json

One directory a run and one writer; every file is written beside its place and renamed.
`record.json` holds no NaN: null and a status instead. Reading validates; what is truncated, foreign
or of a newer schema is named and skipped.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from cwbench.errors import CorruptFileError, CwbenchError, UsageError
from cwbench.machine.files import claim, claimed, write_atomically

if TYPE_CHECKING:
    import pandas as pd

    from cwbench.records.notebook import Pictures

SCHEMA = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For every older schema the step to the next one; a step changes no number."""

SEED = re.compile(r"seed-(\d+)")
Status = Literal["ok", "diverged", "failed", "timeout", "oom", "interrupted", "skipped"]
Track = Literal["fixed", "open", "external"]
NAMED = {"name": str, "version": int, "params": dict}
NUMBERS = {
    "value", "low", "high", "plug_in", "floor", "resolution", "p90", "n_observations", "n_samples",
    "version",
}  # fmt: skip


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
    metrics: dict[str, dict[str, Any]]
    diagnostics: dict[str, Any]
    cost: dict[str, Any]
    environment: dict[str, Any]
    files: dict[str, str]
    started: str
    finished: str
    directory: Path | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """The method with its settings: the name of its row."""
        return method_label(self.method["name"], self.method.get("changed", {}))

    @property
    def figures(self) -> list[Path]:
        """The figures of this run."""
        return sorted((self.directory / "figures").glob("*.png")) if self.directory else []

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
            raise UsageError(f"no {identifier!r} in {self.run_id}; it has {sorted(self.metrics)}")
        value: float | None = self.metrics[identifier]["value"]
        return value

    def to_json(self) -> str:
        """The JSON document; a number that is not finite becomes null."""
        content = {k: v for k, v in asdict(self).items() if k != "directory"}
        return json.dumps(finite(content), indent=1, allow_nan=False) + "\n"


def method_label(name: str, changed: Mapping[str, Any]) -> str:
    """`cot-fm (beta=10)`: settings that differ from the defaults make another row."""
    settings = ", ".join(f"{key}={value}" for key, value in sorted(changed.items()))
    return f"{name} ({settings})" if settings else name


def finite(value: Any) -> Any:
    """Replace every number that is not finite by None, in nested JSON values."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def key_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of what decides a fit."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse(text: str, origin: str) -> Record:
    """Read a record.

    Raises:
        CorruptFileError: if it is truncated, foreign or of a newer schema.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptFileError(f"{origin} is not a record: {error}") from None
    content = _upgraded(content, schema, origin)
    expected = {f.name for f in fields(Record)} - {"directory"}
    if set(content) != expected:
        odd = sorted(set(content) ^ expected)
        raise CorruptFileError(f"{origin} is not a record: unexpected or missing {', '.join(odd)}")
    try:
        record = _adapter().validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise CorruptFileError(f"{origin} is not a record: {where}: {problem['msg']}") from None
    _check_parts(record, origin)
    return record


def _upgraded(content: dict[str, Any], schema: Any, origin: str) -> dict[str, Any]:
    """The content in the present schema."""
    if type(schema) is not int or not min(UPGRADES, default=SCHEMA) <= schema <= SCHEMA:
        raise CorruptFileError(f"{origin} has schema {schema}; this cwbench reads up to {SCHEMA}")
    try:
        for step in range(schema, SCHEMA):
            content = UPGRADES[step](content) | {"schema": step + 1}
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(
            f"{origin} is not a record of schema {schema}: {type(error).__name__}: {error}"
        ) from None
    return content


@functools.cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def _check_parts(record: Record, origin: str) -> None:
    """Refuse a record that lacks what every reader relies on."""
    for name, entry in record.metrics.items():
        numbers = {k: v for k, v in entry.items() if k in NUMBERS and v is not None}
        odd = sorted(k for k, v in numbers.items() if type(v) not in (int, float))
        if odd:
            raise CorruptFileError(f"{origin} is not a record: {name}: {odd[0]} is no number")
    measured = {"value", "low", "high", "floor", "version"}
    parts = [("task", record.task, set(NAMED)), ("method", record.method, set(NAMED))]
    parts += [(name, entry, measured) for name, entry in record.metrics.items()]
    for name, part, wanted in parts:
        missing = sorted(wanted - set(part))
        if missing:
            raise CorruptFileError(f"{origin} is not a record: {name} lacks {', '.join(missing)}")
    for name, part in (("task", record.task), ("method", record.method)):
        for key, kind in NAMED.items():
            if type(part[key]) is not kind:
                told = f"{name}.{key} is no {kind.__name__}"
                raise CorruptFileError(f"{origin} is not a record: {told}")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} in JSON")


def results_directory(results: str | os.PathLike[str] | None = None) -> Path:
    """`results`, else `$CWBENCH_RESULTS`, else `./cwbench-results`."""
    return Path(results or os.environ.get("CWBENCH_RESULTS") or "cwbench-results")


def run_directory(results: Path, task: str, method: str, preset: str, key: str, seed: int) -> Path:
    """Where a run lives; names were checked against the registry's pattern."""
    return results / "runs" / task / method / preset / key[:16] / f"seed-{seed}"


def read(directory: Path) -> Record | None:
    """The record in a run's directory, or None.

    Raises:
        CorruptFileError: if the file is not a record.
    """
    path = directory / "record.json"
    if not path.is_file():
        return None
    record = parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
    record.directory = directory
    return record


def write(directory: Path, record: Record) -> None:
    """Write `record.json`, whole or not at all."""
    write_atomically(directory / "record.json", record.to_json().encode())
    record.directory = directory


@contextmanager
def single_writer(directory: Path) -> Iterator[None]:
    """Hold a run's directory; released by the system when the process ends, however it ends.

    Raises:
        CwbenchError: if another process computes this run.
    """
    lock = claim(directory)
    if lock is None:
        raise CwbenchError(f"another process computes the run in {directory}")
    try:
        yield
    finally:
        os.close(lock)


def is_running(directory: Path) -> bool:
    """Whether a process, here or on a machine that shares the file system, holds this run."""
    return claimed(directory)


def run_directories(results: Path) -> list[Path]:
    """The directories of all runs below `results`, with a record or not, sorted."""
    return [Path(place) for place in run_places(results)]


def run_places(results: Path) -> list[str]:
    """The same as strings: there are ten thousand of them."""
    places = [str(results / "runs")]
    for _ in range(5):
        places = [inner for place in places for inner in _subdirectories(place)]
    return [place for place in sorted(places) if SEED.fullmatch(os.path.basename(place))]  # noqa: PTH119


def _subdirectories(place: str) -> list[str]:
    """Of one directory; `os` rather than `Path`, since there are ten thousand of them."""
    try:
        with os.scandir(place) as entries:
            return [e.path for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []


def iterate(results: Path) -> Iterator[Record]:
    """All readable records below `results`; the others are warned of by name."""
    for directory in run_directories(results):
        try:
            record = read(directory)
        except (CorruptFileError, OSError) as error:
            warnings.warn(f"skipped: {error}", stacklevel=2)
            continue
        if record is not None:
            yield record


COLUMNS = (
    "run_id", "task", "task_version", "task_params", "method", "method_version", "method_params",
    "label", "preset", "track", "seed", "status", "metric", "nfe", "value", "low", "high",
    "plug_in", "floor", "resolution", "p90", "direction", "n_observations", "n_samples",
    "metric_version", "directory",
)  # fmt: skip


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """One row for each metric of a record, or a single one where there is none."""
    common = {
        "run_id": record.run_id,
        "task": record.task["name"],
        "task_version": record.task["version"],
        "task_params": json.dumps(record.task["params"], sort_keys=True),
        "method": record.method["name"],
        "method_version": record.method["version"],
        "method_params": json.dumps(record.method["params"], sort_keys=True),
        "label": record.label,
        "preset": record.preset,
        "track": record.track,
        "seed": record.seed,
        "status": record.status,
        "directory": str(record.directory),
    }
    for identifier, entry in (record.metrics or {"": {}}).items():
        metric, _, nfe = identifier.partition("@nfe=")
        values = {k: v for k, v in entry.items() if k in COLUMNS}
        yield (
            common
            | {"metric": metric or None, "nfe": nfe or None}
            | values
            | {"metric_version": entry.get("version")}
        )


def load_records(results: str | os.PathLike[str] | None = None) -> pd.DataFrame:
    """Tidy records, a row per run and metric; `nfe` is a string such as "10" or "adaptive".

    The column `origin` says `yours`, or `cwbench` for the records that come with the package. A run
    that both have is given once, yours.

    Args:
        results: the results directory. Default: `$CWBENCH_RESULTS`, else `./cwbench-results`, and
            the records that come with the package.
    """
    import pandas as pd

    from cwbench.records.shipped import sources

    frames: list[pd.DataFrame] = []
    for place, origin, home in sources(results):
        frame, problems = table(place, home)
        for problem in problems.values():
            warnings.warn(f"skipped: {problem}", stacklevel=2)
        known = {run_id for earlier in frames for run_id in earlier["run_id"]}
        frames.append(frame[~frame["run_id"].isin(known)].assign(origin=origin))
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def table(results: Path, home: Path | None = None) -> tuple[pd.DataFrame, dict[Path, str]]:
    """The tidy records, and by directory what is wrong with those that cannot be read.

    `home` is where the index is, if not in the results directory.
    """
    from cwbench.records import index

    return index.table(results, run_directories(results), _rows_in, COLUMNS, home)


def _rows_in(directory: Path) -> list[dict[str, Any]]:
    record = read(directory)
    return list(rows(record)) if record else []
