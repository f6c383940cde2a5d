"""What a run measures of its task for tables over all tasks."""

from __future__ import annotations

from collections.abc import Mapping

from cwbench.judging import difficulty
from cwbench.judging.by_observation import ObservationJudge
from cwbench.judging.failing import Failed, attempt
from cwbench.records.facts import POSTERIOR_VARIANCE


def variance_facts(judge: ObservationJudge) -> Mapping[str, float]:
    """The mean of tr Cov(posterior) over the judged observations, in the unit of distances squared.

    Nothing where there is no posterior, where the preset has so few observations that no verdict is
    meant (`smoke`), and where the task fails to say it: a run does not fail for it.
    """
    if not judge.task.has_posterior or judge.preset.observations < difficulty.OBSERVATIONS:
        return {}
    found = attempt(_variance, judge)
    return {} if isinstance(found, Failed) else {POSTERIOR_VARIANCE: found}


def _variance(judge: ObservationJudge) -> float:
    units = judge.units.double().expand(judge.task.x_shape).flatten()
    variances = judge.task.posterior_variances(judge.observations.y).double()
    return float((variances / units.square()).sum(1).mean())
