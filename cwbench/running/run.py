"""One run: fit a method on a task, sample, judge, record.

The same request again computes only what is missing. A run that was killed resumes from its last
checkpoint, and ends with the same numbers as one that was not (CPU, equal threads).
"""

from __future__ import annotations

import shutil
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.errors import (
    CorruptFileError,
    CwbenchError,
    DivergedError,
    UsageError,
)
from cwbench.judging.by_image import ImageJudge, ImageScore, image_summary
from cwbench.judging.by_observation import (
    Judge,
    Scores,
    as_samples,
    null_summary,
    set_summary,
    summary,
)
from cwbench.machine import environment
from cwbench.machine.cpu import single_threaded
from cwbench.machine.processes import Processes
from cwbench.machine.signals import stop_on_signal
from cwbench.machine.streams import seeded_globals, stream
from cwbench.method import Method
from cwbench.metric import ImageMetric, Metric, SetMetric
from cwbench.preset import NFE, Preset
from cwbench.records import runs as records
from cwbench.records import storage
from cwbench.records.record import Record, Status, finite, method_label
from cwbench.running.failures import disk_is_full, full_disk_told, out_of_memory, told
from cwbench.running.progress import shown
from cwbench.running.recorded import identity_of, metric_id, score_table, suffixed
from cwbench.running.request import Request, problem_spec
from cwbench.running.tracking import Callback, RunStart, Tracking
from cwbench.samples import JointSamples
from cwbench.settings import changed as changed_settings
from cwbench.task import Task
from cwbench.training.context import Interrupted, Progress, TrainingContext
from cwbench.training.following import Following
from cwbench.training.networks import Meter, networks_of


