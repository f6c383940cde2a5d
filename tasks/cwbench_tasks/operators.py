"""Linear forward operators of imaging and their adjoints: blur, projections, blocks, masks.

y = A x for images x with shape `(height, width)`, flattened row by row. An operator is a map with
its adjoint, and of three kinds: explicit, a matrix that costs `d_y * height * width` numbers;
separable, one small matrix for the rows and one for the columns; a selection of pixels. Exact
posteriors ask for the matrix, whose column j is what the operator makes of the image that is 1 at
pixel j and 0 elsewhere; pictures from a folder do with the map, at any size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from cwbench.errors import UsageError

Array = NDArray[np.float64]
Boundary = Literal["reflect", "zero", "wrap", "nearest"]
MOST_ENTRIES = 2**26
"""Of a matrix: half a gigabyte in float64."""

_MODES: dict[Boundary, Literal["reflect", "constant", "wrap", "nearest"]] = {
    "reflect": "reflect",
    "zero": "constant",
    "wrap": "wrap",
    "nearest": "nearest",
}
_POINTS = 64  # on each pixel of a motion, so that its line is smooth


Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Operator:
    """A on images of `shape`, `(height, width)`; y has the shape `y_shape`.

    `forward` maps `(..., height * width)` to `(..., d_y)`, `adjoint` back.
    """

    shape: tuple[int, int]
    y_shape: tuple[int, ...]
    forward: Map
    adjoint: Map

    @property
    def entries(self) -> int:
        """Of the matrix."""
        return prod(self.shape) * prod(self.y_shape)

    @cached_property
    def matrix(self) -> Tensor:
        """A with shape `(d_y, height * width)`, float64.

        Raises:
            UsageError: if it would be too large.
        """
        _check_entries(self.shape, self.entries)
        return self.forward(torch.eye(prod(self.shape), dtype=torch.float64)).T.contiguous()


def gaussian_blur(shape: tuple[int, int], width: float, boundary: Boundary) -> Operator:
    """Convolution with a Gaussian, cut off at four deviations.

    Args:
        shape: height and width of the image.
        width: standard deviation of the kernel in pixels.
        boundary: what is beyond the edge; `reflect` mirrors the image (d c b a | a b c d).

    Raises:
        UsageError: if the blur is wider than the image: two deviations reach beyond its side.
    """
    if 2 * width > min(shape):
        raise UsageError(
            f"a Gaussian blur of width {width:g} px (a standard deviation) is wider than the "
            f"{_told(shape)} image; choose at most {min(shape) / 2:g}, e.g. --set task.width=1"
        )
    mode = _MODES[boundary]
    if prod(shape) ** 2 <= MOST_ENTRIES:
        return _explicit(lambda image: ndimage.gaussian_filter(image, width, mode=mode), shape)
    rows, columns = (
        torch.from_numpy(ndimage.gaussian_filter1d(np.eye(side), width, axis=0, mode=mode))
        for side in shape
    )
    return _separable(rows, columns)


def motion_blur(
    shape: tuple[int, int], length: float, angle: float, boundary: Boundary
) -> Operator:
    """Average along a line segment through the pixel.

    Args:
        shape: height and width of the image.
        length: of the segment in pixels.
        angle: of the segment against the horizontal, in degrees.
        boundary: as for `gaussian_blur`.

    Raises:
        UsageError: if the segment is longer than the image.
    """
    if length > min(shape):
        raise UsageError(
            f"a motion of {length:g} px is longer than the {_told(shape)} image; choose at most "
            f"{min(shape)}, e.g. --set task.width=3"
        )
    kernel = line_kernel(length, angle)
    mode = _MODES[boundary]
    return _explicit(lambda image: ndimage.convolve(image, kernel, mode=mode), shape)


def line_kernel(length: float, angle: float) -> Array:
    """A centred line segment on an odd grid of pixels, spread bilinearly, with sum 1."""
    reach = int(np.ceil(length / 2)) + 1
    along = (np.arange(_POINTS * reach) + 0.5) / (_POINTS * reach) - 0.5
    rows = reach - length * along * np.sin(np.deg2rad(angle))
    columns = reach + length * along * np.cos(np.deg2rad(angle))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row_step in (0, 1):
        for column_step in (0, 1):
            row = np.floor(rows).astype(int) + row_step
            column = np.floor(columns).astype(int) + column_step
            share = (1 - np.abs(rows - row)) * (1 - np.abs(columns - column))
            np.add.at(kernel, (row, column), share)
    normalised: Array = kernel / kernel.sum()
    return normalised


def radon(shape: tuple[int, int], angles: Array) -> Operator:
    """Parallel-beam line integrals (scikit-image), with y of shape `(views, detector bins)`.

    The whole square is in view: the detector is as long as the image's diagonal.

    Args:
        shape: height and width of the image.
        angles: of the views, in degrees.

    Raises:
        UsageError: if there is no view.
    """
    from skimage.transform import radon as projection  # imports slowly

    if not len(angles):
        raise UsageError("tomography needs at least 1 view, got 0; e.g. --set views=2")
    return _explicit(lambda image: projection(image, angles, circle=False).T, shape)


def block_mean(shape: tuple[int, int], factor: int) -> Operator:
    """Means over squares of `factor` by `factor` pixels: an image of lower resolution.

    Raises:
        UsageError: if the squares do not fill the image.
    """
    if factor < 2 or any(side % factor for side in shape):
        common = [k for k in range(2, min(shape) + 1) if not any(side % k for side in shape)]
        raise UsageError(
            f"blocks of {factor}x{factor} pixels do not fill the {_told(shape)} image; choose a "
            f"factor among {', '.join(map(str, common)) or 'none: crop the image'}"
        )
    rows, columns = (
        torch.eye(side // factor, dtype=torch.float64).repeat_interleave(factor, 1) / factor
        for side in shape
    )
    return _separable(rows, columns)


def selection(shape: tuple[int, int], seen: Tensor) -> Operator:
    """The pixels that a mask `(height, width)` marks, row by row; the others are missing.

    Raises:
        UsageError: if no pixel is seen, or all are.
    """
    (index,) = seen.flatten().nonzero(as_tuple=True)
    if not 0 < len(index) < prod(shape):
        raise UsageError(
            f"{len(index)} of the {prod(shape)} pixels are seen; at least one is, and one is "
            "not: choose another share or hole, e.g. --set task.seen=0.2 or --set task.hole=0.6"
        )

    def adjoint(y: Tensor) -> Tensor:
        x = y.new_zeros(*y.shape[:-1], prod(shape))
        x[..., index.to(y.device)] = y
        return x

    return Operator(shape, (len(index),), lambda x: x[..., index.to(x.device)], adjoint)


def _explicit(operator: Callable[[Array], Array], shape: tuple[int, int]) -> Operator:
    """The matrix of a linear map, column by column."""
    pixels = prod(shape)
    y_shape = operator(np.zeros(shape)).shape
    _check_entries(shape, pixels * prod(y_shape))
    columns = [operator(image.reshape(shape)).ravel() for image in np.eye(pixels)]
    A = torch.from_numpy(np.stack(columns, axis=1))
    made = Operator(shape, y_shape, lambda x: x @ A.T.to(x.device), lambda y: y @ A.to(y.device))
    made.__dict__["matrix"] = A
    return made


def _separable(rows: Tensor, columns: Tensor) -> Operator:
    """X to rows X columns^T."""
    shape, y_shape = (rows.shape[1], columns.shape[1]), (len(rows), len(columns))

    def mapped(image: Tensor, sides: tuple[int, int], left: Tensor, right: Tensor) -> Tensor:
        left, right = left.to(image.device), right.to(image.device)
        y: Tensor = left @ image.unflatten(-1, sides) @ right
        return y.flatten(-2)

    return Operator(
        shape,
        y_shape,
        lambda x: mapped(x, shape, rows, columns.T),
        lambda y: mapped(y, y_shape, rows.T, columns),
    )


def _check_entries(shape: tuple[int, int], entries: int) -> None:
    if entries > MOST_ENTRIES:
        raise UsageError(
            f"the operator on {_told(shape)} images would be a matrix of {entries / 1e6:.0f} "
            f"million numbers; at most {MOST_ENTRIES / 1e6:.0f} million are allowed. Choose a "
            "smaller size, e.g. --set size=32"
        )


def _told(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
