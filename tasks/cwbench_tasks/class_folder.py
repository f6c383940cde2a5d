"""Class-conditional images from any folder: `train/<class>/` and `test/<class>/`.

Files are read as they are, all of one size and kind, or cropped about their centre and resized to
`size`. Their order is that of their pixels' hashes: neither names nor places matter, and the same
images elsewhere are the same task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from cwbench.errors import UsageError
from cwbench.images import shuffled
from cwbench.machine.cpu import cores
from cwbench.samples import ImageSet
from cwbench.task import Params, TaskInfo
from cwbench_tasks.image_folder import SUFFIXES
from cwbench_tasks.labelled_images import LabelledImages, image_presets

Pixels = NDArray[np.uint8]
Colour = Literal["as-stored", "grey", "rgb"]

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
    folders = sorted(folder for folder in part.iterdir() if folder.is_dir())
    files = {
        folder.name: sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        for folder in folders
    }
    return {name: paths for name, paths in files.items() if paths}


def read_classes(files: Mapping[str, Iterable[Path]], size: int | None, colour: Colour) -> ImageSet:
    """The images of a part with their labels.

    Raises:
        UsageError: if a file cannot be read, or sizes or kinds differ or do not do.
    """
    paths = [path for members in files.values() for path in members]
    labels = [label for label, members in enumerate(files.values()) for _ in members]
    with ThreadPoolExecutor(cores()) as pool:
        images = list(pool.map(lambda path: _read(path, size, colour), paths))
    _check_equal(images, paths)
    height, width = images[0].shape[1:]
    if min(height, width) < SMALLEST or height % MULTIPLE or width % MULTIPLE:
        raise UsageError(
            f"the images have {height}x{width} pixels ({str(paths[0])!r}); sides of at least "
            f"{SMALLEST} and multiples of {MULTIPLE} are needed; type --set size=32"
        )
    return shuffled(torch.from_numpy(np.stack(images)), torch.tensor(labels))


def _read(path: Path, size: int | None, colour: Colour) -> Pixels:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            grey = colour == "grey" or (colour == "as-stored" and file.mode in ("1", "L", "I;16"))
            image = file.convert("L" if grey else "RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"{str(path)!r} cannot be read as an image ({error}); repair it or take it out"
        ) from None
    if size is not None:
        if min(image.size) < SMALLEST:
            raise UsageError(
                f"{str(path)!r} has {image.height}x{image.width} pixels; at least {SMALLEST} a "
                "side are needed before an image is resized; take it out"
            )
        image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    array: Pixels = np.asarray(image, dtype=np.uint8)
    return array[None] if grey else array.transpose(2, 0, 1)


def _check_equal(images: list[Pixels], paths: list[Path]) -> None:
    """One number of channels and one size."""
    shapes = Counter(image.shape for image in images)
    if len(shapes) == 1:
        return
    usual = shapes.most_common(1)[0][0]
    odd = next(p for p, image in zip(paths, images, strict=True) if image.shape != usual)
    kinds = Counter("grey" if image.shape[0] == 1 else "colour" for image in images)
    if len(kinds) > 1:
        raise UsageError(
            f"grey images are mixed with colour ({kinds['grey']} grey, {kinds['colour']} colour; "
            f"{str(odd)!r} is an odd one); type --set colour=rgb or --set colour=grey"
        )
    sizes = ", ".join(f"{count} of {h}x{w}" for (_, h, w), count in shapes.most_common(4))
    raise UsageError(
        f"the images have {len(shapes)} sizes ({sizes}; {str(odd)!r} is an odd one); name one side "
        "for all, e.g. --set size=32"
    )
