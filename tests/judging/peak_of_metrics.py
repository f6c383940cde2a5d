"""Prints the peak of resident bytes after N generated images were judged by every kind of metric.

    python peak_of_metrics.py N

The features are cheap and few; the images are large, so that keeping them would be seen.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from torch import Generator, Tensor

from cwbench import registry
from cwbench.judging.by_image import ImageJudge
from cwbench.judging.choice import sized
from cwbench.metric import FeatureNetwork, ImageMetric
from cwbench.preset import Preset
from cwbench.samples import ImageSet
from cwbench.task import TaskInfo
from cwbench_tasks.digits import METRICS
from cwbench_tasks.labelled_images import LabelledImages

SHAPE, CLASSES, REAL = (3, 64, 64), 4, 512


class Noise(LabelledImages):
    """Images of nothing."""

    info = TaskInfo(
        name="noise", version=1, title="noise", main_metric="kd-classifier", licence="",
        citation="",
        presets={"smoke": Preset(training_pairs=1, steps=1, observations=2, samples=2)},
    )  # fmt: skip
    class_names = tuple("abcd")

    def load(self, part: str) -> ImageSet:
        generator = Generator().manual_seed(len(part))
        pixels = torch.randint(256, (REAL, *SHAPE), generator=generator, dtype=torch.uint8)
        return ImageSet(pixels, torch.arange(REAL) % CLASSES)


class Corner:
    """The first pixels as features."""

    name = "corner"

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :36].clone()


def made(name: str, task: Noise) -> ImageMetric:
    cls = registry.load("metric", name).cls
    if name == "memorisation":
        metric: ImageMetric = cls(task)
        return metric

    class Cheap(cls):  # type: ignore[misc,valid-type]  # the class is found by name
        def network(self, cache: Path | None) -> FeatureNetwork:
            return Corner()

    cheap: ImageMetric = Cheap(task)
    return cheap


def main(n: int) -> None:
    """Judge `n` images made one batch at a time."""
    task = Noise()
    metrics = {name: made(name, task) for name in METRICS}
    sized(metrics, n)
    generator = Generator().manual_seed(0)
    scores = ImageJudge(task).scores(
        metrics.values(), lambda y, _: torch.randn(len(y), *SHAPE, generator=generator)
    )
    assert set(scores) == set(METRICS)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)  # noqa: T201 - it is what this program is for


if __name__ == "__main__":
    main(int(sys.argv[1]))
