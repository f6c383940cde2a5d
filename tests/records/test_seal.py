"""Seals of records: who makes them, and where an edit by hand is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from made_runs import write_run

import cwbench
from cwbench.errors import CorruptFileError
from cwbench.records import runs, storage
from cwbench.verifying.verify import verify
from results import seal


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_our_own_command_seals_without_a_mark(tmp_path: Path) -> None:
    write_run(tmp_path, {"ew2sq": [1.0, 2.0]})
    directory = write_run(tmp_path, {"ew2sq": [1.0, 3.0]}, seed=1)
    before = runs.read(directory)
    assert len(seal.seal(tmp_path)) == 2
    assert seal.seal(tmp_path) == []
    after = runs.read(directory)
    assert after == before
    assert after is not None
    assert after.seal == "sealed"
    edit(directory / "record.json", seed=2)
    with pytest.raises(CorruptFileError, match="sealed"):
        seal.seal(tmp_path)


def test_an_edit_by_hand_is_refused_then_marked(results: Path, cli: Callable[..., Result]) -> None:
    directory = write_run(results, {"ew2sq@nfe=adaptive": [1.0, 2.0]})
    seal.seal(results)
    edit(directory / "record.json", settings={"beta": 3})
    refused = cli("leaderboard", "--results", results)
    assert "not as it was sealed" in refused.stderr
    assert "edited by hand" in cli("seal", directory).output
    assert "is sealed" in cli("seal", directory).output
    shown = cli("leaderboard", "--results", results)
    assert "m: seed 0: edited by hand" in shown.output
    assert not shown.stderr
    assert "edited by hand, then sealed" in next(iter(verify(results))).notes


def test_what_verify_says_of_a_record_without_a_seal(results: Path) -> None:
    write_run(results, {"ew2sq": [1.0, 2.0]})
    assert "unsealed" in next(iter(verify(results))).notes


def test_a_run_seals_its_record(run: Callable[..., cwbench.Record]) -> None:
    record = run("prior")
    assert record.directory
    again = runs.read(record.directory)
    assert again is not None
    assert (again.seal, record.sealed) == ("sealed", True)


def test_a_model_that_no_record_names_yet_is_read_by_its_seal(tmp_path: Path) -> None:
    storage.save_model(tmp_path, {"w": torch.ones(4)}, "fit", {})
    assert storage.load_model(tmp_path, "fit")[0]["w"].tolist() == [1, 1, 1, 1]
    path = tmp_path / storage.MODEL
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="not as it was sealed"):
        storage.load_model(tmp_path, "fit")
