"""A fitted method measured: what it draws, the entries of what a record lacks, the files beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from cwbench.door import copied
from cwbench.errors import ContractError, CwbenchError, DivergedError, Interrupted
from cwbench.judging.by_image import RealImages
from cwbench.judging.choice import warn_of_costs
from cwbench.judging.failing import Failed, attempt
from cwbench.judging.judge import Judge
from cwbench.judging.measured import Measured
from cwbench.judging.taken import Taken, taken
from cwbench.machine.cpu import single_threaded
from cwbench.machine.streams import seeded_globals, stream
from cwbench.metric import Metric
from cwbench.preset import NFE
from cwbench.records import beside, storage
from cwbench.records.beside import Staged
from cwbench.records.record import Record
from cwbench.running.fitting import Bound, Place
from cwbench.running.outcome import Outcome, missing
from cwbench.running.recorded import metric_id, score_table, suffixed
from cwbench.running.request import Drawn, Request
from cwbench.training.context import Progress
from cwbench.training.following import Following


def draw(bound: Bound, y: Tensor, n: int, nfe: NFE | None, purpose: str) -> Tensor:
    """Samples `(m, n, *x_shape)` with the same latents at every NFE, others for each purpose."""
    return _taken(bound, y, n, nfe, purpose).samples


def _taken(bound: Bound, y: Tensor, n: int, nfe: NFE | None, purpose: str) -> Taken:
    task, method = bound.request.task, bound.request.method.info.name
    key = (task.info.name, task.info.version, bound.request.seed, purpose)
    with single_threaded(), seeded_globals(*key, "global"):
        output = bound.method.sample(copied(y), n, stream(*key), nfe)
    return taken(output, (len(y), n, *task.x_shape), f"sample of {method}")


def counted_draw(bound: Bound, y: Tensor, n: int, nfe: NFE | None) -> Drawn:
    """The samples that are judged, and what they cost: seconds, and evaluations a sample."""
    if nfe in bound.request.drawn:
        return bound.request.drawn[nfe]
    before, started = bound.meter.counts(), time.perf_counter()
    samples = _taken(bound, y, n, nfe, "sampling")
    seconds, draws = time.perf_counter() - started, len(y) * n
    used = [(now - then) / draws for now, then in zip(bound.meter.counts(), before, strict=True)]
    evaluations, _, jacobians, operators = used
    beyond = {"jacobians": jacobians, "operators": operators}
    return samples, {
        "seconds": seconds,
        "evaluations": evaluations,
        **{name: value for name, value in beyond.items() if value},
    }


def finite(samples: Tensor) -> Tensor:
    """The same samples.

    Raises:
        DivergedError: if one is not finite.
    """
    if not samples.isfinite().all():
        raise DivergedError("samples are not finite")
    return samples


@dataclass(frozen=True)
class MethodSampler:
    """A fitted method at one NFE, as a judge asks it for samples (`cwbench.judging.judge`).

    Without a method it hands out the samples that are stored, and no others.
    """

    bound: Bound | None
    nfe: NFE | None
    samples: Tensor
    progress: Progress
    most_images: int = 1
    """How many images the metrics ask for at most."""

    @property
    def real_images(self) -> RealImages:
        """Those of a control that hands some out."""
        return self._fitted.method.real_images

    def for_set(self, y: Tensor, n: int) -> Tensor:
        """Samples from a stream of their own."""
        return finite(draw(self._fitted, y, n, self.nfe, "set"))

    def images(self, y: Tensor, number: int) -> Tensor:
        """One image a class, from a stream of the batch's own."""
        share = min(1.0, number * len(y) / self.most_images)
        self.progress.update(f"images {self.nfe or ''}".strip(), share, {})
        return finite(draw(self._fitted, y, 1, self.nfe, f"images-{number}"))[:, 0]

    @property
    def _fitted(self) -> Bound:
        if self.bound is None:
            raise CwbenchError("only the samples of the observations are stored, no model")
        return self.bound


def has_to_draw(request: Request, kept: Record | None, place: Place) -> bool:
    """Whether a metric that is missing needs samples that are not stored."""
    stored = storage.load_samples(place.directory, kept.files) if kept else {}
    return any(
        suffixed("samples", nfe) not in stored
        or not all(metric.from_stored for metric in wanted.values())
        for nfe, wanted in missing(request, kept)
    )


def sound(previous: Record, place: Place) -> Record | None:
    """The record to go on from, or None where a file beside it is not the one it names."""
    hashes = beside.hashes(place.directory, previous.files)
    names = set(previous.files) - {beside.MODEL}
    if all(hashes.get(name) == previous.files[name] for name in names):
        return previous
    place.progress.message("the files beside the record are not the ones it names; measuring anew")
    return None


def tell_costs(request: Request, kept: Record | None) -> None:
    """Warn of what is missing that takes long."""
    warn_of_costs(metric for _, wanted in missing(request, kept) for metric in wanted.values())


