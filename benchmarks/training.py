"""The flows as `cwbench run` trains them, cut down to a few hundred steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.timing import Measurement
from cwbench.api import load_method, load_task
from cwbench.machine.cpu import single_threaded
from cwbench.machine.streams import stream
from cwbench.preset import Preset
from cwbench.running.request import problem_spec
from cwbench.task import Task
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter

KEY = ("benchmark", 0)


def problem(steps: int) -> tuple[Task, Preset, Dataset[tuple[Tensor, Tensor]]]:
    """The Gaussian mixture in d = 5 with batches of 200, and its training pairs."""
    task = load_task("gaussian-mixture")
    preset = task.info.presets["quick"].model_copy(update={"steps": steps})
    return task, preset, task.training_data(preset.training_pairs, stream(*KEY, "data"))


def flow(name: str, steps: int) -> Measurement:
    """Seconds a step of a flow as it comes. Calibration and diagnosis are done once, here."""
    task, preset, data = problem(steps)
    configured, cpu = load_method(name), torch.device("cpu")

    def fresh() -> tuple[Any, TrainingContext]:
        meter = Meter()
        spec = problem_spec(task, configured.cls, configured.params, preset, meter, cpu)
        context = TrainingContext(data, preset, KEY, spec.network)
        return configured.cls(configured.params, spec), context

    method, context = fresh()
    pairing = method.coupling(data, context)

    def seconds_per_step() -> float:
        method, context = fresh()
        method.coupling = lambda *_: pairing
        method.diagnose = lambda *_: {}
        with single_threaded():
            method.fit(data, context)
        return context.seconds["fit"] / steps

    return seconds_per_step
