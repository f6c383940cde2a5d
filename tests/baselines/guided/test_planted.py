"""A schedule that is off by a factor 2 is caught by the suite's verdict, from three small seeds.

It is a bug that users of such samplers met: nobody could tell it from bad tuning.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from made_runs import write_run
from torch import Generator, Tensor

import cwbench
from cwbench.api import load_method, load_task
from cwbench.judging.judge import Judge
from cwbench.metrics.wasserstein import W2Squared
from cwbench.running.request import problem_spec
from cwbench.training.networks import Meter
from cwbench_baselines.guided.pigdm import PseudoInverseGuidance
from cwbench_baselines.guided.sampler import Problem


class OffByTwo(PseudoInverseGuidance):
    """Takes x_t for half as noisy as it is."""

    def guided(self, problem: Problem, x: Tensor, k: float, following: float) -> Tensor:
        """As for half the noise."""
        return super().guided(problem, x, k / 2, following / 2)


def test_the_planted_bug_is_worse_and_the_right_sampler_ties_with_the_oracle(
    tmp_path: Path,
) -> None:
    task = load_task("gaussian-linear")
    preset = task.info.presets["smoke"].model_copy(update={"samples": 60})
    judge = Judge(task, preset)
    y, n = judge.observations.y, 2 * preset.samples
    chosen = load_method("pigdm", denoiser="exact", steps=40)
    context: Any = SimpleNamespace(standardise=True)
    for seed in range(3):
        data = task.training_data(500, Generator().manual_seed(seed))
        drawn = {"oracle": task.sample_posterior(y, n, Generator().manual_seed(50 + seed))}
        for name, cls in (("right", PseudoInverseGuidance), ("wrong", OffByTwo)):
            cpu = torch.device("cpu")
            spec = problem_spec(task, cls, chosen.params, preset, Meter(), cpu)
            method = cls(chosen.params, spec)
            method.fit(data, context)
            drawn[name] = method.sample(y, n, Generator().manual_seed(100 + seed))
        for name, samples in drawn.items():
            values = judge.score(W2Squared(task), samples).value.tolist()
            write_run(tmp_path, {"ew2sq": values}, method=name, seed=seed)
    found = {
        (a, b): cwbench.compare(a, b, results=tmp_path)["verdict"].item()
        for a, b in (("right", "oracle"), ("wrong", "right"))
    }
    assert found == {("right", "oracle"): "tie", ("wrong", "right"): "worse"}