def measure(
    request: Request,
    bound: Bound | None,
    judge: Judge,
    place: Place,
    outcome: Outcome,
    kept: Record | None,
    *,
    keep_samples: bool,
) -> None:
    """Sample at each NFE and add what is missing to the outcome and the files.

    Where a record is gone on from, an NFE that fails leaves the others standing.

    Args:
        request: what to measure.
        bound: the fitted method; None where stored samples are enough.
        judge: of the task and preset.
        place: whose files hold samples and values by observation.
        outcome: takes the entries, the costs of sampling, and the hashes of the files.
        kept: the record whose files and entries are gone on from.
        keep_samples: whether samples of any size are stored.

    Raises:
        Interrupted: if it is stopped between two NFE.
    """
    observations = storage.load_observations(place.directory, kept.files) if kept else []
    samples = storage.load_samples(place.directory, kept.files) if kept else {}
    if kept:
        outcome.cost["sampling"] = dict(kept.cost.get("sampling", {}))
    lacking = missing(request, kept)
    for index, (nfe, wanted) in enumerate(lacking):
        if place.stop.is_set():
            raise Interrupted("stopped while measuring; the same command goes on")
        place.progress.update(_phase(nfe), 0.0, {})
        key, failed = suffixed("samples", nfe), None
        if bound and key not in samples:
            fill = partial(_fill, samples, bound, judge, outcome, nfe)
            failed = _failure(fill) if kept else fill()
        if failed:
            found = _failed(judge, wanted, failed)
        else:
            most = _most_images(wanted.values())
            sampler = MethodSampler(bound, nfe, samples[key], place.progress, most)
            found = _each(judge, sampler, wanted)
        for metric, (entry, scores, trace) in found:
            outcome.metrics[metric_id(metric, nfe)] = entry
            if entry.error:
                place.progress.message(f"{trace}{metric_id(metric, nfe)}: {entry.error}")
            if scores is not None:
                observations.append(score_table(metric.identifier, nfe, scores))
        place.progress.update("measure all", (index + 1) / len(lacking), {})
    staged = Staged(place.directory)
    storage.save_observations(staged, observations)
    storage.save_samples(staged, samples, limited=not keep_samples)
    outcome.files = staged.files


def _fill(
    samples: dict[str, Tensor], bound: Bound, judge: Judge, outcome: Outcome, nfe: NFE | None
) -> None:
    """Draw the samples of an NFE, with what that cost."""
    judge.settle()
    n = 2 * bound.request.preset.samples
    drawn, cost = counted_draw(bound, judge.observations.y, n, nfe)
    samples[suffixed("samples", nfe)] = drawn.samples
    outcome.cost["sampling"][str(nfe) if nfe else "1"] = cost
    if drawn.fault:
        outcome.faults[nfe] = drawn.fault


def _failure(draw: Callable[[], None]) -> Failed | None:
    """How drawing at an NFE failed, if it did; as `cwbench.judging.failing.attempt`."""
    try:
        return attempt(draw)
    except DivergedError as diverged:
        return Failed(str(diverged), "")


def _failed(
    judge: Judge, wanted: Mapping[str, Metric], failed: Failed
) -> Iterator[tuple[Metric, Measured]]:
    """The entries of an NFE at which nothing could be drawn."""
    for metric in wanted.values():
        yield metric, judge.failed(metric, failed)


def _each(
    judge: Judge, sampler: MethodSampler, wanted: Mapping[str, Metric]
) -> Iterator[tuple[Metric, Measured]]:
    """Each metric and what came of it, one by one, with progress."""
    phase = _phase(sampler.nfe)
    several = judge.measure_each(wanted.values(), sampler)
    for done, metric in enumerate(wanted.values()):
        sampler.progress.update(phase, (done + 0.5) / len(wanted), {})
        yield metric, next(several)
    sampler.progress.update(phase, 1.0, {})


def _phase(nfe: NFE | None) -> str:
    """What progress calls the work at one NFE."""
    return f"NFE {nfe}" if nfe else "measure"


def _most_images(metrics: Iterable[Metric]) -> int:
    return max((m.of_images.n for m in metrics if m.of_images), default=1)


def followed(bound: Bound, judge: Judge, progress: Progress) -> Following | None:
    """What scores the method during its fit, if anything; real images are ready then."""
    request = bound.request
    metric, nfe = request.followed, request.nfe[0]
    if metric is None:
        return None
    known = judge.by_image.known([metric])
    name = metric.info.name
    if name in known.failed:
        raise ContractError(f"{name} of real images: {known.failed[name].reason}")

    def score() -> float | None:
        def sampler(y: Tensor, number: int) -> Tensor:
            return finite(draw(bound, y, 1, nfe, f"followed-{number}"))[:, 0]

        try:
            found = judge.by_image.compared([metric], known, sampler, alone=False)[name]
        except DivergedError:
            return None
        if isinstance(found, Failed):
            raise ContractError(found.reason)
        return float(found.value.mean())

    floor = known.floors[name]
    about = {
        "metric": suffixed(metric.identifier, nfe),
        "images": metric.n,
        "floor": None if floor is None else float(floor.mean()),
    }
    return Following(about, score, request.preset.follow, progress.message)
