"""Operators and adjoints against those of deepinv, a library of this field, where it is installed.

pip install deepinv && pytest tests/tasks/test_task_operators_peer.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cwbench_tasks.operators import (
    Boundary,
    Operator,
    block_mean,
    line_kernel,
    motion_blur,
    radon,
    selection,
)

physics: Any = pytest.importorskip("deepinv.physics", reason="deepinv is not installed")

SIDE = 16  # 23 detectors: where they are even, deepinv turns about a point between pixels


def image(shape: tuple[int, int]) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.rand(1, 1, *shape, dtype=torch.float64, generator=drawn)


def same_data(operator: Operator, theirs: Callable[[Tensor], Tensor]) -> None:
    x = image(operator.shape)
    torch.testing.assert_close(operator.forward(x.flatten()), theirs(x).flatten())


def same_adjoint(operator: Operator, theirs: Any) -> None:
    """Of data that both make of one image; theirs fills what is not seen with 0."""
    x = image(operator.shape)
    back = theirs.A_adjoint(theirs.A(x)).flatten()
    torch.testing.assert_close(operator.adjoint(operator.forward(x.flatten())), back)


@pytest.mark.parametrize(
    ("boundary", "padding"), [("wrap", "circular"), ("zero", "constant"), ("nearest", "replicate")]
)
def test_blur(boundary: Boundary, padding: str) -> None:
    kernel = torch.from_numpy(line_kernel(3.5, 30))[None, None]
    ours, theirs = motion_blur((12, 14), 3.5, 30, boundary), physics.Blur(kernel, padding=padding)
    same_data(ours, theirs.A)
    same_adjoint(ours, theirs)


def test_seen_pixels() -> None:
    seen = torch.rand(12, 14, generator=torch.Generator().manual_seed(1)) < 0.4
    mask = seen[None].double()
    ours, theirs = selection((12, 14), seen), physics.Inpainting(img_size=mask.shape, mask=mask)
    same_data(ours, lambda x: theirs.A(x)[0, 0][seen])
    same_adjoint(ours, theirs)


def test_block_means() -> None:
    box = torch.full((1, 1, 2, 2), 0.25, dtype=torch.float64)
    theirs = physics.Downsampling(img_size=(1, 12, 14), filter=box, factor=2, padding="circular")
    same_data(block_mean((12, 14), 2), theirs.A)  # its adjoint fails for kernels of even size


def test_projections() -> None:
    angles = np.array([0.0, 30.0, 90.0, 135.0])
    theirs = physics.Tomography(
        angles=torch.from_numpy(angles), img_width=SIDE, circle=False, normalize=False,
        dtype=torch.float64,
    )  # fmt: skip
    same_data(radon((SIDE, SIDE), angles), lambda x: theirs.A(x).mT)  # its adjoint is another map
