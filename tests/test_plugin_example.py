"""The method that CONTRIBUTING points to works as written, without being installed."""

from __future__ import annotations

from pathlib import Path

import cwbench

FILE = Path(__file__).with_name("plugin_example.py")


def test_it_runs_and_beats_the_prior(tmp_path: Path) -> None:
    options = {"preset": "smoke", "results": tmp_path, "quiet": True, "figures": False}
    task = "gaussian-mixture-informative"
    ours = cwbench.run(task, f"{FILE}:NearestGaussian", **options)
    prior = cwbench.run(task, "prior", **options)
    assert ours.status == prior.status == "ok"
    assert ours.value("ew2sq") < prior.value("ew2sq")
