"""diffusers' U-Net with a class embedding, behind the interface of a multilayer perceptron.

It takes the joined features a perceptron would: parts as long as an image are images, stacked as
channels; a part of one number is the time in [0, 1]; the remaining part is a class as one-hot, all
zeros for "no class", which has an embedding of its own.

The recipes are those of two papers on CIFAR-10, and a small one for processors:

* `unet-256`: Conditional Wasserstein Distances with Applications in Bayesian OT Flow Matching
  (Chemseddine, Hagemann, Steidl, Wald, 2025), https://arxiv.org/abs/2403.18705;
* `unet-192`: The Curse of Conditions (Cheng, Schwing, 2025), https://arxiv.org/abs/2503.10636.

Denoising Diffusion Probabilistic Models (Ho, Jain, Abbeel, 2020), https://arxiv.org/abs/2006.11239
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

TIME_SCALE = 1_000.0
"""Times of [0, 1] become the steps that the sinusoidal embedding was made for."""


class Recipe(NamedTuple):
    """Channels at full resolution, their multiples level by level, blocks a level.

    `attention` names the sides of feature maps that get attention.
    """

    channels: int
    multiples: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]


RECIPES = {
    "unet-256": Recipe(256, (1, 2, 2, 2), 2, (16,)),
    "unet-192": Recipe(192, (1, 2, 2, 2), 2, (16, 8)),
    "unet-small": Recipe(32, (1, 2, 2), 1, (8,)),
}

GROUPS = 32


class UNet(nn.Module):
    """From `(n, sum(parts))` to an image `(n, size)`.

    Args:
        parts: sizes of what is joined in the input, in order.
        image_shape: `(channels, height, width)`.
        recipe: of which network.
        compiled: whether torch compiles it at its first use.
    """

    def __init__(
        self,
        parts: Sequence[int],
        image_shape: tuple[int, int, int],
        recipe: Recipe,
        *,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DModel  # takes seconds

        self.parts, self.image_shape = tuple(parts), image_shape
        self.size = int(torch.Size(image_shape).numel())
        others = [part for part in parts if part not in (self.size, 1)]
        self.classes = sum(others)
        images = sum(part == self.size for part in parts)
        sides = [image_shape[1] // 2**level for level in range(len(recipe.multiples))]
        attends = [side in recipe.attention for side in sides]
        channels = tuple(recipe.channels * multiple for multiple in recipe.multiples)
        unet: Any = UNet2DModel(
            sample_size=image_shape[1],
            in_channels=images * image_shape[0],
            out_channels=image_shape[0],
            block_out_channels=channels,
            layers_per_block=recipe.blocks,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attends),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
            norm_num_groups=min(GROUPS, recipe.channels),
            num_class_embeds=self.classes + 1 if self.classes else None,
        )
        self.unet = unet.to(memory_format=torch.channels_last)
        if compiled:
            self.unet.compile()  # in place: the names of the weights stay

    def forward(self, features: Tensor) -> Tensor:
        """`(n, sum(parts))` to `(n, size)`."""
        parts = features.split(self.parts, dim=1)
        images = [p.unflatten(1, self.image_shape) for p in parts if p.shape[1] == self.size]
        times = [p[:, 0] for p in parts if p.shape[1] == 1]
        codes = [p for p in parts if p.shape[1] not in (self.size, 1)]
        image = torch.cat(images, 1).contiguous(memory_format=torch.channels_last)
        t = times[0] if times else features.new_zeros(len(features))
        label = None
        if codes:
            code = torch.cat(codes, 1)
            none = torch.full_like(t, self.classes, dtype=torch.long)
            label = torch.where(code.sum(1) > 0, code.argmax(1), none)
        velocity: Tensor = self.unet(image, t * TIME_SCALE, label, return_dict=False)[0]
        return velocity.contiguous().flatten(1)
