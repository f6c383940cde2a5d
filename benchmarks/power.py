"""What metrics see at d = 64, 784 and 3,072: t-values of samplers that are wrong in one way each.

    python -m benchmarks.power [--prior digits mnist patches32-colour] [--alarms 100]

The value over its standard error over 20 observations of `super-resolution`, 2 x 200 draws each.
With `--alarms` instead how often the interval of exact draws excludes 0, over so many fresh sets of
observations, reference draws and samples: 5 % are meant to. A table takes half a minute of one core
at d = 64, four at 784, a quarter of an hour and 2 GB at 3,072.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod

import torch
from torch import Generator, Tensor

from cwbench import registry
from cwbench.api import load_task
from cwbench.judging.by_observation import ObservationJudge
from cwbench.judging.measured import quantile
from cwbench.machine.streams import stream
from cwbench.metrics.leading import DIRECTIONS
from cwbench_tasks.factors import FactorPosterior
from cwbench_tasks.imaging import ImagingTask
from cwbench_tasks.mixtures import sample_mixture

PRIORS = {"digits": {}, "mnist": {}, "patches32-colour": {"prior": "patches32", "colour": True}}
METRICS = (
    "ew2sq", "ew2sq-leading", "complement-error", "energy", "energy-white", "esw2sq",
    "esw2sq-white", "mean-error", "ksd", "log-density-w1", "pqmass",
)  # fmt: skip
SHARED = {"esw2sq-white"}
"""Left out where covariances are large, since it sees what `energy-white` sees at the same cost."""
OBSERVATIONS, SAMPLES, ATOMS = 20, 200, 100
ARTEFACT = 0.03
Sampler = Callable[[ImagingTask, Tensor, Generator], Tensor]


def exact(task: ImagingTask, y: Tensor, generator: Generator) -> Tensor:
    """Draws `(m, 2n, d)`."""
    return task.posterior.sample(y.flatten(1), 2 * SAMPLES, generator)


def scaled(leading: float, others: float) -> Sampler:
    """Deviations multiplied, in the leading directions and in the others."""

    def sampler(task: ImagingTask, y: Tensor, generator: Generator) -> Tensor:
        x, V = exact(task, y, generator), task.posterior_leading(y, DIRECTIONS)
        mean = torch.stack([exact_mean(task, row) for row in y.split(1)])
        centred = x - mean
        within = (centred @ V) @ V.mT
        return mean + leading * within + others * (centred - within)

    return sampler


def exact_mean(task: ImagingTask, y: Tensor) -> Tensor:
    """With shape `(1, d)`."""
    posterior = task.posterior
    if isinstance(posterior, FactorPosterior):
        return next(posterior.given(y.flatten(1))).matched.means
    return task.posterior_moments(y).mean


def reweighted(change: Callable[[Tensor], Tensor]) -> Sampler:
    """The right components in wrong proportions."""

    def sampler(task: ImagingTask, y: Tensor, generator: Generator) -> Tensor:
        posterior, flat = task.posterior, y.flatten(1)
        if isinstance(posterior, FactorPosterior):
            mixtures = [replace(one, weights=change(one.weights)) for one in posterior.given(flat)]
            return torch.stack([one.sample(2 * SAMPLES, generator) for one in mixtures])
        mixture = posterior.mixture(flat)
        assert mixture is not None
        weights = torch.stack([change(row) for row in mixture.weights])
        return sample_mixture(mixture._replace(weights=weights), 2 * SAMPLES, generator)

    return sampler


def sharpened(weights: Tensor) -> Tensor:
    """To the power 1.3."""
    return weights**1.3 / (weights**1.3).sum()


def without_heaviest(weights: Tensor) -> Tensor:
    """The heaviest dropped, where it is not all there is."""
    left = weights.clone()
    left[weights.argmax()] = 0
    return left / left.sum() if left.sum() > 1e-6 else weights


def gaussian(task: ImagingTask, y: Tensor, generator: Generator) -> Tensor:
    """The right moments, no modes."""
    return task.posterior.sample_matched(y.flatten(1), 2 * SAMPLES, generator)


def atoms(task: ImagingTask, y: Tensor, generator: Generator) -> Tensor:
    """A hundred draws again and again."""
    few = task.posterior.sample(y.flatten(1), ATOMS, generator)
    return few[:, torch.randint(ATOMS, (2 * SAMPLES,), generator=generator)]


def artefacts(task: ImagingTask, y: Tensor, generator: Generator) -> Tensor:
    """A checkerboard on every image."""
    _, height, width = task.x_shape
    board = (-1.0) ** (torch.arange(height)[:, None] + torch.arange(width))
    return exact(task, y, generator) + ARTEFACT * board.expand(task.x_shape).flatten()


SAMPLERS: dict[str, Sampler] = {
    "exact": exact,
    "sd x1.1": scaled(1.1, 1.1),
    "sd x1.5 in the leading directions": scaled(1.5, 1),
    "sd x1.1 in the complement": scaled(1, 1.1),
    "weights to the power 1.3": reweighted(sharpened),
    "right moments, Gaussian": gaussian,
    "100 atoms": atoms,
    "heaviest mode dropped": reweighted(without_heaviest),
    "checkerboard of .03 added": artefacts,
}


class Setting:
    """The task of one prior, with its metrics and what they are judged on."""

    def __init__(self, prior: str) -> None:
        task = load_task("super-resolution", **({"prior": prior} | PRIORS[prior]))
        assert isinstance(task, ImagingTask)
        self.task = task
        self.d = prod(task.x_shape)
        names = [name for name in METRICS if self.d <= 1024 or name not in SHARED]
        self.metrics = {name: registry.load_metric(name)(task) for name in names}
        sizes = {"observations": OBSERVATIONS, "samples": SAMPLES}
        self.preset = task.info.presets["quick"].model_copy(update=sizes)

    def judge(self, repeat: int | None = None) -> ObservationJudge:
        """Observations and reference draws: the task's own, or of a stream of their own."""
        judge = ObservationJudge(self.task, self.preset)
        if repeat is not None:
            judge.key = (*judge.key, "power", repeat)
        return judge

    def head(self) -> None:
        """Print the first lines of a table."""
        print(f"\nd = {self.d}\n| sampler | " + " | ".join(self.metrics) + " |")
        print("|---" * (1 + len(self.metrics)) + "|", flush=True)

    def t_values(self, judge: ObservationJudge, draws: Tensor) -> Iterator[float]:
        """Of every metric, of draws `(m, 2n, d)`."""
        draws = draws.reshape(OBSERVATIONS, 2 * SAMPLES, *self.task.x_shape)
        for metric in self.metrics.values():
            value = judge.score(metric, draws).value
            yield float(value.mean() / value.std() * len(value) ** 0.5)


