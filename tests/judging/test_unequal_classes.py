"""Classes that are not equally often: an exact sampler is perfect by every metric of whole sets."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Generator, Tensor

from cwbench.check.faults import StoredTrial
from cwbench.check.metric import standard_errors
from cwbench.images import to_pixels, to_x
from cwbench.judging.by_image import ImageJudge, labels_in_turn
from cwbench.metric import FeatureNetwork, ImageMetric
from cwbench.metrics.frechet import Moments, cfid
from cwbench.metrics.image_sets import ClassifierFrechet, ClassifierKernel
from cwbench.metrics.memorisation import Memorisation
from cwbench.samples import ImageSet, Part

SHARE, WIDTH = (0.9, 0.1), (1.0, 3.0)
IMAGES, REPEATS = 300, 8


class Rare(StoredTrial):
    """Nine images in ten are of the first class; the second is wider."""

    num_classes = 2

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def images(self, y: Tensor, seed: int) -> Tensor:
        """One mode of the class or the other, and noise of its width."""
        generator = Generator().manual_seed(1_000 * self.seed + seed)
        mode = torch.randint(2, (len(y),), generator=generator)
        noise = 0.1 * torch.tensor(WIDTH)[y, None] * torch.randn(len(y), 64, generator=generator)
        return to_pixels((self.modes[y, mode].float() + noise).reshape(-1, *self.x_shape))

    def stored_images(self, part: Part) -> ImageSet:
        generator = Generator().manual_seed(10 * self.seed + len(part))
        y = torch.multinomial(torch.tensor(SHARE), IMAGES, replacement=True, generator=generator)
        return ImageSet(self.images(y, len(part)), y)

    def sampler(self, y: Tensor, number: int) -> Tensor:
        """Exact images of the classes asked for."""
        return to_x(self.images(y, 10 + number))


class Corner:
    """A few pixels, which tell modes and classes apart."""

    name = "corner"

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, 0, 1:6:4, :4].flatten(1)


def on_pixels(cls: type[ImageMetric]) -> type[ImageMetric]:
    """The same distance in features that need no training."""

    class OnPixels(cls):  # type: ignore[misc, valid-type]
        dimension: ClassVar[int] = 8

        def network(self, cache: Path | None) -> FeatureNetwork:
            return Corner()

    return OnPixels


def scored(cls: type[ImageMetric], seed: int) -> tuple[float, float]:
    """The value of exact images, and the floor: as many real ones of the other part."""
    task = Rare(seed)
    metric = cls(task)
    metric.n = IMAGES
    score = ImageJudge(task).scores([metric], task.sampler)[metric.info.name]
    assert score.floor is not None
    return float(score.value), float(score.floor)


def test_a_kernel_distance_of_exact_images_is_0() -> None:
    values = torch.tensor([scored(on_pixels(ClassifierKernel), s)[0] for s in range(REPEATS)])
    assert abs(standard_errors(values)) < 4
    assert values.abs().max() < 0.05  # in turn: 0.06 to 0.09


def test_exact_images_score_what_real_ones_of_the_other_part_do() -> None:
    both = torch.tensor([scored(on_pixels(ClassifierFrechet), seed) for seed in range(REPEATS)])
    assert abs(standard_errors(both[:, 0] - both[:, 1])) < 4  # in turn: 25 times the floor


def test_exact_images_are_as_far_from_training_images_as_held_out_ones() -> None:
    values = torch.tensor([scored(Memorisation, seed)[0] for seed in range(REPEATS)])
    assert abs(standard_errors(values - 1)) < 4  # in turn: 1.7


def test_a_conditional_distance_weighs_classes_as_real_ones_do() -> None:
    """The same images of each class, equally many of one side and nine to one of the other."""
    generator = Generator().manual_seed(0)
    narrow, wide = (s * torch.randn(300, 3, generator=generator).double() for s in WIDTH)
    even, uneven = Moments(2), Moments(2)
    for moments, copies in ((even, 1), (uneven, 9)):
        moments.update(narrow.repeat(copies, 1), torch.zeros(300 * copies).long())
        moments.update(wide, torch.ones(300).long())
    assert cfid(even, uneven) < 1e-4  # 1.5 with the covariances pooled as they come


def test_labels_are_drawn_as_often_as_the_part_has_them() -> None:
    task, judge = Rare(), ImageJudge(Rare())
    many = judge.labels(20_000, "test")
    real = task.stored_images("test").labels.double().mean()
    assert float(many.double().mean()) == pytest.approx(float(real), abs=0.01)
    assert torch.equal(judge.labels(700, "test"), many[:700])
    assert not torch.equal(judge.labels(700, "train"), many[:700])
    assert torch.equal(judge.labels(700, None), labels_in_turn(700, 2))
