"""psnr and ssim on small images: definitions written out, and the window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Generator

from cwbench.metrics.images import (
    PeakSignalToNoiseRatio,
    StructuralSimilarity,
    similarity,
    window,
)


def images(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def imaging(*x_shape):
    return SimpleNamespace(x_shape=x_shape)


def written_out(a, b, size):
    """Structural similarity of two planes `(H, W)` with a loop over the windows inside."""
    offset = np.arange(size) - size // 2
    bell = np.exp(-(offset**2) / (2 * (1.5 * size / 11) ** 2))
    w = np.outer(bell, bell) / bell.sum() ** 2
    values = []
    for i in range(a.shape[0] - size + 1):
        for j in range(a.shape[1] - size + 1):
            p, q = a[i : i + size, j : j + size], b[i : i + size, j : j + size]
            mean_p, mean_q = (w * p).sum(), (w * q).sum()
            var_p, var_q = (w * p**2).sum() - mean_p**2, (w * q**2).sum() - mean_q**2
            cov = (w * p * q).sum() - mean_p * mean_q
            values.append(
                (2 * mean_p * mean_q + 1e-4)
                * (2 * cov + 9e-4)
                / ((mean_p**2 + mean_q**2 + 1e-4) * (var_p + var_q + 9e-4))
            )
    return np.mean(values)


@pytest.mark.parametrize("side", [8, 16, 28])
def test_similarity_is_its_definition(side):
    a, b = (images(side, side, seed=seed).numpy() for seed in (0, 1))
    found = similarity(a[None], b[None], window(side))
    assert found == pytest.approx(written_out(a, b, window(side)), rel=1e-9)


@pytest.mark.parametrize(
    ("side", "size"), [(3, 3), (4, 3), (7, 3), (8, 5), (16, 9), (20, 11), (28, 11), (256, 11)]
)
def test_window_is_odd_and_fits(side, size):
    assert window(side) == size <= side


def test_ratio_of_a_known_error():
    """Errors of 0.1 everywhere are 20 dB; the mean of all samples counts, not each sample."""
    x = images(2, 1, 8, 8)
    noise = images(2, 5, 1, 8, 8, seed=1) - 0.5
    samples = x[:, None] + 0.1 + noise - noise.mean(dim=1, keepdim=True)
    y = torch.zeros(2, 1)
    assert PeakSignalToNoiseRatio(imaging(1, 8, 8)).score(samples, x, y).tolist() == pytest.approx(
        [20.0, 20.0]
    )
    one = PeakSignalToNoiseRatio(imaging(1, 8, 8)).score(x[:, None] + 0.01, x, y)
    assert one.tolist() == pytest.approx([40.0, 40.0])


def test_similarity_is_of_the_mean_and_over_channels():
    x = images(2, 3, 12, 10)
    noise = images(2, 5, 3, 12, 10, seed=1) - 0.5
    noise = noise - noise.mean(dim=1, keepdim=True)
    metric, y = StructuralSimilarity(imaging(3, 12, 10)), torch.zeros(2, 1)
    assert metric.score(x[:, None] + noise, x, y).tolist() == pytest.approx([1.0, 1.0])
    blurred = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    score = metric.score(blurred[:, None], x, y)
    planes = [
        np.mean([written_out(blurred[i, c].numpy(), x[i, c].numpy(), 5) for c in range(3)])
        for i in range(2)
    ]
    assert score.tolist() == pytest.approx(planes, rel=1e-9)
    assert (score < 0.5).all()


def test_neither_ranks_and_both_point_upwards():
    for metric in (PeakSignalToNoiseRatio, StructuralSimilarity):
        assert not metric.info.ranks
        assert metric.info.direction == "higher"
