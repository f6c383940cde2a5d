"""What is kept for later runs is kept under all that decides it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import cwbench
from cwbench.check.faults import StoredTrial
from cwbench.errors import NoValueError
from cwbench.images import to_x
from cwbench.judging.by_image import ImageJudge, ImageScore
from cwbench.judging.failing import Failed
from cwbench.judging.judge import Judge
from cwbench.metric import ImageMetric, MetricInfo
from cwbench.metrics.wasserstein import W2Squared
from cwbench.preset import Preset
from cwbench.samples import ImageSet, Part

TASK = '''
    import torch
    from cwbench import JointSamples, Task, TaskInfo
    from cwbench.preset import vector_presets

    class Mine(Task):
        """X = S U, Y = U + E with U and E standard normal."""

        info = TaskInfo("mine", 1, "Mine", "ew2sq", "MIT", "none", vector_presets())
        x_shape = y_shape = (2,)

        def sample_joint(self, n, generator):
            u = torch.randn(n, 2, generator=generator)
            return JointSamples(S * u, u + torch.randn(n, 2, generator=generator))

        def sample_posterior(self, y, n, generator):
            noise = torch.randn(len(y), n, 2, generator=generator)
            return S * (y[:, None] / 2 + 0.5**0.5 * noise)
'''


def exact(file: str, results: Path) -> cwbench.Record:
    task = cwbench.load_task(file)
    return cwbench.evaluate(
        task.sample_posterior, file, "smoke", name="exact", results=results, quiet=True,
        figures=False,
    )  # fmt: skip


def test_a_task_file_that_was_edited_is_judged_by_its_own_floors(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = textwrap.dedent(TASK)
    path.write_text(text.replace("S ", "1 ", 1).replace("S *", "1 *"))
    first = exact(f"{path}:Mine", tmp_path / "shared")
    path.write_text(text.replace("S *", "3 *"))
    edited = exact(f"{path}:Mine", tmp_path / "shared")
    apart = exact(f"{path}:Mine", tmp_path / "apart")
    assert {k: e.floor for k, e in edited.metrics.items()} == {
        k: e.floor for k, e in apart.metrics.items()
    }
    assert edited.value("ew2sq") == apart.value("ew2sq")
    assert edited.metrics["ew2sq"].floor == pytest.approx(9 * first.metrics["ew2sq"].floor)


def test_a_posterior_whose_code_lies_elsewhere_has_its_own_floor(tmp_path: Path) -> None:
    preset = Preset(training_pairs=1, steps=1, observations=9, samples=20)
    task, other = (cwbench.load_task("gaussian-linear") for _ in range(2))
    other.sample_posterior = lambda *given: 3 * task.sample_posterior(*given)  # type: ignore[method-assign]
    floors = []
    for each in (task, other):
        judge = Judge(each, preset, tmp_path)
        samples = each.sample_posterior(judge.observations.y, 40, torch.Generator().manual_seed(0))
        floors.append(judge.score(W2Squared(each), samples).floor)
    assert torch.allclose(floors[1], 9 * floors[0], rtol=1e-5)


class Sums:
    """The sum of all features, times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor, self.total, self.n = factor, torch.zeros(()), 0

    def update(self, features: Tensor, labels: Tensor) -> None:
        self.total, self.n = self.total + self.factor * features.sum(), self.n + len(labels)
        features.zero_()  # its own to spoil

    def state(self) -> dict[str, Tensor]:
        return {"total": self.total, "n": torch.tensor(self.n)}

    def load(self, state: dict[str, Tensor]) -> Sums:
        self.total, self.n = state["total"], int(state["n"])
        return self


class Mean:
    name = "mean-1"

    def __call__(self, x: Tensor) -> Tensor:
        features = x.flatten(1).mean(1, keepdim=True)
        x.zero_()
        return features


class Gap(ImageMetric):
    """Distance of mean pixels, which shares its statistic with others."""

    factor: ClassVar[float] = 1.0
    info: ClassVar = MetricInfo("gap", 1, "Gap", "lower", frozenset({"labelled-images"}))

    def network(self, cache: Path | None) -> Mean:
        return Mean()

    def kind(self) -> str:
        return "sums"

    def statistic(self, real: Any = None) -> Sums:
        return Sums(self.factor)

    def value(self, generated: Any, real: Any) -> Tensor:
        return (generated.total / generated.n - real.total / real.n).abs()[None]


def named(name: str, version: int = 1, **members: Any) -> ImageMetric:
    info = MetricInfo(name, version, name, "lower", frozenset({"labelled-images"}))
    metric: ImageMetric = type("Other", (Gap,), {"info": info, **members})(StoredTrial())
    metric.n = 60
    return metric


def white(y: Tensor, _: int) -> Tensor:
    return torch.ones(len(y), 1, 8, 8)


def mean_of_real() -> float:
    images, _ = StoredTrial().stored_images("test").first(60)
    return float(to_x(images).mean())


def test_metrics_are_handed_the_same_features_whatever_the_others_do_with_them() -> None:
    scores = ImageJudge(StoredTrial()).scores([named("a"), named("b"), named("c")], white)
    for score in scores.values():
        assert isinstance(score, ImageScore)
        assert float(score.value) == pytest.approx(1 - mean_of_real(), rel=1e-5)


def test_statistics_of_another_version_or_source_of_the_metric_are_not_taken(
    tmp_path: Path,
) -> None:
    def value(metric: ImageMetric, source: str | None = None) -> float:
        judge = ImageJudge(StoredTrial(), tmp_path, {metric.info.name: source})
        score = judge.scores([metric], white)[metric.info.name]
        assert isinstance(score, ImageScore)
        return float(score.value)

    wanted = 1 - mean_of_real()
    assert value(named("gap")) == pytest.approx(wanted, rel=1e-5)
    assert value(named("gap", 2, factor=10.0)) == pytest.approx(10 * wanted, rel=1e-5)
    assert value(named("gap", factor=100.0), "edited") == pytest.approx(100 * wanted, rel=1e-5)


def test_statistics_of_other_images_are_not_taken(tmp_path: Path) -> None:
    class Inverted(StoredTrial):
        def stored_images(self, part: Part) -> ImageSet:
            images, labels = super().stored_images(part)
            return ImageSet(255 - images, labels)

    values = []
    for task in (StoredTrial(), Inverted()):
        score = ImageJudge(task, tmp_path).scores([named("gap")], white)["gap"]
        assert isinstance(score, ImageScore)
        values.append(float(score.value))
    assert sum(values) == pytest.approx(2, rel=1e-4)


def refused(*_: Any) -> Any:
    raise NoValueError("not defined here")


def test_metrics_of_images_that_fail_leave_the_others_standing() -> None:
    broken = {
        "value": named("value", value=refused),
        "kind": named("kind", kind=refused),
        "floor": named("floor", floor_statistic=refused),
        "network": named("network", network=refused),
    }
    scores = ImageJudge(StoredTrial()).scores([*broken.values(), named("gap")], white)
    for name in broken:
        failed = scores[name]
        assert isinstance(failed, Failed)
        assert failed.reason == "not defined here"
        assert not failed.trace, "of an error of ours the message says all"
    assert isinstance(scores["gap"], ImageScore)
    assert float(scores["gap"].value) == pytest.approx(1 - mean_of_real(), rel=1e-5)
