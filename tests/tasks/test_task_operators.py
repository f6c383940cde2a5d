"""The operators' matrices against scikit-image, direct sums and what each must conserve."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import downscale_local_mean
from skimage.transform import radon as reference_radon

from cwbench.errors import UsageError
from cwbench_tasks.operators import (
    Boundary,
    Operator,
    block_mean,
    gaussian_blur,
    line_kernel,
    motion_blur,
    radon,
    selection,
)

Array = NDArray[np.float64]
SHAPE = (7, 9)
BOUNDARIES: tuple[Boundary, ...] = ("reflect", "zero", "wrap", "nearest")
INDEX = {
    "reflect": lambda i, n: i if (i := i % (2 * n)) < n else 2 * n - 1 - i,
    "wrap": lambda i, n: i % n,
    "nearest": lambda i, n: min(max(i, 0), n - 1),
}


def image(seed: int = 0) -> Array:
    return np.random.default_rng(seed).random(SHAPE)


def applied(operator: Operator, x: Array) -> Array:
    return (operator.matrix @ torch.from_numpy(x).flatten()).reshape(operator.y_shape).numpy()


def mapped(operator: Operator, x: Array) -> Array:
    """Through the map, images with shape `(..., height, width)`."""
    y = operator.forward(torch.from_numpy(x).flatten(-2))
    return y.reshape(*y.shape[:-1], *operator.y_shape).numpy()


def summed(x: Array, kernel: Array, boundary: Boundary) -> Array:
    """The convolution by its definition, one pixel and one weight at a time."""
    reach = len(kernel) // 2
    result = np.zeros_like(x)
    for row, column in np.ndindex(x.shape):
        for i, j in np.ndindex(kernel.shape):
            there = row - (i - reach), column - (j - reach)
            if boundary == "zero":
                inside = all(0 <= p < n for p, n in zip(there, x.shape, strict=True))
                value = x[there] if inside else 0.0
            else:
                rule = INDEX[boundary]
                value = x[rule(there[0], x.shape[0]), rule(there[1], x.shape[1])]
            result[row, column] += kernel[i, j] * value
    return result


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_gaussian_blur_is_the_sum_over_its_kernel(boundary: Boundary) -> None:
    width = 0.8
    reach = int(4 * width + 0.5)
    profile = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * width**2))
    profile /= profile.sum()
    expected = summed(image(), np.outer(profile, profile), boundary)
    np.testing.assert_allclose(applied(gaussian_blur(SHAPE, width, boundary), image()), expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("angle", [0, 30, 90])
def test_motion_blur_is_the_sum_over_its_kernel(boundary: Boundary, angle: float) -> None:
    kernel = line_kernel(3.5, angle)
    expected = summed(image(), kernel, boundary)
    actual = applied(motion_blur(SHAPE, 3.5, angle, boundary), image())
    np.testing.assert_allclose(actual, expected)


def test_a_horizontal_motion_of_three_pixels_averages_along_rows() -> None:
    kernel = line_kernel(3, 0)
    middle = len(kernel) // 2
    np.testing.assert_allclose(kernel.sum(1)[middle], 1)
    np.testing.assert_allclose(kernel[middle].sum(), 1)
    np.testing.assert_allclose(kernel, kernel[:, ::-1], atol=1e-12)
    # A box of length 3 spread bilinearly: the pixels at distance 0, 1, 2 get 1, 7/8, 1/8 thirds.
    np.testing.assert_allclose(
        kernel[middle, middle : middle + 3], [1 / 3, 7 / 24, 1 / 24], atol=1e-4
    )


def test_motion_turns_with_its_angle() -> None:
    np.testing.assert_allclose(line_kernel(4, 90), line_kernel(4, 0).T, atol=1e-12)
    rising = line_kernel(4, 45)
    middle = len(rising) // 2
    up_right, up_left = rising[:middle, middle + 1 :].sum(), rising[:middle, :middle].sum()
    assert up_right > 0.2
    assert up_left == 0


@pytest.mark.parametrize("boundary", ["reflect", "wrap", "nearest"])
def test_blur_leaves_constants_alone(boundary: Boundary) -> None:
    ones = np.ones(SHAPE)
    np.testing.assert_allclose(applied(gaussian_blur(SHAPE, 2, boundary), ones), ones)
    np.testing.assert_allclose(applied(motion_blur(SHAPE, 5, 20, boundary), ones), ones)


@pytest.mark.parametrize("angles", [[0.0], [0.0, 90.0], [10.0, 55.0, 130.0]])
def test_radon_agrees_with_scikit_image(angles: list[float]) -> None:
    square = np.random.default_rng(1).random((8, 8))
    operator = radon((8, 8), np.array(angles))
    assert operator.y_shape[0] == len(angles)
    expected = reference_radon(square, theta=np.array(angles), circle=False).T
    np.testing.assert_allclose(applied(operator, square), expected, atol=1e-12)


def test_views_from_the_axes_are_sums_of_columns_and_rows() -> None:
    square = np.random.default_rng(2).random((8, 8))
    columns, rows = applied(radon((8, 8), np.array([0.0, 90.0])), square)
    for view, sums in ((columns, square.sum(0)), (rows, square.sum(1))):
        inside = view[np.abs(view) > 1e-9]
        assert any(np.allclose(inside, order, atol=1e-8) for order in (sums, sums[::-1]))


@pytest.mark.parametrize(
    "operator",
    [
        gaussian_blur(SHAPE, 1.5, "reflect"),
        motion_blur(SHAPE, 4, 25, "zero"),
        radon((8, 8), np.array([0.0, 50.0])),
        block_mean((6, 9), 3),
        selection(SHAPE, torch.arange(63).reshape(SHAPE) % 4 == 1),
        gaussian_blur((96, 128), 1.5, "reflect"),
    ],
    ids=["gaussian", "motion", "radon", "block means", "selection", "gaussian without a matrix"],
)
def test_adjoint_identity(operator: Operator) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels, seen = prod(operator.shape), prod(operator.y_shape)
    x = torch.randn(2, 3, pixels, dtype=torch.float64, generator=generator)
    y = torch.randn(2, 3, seen, dtype=torch.float64, generator=generator)
    there, back = operator.forward(x), operator.adjoint(y)
    assert (there.shape, back.shape) == (y.shape, x.shape)
    assert torch.allclose((there * y).sum(-1), (x * back).sum(-1))
    if operator.entries < 10**5:
        assert torch.allclose(there, x @ operator.matrix.T)
        assert torch.allclose(back, y @ operator.matrix)


def test_a_blur_wider_than_the_image_is_refused() -> None:
    with pytest.raises(UsageError, match="wider than the 8x8 image; choose at most 4"):
        gaussian_blur((8, 8), 4.1, "reflect")
    with pytest.raises(UsageError, match="longer than the 8x8 image; choose at most 8"):
        motion_blur((8, 8), 9, 0, "reflect")


def test_no_view_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 view"):
        radon((8, 8), np.array([]))


def test_a_matrix_that_is_too_large_is_refused() -> None:
    with pytest.raises(UsageError, match="--set size=32"):
        motion_blur((128, 128), 3, 0, "reflect")
    with pytest.raises(UsageError, match="--set size=32"):
        _ = gaussian_blur((128, 128), 1, "reflect").matrix


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_blur_without_a_matrix_is_that_of_scipy(boundary: Boundary) -> None:
    x = np.random.default_rng(3).random((96, 128))
    mode = "constant" if boundary == "zero" else boundary
    expected = gaussian_filter(x, 2.5, mode=mode)
    operator = gaussian_blur((96, 128), 2.5, boundary)
    assert "matrix" not in operator.__dict__
    np.testing.assert_allclose(mapped(operator, x), expected, atol=1e-12)


def test_block_means_are_those_of_scikit_image() -> None:
    x = np.random.default_rng(4).random((3, 12, 18))
    expected = np.stack([downscale_local_mean(one, (6, 6)) for one in x])
    np.testing.assert_allclose(mapped(block_mean((12, 18), 6), x), expected, atol=1e-12)


def test_a_selection_shows_the_pixels_of_its_mask() -> None:
    x, seen = image(), image(1) < 0.3
    operator = selection(SHAPE, torch.from_numpy(seen))
    assert operator.y_shape == (seen.sum(),)
    np.testing.assert_array_equal(mapped(operator, x), x[seen])
    back = operator.adjoint(torch.from_numpy(x[seen])).reshape(SHAPE).numpy()
    np.testing.assert_array_equal(back, np.where(seen, x, 0))


def test_blocks_and_masks_that_do_not_fit_are_told() -> None:
    with pytest.raises(UsageError, match=r"the 8x12 image; choose a factor among 2, 4$"):
        block_mean((8, 12), 3)
    with pytest.raises(UsageError, match="none: crop the image"):
        block_mean((7, 9), 3)
    for mask in (torch.zeros(4, 4), torch.ones(4, 4)):
        with pytest.raises(
            UsageError, match=r"of the 16 pixels are seen; at least one is.*seen=0\.2"
        ):
            selection((4, 4), mask)
