"""A stored model on observations that nobody has seen before, against the values on record.

An honest model knows neither: its values at the observations of the judge and at fresh ones come of
the same number of draws, debiased alike, of one seed, and are exchangeable. Two tests share the
chance that an honest record is refused by. Student's t of the two means finds what moves a score.
The rank sum finds a model that is better at nearly every observation that it knows, where the
spread between observations hides that from t; its level is exact whatever the law and the count.

Fresh observations come in rounds, each a set as the judge's own: an evaluation set may have classes
in turn, or images without replacement.

On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other (Mann and
Whitney, 1947), https://doi.org/10.1214/aoms/1177730491
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cwbench.judging.by_observation import ObservationJudge
from cwbench.metric import Metric
from cwbench.records.record import Record
from cwbench.running.recorded import metric_id
from cwbench.running.request import Request
from cwbench.verifying.found import Finding, Problem, Unchecked
from cwbench.verifying.model import StoredModel
from cwbench.verifying.numbers import Values
from cwbench.verifying.scoring import Again, covers, judged_nfe, present

CHANCE = 1e-3
"""Of a larger gap between an honest score and the one on fresh observations: a smaller refuses."""
OTHER_CHANCE = 1e-4
"""The same at NFE that do not rank: there are several."""

ENOUGH = 24
"""Fresh observations where a preset has half as many or fewer, in whole rounds. Of twice as many
the rank sum refuses no model that it does not refuse of these."""

EXACT = 10_000
"""Pairs of values up to which the law of the rank sum is counted out; beyond, it is all but normal,
with lighter tails."""

Numbers = NDArray[np.float64]


def redrawn(
    record: Record, request: Request, model: StoredModel, values: Values, seed: int
) -> Again:
    """The main metric of the stored model on observations that nobody has seen before.

    Args:
        record: with a model beside it.
        request: made from it.
        model: that one.
        values: of the record, by observation.
        seed: of the fresh observations, chosen after the record was made.
    """
    metric = request.metrics.get(request.task.main_metric)
    if metric is None or not metric.by_observation:
        return Again([Unchecked(_not_redrawn(metric))])
    due = {
        nfe: values[metric_id(metric, nfe)]
        for nfe in request.nfe
        if present(record, request, metric, nfe) and metric_id(metric, nfe) in values
    }
    parts: dict[object, list[Numbers]] = {nfe: [] for nfe in due}
    for number in range(max(1, ENOUGH // request.preset.observations)):
        judge = ObservationJudge(request.task, request.preset)
        judge.key = (*judge.key, "verify", seed, number)
        for nfe in due:
            samples = model.afresh(judge.observations.y, nfe, f"verify {seed} {number}")
            parts[nfe].append(judge.score(metric, samples).value.numpy())
    again = Again([], covers([metric_id(metric, nfe) for nfe in due], record, request))
    for nfe, recorded in due.items():
        fresh, ranks = np.concatenate(parts[nfe]), nfe == judged_nfe(request)
        again.findings.append(gap(metric_id(metric, nfe), recorded, fresh, ranks=ranks))
    return again


def _not_redrawn(metric: Metric | None) -> str:
    """Why the metric that ranks is not computed again from a stored model."""
    if metric is None or not metric.of_images:
        return "not redrawn: the main metric has no value by observation"
    return (
        f"not redrawn: {metric.identifier} is of {metric.of_images.n:,} images, which nothing "
        "draws again (`cwbench run --force` does)"
    )


def gap(identifier: str, recorded: Numbers, fresh: Numbers, *, ranks: bool) -> Finding:
    """How far values of independent observations lie apart, and whether that is chance.

    Args:
        identifier: of the entry.
        recorded: values on record, with shape `(m,)`.
        fresh: those on fresh observations, with shape `(k,)`.
        ranks: whether the entry decides ranks.
    """
    errors, by_means = _by_means(recorded, fresh)
    text = (
        f"{identifier} on fresh observations {fresh.mean():.4g}, on record "
        f"{recorded.mean():.4g}: {errors:.1f} standard errors apart"
    )
    if not np.isfinite(fresh).all():
        return Problem(f"{text}: not all are numbers")
    by_ranks = rank_chance(recorded, fresh)
    chance = 2 * min(by_means, by_ranks)
    if chance >= (CHANCE if ranks else OTHER_CHANCE):
        return Finding(text)
    if by_means <= by_ranks:
        return Problem(f"{text}, as an honest record is with a chance of {chance:.1g}")
    return Problem(
        f"{text}; the values of an honest record lie so far on one side of fresh ones with a "
        f"chance of {chance:.1g}"
    )


def _by_means(recorded: Numbers, fresh: Numbers) -> tuple[float, float]:
    """How many standard errors two means lie apart, and the chance of more, by a t-test.

    Its degrees of freedom are those of the smaller sample, which keep the level whatever the two
    variances are (Welch's do not so far out); the skew of two means of one law cancels in their
    difference where the counts are equal.
    """
    counts = np.array([len(fresh), len(recorded)])
    variances = np.array([v.var(ddof=1) for v in (fresh, recorded)])
    apart, error = abs(float(fresh.mean() - recorded.mean())), math.sqrt((variances / counts).sum())
    errors = apart / error if error else math.inf if apart else 0.0
    return errors, 2 * float(special.stdtr(counts.min() - 1, -errors))


def rank_chance(recorded: Numbers, fresh: Numbers) -> float:
    """The chance of a rank sum as far from the middle, where all values are exchangeable.

    Equal values count for either side, so that ties refuse nobody.
    """
    above = int((recorded[:, None] > fresh).sum())
    equal = int((recorded[:, None] == fresh).sum())
    pairs = len(recorded) * len(fresh)
    few = min(above, pairs - above - equal) + equal
    return min(1.0, 2 * _at_most(few, len(recorded), len(fresh)))


def _at_most(few: int, m: int, k: int) -> float:
    """The chance that at most so many of the m k pairs have the larger value among the m."""
    if m * k <= EXACT:
        return float(_law(m, k)[: few + 1].sum())
    deviation = math.sqrt(m * k * (m + k + 1) / 12)
    return float(special.ndtr((few + 0.5 - m * k / 2) / deviation))


@functools.cache
def _law(m: int, k: int) -> Numbers:
    """Chances of 0, ..., m k such pairs.

    The largest of i + j values is one of the i, and so above all j, with a chance of i / (i + j).
    """
    laws = [np.ones(1)] * (k + 1)
    for i in range(1, m + 1):
        row = [np.ones(1)]
        for j in range(1, k + 1):
            law = np.zeros(i * j + 1)
            law[: i * (j - 1) + 1] = j / (i + j) * row[j - 1]
            law[j:] += i / (i + j) * laws[j]
            row.append(law)
        laws = row
    return laws[k]
