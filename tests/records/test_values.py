"""Values gathered from all records: the same as reading each, never stale, never damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_runs import write_run

from cwbench.records.values import HOME, Observed, observed

NOISE = np.random.default_rng(0).normal(size=(5, 12))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    for seed in range(3):
        ids = {"ew2sq@nfe=1": NOISE[seed], "ew2sq@nfe=2": None, "energy": NOISE[seed] ** 2}
        write_run(tmp_path, ids, seed=seed)
    write_run(tmp_path, {}, method="bad", status="failed", error="boom")
    return tmp_path


def entries(found: Observed) -> list[tuple[object, ...]]:
    """One by one: run, metric, NFE, version, floor and values."""
    names = list(found.runs)
    return [
        (names[run], part.kind.metric, part.kind.nfe, part.kind.version, floor,
         part.numbers[start : start + size].tolist())
        for part in found.measured
        for run, floor, start, size in zip(*(
            each.tolist() for each in (part.runs, part.floor, part.starts, part.sizes)
        ), strict=True)
    ]  # fmt: skip


def same(a: Observed, b: Observed) -> bool:
    told = [sorted(entries(found)) for found in (a, b)]
    return told[0] == told[1] and a.runs == b.runs and a.problems == b.problems


def plain(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    return observed(results, home=tmp_path_factory.mktemp("elsewhere"))


def test_cold_and_warm(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cold = observed(filled)
    assert len(cold.runs) == 4
    assert sorted(len(each[-1]) for each in entries(cold))  # type: ignore[arg-type] # a list == [0, 0, 0] + [12] * 6
    assert same(observed(filled), cold)
    assert same(plain(filled, tmp_path_factory), cold)
    energy = entries(observed(filled, lambda _: {"energy"}))
    assert [each[1] for each in energy] == ["energy"] * 3


def test_values_are_in_the_order_of_the_observations(tmp_path: Path) -> None:
    place = write_run(tmp_path, {"ew2sq": NOISE[0]}) / "observations.parquet"
    import pandas as pd

    pd.read_parquet(place).iloc[::-1].to_parquet(place, index=False)
    record = place.with_name("record.json")
    content = json.loads(record.read_text()) | {"files": {}}
    record.write_text(json.dumps(content))
    assert entries(observed(tmp_path))[0][-1] == NOISE[0].tolist()


def test_what_changes_is_seen(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    observed(filled)
    write_run(filled, {"ew2sq@nfe=1": NOISE[4], "sbc": NOISE[3]}, seed=1)
    write_run(filled, {"ew2sq@nfe=1": NOISE[4]}, seed=7)
    shutil.rmtree(next(filled.glob("runs/t/m/*/*/seed-0")))
    for _ in range(2):
        found = observed(filled)
        assert same(found, plain(filled, tmp_path_factory))
        assert {run["seed"] for run in found.runs.values() if run["status"] == "ok"} == {1, 2, 7}


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_table_is_made_again(filled: Path, damage: str) -> None:
    cold = observed(filled)
    tables = sorted((filled / HOME).iterdir())
    assert len(tables) == 3
    for table in tables:
        whole = bytearray(table.read_bytes())
        if damage == "gone":
            table.unlink()
        elif damage == "truncated":
            table.write_bytes(whole[:-20])
        else:
            whole[len(whole) // 3] ^= 16
            table.write_bytes(whole)
        assert same(observed(filled), cold)


def test_results_that_may_only_be_read(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cwbench.records.index.write_atomically", refuse)  # root may write anywhere
    assert len(entries(observed(filled))) == 9
    assert not (filled / HOME).exists()


def test_a_metric_that_is_a_path_is_refused_and_leaves_no_file_elsewhere(tmp_path: Path) -> None:
    place = write_run(tmp_path / "r", {"../../../x/<y>": NOISE[0], "ew2sq": NOISE[0]})
    found = observed(tmp_path / "r")
    assert not found.measured
    assert "metrics.../../../x/<y>" in found.problems[place]
    assert {p.name for p in tmp_path.iterdir()} == {"r"}


def test_records_that_lack_their_values_are_told(tmp_path: Path) -> None:
    place = write_run(tmp_path, {"ew2sq": NOISE[0]})
    (place / "observations.parquet").unlink()
    found = observed(tmp_path)
    assert not found.runs
    assert "lacks the ew2sq by observation" in found.problems[place]
