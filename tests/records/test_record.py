"""Records: JSON without NaN, validated when read; one bad file hides no other."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest

import cwbench
from cwbench.errors import CorruptFileError, CwbenchError, UsageError
from cwbench.records.entry import read as read_entry
from cwbench.records.frame import COLUMNS
from cwbench.records.record import Record, key_of, parse
from cwbench.records.runs import is_running, iterate, read, single_writer, write

TASK = {
    "name": "t", "version": 1, "params": {"noise": 0.1}, "changed": {}, "main_metric": "ew2sq",
    "main_nfe": "adaptive", "second_nfe": 3, "group": "", "x_shape": [2],
}  # fmt: skip
METHOD = {
    "name": "m", "version": 2, "role": "method", "params": {"beta": 3}, "changed": {"beta": 3},
}  # fmt: skip


def entry(value: float | None) -> dict[str, Any]:
    return {
        "value": value, "low": value, "high": value, "level": 0.95, "plug_in": value,
        "floor": 0.5, "direction": "lower", "debiased": True, "ranks": True, "n_observations": 8,
        "n_samples": 100, "version": 1,
    }  # fmt: skip


def record(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "schema": 1,
        "run_id": "0123456789abcdef-3",
        "fit_key": "0123456789abcdef" * 4,
        "status": "ok",
        "error": None,
        "task": TASK,
        "method": METHOD,
        "preset": "smoke",
        "preset_values": {},
        "settings": {},
        "track": "fixed",
        "seed": 3,
        "metrics": {
            "ew2sq@nfe=10": read_entry(entry(0.25)),
            "ew2sq@nfe=adaptive": read_entry(entry(0.125)),
        },
        "diagnostics": {},
        "cost": {},
        "environment": {},
        "files": {},
        "started": "2025-01-01T00:00:00+00:00",
        "finished": "2025-01-01T00:00:01+00:00",
    }
    return Record(**values | changes)


def stored(results: Path, name: str, text: str | None = None, **changes: Any) -> Path:
    """In the directory of its own, by the method's name."""
    made = record(**({"method": record().method | {"name": name}} | changes))
    key, task = made.run_id.partition("-")[0], made.task["name"]
    directory = results / "runs" / task / name / made.preset / key / f"seed-{made.seed}"
    directory.mkdir(parents=True)
    (directory / "record.json").write_text(made.to_json() if text is None else text)
    return directory


def test_roundtrip(tmp_path: Path) -> None:
    original = record()
    write(tmp_path, original)
    again = read(tmp_path)
    assert again == original
    assert again.directory == tmp_path
    assert again.value("ew2sq", 10) == 0.25
    assert again.label == "m (beta=3)"


