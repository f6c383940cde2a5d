"""Records in `results/runs` are small, say what the full ones say, and pass `cwbench verify`."""

from __future__ import annotations

import filecmp
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cwbench import leaderboard
from cwbench.errors import CorruptFileError
from cwbench.records import runs as records
from cwbench.records.record import Record, parse
from cwbench.verifying.verify import verify
from results.adopt import adopt, lean, main, small
from results.submission import LARGEST

ROOT = Path(__file__).parents[1]
RUNS = "gaussian-mixture/{}/quick"
STANDARD_BYTES = 40_000
"""Of the values of a run at preset `standard`: 100 observations, 7 NFEs, 15 metrics."""


@pytest.fixture
def full(tmp_path: Path) -> list[Record]:
    """Records with float64 values of full length and both other columns, as a run writes them."""
    rng = np.random.default_rng(0)
    for method in ("fm", "cot-fm"):
        place = RUNS.format(method)
        shutil.copytree(ROOT / "results" / "runs" / place, tmp_path / "full" / "runs" / place)
    found = list(records.iterate(tmp_path / "full"))
    assert len(found) >= 6
    for record in found:
        assert record.directory is not None
        path = record.directory / "observations.parquet"
        table = pd.read_parquet(path)
        table["value"] = table["value"].astype("float64") * (1 + 1e-9 * rng.normal(size=len(table)))
        table.assign(plug_in=table["value"] + 0.1, floor=0.1).to_parquet(path, index=False)
        del record.files["observations.parquet"]
        records.write(record.directory, record)
    return found


def test_a_small_record_says_what_the_full_one_says(full: list[Record], tmp_path: Path) -> None:
    for record in full:
        source = record.directory
        assert source is not None
        target = adopt(record, tmp_path / "small")
        table, less = (pd.read_parquet(d / "observations.parquet") for d in (source, target))
        assert (
            table[["observation", "metric", "nfe"]]
            .astype(str)
            .equals(less[["observation", "metric", "nfe"]].astype(str))
        )
        assert np.allclose(table["value"], less["value"], rtol=2**-24, atol=0)
    before, after = leaderboard(tmp_path / "full"), leaderboard(tmp_path / "small")
    pd.testing.assert_frame_equal(before, after, rtol=1e-5, atol=1e-9)
    assert not any(one.refused for one in verify(tmp_path / "small", fresh=False))


def test_a_lean_record_is_read_as_the_full_one(full: list[Record]) -> None:
    """Entry by entry, also what is left out; it is shorter by a third, and an edit is seen."""
    for record in full:
        content = lean(record)
        again, whole = parse(content, "lean"), parse(record.to_bytes(), "whole")
        assert again == whole and again.sealed
        assert [dict(entry) for entry in again.metrics.values()] == [
            dict(entry) for entry in whole.metrics.values()
        ]
        assert len(content) < 0.7 * len(record.to_bytes())
        with pytest.raises(CorruptFileError, match="sealed"):
            parse(content.replace(b'"status": "ok"', b'"status": "oom"'), "edited")


def test_adopted_again_the_bytes_are_the_same(full: list[Record], tmp_path: Path) -> None:
    first = adopt(full[0], tmp_path / "one")
    again = records.read(first)
    assert again is not None
    second = adopt(again, tmp_path / "two")
    names = ["record.json", "observations.parquet"]
    assert filecmp.cmpfiles(first, second, names, shallow=False)[0] == names


def test_a_small_model_comes_along_where_it_is_asked_for(
    full: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for record in full[:2]:
        assert record.directory is not None
        (record.directory / "model.safetensors").write_bytes(b"a model")
        del record.files["model.safetensors"]
    assert not (adopt(full[0], tmp_path / "small") / "model.safetensors").exists()
    target = adopt(full[0], tmp_path / "small", models=True)
    assert (target / "model.safetensors").read_bytes() == b"a model"
    monkeypatch.setitem(LARGEST, "model.safetensors", 6)
    target = adopt(full[1], tmp_path / "small", models=True)
    assert not (target / "model.safetensors").exists()


def test_values_that_are_not_the_records_are_refused(full: list[Record], tmp_path: Path) -> None:
    source = full[0].directory
    assert source is not None
    table = pd.read_parquet(source / "observations.parquet")
    table.assign(value=table["value"] + 1).to_parquet(source / "observations.parquet", index=False)
    with pytest.raises(CorruptFileError, match="not the mean"):
        adopt(full[0], tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_the_size_of_a_standard_run(tmp_path: Path) -> None:
    """Values spread over decades, with all their digits: real ones are hardly harder."""
    rng = np.random.default_rng(0)
    metrics, grid = [f"metric-{i}" for i in range(15)], ["1", "2", "3", "5", "10", "25", "adaptive"]
    names = ["metric", "nfe", "observation"]
    index = pd.MultiIndex.from_product([metrics, grid, range(100)], names=names)
    table = index.to_frame(index=False).assign(value=rng.lognormal(size=len(index)))
    table.to_parquet(tmp_path / "values.parquet", index=False)
    assert len(small(tmp_path / "values.parquet")) < STANDARD_BYTES


def test_what_is_committed_is_small() -> None:
    """Every committed run went through `python -m results.adopt`."""
    places = [path for path in (ROOT / "results" / "runs").rglob("*") if path.is_file()]
    assert {path.name for path in places} == {"record.json", "observations.parquet"}
    for path in (path for path in places if path.suffix == ".parquet"):
        assert list(pd.read_parquet(path)) == ["observation", "metric", "nfe", "value"], path
        assert os.stat(path).st_size < STANDARD_BYTES  # noqa: PTH116


def test_runs_of_a_tree_with_uncommitted_changes_are_refused(
    full: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.adopt.ROOT", tmp_path / "small")
    last = max(full, key=lambda record: str(record.directory))
    assert last.directory is not None
    records.write(last.directory, replace(last, environment=last.environment | {"dirty": True}))
    with pytest.raises(SystemExit, match=f"{last.directory}: from a tree with uncommitted changes"):
        main([str(tmp_path / "full")])
    written = [path.parent for path in (tmp_path / "small").rglob("record.json")]
    assert len(written) == len(full) - 1


def test_no_committed_record_is_of_such_a_tree() -> None:
    found = list(records.iterate(ROOT / "results"))
    assert len(found) > 1000
    assert not [record.directory for record in found if record.environment["dirty"] is not False]
