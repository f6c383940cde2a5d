"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes, mirrored ones included in training.

The official archive is downloaded once by torchvision, which compares its MD5 and those of the
files in it; it is unpacked beside its place and renamed when it is whole and right.

Source: Learning Multiple Layers of Features from Tiny Images (Krizhevsky, 2009),
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Literal

import platformdirs
import torch
from pydantic import Field

from cwbench.errors import UsageError
from cwbench.samples import ImageSet
from cwbench.task import Params, TaskInfo
from cwbench_tasks.class_folder import PHOTOGRAPH_PRESETS
from cwbench_tasks.labelled_images import LabelledImages

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class CIFAR10Params(Params):
    """Settings of `CIFAR10`."""

    root: Path | None = Field(
        None,
        exclude=True,  # its files are the published ones wherever they lie
        description="folder with the archive or its files; default the user's cache",
    )
    flips: bool = Field(True, description="mirrored images are training images too")


class CIFAR10(LabelledImages):
    """Photographs of ten kinds of things, y the kind."""

    info = TaskInfo(
        name="cifar10",
        version=1,
        title="CIFAR-10 by class",
        main_metric="kd-per-class-efficientnet-lite0",
        licence="none stated; for research",
        citation="krizhevsky2009learning",
        presets=PHOTOGRAPH_PRESETS,
        group="labelled-images",
        notes="170 MB are downloaded once. The papers' OT batch is a setting of the method: --set "
        "ot_batch=5.",
    )
    Params = CIFAR10Params
    params: CIFAR10Params

    @property
    def flips(self) -> bool:
        """Whether training also sees every image mirrored, the setting `flips`."""
        return self.params.flips

    @property
    def class_names(self) -> tuple[str, ...]:
        """As published."""
        return CLASSES

    def load(self, part: Literal["train", "test"]) -> ImageSet:
        """Read a part, downloading all of it if there is nothing yet."""
        root = self.params.root or platformdirs.user_cache_path("cwbench") / "cifar10"
        stored = opened(root, part)
        images = torch.from_numpy(stored.data).permute(0, 3, 1, 2).contiguous()
        return ImageSet(images, torch.tensor(stored.targets))


def opened(root: Path, part: str) -> Any:
    """The data set of torchvision once its checksums are right.

    Raises:
        UsageError: if the files are damaged, or are absent and cannot be downloaded.
    """
    from torchvision import datasets

    if not (root / datasets.CIFAR10.base_folder).exists():
        _unpack(root)
    try:
        return datasets.CIFAR10(str(root), train=part == "train")
    except (RuntimeError, OSError, EOFError):
        raise damaged(root / datasets.CIFAR10.base_folder) from None


def damaged(path: Path) -> UsageError:
    """The error for files that are not the published ones."""
    return UsageError(
        f"{str(path)!r} is damaged or incomplete: its checksum is not the published one. Remove it "
        "to have CIFAR-10 downloaded again, or name another folder by --set task.root=FOLDER"
    )


def _unpack(root: Path) -> None:
    """Unpack the archive in `root`, or a fresh one, beside its place; a failure leaves nothing."""
    from torchvision import datasets
    from torchvision.datasets.utils import check_integrity, extract_archive

    published = datasets.CIFAR10
    archive = root / published.filename
    if archive.exists() and not check_integrity(str(archive), published.tgz_md5):
        raise damaged(archive)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=root) as beside:
            if archive.exists():
                extract_archive(str(archive), beside)
            else:
                published(beside, download=True)
            (Path(beside) / published.base_folder).rename(root / published.base_folder)
    except (RuntimeError, OSError) as error:
        raise UsageError(
            f"CIFAR-10 cannot be had from {published.url} ({error}); on a machine without a "
            f"network put {published.filename} into a folder and type --set task.root=FOLDER"
        ) from None
