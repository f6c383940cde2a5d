"""What is computed again: stored samples are scored, and a stored model draws them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cwbench.judging.by_observation import ObservationJudge
from cwbench.judging.difficulty import gap_facts
from cwbench.metric import Metric
from cwbench.preset import NFE
from cwbench.records.below import INDEPENDENT, errors_below
from cwbench.records.entry import Entry
from cwbench.records.facts import POSTERIOR_VARIANCE
from cwbench.records.record import Record
from cwbench.records.schema import brief
from cwbench.records.tables import GAUSSIAN_GAP
from cwbench.records.values import AGREEMENT
from cwbench.running.outcome import is_present
from cwbench.running.recorded import metric_id, suffixed
from cwbench.running.request import Request
from cwbench.running.task_facts import variance_facts
from cwbench.verifying import stored
from cwbench.verifying.found import Finding, Problem, Unchecked
from cwbench.verifying.model import StoredModel
from cwbench.verifying.numbers import Values, differing

ALIKE, ROUNDING = 0.99, 1e-2
"""The least share of stored draws that the stored model has to draw again, and how far a coordinate
may be off, in deviations of its draws: other processors round otherwise."""
COUNTED = ("evaluations", "jacobians", "operators")
FEWER_STEPS = 0.1
"""Share by which a solver that makes its own steps may take more or fewer."""
SLACK = 0.1
"""How far a value may be from that of the draws made again, in half-widths of its interval."""
TOLD = 0.01
"""How far it may be without being told: on one processor it is the same."""


GAP_ROUNDING = 1e-3
"""How far a Gaussian gap may be off on another processor: a tenth of its standard error."""
VARIANCE_ROUNDING = 1e-4
"""Share by which a posterior variance may be off there."""

Gaps = dict[str, float | None]
"""The Gaussian gap by task and its settings."""


@dataclass
class Again:
    """What was found by computing again, and whether the ranking values all were."""

    findings: list[Finding]
    complete: bool = False
    """Whether every value of the main metric on record was computed again."""


def present(record: Record, request: Request, metric: Metric, nfe: NFE | None) -> Entry | None:
    """The entry on record with a value, if its metric is the one that is installed."""
    if not is_present(record.metrics, request, metric, nfe):
        return None
    entry = record.metrics[metric_id(metric, nfe)]
    return None if entry.value is None else entry


def rescored(record: Record, request: Request, values: Values) -> Again:
    """The entries of stored samples, computed again; values by observation too."""
    kept = stored.samples(record)
    if not kept:
        model = "" if stored.has_model(record) else "no model, "
        return Again([Unchecked(f"not rescored: {model}no samples")])
    judge, again = ObservationJudge(request.task, request.preset), Again([])
    done, left = [], []
    for nfe in request.nfe:
        drawn = kept.get(suffixed("samples", nfe))
        for metric in request.metrics.values():
            entry = present(record, request, metric, nfe)
            if entry is None:
                continue
            identifier = metric_id(metric, nfe)
            if drawn is None or not metric.from_stored:
                left.append(identifier)
                continue
            again.findings += _scored(judge, metric, drawn, identifier, entry, values)
            done.append(identifier)
    if done:
        again.findings.append(Finding(f"{len(done)} values scored again from samples"))
    again.complete = covers(done, record, request)
    if left:
        again.findings.append(Unchecked(f"not rescored: {', '.join(left)} (not of what is stored)"))
    return again


def covers(done: list[str], record: Record, request: Request) -> bool:
    """Whether these are all values on record that rank."""
    main = request.task.main_metric
    ranking = {
        identifier
        for identifier, entry in record.metrics.items()
        if identifier.partition("@")[0] == main and entry.value is not None
    }
    return bool(ranking) and ranking <= {*done}


def _scored(
    judge: ObservationJudge,
    metric: Metric,
    drawn: Tensor,
    identifier: str,
    entry: Entry,
    values: Values,
) -> Iterator[Finding]:
    """Where an entry, or its values, differ from those of the samples beside it."""
    if not drawn.isfinite().all():
        yield Problem(f"{identifier} has a value, and the samples beside it are not finite")
        return
    measured = judge.measured(metric, drawn)
    if measured.scores is None:
        yield Problem(f"{identifier} has a value, and {measured.entry.error}")
        return
    found = measured.scores.value.numpy()
    scale = float(np.abs(found).max())
    differs = differing(entry, measured.entry, scale)
    if differs:
        name, said, again = differs
        yield Problem(
            f"{identifier}: {name} is {said!r} on record, {again!r} from the samples beside it"
        )
    by_observation = values.get(identifier)
    if by_observation is not None and not np.allclose(
        by_observation, found, rtol=AGREEMENT, atol=max(AGREEMENT * scale, 1e-9)
    ):
        yield Problem(f"{identifier} by observation is not what the samples beside it give")


def drawn_again(record: Record, request: Request, model: StoredModel, values: Values) -> Again:
    """What the stored model draws with the stream of its seed, against what stands beside it.

    That is the stored samples, the values on record, every metric at every observation, and what
    drawing costs: the few draws that rounding may change are no place to hide in. Of images by
    class, whose values are of other draws, it is samples and cost alone. Another torch or device
    may draw others: then nothing was computed again.
    """
    metric, again = request.metrics.get(request.task.main_metric), Again([], complete=True)
    if metric is None:
        return again
    judge, kept = ObservationJudge(request.task, request.preset), stored.samples(record)
    moved: list[Finding] = []
    for nfe in request.nfe:
        name, entry = suffixed("samples", nfe), present(record, request, metric, nfe)
        if entry is None or (name not in kept and not metric.by_observation):
            continue
        own, cost = model.as_judged(judge.observations.y, nfe)
        again.findings += _other_cost(record, nfe, cost)
        if name in kept:
            again.findings += _other_draws(name, kept[name], own)
        if metric.by_observation:
            for one in _other_values(judge, record, request, own, nfe, values):
                (again.findings if isinstance(one, Problem) else moved).append(one)
    if again.findings and (said := _elsewhere(record)):
        again.findings = [Unchecked(f"not redrawn as it was: made {said}")]
        again.complete = False
    again.findings += moved
    return again


def _other_cost(record: Record, nfe: NFE | None, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Evaluations of the network, and of what the task offers, that a draw does not take.

    What makes its own steps may take a few others on another processor.
    """
    said = record.cost.get("sampling", {}).get(str(nfe) if nfe else "1", {})
    allowed = FEWER_STEPS if nfe in (None, "adaptive") else AGREEMENT
    for name in COUNTED:
        there, here = (one.get(name) or 0 for one in (said, found))
        told = said.get("evaluations"), said.get(name)
        if told != (None, None) and not math.isclose(there, here, rel_tol=allowed):
            where = f" at NFE {nfe}" if nfe else ""
            yield Problem(f"{name} a draw{where}: {there:.6g} on record, {here:.6g} by its model")


