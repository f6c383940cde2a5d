"""The inverse of an autoregressive flow, entry by entry, against zuko's own."""

from __future__ import annotations

import pytest
import torch
import zuko
from torch import Generator

from cwbench_baselines.entrywise import inverted


@pytest.mark.parametrize(("size", "conditions"), [(1, 2), (2, 1), (7, 3)])
@pytest.mark.parametrize("hidden", [[16], [12, 20]])
def test_x_and_its_volume_are_those_of_zuko(size: int, conditions: int, hidden: list[int]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = zuko.flows.NSF(size, conditions, transforms=3, bins=6, hidden_features=hidden)
        for parameter in flow.parameters():
            parameter.data.mul_(2)  # far from the identity
    flow.double()
    generator = Generator().manual_seed(1)
    z = 2 * torch.randn(50, size, generator=generator).double()  # some beyond the splines
    c = torch.randn(50, conditions, generator=generator).double()
    assert float(z.abs().max()) > 5
    with torch.no_grad():
        x, volume = inverted(flow.transform.transforms, c, z)
        wanted, shrunk = flow(c).transform.inv.call_and_ladj(z)
    torch.testing.assert_close(x, wanted)
    torch.testing.assert_close(volume, -shrunk)
    assert float((x - z).abs().mean()) > 0.1
