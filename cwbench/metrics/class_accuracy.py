"""Whether generated images of a class are taken for it by the in-suite classifier."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self, cast

import torch
from torch import Tensor

from cwbench.metric import FeatureNetwork, ImageMetric, Statistic
from cwbench.metrics.classifier import FEATURES, classifier_of
from cwbench.metrics.image_sets import declared


class RightClass:
    """Counts how often the largest logit is that of the label, class by class."""

    def __init__(self, classes: int) -> None:
        self.right = torch.zeros(classes, dtype=torch.float64)
        self.counts = torch.zeros(classes, dtype=torch.float64)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take in logits `(k, K)` with labels `(k,)`."""
        hits = (features.argmax(1) == labels).double()
        self.right.index_add_(0, labels, hits)
        self.counts.index_add_(0, labels, torch.ones_like(hits))

    def state(self) -> dict[str, Tensor]:
        """The counts."""
        return {"right": self.right, "counts": self.counts}

    def load(self, state: dict[str, Tensor]) -> Self:
        """Take back the counts."""
        self.right, self.counts = state["right"], state["counts"]
        return self


class _Logits:
    """The classifier's verdicts."""

    def __init__(self, whole: FeatureNetwork) -> None:
        self.whole, self.name = whole, f"{whole.name}-logits"

    def __call__(self, x: Tensor) -> Tensor:
        return self.whole(x)[:, FEATURES:]


class ClassAccuracy(ImageMetric):
    """The share of generated images that the in-suite classifier takes for the class asked for.

    Its floor is the share of real images of the held-out part; a model that draws typical images
    only can go above it, so it is shown and never ranks.
    """

    info: ClassVar = declared(
        "class-accuracy", "share of images that a classifier takes for the class asked for",
        "shmelkov2018how, ravuri2019classification", version=1, direction="higher", ranks=False,
        sees=frozenset({"condition"}),
    )  # fmt: skip
    by_class = True
    part = "train"

    def network(self, cache: Path | None) -> FeatureNetwork:
        """The classifier's logits."""
        return _Logits(classifier_of(self.task, cache))

    def kind(self) -> str:
        """Counts."""
        return "right-class"

    def statistic(self, real: Statistic | None = None) -> Statistic:
        """Counts."""
        return RightClass(self.task.num_classes or 1)

    def refusal(self, n: int) -> str | None:
        """An image of each class."""
        classes = self.task.num_classes or 1
        if n < classes:
            return f"it needs an image of each of {classes} classes, {n} are generated"
        return super().refusal(n)

    def real_refusal(self, counts: Tensor, *, floor: bool) -> str | None:
        """An image of each class, too."""
        if floor and not counts.all():
            lacking = self.task.class_names[int(counts.argmin())]
            return f"it needs an image of each class, {lacking!r} has none"
        return super().real_refusal(counts, floor=floor)

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One share a class."""
        counted = cast("RightClass", generated)
        return counted.right / counted.counts