def table(setting: Setting) -> None:
    """Print a row for each sampler."""
    setting.head()
    judge = setting.judge()
    for name, sampler in SAMPLERS.items():
        draws = sampler(setting.task, judge.observations.y, stream("power", name))
        row = " | ".join(f"{t:.1f}" for t in setting.t_values(judge, draws))
        print(f"| {name} | {row} |", flush=True)


def alarms(setting: Setting, repeats: int) -> None:
    """Print how often exact draws are told from the posterior, below and above 0."""
    setting.head()
    found = []
    for repeat in range(repeats):
        judge = setting.judge(repeat)
        draws = exact(setting.task, judge.observations.y, stream("alarms", repeat))
        found.append(list(setting.t_values(judge, draws)))
    least = quantile(OBSERVATIONS)
    ts = torch.tensor(found)
    for name, told in (("below 0", ts < -least), ("above 0", ts > least)):
        row = " | ".join(f"{share:.0%}" for share in told.double().mean(0).tolist())
        print(f"| {name}, {repeats} times | {row} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", nargs="*", choices=PRIORS, default=list(PRIORS))
    parser.add_argument("--alarms", type=int, default=0, metavar="TIMES")
    asked = parser.parse_args()
    for prior in asked.prior:
        setting = Setting(prior)
        if asked.alarms:
            alarms(setting, asked.alarms)
        else:
            table(setting)


if __name__ == "__main__":
    main()
