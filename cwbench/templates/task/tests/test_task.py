"""The contract of cwbench, a test a check."""

from __future__ import annotations

from cwbench.check import TaskChecks

from plugin_module.task import PluginClass


class TestPluginClass(TaskChecks):
    task = PluginClass
