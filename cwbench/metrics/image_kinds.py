"""What metrics of labelled images are made of: a network for the features, a distance in them.

A metric inherits one of each, and adds its name (`image_sets`).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from cwbench.metric import FeatureNetwork, ImageMetric, Statistic
from cwbench.metrics.classifier import FEATURES, classifier_of
from cwbench.metrics.features import efficientnet, inception
from cwbench.metrics.frechet import Moments, cfid, frechet, frechet_per_class
from cwbench.metrics.kernel_distance import BlockDistance, Rows
from cwbench.metrics.neighbours import NEIGHBOUR, precision, recall

FEWEST_FOR_FID = 2_048


class Features(ImageMetric):
    """A metric with named features of a known dimension."""

    dimension: ClassVar[int]
    used: ClassVar[int | None] = None
    """The leading entries of the features that are looked at; None is all."""

    @property
    def classes(self) -> int:
        """Number of classes of the task."""
        return self.task.num_classes or 1

    def too_few(self, counts: Tensor, needed: int) -> str | None:
        """The class with the fewest of so many real images of each `(K,)`, if it has too few."""
        fewest = int(counts.argmin())
        if counts[fewest] >= needed:
            return None
        return (
            f"class {self.task.class_names[fewest]!r} has {int(counts[fewest])} real images of the "
            f"{needed} that it needs"
        )


class OnClassifier(Features):
    """Features of the in-suite classifier, trained on the task's own training images."""

    dimension = FEATURES

    def network(self, cache: Path | None) -> FeatureNetwork:
        """The classifier without its logits."""
        return _Leading(classifier_of(self.task, cache), FEATURES)


class OnEfficientNet(Features):
    """Features of EfficientNet-Lite0, whose weights come in a package."""

    dimension = 1280

    def network(self, cache: Path | None) -> FeatureNetwork:
        """The network with its published weights."""
        return efficientnet()

    def refusal(self, n: int) -> str | None:
        """An image of one pixel shows nothing; a missing package is refused before the fit."""
        efficientnet()
        return super().refusal(n)


class OnInception(Features):
    """Features of Inception under a protocol."""

    dimension = 2048
    all_real = True
    resize: ClassVar[Literal["tf", "half-pixel"]]

    def network(self, cache: Path | None) -> FeatureNetwork:
        """The network with its checked weights."""
        return inception(self.resize)

    def refusal(self, n: int) -> str | None:
        """A protocol fixes the number; weights that cannot be had are refused before the fit."""
        wanted = self.protocol_images or FEWEST_FOR_FID
        if n < wanted:
            return f"it is defined on {wanted} generated images; type --set preset.images={wanted}"
        inception(self.resize)
        return super().refusal(n)


class Literature(OnInception):
    """The protocol `50k-train-tf`."""

    protocol_images = 50_000
    part = "train"
    resize = "tf"


class SeedPaper(OnInception):
    """The protocol `10k-test`."""

    protocol_images = 10_000
    part = "test"
    resize = "half-pixel"


class _Leading:
    """The leading entries of another network's features."""

    def __init__(self, whole: FeatureNetwork, kept: int) -> None:
        self.whole, self.kept, self.name = whole, kept, f"{whole.name}-first-{kept}"

    def __call__(self, x: Tensor) -> Tensor:
        return self.whole(x)[:, : self.kept]


class FrechetDistance(Features):
    """The Frechet distance over all images, whatever their class."""

    biased = True

    def kind(self) -> str:
        """Sums over all."""
        return "shifted-moments"

    def statistic(self, real: Statistic | None = None) -> Statistic:
        """Sums over all."""
        return Moments()

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        both = cast("Moments", generated), cast("Moments", real)
        return _one(frechet(*(moments.together() for moments in both)))

    def refusal(self, n: int) -> str | None:
        """The covariance needs more images than features."""
        if n <= self.dimension:
            return (
                f"a Frechet distance of {self.dimension} features needs more than "
                f"{self.dimension} images, {n} are generated; type --set "
                f"preset.images={2 * self.dimension}"
            )
        return super().refusal(n)

    def real_refusal(self, counts: Tensor, *, floor: bool) -> str | None:
        """As many as of generated ones; a floor is a value of few images where there are few."""
        if not floor and counts.sum() <= self.dimension:
            return (
                f"a Frechet distance of {self.dimension} features needs more than "
                f"{self.dimension} images, there are {int(counts.sum())} real ones"
            )
        return super().real_refusal(counts, floor=floor)


