"""A folder of images as an empirical prior: real images, whose posterior nobody knows.

Files are found and read as `cwbench_tasks.pictures` says, as intensities in [0, 1]. A duplicate
counts once, and images are ordered by the hash of their pixels, so neither file names nor their
order matter. Nine in ten are for training, the others for observations.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cwbench.errors import UsageError
from cwbench_tasks.pictures import SUFFIXES, check_equal, image_files, read_all

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
    paths = image_files(root)
    if not paths:
        raise UsageError(
            f"no image in {str(root)!r} or below it; files ending in "
            f"{', '.join(sorted(SUFFIXES))} are looked for"
        )
    pictures = read_all(paths, size=size, colour="rgb" if colour else "grey")
    check_equal(pictures, paths)
    images = [picture / np.float32(255) for picture in pictures]
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
