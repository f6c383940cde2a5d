"""A folder of images as an empirical prior: real images, whose posterior nobody knows.

Files are found recursively, read as intensities in [0, 1] and distinguished by content: a duplicate
counts once, and images are ordered by the hash of their pixels, so neither file names nor their
order matter. Nine in ten are for training, the others for observations.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwbench.errors import UsageError

Array = NDArray[np.float32]
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
FEWEST = 20
HELD_OUT_SHARE = 10
"""One image in so many is held out."""


class ImageFolder(NamedTuple):
    """Images with shape `(n, channels, height, width)`, float32 in [0, 1], and their digest."""

    training: Tensor
    held_out: Tensor
    digest: str


def image_folder(root: Path, *, size: int | None = None, colour: bool = False) -> ImageFolder:
    """Read a folder of images.

    Args:
        root: the folder; its subfolders are searched too.
        size: side to which images are cropped about their centre and resized; None takes them as
            they are, if all have one size.
        colour: three channels instead of one.

    Raises:
        UsageError: if the folder is missing or empty, a file cannot be read, sizes differ, or there
            are fewer than 20 different images.
    """
    if not root.is_dir():
        raise UsageError(f"there is no folder {str(root)!r}; e.g. --set root=/path/to/images")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise UsageError(
            f"no image in {str(root)!r} or below it; files ending in "
            f"{', '.join(sorted(SUFFIXES))} are looked for"
        )
    images = [_read(path, size, colour) for path in paths]
    _check_sizes(images, paths)
    unique = {hashlib.sha256(image.tobytes()).hexdigest(): image for image in images}
    if len(unique) < FEWEST:
        raise UsageError(
            f"{str(root)!r} holds {len(unique)} different images; at least {FEWEST} are needed, "
            "since some are held out"
        )
    ordered = sorted(unique)
    stacked = torch.from_numpy(np.stack([unique[digest] for digest in ordered]))
    held_out = torch.arange(len(ordered)) % HELD_OUT_SHARE == 0
    digest = hashlib.sha256("".join(ordered).encode()).hexdigest()
    return ImageFolder(stacked[~held_out], stacked[held_out], digest)


def _read(path: Path, size: int | None, colour: bool) -> Array:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = file.convert("RGB" if colour else "L")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read as an image ({error}); repair it or take it out"
        ) from None
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    array: Array = np.asarray(image, dtype=np.float32) / np.float32(255)
    return array.transpose(2, 0, 1) if colour else array[None]


def _check_sizes(images: list[Array], paths: list[Path]) -> None:
    shapes = Counter(image.shape[1:] for image in images)
    if len(shapes) == 1:
        return
    usual = shapes.most_common(1)[0][0]
    odd = next(p for p, image in zip(paths, images, strict=True) if image.shape[1:] != usual)
    sizes = ", ".join(f"{count} of {h}x{w}" for (h, w), count in shapes.most_common(4))
    raise UsageError(
        f"the images have {len(shapes)} sizes ({sizes}; {str(odd)!r} is one of the odd ones); "
        "name one side for all, e.g. --set size=32"
    )
