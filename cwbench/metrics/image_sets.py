"""Metrics of generated images with classes: what is computed from which features.

The distances are in `frechet` and `kernel_distance`, shares of neighbours in `neighbours`, features
in `features` and `classifier`. A name says all that decides the number: the distance, whether it is
taken class by class, and the features; for Inception, whose numbers are compared across papers,
also the protocol, which fixes the number of images, the real ones, and the resize:

* `50k-train-tf`: 50,000 images as 8 bits, TensorFlow 1's resize, against all training images;
* `10k-test`: 10,000 images unrounded, half-pixel bilinear resize, against all test images: the
  protocol of the seed paper's code.

A distance class by class judges the conditional law; taken over all images together it is blind to
the class, and a sampler that ignores y has the value of a perfect one.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from cwbench.metric import FeatureNetwork, ImageMetric, MetricInfo, Statistic
from cwbench.metrics.classifier import FEATURES, classifier_of
from cwbench.metrics.features import efficientnet, inception
from cwbench.metrics.frechet import Moments, cfid, frechet, frechet_per_class
from cwbench.metrics.kernel_distance import BlockDistance, Rows
from cwbench.metrics.neighbours import NEIGHBOUR, precision, recall

HEUSEL = (
    "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium "
    "(Heusel et al., 2017) https://arxiv.org/abs/1706.08500"
)
BINKOWSKI = "Demystifying MMD GANs (Binkowski et al., 2018) https://arxiv.org/abs/1801.01401"
SOLOVEITCHIK = (
    "Conditional Frechet Inception Distance (Soloveitchik et al., 2021) "
    "https://arxiv.org/abs/2103.11521"
)
KYNKAANNIEMI = (
    "Improved Precision and Recall Metric for Assessing Generative Models "
    "(Kynkaanniemi et al., 2019) https://arxiv.org/abs/1904.06991"
)

FEWEST_FOR_FID = 2_048


def declared(
    name: str,
    title: str,
    citation: str,
    *,
    direction: Literal["lower", "higher"] = "lower",
    debiased: bool = False,
    ranks: bool = True,
) -> MetricInfo:
    """What all of them have in common: presets or users ask for them by name."""
    return MetricInfo(
        name=name, version=1, title=title, direction=direction, citation=citation, opt_in=True,
        needs=frozenset({"labelled-images"}), debiased=debiased, ranks=ranks,
    )  # fmt: skip


class Features(ImageMetric):
    """A metric with named features of a known dimension."""

    dimension: ClassVar[int]
    used: ClassVar[int | None] = None
    """The leading entries of the features that are looked at; None is all."""

    @property
    def classes(self) -> int:
        """Number of classes of the task."""
        return self.task.num_classes or 1


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
        """An image of one pixel shows nothing; a missing package is told before the fit."""
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
        """A protocol fixes the number; weights that cannot be had are told before the fit."""
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


class PerClassFrechet(Features):
    """The mean over classes of the Frechet distance within each."""

    biased = True

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
        """Each class needs twice as many images as features, generated and real."""
        needed = 2 * self.dimension
        stored = self.task.stored_images(self.part)
        assert stored is not None  # noqa: S101 - declared by the metric's needs
        counts = stored.labels.bincount(minlength=self.classes)
        generated, real = n // self.classes, int(counts.min())
        if min(generated, real) < needed:
            return (
                f"a covariance of {self.dimension} features in each class needs {needed} images of "
                f"it: {generated} are generated, {real} are real; type --set "
                f"preset.images={needed * self.classes}"
                + (", on a task with more images" if real < needed else "")
            )
        return super().refusal(n)


class PooledFrechet(PerClassFrechet):
    """CFID: means class by class, one covariance about them."""

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        return _one(cfid(cast("Moments", generated), cast("Moments", real)))


class KernelDistance(Features):
    """The kernel distance over all images, whatever their class."""

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

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One number."""
        return cast("BlockDistance", generated).value()


class PerClassKernelDistance(KernelDistance):
    """The mean over classes of the kernel distance within each."""

    @property
    def groups(self) -> int:
        """Class by class."""
        return self.classes

    def refusal(self, n: int) -> str | None:
        """A pair of images in each class."""
        if n < 2 * self.classes:
            return f"it needs two images of each of {self.classes} classes, {n} are generated"
        return super().refusal(n)


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


class ClassifierFrechet(OnClassifier, FrechetDistance):
    """The Frechet distance in the features of the in-suite classifier; it is no FID."""

    info: ClassVar = declared(
        "fd-classifier", "Frechet distance in the in-suite classifier's features", HEUSEL
    )


class ClassifierPerClassFrechet(OnClassifier, PerClassFrechet):
    """The mean over classes of the Frechet distance in the in-suite classifier's features."""

    info: ClassVar = declared(
        "fd-per-class-classifier",
        "mean over classes of the Frechet distance in the in-suite classifier's features",
        HEUSEL,
    )


