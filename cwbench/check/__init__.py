"""The contracts of tasks, methods and metrics, as checks to run on a plugin of one's own.

`cwbench check NAME` prints them, `check(name)` returns them, and a test module that subclasses
`MethodChecks`, `TaskChecks` or `MetricChecks` runs them under pytest, one test a check.
"""

from __future__ import annotations

from cwbench.check.outcome import Outcome
from cwbench.check.pytest_classes import MethodChecks, MetricChecks, TaskChecks
from cwbench.check.report import Report, check

__all__ = ["MethodChecks", "MetricChecks", "Outcome", "Report", "TaskChecks", "check"]
