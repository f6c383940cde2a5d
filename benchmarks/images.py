"""Images a second: what the networks and the feature networks of images get through.

Absolute numbers of this machine, held to no bound but that of a ratio: `cot-fm`, which solves an
assignment within each class, against `fm` on the same network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.timing import Measurement, Ratio, medians
from cwbench.api import load_method, load_task
from cwbench.images import to_x
from cwbench.machine.cpu import single_threaded
from cwbench.machine.streams import stream
from cwbench.metrics.classifier import classifier_of
from cwbench.metrics.features import efficientnet
from cwbench.running.request import problem_spec
from cwbench.training.context import TrainingContext
from cwbench.training.networks import Meter

STEPS, IMAGES, REPEATS = 100, 200, 3
KEY = ("benchmark", 0)


def ratios() -> Iterator[Ratio]:
    """Training and features; the detail says how many images a second."""
    flows = {name: _flow(name) for name in ("fm", "cot-fm")}
    seconds = medians(flows, REPEATS)
    rates = ", ".join(f"{name} {1 / each:.0f}" for name, each in seconds.items())
    yield Ratio(
        "seconds an image in training, cot-fm over fm, digits", seconds["cot-fm"] / seconds["fm"],
        1.15, f"images/s: {rates}",
    )  # fmt: skip
    task = load_task("digits")
    stored = task.stored_images("test")
    assert stored is not None
    x = to_x(stored.images[:IMAGES])
    classifier, network = classifier_of(task, None), efficientnet()
    speeds = medians(
        {"classifier": _applied(lambda: classifier(x)), "lite0": _applied(lambda: network(x))}, 1
    )
    rates = ", ".join(f"{name} {IMAGES / each:.0f}" for name, each in speeds.items())
    yield Ratio(
        "seconds an image in the in-suite classifier over EfficientNet-Lite0",
        speeds["classifier"] / speeds["lite0"], 1.0, f"images/s: {rates}",
    )  # fmt: skip


def _flow(name: str) -> Measurement:
    task, cpu = load_task("digits"), torch.device("cpu")
    preset = task.info.presets["quick"].model_copy(update={"steps": STEPS})
    data = task.training_data(preset.training_pairs, stream(*KEY, "data"))
    configured = load_method(name)

    def seconds_an_image() -> float:
        spec = problem_spec(task, configured.cls, configured.params, preset, Meter(), cpu)
        context = TrainingContext(data, preset, KEY, spec.network)
        method = configured.cls(configured.params, spec)
        method.diagnose = lambda *_: {}  # done once a fit
        with single_threaded():
            method.fit(data, context)
        return context.seconds["fit"] / (STEPS * preset.batch_size)

    return seconds_an_image


def _applied(network: Callable[[], torch.Tensor]) -> Measurement:
    def seconds() -> float:
        started = time.perf_counter()
        network()
        return time.perf_counter() - started

    return seconds
