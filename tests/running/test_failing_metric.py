"""One metric that fails leaves the others standing, with its reason in its entry."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import cwbench
from cwbench.errors import NoValueError
from cwbench.metrics.energy import EnergyDistance as Energy
from cwbench.metrics.wasserstein import W2Squared


def raising(error: BaseException) -> Callable[..., Any]:
    def distance(*_: Any) -> Tensor:
        raise error

    return distance


def test_a_metric_that_fails_has_its_reason_and_the_run_is_ok(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = run("prior")
    monkeypatch.setattr(Energy, "distance", raising(ZeroDivisionError("boom")))
    record = run("prior", force=True)
    assert record.status == "ok"
    entry = record.metrics["energy"]
    assert (entry.value, entry.error) == (None, "ZeroDivisionError: boom")
    others = {k: e for k, e in record.metrics.items() if k != "energy"}
    assert others == {k: e for k, e in sound.metrics.items() if k != "energy"}
    assert cwbench.load_records(record.directory.parents[5]).shape[0] > 0
    stored = json.loads((record.directory / "record.json").read_text())
    assert stored["metrics"]["energy"]["error"] == "ZeroDivisionError: boom"
    log = (record.directory / "log.txt").read_text()
    assert "Traceback" in log
    assert "energy: ZeroDivisionError: boom" in log
    assert run("prior").metrics == record.metrics  # complete: nothing is measured again


def test_a_main_metric_that_fails_makes_the_run_failed_and_keeps_the_other_entries(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = run("prior")
    monkeypatch.setattr(W2Squared, "distance", raising(NoValueError("no such distance")))
    record = run("prior", force=True)
    assert (record.status, record.error) == ("failed", "ew2sq: no such distance")
    assert record.metrics["energy"] == sound.metrics["energy"]
    assert record.metrics.keys() == sound.metrics.keys()


@pytest.mark.parametrize(
    ("error", "status"), [(MemoryError("full"), "oom"), (KeyboardInterrupt(), "interrupted")]
)
def test_what_is_no_failure_of_a_metric_ends_the_run(
    run: Callable, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str
) -> None:
    monkeypatch.setattr(Energy, "distance", raising(error))
    if status == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            run("prior")
    else:
        assert run("prior").status == status


def test_a_value_that_is_no_number_is_not_blamed_on_the_samples(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undefined(self: Any, a: Tensor, b: Tensor) -> Tensor:
        return torch.full((len(a),), math.nan, dtype=torch.float64)

    monkeypatch.setattr(W2Squared, "distance", undefined)
    record = run("prior")
    assert record.status == "failed"
    assert record.error == "ew2sq: its value is nan, though the samples are finite"


def test_samples_that_are_not_finite_still_diverge(results: Path) -> None:
    record = cwbench.evaluate(
        lambda y, n, g: torch.full((len(y), n, 5), math.nan), "gaussian-linear", "smoke",
        name="nan", quiet=True, figures=False,
    )  # fmt: skip
    assert record.status == "diverged"
    assert "samples are not finite" in str(record.error)
    assert record.metrics["ew2sq"].error is None


def test_mmd_of_a_reference_that_is_mostly_one_point_has_a_reason(
    results: Path, tmp_path: Path
) -> None:
    file = tmp_path / "atom.py"
    file.write_text(
        "import torch\n"
        "from cwbench import JointSamples, Task, TaskInfo\n"
        "from cwbench.preset import vector_presets\n"
        "class Atom(Task):\n"
        "    info = TaskInfo('atom', 1, 'Atom', 'ew2sq', 'MIT', 'none', vector_presets())\n"
        "    x_shape = y_shape = (1,)\n"
        "    def sample_joint(self, n, generator):\n"
        "        y = torch.randn(n, 1, generator=generator)\n"
        "        return JointSamples(self.sample_posterior(y, 1, generator)[:, 0], y)\n"
        "    def sample_posterior(self, y, n, generator):\n"
        "        x = torch.randn(len(y), n, 1, generator=generator)\n"
        "        return torch.where(torch.rand(x.shape, generator=generator) < 0.1, x, 0.0)\n"
    )
    task = cwbench.load_task(f"{file}:Atom")
    record = cwbench.evaluate(
        task.sample_posterior, f"{file}:Atom", "smoke", name="exact", quiet=True, figures=False,
        metrics=["mmd-sbibm"],
    )  # fmt: skip
    assert record.status == "ok"
    assert "median distance between reference samples is 0" in record.metrics["mmd-sbibm"].error
