"""Metrics of generated images with classes: what is computed from which features.

Each is a distance in the features of a network, both from `image_kinds`; here they get their names.
The distances are in `frechet` and `kernel_distance`, shares of neighbours in `neighbours`, features
in `features` and `classifier`. A name says all that decides the number: the distance, whether it is
taken class by class, and the features; for Inception, whose numbers are compared across papers,
also the protocol, which fixes the number of images, the real ones, and the resize:

* `50k-train-tf`: 50,000 images as 8 bits, TensorFlow 1's resize, against all training images;
* `10k-test`: 10,000 images unrounded, half-pixel bilinear resize, against all test images: the
  protocol of the seed paper's code.

A distance class by class judges the conditional law, with equally many images of each class; taken
over all images together it is blind to the class, and a sampler that ignores y has the value of a
perfect one. Then the classes asked for are drawn as often as the real images have them
(`ImageMetric.by_class`).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from cwbench.metric import Fault, MetricInfo
from cwbench.metrics.image_kinds import (
    FrechetDistance,
    KernelDistance,
    Literature,
    OnClassifier,
    OnEfficientNet,
    PerClassFrechet,
    PerClassKernelDistance,
    PooledFrechet,
    Precision,
    Recall,
    SeedPaper,
)

HEUSEL = "heusel2017gans"
BINKOWSKI = "binkowski2018demystifying"
SOLOVEITCHIK = "soloveitchik2021conditional"
KYNKAANNIEMI = "kynkaanniemi2019improved"
EFFICIENTNET = "tan2019efficientnet"

OVERALL: frozenset[Fault] = frozenset({"shift", "scale", "shape", "weights"})
"""What distances over all images together see: not the class, hardly few images again and again."""

BY_CLASS: frozenset[Fault] = OVERALL | {"atoms", "condition"}
"""What distances class by class see."""

KERNEL = OVERALL - {"shape"}
KERNEL_BY_CLASS = BY_CLASS - {"shape"}
"""Kernel distances hardly see a Gaussian with the right moments."""

PRECISION: frozenset[Fault] = frozenset({"shift", "scale", "shape"})
RECALL: frozenset[Fault] = frozenset({"shift", "scale", "atoms"})
"""What the two shares of neighbours see, over all images together.

Recall never ranks: samples between two modes widen the balls around generated images, so that a
Gaussian with the right moments has a better recall than exact images.
"""


def declared(
    name: str,
    title: str,
    citation: str,
    *,
    version: int = 2,
    direction: Literal["lower", "higher"] = "lower",
    debiased: bool = False,
    ranks: bool = True,
    sees: frozenset[Fault],
) -> MetricInfo:
    """What all of them have in common: presets or users ask for them by name."""
    return MetricInfo(
        name=name, version=version, title=title, direction=direction, citation=citation,
        opt_in=True, needs=frozenset({"labelled-images"}), debiased=debiased, ranks=ranks,
        sees=sees,
    )  # fmt: skip


class ClassifierFrechet(OnClassifier, FrechetDistance):
    """The Frechet distance in the features of the in-suite classifier; it is no FID."""

    info: ClassVar = declared(
        "fd-classifier",
        "Frechet distance in the in-suite classifier's features",
        HEUSEL,
        sees=OVERALL,
    )


class ClassifierPerClassFrechet(OnClassifier, PerClassFrechet):
    """The mean over classes of the Frechet distance in the in-suite classifier's features."""

    info: ClassVar = declared(
        "fd-per-class-classifier",
        "mean over classes of the Frechet distance in the in-suite classifier's features",
        HEUSEL,
        version=1,
        sees=BY_CLASS,
    )


class ClassifierPooledFrechet(OnClassifier, PooledFrechet):
    """The conditional Frechet distance in the in-suite classifier's features."""

    info: ClassVar = declared(
        "cfd-classifier",
        "conditional Frechet distance with pooled covariances, in-suite classifier's features",
        SOLOVEITCHIK,
        sees=BY_CLASS,
    )


class ClassifierKernel(OnClassifier, KernelDistance):
    """The kernel distance in the features of the in-suite classifier."""

    info: ClassVar = declared(
        "kd-classifier", "kernel distance in the in-suite classifier's features", BINKOWSKI,
        debiased=True, sees=KERNEL,
    )  # fmt: skip


class ClassifierPerClassKernel(OnClassifier, PerClassKernelDistance):
    """The mean over classes of the kernel distance in the in-suite classifier's features."""

    info: ClassVar = declared(
        "kd-per-class-classifier",
        "mean over classes of the kernel distance in the in-suite classifier's features",
        BINKOWSKI,
        debiased=True,
        version=1,
        sees=KERNEL_BY_CLASS,
    )


