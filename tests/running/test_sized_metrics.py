"""Metrics whose id says more than their name are read, scored and verified as the others are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import cwbench
from cwbench.records.record import Record
from cwbench.verifying.verify import verify

SMALL = {"preset.samples": 20, "preset.observations": 4}


@pytest.mark.parametrize("method", ["oracle", "linear-gaussian"])
def test_a_metric_with_a_size_in_its_id_stands_on_the_board(
    run: Callable[..., Record], results: Path, method: str
) -> None:
    record = run(method, settings=SMALL, metrics=["ew2sq-leading", "complement-error"])
    assert record.directory is not None
    leading = record.value("ew2sq-leading-10")
    table = pd.read_parquet(record.directory / "observations.parquet")
    mean = table[table.metric == "ew2sq-leading-10"]["value"].mean()
    assert mean == pytest.approx(leading)
    assert leading == pytest.approx(record.value("ew2sq"), rel=1e-6)  # five dimensions: the whole
    board = cwbench.leaderboard(results, task="gaussian-linear", preset="smoke")
    found = board[(board.metric == "ew2sq-leading-10") & (board.origin != "cwbench")]
    assert found["value"].tolist() == pytest.approx([leading], rel=1e-5)
    assert [text for one in verify(results, fresh_seed=5) for text in one.problems] == []
    again = run(method, settings=SMALL, metrics=["ew2sq-leading"])
    assert again.finished == record.finished, "nothing is measured twice"
