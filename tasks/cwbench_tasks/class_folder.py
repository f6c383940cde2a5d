"""Class-conditional images from any folder: `train/<class>/` and `test/<class>/`.

Files are read as `cwbench_tasks.pictures` says, all of one size and kind, or cropped about their
centre and resized to `size`. Their order is that of their pixels' hashes: neither names nor places
matter, and the same images elsewhere are the same task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from cwbench.errors import UsageError
from cwbench.images import shuffled
from cwbench.samples import ImageSet
from cwbench.task import Params, TaskInfo
from cwbench_tasks.labelled_images import LabelledImages, image_presets
from cwbench_tasks.pictures import Colour, check_equal, image_files, read_all

SMALLEST, MULTIPLE = 8, 4
"""Sides in pixels: at least, and a multiple of, for networks halve them."""

OFFLINE_METRICS = (
    "kd-per-class-efficientnet-lite0", "kd-efficientnet-lite0", "fd-efficientnet-lite0",
    "kd-per-class-classifier", "kd-classifier", "fd-classifier", "fd-per-class-classifier",
    "cfd-classifier", "class-accuracy", "precision-classifier", "recall-classifier",
    "memorisation",
)  # fmt: skip

PHOTOGRAPH_PRESETS = image_presets(
    shared={
        "training_pairs": 50_000, "network": "convolutional", "observations": 10, "samples": 8,
        "metrics": OFFLINE_METRICS,
    },
    smoke={
        "training_pairs": 2_000, "steps": 100, "batch_size": 64, "width": 128, "samples": 4,
        "images": 256, "nfe": (4,),
        "metrics": ("kd-per-class-efficientnet-lite0", "kd-efficientnet-lite0"),
    },
    quick={"steps": 2_000, "batch_size": 100, "width": 512, "images": 1_300, "nfe": (2, 10)},
    standard={
        "steps": 100_000, "batch_size": 256, "network": "unet-192", "learning_rate": 2e-4,
        "beta_2": 0.95, "warmup": 5_000, "decay": False, "average": 0.9999, "gradient_clip": 1.0,
        "bfloat16": True, "images": 50_000, "nfe": (2, 5, 10, 25, 100, "adaptive"),
    },
    paper={
        "steps": 100_000, "batch_size": 100, "network": "unet-256", "learning_rate": 2e-4,
        "decay": False, "average": 0.9999, "gradient_clip": 1.0, "images": 10_000,
        "nfe": (2, 5, 10, 25, 100, "adaptive"),
    },
)  # fmt: skip


class ClassFolderParams(Params):
    """Settings of `ClassFolder`."""

    root: Path | None = Field(None, description="the folder with train/<class>/, test/<class>/")
    size: int | None = Field(
        None, ge=SMALLEST, le=512, multiple_of=MULTIPLE, description="side to crop and resize to"
    )
    colour: Colour = Field(
        "as-stored", description="convert all images to grey or to three channels"
    )
    flips: bool = Field(False, description="mirrored images are training images too")


class ClassFolder(LabelledImages):
    """Images of a folder, y the subfolder they lie in."""

    info = TaskInfo(
        name="image-folder",
        version=1,
        title="Images of a folder by class",
        main_metric="kd-per-class-efficientnet-lite0",
        licence="of the images given",
        citation="chemseddine2025conditional",
        presets=PHOTOGRAPH_PRESETS,
        group="labelled-images",
        notes="Type --set root=FOLDER, and cite the source of its images too. The papers' OT batch "
        "is a setting of the method: --set ot_batch=5.",
    )
    Params = ClassFolderParams
    params: ClassFolderParams

    @property
    def flips(self) -> bool:
        """Whether training also sees every image mirrored, the setting `flips`."""
        return self.params.flips

    @cached_property
    def _files(self) -> dict[str, dict[str, list[Path]]]:
        return class_files(self.params.root)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The subfolders in alphabetical order."""
        return tuple(self._files["train"])

    def load(self, part: Literal["train", "test"]) -> ImageSet:
        """Read all files of a part."""
        return read_classes(self._files[part], self.params.size, self.params.colour)


def class_files(root: Path | None) -> dict[str, dict[str, list[Path]]]:
    """The files by part and class.

    Raises:
        UsageError: if the folder is not `train/<class>/` and `test/<class>/` with two classes.
    """
    layout = "image-folder needs FOLDER/train/<class>/ and FOLDER/test/<class>/"
    if root is None:
        raise UsageError(f"{layout}; type --set root=FOLDER")
    for folder in (root, root / "train", root / "test"):
        if not folder.is_dir():
            raise UsageError(f"there is no folder {str(folder)!r}; {layout}")
    found = {part: _by_class(root / part) for part in ("train", "test")}
    classes = {part: list(found[part]) for part in found}
    if classes["train"] != classes["test"]:
        odd = sorted(set(classes["train"]) ^ set(classes["test"]))
        raise UsageError(
            f"train and test of {str(root)!r} have other classes: {', '.join(odd[:5])} is not in "
            "both, or has no images there; give every class images in both"
        )
    if len(classes["train"]) < 2:
        raise UsageError(
            f"{str(root)!r} has {len(classes['train'])} class with images; at least two subfolders "
            "of train/ and of test/ are needed"
        )
    return found


def _by_class(part: Path) -> dict[str, list[Path]]:
    folders = sorted(f for f in part.iterdir() if f.is_dir() and not f.name.startswith("."))
    files = {folder.name: image_files(folder) for folder in folders}
    return {name: paths for name, paths in files.items() if paths}


def read_classes(files: Mapping[str, Iterable[Path]], size: int | None, colour: Colour) -> ImageSet:
    """The images of a part with their labels.

    Raises:
        UsageError: if a file cannot be read, or sizes or kinds differ or do not do.
    """
    paths = [path for members in files.values() for path in members]
    labels = [label for label, members in enumerate(files.values()) for _ in members]
    images = read_all(paths, size=size, colour=colour, smallest=SMALLEST)
    check_equal(images, paths)
    height, width = images[0].shape[1:]
    if min(height, width) < SMALLEST or height % MULTIPLE or width % MULTIPLE:
        raise UsageError(
            f"the images have {height}x{width} pixels ({str(paths[0])!r}); sides of at least "
            f"{SMALLEST} and multiples of {MULTIPLE} are needed; type --set size=32"
        )
    return shuffled(torch.from_numpy(np.stack(images)), torch.tensor(labels))
