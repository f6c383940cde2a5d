"""Stored images with class labels, and how pixels are written as x.

A pixel of 0 to 255 is x = pixel / 127.5 - 1, in [-1, 1]: the scale of a standard normal latent.
What a model draws beyond that is clipped before it is judged, as an image file would do it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cwbench.samples import ImageSet, JointSamples


def to_x(pixels: Tensor) -> Tensor:
    """Pixels of 0 to 255 as x in [-1, 1], float32."""
    return pixels.float() / 127.5 - 1


def intensities(x: Tensor) -> Tensor:
    """Pixels of 0 to 255 of x in [-1, 1], clipped but not rounded, float32."""
    return ((x.float() + 1) * 127.5).clamp(0, 255)


def to_pixels(x: Tensor) -> Tensor:
    """Pixels of x, uint8: what an image file would hold."""
    return intensities(x).round().to(torch.uint8)


def shuffled(images: Tensor, labels: Tensor) -> ImageSet:
    """An image set ordered by the hash of each image: no file name or class decides the order."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images.numpy()]
    order = torch.tensor(sorted(range(len(digests)), key=lambda i: (digests[i], int(labels[i]))))
    return ImageSet(images[order], labels[order])


def digest(sets: Sequence[ImageSet]) -> str:
    """SHA-256 of the pixels and labels of image sets."""
    sha256 = hashlib.sha256()
    for images, labels in sets:
        sha256.update(repr(tuple(images.shape)).encode())
        sha256.update(images.numpy().tobytes())
        sha256.update(labels.numpy().tobytes())
    return sha256.hexdigest()


class StoredPairs(Dataset[tuple[Tensor, Tensor]]):
    """Pairs (x, y) of an image set, kept as bytes; with `flips` the mirrored images follow.

    An epoch then shows every image once as it is and once mirrored: as often as random flips do,
    and a function of the index alone.
    """

    def __init__(self, stored: ImageSet, *, flips: bool = False) -> None:
        self.stored, self.flips = stored, flips

    def __len__(self) -> int:
        """Images, twice with flips."""
        return len(self.stored.labels) * (2 if self.flips else 1)

    def batch(self, index: Tensor) -> JointSamples:
        """The pairs at `index`, `(k, C, H, W)` and `(k,)`."""
        images, labels = self.stored
        at = index % len(labels)
        chosen = images[at]
        mirrored = (index >= len(labels))[:, None, None, None]
        return JointSamples(to_x(torch.where(mirrored, chosen.flip(-1), chosen)), labels[at])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One pair.

        Raises:
            IndexError: beyond the end, so that a loop over the set stops.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{index} is none of {len(self)} pairs")
        x, y = self.batch(torch.tensor([index]))
        return x[0], y[0]
