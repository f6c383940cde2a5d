"""Whether generated images are copies of training images: distances in pixels to the nearest."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor

from cwbench.images import intensities
from cwbench.metric import FeatureNetwork, ImageMetric, Statistic
from cwbench.metrics.image_sets import declared
from cwbench.metrics.neighbours import NearestTraining


class _Pixels:
    """Pixels in [0, 1] as features."""

    name = "pixels"

    def __call__(self, x: Tensor) -> Tensor:
        return intensities(x).flatten(1) / 255


class Memorisation(ImageMetric):
    """Mean distance to the nearest training image, over that of held-out images, in pixels.

    1 where generated images are as far from the training set as unseen real ones, 0 where they are
    copies. Blurred or typical images are near it too, so a low value is a reason to look. Its floor
    is that of training images, each compared with all the others.
    """

    info: ClassVar = declared(
        "memorisation", "distance to the nearest training image over that of held-out images",
        "meehan2020nonparametric", direction="higher", ranks=False,
        sees=frozenset({"scale"}),
    )  # fmt: skip
    unseen = "test"

    def network(self, cache: Path | None) -> FeatureNetwork:
        """Pixels."""
        return _Pixels()

    def kind(self) -> str:
        """Distances."""
        return "nearest-training"

    def statistic(self, real: Statistic | None = None) -> Statistic:
        """Distances; both share the training images."""
        if real is not None:
            return NearestTraining(cast("NearestTraining", real).training)
        stored = self.task.stored_images("train")
        assert stored is not None  # noqa: S101 - declared by the metric's needs
        return NearestTraining(stored.images.flatten(1).float() / 255)

    def floor_statistic(self, real: Statistic) -> Statistic:
        """Distances of training images to the others."""
        return NearestTraining(cast("NearestTraining", real).training, among=True)

    def value(self, generated: Statistic, real: Statistic) -> Tensor:
        """One ratio."""
        means = cast("NearestTraining", generated).mean, cast("NearestTraining", real).mean
        return torch.tensor([means[0] / means[1]], dtype=torch.float64)
