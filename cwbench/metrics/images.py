"""What the imaging literature prints: how close the posterior mean is to the image behind y.

Both look at the mean of all samples alone, so the best method of all by them may have no spread;
they are shown and never rank. Values of x are taken to lie in about [0, 1]: the data range is 1,
and nothing is clipped. The mean of 2n samples adds 1 / (2n) of the posterior variance to the
squared error; the floor, that of the mean of as many exact draws, carries the same.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cwbench.metric import MetricInfo, PairMetric

WINDOW, SIGMA = 11, 1.5


class PeakSignalToNoiseRatio(PairMetric):
    """-10 log10 of the mean squared error of the posterior mean, in dB."""

    info: ClassVar = MetricInfo(
        name="psnr",
        version=1,
        title="peak signal-to-noise ratio of the posterior mean, in dB",
        direction="higher",
        needs=frozenset({"pairs", "image"}),
        citation="hore2010image",
        debiased=False,
        ranks=False,
        sees=frozenset({"shift", "weights", "atoms", "condition"}),
    )

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The ratio with shape `(m,)`; infinite where the mean is exactly x."""
        error = samples.double().mean(dim=1) - x.double()
        return -10 * error.square().flatten(1).mean(dim=1).log10()


class StructuralSimilarity(PairMetric):
    """Structural similarity of the posterior mean and x, mean over pixels and channels; 1 is equal.

    The usual Gaussian window of 11 pixels with deviation 1.5, shrunk in proportion on images below
    20 pixels: see `window`. Values of different image sizes do not compare.
    """

    info: ClassVar = MetricInfo(
        name="ssim",
        version=1,
        title="structural similarity of the posterior mean",
        direction="higher",
        needs=frozenset({"pairs", "image"}),
        citation="wang2004image",
        debiased=False,
        ranks=False,
        sees=frozenset({"shift", "weights", "atoms", "condition"}),
    )

    def score(self, samples: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The similarity with shape `(m,)`."""
        size = window(min(self.task.x_shape[1:]))
        pairs = zip(samples.double().mean(dim=1).numpy(), x.double().numpy(), strict=True)
        values = [similarity(mean, truth, size) for mean, truth in pairs]
        return torch.tensor(values, dtype=torch.float64)


def similarity(image: NDArray[np.float64], truth: NDArray[np.float64], size: int) -> float:
    """Structural similarity of two images `(C, H, W)` in a Gaussian window of `size` pixels."""
    from skimage.metrics import structural_similarity

    if not np.isfinite(image).all():
        return math.nan
    value = structural_similarity(
        image, truth, win_size=size, gaussian_weights=True, sigma=SIGMA * size / WINDOW,
        use_sample_covariance=False, data_range=1.0, channel_axis=0,
    )  # fmt: skip
    return float(value)


def window(side: int) -> int:
    """Pixels along the window: 11, but on small images the largest odd number up to side / 2 + 1.

    So 5 for a side of 8 and 9 for 16: half of the window's positions or more lie inside the image.
    """
    largest = max(3, min(WINDOW, side // 2 + 1))
    return largest - 1 + largest % 2
