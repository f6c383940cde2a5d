"""One run: fit a method on a task, sample, judge, record.

The same request again computes only what is missing. A run that was killed resumes from its last
checkpoint, and ends with the same numbers as one that was not (CPU, equal threads).

Here is what decides: what is on record, what is to be done, and how it ended. `fitting` fits,
`measuring` measures; both fill an `outcome`, of which the record is made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from cwbench.errors import CorruptFileError, CwbenchError, NewerSchemaError, UsageError
from cwbench.judging.difficulty import gap_facts
from cwbench.judging.judge import Judge
from cwbench.judging.units import scale_facts
from cwbench.machine import environment
from cwbench.machine.files import writable_directory
from cwbench.machine.guests import visiting
from cwbench.machine.processes import Processes
from cwbench.machine.signals import stop_on_signal
from cwbench.machine.torch_state import plain_torch
from cwbench.method import Method
from cwbench.records import beside, runs
from cwbench.records.logs import last_line
from cwbench.records.record import Record, finite, method_label
from cwbench.records.schema import shown
from cwbench.records.tables import below_exact
from cwbench.running import fitting, measuring
from cwbench.running.failures import Ending, ended, explained_disk
from cwbench.running.fitting import Bound, Place, bind
from cwbench.running.outcome import Outcome, missing, verdict
from cwbench.running.progress import progress_of
from cwbench.running.recorded import (
    changed_settings,
    identity_of,
    metric_id,
    paths_of,
    published,
    told_settings,
    without_paths,
)
from cwbench.running.request import Request
from cwbench.running.task_facts import variance_facts
from cwbench.running.tracking import Callback, RunStart, Tracking


class Done(NamedTuple):
    """The record, and the fitted method where something was measured, for who draws its figures."""

    record: Record
    method: Method | None = None


@dataclass(frozen=True)
class Runner:
    """Carries out one request in its directory."""

    request: Request
    results: Path
    device: torch.device
    keep_samples: bool = False
    checkpoint_seconds: float = 30.0
    parallel: int = 1
    """Runs that may go on beside this one, itself counted: then seconds are not comparable."""
    claimed: bool = False
    """Whether the directory is held for this run already."""
    callbacks: Sequence[Callback] = ()
    processes: Processes = field(default_factory=Processes)
    """Those that share the fit; one that does not lead only fits."""
    stop: threading.Event = field(default_factory=threading.Event)
    recorded_in: Path | None = None
    """The directory of the record that is measured again, if it is not where its key says."""

    @cached_property
    def directory(self) -> Path:
        """The run's own."""
        request = self.request
        return self.recorded_in or runs.run_directory(
            self.results, request.task.info.name, request.method.info.name,
            request.preset_name, request.fit_key, request.seed,
        )  # fmt: skip

    @plain_torch()
    def carry_out(self, *, force: bool = False, quiet: bool = False) -> Done:
        """The record, from disk as far as it is there; its status says how it ended.

        Raises:
            CorruptFileError: if the stored model is damaged; nothing is changed.
            CwbenchError: if another process computes this run, or the disk is full.
        """
        if not self.processes.leads:
            return Done(self._help())
        with explained_disk(self.results), self._group() as begin:
            previous, _ = self.previous()
            if not force and previous and self._is_done(previous):
                self._tidy_up()
                return Done(previous)
            writable_directory(self.results)
            writable_directory(self.directory, what="run's")
            with self._held(), runs.tidied(self.directory):
                return self._written(begin, force=force, quiet=quiet)

    def _written(self, begin: Callable[[], None], *, force: bool, quiet: bool) -> Done:
        """The record once the directory is held."""
        previous, problem = self.previous()
        if force and previous and previous.status != "interrupted":  # it stays until this is done
            with self._working(quiet=quiet) as place, beside.anew(place.directory) as new:
                return self._tracked(None, replace(place, directory=new), begin)
        if force:
            runs.forget(self.directory)
            previous, problem = None, None
        if previous and self._is_done(previous):  # by somebody else, meanwhile
            return Done(previous)
        with self._working(quiet=quiet) as place:
            if problem:
                place.progress.message(f"ignored: {problem}")
            return self._tracked(previous, place, begin)

    def _tidy_up(self) -> None:
        """End what a writer that was killed left undone, where this process may write."""
        if beside.left(self.directory):
            with suppress(CwbenchError, OSError), self._held(), runs.tidied(self.directory):
                pass

    def _held(self) -> AbstractContextManager[None]:
        return nullcontext() if self.claimed else runs.single_writer(self.directory)

    def _is_done(self, previous: Record) -> bool:
        """Whether a record, which needs no lock to be read, is all there is to do.

        Raises:
            UsageError: if the fit is to be followed that is over.
        """
        done = previous.status in ("ok", "skipped") and self.complete(previous)
        if done:
            self._refuse_to_follow(previous)
        return done

    def previous(self) -> tuple[Record | None, str | None]:
        """The record on disk; None and the reason if it cannot be used.

        Raises:
            NewerSchemaError: if a later cwbench wrote it.
            NotAFileError: if it is none.
        """
        try:
            previous = runs.read(self.directory)
        except NewerSchemaError:
            raise
        except CorruptFileError as error:
            return None, str(error)
        wanted = self.request.run_id, self.request.fit_key
        if previous and (previous.run_id, previous.fit_key) != wanted:
            return None, f"{self.directory}/record.json is the record of {previous.run_id}"
        return previous, None

    def complete(self, previous: Record) -> bool:
        """Whether a record holds all that the request wants, and its values are those it names."""
        return not missing(self.request, previous) and runs.has_its_values(previous)

    @plain_torch()
    def score_again(self, *, quiet: bool = False) -> Record:
        """The record with the metrics it lacks or has of another version; nothing is fitted.

        Samples are those stored, else they are drawn again from the stored model and stream.

        Raises:
            CwbenchError: if there are neither; the record stays as it is.
        """
        recorded, _ = self.previous()
        if recorded and self.complete(recorded):
            self._tidy_up()
            return recorded
        writable_directory(self.directory, what="run's")
        with (
            explained_disk(self.results),
            runs.single_writer(self.directory),
            runs.tidied(self.directory),
        ):
            previous, problem = self.previous()
            if previous is None:
                raise CorruptFileError(problem or f"no record.json in {self.directory}")
            if self.complete(previous):
                return previous
            with self._working(quiet=quiet) as place:
                return self._scored(previous, place)

    @plain_torch()
    def restored(self, previous: Record) -> Bound:
        """The method of a record with its stored weights.

        Raises:
            CwbenchError: if the model is not stored, or not the one the record names.
        """
        place = Place(self.directory)
        if not place.has_model:
            raise CwbenchError("its model is not stored")
        return self._restored(previous, place, Outcome())

    @contextmanager
    def _working(self, *, quiet: bool) -> Iterator[Place]:
        """The place of the work inside; a signal stops it, progress goes to log and terminal."""
        here = self.directory.absolute()  # a method may go elsewhere
        log = here / "log.txt"
        with progress_of(log, quiet=quiet) as progress, stop_on_signal(self.stop, insist=True):
            often = self.checkpoint_seconds
            yield Place(here, progress, self.stop, self.processes, often, self._cache)

    @contextmanager
    def _group(self) -> Iterator[Callable[[], None]]:
        """What tells the processes that wait to fit; that there is nothing to do, at the end."""
        begun: list[bool] = []
        yield lambda: begun.append(self.processes.agreed(decision=True))
        if not begun:
            self.processes.agreed(decision=False)
        self.processes.leave()

    def _help(self) -> Record:
        """Fit with the process that leads, if it does; write nothing."""
        started, outcome = datetime.now(UTC), Outcome()
        bound = bind(self.request, self.device)
        if self.processes.agreed(decision=False) and isinstance(bound, Bound):
            with stop_on_signal(self.stop, insist=True):
                place = Place(
                    self.directory, stop=self.stop, processes=self.processes,
                    checkpoint_seconds=self.checkpoint_seconds,
                )  # fmt: skip
                outcome.cost = fitting.train(bound, place).cost
        self.processes.leave()
        return self._record(("ok", None), outcome, started, None, self.directory)

    def _refuse_to_follow(self, previous: Record) -> None:
        """A fit that is over cannot be followed any more."""
        fitted = previous.status == "ok" and "followed" not in previous.diagnostics
        if self.request.preset.follow and fitted:
            raise UsageError(
                f"{previous.run_id} was fitted without preset.follow and is on record; type "
                "--force to fit it again, or leave preset.follow out"
            )

    def _tracked(self, previous: Record | None, place: Place, begin: Callable[[], None]) -> Done:
        """Attempt the run and tell the callbacks."""
        unrecorded = not (place.directory / "record.json").exists()
        if previous is None and unrecorded and (said := last_line(place.directory)):
            place.progress.message(
                f"the attempt before ended without a record; the last it said: {said}"
            )
        tracking = Tracking(self.callbacks, place.progress.message)
        place.progress.track = tracking.log
        request = self.request
        changed = changed_settings(request)["method"]
        tracking.start(
            RunStart(
                run_id=request.run_id,
                task=request.task.info.name,
                method=method_label(request.method.info.name, changed),
                preset=request.preset_name,
                seed=request.seed,
                settings=told_settings(request),
                steps=request.preset.steps,
                directory=self.directory,
            )
        )
        done = self._attempt(previous, place, begin)
        tracking.end(done.record)
        return done

    def _attempt(self, previous: Record | None, place: Place, begin: Callable[[], None]) -> Done:
        """Fit and judge; whatever happens becomes a record with a status."""
        started, request = datetime.now(UTC), self.request

        def say(text: str) -> None:
            place.progress.message(without_paths(text, paths_of(request)))

        task, method = request.task.info.name, request.method.info.name
        say(f"{task} / {method} / {request.preset_name} / seed {request.seed}")
        kept = measuring.sound(previous, place) if previous and previous.status == "ok" else None
        outcome, measured = Outcome(dict(kept.metrics) if kept else {}), list[Method]()

        def work() -> Ending:
            measuring.tell_costs(request, kept)
            judge, bound = self._judge(), bind(request, self.device)
            if isinstance(bound, str):
                return "skipped", bound
            if idle := fitting.fit(
                bound, place, outcome, previous, begin=begin,
                follow=lambda: measuring.followed(bound, judge, place.progress),
            ):  # fmt: skip
                return "skipped", idle
            self._measure(bound, judge, place, outcome, kept)
            outcome.diagnostics |= scale_facts(judge.observations.x / judge.units)
            outcome.diagnostics |= gap_facts(request.task, request.preset, self._cache)
            outcome.diagnostics |= variance_facts(judge)
            measured.append(bound.method)
            return ("ok", None) if kept else verdict(request, outcome)

        status, error = ended(work, say)
        error = error and shown(error)
        say(f"{status}{f': {error}' if error else ''}")
        if kept and status != "ok":  # what is on record stays as it is, with its files
            return Done(replace(kept, status=status, error=error))
        record = self._record((status, error), outcome, started, kept, place.directory)
        for warning in below_exact(record):
            say(warning)
        runs.write(self.directory, record, made_in=place.directory)
        return Done(record, *measured)

    def _scored(self, previous: Record, place: Place) -> Record:
        """The record, measured as far as it lacks something, and written."""
        request, outcome = self.request, Outcome()
        place.progress.message("measuring what the record lacks")
        kept, bound = measuring.sound(previous, place), None
        if measuring.has_to_draw(request, kept, place):
            if not place.has_model:
                raise CwbenchError("neither its samples nor its model are stored; only a new run")
            with visiting():
                bound = self._restored(previous, place, outcome)
        measuring.tell_costs(request, kept)
        measurable = {metric_id(m, n) for n, some in missing(request, None) for m in some.values()}
        outcome.metrics = {i: e for i, e in previous.metrics.items() if kept or i not in measurable}
        with visiting():
            self._measure(bound, self._judge(), place, outcome, kept)
        status, error = ("ok", None) if kept else verdict(request, outcome)
        record = replace(
            previous, status=status, error=error, metrics=outcome.metrics,
            cost=finite(previous.cost | {"sampling": outcome.cost["sampling"]}),
            files=self._files(outcome, kept, self.directory),
        )  # fmt: skip
        record = published(record, request)
        runs.write(self.directory, record)
        place.progress.message(status)
        return record

    def _restored(self, previous: Record, place: Place, outcome: Outcome) -> Bound:
        """The method of a record with its stored weights."""
        bound = bind(self.request, self.device)
        if isinstance(bound, str):
            raise CwbenchError(bound)
        fitting.fit(bound, place, outcome, previous)
        return bound

    def _judge(self) -> Judge:
        request = self.request
        return Judge(request.task, request.preset, self._cache, request.metric_hashes)

    @property
    def _cache(self) -> Path:
        """Of what is derived."""
        return self.results.absolute() / ".cache"

    def _measure(
        self,
        bound: Bound | None,
        judge: Judge,
        place: Place,
        outcome: Outcome,
        kept: Record | None,
    ) -> None:
        measuring.measure(
            self.request, bound, judge, place, outcome, kept, keep_samples=self.keep_samples
        )

    def _files(self, outcome: Outcome, kept: Record | None, place: Path) -> dict[str, str]:
        """SHA-256 by name of the model, of what was written now, and of what is kept."""
        there = beside.hashes(place, kept.files if kept else None)
        names = {beside.MODEL, *(kept.files if kept else ())}
        return {name: there[name] for name in there if name in names} | outcome.files

    def _record(
        self, ending: Ending, outcome: Outcome, started: datetime, kept: Record | None, place: Path
    ) -> Record:
        if outcome.cost:
            outcome.cost["peak_memory_bytes"] = environment.peak_memory_bytes(self.device)
            outcome.cost["processor_seconds"] = outcome.processor_seconds(kept)
        status, error = ending
        record = Record(
            **identity_of(self.request),
            status=status,
            error=error,
            metrics=outcome.metrics,
            diagnostics=outcome.diagnostics,
            cost=finite(outcome.cost),
            environment=environment.describe(self.device, self.parallel),
            files=self._files(outcome, kept, place),
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            edited=kept is not None and kept.edited,
        )
        return published(record, self.request)
