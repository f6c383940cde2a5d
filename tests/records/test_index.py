"""The index: the same table as reading every record, only sooner; never a stale or damaged one."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import cwbench
from cwbench.machine.seals import BLANK, sealed
from cwbench.records import index
from cwbench.records.frame import COLUMNS, rows
from cwbench.records.runs import iterate, run_directories

ENTRY = {
    "value": 0.25, "low": 0.2, "high": 0.3, "level": 0.95, "plug_in": 0.7, "floor": 0.5,
    "direction": "lower", "debiased": True, "ranks": True, "n_observations": 8, "n_samples": 100,
    "version": 1,
}  # fmt: skip
TASK = {
    "name": "t", "version": 1, "params": {"noise": 0.1}, "changed": {}, "main_metric": "ew2sq",
    "main_nfe": "adaptive", "second_nfe": 3, "group": "", "x_shape": [2],
}  # fmt: skip
METHOD = {"name": "m", "version": 2, "role": "method", "params": {"beta": 3}, "changed": {}}


def content(seed: int, **changes: Any) -> dict[str, Any]:
    key = "0123456789abcdef" * 4
    return {
        "schema": 1, "run_id": f"{key[:16]}-{seed}", "fit_key": key, "status": "ok", "error": None,
        "task": TASK, "method": METHOD | {"changed": {"beta": 3}},
        "preset": "smoke", "preset_values": {}, "settings": {}, "track": "fixed", "seed": seed,
        "metrics": {"ew2sq@nfe=10": ENTRY, "ew2sq@nfe=adaptive": ENTRY | {"value": 1 / 3}},
        "diagnostics": {}, "cost": {}, "environment": {}, "files": {},
        "started": "2025-01-01T00:00:00+00:00", "finished": "2025-01-01T00:00:01+00:00",
    } | changes  # fmt: skip


def store(results: Path, seed: int, text: str | None = None, **changes: Any) -> Path:
    directory = results / "runs" / "t" / "m" / "smoke" / "0123456789abcdef" / f"seed-{seed}"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "record.json"
    path.write_text(text if text is not None else json.dumps(content(seed, **changes)))
    return path


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Five runs: fine, with an error, without a value, fine, and one that has no record yet."""
    results = tmp_path / "results"
    store(results, 10)
    store(results, 2, status="failed", error="boom", metrics={})
    store(results, 3, status="diverged", metrics={"ew2sq": ENTRY | {"value": None}})
    store(results, 4, metrics={"w2sq": ENTRY | {"resolution": 0.8, "p90": 1.5}})
    store(results, 5).unlink()
    return results


def plain(results: Path) -> pd.DataFrame:
    """The table made without an index: rows of records in the order of their directories."""
    found = [row for record in iterate(results) for row in rows(record)]
    return pd.DataFrame(found, columns=COLUMNS).assign(origin="yours")


def same(table: pd.DataFrame, reference: pd.DataFrame) -> bool:
    values = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    wanted = reference.astype(object).where(reference.notna(), None).to_numpy().tolist()
    return list(table.columns) == list(reference.columns) and values == wanted


def test_it_says_what_the_records_say_cold_and_warm(filled: Path) -> None:
    cold = cwbench.load_records(filled)
    assert (filled / index.NAME).is_file()
    assert same(cold, plain(filled))
    assert len(cold) == 5
    pd.testing.assert_frame_equal(cwbench.load_records(filled), cold, check_exact=True)


def test_types_do_not_depend_on_what_is_there(filled: Path) -> None:
    full, none = cwbench.load_records(filled), cwbench.load_records(filled / "none")
    assert full.dtypes.seed == "int64"
    assert full.dtypes.value == full.dtypes.resolution == full.dtypes.n_samples == "float64"
    unsettled = list(index.INTEGERS)  # whole numbers where none is missing
    assert full.drop(columns=unsettled).dtypes.equals(none.drop(columns=unsettled).dtypes)


