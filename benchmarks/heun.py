"""From how many evaluations on `diffusion` takes Heun's steps: the search on `dev`.

    python -m benchmarks.heun

On each task the same trained weights are sampled from the same noise by Euler's steps alone and
with Heun's, at equal NFE on the method's own schedule. A value is `ew2sq` on the held-out
observations of split `dev` over that of `prior`, as in `benchmarks.defaults`. The switch is the
fewest evaluations from which on Heun's mean over the tasks is the lower one at every NFE tried.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

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
NFE = (9, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 28, 31)
SIZES = {"observations": 20, "samples": 200, "split": "dev"}
KEY = ("benchmark", "heun")


class Trial(NamedTuple):
    """Scaled values of one task at one NFE."""

    task: str
    nfe: int
    euler: float
    heun: float


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
        for method.heun_from in (sys.maxsize, 1):
            scaled.append(value(method, nfe) / prior)
        yield Trial(name, nfe, *scaled)


def fitted(name: str, task: Task, preset: Preset) -> Method:
    """A method at its defaults, trained on the pairs that are the same for all."""
    data = task.training_data(preset.training_pairs, stream(*KEY, "data"))
    configured = load_method(name)
    spec = problem_spec(task, configured.cls, preset, Meter(), torch.device("cpu"))
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


def main() -> None:
    """Print a line for each trial, for each NFE, and the switch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=2_000, help="of training")
    parser.add_argument("--task", nargs="*", default=TASKS)
    asked = parser.parse_args()
    print(f"{'task':<30} {'NFE':>4} {'Euler':>8} {'Heun':>8}")
    found = []
    for name in asked.task:
        for trial in trials(name, asked.steps):
            found.append(trial)
            print(f"{name:<30} {trial.nfe:4} {trial.euler:8.4f} {trial.heun:8.4f}", flush=True)
    for nfe, (euler, heun) in means(found).items():
        print(f"{'mean':<30} {nfe:4} {euler:8.4f} {heun:8.4f}")
    print(f"Heun's steps from NFE {switch(found)} on")


if __name__ == "__main__":
    main()
