"""The grid of classes: every image in its place, whatever it holds."""

from __future__ import annotations

import numpy as np
import pytest

from cwbench.errors import UsageError
from cwbench.reporting.figures import class_grid


def pictures(figure) -> list[np.ndarray]:
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_is_the_real_image_and_the_draws(channels: int) -> None:
    random = np.random.default_rng(0)
    drawn = random.uniform(-1, 1, (3, 4, channels, 8, 8))
    real = random.uniform(-1, 1, (3, channels, 8, 8))
    shown = pictures(class_grid(drawn, real, ["a", "b", "c"], title="t"))
    assert len(shown) == 15
    for row in range(3):
        expected = [real[row], *drawn[row]]
        for picture, image in zip(shown[5 * row : 5 * row + 5], expected, strict=True):
            pixels = (image + 1) / 2
            wanted = pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)
            assert np.allclose(picture, wanted)


def test_values_beyond_are_clipped_and_what_is_not_finite_is_white() -> None:
    drawn = np.full((2, 1, 1, 8, 8), 7.0)
    drawn[1] = np.nan
    shown = pictures(class_grid(drawn, np.zeros((2, 1, 8, 8)), ["a", "b"], title="t"))
    assert [picture.min() for picture in shown] == [0.5, 1, 0.5, 1]


def test_shapes_that_do_not_agree_are_refused() -> None:
    with pytest.raises(UsageError, match=r"draws of shape \(2, 1, 1, 8, 8\) and real"):
        class_grid(np.zeros((2, 1, 1, 8, 8)), np.zeros((3, 1, 8, 8)), ["a", "b"], title="t")
