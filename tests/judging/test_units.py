"""Coordinates that distances in the task's units cannot see are warned of."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cwbench import registry
from cwbench.judging.by_observation import ObservationJudge
from cwbench.judging.units import distance_units, scale_facts
from cwbench.preset import Preset
from cwbench.records.tables import SCALES_APART, run_table
from cwbench.samples import JointSamples
from cwbench.task import Task, TaskInfo, UnitParams


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


class Thousand(Task):
    """Two independent standard normal unknowns, the second in units a thousand times larger."""

    info = TaskInfo("thousand", 1, "", "ew2sq", "", "", presets={})
    Params = UnitParams
    x_shape, y_shape, unit = (2,), (1,), torch.tensor([1.0, 1e-3])

    def sample_joint(self, n, generator):
        u = torch.randn(n, 2, generator=generator)
        return JointSamples(self.unit * u, u[:, :1])

    def sample_posterior(self, y, n, generator):
        return self.unit * torch.randn(len(y), n, 2, generator=generator)


@pytest.mark.parametrize("distances", ["task", "standardised"])
def test_distances_in_deviations_see_a_small_coordinate(distances) -> None:
    """A shift by one deviation has W_2^2 = 1 in deviations, and 1e-6 in the task's units."""
    sizes = Preset(training_pairs=1, steps=1, observations=4, samples=300)
    judge = ObservationJudge(Thousand(UnitParams(distances=distances)), sizes)
    draws = judge.task.sample_posterior(judge.observations.y, 600, torch.Generator().manual_seed(0))
    shifted = draws + torch.tensor([0.0, 1e-3])
    metric = registry.load_metric("ew2sq")(judge.task)
    exact, moved = (float(judge.score(metric, s).value.mean()) for s in (draws, shifted))
    assert moved - exact == pytest.approx(1.0 if distances == "standardised" else 1e-6, rel=0.25)
    if distances == "standardised":
        assert distance_units(judge.task).numpy() == pytest.approx([1, 1e-3], rel=0.03)