@dataclass
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
    show: Progress = field(default_factory=Progress)
    stop: threading.Event = field(default_factory=threading.Event)
    method: Method = field(init=False)

    def __post_init__(self) -> None:
        """Find the run's directory."""
        request = self.request
        self.directory = records.run_directory(
            self.results, request.task.info.name, request.method.info.name,
            request.preset_name, request.fit_key, request.seed,
        )  # fmt: skip
        self.meter = Meter()
        self.judge = Judge(request.task, request.preset, self.results / ".cache")
        self.image_judge = ImageJudge(request.task, self.results / ".cache")
        self.measured = False
        self.following: Following | None = None
        self.cost: dict[str, Any] = {}
        self.diagnostics: dict[str, Any] = {}

    def carry_out(self, *, force: bool = False, quiet: bool = False) -> Record:
        """The record, from disk as far as it is there; its status says how it ended.

        Raises:
            CorruptFileError: if the stored model is damaged; nothing is changed.
            CwbenchError: if another process computes this run, or the disk is full.
        """
        if not self.processes.leads:
            return self._helped()
        held = nullcontext() if self.claimed else records.single_writer(self.directory)
        with full_disk_told(self.results), held, self._group():
            if force:
                self._forget()
            previous, problem = self.previous()
            if previous and previous.status in ("ok", "skipped") and self.complete(previous):
                self._refuse_to_follow(previous)
                return previous
            with (
                shown(self.directory / "log.txt", quiet=quiet) as self.show,
                stop_on_signal(self.stop),
            ):
                if problem:
                    self.show.message(f"ignored: {problem}")
                return self._tracked(previous)

    def _refuse_to_follow(self, previous: Record) -> None:
        """A fit that is over cannot be followed any more."""
        fitted = previous.status == "ok" and "followed" not in previous.diagnostics
        if self.request.preset.follow and fitted:
            raise UsageError(
                f"{previous.run_id} was fitted without preset.follow and is on record; type "
                "--force to fit it again, or leave preset.follow out"
            )

    @contextmanager
    def _group(self) -> Iterator[None]:
        """Tell the processes that wait to fit that there is nothing to do, if there was not."""
        self.fitting = False
        yield
        if not self.fitting:
            self.processes.agreed(decision=False)
        self.processes.leave()

    def _helped(self) -> Record:
        """Fit with the process that leads, if it does; write nothing."""
        started = datetime.now(UTC)
        unsupported = self._bind()
        if self.processes.agreed(decision=False) and not unsupported:
            with stop_on_signal(self.stop):
                self._trained()
        self.processes.leave()
        return self._record("ok", None, {}, started)

    def _tracked(self, previous: Record | None) -> Record:
        """Attempt the run and tell the callbacks."""
        tracking = Tracking(self.callbacks, self.show.message)
        self.show.track = tracking.log
        request = self.request
        changed = changed_settings(request.method_params)
        tracking.start(
            RunStart(
                run_id=request.run_id,
                task=request.task.info.name,
                method=method_label(request.method.info.name, changed),
                preset=request.preset_name,
                seed=request.seed,
                settings={key: str(value) for key, value in request.settings.items()},
                steps=request.preset.steps,
                directory=self.directory,
            )
        )
        record = self._attempt(previous)
        tracking.end(record)
        return record

    def previous(self) -> tuple[Record | None, str | None]:
        """The record on disk; None and the reason if it cannot be used."""
        try:
            previous = records.read(self.directory)
        except CorruptFileError as error:
            return None, str(error)
        if previous and (previous.run_id, previous.fit_key) != (
            self.request.run_id,
            self.request.fit_key,
        ):
            return None, f"{self.directory}/record.json is the record of {previous.run_id}"
        return previous, None

    def complete(self, previous: Record) -> bool:
        """Whether a record holds all that was asked for."""
        return not self._missing(previous)

    def _forget(self) -> None:
        for path in self.directory.iterdir():
            if path.name == "log.txt":
                path.write_bytes(b"")  # a worker may be writing to it
            elif path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _missing(self, previous: Record | None) -> list[tuple[NFE | None, dict[str, Metric]]]:
        """For each NFE the metrics that are not on record in their present version."""
        entries = previous.metrics if previous and previous.status == "ok" else {}
        missing = []
        for nfe in self.request.nfe:
            absent = {
                name: metric
                for name, metric in self.request.metrics.items()
                if entries.get(metric_id(metric, nfe), {}).get("version") != metric.info.version
            }
            if absent:
                missing.append((nfe, absent))
        return [] if previous and previous.status == "skipped" else missing

    def _attempt(self, previous: Record | None) -> Record:
        """Fit and judge; whatever happens becomes a record with a status."""
        started = datetime.now(UTC)
        task, method = self.request.task.info.name, self.request.method.info.name
        self.show.message(
            f"{task} / {method} / {self.request.preset_name} / seed {self.request.seed}"
        )
        kept = self._sound(previous) if previous and previous.status == "ok" else None
        metrics = dict(kept.metrics) if kept else {}
        status: Status = "ok"
        error: str | None = None
        try:
            unsupported = self._bind()
            if unsupported:
                status, error = "skipped", unsupported
            else:
                self._fit(previous)
                self._measure(metrics, kept)
                status, error = self._verdict(metrics)
        except CorruptFileError:
            raise
        except (Interrupted, KeyboardInterrupt) as stopped:
            status, error = "interrupted", str(stopped) or "interrupted"
        except DivergedError as diverged:
            status, error = "diverged", str(diverged)
        except (MemoryError, torch.OutOfMemoryError) as memory:
            status, error = "oom", f"out of memory: {memory}"
        except (Exception, SystemExit) as failure:  # a failed run is a record, never lost
            if disk_is_full(failure):
                raise
            status, error = ("oom" if out_of_memory(failure) else "failed"), told(failure)
            self.show.message(traceback.format_exc())
        record = self._record(status, error, metrics, started)
        records.write(self.directory, record)
        self.show.message(f"{status}{f': {error}' if error else ''}")
        return record

    def score_again(self, *, quiet: bool = False) -> Record:
        """The record with the metrics it lacks or has of another version; nothing is fitted.

        Samples are those stored, else they are drawn again from the stored model and stream.

        Raises:
            CwbenchError: if there are neither; the record stays as it is.
        """
        with full_disk_told(self.results), records.single_writer(self.directory):
            previous, problem = self.previous()
            if previous is None:
                raise CorruptFileError(problem or f"no record.json in {self.directory}")
            if not self._missing(previous):
                return previous
            with (
                shown(self.directory / "log.txt", quiet=quiet) as self.show,
                stop_on_signal(self.stop),
            ):
                return self._scored(previous)

    def draw_again(self, previous: Record, y: Tensor, nfe: NFE | None) -> Tensor:
        """Samples of the stored model for any observations, `(m, 2n, *x_shape)`.

        Raises:
            CwbenchError: if the model is not stored, or not the one the record names.
        """
        if not (self.directory / storage.MODEL).is_file():
            raise CwbenchError("its model is not stored")
        self._bind()
        self._fit(previous)
        return self._draw(y, 2 * self.request.preset.samples, nfe, "verify")

    def _scored(self, previous: Record) -> Record:
        self.show.message("measuring what the record lacks")
        kept = self._sound(previous)
        if self._has_to_draw(kept):
            if not (self.directory / storage.MODEL).is_file():
                raise CwbenchError("neither its samples nor its model are stored; only a new run")
            self._bind()
            self._fit(previous)
        measurable = {metric_id(m, n) for n, some in self._missing(None) for m in some.values()}
        metrics = {i: e for i, e in previous.metrics.items() if kept or i not in measurable}
        self._measure(metrics, kept)
        status, error = self._verdict(metrics)
        record = replace(
            previous, status=status, error=error, metrics=finite(metrics),
            cost=finite(previous.cost | {"sampling": self.cost["sampling"]}),
            files=storage.hashes(self.directory),
        )  # fmt: skip
        records.write(self.directory, record)
        self.show.message(status)
        return record

    def _has_to_draw(self, kept: Record | None) -> bool:
        """Whether a metric that is missing needs samples that are not stored."""
        stored = storage.load_samples(self.directory) if kept else {}
        return any(
            suffixed("samples", nfe) not in stored
            or any(isinstance(metric, SetMetric | ImageMetric) for metric in wanted.values())
            for nfe, wanted in self._missing(kept)
        )

    def _verdict(self, metrics: Mapping[str, Any]) -> tuple[Status, str | None]:
        """Diverged if the main metric has no value at the NFE that is judged."""
        info = self.request.task.info
        main = self.request.task.main_metric
        identifiers = [i for i in metrics if i.partition("@")[0] == main]
        judged = [i for i in identifiers if i.endswith(f"@nfe={info.main_nfe}")] or identifiers
        if any(metrics[i]["value"] is None for i in judged):
            return "diverged", "samples are not finite; the main metric has no value"
        return "ok", None

    def _bind(self) -> str | None:
        """Make the method for the task; the reason if it cannot do it."""
        request = self.request
        spec = problem_spec(request.task, request.method, request.preset, self.meter, self.device)
        unsupported = request.method.unsupported(spec)
        if not unsupported:
            self.method = request.method(request.method_params, spec)
        return unsupported

    def _sound(self, previous: Record) -> Record | None:
        """The record to go on from, or None where a file beside it is not the one it names."""
        hashes = storage.hashes(self.directory)
        names = set(previous.files) - {"model.safetensors"}
        if all(hashes.get(name) == previous.files[name] for name in names):
            return previous
        self.show.message("the files beside the record are not the ones it names; measuring anew")
        return None

    def _fit(self, previous: Record | None) -> None:
        """Fit, or take the fitted model from disk."""
        request = self.request
        key = (request.task.info.name, request.task.info.version, request.seed)
        if (self.directory / storage.MODEL).is_file():
            sha256 = previous.files.get(storage.MODEL) if previous else None
            state, facts = storage.load_model(self.directory, request.fit_key, sha256)
            with seeded_globals(*key, "load"):
                self.method.load_state_dict(state)
            self.cost, self.diagnostics = facts["cost"], facts["diagnostics"]
            self.show.message("fitted before; model loaded")
        else:
            self._train()

    def _train(self) -> None:
        """Fit and keep the model."""
        self.fitting = self.processes.agreed(decision=True)
        self._trained()
        trained = dict(self.method.state_dict())
        self.cost["parameters"] = sum(v.numel() for v in trained.values() if isinstance(v, Tensor))
        self.cost["sampling"] = {}
        self.diagnostics = finite(self.method.diagnostics())
        if self.following:
            self.diagnostics["followed"] = finite(self.following.told())
        told = {"cost": self.cost, "diagnostics": self.diagnostics}
        storage.save_model(self.directory, trained, self.request.fit_key, told)
        shutil.rmtree(self.directory / "checkpoint", ignore_errors=True)

    def _trained(self) -> None:
        """Fit, and count what it cost."""
        request = self.request
        key = (request.task.info.name, request.task.info.version, request.seed)
        data = training_data(request.task, request.preset, request.seed)
        self.following = self._followed() if self.processes.leads else None
        context = TrainingContext(
            data,
            request.preset,
            key,
            networks_of(request.task, request.preset, self.meter),
            self.device,
            directory=self.directory / "checkpoint",
            validation=validation_pairs(request.task, request.preset, request.seed),
            processes=self.processes,
            checkpoint_seconds=self.checkpoint_seconds,
            show=self.show,
            stop=self.stop,
            following=self.following,
        )
        started = time.perf_counter()
        with single_threaded(), seeded_globals(*key, "fit"):
            self.method.fit(data, context)
        context.seconds["fit"] = context.seconds["fit"] or time.perf_counter() - started
        self.cost = context.costs()

    def _followed(self) -> Following | None:
        """What is taken during the fit, if anything; what it needs of real images is ready then."""
        metric, nfe = self.request.followed, self.request.nfe[0]
        if metric is None:
            return None
        known = self.image_judge.known([metric])
        name = metric.info.name

        def score() -> float | None:
            def sampler(y: Tensor, number: int) -> Tensor:
                return self._finite(self._draw(y, 1, nfe, f"followed-{number}"))[:, 0]

            try:
                scores = self.image_judge.compared([metric], known, sampler, alone=False)
            except DivergedError:
                return None
            return float(scores[name].value.mean())

        floor = known.floors[name]
        about = {
            "metric": suffixed(metric.identifier, nfe),
            "images": metric.n,
            "floor": None if floor is None else float(floor.mean()),
        }
        return Following(about, score, self.request.preset.follow, self.show.message)

    def _measure(self, metrics: dict[str, Any], kept: Record | None) -> None:
        """Sample at each NFE and add what is missing to `metrics` and the files."""
        observations = storage.load_observations(self.directory) if kept else []
        samples = storage.load_samples(self.directory) if kept else {}
        missing = self._missing(kept)
        if kept:
            self.cost["sampling"] = dict(kept.cost.get("sampling", {}))
        for index, (nfe, wanted) in enumerate(missing):
            if self.stop.is_set():
                raise Interrupted("stopped while measuring; the same command goes on")
            phase = f"NFE {nfe}" if nfe else "measure"
            self.show.update(phase, 0.0, {})
            key = suffixed("samples", nfe)
            if key not in samples:
                y, n = self.judge.observations.y, 2 * self.request.preset.samples
                samples[key] = self._draw(y, n, nfe)
            drawn = samples[key]
            finite = bool(drawn.isfinite().all())
            of_images = self._image_scores(wanted, nfe) if finite else {}
            for done, (name, metric) in enumerate(wanted.items()):
                self.show.update(phase, (done + 0.5) / len(wanted), {})
                identifier = metric_id(metric, nfe)
                if isinstance(metric, SetMetric):
                    value = self._set_value(metric, nfe) if finite else None
                    metrics[identifier] = set_summary(metric, value)
                elif isinstance(metric, ImageMetric):
                    metrics[identifier] = image_summary(metric, of_images.get(name))
                    if name in of_images and len(of_images[name].value) > 1:
                        score = of_images[name]
                        table = score_table(name, nfe, Scores(score.value, floor=score.floor))
                        observations.append(table)
                elif finite:
                    scores = self.judge.score(metric, drawn)
                    metrics[identifier] = summary(metric, scores, self.request.preset)
                    observations.append(score_table(name, nfe, scores))
                else:
                    metrics[identifier] = null_summary(metric, self.request.preset)
            self.show.update(phase, 1.0, {})
            self.show.update("measure all", (index + 1) / len(missing), {})
        storage.save_observations(self.directory, observations)
        storage.save_samples(self.directory, samples, limited=not self.keep_samples)
        self.measured = True

    def _set_value(self, metric: SetMetric, nfe: NFE | None) -> float | None:
        try:
            return self.judge.score_set(
                metric, lambda y, n: self._finite(self._draw(y, n, nfe, "set"))
            )
        except DivergedError:
            return None

    def _image_scores(self, wanted: Mapping[str, Metric], nfe: NFE | None) -> dict[str, ImageScore]:
        """Scores of all metrics of labelled images at once; none if an image is not finite."""
        chosen = [metric for metric in wanted.values() if isinstance(metric, ImageMetric)]
        if not chosen:
            return {}
        if self.method.real_images("test"):
            return self.image_judge.real_scores(chosen, self.method.real_images)

        def sampler(y: Tensor, number: int) -> Tensor:
            total = max(metric.n for metric in chosen)
            self.show.update(f"images {nfe or ''}".strip(), min(1.0, number * len(y) / total), {})
            return self._finite(self._draw(y, 1, nfe, f"images-{number}"))[:, 0]

        try:
            return self.image_judge.scores(chosen, sampler)
        except DivergedError:
            return {}

    def _finite(self, samples: Tensor) -> Tensor:
        if not samples.isfinite().all():
            raise DivergedError("samples are not finite")
        return samples

    def _draw(self, y: Tensor, n: int, nfe: NFE | None, purpose: str = "sampling") -> Tensor:
        """Samples with the same latents at every NFE; seconds and evaluations are counted."""
        task, method = self.request.task, self.request.method.info.name
        key = (task.info.name, task.info.version, self.request.seed, purpose)
        before, started = self.meter.evaluations, time.perf_counter()
        with single_threaded(), seeded_globals(*key, "global"):
            output = self.method.sample(y, n, stream(*key), nfe)
        samples = as_samples(output, (len(y), n, *task.x_shape), f"sample of {method}")
        if purpose == "sampling":
            self.cost["sampling"][str(nfe) if nfe else "1"] = {
                "seconds": time.perf_counter() - started,
                "evaluations": (self.meter.evaluations - before) / (len(y) * n),
            }
        return samples

    def _record(
        self, status: Status, error: str | None, metrics: dict[str, Any], started: datetime
    ) -> Record:
        if self.cost:
            self.cost["peak_memory_bytes"] = environment.peak_memory_bytes(self.device)
        return Record(
            **identity_of(self.request),
            status=status,
            error=error,
            metrics=finite(metrics),
            diagnostics=self.diagnostics,
            cost=finite(self.cost),
            environment=environment.describe(self.device, self.parallel),
            files=storage.hashes(self.directory),
            started=started.isoformat(timespec="seconds"),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def training_data(task: Task, preset: Preset, seed: int) -> Dataset[tuple[Tensor, Tensor]]:
    """The training pairs of a seed: the same for every method."""
    generator = stream(task.info.name, task.info.version, seed, "data")
    return task.training_data(preset.training_pairs, generator)


def validation_pairs(task: Task, preset: Preset, seed: int) -> JointSamples | None:
    """The validation pairs of a seed, where the preset has them."""
    if not preset.validation_pairs:
        return None
    generator = stream(task.info.name, task.info.version, seed, "validation")
    return task.sample_joint(preset.validation_pairs, generator)