def parameters(record: Record) -> Iterator[Finding]:
    """Whether it says how many numbers its model has."""
    said = record.cost.get("parameters")
    found = sum(part.numel() for part in stored.model(record).values() if isinstance(part, Tensor))
    if said is not None and said != found:
        yield Problem(f"it has {brief(repr(said), 40)} parameters on record, its model {found:,}")


def gaussian_gap(record: Record, request: Request, known: Gaps) -> Iterator[Finding]:
    """The Gaussian gap on record, for which a task may lose its vote, against the task's own.

    It depends on the task and its settings alone; `known` keeps what other records needed.
    """
    said = record.diagnostics.get(GAUSSIAN_GAP)
    if said is None:
        return
    task = request.task
    asked = request.preset.observations
    key = f"{type(task).__module__}.{type(task).__qualname__} {task.params!r} {asked}"
    if key not in known:
        known[key] = gap_facts(task, request.preset).get(GAUSSIAN_GAP)
    found = known[key]
    if found is None:
        yield Problem(f"{GAUSSIAN_GAP} is on record, which such a run does not measure")
    elif not isinstance(said, float) or not abs(said - found) <= GAP_ROUNDING:
        yield Problem(f"{GAUSSIAN_GAP} is {brief(repr(said), 40)} on record, {found!r} of the task")


def posterior_variance(record: Record, request: Request) -> Iterator[Finding]:
    """The posterior variance on record, a unit of values, against that of the task."""
    said = record.diagnostics.get(POSTERIOR_VARIANCE)
    if said is None:
        return
    found = variance_facts(ObservationJudge(request.task, request.preset)).get(POSTERIOR_VARIANCE)
    if found is None:
        yield Problem(f"{POSTERIOR_VARIANCE} is on record, which such a run does not measure")
    elif not isinstance(said, float) or not math.isclose(said, found, rel_tol=VARIANCE_ROUNDING):
        told = brief(repr(said), 40)
        yield Problem(f"{POSTERIOR_VARIANCE} is {told} on record, {found!r} of the task")


