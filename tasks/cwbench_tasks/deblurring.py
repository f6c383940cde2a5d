"""Deblurring with an exact posterior: an image seen through a blur and noise.

On the digits a Gaussian blur of 2 px leaves few directions above the noise, and posteriors are far
from Gaussian; on the patches they have one mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from cwbench.task import TaskInfo
from cwbench_tasks.imaging import DATA_NOTES, IMAGE_PRESETS, ImagingParams, ImagingTask
from cwbench_tasks.operators import Boundary, Operator, gaussian_blur, motion_blur


class DeblurringParams(ImagingParams):
    """Settings of `Deblurring`."""

    by_prior: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mnist": {"width": 7.0, "noise": 3.0},
        "fashion": {"width": 7.0, "noise": 3.0},
        "patches32": {"width": 8.0, "noise": 3.0},
        "cifar": {"width": 8.0, "noise": 3.0},
    }

    blur: Literal["gaussian", "motion"] = Field("gaussian", description="shape of the kernel")
    width: float = Field(
        2.0, gt=0, le=64, description="of the blur in pixels: deviation, or length of a motion"
    )
    angle: float = Field(
        0.0, ge=-180, le=180, description="of a blur motion against the horizontal, in degrees"
    )
    boundary: Boundary = Field("reflect", description="what is taken to be beyond the edge")
    noise: float = Field(
        1.4, ge=1e-3, le=100, description="deviation over the rms variation of A x"
    )

    def idle_settings(self) -> Mapping[str, str]:
        """A Gaussian has no angle."""
        return {"angle": "blur=motion"} if self.blur == "gaussian" else {}


class Deblurring(ImagingTask):
    """Y = blurred X + noise."""

    info = TaskInfo(
        name="deblurring",
        version=1,
        title="Deblurring of images with an exact posterior",
        main_metric="ew2sq",
        licence="MIT",
        citation="chemseddine2025conditional",
        presets=IMAGE_PRESETS,
        group="imaging",
        notes=DATA_NOTES,
    )
    Params: ClassVar[type[DeblurringParams]] = DeblurringParams
    params: DeblurringParams

    def make_operator(self, shape: tuple[int, int]) -> Operator:
        """The blur."""
        if self.params.blur == "gaussian":
            return gaussian_blur(shape, self.params.width, self.params.boundary)
        return motion_blur(shape, self.params.width, self.params.angle, self.params.boundary)
