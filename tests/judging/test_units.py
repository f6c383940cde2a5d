"""Coordinates that distances in the task's units cannot see are warned of."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cwbench.judging.units import scale_facts
from cwbench.records.tables import SCALES_APART, run_table


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_scales_further_apart_than_a_hundred_are_a_fact_with_their_ratio() -> None:
    facts = scale_facts(normal(4_000, 3) * torch.tensor([2.0, 2e-3, 0.0]) + 7)
    assert facts == {SCALES_APART: pytest.approx(1_000, rel=0.05)}
    assert scale_facts(normal(4_000, 2) * torch.tensor([1.0, 0.02])) == {}
    assert scale_facts(normal(4_000, 1)) == scale_facts(torch.zeros(10, 2)) == {}


def test_images_count_by_channel() -> None:
    """A corner that is almost always black is no unit of its own; a channel is."""
    x = normal(100, 2, 4, 4)
    x[:, :, 0, 0] *= 1e-4
    assert scale_facts(x) == {}
    x[:, 1] *= 1e-3
    assert scale_facts(x)[SCALES_APART] > 500


def test_the_table_of_a_run_warns_of_them(run) -> None:
    record = run("oracle")
    assert "warning" not in run_table(record)
    apart = dataclasses.replace(record, diagnostics={SCALES_APART: 1234.5})
    assert "differ in scale by a factor of 1.23e+03" in run_table(apart)
