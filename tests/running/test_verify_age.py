"""What a record says of its own age excuses nothing, and is told where its numbers are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from attacks.forging import content_of, settled

import cwbench
from cwbench.records import runs as records
from cwbench.records.record import Record
from cwbench.registry import load, plugins
from cwbench.verifying.age import LATER
from cwbench.verifying.verify import Verified, verify

Run = Callable[..., Record]
SMALL = {"preset.samples": 10, "preset.observations": 4, "preset.steps": 2}
TAKEN = {
    "0.1.0": {
        "cov-error", "crps", "data-misfit", "energy", "energy-score", "esw2sq", "esw2sq-exact",
        "ew2sq", "mean-error", "mode-weights", "psnr", "sbc", "ssim", "tarp",
    },
}  # fmt: skip
"""By release, the metrics that its runs took by themselves where the task allowed them."""


def without_energy(record: Record, **parts: Any) -> None:
    """Drop two metrics with their values by observation, as somebody does who knows the code."""
    assert record.directory is not None
    path = record.directory / "observations.parquet"
    table = pd.read_parquet(path)
    table[~table.metric.isin(["energy", "energy-score"])].to_parquet(path, index=False)
    kept = {i: e for i, e in record.metrics.items() if not i.startswith("energy")}
    files = records.beside.hashes(record.directory)
    records.write(record.directory, replace(record, metrics=kept, files=files, **parts))


def only(results: Path) -> Verified:
    (found,) = verify(results)
    return found


@pytest.mark.parametrize("said", ["0.1.9", "0.1.0"])
def test_another_cwbench_excuses_no_metric(run: Run, results: Path, said: str) -> None:
    record = run("linear-gaussian", settings=SMALL)
    without_energy(record, environment=record.environment | {"cwbench": said})
    assert "its preset takes energy, energy-score, which it lacks" in only(results).problems


def test_a_metric_that_nobody_has_excuses_no_other(run: Run, results: Path) -> None:
    """It stops the request that everything is compared with."""
    record = run("linear-gaussian", settings=SMALL)
    without_energy(
        record,
        preset_values=record.preset_values | {"metrics": ["of-nobody"]},
        settings=record.settings | {"preset.metrics": "of-nobody"},
    )
    found = only(results)
    assert "its preset takes energy, energy-score, which it lacks" in found.problems
    assert "unknown metric 'of-nobody'" in str(found.unchecked)


def test_a_later_metric_may_be_lacking_in_a_release_that_had_it_not(
    run: Run, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "cwbench.verifying.age.LATER", {"0.1.0": frozenset({"energy", "energy-score"})}
    )
    record = run("linear-gaussian", settings=SMALL)
    without_energy(record, environment=record.environment | {"cwbench": "0.1.0"})
    found = only(results)
    assert (found.problems, found.sound) == ([], False)
    assert "whether cwbench 0.1.0 took energy, energy-score" in str(found.unchecked)


def test_metrics_that_came_later_are_named_for_each_release() -> None:
    """Whoever adds a metric that runs take by themselves adds it to the releases before it."""
    ours = [p.name for p in plugins() if p.kind == "metric" and p.distribution == "cwbench"]
    now = {name for name in ours if not load("metric", name).cls.info.opt_in}
    assert {release: now - taken for release, taken in TAKEN.items()} == LATER


def test_what_another_cwbench_made_is_counted_apart(run: Run, results: Path, cli: Callable) -> None:
    record = run("linear-gaussian", settings=SMALL)
    assert record.directory is not None
    environment = record.environment | {"cwbench": "0.1.9"}
    records.write(record.directory, replace(record, environment=environment))
    found = only(results)
    assert (found.verdict, found.sound) == ("of another cwbench", False)
    assert (found.rescored, found.redrawn) == (True, True)
    assert "not checked: what cwbench 0.1.9, by its own word, did otherwise" in found.unchecked
    done = cli("verify", results)
    assert done.exit_code == 0
    assert done.stdout.startswith("other ")
    assert "of another cwbench: 1" in done.stdout


def test_an_older_method_is_not_sound_whatever_cwbench_it_names(run: Run, results: Path) -> None:
    """With the key that holds its version; metrics were added to it, say, by this cwbench."""
    record = run("fm", settings=SMALL | {"preset.width": 8}, nfe=[1])
    assert record.directory is not None
    (record.directory / "model.safetensors").unlink()
    content = content_of(record.directory)
    content["method"]["version"] -= 1
    settled(record.directory, content, keyed=True)
    found = only(results)
    assert (found.problems, found.rescored) == ([], True)
    assert (found.verdict, found.sound) == ("of another cwbench", False)


def test_data_that_its_task_does_not_make_are_refused_whatever_release_it_names(
    run: Run, results: Path
) -> None:
    record = run("linear-gaussian", settings=SMALL)
    assert record.directory is not None
    task = record.task | {"fingerprint": "f" * 64, "distribution": "cwbench 0.1.9"}
    records.write(record.directory, replace(record, task=task))
    assert any("its data are others" in problem for problem in only(results).problems)


def test_a_row_of_several_releases_is_told(run: Run, results: Path) -> None:
    for seed in (0, 1):
        record = run("linear-gaussian", settings=SMALL, seed=seed)
    assert cwbench.leaderboard(results).older.unique().tolist() == [""]
    assert record.directory is not None
    odd = record.environment | {"cwbench": "0.1.9\x1b[31m"}
    records.write(record.directory, replace(record, environment=odd))
    here = str(cwbench.__version__)
    told = f"linear-gaussian (by cwbench 0.1.9\\x1b[31m, {here})"
    assert cwbench.leaderboard(results).older.unique().tolist() == [told]
