"""Few-view tomography with an exact posterior: parallel-beam projections and noise.

`views` equally spaced angles over `angular_range` degrees; a range below 180 is the limited-angle
problem, and one view its extreme.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from cwbench.task import TaskInfo
from cwbench_tasks.imaging import DATA_NOTES, IMAGE_PRESETS, ImagingParams, ImagingTask
from cwbench_tasks.operators import Operator, radon


class TomographyParams(ImagingParams):
    """Settings of `Tomography`."""

    by_prior: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        prior: {"views": 1} for prior in ("mnist", "fashion", "patches32", "cifar")
    }

    views: int = Field(2, ge=1, le=180, description="projections")
    angular_range: float = Field(
        180.0, gt=0, le=180, description="degrees that the views divide; below 180: limited angle"
    )

    def idle_settings(self) -> Mapping[str, str]:
        """One view is that of the first angle, whatever the range."""
        return {"angular_range": "views=2"} if self.views == 1 else {}


class Tomography(ImagingTask):
    """Y = line integrals of X + noise."""

    info = TaskInfo(
        name="tomography",
        version=1,
        title="Few-view tomography with an exact posterior",
        main_metric="ew2sq",
        licence="MIT",
        citation="chemseddine2025conditional",
        presets=IMAGE_PRESETS,
        group="imaging",
        notes=DATA_NOTES,
    )
    Params: ClassVar[type[TomographyParams]] = TomographyParams
    params: TomographyParams

    def make_operator(self, shape: tuple[int, int]) -> Operator:
        """The projections."""
        views = self.params.views
        return radon(shape, np.arange(views) * self.params.angular_range / views)
