"""From how many evaluations on `diffusion` takes Heun's steps: the search on `dev`.

    python -m benchmarks.heun

The same denoiser is sampled from the same noise by Euler's steps alone and with Heun's, at equal
NFE on the method's own schedule; a switch is the fewest evaluations from which on Heun's values are
lower at every NFE tried.

*exact*: the denoiser of x = +-m + sqrt(1 - m^2) n is known, and the value is the root mean squared
distance from samples of the same ODE solved finely. *trained*: weights of a short training, and the
value is `ew2sq` on the observations of split `dev` over that of `prior`, as in
`benchmarks.defaults`. There the error of the weights is in both values: where they give samples
that are too wide, Euler's steps, whose samples are too narrow, hide a part of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from cwbench.api import load_method, load_task
from cwbench.judging.judge import Judge
from cwbench.machine.streams import stream
from cwbench.method import Method
from cwbench.metrics.wasserstein import W2Squared
from cwbench.preset import Preset
from cwbench.running.request import problem_spec
from cwbench.task import Task
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter
from cwbench_baselines.diffusion import Diffusion

TASKS = (
    "gaussian-linear", "gaussian-mixture", "gaussian-mixture-informative", "sign-symmetric",
    "two-moons", "eight-gaussians-moons", "deblurring",
)  # fmt: skip
NFE = (9, 13, 17, 21, 23, 25, 31)
SIZES = {"observations": 20, "samples": 200, "split": "dev"}
KEY = ("benchmark", "heun")
MODES = (0.0, 0.9, 0.95)
EXACT_NFE = (*range(9, 32), 35, 41)
FINE = 401
BOTH = (sys.maxsize, 1)
"""From how many evaluations on steps are Heun's: Euler's alone, and Heun's."""


class Trial(NamedTuple):
    """Values of one task, or exact denoiser, at one NFE."""

    task: str
    nfe: int
    euler: float
    heun: float


class TwoModes(nn.Module):
    """E[x | x + sigma n] for x = +-m + s n', both signs equally likely, of variance m^2 + s^2 = 1.

    With v = s^2 + sigma^2 it is (s^2 x + sigma^2 m tanh(m x / v)) / v; m = 0 is N(0, 1).
    """

    mean, deviation = torch.zeros(1), torch.ones(1)

    def __init__(self, m: float) -> None:
        super().__init__()
        self.m, self.s2 = m, 1 - m**2

    def condition(self, y: Tensor) -> Tensor:
        """Nothing is done to it."""
        return y

    def forward(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """The estimate of clean x `(n, 1)` at noise `(n,)`."""
        variance = sigma[:, None] ** 2
        total = self.s2 + variance
        return (self.s2 * x + variance * self.m * torch.tanh(self.m * x / total)) / total


def exact(m: float, grid: Sequence[int] = EXACT_NFE, draws: int = 2_000) -> Iterator[Trial]:
    """Distances of both solvers from the ODE of an exact denoiser."""
    task = load_task("gaussian-linear", dimension=1)
    method = load_method("diffusion").on(task)
    assert isinstance(method, Diffusion)
    method.denoiser = TwoModes(m)  # type: ignore[assignment]  # of the same three members

    def sample(nfe: int, heun_from: int) -> Tensor:
        method.heun_from = heun_from
        return method.sample(torch.zeros(1, 1), draws, stream(*KEY, "exact"), nfe)

    true = sample(FINE, 1)
    for nfe in grid:
        errors = [(sample(nfe, first) - true).square().mean().sqrt() for first in BOTH]
        yield Trial(f"exact, m = {m}", nfe, *map(float, errors))


def trials(name: str, steps: int, grid: Sequence[int] = NFE) -> Iterator[Trial]:
    """Fit on a task of preset `quick`, with `steps` of its own, and score both solvers."""
    task = load_task(name)
    preset = task.info.presets["quick"].model_copy(update=SIZES | {"steps": steps})
    judge, metric = Judge(task, preset), W2Squared(task)
    y, draws = judge.observations.y, 2 * preset.samples

    def value(method: Method, nfe: int | None) -> float:
        samples = method.sample(y, draws, stream(*KEY, "samples"), nfe)
        return judge.measured(metric, samples).entry.value

    prior = value(fitted("prior", task, preset), None)
    method = fitted("diffusion", task, preset)
    assert isinstance(method, Diffusion)
    for nfe in grid:
        scaled = []
        for first in BOTH:
            method.heun_from = first
            scaled.append(value(method, nfe) / prior)
        yield Trial(name, nfe, *scaled)


def fitted(name: str, task: Task, preset: Preset) -> Method:
    """A method at its defaults, trained on the pairs that are the same for all."""
    data = task.training_data(preset.training_pairs, stream(*KEY, "data"))
    configured = load_method(name)
    spec = problem_spec(
        task, configured.cls, configured.params, preset, Meter(), torch.device("cpu")
    )
    method = configured.cls(configured.params, spec)
    method.fit(data, TrainingContext(data, preset, KEY, spec.network))
    return method


def means(found: Sequence[Trial]) -> dict[int, tuple[float, float]]:
    """By NFE, the means over tasks with Euler's steps and with Heun's."""
    by_nfe = {nfe: [t for t in found if t.nfe == nfe] for nfe in sorted({t.nfe for t in found})}
    return {
        nfe: (sum(t.euler for t in some) / len(some), sum(t.heun for t in some) / len(some))
        for nfe, some in by_nfe.items()
    }


def switch(found: Sequence[Trial]) -> int | None:
    """The fewest evaluations from which on Heun's mean is always lower; None if at none."""
    chosen = None
    for nfe, (euler, heun) in sorted(means(found).items(), reverse=True):
        if heun >= euler:
            break
        chosen = nfe
    return chosen


def shown(found: Iterator[Trial]) -> list[Trial]:
    """The trials, each printed as it comes, and their own switch."""
    kept = []
    for trial in found:
        kept.append(trial)
        print(f"{trial.task:<30} {trial.nfe:4} {trial.euler:8.4f} {trial.heun:8.4f}", flush=True)
    print(f"{kept[-1].task:<30} switch {switch(kept)}", flush=True)
    return kept


def main() -> None:
    """Print a line for each trial, the means over tasks, and the switches."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2_000, help="of training")
    parser.add_argument("--task", nargs="*", default=TASKS)
    asked = parser.parse_args()
    print(f"{'':<30} {'NFE':>4} {'Euler':>8} {'Heun':>8}")
    for m in MODES:
        shown(exact(m))
    found = [trial for name in asked.task for trial in shown(trials(name, asked.steps))]
    if found:
        by_nfe = means(found).items()
        shown(Trial("trained, mean over tasks", nfe, *both) for nfe, both in by_nfe)


if __name__ == "__main__":
    main()
