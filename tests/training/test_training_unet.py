"""The U-Nets: rows apart, classes and no class, sizes of the published recipes."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch import Tensor

from cwbench.api import load_method, load_task
from cwbench.errors import UsageError
from cwbench.running.request import problem_spec
from cwbench.samples import ImageSet
from cwbench.training.context import TrainingContext
from cwbench.training.convolutional import ConvolutionalNetwork
from cwbench.training.loop import Trainer
from cwbench.training.networks import Meter, networks_of
from cwbench.training.unet import RECIPES, Recipe, UNet
from cwbench_baselines.flows import diagnosis
from cwbench_tasks.cifar10 import CIFAR10
from cwbench_tasks.labelled_images import LabelledImages

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


class Photographs(LabelledImages):
    """Four images of 32x32 pixels with the presets of CIFAR-10."""

    info = CIFAR10.info
    class_names = ("a", "b")

    def load(self, part: str) -> ImageSet:
        pixels = torch.randint(256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
        return ImageSet(pixels.to(torch.uint8), torch.arange(4) % 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "bfloat16"), [("standard", True), ("standard", False), ("paper", False)]
)
def test_a_published_recipe_takes_two_steps_and_draws(
    preset: str, bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a preset fixes is at work: a network of full size, warm-up, clipping, averaging."""
    monkeypatch.setattr(diagnosis, "PATHS", 1)
    monkeypatch.setattr(diagnosis, "PATH_STEPS", 1)
    task = Photographs()
    published = task.info.presets[preset]
    warmup = min(published.warmup, 2)  # thousands of steps of warm-up would move nothing in two
    values = published.model_copy(
        update={"steps": 2, "batch_size": 1, "bfloat16": bfloat16, "warmup": warmup}
    )
    meter = Meter()
    chosen = load_method("fm")
    spec = problem_spec(task, chosen.cls, chosen.params, values, meter, torch.device("cpu"))
    method = chosen.cls(chosen.params, spec)
    monkeypatch.setattr(type(method), "diagnose", lambda *_: {})
    rates: list[float] = []
    after: list[list[Tensor]] = []

    def step(self: Trainer, loss: Tensor) -> bool:
        assert 0.5 < float(loss.detach()) < 5  # noise and pixels of about unit variance
        taken = done(self, loss)
        rates.append(self.optimizer.param_groups[0]["lr"])
        after.append([p.detach().clone() for p in self.parameters])
        return taken

    done = Trainer.step
    monkeypatch.setattr(Trainer, "step", step)
    context = TrainingContext(
        task.training_data(4, torch.Generator()), values, ("t", 0), spec.network
    )
    fresh = [p.detach().clone() for p in context.network((3072, 1, 2), 3072).parameters()]
    meter.passes = 0
    method.fit(context.data, context)
    assert rates == pytest.approx([1e-4, 2e-4] if warmup else [2e-4] * 2)
    moves = [float((a - b).abs().max()) for a, b in zip(after[1], fresh, strict=True)]
    assert max(moves) < 2.1 * sum(rates)  # Adam's first steps are of about the rate each
    assert sum(move > 0 for move in moves) > 0.95 * len(moves)  # of classes but those shown too
    d = 0.9999  # of the average, in which the weights before training have no share
    for kept, one, two in zip(method.velocity.network.parameters(), *after, strict=True):
        torch.testing.assert_close(kept.detach(), (d * one + two) / (1 + d))
    x = method.sample(torch.tensor([1]), 1, torch.Generator().manual_seed(0), 2)
    assert x.shape == (1, 1, 3, 32, 32)
    assert bool(x.isfinite().all())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_is_the_same_function_with_the_same_weights() -> None:
    plain, compiled, x = network(), network(compiled=True), features()
    assert list(plain.state_dict()) == list(compiled.state_dict())
    outputs = [net(x) for net in (plain, compiled)]
    assert torch.allclose(*outputs, atol=1e-4)
    for out in outputs:
        out.square().mean().backward()
    for a, b in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, atol=1e-4)


def test_sides_that_cannot_be_halved_are_refused() -> None:
    task = load_task("digits")
    preset = task.info.presets["smoke"].model_copy(update={"network": "unet-192"})
    networks_of(task, preset, Meter())
    deblurring = load_task("gaussian-linear")
    with pytest.raises(UsageError, match=r"network=mlp"):
        networks_of(deblurring, preset, Meter())
