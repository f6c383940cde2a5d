"""`cwbench score`: the numbers a fresh run would get, from what is stored, without a fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import cwbench
from cwbench.errors import CwbenchError
from cwbench.metrics.energy import EnergyDistance
from cwbench.metrics.wasserstein import MarginalW2Squared
from cwbench.records.record import Record
from cwbench.records.runs import read
from cwbench.records.storage import OBSERVATIONS
from cwbench.running.score import score
from cwbench.training.loop import Trainer

SMALL = {"preset.steps": 10, "preset.samples": 10, "preset.observations": 3, "preset.width": 8}


@pytest.fixture
def fitted(run: Callable, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A run of `fm` at two NFE; from then on nothing can be trained."""
    record: Record = run("fm", settings=SMALL, nfe=[1, 2])

    def refuse(*_: Any) -> None:
        raise AssertionError("it trains")

    monkeypatch.setattr(Trainer, "step", refuse)
    return record


def without(record: Record, *metrics: str) -> Record:
    """The record as if some metrics had not been known when it was made."""
    assert record.directory is not None
    content = json.loads(record.to_json())
    content["metrics"] = {
        i: e for i, e in content["metrics"].items() if i.partition("@")[0] not in metrics
    }
    (record.directory / "record.json").write_text(json.dumps(content))
    return again(record)


def again(record: Record) -> Record:
    assert record.directory is not None
    found = read(record.directory)
    assert found is not None
    return found


def rescored(record: Record, results: Path, **options: Any) -> Record:
    return score(record, results, quiet=True, **options)


def model(record: Record) -> Path:
    assert record.directory is not None
    return record.directory / "model.safetensors"


def samples(record: Record) -> Path:
    return model(record).with_name("samples.safetensors")


def test_what_was_missing_is_what_it_was(fitted: Record, results: Path) -> None:
    before = pd.read_parquet(model(fitted).with_name(OBSERVATIONS))
    kept = {n: h for n, h in fitted.files.items() if n != OBSERVATIONS}
    lacking = without(fitted, "ew2sq", "energy")
    scored = rescored(lacking, results)
    assert scored.metrics == fitted.metrics
    assert again(fitted) == scored
    assert {n: h for n, h in scored.files.items() if n != OBSERVATIONS} == kept
    rows = ["metric", "nfe", "observation"]
    after = pd.read_parquet(model(fitted).with_name(OBSERVATIONS))
    pd.testing.assert_frame_equal(
        *(frame.sort_values(rows, ignore_index=True) for frame in (before, after))
    )
    assert (scored.started, scored.finished) == (fitted.started, fitted.finished)
    assert scored.cost == fitted.cost
    assert scored.environment == fitted.environment


def test_nothing_missing_writes_nothing(fitted: Record, results: Path) -> None:
    path = model(fitted).with_name("record.json")
    before = path.stat().st_mtime_ns, (path.parent / "log.txt").read_text()
    assert rescored(fitted, results) == fitted
    assert (path.stat().st_mtime_ns, (path.parent / "log.txt").read_text()) == before


def test_samples_are_scored_without_their_model(fitted: Record, results: Path) -> None:
    model(fitted).unlink()
    assert rescored(without(fitted, "ew2sq"), results).metrics == fitted.metrics


def test_samples_are_drawn_again_from_model_and_stream(fitted: Record, results: Path) -> None:
    before = samples(fitted).read_bytes()
    samples(fitted).unlink()
    scored = rescored(without(fitted, "ew2sq"), results)
    assert scored.metrics == fitted.metrics
    assert samples(fitted).read_bytes() == before


def test_damaged_samples_are_never_scored(fitted: Record, results: Path) -> None:
    damaged = bytearray(samples(fitted).read_bytes())
    damaged[-5] ^= 64
    samples(fitted).write_bytes(damaged)
    assert rescored(without(fitted, "ew2sq"), results).metrics == fitted.metrics


def test_both_gone_is_told_and_the_record_stays(fitted: Record, results: Path) -> None:
    lacking = without(fitted, "ew2sq")
    samples(fitted).unlink()
    model(fitted).unlink()
    with pytest.raises(CwbenchError, match="neither its samples nor its model are stored"):
        rescored(lacking, results)
    assert again(fitted) == lacking


