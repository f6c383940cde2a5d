"""An elongated Gaussian, turned by 60 degrees from class to class.

Y is uniform on {0, 1, 2} and X | Y = y ~ N(0, R_y diag(1, 1/16) R_y^T): all classes have mean 0,
so a method that learns means alone learns nothing.
"""

from __future__ import annotations

import math

import torch

from cwbench import JointSamples, Task, TaskInfo, vector_presets


class TurnedClasses(Task):
    """Three directions, one mean."""

    info = TaskInfo(
        name="turned-classes",
        version=1,
        title="Gaussians turned by their class",
        main_metric="ew2sq",
        licence="CC0-1.0",
        citation="@misc{turned, title = {Turned classes}, year = {2026}}",
        presets=vector_presets(),
    )
    x_shape, y_shape, num_classes = (2,), (), 3

    def sample_joint(self, n, generator):
        y = torch.randint(3, (n,), generator=generator)
        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)

    def sample_posterior(self, y, n, generator):
        angle = math.pi / 3 * y
        c, s = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
        e = torch.randn(len(y), n, 2, generator=generator) * torch.tensor([1.0, 0.25])
        return e @ turn.mT
