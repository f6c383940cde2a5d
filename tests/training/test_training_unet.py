"""The U-Nets: rows apart, classes and no class, sizes of the published recipes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench.training.convolutional import ConvolutionalNetwork
from cwbench.training.networks import Meter, networks_of
from cwbench.training.unet import RECIPES, Recipe, UNet

SHAPE = (1, 8, 8)
PARTS = (64, 1, 10)
TINY = Recipe(8, (1, 2), 1, (4,))


def network(**options: bool) -> UNet:
    torch.manual_seed(0)
    return UNet(PARTS, SHAPE, TINY, **options).eval()


def features(rows: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 64, generator=generator)
    t = torch.rand(rows, 1, generator=generator)
    return torch.cat([x, t, torch.eye(10)[:rows]], 1)


@torch.no_grad()
def test_rows_are_treated_alone_and_every_part_is_seen() -> None:
    net, x = network(), features()
    out = net(x)
    assert out.shape == (4, 64)
    assert torch.allclose(net(x[2:3]), out[2:3], atol=1e-5)
    for part in (slice(0, 64), slice(64, 65), slice(65, 75)):
        changed = x.clone()
        changed[:, part] = changed[:, part].roll(1, 0)
        assert not torch.allclose(net(changed), out, atol=1e-4)


@torch.no_grad()
def test_no_class_is_an_embedding_of_its_own() -> None:
    net = network()
    none = features(1)
    none[:, 65:] = 0
    answers = [net(none)]
    for label in range(10):
        one = none.clone()
        one[:, 65 + label] = 1
        answers.append(net(one))
    different = torch.cat(answers)
    gaps = torch.cdist(different, different) + torch.eye(11)
    assert float(gaps.min()) > 1e-4


def test_every_weight_but_the_classes_not_shown_gets_a_gradient() -> None:
    net = network()
    net(features()).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


def test_recipes_have_the_size_that_is_published() -> None:
    """C2OT and the seed paper build on the DDPM U-Net: 35.7 M parameters at 128 channels."""
    counts = {}
    with torch.device("meta"):
        for channels in (128, 192, 256):
            recipe = Recipe(channels, (1, 2, 2, 2), 2, (16,))
            net = UNet((3072, 1), (3, 32, 32), recipe)
            counts[channels] = sum(p.numel() for p in net.parameters())
    assert counts[128] == pytest.approx(35.7e6, rel=0.01)
    assert RECIPES["unet-256"] == (256, (1, 2, 2, 2), 2, (16,))
    assert RECIPES["unet-192"] == (192, (1, 2, 2, 2), 2, (16, 8))


@torch.no_grad()
def test_channels_last_and_bfloat16_change_rounding_only() -> None:
    net, x = network(), features()
    assert net.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    exact = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x)
    assert float((rough.float() - exact).norm() / exact.norm()) < 0.03


def test_a_preset_names_the_network_and_a_critic_is_convolutional() -> None:
    task = load_task("digits")
    preset = task.info.presets["smoke"].model_copy(update={"network": "unet-small"})
    networks = networks_of(task, preset, Meter())
    assert isinstance(networks(PARTS, 64), UNet)
    assert isinstance(networks((64, 10), 64), UNet)  # a generator has no time
    assert isinstance(networks((64, 10), 1), ConvolutionalNetwork)


def test_sides_that_cannot_be_halved_are_refused() -> None:
    task = load_task("digits")
    preset = task.info.presets["smoke"].model_copy(update={"network": "unet-192"})
    networks_of(task, preset, Meter())
    deblurring = load_task("gaussian-linear")
    with pytest.raises(UsageError, match=r"network=mlp"):
        networks_of(deblurring, preset, Meter())
