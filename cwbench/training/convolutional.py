"""A small convolutional network for images, with the interface of a multilayer perceptron.

It takes the joined features that a perceptron would, `(n, sum of the parts)`: parts that are as
long as an image are images, stacked as channels, and the others (times, codes) are embedded and
added to every residual block. So a method does not know which network it was given.

The shape is that of a U-Net on 2x2 patches: residual blocks at half and quarter resolution with a
skip between them. Full resolution would triple the time of a step on a processor.

U-Net: Convolutional Networks for Biomedical Image Segmentation (Ronneberger, Fischer, Brox, 2015),
https://arxiv.org/abs/1505.04597
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 2
LEVELS = (1, 2)
"""Channels at half and quarter resolution, in units of the first."""

GROUPS = 4


class ResidualBlock(nn.Module):
    """Two convolutions that see the embedded scalars, added to their input."""

    def __init__(self, channels_in: int, channels: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(GROUPS, channels_in), nn.SiLU(), nn.Conv2d(channels_in, channels, 3, 1, 1)
        )
        self.shift = nn.Linear(embedding, channels)
        self.second = nn.Sequential(
            nn.GroupNorm(GROUPS, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, 1, 1)
        )
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else None

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        """`(n, channels_in, h, w)` and `(n, embedding)` to `(n, channels, h, w)`."""
        skipped = image if self.skip is None else self.skip(image)
        shifted = self.first(image) + self.shift(code)[:, :, None, None]
        result: Tensor = skipped + self.second(shifted)
        return result


class ConvolutionalNetwork(nn.Module):
    """From `(n, sum(parts))` to an image `(n, outputs)`, or to that many numbers after pooling.

    Args:
        parts: sizes of what is joined in the input, in order.
        outputs: entries of the output, an image if it has as many as `image_shape`.
        image_shape: `(channels, height, width)`, the sides even.
        channels: at half resolution, a multiple of 4.
    """

    def __init__(
        self,
        parts: Sequence[int],
        outputs: int,
        *,
        image_shape: tuple[int, int, int],
        channels: int,
    ) -> None:
        super().__init__()
        self.parts, self.image_shape, self.outputs = tuple(parts), image_shape, outputs
        self.size = int(torch.Size(image_shape).numel())
        images = sum(part == self.size for part in parts)
        scalars = sum(part for part in parts if part != self.size)
        widths = [channels * level for level in LEVELS]
        embedding = widths[-1]
        self.embed = nn.Sequential(nn.Linear(max(1, scalars), embedding), nn.SiLU())
        self.enter = nn.Conv2d(images * image_shape[0], channels, 2 * PATCH, PATCH, PATCH // 2)
        self.down = nn.ModuleList(
            ResidualBlock(a, b, embedding) for a, b in pairwise([channels, *widths])
        )
        self.up = nn.ModuleList(
            ResidualBlock(below + here, here, embedding) for here, below in pairwise(widths)
        )
        self.leave: nn.Module = nn.Linear(channels, outputs)
        if outputs == self.size:
            subpixels = nn.Conv2d(channels, PATCH**2 * image_shape[0], 3, 1, 1)
            self.leave = nn.Sequential(subpixels, nn.PixelShuffle(PATCH))

    def forward(self, features: Tensor) -> Tensor:
        """`(n, sum(parts))` to `(n, outputs)`."""
        image, code = self._parted(features)
        image, skips = self.enter(image), []
        for level, block in enumerate(self.down):
            if level:
                skips.append(image)
                image = functional.avg_pool2d(image, 2, ceil_mode=True)
            image = block(image, code)
        for block, skip in zip(reversed(self.up), reversed(skips), strict=True):
            image = functional.interpolate(image, skip.shape[-2:])
            image = block(torch.cat([image, skip], 1), code)
        image = functional.silu(image)
        if self.outputs == self.size:
            return torch.flatten(self.leave(image), 1)
        pooled: Tensor = self.leave(image.mean((2, 3)))
        return pooled

    def _parted(self, features: Tensor) -> tuple[Tensor, Tensor]:
        parts = features.split(self.parts, dim=1)
        images = [p.unflatten(1, self.image_shape) for p in parts if p.shape[1] == self.size]
        scalars = [p for p in parts if p.shape[1] != self.size]
        joined = torch.cat(scalars, 1) if scalars else features.new_zeros(len(features), 1)
        code: Tensor = self.embed(joined)
        return torch.cat(images, 1), code