class ClassifierPooledFrechet(OnClassifier, PooledFrechet):
    """The conditional Frechet distance in the in-suite classifier's features."""

    info: ClassVar = declared(
        "cfd-classifier",
        "conditional Frechet distance with pooled covariances, in-suite classifier's features",
        SOLOVEITCHIK,
    )


class ClassifierKernel(OnClassifier, KernelDistance):
    """The kernel distance in the features of the in-suite classifier."""

    info: ClassVar = declared(
        "kd-classifier", "kernel distance in the in-suite classifier's features", BINKOWSKI,
        debiased=True,
    )  # fmt: skip


class ClassifierPerClassKernel(OnClassifier, PerClassKernelDistance):
    """The mean over classes of the kernel distance in the in-suite classifier's features."""

    info: ClassVar = declared(
        "kd-per-class-classifier",
        "mean over classes of the kernel distance in the in-suite classifier's features",
        BINKOWSKI,
        debiased=True,
    )


class ClassifierPrecision(OnClassifier, Precision):
    """Precision in the in-suite classifier's features."""

    info: ClassVar = declared(
        "precision-classifier", "precision in the in-suite classifier's features", KYNKAANNIEMI,
        direction="higher",
    )  # fmt: skip


class ClassifierRecall(OnClassifier, Recall):
    """Recall in the in-suite classifier's features."""

    info: ClassVar = declared(
        "recall-classifier", "recall in the in-suite classifier's features", KYNKAANNIEMI,
        direction="higher",
    )  # fmt: skip


class EfficientNetFrechet(OnEfficientNet, FrechetDistance):
    """The Frechet distance in EfficientNet-Lite0's features; it is no FID."""

    info: ClassVar = declared(
        "fd-efficientnet-lite0", "Frechet distance in EfficientNet-Lite0's features", HEUSEL
    )


class EfficientNetKernel(OnEfficientNet, KernelDistance):
    """The kernel distance in EfficientNet-Lite0's features."""

    info: ClassVar = declared(
        "kd-efficientnet-lite0", "kernel distance in EfficientNet-Lite0's features", BINKOWSKI,
        debiased=True,
    )  # fmt: skip


class EfficientNetPerClassKernel(OnEfficientNet, PerClassKernelDistance):
    """The mean over classes of the kernel distance in EfficientNet-Lite0's features."""

    info: ClassVar = declared(
        "kd-per-class-efficientnet-lite0",
        "mean over classes of the kernel distance in EfficientNet-Lite0's features",
        BINKOWSKI,
        debiased=True,
    )


class FID50kTrain(Literature, FrechetDistance):
    """FID as the literature reports it for CIFAR-10."""

    info: ClassVar = declared(
        "fid-50k-train-tf", "FID, 50,000 images against the training set", HEUSEL
    )


class FID10kTest(SeedPaper, FrechetDistance):
    """FID as the seed paper's code computes it."""

    info: ClassVar = declared("fid-10k-test", "FID, 10,000 images against the test set", HEUSEL)


class KID50kTrain(Literature, KernelDistance):
    """KID with the images of the literature's FID; real ones are the first 10,000."""

    info: ClassVar = declared(
        "kid-50k-train-tf", "KID, 50,000 images against the training set", BINKOWSKI, debiased=True
    )


class KID10kTest(SeedPaper, KernelDistance):
    """KID with the images of the seed paper's FID."""

    info: ClassVar = declared(
        "kid-10k-test", "KID, 10,000 images against the test set", BINKOWSKI, debiased=True
    )


class Precision50kTrain(Literature, Precision):
    """Precision of the first 10,000 images with respect to the first 10,000 training images."""

    info: ClassVar = declared(
        "precision-50k-train-tf", "precision against the training set", KYNKAANNIEMI,
        direction="higher",
    )  # fmt: skip


class Recall50kTrain(Literature, Recall):
    """Recall of the first 10,000 training images by the first 10,000 images."""

    info: ClassVar = declared(
        "recall-50k-train-tf", "recall of the training set", KYNKAANNIEMI, direction="higher"
    )


class Precision10kTest(SeedPaper, Precision):
    """Precision of 10,000 images with respect to the test images."""

    info: ClassVar = declared(
        "precision-10k-test", "precision against the test set", KYNKAANNIEMI, direction="higher"
    )


class Recall10kTest(SeedPaper, Recall):
    """Recall of the test images by 10,000 images."""

    info: ClassVar = declared(
        "recall-10k-test", "recall of the test set", KYNKAANNIEMI, direction="higher"
    )


class FIDPerClass(Literature, PerClassFrechet):
    """The mean over classes of the FID within each; another quantity than `cfid`."""

    info: ClassVar = declared(
        "fid-per-class-50k-train-tf", "mean over classes of the FID within each", HEUSEL
    )


class CFID(Literature, PooledFrechet):
    """The conditional FID with pooled covariances; another quantity than `fid-per-class`."""

    info: ClassVar = declared(
        "cfid-50k-train-tf", "conditional FID with pooled covariances", SOLOVEITCHIK
    )


def _one(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)
