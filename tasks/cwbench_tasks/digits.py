"""Handwritten digits by class: 1,797 images of 8x8 pixels that come with scikit-learn.

65 images of each digit are held out, the first 65 by the hash of their pixels: the split needs no
random numbers and no file order. The grey levels 0 to 16 are spread over 0 to 255.

Source: Optical Recognition of Handwritten Digits (Alpaydin, Kaynak, 1998),
https://doi.org/10.24432/C50P49
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
import torch

from cwbench.images import shuffled
from cwbench.samples import ImageSet
from cwbench.task import TaskInfo
from cwbench_tasks.labelled_images import LabelledImages, image_presets

HELD_OUT = 65
"""Images of each class."""


METRICS = (
    "kd-per-class-classifier", "kd-classifier", "fd-classifier", "fd-per-class-classifier",
    "cfd-classifier", "class-accuracy", "precision-classifier", "recall-classifier",
    "memorisation",
)  # fmt: skip

PRESETS = image_presets(
    smoke={
        "steps": 150, "width": 64, "samples": 5, "images": 200, "nfe": (2,),
        "metrics": ("kd-per-class-classifier", "class-accuracy"),
    },
    quick={"steps": 3_000, "width": 512},
    standard={"steps": 10_000, "width": 1_024, "nfe": (2, 5, 10, 25, 100, "adaptive")},
    shared={
        "training_pairs": 1_147, "batch_size": 100, "network": "convolutional",
        "observations": 10, "samples": 8, "images": 650, "nfe": (2, 5, 10, "adaptive"),
        "metrics": METRICS,
    },
)  # fmt: skip


class Digits(LabelledImages):
    """Handwritten digits of 8x8 pixels, y the digit."""

    info = TaskInfo(
        name="digits",
        version=1,
        title="Handwritten digits by class",
        main_metric="kd-per-class-classifier",
        licence="CC-BY-4.0",
        citation="alpaydin1998optical",
        presets=PRESETS,
        group="labelled-images",
        notes="Nothing is downloaded.",
    )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits."""
        return tuple("0123456789")

    def load(self, part: Literal["train", "test"]) -> ImageSet:
        """The held-out images are the first `HELD_OUT` of each class."""
        images, labels = self._all
        position = torch.zeros_like(labels)
        for c in range(10):
            members = labels == c
            position[members] = torch.arange(int(members.sum()))
        chosen = (position < HELD_OUT) == (part == "test")
        return ImageSet(images[chosen], labels[chosen])

    @cached_property
    def _all(self) -> ImageSet:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        return shuffled(torch.from_numpy(pixels), torch.from_numpy(digits.target).long())