def test_a_warm_index_is_what_is_read(filled: Path) -> None:
    """Changed bytes that the file system shows no trace of can only be hidden by the index."""
    cold = cwbench.load_records(filled)
    path = filled / "runs/t/m/smoke/0123456789abcdef/seed-10/record.json"
    before = path.stat()
    path.write_text(path.read_text().replace("0.25", "9.75"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    pd.testing.assert_frame_equal(cwbench.load_records(filled), cold)
    (filled / index.NAME).unlink()
    assert 9.75 in cwbench.load_records(filled).value.tolist()


def test_what_changes_is_seen(filled: Path) -> None:
    cwbench.load_records(filled)
    store(filled, 10, metrics={"ew2sq": ENTRY | {"value": 7.5}})
    store(filled, 11)
    shutil.rmtree(filled / "runs/t/m/smoke/0123456789abcdef/seed-4")
    for _ in range(2):
        table = cwbench.load_records(filled)
        assert same(table, plain(filled))
        assert table[table.seed == 10].value.tolist() == [7.5]
        assert set(table.seed) == {10, 11, 2, 3}
    shutil.rmtree(filled / "runs")
    assert cwbench.load_records(filled).empty


def test_results_that_moved_name_their_new_place(filled: Path, tmp_path: Path) -> None:
    cwbench.load_records(filled)
    filled.rename(tmp_path / "moved")
    table = cwbench.load_records(tmp_path / "moved")
    assert {Path(d).parents[5] for d in table.directory} == {tmp_path / "moved"}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(path)


def _sealed(path: Path, layout: str, **changes: Any) -> None:
    """Another index than ours, its seal unbroken."""
    frame = pd.read_parquet(path).assign(**changes)
    frame.attrs = {"layout": layout, "sha256": BLANK.decode()}
    frame.to_parquet(path)
    path.write_bytes(sealed(path.read_bytes(), index.SEAL_START))
    assert index._sealed(path.read_bytes())


def _other_types(path: Path) -> None:
    _sealed(path, index.LAYOUT, seed="x")


def _other_layout(path: Path) -> None:
    _sealed(path, "cwbench 0.0.0, layout 1", value=1e9)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [_truncate, _empty, _foreign, _other_types, _other_layout, _directory, Path.unlink]
)
def test_a_damaged_index_is_never_used(filled: Path, damage: Callable[[Path], None]) -> None:
    cold = cwbench.load_records(filled)
    damage(filled / index.NAME)
    pd.testing.assert_frame_equal(cwbench.load_records(filled), cold)


def test_no_flipped_bit_becomes_a_number(filled: Path) -> None:
    cold = cwbench.load_records(filled)
    whole = (filled / index.NAME).read_bytes()
    for position in range(0, len(whole), len(whole) // 40):
        damaged = bytearray(whole)
        damaged[position] ^= 16
        (filled / index.NAME).write_bytes(damaged)
        pd.testing.assert_frame_equal(cwbench.load_records(filled), cold)


def test_results_that_may_only_be_read(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(index, "write_atomically", refuse)  # root may write anywhere
    assert len(cwbench.load_records(filled)) == 5
    assert not (filled / index.NAME).exists()


def test_what_is_damaged_is_told_every_time(filled: Path) -> None:
    bad = store(filled, 6, text="{")
    for _ in range(2):
        with pytest.warns(UserWarning, match=f"skipped: {bad}") as told:
            assert len(cwbench.load_records(filled)) == 5
        assert len(told) == 1
    store(filled, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(cwbench.load_records(filled)) == 7


def test_directories_of_runs_with_a_record_or_not(filled: Path) -> None:
    (filled / "runs" / "notes.txt").write_text("mine")
    (filled / "runs/t/m/smoke/0123456789abcdef/other").mkdir()
    (filled / "runs/t/m/smoke/.hidden/seed-1").mkdir(parents=True)
    assert [d.name for d in run_directories(filled)] == [f"seed-{s}" for s in (10, 2, 3, 4, 5)]
    assert run_directories(filled / "none") == []
