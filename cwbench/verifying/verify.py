"""Whether records can be believed: what a submission is checked for before it is merged.

Whoever edits a record on purpose makes its neighbours fit, so nothing is believed because a file
names its own hash. A record is held against itself (its key follows from its settings, its
intervals, floors and counts from its values by observation), against the task, method and metrics
that are installed, and against the other records: two seeds with the same values are one. Where
samples are stored they are scored again and must give the values on record. Where a model is stored
it draws for fresh observations, of a seed that is chosen now, so that nobody has seen them before:
its scores there and those on record are exchangeable, and a gap that 1 in 1,000 honest records has
by chance (of Student's t or the rank sum; 1 in 10,000 at NFE that do not rank) is refused, so a
refusal by that alone asks for a second look. What could not be checked is counted apart, and
called sound by nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cwbench import registry
from cwbench.errors import CorruptFileError, CwbenchError, UsageError
from cwbench.machine.guests import contained
from cwbench.records import beside
from cwbench.records import runs as records
from cwbench.records.record import Record
from cwbench.records.schema import LARGEST, brief
from cwbench.running.named import NOTHING, Named, OtherDataError, OtherSourceError, refuse_unasked
from cwbench.running.remade import other_distributions, refuse_other_settings
from cwbench.running.request import Request
from cwbench.running.score import request_of
from cwbench.verifying import age, identity, numbers, scoring, stored
from cwbench.verifying.fits import Fits
from cwbench.verifying.found import Finding, Problem, Unchecked, Verified
from cwbench.verifying.fresh import redrawn
from cwbench.verifying.model import StoredModel
from cwbench.verifying.neighbours import Neighbours
from cwbench.verifying.places import GivenPlaces

__all__ = ["Verified", "chosen_seed", "verify"]


def chosen_seed() -> int:
    """A seed of fresh observations that nobody can know before."""
    return secrets.randbelow(LARGEST)


def verify(
    results: Path,
    *,
    fresh: bool = True,
    settings: Mapping[str, Any] | None = None,
    files: Named = NOTHING,
    fresh_seed: int | None = None,
) -> Iterator[Verified]:
    """Check the runs below a results directory, one by one; nothing is written there.

    Args:
        results: the directory that holds `runs`.
        fresh: score stored models on fresh observations.
        settings: where files or folders of tasks and methods lie, `{"root": "pictures"}`; of
            `cwbench.settings.Several` each record takes its own. One that no record was made of
            refuses those that have nothing else.
        files: of tasks, methods and metrics that came from files.
        fresh_seed: of the fresh observations, to repeat those of before; default a new one.

    Raises:
        UsageError: if there is no run, or none has such a setting or plugin.
    """
    found = records.walked(results)
    directories = [Path(place) for place in found.runs]
    if not directories and not found.strays:
        raise UsageError(
            f"no runs in {str(results)!r}; give a results directory, which holds "
            "runs/<task>/<method>/<preset>/<key>/seed-<s>"
        )
    given = settings or {}
    if given:
        refuse_other_settings(_readable(directories), given, files)
    refuse_unasked(_readable(directories), files)
    seed = chosen_seed() if fresh_seed is None else fresh_seed
    places = GivenPlaces(given, files, lambda: _readable(directories))
    one = _Verification(places, files, seed if fresh else None)
    for directory in directories:
        yield one.verified(directory)
        yield from _strays(records.inside(directory))
    yield from _strays(found.strays)


def _strays(found: Mapping[Path, str]) -> Iterator[Verified]:
    """Records that nothing reads, since they lie where no run does: they are refused."""
    for directory, problem in found.items():
        yield Verified(directory, problems=[problem])


def _readable(directories: Iterable[Path]) -> Iterator[Record]:
    for directory in directories:
        with suppress(CorruptFileError, OSError):
            record = records.read(directory)
            if record is not None:
                yield record


class _Verification:
    """One pass over records, each of which is held against those before it.

    `seed` is that of fresh observations, None where none are drawn.
    """

    def __init__(self, places: GivenPlaces, files: Named, seed: int | None) -> None:
        self.places, self.files, self.seed = places, files, seed
        self.neighbours, self.fits, self.gaps = Neighbours(), Fits(), scoring.Gaps()

    def verified(self, directory: Path) -> Verified:
        """What is found about the run of a directory."""
        found = Verified(directory)
        try:
            record = records.read(directory)
        except (CorruptFileError, OSError) as error:
            found.take([Problem(str(error))])
            return found
        if record is None:
            found.take([Problem(f"{directory} has no record.json")])
            return found
        record.directory = directory.absolute()  # a plugin may go elsewhere
        found.name = (
            f"{record.task['name']} / {record.label} / {record.preset} / seed {record.seed}"
        )
        self._check(record, found)
        return found

    def _check(self, record: Record, found: Verified) -> None:
        """Everything, in the order of what it costs; what is not as recorded costs no more time."""
        found.suite = age.other_suite(record)
        for check in (identity.key, identity.allowed, identity.preset):
            found.take(_told(check, record, self.files))
        for part in (identity.place, _changed_files, _origin, identity.origin, age.newer,
                     identity.data, age.untold, numbers.consistent, numbers.sampled):  # fmt: skip
            found.take(_told(part, record))
        values = {} if found.refused else numbers.values_of(record)
        found.take(_told(self.neighbours.against, record, values))
        self._hold(record, values, found)
        if not found.refused:  # what is refused is no measure of others
            self.neighbours.remember(record, values)

    def _hold(self, record: Record, values: numbers.Values, found: Verified) -> None:
        """Against what is installed, and what is stored beside it."""
        if record.status != "ok":
            found.notes.append(f"{record.status}: {(record.error or '').partition(chr(10))[0]}")
            return
        request = self._request(record, found)
        if request is None:
            return
        for check in (identity.facts, identity.versions, _complete):
            found.take(_told(check, record, request))
        others = other_distributions(record, request.task_origin, request.method_origin)
        found.take(map(Finding, others))
        if not found.refused:
            found.take(_told(numbers.by_metric, record, request))
        if not found.refused:
            found.take(_told(scoring.gaussian_gap, record, request, self.gaps))
            found.take(_told(scoring.posterior_variance, record, request))
            found.take(_told(scoring.below_exact, record, request))
            self._again(record, request, values, found)

    def _request(
        self, record: Record, found: Verified, given: Mapping[str, Any] | None = None
    ) -> Request | None:
        """What measures it again; metrics that its preset lists and nobody can make are told.

        A file that was edited since contradicts nothing: it is told, too. So are files and folders
        of other records, where those of this one are not given.
        """
        given = self.places.given if given is None else given
        try:
            apart: list[str] = []
            with contained():
                request = request_of(record, settings=given, files=self.files, apart=apart)
            found.take([Unchecked(f"not checked: {text}") for text in apart])
            return request
        except OtherSourceError as error:
            found.take([Unchecked(f"not rescored: {error}")])
        except OtherDataError as error:
            if not self.places.of_others(error):
                found.take([Problem(str(error))])
                return None
            again = "rescored" if error.owner == "task" else "redrawn"
            others = "by one more --set; what is given is of other records here"
            found.take([Unchecked(f"not {again}: {error}, {others}")])
            if error.owner == "method":  # its samples can be scored without it
                return self._request(record, found, self.places.of_tasks)
        except CwbenchError as error:
            if record.preset_values.get("metrics"):
                values = record.preset_values | {"metrics": []}
                without = self._request(replace(record, preset_values=values), found, given)
                if without:
                    text = f"not checked: metrics that its preset lists: {brief(str(error))}"
                    found.take([Unchecked(text)])
                return without
            found.take([Unchecked(f"not rescored: {error}")])
        except Exception as failure:  # noqa: BLE001 - of a plugin; the next record is checked
            found.take([Problem(f"it cannot be made again: {type(failure).__name__}: {failure}")])
        return None

    def _again(
        self, record: Record, request: Request, values: numbers.Values, found: Verified
    ) -> None:
        """What is computed anew from what is stored."""
        try:
            with contained():
                again = scoring.rescored(record, request, values)
            found.take(again.findings)
            found.rescored = again.complete
            if stored.has_model(record):
                with contained():
                    found.take(scoring.parameters(record))
                    found.take(self._fresh(record, request, values, found))
        except Exception as failure:  # noqa: BLE001 - of a plugin; the next record is checked
            found.take([Problem(f"scoring failed: {type(failure).__name__}: {failure}")])

    def _fresh(
        self, record: Record, request: Request, values: numbers.Values, found: Verified
    ) -> list[Finding]:
        if self.seed is None:
            return [Unchecked("not redrawn: fresh observations were not asked for")]
        if identity.gone(request):  # told already
            return []
        model = StoredModel(record, request)
        own = scoring.drawn_again(record, request, model, values)
        again = redrawn(record, request, model, values, self.seed)
        findings = [*own.findings, *again.findings]
        if not (found.refused or any(isinstance(one, Problem) for one in findings)):
            findings += self.fits.against(record, request, scoring.judged_nfe(request), model)
        found.redrawn = again.complete and own.complete
        found.rescored = found.rescored and own.complete
        return findings


def _told(check: Callable[..., Iterable[Finding]], *arguments: Any) -> Iterator[Finding]:
    """The findings of a check; one that falls over odd content refuses the record."""
    try:
        with contained():
            yield from check(*arguments)
    except Exception as failure:  # noqa: BLE001 - records are input: the next one is checked
        name = getattr(check, "__name__", "check").strip("_")
        yield Problem(f"checking its {name} failed: {type(failure).__name__}: {failure}")


def _changed_files(record: Record) -> Iterator[Finding]:
    hashes = stored.hashes(record)
    for name, sha in hashes.items():
        if record.files.get(name, sha) != sha:
            yield Problem(f"{name} is not the file the record names")
    for name in sorted(record.files.keys() - {beside.MODEL, *beside.SWITCHED}):
        yield Problem(f"it names {name}, which is no file of a run")
    due = record.status == "ok" and record.files  # one that was cut off, or is older, names none
    for name in sorted(hashes.keys() - record.files.keys()):
        yield (Problem if due else Unchecked)(f"{name} is not named in the record")


def _origin(record: Record) -> Iterator[Finding]:
    origin = f"cwbench {record.environment.get('cwbench')}, {record.method.get('distribution')}"
    yield Finding(origin + (", uncommitted changes" * bool(record.environment.get("dirty"))))
    if record.seal != "sealed":
        yield Finding(record.seal)


def _complete(record: Record, request: Request) -> Iterator[Finding]:
    ours = {p.name for p in registry.plugins() if p.distribution == "cwbench"}
    measured = {name for name, metric in request.metrics.items() if _partly(record, metric)}
    due = {
        name: metric.info.by_default(request.task) and not age.may_lack(record, name)
        for name, metric in request.metrics.items()
        if name in ours | measured
    }
    yield from numbers.complete(record, request, due)


def _partly(record: Record, metric: Any) -> bool:
    return any(i.partition("@")[0] == metric.identifier for i in record.metrics)
