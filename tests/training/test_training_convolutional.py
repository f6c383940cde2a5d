"""The convolutional network: what it sees as an image, and that rows do not mix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cwbench.api import load_task
from cwbench.errors import UsageError
from cwbench.preset import Preset
from cwbench.training.convolutional import ConvolutionalNetwork
from cwbench.training.networks import Condition, Meter, Networks, networks_of

SHAPE = (1, 12, 16)
SIZE = 12 * 16
PRESET = Preset(training_pairs=1, steps=1, width=256, depth=2, observations=2, samples=2)


def network(*parts: int, outputs: int = SIZE, shape: tuple[int, int, int] = SHAPE) -> nn.Module:
    torch.manual_seed(0)
    return ConvolutionalNetwork(parts, outputs, image_shape=shape, channels=8).double()


def features(*parts: int, rows: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, sum(parts), dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("parts", [(SIZE,), (SIZE, 1, SIZE), (SIZE, SIZE, SIZE), (3, SIZE, 2)])
@pytest.mark.parametrize("outputs", [SIZE, 1, 7])
def test_every_row_is_treated_alone(parts: tuple[int, ...], outputs: int) -> None:
    net, x = network(*parts, outputs=outputs), features(*parts)
    y = net(x)
    assert y.shape == (3, outputs)
    assert torch.allclose(net(x[1:2]), y[1:2])
    assert torch.allclose(net(x.flip(0)), y.flip(0))


def test_every_part_reaches_the_output() -> None:
    parts = (SIZE, 1, SIZE)
    net, x = network(*parts), features(*parts, rows=1).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).square().sum(), x)
    assert all(part.abs().sum() > 1e-6 for part in gradient.split(parts, dim=1))
    assert float((gradient != 0).double().mean()) == 1.0  # the skips see the whole image


@torch.no_grad()
def test_the_response_moves_with_the_image() -> None:
    """Convolutions commute with shifts of patches; normalisation tells a little of the border."""
    shape = (1, 32, 32)
    net = network(32 * 32, shape=shape, outputs=32 * 32)
    image = torch.zeros(1, *shape, dtype=torch.float64)
    image[0, 0, 14:16, 14:16] = 1
    blank, first, moved = (
        net(i.flatten(1)).reshape(32, 32) for i in (0 * image, image, image.roll((4, 4), (2, 3)))
    )
    inside = (slice(10, 20), slice(10, 20))
    response = (first - blank)[inside].abs().max()
    assert (first - moved.roll((-4, -4), (0, 1)))[inside].abs().max() < 0.1 * response


def test_the_penalty_can_be_differentiated_twice() -> None:
    net, x = network(SIZE, outputs=1), features(SIZE).requires_grad_()
    (gradient,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    (gradient.norm(dim=1) - 1).square().mean().backward()
    assert all(p.grad is not None for p in net.leave.parameters() if p.ndim > 1)


def test_small_images_and_vectors_get_a_perceptron() -> None:
    def shape_of(name: str, network: str = "auto", **settings: object) -> object:
        task = load_task(name, **settings)
        return networks_of(
            task, PRESET.model_copy(update={"network": network}), Meter()
        ).image_shape

    assert shape_of("gaussian-linear") is None
    assert shape_of("deblurring") is None
    assert shape_of("deblurring", "convolutional") == (1, 8, 8)
    assert shape_of("tomography", prior="patches") == (1, 16, 16)
    assert shape_of("tomography", "mlp", prior="patches") is None
    assert shape_of("tomography", "residual", prior="patches") is None
    with pytest.raises(UsageError, match=r"preset\.network=mlp"):
        shape_of("gaussian-linear", "convolutional")


def test_convolutional_networks_are_metered() -> None:
    meter = Meter()
    net = Networks(PRESET, meter, SHAPE)((SIZE, 1, SIZE), SIZE)
    net(torch.zeros(5, 2 * SIZE + 1)).sum().backward()
    assert (meter.evaluations, meter.passes) == (5, 15)


def test_images_are_fed_the_observation_projected_back() -> None:
    task = load_task("tomography", prior="patches")
    y = task.sample_joint(200, torch.Generator().manual_seed(0)).y
    condition = Condition(task.y_shape, None, task.back_projection)
    condition.fit(y)
    fed = condition(y)
    assert fed.shape == (200, 256)
    projected = task.back_projection(y)
    assert projected is not None
    flat = projected.flatten(1)
    expected = (flat - flat.mean(0)) / flat.std(0)
    varying = flat.std(0) > 1e-9
    assert torch.allclose(fed[:, varying], expected[:, varying], atol=1e-3)
