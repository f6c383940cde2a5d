"""Super-resolution with an exact posterior: an image of which block means and noise are seen."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cwbench.task import TaskInfo
from cwbench_tasks.imaging import DATA_NOTES, IMAGE_PRESETS, ImagingParams, ImagingTask
from cwbench_tasks.operators import Operator, block_mean


class SuperResolutionParams(ImagingParams):
    """Settings of `SuperResolution`."""

    noise: float = Field(
        1.5, ge=1e-3, le=100, description="deviation over the rms variation of A x"
    )
    factor: int | None = Field(
        None, ge=2, le=256, description="side of a block in pixels; default a quarter of the image"
    )


class SuperResolution(ImagingTask):
    """Y = block means of X + noise."""

    info = TaskInfo(
        name="super-resolution",
        version=1,
        title="Super-resolution of images with an exact posterior",
        main_metric="ew2sq",
        licence="MIT",
        citation="richardson2018gans",
        presets=IMAGE_PRESETS,
        group="imaging",
        notes=DATA_NOTES,
    )
    Params: ClassVar[type[SuperResolutionParams]] = SuperResolutionParams
    params: SuperResolutionParams

    def make_operator(self, shape: tuple[int, int]) -> Operator:
        """The means over blocks."""
        return block_mean(shape, self.params.factor or max(2, min(shape) // 4))
