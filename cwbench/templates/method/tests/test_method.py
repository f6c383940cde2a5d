"""The contract of cwbench, a test a check, and a score that means something."""

from __future__ import annotations

from pathlib import Path

import cwbench
from cwbench.check import MethodChecks

from plugin_module.method import PluginClass


class TestPluginClass(MethodChecks):
    method = PluginClass


def test_it_beats_the_prior(tmp_path: Path) -> None:
    def score(method: str) -> float:
        record = cwbench.run(
            "gaussian-linear", method, "smoke", results=tmp_path, quiet=True, figures=False
        )
        value = record.value("ew2sq")
        assert value is not None, record.error
        return value

    assert score("plugin-name") < score("prior") / 2
