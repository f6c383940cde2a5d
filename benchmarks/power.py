"""What metrics see at d = 64, 784 and 3,072: t-values of samplers that are wrong in one way each.

    python -m benchmarks.power [--prior digits mnist patches32-colour]

The value over its standard error over 20 observations of `super-resolution`, 2 x 200 draws each. A
minute or two for each prior but the last, whose covariances of 75 MB take ten.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Generator, Tensor

from cwbench import registry
from cwbench.api import load_task
from cwbench.judging.by_observation import ObservationJudge
from cwbench.machine.streams import stream
from cwbench.metrics.leading import DIRECTIONS
from cwbench_tasks.factors import FactorPosterior
from cwbench_tasks.imaging import ImagingTask
from cwbench_tasks.mixtures import sample_mixture

PRIORS = {"digits": {}, "mnist": {}, "patches32-colour": {"prior": "patches32", "colour": True}}
METRICS = (
    "ew2sq", "ew2sq-leading", "complement-error", "energy", "energy-white", "esw2sq",
    "esw2sq-white", "mean-error",
)  # fmt: skip
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


def table(prior: str) -> None:
    """Print the rows of one prior."""
    task = load_task("super-resolution", **({"prior": prior} | PRIORS[prior]))
    assert isinstance(task, ImagingTask)
    sizes = {"observations": OBSERVATIONS, "samples": SAMPLES}
    judge = ObservationJudge(task, task.info.presets["quick"].model_copy(update=sizes))
    metrics = [registry.load_metric(name)(task) for name in METRICS]
    d = task.posterior_variances(judge.observations.y[:1]).shape[1]
    print(f"\nd = {d}, prior {prior}\n| sampler | " + " | ".join(METRICS) + " |")
    print("|---" * (1 + len(METRICS)) + "|")
    for name, sampler in SAMPLERS.items():
        draws = sampler(task, judge.observations.y, stream("power", name))
        draws = draws.reshape(OBSERVATIONS, 2 * SAMPLES, *task.x_shape)
        values = [judge.score(metric, draws).value for metric in metrics]
        ts = [float(v.mean() / v.std() * len(v) ** 0.5) for v in values]
        print(f"| {name} | " + " | ".join(f"{t:.1f}" for t in ts) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", nargs="*", choices=PRIORS, default=list(PRIORS))
    for prior in parser.parse_args().prior:
        table(prior)


if __name__ == "__main__":
    main()
