"""What a notebook shows of a record."""

from __future__ import annotations

import re
from collections.abc import Callable


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