def test_no_record_is_none(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_numbers_that_are_not_finite_become_null() -> None:
    bad = record(metrics={"ew2sq": entry(math.nan)}, cost={"a": [math.inf, (1.0, -math.inf)]})
    content = json.loads(bad.to_json(), parse_constant=lambda c: pytest.fail(f"{c} in JSON"))
    assert content["metrics"]["ew2sq"]["value"] is None
    assert content["cost"] == {"a": [None, [1.0, None]]}
    assert content["status"] == "ok"
    assert set(content) == {f.name for f in dataclasses.fields(Record)} - {"directory", "sealed"}


def test_a_metric_it_has_not_is_told_with_those_it_has() -> None:
    with pytest.raises(UsageError, match=r"no 'ew1@nfe=3'.*ew2sq@nfe=10"):
        record().value("ew1", 3)


def changed(**changes: Any) -> str:
    return json.dumps(json.loads(record().to_json()) | changes)


BAD = {
    "empty": "",
    "truncated": record().to_json()[:-40],
    "other JSON": "[1, 2]",
    "text": '"schema"',
    "deep": "[" * 100_000,
    "foreign": '{"schema": 1, "name": "somebody else"}',
    "newer": changed(schema=2),
    "no number as schema": changed(schema="1"),
    "NaN": record().to_json().replace("0.25", "NaN"),
    "Infinity": record().to_json().replace("0.25", "-Infinity"),
    "extra key": changed(score=1),
    "missing key": json.dumps({"schema": 1, "seed": 1}),
    "unknown status": changed(status="great"),
    "seed as word": changed(seed="x"),
    "task as text": changed(task="t"),
    "task without name": changed(task={k: v for k, v in TASK.items() if k != "name"}),
    "task without shape": changed(task={k: v for k, v in TASK.items() if k != "x_shape"}),
    "method without role": changed(method={k: v for k, v in METHOD.items() if k != "role"}),
    "metrics as list": changed(metrics=[1]),
    "metric as number": changed(metrics={"ew2sq": 0.1}),
    "older than the first": changed(schema=0),
    "truth as schema": changed(schema=True),
    "version as text": changed(task=TASK | {"version": "x"}),
    "name as number": changed(method=METHOD | {"name": 1}),
    "value as text": changed(metrics={"ew2sq": entry(0.5) | {"value": "0.5"}}),
    "metric without value": changed(metrics={"ew2sq": {"low": 0}}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_record_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "record.json").write_text(BAD[name])
    with pytest.raises(CorruptFileError, match=str(tmp_path / "record.json")):
        read(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(CorruptFileError, match=r"record\.json is not a record"):
        read(tmp_path)


def test_newer_schema_says_which_is_read() -> None:
    with pytest.raises(CorruptFileError, match="origin has schema 2; this cwbench reads 1"):
        parse(changed(schema=2), "origin")


def test_bad_records_are_skipped_by_name_and_the_rest_is_shown(tmp_path: Path) -> None:
    stored(tmp_path, "good")
    for index, text in enumerate(BAD.values()):
        stored(tmp_path, f"bad-{index}", text)
    with pytest.warns(UserWarning, match="skipped: ") as caught:
        table = cwbench.load_records(tmp_path)
    assert len(table) == 2
    told = [str(w.message) for w in caught]
    assert len(told) == len(BAD)
    for index in range(len(BAD)):
        assert any(f"/bad-{index}/" in message for message in told)


def test_the_table_is_tidy(tmp_path: Path) -> None:
    directory = stored(tmp_path, "m")
    stored(tmp_path, "failed", status="failed", error="boom", metrics={}, seed=4)
    stored(tmp_path, "null", metrics={"ew2sq": entry(None)}, status="diverged", seed=5)
    table = cwbench.load_records(tmp_path)
    assert list(table.columns) == [*COLUMNS, "origin"]
    wanted = [
        "run_id", "task", "task_params", "method", "method_params", "preset", "track", "seed",
        "status", "metric", "nfe", "value", "low", "high", "plug_in", "floor",
    ]  # fmt: skip
    assert [c for c in table.columns if c in wanted] == wanted
    rows = table[table.directory == str(directory)].set_index("nfe")
    assert list(rows.index) == ["10", "adaptive"]
    assert set(rows.metric) == {"ew2sq"}
    assert rows.value.to_dict() == {"10": 0.25, "adaptive": 0.125}
    assert set(rows.task_params) == {'{"noise": 0.1}'}
    assert set(rows.label) == {"m (beta=3)"}
    assert set(rows.metric_version) == {1}
    failed = table[table.status == "failed"]
    assert len(failed) == 1
    assert failed.metric.isna().all()
    assert failed.value.isna().all()
    diverged = table[table.status == "diverged"]
    assert list(diverged.metric) == ["ew2sq"]
    assert diverged.value.isna().all()
    assert diverged.nfe.isna().all()


def test_no_results_are_an_empty_table(tmp_path: Path) -> None:
    table = cwbench.load_records(tmp_path / "none")
    assert table.empty
    assert list(table.columns) == [*COLUMNS, "origin"]
    assert not (tmp_path / "none").exists()


def test_the_environment_names_the_results_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, "m")
    monkeypatch.setenv("CWBENCH_RESULTS", str(tmp_path))
    table = cwbench.load_records()
    assert len(table[table.origin == "yours"]) == 2


def test_files_that_are_no_runs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    assert list(iterate(tmp_path)) == []


def test_the_key_is_canonical() -> None:
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})
    assert len(key_of({})) == 64


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        single_writer(tmp_path / "run"),
        pytest.raises(CwbenchError, match=f"another process computes the run in {tmp_path}"),
        single_writer(tmp_path / "run"),
    ):
        pass
    with single_writer(tmp_path / "run"):
        pass


def test_a_writer_waits_for_one_who_only_looks(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    with single_writer(tmp_path):
        assert is_running(tmp_path)
    assert not is_running(tmp_path)
    with (tmp_path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with single_writer(tmp_path):
            assert is_running(tmp_path)
