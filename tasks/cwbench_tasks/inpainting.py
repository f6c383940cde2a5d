"""Inpainting with an exact posterior: an image of which some pixels and noise are seen.

Of `random` pixels a share is seen; of a `hole` all but the middle square. Around a hole an image
says so much that hardly one mode is left: those settings are nearly Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from cwbench.errors import UsageError
from cwbench.task import TaskInfo
from cwbench_tasks.imaging import DATA_NOTES, IMAGE_PRESETS, ImagingParams, ImagingTask
from cwbench_tasks.operators import Operator, selection


class InpaintingParams(ImagingParams):
    """Settings of `Inpainting`; of larger images fewer pixels keep several modes."""

    by_prior: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        prior: {"seen": 0.05, "noise": 1.5} for prior in ("mnist", "fashion", "patches32", "cifar")
    }
    noise: float = Field(
        1.0, ge=1e-3, le=100, description="deviation over the rms variation of A x"
    )
    mask: Literal["random", "hole"] = Field("random", description="which pixels are missing")
    seen: float = Field(
        0.2, gt=0, lt=1, description="share of the pixels that is seen, with mask random"
    )
    hole: float = Field(
        0.6, gt=0, lt=1, description="side of the missing square over the image's, with mask hole"
    )
    instance: int = Field(0, ge=0, description="which random pixels, with mask random")

    def idle_settings(self) -> Mapping[str, str]:
        """What is about the other mask."""
        if self.mask == "random":
            return {"hole": "mask=hole"}
        return dict.fromkeys(("seen", "instance"), "mask=random")


class Inpainting(ImagingTask):
    """Y = some pixels of X + noise, in every channel the same ones."""

    info = TaskInfo(
        name="inpainting",
        version=1,
        title="Inpainting of images with an exact posterior",
        main_metric="ew2sq",
        licence="MIT",
        citation="richardson2018gans",
        presets=IMAGE_PRESETS,
        group="imaging",
        notes=DATA_NOTES,
    )
    Params: ClassVar[type[InpaintingParams]] = InpaintingParams
    params: InpaintingParams

    def make_operator(self, shape: tuple[int, int]) -> Operator:
        """The pixels that are seen."""
        if self.params.mask == "hole":
            return selection(shape, around_hole(shape, self.params.hole))
        return selection(shape, random_pixels(shape, self.params.seen, self.params.instance))


def random_pixels(shape: tuple[int, int], share: float, seed: int) -> Tensor:
    """A mask with so many pixels as the share comes to.

    Raises:
        UsageError: if that is less than one.
    """
    pixels = shape[0] * shape[1]
    _refuse_less_than_one("seen", share, pixels, f"of {pixels} pixels")
    order = torch.randperm(pixels, generator=Generator().manual_seed(seed))
    return (order < round(share * pixels)).reshape(shape)


def around_hole(shape: tuple[int, int], side: float) -> Tensor:
    """A mask that is false in the middle, over `side` times the height and the width.

    Raises:
        UsageError: if that is less than one pixel.
    """
    _refuse_less_than_one("hole", side, min(shape), f"of a side of {min(shape)} pixels")
    seen = torch.ones(shape, dtype=torch.bool)
    lost = [round(side * length) for length in shape]
    first = [(length - count) // 2 for length, count in zip(shape, lost, strict=True)]
    seen[first[0] : first[0] + lost[0], first[1] : first[1] + lost[1]] = False
    return seen


def _refuse_less_than_one(setting: str, share: float, whole: int, told: str) -> None:
    """A share that comes to no pixel would be another setting of the same problem."""
    if round(share * whole, 9) < 1:
        least = math.ceil(1e6 / whole) / 1e6
        raise UsageError(
            f"{setting} = {share:g} {told} is less than one; choose at least {least:g}, e.g. "
            f"--set task.{setting}={least:g}"
        )
