"""The guide lists every metric with what it declares."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cwbench import registry
from cwbench.api import load_task
from cwbench.metric import ImageMetric

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


def test_the_page_names_the_ids_that_are_no_names() -> None:
    """Of metrics whose number is fixed; for images it is the run's."""
    page, task = (DOCS / "metrics.md").read_text(encoding="utf-8"), load_task("gaussian-linear")
    names = [
        p.name for p in registry.plugins() if (p.kind, p.distribution) == ("metric", "cwbench")
    ]
    classes = {name: registry.load_metric(name) for name in names}
    ids = {n: c(task).identifier for n, c in classes.items() if not issubclass(c, ImageMetric)}
    odd = {identifier for name, identifier in ids.items() if identifier != name}
    assert odd == {"ew2sq-leading-10", "pqmass-20", "w2sq-marginal-10000"}
    assert all(f"`{identifier}`" in page for identifier in odd)
