"""Whether records can be believed: what a submission is checked for before it is merged.

A record is read by the schema, lies where its key says, names the files beside it by their hashes,
and its values are the means of those by observation. Where samples are stored they are scored again
and must give the values on record. Where a model is stored it draws for fresh observations, which
nobody has seen before: its score there and the one on record are means over independent
observations, and a gap above three standard errors of their difference is flagged. About 3 in 1,000
honest records of 50 observations or more are, 4 of 30 and 10 of the 8 of preset `smoke` (of
Student's t), so a flag asks for a second look.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cwbench.errors import CorruptFileError, CwbenchError, UsageError
from cwbench.judging.by_observation import ObservationJudge
from cwbench.metric import Metric
from cwbench.preset import NFE
from cwbench.records import runs as records
from cwbench.records import storage
from cwbench.records.record import Record, key_of
from cwbench.records.values import gathered
from cwbench.running.named import NOTHING, Named, OtherDataError, refuse_unasked
from cwbench.running.outcome import is_present
from cwbench.running.recorded import metric_id
from cwbench.running.remade import other_distributions, refuse_other_settings
from cwbench.running.request import Request
from cwbench.running.run import Runner
from cwbench.running.score import request_of

GAP = 3.0
"""Standard errors between the score on record and the one on fresh observations."""
AGREEMENT = 1e-6
"""Of a value that is computed again from the same samples, relative."""


@dataclass
class Verified:
    """What was found about a run: `problems` refuse it, `notes` are to be known."""

    directory: Path
    name: str = ""
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rescored: bool = False
    """Whether stored samples were scored again."""
    fresh: bool = False
    """Whether a stored model was scored on fresh observations."""

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "directory": str(self.directory), "name": self.name, "sound": self.sound,
            "problems": self.problems, "notes": self.notes, "rescored": self.rescored,
            "fresh": self.fresh,
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"  PROBLEM {problem}" for problem in self.problems]
        lines += [f"  {note}" for note in self.notes]
        head = f"{'ok     ' if self.sound else 'REFUSED'} {self.name or self.directory}"
        return "\n".join([head, *lines])


def verify(
    results: Path,
    *,
    fresh: bool = True,
    settings: Mapping[str, Any] | None = None,
    files: Named = NOTHING,
) -> Iterator[Verified]:
    """Check the runs below a results directory, one by one; nothing is written there.

    Args:
        results: the directory that holds `runs`.
        fresh: score stored models on fresh observations.
        settings: where files or folders of tasks and methods lie, `{"root": "pictures"}`.
        files: of tasks, methods and metrics that came from files.

    Raises:
        UsageError: if there is no run, or none has such a setting or plugin.
    """
    directories = records.run_directories(results)
    if not directories:
        raise UsageError(
            f"no runs in {str(results)!r}; give a results directory, which holds "
            "runs/<task>/<method>/<preset>/<key>/seed-<s>"
        )
    given = settings or {}
    if given:
        refuse_other_settings(_readable(directories), given, files)
    refuse_unasked(_readable(directories), files)
    seen: dict[str, Path] = {}
    for directory in directories:
        found = Verified(directory)
        try:
            record = records.read(directory)
        except (CorruptFileError, OSError) as error:
            found.problems.append(str(error))
        else:
            if record is None:
                found.problems.append(f"{directory} has no record.json")
            else:
                _check(record, found, fresh=fresh, given=given, files=files)
                if record.run_id in seen:
                    found.problems.append(f"run {record.run_id} again, as in {seen[record.run_id]}")
                seen.setdefault(record.run_id, directory)
        yield found


def _readable(directories: Iterable[Path]) -> Iterator[Record]:
    for directory in directories:
        with suppress(CorruptFileError, OSError):
            record = records.read(directory)
            if record is not None:
                yield record


def _check(
    record: Record, found: Verified, *, fresh: bool, given: Mapping[str, Any], files: Named
) -> None:
    directory = found.directory
    found.name = f"{record.task['name']} / {record.label} / {record.preset} / seed {record.seed}"
    found.problems += _misplaced(record, directory)
    found.problems += _changed_files(record, directory)
    found.notes += _origin(record)
    try:
        gathered("", record)
    except CorruptFileError as error:
        found.problems.append(str(error))
    if record.status != "ok":
        found.notes.append(f"{record.status}: {(record.error or '').partition(chr(10))[0]}")
        return
    try:
        request = request_of(record, settings=given, files=files)
    except OtherDataError as error:
        found.problems.append(str(error))
        return
    except CwbenchError as error:
        found.notes.append(f"not scored again: {error}")
        return
    found.notes += _versions(record, request)
    found.notes += other_distributions(record, request.task_origin, request.method_origin)
    if found.problems:  # what is not as recorded is not worth the time
        return
    try:
        _score(record, request, found)
        if fresh and (directory / storage.MODEL).is_file():
            _score_fresh(record, request, found)
    except Exception as failure:  # noqa: BLE001 - of a plugin; the next record is checked
        found.problems.append(f"scoring failed: {type(failure).__name__}: {failure}")


def _misplaced(record: Record, directory: Path) -> list[str]:
    """Names in the record that are not those of its directory."""
    task, method, preset, key, seed = directory.parts[-5:]
    wanted = {
        "task": (record.task["name"], task), "method": (record.method["name"], method),
        "preset": (record.preset, preset), "fit_key": (record.fit_key[:16], key),
        "seed": (f"seed-{record.seed}", seed),
        "run_id": (record.run_id, f"{record.fit_key[:16]}-{record.seed}"),
    }  # fmt: skip
    return [
        f"{name} is {said!r} in the record, {there!r} by its place"
        for name, (said, there) in wanted.items()
        if said != there
    ]


def _changed_files(record: Record, directory: Path) -> list[str]:
    hashes = storage.hashes(directory)
    changed = [n for n, sha in hashes.items() if record.files.get(n, sha) != sha]
    unnamed = sorted(hashes.keys() - record.files.keys())
    return [f"{name} is not the file the record names" for name in changed] + [
        f"{name} is not named in the record" for name in unnamed
    ]


def _origin(record: Record) -> list[str]:
    origin = f"cwbench {record.environment.get('cwbench')}, {record.method.get('distribution')}"
    return [origin + (", uncommitted changes" * bool(record.environment.get("dirty")))]


def _versions(record: Record, request: Request) -> list[str]:
    """What is of another version here than on record."""
    notes = []
    if key_of(request.keyed()) != record.fit_key:
        notes.append("its key is not the one that its settings give with what is installed")
    installed = {m.info.name: m.info.version for m in request.metrics.values()}
    for name in sorted({identifier.partition("@")[0] for identifier in record.metrics}):
        versions = {e["version"] for i, e in record.metrics.items() if i.partition("@")[0] == name}
        if name in installed and versions != {installed[name]}:
            notes.append(f"{name} is version {sorted(versions)}, {installed[name]} is installed")
    return notes


def _score(record: Record, request: Request, found: Verified) -> None:
    """Score stored samples again."""
    samples = storage.load_samples(found.directory)
    judge = ObservationJudge(request.task, request.preset)
    again = 0
    for nfe in request.nfe:
        drawn = samples.get("samples" if nfe is None else f"samples@nfe={nfe}")
        for metric in request.metrics.values():
            recorded = _comparable(record, request, metric, nfe)
            if drawn is None or recorded is None or not drawn.isfinite().all():
                continue
            value = float(judge.score(metric, drawn).value.mean())
            again += 1
            if not math.isclose(value, recorded, rel_tol=AGREEMENT, abs_tol=1e-9):
                found.problems.append(
                    f"{metric_id(metric, nfe)} is {recorded:.6g} on record, {value:.6g} from "
                    "the samples beside it"
                )
    found.rescored = again > 0
    found.notes.append(f"{again} values scored again from samples" if again else "no samples")


def _comparable(record: Record, request: Request, metric: Metric, nfe: NFE | None) -> float | None:
    """The value on record, if it is of the metric that is installed, and of the samples."""
    if not metric.from_stored or not is_present(record.metrics, request, metric, nfe):
        return None
    return record.metrics[metric_id(metric, nfe)].value


def _score_fresh(record: Record, request: Request, found: Verified) -> None:
    """Score the stored model by the main metric where nobody has judged it yet."""
    metric = request.metrics.get(request.task.main_metric)
    nfe = _judged(request)
    recorded = _comparable(record, request, metric, nfe) if metric else None
    if metric is None or recorded is None or not metric.by_observation:
        return
    judge = ObservationJudge(request.task, request.preset)
    judge.key = (*judge.key, "verify")
    runner = Runner(request, found.directory, torch.device("cpu"), recorded_in=found.directory)
    samples = runner.draw_again(record, judge.observations.y, nfe)
    values: Tensor = judge.score(metric, samples).value
    gap = float(values.mean()) - recorded
    error = math.hypot(float(values.std()) / len(values) ** 0.5, _error(record, metric, nfe))
    note = (
        f"{metric_id(metric, nfe)} on fresh observations {float(values.mean()):.4g}, on record "
        f"{recorded:.4g}: {abs(gap) / error:.1f} standard errors apart"
    )
    found.fresh = True
    (found.problems if abs(gap) > GAP * error else found.notes).append(note)


def _judged(request: Request) -> NFE | None:
    """The NFE that ranks, or the last on record."""
    main = request.task.info.main_nfe
    return main if main in request.nfe else request.nfe[-1]


def _error(record: Record, metric: Metric, nfe: NFE | None) -> float:
    """The standard error of the value on record, over observations."""
    wanted = str(nfe) if nfe else ""
    values = next(
        e.values
        for e in gathered("", record).entries
        if (e.metric, e.nfe) == (metric.info.name, wanted)
    )
    return float(values.std(ddof=1) / len(values) ** 0.5)