class PerClassFrechet(Features):
    """The mean over classes of the Frechet distance within each."""

    biased = True
    by_class = True

    def kind(self) -> str:
        """Sums class by class."""
        return "shifted-class-moments"

    def statistic(self, real: Statistic | None = None) -> Statistic:
        """Sums class by class."""
        return Moments(self.classes)

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number a class."""
        return frechet_per_class(cast("Moments", generated), cast("Moments", real))

    def refusal(self, n: int) -> str | None:
        """Each class needs twice as many images as features."""
        needed, generated = 2 * self.dimension, n // self.classes
        if generated < needed:
            stored = self.task.stored_images(self.part)
            assert stored is not None  # noqa: S101 - declared by the metric's needs
            real = int(stored.labels.bincount(minlength=self.classes).min())
            return (
                f"a covariance of {self.dimension} features in each class needs {needed} images of "
                f"it: {generated} are generated, {real} are real; type --set "
                f"preset.images={needed * self.classes}"
                + (", on a task with more images" if real < needed else "")
            )
        return super().refusal(n)

    def real_refusal(self, counts: Tensor, *, floor: bool) -> str | None:
        """As many as of generated ones; a floor has a value as soon as there is a covariance."""
        needed = 2 if floor else 2 * self.dimension
        return self.too_few(counts, needed) or super().real_refusal(counts, floor=floor)


class PooledFrechet(PerClassFrechet):
    """CFID: means class by class, one covariance about them; classes weigh as real ones do."""

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        return _one(cfid(cast("Moments", generated), cast("Moments", real)))


class KernelDistance(Features):
    """The kernel distance over all images, whatever their class.

    Exact images, whose classes are drawn as often as real ones have them, score 0 on average over
    both sets. Given N real images the average is below 0 by what N differ from another N in their
    shares of classes alone, a spread between classes over N - 1.
    """

    def kind(self) -> str:
        """The features themselves."""
        return "rows"

    def statistic(self, real: Statistic | None = None) -> Statistic:
        """Real features are kept, generated ones compared with them block by block."""
        return Rows() if real is None else BlockDistance(cast("Rows", real), self.groups)

    @property
    def groups(self) -> int:
        """All together."""
        return 1

    def refusal(self, n: int) -> str | None:
        """A pair of images in each group."""
        if n < 2 * self.groups:
            return f"it needs two images of each of {self.groups} classes, {n} are generated"
        return super().refusal(n)

    def real_refusal(self, counts: Tensor, *, floor: bool) -> str | None:
        """A pair of images in each group, too."""
        if self.groups > 1:
            return self.too_few(counts, 2) or super().real_refusal(counts, floor=floor)
        if counts.sum() < 2:
            return "it needs two real images, there is one"
        return super().real_refusal(counts, floor=floor)

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        return cast("BlockDistance", generated).value()


class PerClassKernelDistance(KernelDistance):
    """The mean over classes of the kernel distance within each."""

    by_class = True

    @property
    def groups(self) -> int:
        """Class by class."""
        return self.classes


class _Manifold(Features):
    """Precision or recall over the first 10,000 images."""

    def kind(self) -> str:
        """The features themselves."""
        return "rows"

    def statistic(self, real: Statistic | None = None) -> Statistic:
        """Features up to the limit."""
        return Rows()

    def refusal(self, n: int) -> str | None:
        """A third neighbour has to be there."""
        if n <= NEIGHBOUR:
            return f"its neighbourhoods need more than {NEIGHBOUR} images, {n} are generated"
        return super().refusal(n)

    def real_refusal(self, counts: Tensor, *, floor: bool) -> str | None:
        """The third neighbour of a real image, too."""
        if counts.sum() <= NEIGHBOUR:
            return (
                f"its neighbourhoods need more than {NEIGHBOUR} images, there are "
                f"{int(counts.sum())} real ones"
            )
        return super().real_refusal(counts, floor=floor)


class Precision(_Manifold):
    """The share of generated images within the manifold of real ones."""

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        return _one(precision(cast("Rows", generated).features, cast("Rows", real).features))


class Recall(_Manifold):
    """The share of real images within the manifold of generated ones."""

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        return _one(recall(cast("Rows", generated).features, cast("Rows", real).features))


def _one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)
