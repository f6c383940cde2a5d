"""Honest records that look odd are not refused, and what was not computed again is never ok."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import cwbench
from cwbench.judging import by_observation
from cwbench.records import runs as records
from cwbench.records.record import Record
from cwbench.running.named import named
from cwbench.verifying.verify import Verified, verify

Run = Callable[..., Record]
SMALL = {"preset.samples": 10, "preset.observations": 4, "preset.steps": 2}
IGNORES_NFE = "info = MethodInfo('mine', 1, '', '', nfe=True)"
NO_NUMBER = """
info = MethodInfo('aaa', 1, '', '')
def sample(self, *given):
    return super().sample(*given) * float('nan')
"""


def by_method(results: Path, **options: object) -> dict[str, Verified]:
    found = verify(results, **options)  # type: ignore[arg-type] # as they are given
    return {one.directory.parts[-4] + one.directory.parts[-1][-2:]: one for one in found}


def problems(results: Path, **options: object) -> list[str]:
    return [text for one in by_method(results, **options).values() for text in one.problems]


def edited(record: Record, **parts: object) -> None:
    """Write a record anew, as somebody does who knows the code."""
    assert record.directory is not None
    records.write(record.directory, replace(record, **parts))  # type: ignore[arg-type] # its fields


def test_samples_of_one_nfe_do_not_vouch_for_another(run: Run, results: Path) -> None:
    record = run("fm", settings=SMALL, nfe=[1, 10])
    assert record.directory is not None
    path = record.directory / "samples.safetensors"
    save_file({"samples@nfe=1": load_file(path)["samples@nfe=1"]}, path)
    (record.directory / "model.safetensors").unlink()
    table = pd.read_parquet(record.directory / "observations.parquet")
    forged = (table.metric == "ew2sq") & (table.nfe == "10")
    table.loc[forged, "value"] *= 0.5
    table.to_parquet(record.directory / "observations.parquet", index=False)
    entry = record.metrics["ew2sq@nfe=10"]
    numbers = {n: entry[n] * 0.5 for n in ("value", "low", "high", "p90")}
    edited(
        record,
        files=records.beside.hashes(record.directory),
        metrics=record.metrics | {"ew2sq@nfe=10": replace(entry, **numbers)},
    )
    (found,) = verify(results)
    assert found.verdict == "hashes only"
    assert not found.sound
    assert "ew2sq@nfe=10" in str(found.unchecked)


def test_a_run_without_values_and_a_refused_one_are_no_measure_of_others(
    run: Run, results: Path, method_file: Callable
) -> None:
    run(method_file(NO_NUMBER), settings=SMALL)
    forged = run("linear-gaussian", settings=SMALL)
    metrics = {i: replace(e, floor=2.0 if e.floor else e.floor) for i, e in forged.metrics.items()}
    edited(forged, metrics=metrics)
    run("prior", settings=SMALL)
    found = by_method(results)
    assert found["linear-gaussian-0"].refused
    assert not found["prior-0"].problems


@pytest.mark.parametrize("named_again", [False, True])
def test_methods_from_files_are_held_against_their_own_files(
    run: Run, results: Path, method_file: Callable, tmp_path: Path, named_again: bool
) -> None:
    """One with a path among its settings, one that calls itself as ours does and counts on."""
    (tmp_path / "weights.txt").write_text("1")
    loaded = method_file(
        """
        info = MethodInfo('loaded', 1, '', '')
        class Params(pydantic.BaseModel):
            weights: Path = Path('none')
        """,
        head="import pydantic\nfrom pathlib import Path",
        name="loaded.py",
    )
    run(loaded, settings=SMALL | {"weights": str(tmp_path / "weights.txt")})
    ours = method_file("info = MethodInfo('prior', 2, '', '', role='lower')", name="other.py")
    run(ours, settings=SMALL)
    files = named([], [loaded, ours], []) if named_again else named([], [], [])
    assert problems(results, files=files) == []


def test_what_is_added_to_a_run_leaves_it_honest(run: Run, results: Path) -> None:
    run("fm", settings=SMALL, nfe=[1], metrics=["mmd-sbibm"])
    assert run("fm", settings=SMALL, nfe=[1, 2]).status == "ok"
    assert problems(results) == []


def test_an_nfe_at_which_a_run_fails_later_leaves_it_honest(run: Run, results: Path) -> None:
    record = run("fm", settings=SMALL, nfe=[1])
    failed = replace(
        record.metrics["ew2sq@nfe=1"], value=None, low=None, high=None, plug_in=None, floor=None,
        p90=None, resolution=None, low_resolution=False, error="no such step",
    )  # fmt: skip
    edited(record, metrics=record.metrics | {"ew2sq@nfe=77": failed})
    assert not [p for p in problems(results) if "main metric" in p or "floor" in p]


def test_samplers_that_repeat_themselves_are_told_where_they_are_not_ours(
    run: Run, results: Path, method_file: Callable
) -> None:
    run(method_file(IGNORES_NFE), settings=SMALL, nfe=[1, 2])

    def means(y: cwbench.method.Tensor, n: int, generator: object) -> cwbench.method.Tensor:
        return y[:, None, :5].repeat(1, n, 1)

    for seed in (0, 1):
        cwbench.evaluate(
            means, "gaussian-linear", preset="smoke", settings=SMALL | {}, seed=seed, quiet=True,
            figures=False, name="means",
        )  # fmt: skip
    found = by_method(results)
    assert [text for one in found.values() for text in one.problems] == []
    assert "a copy is no replication" in str(found["means-1"].notes)
    assert "at another NFE" in str(found["mine-0"].notes)


def test_a_run_that_was_cut_off_leaves_a_model_that_no_record_names(
    run: Run, results: Path
) -> None:
    record = run("linear-gaussian", settings=SMALL)
    edited(record, status="timeout", error="ended after 3 s", files={}, metrics={})
    assert record.directory is not None
    for name in ("samples.safetensors", "observations.parquet"):
        (record.directory / name).unlink()
    (found,) = verify(results)
    assert not found.problems
    assert "model.safetensors is not named in the record" in found.unchecked


def test_a_metric_of_another_source_is_not_compared(run: Run, results: Path) -> None:
    record = run("linear-gaussian", settings=SMALL)
    of_another = replace(record.metrics["energy"], source_sha256="0" * 64, n_samples=7)
    edited(record, metrics=record.metrics | {"energy": of_another})
    (found,) = verify(results)
    assert not found.problems
    assert "not checked: energy, whose source is another here" in found.unchecked


def test_an_attempt_that_follows_a_damaged_record_is_no_attempt_without_one(
    run: Run, results: Path
) -> None:
    record = run("linear-gaussian", settings=SMALL)
    assert record.directory is not None
    (record.directory / "record.json").write_text("{")
    assert run("linear-gaussian", settings=SMALL).status == "ok"
    assert "without a record" not in (record.directory / "log.txt").read_text()


RARELY_FAR = """
info = MethodInfo('rare', 1, '', '')
def sample(self, *given):
    drawn = super().sample(*given)
    drawn[1, 2] += 1e4
    return drawn
"""


def test_a_value_that_debiasing_cancels_is_refused_and_its_absence_is_not(
    run: Run, results: Path, method_file: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = method_file(RARELY_FAR)
    record = run(method)
    assert record.status == "diverged"
    assert problems(results) == []
    entry = replace(record.metrics["ew2sq"], error=None)
    edited(record, metrics=record.metrics | {"ew2sq": entry})
    assert "neither a value nor an error" in str(problems(results))
    shutil.rmtree(results)
    with monkeypatch.context() as before_the_rule:
        before_the_rule.setattr(by_observation, "cancelled", lambda *_: None)
        assert run(method).status == "ok"
    assert "ew2sq has a value that says nothing: debiasing cancels" in str(problems(results))
