"""The guide lists every metric with what it declares."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_table_is_what_the_metrics_declare() -> None:
    spec = importlib.util.spec_from_file_location("metrics_table", DOCS / "metrics_table.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    missing = [row for row in script.table() if row not in page.splitlines()]
    assert not missing, "type: python docs/metrics_table.py"
    assert script.written(page) == page, "type: python docs/metrics_table.py"
