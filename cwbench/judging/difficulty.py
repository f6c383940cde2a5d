"""How much a task asks of a method, measured on its own exact posterior.

The **Gaussian gap** is the debiased `ew2sq` of the Gaussian with the exact posterior mean and
covariance, over tr Cov(posterior): 0 where posteriors are Gaussian, so that a method which learns
two moments is done; from about .10 on, the shape of the posterior decides. The **resolution** is
the share of a scale error that `ew2sq` shows at this dimension and sample size. The **effective
modes** of a mixture are 1 / sum_k w_k(y)^2, in the median over observations: components that lie on
each other count as often as those that lie apart.

`describe` prints all three; a run puts the gap into its record, measured on the same observations
and samples whatever its preset has, and leaderboards take the vote of a task from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from cwbench import registry
from cwbench.judging.by_observation import ObservationJudge
from cwbench.judging.failing import Failed, attempt
from cwbench.judging.units import distance_units
from cwbench.machine import tensors
from cwbench.machine.streams import stream
from cwbench.preset import Preset
from cwbench.records.tables import GAUSSIAN_GAP, LEAST_GAP
from cwbench.task import Task

METRIC = "ew2sq"
OBSERVATIONS, SAMPLES = 20, 500


@dataclass(frozen=True)
class Difficulty:
    """Gaussian gap with its standard error over observations, and the resolution of `ew2sq`.

    `modes` are the effective ones, None where the posterior is no mixture.
    """

    gaussian_gap: float
    gaussian_gap_error: float
    resolution: float
    modes: float | None
    n_observations: int
    n_samples: int

    @property
    def nearly_gaussian(self) -> bool:
        """Whether two moments are nearly the answer, told by more than the gap's error."""
        return self.gaussian_gap + self.gaussian_gap_error < LEAST_GAP


def difficulty(task: Task, preset: Preset, cache: Path | None = None) -> Difficulty:
    """Of a task with a posterior, measured on at most 20 observations and 500 samples a side.

    Args:
        task: with a posterior.
        preset: of which the split counts, and the sizes where they are smaller.
        cache: where floors are kept.
    """
    sizes = {
        "observations": min(OBSERVATIONS, preset.observations),
        "samples": min(SAMPLES, preset.samples),
    }
    judge = ObservationJudge(task, preset.model_copy(update=sizes), cache)
    draws, traces = moment_matched(
        task, judge.observations.y, 2 * sizes["samples"], stream(*judge.key, "moment-matched")
    )
    scores = judge.score(registry.load_metric(METRIC)(task), draws)
    assert scores.resolution is not None  # noqa: S101 - ew2sq has one
    gap = float(scores.value.sum() / traces.sum())
    residual = scores.value - gap * traces  # of the ratio of two means
    error = float(residual.std() / traces.mean() / len(traces) ** 0.5)
    resolution = float(scores.resolution.mean())
    weights = task.posterior_weights(judge.observations.y)
    modes = None if weights is None else effective_modes(weights)
    return Difficulty(gap, error, resolution, modes, sizes["observations"], sizes["samples"])


def effective_modes(weights: Tensor) -> float:
    """The median over observations of 1 / sum_k w_k^2, of weights `(m, K)`."""
    return float(weights.double().square().sum(1).reciprocal().quantile(0.5))


def moment_matched(task: Task, y: Tensor, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Draws `(m, n, *x_shape)` of Gaussians with the posterior's moments, and tr Cov `(m,)`.

    The traces are in the units of distances, as their squares are.
    """
    units = distance_units(task).expand(task.x_shape).flatten()
    traces = (task.posterior_variances(y) / units.square()).sum(dim=1)
    return task.sample_moment_matched(y, n, generator), traces


def gap_facts(task: Task, preset: Preset, cache: Path | None = None) -> Mapping[str, float]:
    """The Gaussian gap as records hold it, whatever the preset: that of `describe`.

    Seconds, once for a task's settings: it is kept beside the floors. Nothing where there is no
    posterior, where the preset has so few observations that no verdict is meant (`smoke`), and
    where it cannot be measured: a run does not fail for it.
    """
    if not task.has_posterior or preset.observations < OBSERVATIONS:
        return {}
    sizes = {"observations": OBSERVATIONS, "samples": SAMPLES, "split": "test"}
    found = attempt(_kept_gap, task, preset.model_copy(update=sizes), cache)
    return {} if isinstance(found, Failed) else {GAUSSIAN_GAP: found}


def _kept_gap(task: Task, preset: Preset, cache: Path | None) -> float:
    """The Gaussian gap, measured unless it is kept."""
    version = registry.load_metric(METRIC)(task).info.version
    path = ObservationJudge(task, preset, cache).kept_at(f"gaussian-gap-{version}")
    gap = (tensors.kept(path) or {}).get(GAUSSIAN_GAP)
    if gap is None or gap.shape != () or not gap.isfinite():
        gap = torch.tensor(difficulty(task, preset, cache).gaussian_gap, dtype=torch.float64)
        tensors.keep(path, {GAUSSIAN_GAP: gap})
    return float(gap)
