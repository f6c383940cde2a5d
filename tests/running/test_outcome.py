"""What a run lacks: metrics that are absent, of another version, or of another source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cwbench.running.outcome import missing
from cwbench.running.request import resolve


def test_a_changed_version_or_source_of_a_metric_is_missing(tmp_path: Path, run: Callable) -> None:
    record = run("prior", results=tmp_path)
    request = resolve("gaussian-linear", "prior", preset="smoke")
    assert missing(request, record) == []

    def lacking(**changes: object) -> list[str]:
        entries = {"ew2sq": replace(record.metrics["ew2sq"], **changes)}
        found = missing(request, replace(record, metrics=record.metrics | entries))
        return [name for _, some in found for name in some]

    assert lacking() == []
    assert lacking(version=0) == ["ew2sq"]
    assert lacking(source_sha256="a" * 64) == ["ew2sq"]
    other = replace(request, metric_hashes={"ew2sq": "b" * 64})
    assert [list(some) for _, some in missing(other, record)] == [["ew2sq"]]
    assert missing(other, replace(record, status="skipped")) == []
