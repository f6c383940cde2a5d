"""What plugins are handed is theirs to spoil, what they return stays: no number of a run moves."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Generator, Tensor
from torch.utils.data import TensorDataset

import cwbench
from cwbench.door import Behind, HandedData, copied
from cwbench.judging.judge import Judge
from cwbench.method import take, tensors_of
from cwbench.metrics.wasserstein import W2Squared
from cwbench.preset import Preset

TASK = cwbench.load_task("gaussian-linear")
PRESET = Preset(training_pairs=1, steps=1, observations=9, samples=20)


def evaluate(sampler: Callable[..., Any], **options: Any) -> cwbench.Record:
    options = {"quiet": True, "figures": False} | options
    return cwbench.evaluate(sampler, "gaussian-linear", "smoke", **options)


def test_a_sampler_that_edits_its_y_in_place_scores_as_one_that_does_not(results: Path) -> None:
    def in_place(y: Tensor, n: int, generator: Generator) -> Tensor:
        return TASK.sample_posterior(y.sub_(1.0), n, generator)

    def outside(y: Tensor, n: int, generator: Generator) -> Tensor:
        return TASK.sample_posterior(y - 1.0, n, generator)

    spoilt, sound = (evaluate(f, name="mine").metrics for f in (in_place, outside))
    assert spoilt == sound
    assert spoilt["ew2sq"].value > 3  # of a sampler that is off by a whole unit of y
    assert abs(evaluate(TASK.sample_posterior, name="exact").value("ew2sq")) < 0.1


def test_samples_of_one_nfe_are_not_overwritten_by_those_of_the_next(results: Path) -> None:
    buffer: dict[Any, Tensor] = {}

    def draw(y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor:
        return TASK.sample_posterior(y, n, generator) + 1 / nfe

    def reusing(y: Tensor, n: int, generator: Generator, nfe: int) -> Tensor:
        x = draw(y, n, generator, nfe)
        return buffer.setdefault(x.shape, torch.empty_like(x)).copy_(x)

    one, other = (evaluate(f, name="mine", nfe=[1, 5]) for f in (draw, reusing))
    assert one.metrics == other.metrics
    assert one.value("ew2sq", 1) > 10 * one.value("ew2sq", 5)


def test_a_metric_that_edits_what_it_is_handed_leaves_the_others_as_they_are() -> None:
    class Spoiling(W2Squared):
        def distance(self, a: Tensor, b: Tensor) -> Tensor:
            value = super().distance(a, b)
            a.zero_(), b.zero_()
            return value

        def resolution(self, floor: Tensor, b: Tensor) -> Tensor | None:
            value = super().resolution(floor, b)
            floor.zero_(), b.zero_()
            return value

    judge = Judge(TASK, PRESET)
    samples = TASK.sample_posterior(judge.observations.y, 40, Generator().manual_seed(0)) + 0.5
    before = judge.score(W2Squared(TASK), samples)
    spoilt = judge.score(Spoiling(TASK), samples)
    after = judge.score(W2Squared(TASK), samples)
    for scores in (spoilt, after):
        assert torch.equal(scores.value, before.value)
        assert torch.equal(scores.floor, before.floor)
        assert torch.equal(scores.resolution, before.resolution)


def test_a_judge_hands_out_copies_and_draws_its_reference_when_it_is_told() -> None:
    judge = Judge(TASK, PRESET)
    judge.settle()
    first = judge.observations
    first.y.zero_()
    first.x.zero_()
    again = judge.observations
    assert float(again.y.abs().min()) > 0
    assert torch.equal(judge.reference[0], Judge(TASK, PRESET).reference[0])


class Pair(NamedTuple):
    x: Tensor
    y: np.ndarray


def test_copies_go_as_deep_as_tuples_lists_and_dicts() -> None:
    pair = Pair(torch.zeros(2), np.zeros(2))
    kept = {"a": [pair, (torch.zeros(1),)], "b": "text"}
    copy = copied(kept)
    copy["a"][0].x.add_(1)
    copy["a"][0].y[:] = 1
    copy["a"][1][0].add_(1)
    assert isinstance(copy["a"][0], Pair)
    assert float(pair.x.sum() + pair.y.sum() + kept["a"][1][0].sum()) == 0


def test_training_data_behind_the_door_is_the_same_and_safe() -> None:
    x, y = torch.arange(6.0).reshape(3, 2), torch.arange(3.0)[:, None]
    handed = HandedData(TensorDataset(x, y))
    assert len(handed) == 3
    assert torch.equal(handed[1][0], x[1])
    assert all(map(torch.equal, tensors_of(handed), (x, y)))
    handed[0][0].add_(9)
    handed.tensors[0].add_(9)
    assert torch.equal(take(handed, torch.tensor([2])).x, x[2:] + 9)  # its own tensors, edited
    assert torch.equal(x, torch.arange(6.0).reshape(3, 2))
    with pytest.raises(AttributeError):
        _ = handed.absent


def test_a_task_behind_the_door_keeps_its_own_tensors() -> None:
    y = TASK.sample_joint(2, Generator().manual_seed(0)).y
    granted = Behind(TASK)
    granted.posterior_moments(y).covariance.zero_()
    assert float(granted.posterior_moments(y).covariance.abs().sum()) > 0


def test_a_method_that_standardises_its_data_and_settings_in_place_spoils_no_task(
    results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "spoiling.py"
    file.write_text(
        textwrap.dedent('''
        import torch
        from pydantic import Field
        from cwbench import JointSamples, Method, MethodInfo, Params, Task, TaskInfo
        from cwbench.preset import vector_presets
        from torch.utils.data import TensorDataset

        STORED = torch.randn(2, 5_000, 2, generator=torch.Generator().manual_seed(0))

        class Stored(Task):
            """Pairs from a table that is in memory."""

            info = TaskInfo("stored", 1, "Stored", "energy-score", "MIT", "none", vector_presets())
            x_shape = y_shape = (2,)

            def sample_joint(self, n, generator):
                return JointSamples(STORED[0, :n], STORED[0, :n] + STORED[1, :n])

        class Settings(Params):
            """Settings."""

            widths: list[int] = Field([1], description="layers")

        class Spoiling(Method):
            """Centres its data where it lies."""

            info = MethodInfo("spoiling", 1, "Spoiling", "none")
            Params = Settings

            def fit(self, data, context):
                x, y = data.tensors
                x.zero_(), y.zero_()
                self.params.widths.append(2)

            def sample(self, y, n, generator, nfe=None):
                return torch.zeros(len(y), n, 2)

            def state_dict(self):
                return {}

            def load_state_dict(self, state):
                pass
    ''')
    )
    record = cwbench.run(f"{file}:Stored", f"{file}:Spoiling", "smoke", quiet=True, figures=False)
    assert record.status == "ok", record.error
    assert record.method["params"] == {"widths": [1]}
    x = torch.randn(2, 5_000, 2, generator=Generator().manual_seed(0))[0, :8].double()
    assert record.value("energy-score") == pytest.approx(float(x.norm(dim=1).mean()), rel=1e-6)
