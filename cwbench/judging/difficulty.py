"""How much a task asks of a method, measured on its own exact posterior.

The **Gaussian gap** is the debiased `ew2sq` of the Gaussian with the exact posterior mean and
covariance, over tr Cov(posterior): 0 where posteriors are Gaussian, so that a method which learns
two moments is done; from about .10 on, the shape of the posterior decides. The **resolution** is
the share of a scale error that `ew2sq` shows at this dimension and sample size. The **effective
modes** of a mixture are 1 / sum_k w_k(y)^2, in the median over observations: components that lie on
each other count as often as those that lie apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from cwbench import registry
from cwbench.judging.by_observation import ObservationJudge
from cwbench.machine.streams import stream
from cwbench.preset import Preset
from cwbench.task import Task

METRIC = "ew2sq"
OBSERVATIONS, SAMPLES = 20, 500

LEAST_GAP = 0.10
"""Below it a task is nearly Gaussian."""


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
        """Whether two moments are nearly the answer."""
        return self.gaussian_gap < LEAST_GAP


def difficulty(task: Task, preset: Preset) -> Difficulty:
    """Of a task with a posterior, measured on at most 20 observations and 500 samples a side."""
    sizes = {
        "observations": min(OBSERVATIONS, preset.observations),
        "samples": min(SAMPLES, preset.samples),
    }
    judge = ObservationJudge(task, preset.model_copy(update=sizes))
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
    """Draws `(m, n, *x_shape)` of Gaussians with the posterior's moments, and tr Cov `(m,)`."""
    return task.sample_moment_matched(y, n, generator), task.posterior_variances(y).sum(dim=1)
