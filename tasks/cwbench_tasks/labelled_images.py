"""Class-conditional images: X a stored image, Y its class.

The joint distribution is that of a stored set; its posterior, the images of a class, is known by
examples alone. So there are held-out images instead of exact draws, and the metrics compare whole
sets of generated images with real ones, class by class or all together
(`cwbench.judging.by_image`).
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from cwbench.errors import UsageError
from cwbench.images import StoredPairs, digest, to_x
from cwbench.preset import Preset
from cwbench.samples import ImageSet, JointSamples
from cwbench.task import Task


def image_presets(*, shared: dict[str, Any], **values: dict[str, Any]) -> dict[str, Preset]:
    """Presets by name; each has the values of `shared` unless it says otherwise."""
    return {name: Preset(**shared | value) for name, value in values.items()}


class LabelledImages(Task):
    """What all tasks of stored images with classes share."""

    excused: ClassVar[Mapping[str, str]] = {
        "observations": "held-out images are others than the training images, classes in turn",
        "training-data": "a stored set has as many images as it has",
    }

    @property
    def flips(self) -> bool:
        """Whether a mirrored image is as good a training image."""
        return False

    @abstractmethod
    def load(self, part: Literal["train", "test"]) -> ImageSet:
        """Read a part of the stored set; called once."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """What the labels 0, 1, ... mean."""

    @cached_property
    def _parts(self) -> dict[str, ImageSet]:
        parts = {"train": self.load("train"), "test": self.load("test")}
        shapes = {part: tuple(stored.images.shape[1:]) for part, stored in parts.items()}
        if shapes["train"] != shapes["test"]:
            raise UsageError(
                f"training images have (channels, height, width) = {shapes['train']}, test images "
                f"{shapes['test']}; give both one shape, e.g. --set size=32 --set colour=rgb"
            )
        return parts

    def stored_images(self, part: Literal["train", "test"]) -> ImageSet:
        """The images a method may learn from, or those that are held out."""
        return self._parts[part]

    @property
    def x_shape(self) -> tuple[int, ...]:
        """`(channels, height, width)`."""
        return tuple(self.stored_images("train").images.shape[1:])

    @property
    def y_shape(self) -> tuple[int, ...]:
        """`()`: a class."""
        return ()

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def sample_joint(self, n: int, generator: Generator) -> JointSamples:
        """Draw `n` training images with replacement."""
        stored = self.stored_images("train")
        chosen = torch.randint(len(stored.labels), (n,), generator=generator)
        return JointSamples(to_x(stored.images[chosen]), stored.labels[chosen])

    def training_data(self, n: int, generator: Generator) -> Dataset[tuple[Tensor, Tensor]]:
        """`n` training images drawn without replacement, or all if there are no more."""
        stored = self.stored_images("train")
        if n < len(stored.labels):
            chosen = torch.randperm(len(stored.labels), generator=generator)[:n]
            stored = ImageSet(stored.images[chosen], stored.labels[chosen])
        return StoredPairs(stored, flips=self.flips)

    def evaluation_set(self, n: int, generator: Generator) -> JointSamples:
        """Classes in turn, 0, 1, ..., each with a held-out image of it."""
        images, labels = self.stored_images("test")
        y = torch.arange(n) % self.num_classes
        members = [torch.nonzero(labels == c)[:, 0] for c in range(self.num_classes)]
        drawn = torch.rand(n, generator=generator)
        chosen = [
            members[c][int(u * len(members[c]))]
            for c, u in zip(y.tolist(), drawn.tolist(), strict=True)
        ]
        return JointSamples(to_x(images[torch.stack(chosen)]), y)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 of all stored images with their labels."""
        return digest([self.stored_images("train"), self.stored_images("test")])

    def fingerprint(self) -> str:
        """Of name, version, settings and the images; where they lie does not count."""
        settings = self.params.model_dump(mode="json", exclude={"root"})
        facts = [self.info.name, self.info.version, settings, self.class_names, self.data_digest]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
