"""The meter against counts made by hand, and what a network is fed."""

from __future__ import annotations

import torch
from torch import nn

from cwbench.preset import Preset
from cwbench.training.networks import Condition, Meter, Networks

PRESET = Preset(training_pairs=1, steps=1, width=7, depth=2, observations=2, samples=2)


def metered() -> tuple[Meter, nn.Module]:
    meter = Meter()
    return meter, Networks(PRESET, meter)(3, 1)


def test_forward_counts_one() -> None:
    meter, network = metered()
    with torch.no_grad():
        network(torch.zeros(10, 3))
    assert (meter.evaluations, meter.passes) == (10, 10)


def test_backward_counts_two_more() -> None:
    meter, network = metered()
    network(torch.zeros(10, 3)).sum().backward()
    assert (meter.evaluations, meter.passes) == (10, 30)


def test_a_forward_that_is_not_followed_back_counts_one() -> None:
    meter, network = metered()
    network(torch.zeros(10, 3))
    assert meter.passes == 10


def test_gradient_penalty_counts_three_more() -> None:
    meter, network = metered()
    x = torch.randn(10, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
    ((gradient.norm(dim=1) - 1) ** 2).mean().backward()
    assert (meter.evaluations, meter.passes) == (10, 60)


def test_all_networks_share_one_meter() -> None:
    meter = Meter()
    make = Networks(PRESET, meter)
    generator, critic = make(2, 2), make(2, 1)
    critic(generator(torch.zeros(5, 2))).sum().backward()
    assert meter.passes == 5 * (1 + 1) + 5 * (2 + 2)


def test_network_has_the_layers_of_the_preset() -> None:
    _, network = metered()
    assert sum(p.numel() for p in network.parameters()) == (3 + 1) * 7 + (7 + 1) * 7 + (7 + 1)
    assert [type(layer) for layer in network] == [
        nn.Linear, nn.SiLU, nn.Linear, nn.SiLU, nn.Linear,
    ]  # fmt: skip


def test_residual_blocks_add_a_change_made_by_four_times_the_width() -> None:
    preset = PRESET.model_copy(update={"network": "residual", "activation": "gelu"})
    network = Networks(preset, Meter())(3, 2)
    block = (7 + 1) * 28 + (28 + 1) * 7
    assert sum(p.numel() for p in network.parameters()) == (3 + 1) * 7 + 2 * block + (7 + 1) * 2
    value = dict(network.named_parameters())
    x = torch.randn(5, 3)
    h = x @ value["0.weight"].T + value["0.bias"]
    for place in (1, 2):
        first, second = f"{place}.change.0", f"{place}.change.2"
        inside = h @ value[f"{first}.weight"].T + value[f"{first}.bias"]
        hidden = inside * (1 + torch.erf(inside / 2**0.5)) / 2
        h = h + hidden @ value[f"{second}.weight"].T + value[f"{second}.bias"]
    expected = h @ value["3.weight"].T + value["3.bias"]
    assert torch.allclose(network(x), expected, atol=1e-5)


def test_condition_is_standardised_by_the_training_conditions() -> None:
    y = 5 + 3 * torch.randn(1_000, 2, 2)
    y[:, 1, 1] = 4.0
    condition = Condition((2, 2), None)
    condition.fit(y)
    fed = condition(y)
    assert fed.shape == (1_000, 4)
    assert torch.allclose(fed.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(fed.std(0)[:3], torch.ones(3), atol=1e-5)
    assert torch.equal(fed[:, 3], torch.zeros(1_000))


def test_class_labels_are_fed_one_hot() -> None:
    condition = Condition((), 3)
    condition.fit(torch.tensor([0, 1]))
    assert condition(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]
