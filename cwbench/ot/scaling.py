"""The affine map that gives a sample mean 0 and deviation 1, entry by entry or channel by channel.

All that is standardised, what networks are fed and what couplings compare alike, is so by the rule
of this file. A sample is centred in float64 before its spread is judged, and an entry is constant
where its deviation is below what float32 resolves at its size, 2^-23 of the largest magnitude: 2020
+- 0.001 is none. Subtracting the mean is exact there even in float32 (Sterbenz), so nothing more is
lost than was by writing the sample in float32.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from torch import Tensor

_RESOLVED = torch.finfo(torch.float32).eps

_IMAGE_AXES = 4
"""Of a sample of images, `(n, channels, height, width)`."""


class Spread(NamedTuple):
    """Mean, deviation and whether there is any, of each entry or channel, float64 and bool."""

    mean: Tensor
    deviation: Tensor
    varies: Tensor


def spread_of(sample: Tensor, *, by_channel: bool = False, correction: int = 1) -> Spread:
    """What each entry of a sample `(n, *shape)` is spread by; shapes broadcast against a row.

    Args:
        sample: with shape `(n, *shape)`, n at least 2.
        by_channel: images `(n, channels, height, width)` have one mean and deviation a channel.
        correction: what is taken off n in the variance.
    """
    axes = (0, 2, 3) if by_channel and sample.ndim == _IMAGE_AXES else (0,)
    values = sample.double()
    mean = values.mean(axes, keepdim=True)
    deviation = values.std(axes, correction=correction, keepdim=True)
    largest = torch.maximum(values.amax(axes, keepdim=True), -values.amin(axes, keepdim=True))
    return Spread(mean[0], deviation[0], (deviation > _RESOLVED * largest)[0])


class Scaling(NamedTuple):
    """x -> (x - mean) / deviation, and back; both broadcast against a row of x."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def identity(cls) -> Self:
        """The map that leaves everything as it is, to the bit."""
        return cls(torch.zeros(()), torch.ones(()))

    @classmethod
    def of(cls, sample: Tensor, *, by_channel: bool = False) -> Self:
        """The map, in float32, that standardises a sample; what is constant is only centred."""
        mean, deviation, varies = spread_of(sample, by_channel=by_channel)
        return cls(mean.float(), torch.where(varies, deviation, 1.0).float())

    @classmethod
    def pooled(cls, sample: Tensor) -> Self:
        """A mean for each entry, but one deviation for all, the root of their mean variance."""
        mean, deviation, varies = spread_of(sample)
        together = deviation.square().mean().sqrt()
        return cls(mean.float(), torch.where(varies.any(), together, 1.0).float())

    def __call__(self, x: Tensor) -> Tensor:
        """Standardised coordinates of x `(n, *shape)`."""
        return (x - self.mean) / self.deviation

    def inverse(self, x: Tensor) -> Tensor:
        """The x that has standardised coordinates `(n, *shape)`."""
        return self.mean + self.deviation * x