def _elsewhere(record: Record) -> str:
    """Where a record was made, if draws may differ for that; else empty."""
    made = record.environment
    same = (made.get("torch"), made.get("device")) == (torch.__version__, "cpu")
    return "" if same else f"with torch {made.get('torch')} on {made.get('device')}"


def _other_draws(name: str, kept: Tensor, own: Tensor) -> Iterator[Finding]:
    """Stored samples that the stored model does not draw."""
    if kept.shape == own.shape:
        drawn = own.double().flatten(2)
        off = (kept.double().flatten(2) - drawn).abs()
        share = float((off <= ROUNDING * drawn.std((0, 1))).all(2).double().mean())
        if share >= ALIKE:
            return
        text = f"{1 - share:.0%} of them are not"
    else:
        text = f"their shape {tuple(kept.shape)} is not that of"
    yield Problem(f"{name}: {text} what the model beside them draws with this seed")


def _other_values(
    judge: ObservationJudge,
    record: Record,
    request: Request,
    own: Tensor,
    nfe: NFE | None,
    values: Values,
) -> Iterator[Finding]:
    """Values on record that are not those of what the model draws, each and at each observation.

    How far they may be off is told by the draws made again, and not by the record.
    """
    for metric in request.metrics.values():
        entry = present(record, request, metric, nfe)
        if entry is None or not metric.from_stored:
            continue
        identifier, measured = metric_id(metric, nfe), judge.measured(metric, own)
        found, said = measured.entry, values.get(identifier)
        off = math.inf if found.value is None else abs(found.value - (entry.value or 0.0))
        if off > _rounding(found, SLACK):
            yield Problem(
                f"{identifier} is {entry.value!r} on record, {found.value!r} from what its model "
                "draws with this seed"
            )
        elif said is not None and measured.scores is not None:
            again = measured.scores.value.numpy()
            each = np.abs(said - again).max() if said.shape == again.shape else math.inf
            if each > SLACK * again.std() + AGREEMENT * (1 + np.abs(again).max()):
                yield Problem(f"{identifier} by observation is not what its model draws give")
        yield from _other_beside(identifier, entry, found)
        if _rounding(found, TOLD) < off <= _rounding(found, SLACK):
            yield Unchecked(
                f"not redrawn exactly: {identifier} is {entry.value:.6g} on record, "
                f"{found.value:.6g} from what its model draws with this seed; another processor "
                "may round so far"
            )


def _other_beside(identifier: str, entry: Entry, found: Entry) -> Iterator[Finding]:
    """What stands beside a value: of the same draws, or of the task's own, whatever is drawn."""
    of_the_task = AGREEMENT * (1 + abs(found.floor or 0.0))
    for name, allowed in (
        ("floor", of_the_task), ("resolution", of_the_task), ("plug_in", _rounding(found, SLACK)),
    ):  # fmt: skip
        said, again = entry[name], found[name]
        if (said is None) != (again is None) or (
            said is not None and not abs(said - again) <= allowed
        ):
            yield Problem(
                f"{identifier}: {name} is {said!r} on record, {again!r} from what its model draws "
                "with this seed"
            )


def _rounding(found: Entry, share: float) -> float:
    """How far a value may be from that of draws made again, by a share of its half-width."""
    value = abs(found.value or 0.0)
    half = value if found.low is None or found.high is None else (found.high - found.low) / 2
    return share * half + AGREEMENT * (1 + value)


def below_exact(record: Record, request: Request) -> Iterator[Finding]:
    """Where draws score better than exact ones can (`cwbench.records.below`)."""
    metric = request.metrics.get(request.task.main_metric)
    if metric is None:
        return
    for nfe in request.nfe:
        entry = present(record, request, metric, nfe)
        errors = errors_below(entry) if entry else 0.0
        if errors:
            yield Problem(
                f"{metric_id(metric, nfe)} lies {errors:.1f} standard errors below 0, what exact "
                f"draws score: {INDEPENDENT}"
            )


def judged_nfe(request: Request) -> NFE | None:
    """The NFE that ranks, or the last on record."""
    main = request.task.info.main_nfe
    return main if main in request.nfe else request.nfe[-1]
