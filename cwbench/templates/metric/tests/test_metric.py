"""The contract of cwbench, a test a check, and a value that is known."""

from __future__ import annotations

import math

import torch
from cwbench.check import MetricChecks

from plugin_module.metric import PluginClass, mean_log


class TestPluginClass(MetricChecks):
    metric = PluginClass


def test_two_points_at_distance_one() -> None:
    a, b = torch.zeros(1, 1, 2).double(), torch.tensor([[[1.0, 0.0]]]).double()
    assert math.isclose(float(mean_log(a, b)), math.log(2))