class ClassifierPrecision(OnClassifier, Precision):
    """Precision in the in-suite classifier's features."""

    info: ClassVar = declared(
        "precision-classifier", "precision in the in-suite classifier's features", KYNKAANNIEMI,
        direction="higher", sees=PRECISION,
    )  # fmt: skip


class ClassifierRecall(OnClassifier, Recall):
    """Recall in the in-suite classifier's features."""

    info: ClassVar = declared(
        "recall-classifier", "recall in the in-suite classifier's features", KYNKAANNIEMI,
        direction="higher", ranks=False, sees=RECALL,
    )  # fmt: skip


class EfficientNetFrechet(OnEfficientNet, FrechetDistance):
    """The Frechet distance in EfficientNet-Lite0's features; it is no FID."""

    info: ClassVar = declared(
        "fd-efficientnet-lite0", "Frechet distance in EfficientNet-Lite0's features",
        f"{HEUSEL}, {EFFICIENTNET}", sees=OVERALL,
    )  # fmt: skip


class EfficientNetKernel(OnEfficientNet, KernelDistance):
    """The kernel distance in EfficientNet-Lite0's features."""

    info: ClassVar = declared(
        "kd-efficientnet-lite0", "kernel distance in EfficientNet-Lite0's features",
        f"{BINKOWSKI}, {EFFICIENTNET}", debiased=True, sees=KERNEL,
    )  # fmt: skip


class EfficientNetPerClassKernel(OnEfficientNet, PerClassKernelDistance):
    """The mean over classes of the kernel distance in EfficientNet-Lite0's features."""

    info: ClassVar = declared(
        "kd-per-class-efficientnet-lite0",
        "mean over classes of the kernel distance in EfficientNet-Lite0's features",
        f"{BINKOWSKI}, {EFFICIENTNET}",
        debiased=True,
        version=1,
        sees=KERNEL_BY_CLASS,
    )


class FID50kTrain(Literature, FrechetDistance):
    """FID as the literature reports it for CIFAR-10."""

    info: ClassVar = declared(
        "fid-50k-train-tf",
        "FID, 50,000 images against the training set",
        HEUSEL,
        sees=OVERALL,
    )


class FID10kTest(SeedPaper, FrechetDistance):
    """FID as the seed paper's code computes it."""

    info: ClassVar = declared(
        "fid-10k-test", "FID, 10,000 images against the test set", HEUSEL, sees=OVERALL
    )


class KID50kTrain(Literature, KernelDistance):
    """KID with the images of the literature's FID; real ones are the first 10,000."""

    info: ClassVar = declared(
        "kid-50k-train-tf",
        "KID, 50,000 images against the training set",
        BINKOWSKI,
        debiased=True,
        sees=KERNEL,
    )


class KID10kTest(SeedPaper, KernelDistance):
    """KID with the images of the seed paper's FID."""

    info: ClassVar = declared(
        "kid-10k-test",
        "KID, 10,000 images against the test set",
        BINKOWSKI,
        debiased=True,
        sees=KERNEL,
    )


class Precision50kTrain(Literature, Precision):
    """Precision of the first 10,000 images with respect to the first 10,000 training images."""

    info: ClassVar = declared(
        "precision-50k-train-tf", "precision against the training set", KYNKAANNIEMI,
        direction="higher", sees=PRECISION,
    )  # fmt: skip


class Recall50kTrain(Literature, Recall):
    """Recall of the first 10,000 training images by the first 10,000 images."""

    info: ClassVar = declared(
        "recall-50k-train-tf",
        "recall of the training set",
        KYNKAANNIEMI,
        direction="higher",
        ranks=False,
        sees=RECALL,
    )


class Precision10kTest(SeedPaper, Precision):
    """Precision of 10,000 images with respect to the test images."""

    info: ClassVar = declared(
        "precision-10k-test",
        "precision against the test set",
        KYNKAANNIEMI,
        direction="higher",
        sees=PRECISION,
    )


class Recall10kTest(SeedPaper, Recall):
    """Recall of the test images by 10,000 images."""

    info: ClassVar = declared(
        "recall-10k-test",
        "recall of the test set",
        KYNKAANNIEMI,
        direction="higher",
        ranks=False,
        sees=RECALL,
    )


class FIDPerClass(Literature, PerClassFrechet):
    """The mean over classes of the FID within each; another quantity than `cfid`."""

    info: ClassVar = declared(
        "fid-per-class-50k-train-tf",
        "mean over classes of the FID within each",
        HEUSEL,
        version=1,
        sees=BY_CLASS,
    )


class CFID(Literature, PooledFrechet):
    """The conditional FID with pooled covariances; another quantity than `fid-per-class`."""

    info: ClassVar = declared(
        "cfid-50k-train-tf",
        "conditional FID with pooled covariances",
        SOLOVEITCHIK,
        sees=BY_CLASS,
    )
