"""What a run lacks: metrics that are absent, of another version, or of another source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import cwbench
from cwbench.preset import NFE
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


RARELY_FAR = """
info = MethodInfo('rare', 1, '', '', nfe=True)
def sample(self, y, n, generator, nfe=None):
    drawn = super().sample(y, n, generator, nfe)
    drawn[1, 2] += 1e4 * (nfe == {far_at!r})
    return drawn
"""


@pytest.mark.parametrize("far_at", [1, "adaptive"])
def test_draws_that_are_rare_and_far_out_have_diverged_where_they_are_judged(
    far_at: NFE, run: Callable, method_file: Callable
) -> None:
    record = run(method_file(RARELY_FAR.format(far_at=far_at)), nfe=[1, "adaptive"])
    judged = far_at == cwbench.load_task("gaussian-linear").info.main_nfe
    other = "adaptive" if far_at == 1 else 1
    lost, kept = (record.metrics[f"ew2sq@nfe={n}"] for n in (far_at, other))
    assert (lost.value, lost.low, lost.high) == (None, None, None)
    assert lost.plug_in is not None and lost.plug_in > 1e4
    assert "plug-in value" in str(lost.error)
    assert kept.value is not None
    assert record.status == ("diverged" if judged else "ok")
    assert ("plug-in value" in str(record.error)) == judged
