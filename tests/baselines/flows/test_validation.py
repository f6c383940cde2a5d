"""Choosing the network with the lowest validation loss, where a preset asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

import cwbench
from cwbench.reporting.run_figures import subject_of
from cwbench_baselines.flows.flow import BaseFlow
from cwbench_baselines.flows.loss import LowestLoss

OVERFIT = {
    "preset.training_pairs": 40, "preset.steps": 1200, "preset.batch_size": 40,
    "preset.width": 256, "preset.decay": False, "preset.observations": 2,
}  # fmt: skip


def test_the_lowest_loss_is_restored() -> None:
    network = torch.nn.Linear(1, 1)
    best = LowestLoss(network)
    for loss, weight in ((3.0, 1.0), (1.0, 2.0), (2.0, 3.0)):
        torch.nn.init.constant_(network.weight, weight)
        best.consider(loss)
    again = LowestLoss(network)
    again.load_state_dict(best.state_dict())
    again.restore()
    assert network.weight.item() == 2.0


@pytest.mark.slow
def test_a_flow_that_memorises_its_pairs_is_stopped_in_time(tmp_path: Path) -> None:
    """On 40 pairs the last network is overfitted; the chosen one predicts fresh pairs better."""
    options = {"preset": "smoke", "nfe": [3], "results": tmp_path, "quiet": True, "figures": False}
    task = cwbench.load_task("gaussian-mixture-informative")
    generator = torch.Generator().manual_seed(0)
    x, y = task.sample_joint(4000, generator)
    z, t = torch.randn(x.shape, generator=generator), torch.rand(len(x), generator=generator)
    losses, passes = [], set()
    for validation_pairs in (0, 1000):
        settings = OVERFIT | {"validation_pairs": validation_pairs}
        record = cwbench.run(task.info.name, "fm", settings=settings, **options)
        method = cast("BaseFlow", subject_of(record).method)
        with torch.no_grad():
            losses.append(method.loss(z, x, y, t).item())
        passes.add(record.cost["network_passes"])
    assert losses[1] < 0.9 * losses[0]
    assert len(passes) == 1