def test_an_older_version_of_a_metric_is_measured_again(
    fitted: Record, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    newer = dataclasses.replace(EnergyDistance.info, version=EnergyDistance.info.version + 1)
    monkeypatch.setattr(EnergyDistance, "info", newer)
    scored = rescored(fitted, results)
    for identifier, entry in scored.metrics.items():
        old = fitted.metrics[identifier]
        expected = newer.version if identifier.startswith("energy@") else old["version"]
        assert entry == dict(old) | {"version": expected}


def test_an_opt_in_metric_is_added_and_kept_up(fitted: Record, results: Path) -> None:
    scored = rescored(fitted, results, metrics=["mmd-sbibm"])
    added = set(scored.metrics) - set(fitted.metrics)
    assert added == {"mmd-sbibm@nfe=1", "mmd-sbibm@nfe=2"}
    assert rescored(without(scored, "ew2sq"), results).metrics == scored.metrics
    half = {i: dict(e) for i, e in scored.metrics.items() if i != "mmd-sbibm@nfe=2"}
    content = json.loads(scored.to_json()) | {"metrics": half}
    model(fitted).with_name("record.json").write_text(json.dumps(content))
    assert rescored(again(fitted), results).metrics == scored.metrics


def test_a_set_metric_needs_the_model(
    fitted: Record, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MarginalW2Squared, "n", 50)
    scored = rescored(fitted, results, metrics=["w2sq-marginal"])
    added = {"w2sq-marginal-50@nfe=1", "w2sq-marginal-50@nfe=2"}
    assert set(scored.metrics) - set(fitted.metrics) == added
    assert rescored(without(scored, "w2sq-marginal-50", "ew2sq"), results).metrics == fitted.metrics
    model(fitted).unlink()
    with pytest.raises(CwbenchError, match="neither its samples nor its model"):
        rescored(again(fitted), results, metrics=["w2sq-marginal"])


def changed(record: Record, **parts: Any) -> Record:
    content = json.loads(record.to_json())
    for name, value in parts.items():
        content[name] = content[name] | value if isinstance(value, dict) else value
    model(record).with_name("record.json").write_text(json.dumps(content))
    return again(record)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"task": {"name": "no-such-task"}}, "its task cannot be made here: unknown task"),
        ({"task": {"params": {"gone": 1}}}, "its task cannot be made here: unknown setting"),
        ({"task": {"version": 99}}, r"was version 99, \d+ is installed"),
        ({"task": {"fingerprint": "0"}}, "data of its task 'gaussian-linear' changed"),
        ({"task": {"source_sha256": "0"}}, "data of its task 'gaussian-linear' changed"),
        ({"status": "failed", "error": "boom"}, "it is failed: boom; there is nothing to score"),
        ({"preset_values": {"gone": 1}}, "ValidationError"),
    ],
)
def test_what_cannot_be_scored_is_told(
    fitted: Record, results: Path, parts: dict[str, Any], told: str
) -> None:
    odd = changed(without(fitted, "ew2sq"), **parts)
    with pytest.raises(CwbenchError, match=told):
        rescored(odd, results)
    assert again(fitted) == odd


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"method": {"name": "no-such-method"}}, "its method cannot be made here"),
        ({"method": {"version": 99}}, "its method 'fm' was version 99"),
        ({"method": {"source_sha256": "0"}}, "the source of its method 'fm' changed"),
        ({"track": "external"}, "its sampler came from outside"),
    ],
)
def test_stored_samples_of_a_method_that_is_gone_are_scored_but_not_drawn_again(
    fitted: Record, results: Path, parts: dict[str, Any], told: str
) -> None:
    lacking = changed(without(fitted, "ew2sq"), **parts)
    assert rescored(lacking, results).metrics == fitted.metrics
    lacking = without(fitted, "ew2sq")
    lacking = changed(lacking, **parts)
    samples(fitted).unlink()
    with pytest.raises(CwbenchError, match=f"{told}.*the samples needed are not stored"):
        rescored(lacking, results)
    assert again(fitted) == lacking


def test_an_outside_sampler_is_scored(results: Path) -> None:
    def sampler(y: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(len(y), n, 5, generator=generator)

    record = cwbench.evaluate(
        sampler, "gaussian-linear", "smoke", settings={"preset.samples": 10}, quiet=True,
        figures=False,
    )  # fmt: skip
    assert rescored(without(record, "energy"), results).metrics == record.metrics


def test_a_run_that_was_moved_is_scored(fitted: Record, results: Path, tmp_path: Path) -> None:
    lacking = without(fitted, "ew2sq")
    assert lacking.directory is not None
    moved = read(lacking.directory.rename(tmp_path / "moved"))
    assert moved is not None
    assert rescored(moved, results).metrics == fitted.metrics


def test_the_command_tells_each_and_goes_on(fitted: Record, cli: Callable, results: Path) -> None:
    other = cwbench.run("gaussian-linear", "prior", "smoke", settings=SMALL, quiet=True,
                        figures=False)  # fmt: skip
    without(fitted, "ew2sq")
    broken = changed(other, status="failed", error="boom")
    result = cli("score", fitted.run_id, broken.run_id, "--quiet")
    assert result.exit_code == 1
    assert result.stdout == f"{fitted.run_id}: ew2sq@nfe=1, ew2sq@nfe=2\n"
    assert result.stderr == (
        f"cwbench: {broken.run_id}: it is failed: boom; there is nothing to score\n"
    )
    result = cli("score", fitted.run_id, fitted.directory)
    assert (result.exit_code, result.stdout) == (0, f"{fitted.run_id}: nothing was missing\n")
    assert cli("score", "ffffff").exit_code == 2
    assert cli("score", fitted.run_id, "--metrics", "c2tt").exit_code == 2
    assert cli("score").exit_code == 2
