"""Linear forward operators of imaging as explicit matrices: blur, and parallel-beam projection.

y = A x for images x with shape `(height, width)`, flattened row by row. A matrix costs memory,
`d_y * height * width` numbers, and buys exactness: the posterior of a Gaussian-mixture prior needs
A, not only products with it, and the adjoint is its transpose. Column j is what the operator makes
of the image that is 1 at pixel j and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

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


class Operator(NamedTuple):
    """`matrix` with shape `(d_y, height * width)`, float64; y has the shape `y_shape`."""

    matrix: Tensor
    y_shape: tuple[int, ...]


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
    return _explicit(lambda image: ndimage.gaussian_filter(image, width, mode=mode), shape)


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


def _explicit(operator: Callable[[Array], Array], shape: tuple[int, int]) -> Operator:
    """The matrix of a linear map, column by column."""
    pixels = shape[0] * shape[1]
    y_shape = operator(np.zeros(shape)).shape
    entries = pixels * int(np.prod(y_shape))
    if entries > MOST_ENTRIES:
        raise UsageError(
            f"the operator on {_told(shape)} images would be a matrix of {entries / 1e6:.0f} "
            f"million numbers; at most {MOST_ENTRIES / 1e6:.0f} million are allowed. Choose a "
            "smaller size, e.g. --set size=32"
        )
    columns = [operator(image.reshape(shape)).ravel() for image in np.eye(pixels)]
    return Operator(torch.from_numpy(np.stack(columns, axis=1)), y_shape)


def _told(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"
