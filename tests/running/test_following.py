"""Distances of images during a fit: the model is the same, the last value is that of the model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

import cwbench
from cwbench import registry
from cwbench.errors import UsageError
from cwbench.judging.by_image import ImageJudge
from cwbench.judging.choice import sized
from cwbench.machine.streams import stream
from cwbench.records.interruption import RunInterruptedError
from cwbench.records.record import Record
from cwbench.records.storage import MODEL
from cwbench.reporting.run_figures import draw, subject_of

SMALL: dict[str, Any] = {"preset.steps": 40, "preset.width": 32, "preset.nfe": "2"}
FOLLOWED = {"preset.follow": 4, "preset.follow_images": 200}
FLOW = {"method.ema": 0.9}


def fitted(results: Path, method: str, settings: dict[str, Any], **options: Any) -> Record:
    options = {"preset": "smoke", "quiet": True, "figures": False} | options
    return cwbench.run("digits", method, settings=settings, results=results, **options)


def model_of(record: Record) -> dict[str, Tensor]:
    assert record.directory is not None
    return load_file(record.directory / MODEL)


def same(first: Record, second: Record) -> bool:
    a, b = model_of(first), model_of(second)
    return list(a) == list(b) and all(a[name].equal(b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A flow whose weights are averaged, followed, and not stopped."""
    return fitted(tmp_path_factory.mktemp("whole"), "fm", SMALL | FLOW | FOLLOWED)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "settings"), [("cot-fm", FLOW), ("cwgan", {})])
def test_the_model_and_its_metrics_are_those_of_a_fit_left_alone(
    tmp_path: Path, method: str, settings: dict[str, Any]
) -> None:
    alone = fitted(tmp_path / "alone", method, SMALL | settings)
    followed = fitted(tmp_path / "followed", method, SMALL | settings | FOLLOWED)
    assert "followed" not in alone.diagnostics
    found = followed.diagnostics["followed"]
    assert (found["images"], len(found["values"])) == (200, 4)
    assert all(value is not None for value in found["values"])
    assert found["steps"] == sorted(found["steps"])
    assert (followed.run_id, followed.track) == (alone.run_id, alone.track)
    assert same(alone, followed)
    assert followed.metrics == alone.metrics
    assert followed.cost["network_passes"] == alone.cost["network_passes"]


def test_the_last_value_is_that_of_the_fitted_model(whole: Record) -> None:
    """Computed again from the stored weights, which are averaged ones, with streams by hand."""
    record = whole
    task, method = subject_of(record)
    assert method is not None
    metric = registry.load("metric", task.main_metric).cls(task)
    sized({task.main_metric: metric}, 200)

    def sampler(y: Tensor, number: int) -> Tensor:
        generator = stream("digits", task.info.version, 0, f"followed-{number}")
        return method.sample(y, 1, generator, 2)[:, 0]

    score = ImageJudge(task).scores([metric], sampler)[task.main_metric]
    found = record.diagnostics["followed"]
    assert found["values"][-1] == pytest.approx(float(score.value.mean()), rel=1e-6)
    assert found["floor"] == pytest.approx(float(score.floor.mean()), rel=1e-6)
    assert found["metric"] == "kd-per-class-classifier@nfe=2"


class Stopping(cwbench.Callback):
    """Stops a run as Ctrl-C does once it has come to a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_log(self, step: int, values: Any) -> None:
        if step >= self.step:
            raise KeyboardInterrupt


def test_a_resumed_fit_has_the_values_of_one_that_was_not_stopped(
    whole: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SMALL | FLOW | FOLLOWED
    monkeypatch.setenv("CWBENCH_CHECKPOINT_SECONDS", "0")
    with pytest.raises(RunInterruptedError):
        fitted(tmp_path / "stopped", "fm", settings, callbacks=[Stopping(25)])
    again = fitted(tmp_path / "stopped", "fm", settings)
    log = (again.directory / "log.txt").read_text()
    assert "resuming at step 24" in log
    assert again.diagnostics["followed"] == whole.diagnostics["followed"]
    assert same(whole, again)


def test_a_fit_on_record_is_not_followed_in_silence(results: Path) -> None:
    first = fitted(results, "fm", SMALL)
    with pytest.raises(UsageError, match=r"without preset.follow .*--force"):
        fitted(results, "fm", SMALL | FOLLOWED)
    again = fitted(results, "fm", SMALL | FOLLOWED, force=True)
    assert (again.run_id, len(again.diagnostics["followed"]["steps"])) == (first.run_id, 4)
    assert fitted(results, "fm", SMALL).diagnostics == again.diagnostics


def test_it_is_drawn_and_stays_out_of_the_lines_of_a_table(whole: Record) -> None:
    from cwbench.records.tables import run_table

    assert any(path.name == "during-the-fit.png" for path in draw(whole))
    assert "followed" not in run_table(whole)


@pytest.mark.parametrize(
    ("task", "settings", "told"),
    [
        ("gaussian-linear", {}, "takes a metric of labelled images.*ew2sq is none"),
        ("digits", {"preset.follow_metric": "nonsense"}, "nonsense"),
        ("digits", {"preset.follow_images": 15}, "follow_images=15: it needs two images of each"),
        (
            "digits",
            {"preset.follow_metric": "fd-classifier", "preset.follow_images": 20},
            "type --set preset.follow_images=64, .*preset.follow_metric",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_before_the_fit(
    run: Callable[..., Any], results: Path, task: str, settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        run("fm", task, settings={"preset.follow": 2} | settings)
    assert not (results / "runs").exists()
