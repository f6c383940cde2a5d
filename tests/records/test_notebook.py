"""What a notebook shows of a record."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest

import cwbench
from cwbench.errors import UsageError


def test_a_record_is_a_table_of_its_metrics(run: Callable) -> None:
    record = run("linear-gaussian")
    html = record._repr_html_()
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    assert len(rows) == 1 + len(record.metrics)
    assert rows[0].startswith("<th>metric</th><th>value</th>")
    assert rows[1].startswith("<td>ew2sq</td>")
    entry = record.metrics["ew2sq"]
    shown = re.search(r"<td>ew2sq</td><td>([^< ]+) ±([^<]+)</td>", html)
    assert shown
    assert abs(float(shown[1]) - entry["value"]) < entry["high"] - entry["value"]
    assert abs(float(shown[2]) - (entry["high"] - entry["low"]) / 2) < 0.1 * float(shown[2])


def test_text_of_plugins_is_escaped(run: Callable) -> None:
    record = run("linear-gaussian")
    record.status, record.error = "failed", "<script>alert(1)</script>"
    record.metrics = {"<b>": record.metrics["ew2sq"]}
    html = record._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<td>&lt;b&gt;</td>" in html


def test_what_evaluate_returns_shows_its_figures(tmp_path: Path) -> None:
    task = cwbench.load_task("gaussian-linear")
    record = cwbench.evaluate(
        task.sample_posterior, "gaussian-linear", "smoke", name="exact", results=tmp_path
    )
    shown = record.show()
    assert shown.paths == tuple(record.figures)
    images = re.findall(r'<img alt="([^"]+)" src="data:image/png;base64,([^"]+)">',
                        shown._repr_html_())  # fmt: skip
    assert [name for name, _ in images] == [path.stem for path in record.figures]
    for (_, data), path in zip(images, record.figures, strict=True):
        assert b64decode(data, validate=True) == path.read_bytes()
        assert path.read_bytes().startswith(b"\x89PNG")
    last = record.figures[-1].stem
    assert str(record.show(last)) == str(record.figures[-1])
    with pytest.raises(UsageError, match=f"unknown figure 'none'.*{last}"):
        record.show("none")


def test_a_record_without_figures_says_how_to_get_them(tmp_path: Path) -> None:
    task = cwbench.load_task("gaussian-linear")
    record = cwbench.evaluate(
        task.sample_posterior, "gaussian-linear", "smoke", name="exact", results=tmp_path,
        figures=False,
    )  # fmt: skip
    with pytest.raises(UsageError, match="figures=True or `cwbench plot` draws them"):
        record.show()
